import { useState } from 'preact/hooks';
import { call } from '../api/client';
import type { AuditEntry } from '../api/types.gen';
import { saveCsv, saveFile } from '../parts/file';
import { Table, type Column } from '../parts/table';
import { Time } from '../parts/time';
import { Button, Chips, Empty, Json, Pill, Problem, Sheet, toast, Waiting, type Tone } from '../parts/ui';
import { useAction, useLoad } from '../state/load';
import { place, refine } from '../state/route';
import { t } from '../state/text';

const PAGE = 200;
const SEVERITIES = ['all', 'info', 'warn', 'error'] as const;
const TONES: Record<string, Tone> = { info: 'calm', warn: 'warn', error: 'bad' };

export function AuditView() {
  const [pages, setPages] = useState(1);
  const [opened, open] = useState<AuditEntry>();
  const saving = useAction();
  const severity = SEVERITIES.find((one) => one === place.value.query.get('severity')) ?? 'all';
  const { data, error, reload } = useLoad((signal) => read(severity, pages, signal), [severity, pages], undefined, 15_000);
  return (
    <>
      <div class="head">
        <h1>{t('nav.audit')}</h1>
        {data && (
          <span class="row">
            <Button busy={saving.busy} onClick={() => void saving.run(() => saveAll(severity))}>
              {t('audit.csv')}
            </Button>
            <Button onClick={() => saveFile('audit.json', 'application/json', JSON.stringify(data.entries, null, 2))}>{t('audit.save')}</Button>
          </span>
        )}
      </div>
      <div class="bar">
        <Chips
          label={t('audit.severity')}
          chips={SEVERITIES.map((id) => ({ id, label: t(`severity.${id}`) }))}
          chosen={severity}
          choose={(id) => refine({ severity: id === 'all' ? '' : id })}
        />
        <span class="quiet">{data && t('audit.total', { n: data.total })}</span>
      </div>
      <Problem error={saving.error} />
      <Problem error={error} retry={reload} />
      {!data && !error && <Waiting />}
      {data?.entries.length === 0 && <Empty title={t('audit.none')} />}
      {data && data.entries.length > 0 && (
        <Table
          label={t('nav.audit')}
          rows={data.entries}
          keyOf={({ id }) => id}
          columns={columns(open)}
          open={open}
          {...(data.entries.length < data.total ? { more: () => setPages(Math.ceil(data.entries.length / PAGE) + 1) } : {})}
        />
      )}
      {opened && (
        <Sheet title={opened.action} onClose={() => open(undefined)} side>
          <Json value={opened} label={opened.action} />
        </Sheet>
      )}
    </>
  );
}

async function read(severity: string, pages: number, signal: AbortSignal) {
  // What happens while pages are read moves the others on: one may come twice.
  const entries = new Map<string, AuditEntry>();
  let total = 0;
  for (let page = 0; page < pages; page++) {
    const query = { limit: PAGE, offset: page * PAGE, ...(severity === 'all' ? {} : { severity }) };
    const answer = await call('GET /api/audit', { query, signal });
    for (const entry of answer.data) entries.set(entry.id, entry);
    total = answer.total;
    if (entries.size >= total || !answer.data.length) break;
  }
  return { entries: [...entries.values()], total };
}

function columns(open: (entry: AuditEntry) => void): Column<AuditEntry>[] {
  return [
    { id: 'when', label: t('when'), width: '9rem', show: ({ createdAt }) => <Time at={createdAt} /> },
    {
      id: 'action',
      label: t('audit.action'),
      show: (entry) => (
        <button type="button" class="as-link" onClick={() => open(entry)}>
          {entry.action}
        </button>
      ),
    },
    {
      id: 'severity',
      label: t('audit.severity'),
      rank: 3,
      width: '8rem',
      show: ({ severity }) => <Pill tone={TONES[severity] ?? 'calm'}>{severity}</Pill>,
    },
    { id: 'key', label: t('audit.key'), rank: 2, show: ({ apiKeyName }) => apiKeyName ?? '–' },
    { id: 'session', label: t('nav.number'), rank: 2, show: ({ sessionName }) => sessionName ?? '–' },
    { id: 'from', label: t('audit.from'), rank: 3, show: ({ ipAddress }) => ipAddress ?? '–' },
  ];
}

/** Entries of a saved file. */
const SAVED_MAX = 10_000;
const SAVED = ['createdAt', 'action', 'severity', 'apiKeyName', 'sessionName', 'ipAddress', 'method', 'path', 'statusCode', 'errorMessage'] as const;

/** Everything that fits, as a file of comma-separated values. */
async function saveAll(severity: string) {
  const { entries, total } = await read(severity, SAVED_MAX / PAGE, new AbortController().signal);
  const rows = entries.map((entry) => [...SAVED.map((name) => entry[name]), entry.metadata && JSON.stringify(entry.metadata)]);
  saveCsv('audit.csv', [...SAVED, 'metadata'], rows);
  toast(t(entries.length < total ? 'audit.csvCut' : 'audit.csvDone', { n: entries.length, total }));
}
