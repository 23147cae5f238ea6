import { useState } from 'preact/hooks';
import { call } from '../api/client';
import type { AuditEntry } from '../api/types.gen';
import { Table, type Column } from '../parts/table';
import { Time } from '../parts/time';
import { Button, Chips, Empty, Json, Pill, Problem, Sheet, Waiting, type Tone } from '../parts/ui';
import { useLoad } from '../state/load';
import { place, refine } from '../state/route';
import { number, t } from '../state/text';

const PAGE = 200;
const SEVERITIES = ['all', 'info', 'warn', 'error'] as const;
const TONES: Record<string, Tone> = { info: 'calm', warn: 'warn', error: 'bad' };

export function AuditView() {
  const [pages, setPages] = useState(1);
  const [opened, open] = useState<AuditEntry>();
  const severity = SEVERITIES.find((one) => one === place.value.query.get('severity')) ?? 'all';
  const { data, error, reload } = useLoad((signal) => read(severity, pages, signal), [severity, pages], undefined, 15_000);
  return (
    <>
      <div class="head">
        <h1>{t('nav.audit')}</h1>
        {data && <Button onClick={() => save(data.entries)}>{t('audit.save')}</Button>}
      </div>
      <div class="bar">
        <Chips
          label={t('audit.severity')}
          chips={SEVERITIES.map((id) => ({ id, label: t(`severity.${id}`) }))}
          chosen={severity}
          choose={(id) => refine({ severity: id === 'all' ? '' : id })}
        />
        <span class="quiet">{data && t('audit.total', { n: number(data.total) })}</span>
      </div>
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
  const entries: AuditEntry[] = [];
  let total = 0;
  for (let page = 0; page < pages; page++) {
    const query = { limit: PAGE, offset: page * PAGE, ...(severity === 'all' ? {} : { severity }) };
    const answer = await call('GET /api/audit', { query, signal });
    entries.push(...answer.data);
    total = answer.total;
    if (entries.length >= total) break;
  }
  return { entries, total };
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

/** What is shown, as a file of JSON. */
function save(entries: AuditEntry[]) {
  const file = URL.createObjectURL(new Blob([JSON.stringify(entries, null, 2)], { type: 'application/json' }));
  const link = document.createElement('a');
  link.href = file;
  link.download = 'audit.json';
  link.click();
  URL.revokeObjectURL(file);
}
