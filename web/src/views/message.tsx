// One message, from the call to the receivers: who asked for it, what WhatsApp said, and each attempt of each webhook.
import { useState } from 'preact/hooks';
import { isMissing } from '../api/client';
import type { Message } from '../api/types.gen';
import { exact } from '../parts/time';
import { Button, Code, Empty, Field, Json, Pill, Problem, Tabs, Waiting, type Tone } from '../parts/ui';
import { useLoad } from '../state/load';
import { go, link, place } from '../state/route';
import { t, word } from '../state/text';
import { find, type Found } from './found-message';
import { Receipts, Refusal } from './receipts';
import { useSessions } from './sessions';
import { SessionChoice } from './webhooks';

/** Something that happened to the message. `ms` is how long it took, where that is known. */
type Station = { at: number; ms: number; what: string; detail: string; tone: Tone };

export function MessageView() {
  const sessions = useSessions();
  const [, session, id] = place.value.parts;
  const [wanted, setWanted] = useState(id ?? '');
  if (!sessions.data) return sessions.error ? <Problem error={sessions.error} retry={sessions.reload} /> : <Waiting />;
  if (!sessions.data.length) return <Empty title={t('numbers.none')} />;
  const chosen = session ?? (sessions.data.find(({ phone }) => phone) ?? sessions.data[0])?.id ?? '';
  return (
    <>
      <div class="head">
        <h1>{t('nav.message')}</h1>
      </div>
      <form
        class="bar find"
        onSubmit={(event) => {
          event.preventDefault();
          if (wanted.trim()) go('message', chosen, wanted.trim());
        }}
      >
        <SessionChoice sessions={sessions.data} chosen={chosen} choose={(next) => go('message', next)} />
        <Field label={t('message.id')}>
          {(field) => <input id={field} required value={wanted} onInput={(event) => setWanted(event.currentTarget.value)} />}
        </Field>
        <Button type="submit" kind="main">
          {t('message.find')}
        </Button>
      </form>
      {session && id ? <OneMessage key={`${session} ${id}`} session={session} id={id} /> : <p class="quiet">{t('message.hint')}</p>}
    </>
  );
}

function OneMessage({ session, id }: { session: string; id: string }) {
  const { data, error, reload } = useLoad((signal) => find(session, id, signal), [session, id], (event) => event.sessionId === session, 5000);
  if (isMissing(error) && !data) return <Empty title={t('message.none')} />;
  if (error && !data) return <Problem error={error} retry={reload} />;
  if (data === undefined) return <Waiting />;
  if (!data) return <Empty title={t('message.none')} />;
  if (Array.isArray(data)) return <Choice of={data} />;
  return <Story found={data} />;
}

/** Messages of a chat, to choose one. */
function Choice({ of }: { of: Message[] }) {
  return (
    <section class="card">
      <h2>{t('message.choose')}</h2>
      <ul class="warnings">
        {of.map((message) => (
          <li key={message.id}>
            <a href={link('message', message.sessionId, message.waMessageId!)}>{exact(message.timestamp ? message.timestamp * 1000 : message.createdAt)}</a>{' '}
            <Pill tone={message.status === 'failed' ? 'bad' : 'calm'}>{word('message', message.status)}</Pill>{' '}
            <span class="long" dir="auto">
              {message.body ?? `[${word('kind', message.type)}]`}
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}

function stations({ message, audit, deliveries, urls }: Found): Station[] {
  const list: Station[] = [];
  const add = (at: string, what: string, detail: string, tone: Tone = 'calm', ms = 0) =>
    list.push({ at: Date.parse(at), ms, what, detail, tone });
  if (message.direction === 'incoming' && message.timestamp) {
    add(new Date(message.timestamp * 1000).toISOString(), t('message.said'), message.author ?? message.from);
  }
  add(message.createdAt, t('message.stored'), message.waMessageId ?? '');
  if (audit) add(audit.createdAt, t('message.asked'), [audit.apiKeyName, audit.path, audit.ipAddress].filter(Boolean).join(' · '));
  const told = new Map(deliveries.map((of) => [of.eventId, of]));
  for (const { event, occurredAt, idempotencyKey } of [...told.values()].reverse()) {
    const last = idempotencyKey.split('_').at(-1)!;
    const detail = event === 'message.ack' || event === 'message.receipt' ? word('message', last) : '';
    add(occurredAt, event, detail, event === 'message.failed' ? 'bad' : 'good');
  }
  for (const delivery of deliveries) {
    for (const attempt of delivery.attempts) {
      const good = attempt.statusCode !== null && attempt.statusCode >= 200 && attempt.statusCode < 300;
      const result = attempt.statusCode ?? word('trouble', attempt.errorKind ?? '');
      add(attempt.at, `${delivery.event} → ${urls[delivery.webhookId]}`, `${result}, ${attempt.durationMs} ms`, good ? 'good' : 'bad', attempt.durationMs);
    }
  }
  return list.sort((one, other) => one.at - other.at);
}

type Shape = 'waterfall' | 'table' | 'json';

function Story({ found }: { found: Found }) {
  const [shape, setShape] = useState<Shape>('waterfall');
  const { message } = found;
  const list = stations(found);
  return (
    <>
      <section class="card">
        <div class="row">
          <Pill tone={message.status === 'failed' ? 'bad' : message.status === 'pending' ? 'busy' : 'good'}>{word('message', message.status)}</Pill>
          <Code>{message.waMessageId!}</Code>
          <a href={link('inbox', message.sessionId, message.chatId)}>{message.chatName ?? message.chatId}</a>
        </div>
        <p class="body" dir="auto">{message.body ?? `[${word('kind', message.type)}]`}</p>
      </section>
      <Refusal message={message} />
      {found.recipients && <Receipts recipients={found.recipients} />}
      {!found.whole && <p class="problem">{t('message.notWhole')}</p>}
      <Tabs
        label={t('message.shape')}
        tabs={(['waterfall', 'table', 'json'] as const).map((id) => ({ id, label: t(`message.${id}`) }))}
        chosen={shape}
        choose={setShape}
      >
        {shape === 'waterfall' && <Waterfall list={list} />}
        {shape === 'table' && <Stations list={list} />}
        {shape === 'json' && <Json value={found} label={t('nav.message')} />}
      </Tabs>
    </>
  );
}

function after(at: number, first: number): string {
  const ms = at - first;
  return ms < 10_000 ? `+${ms} ms` : `+${Math.round(ms / 1000)} s`;
}

function Waterfall({ list }: { list: Station[] }) {
  const first = list[0]?.at ?? 0;
  const end = Math.max(...list.map(({ at, ms }) => at + ms), first + 1);
  // What comes late would press what comes first together: time is shown by its logarithm.
  const scale = (at: number) => (100 * Math.log1p(at - first)) / Math.log1p(end - first);
  return (
    <ol class="waterfall">
      {list.map((station, at) => (
        <li key={at}>
          <span class="one-line">{station.what}</span>
          <span class="quiet">{station.detail}</span>
          <span class="quiet when">{after(station.at, first)}</span>
          <span class="track" aria-hidden="true">
            <span
              class={station.tone}
              style={{
                insetInlineStart: `${scale(station.at)}%`,
                inlineSize: `${Math.max(0.8, scale(station.at + station.ms) - scale(station.at))}%`,
              }}
            />
          </span>
        </li>
      ))}
    </ol>
  );
}

function Stations({ list }: { list: Station[] }) {
  const first = list[0]?.at ?? 0;
  return (
    <div class="table-box" tabIndex={0} role="region" aria-label={t('message.table')}>
      <table class="loose">
        <thead>
          <tr>
            <th scope="col">{t('when')}</th>
            <th scope="col">{t('message.after')}</th>
            <th scope="col">{t('message.what')}</th>
            <th scope="col">{t('message.detail')}</th>
          </tr>
        </thead>
        <tbody>
          {list.map((station, at) => (
            <tr key={at}>
              <td>{exact(station.at)}</td>
              <td>{after(station.at, first)}</td>
              <td>{station.what}</td>
              <td>{station.detail}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
