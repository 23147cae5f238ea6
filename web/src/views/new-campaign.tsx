// A campaign from a file: who, what, a look at ten of them, a forecast, and only then the start.
import { useState } from 'preact/hooks';
import { call } from '../api/client';
import type { BulkForecast, SendBulk } from '../api/types.gen';
import { exact } from '../parts/time';
import { Button, Field, Pill, Problem } from '../parts/ui';
import { decode, fill, guessNumberColumn, parseCsv, placeholders, type Sheet } from '../rules/csv';
import { useAction } from '../state/load';
import { go, link } from '../state/route';
import { number, t, word } from '../state/text';
import { DayStrip, type PaceOptions as Options } from './pace';
import { newSecret } from './webhooks';

const PREVIEWS = 10;
const PROBLEMS_SHOWN = 20;

export function NewCampaign({ session }: { session: string }) {
  const [sheet, setSheet] = useState<Sheet>();
  const [column, setColumn] = useState(0);
  const [text, setText] = useState('');
  const [options, setOptions] = useState<Options>({ delay: 3, from: '', to: '', at: '' });
  const [forecast, setForecast] = useState<BulkForecast>();
  // One id for every try: a start whose answer was lost does not send twice.
  const [batchId] = useState(() => `batch_${newSecret().slice(0, 16)}`);
  const { busy, error, run } = useAction();
  const change = (next: Partial<Options>) => {
    setOptions({ ...options, ...next });
    setForecast(undefined);
  };
  const take = (file: File | undefined) =>
    file &&
    run(async () => {
      const read = parseCsv(decode(await file.arrayBuffer()));
      setSheet(read);
      setColumn(guessNumberColumn(read));
      setForecast(undefined);
    });
  const path = { sessionId: session };
  const look = () =>
    run(async () => {
      const body = request(sheet!, column, text, options, batchId);
      const query = { dryRun: true };
      setForecast((await call('POST /api/sessions/{sessionId}/messages/send-bulk', { path, query, body })) as BulkForecast);
    });
  const begin = () =>
    run(async () => {
      const body = request(sheet!, column, text, options, batchId);
      await call('POST /api/sessions/{sessionId}/messages/send-bulk', { path, body });
      go('campaigns', session, batchId);
    });
  return (
    <>
      <p class="trail">
        <a href={link('campaigns', session)}>← {t('nav.campaigns')}</a>
      </p>
      <div class="head">
        <h1>{t('campaigns.new')}</h1>
      </div>
      <section class="card">
        <h2>1. {t('campaigns.who')}</h2>
        <Field label={t('campaigns.file')} hint={t('campaigns.fileHint')}>
          {(id) => (
            <input
              id={id}
              type="file"
              accept=".csv,text/csv,text/plain"
              // The same file may have been mended meanwhile.
              onClick={(event) => (event.currentTarget.value = '')}
              onChange={(event) => void take(event.currentTarget.files?.[0])}
            />
          )}
        </Field>
        {sheet && (
          <>
            <p role="status">{t('campaigns.rows', { n: sheet.rows.length, columns: sheet.columns.join(', ') })}</p>
            <Field label={t('campaigns.column')}>
              {(id) => (
                <select
                  id={id}
                  value={column}
                  onChange={(event) => {
                    setColumn(Number(event.currentTarget.value));
                    setForecast(undefined);
                  }}
                >
                  {sheet.columns.map((name, at) => (
                    <option key={at} value={at}>
                      {name}
                    </option>
                  ))}
                </select>
              )}
            </Field>
          </>
        )}
      </section>
      <section class="card">
        <h2>2. {t('campaigns.what')}</h2>
        <Field label={t('campaigns.text')} hint={t('campaigns.textHint')}>
          {(id) => (
            <textarea
              id={id}
              rows={5}
              maxLength={4096}
              value={text}
              onInput={(event) => {
                setText(event.currentTarget.value);
                setForecast(undefined);
              }}
            />
          )}
        </Field>
        {sheet && (
          <div class="row">
            {sheet.columns.map((name, at) => (
              <Button
                key={at}
                onClick={() => {
                  setText(`${text}{{${name}}}`);
                  setForecast(undefined);
                }}
              >{`{{${name}}}`}</Button>
            ))}
          </div>
        )}
        {sheet && text && <Previews sheet={sheet} column={column} text={text} />}
      </section>
      <Pace options={options} forecast={forecast} change={change} />
      <section class="card">
        <h2>4. {t('campaigns.forecast')}</h2>
        <Problem error={error} />
        {forecast ? <Forecast of={forecast} sheet={sheet!} /> : <p class="quiet">{t('campaigns.forecastHint')}</p>}
        <div class="row">
          <Button busy={busy} disabled={!sheet?.rows.length || !text.trim()} onClick={() => void look()}>
            {t('campaigns.look')}
          </Button>
          <Button kind="main" busy={busy} disabled={!forecast?.totalMessages} onClick={() => void begin()}>
            {t('campaigns.begin', { n: forecast?.totalMessages ?? 0 })}
          </Button>
        </div>
      </section>
    </>
  );
}

function valuesOf(sheet: Sheet, row: string[]): Record<string, string> {
  return Object.fromEntries(sheet.columns.map((name, at) => [name, row[at] ?? '']).filter(([name, value]) => name && value?.trim()));
}

function request(sheet: Sheet, column: number, text: string, options: Options, batchId: string): SendBulk {
  const timeZone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const quiet = options.from && options.to ? { quietHours: { from: options.from, to: options.to, timeZone } } : {};
  const later = options.at ? { scheduledAt: new Date(options.at).toISOString() } : {};
  const messages = sheet.rows.map((row) => {
    return { chatId: (row[column] ?? '').trim(), type: 'text' as const, content: { text }, variables: valuesOf(sheet, row) };
  });
  return { batchId, messages, options: { delayBetweenMessages: options.delay * 1000, ...quiet, ...later } };
}

function Previews({ sheet, column, text }: { sheet: Sheet; column: number; text: string }) {
  const asked = placeholders(text);
  const unknown = asked.filter((name) => !sheet.columns.includes(name));
  const known = asked.filter((name) => sheet.columns.includes(name));
  const lacking = known
    .map((name) => {
      const at = sheet.columns.indexOf(name);
      return { name, rows: sheet.rows.filter((row) => !row[at]?.trim()).length };
    })
    .filter(({ rows }) => rows);
  return (
    <>
      {unknown.length > 0 && (
        <p class="problem" role="alert">
          {t('campaigns.unknown', { names: unknown.join(', ') })}
        </p>
      )}
      {lacking.map(({ name, rows }) => (
        <p key={name} class="problem" role="alert">
          {t('campaigns.lacking', { name, n: rows })}
        </p>
      ))}
      <h3>{t('campaigns.previews')}</h3>
      <ol class="previews">
        {sheet.rows.slice(0, PREVIEWS).map((row, at) => (
          <li key={at}>
            <strong>{row[column]}</strong>
            <p class="bubble own" dir="auto">{fill(text, valuesOf(sheet, row))}</p>
          </li>
        ))}
      </ol>
    </>
  );
}

type PaceProps = { options: Options; forecast: BulkForecast | undefined; change: (next: Partial<Options>) => void };

function Pace({ options, forecast, change }: PaceProps) {
  return (
    <section class="card">
      <h2>3. {t('campaigns.pace')}</h2>
      <div class="row">
        <label class="choice">
          <span>{t('campaigns.delay')}</span>
          <input type="number" min="1" max="60" value={options.delay} onInput={(event) => change({ delay: Number(event.currentTarget.value) || 1 })} />
        </label>
        <label class="choice">
          <span>{t('campaigns.quietFrom')}</span>
          <input type="time" value={options.from} onInput={(event) => change({ from: event.currentTarget.value })} />
        </label>
        <label class="choice">
          <span>{t('campaigns.quietTo')}</span>
          <input type="time" value={options.to} onInput={(event) => change({ to: event.currentTarget.value })} />
        </label>
        <label class="choice">
          <span>{t('campaigns.at')}</span>
          <input type="datetime-local" value={options.at} onInput={(event) => change({ at: event.currentTarget.value })} />
        </label>
      </div>
      <DayStrip options={options} forecast={forecast} />
    </section>
  );
}

function Forecast({ of, sheet }: { of: BulkForecast; sheet: Sheet }) {
  return (
    <>
      <dl class="facts" aria-live="polite">
        <dt>{t('campaigns.total')}</dt>
        <dd>{number(of.totalMessages)}</dd>
        <dt>{t('campaigns.starts')}</dt>
        <dd>{of.startsAt ? exact(of.startsAt) : '–'}</dd>
        <dt>{t('campaigns.ends')}</dt>
        <dd>{of.estimatedCompletionTime ? exact(of.estimatedCompletionTime) : t('campaigns.never')}</dd>
        <dt>{t('campaigns.newContacts')}</dt>
        <dd>{number(of.newContacts)}</dd>
        <dt>{t('campaigns.duplicates')}</dt>
        <dd>{number(of.duplicates.length)}</dd>
        <dt>{t('campaigns.invalid')}</dt>
        <dd>{number(of.invalid.length)}</dd>
      </dl>
      {of.limits.map((limit) => (
        <p key={limit.reason}>
          <Pill tone="warn">{word('held', limit.reason)}</Pill> {exact(limit.at)} → {exact(limit.until)} (×{limit.times})
        </p>
      ))}
      <ul class="warnings">
        {of.invalid.slice(0, PROBLEMS_SHOWN).map(({ index, problems }) => (
          <li key={index}>
            <strong>{t('campaigns.row', { n: index + 1 })}</strong> {sheet.rows[index]?.join(' · ')}: {problems.join('; ')}
          </li>
        ))}
        {of.invalid.length > PROBLEMS_SHOWN && <li>{t('campaigns.moreProblems', { n: of.invalid.length - PROBLEMS_SHOWN })}</li>}
      </ul>
    </>
  );
}
