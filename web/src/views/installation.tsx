// The processes, the database, the queue and the files of the installation. For admins of the whole of it.
import { call, Refused } from '../api/client';
import type { InfraConfig, InfraStatus, Process } from '../api/types.gen';
import { Table, type Column } from '../parts/table';
import { Time } from '../parts/time';
import { Code, Pill } from '../parts/ui';
import { number, t } from '../state/text';
import { isAdmin, who } from '../state/who';

/** What this gateway does not serve is absent. */
export type Installation = {
  processes: Process[] | undefined;
  status: InfraStatus | undefined;
  config: InfraConfig | undefined;
  known: Record<string, [string, unknown]>;
};

export function seesInstallation(): boolean {
  return isAdmin.value && !who.value?.allowedSessions.length && !who.value?.allowedChats.length;
}

/** Nothing, when this gateway does not serve it. */
async function served<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof Refused && (error.status === 404 || error.status === 501)) return undefined;
    throw error;
  }
}

export async function readInstallation(signal: AbortSignal): Promise<Installation | undefined> {
  if (!seesInstallation()) return undefined;
  const [processes, status, config, { SETTINGS }] = await Promise.all([
    served(call('GET /api/processes', { signal })),
    served(call('GET /api/infra/status', { signal })),
    served(call('GET /api/infra/config', { signal })),
    import('../api/settings.gen'),
  ]);
  return { processes, status, config, known: SETTINGS };
}

export function Processes({ of }: { of: Process[] | undefined }) {
  return (
    <section class="card">
      <h2>{t('processes')}</h2>
      {of ? (
        <Table label={t('processes')} rows={of} keyOf={({ id }) => id} columns={columns()} />
      ) : (
        <p class="quiet">{t('missing')}</p>
      )}
    </section>
  );
}

function columns(): Column<Process>[] {
  return [
    {
      id: 'id',
      label: t('processes.id'),
      show: ({ id, self, version }) => (
        <>
          <code title={id}>{id}</code> <span class="quiet">{version}</span> {self && <Pill tone="calm">{t('processes.self')}</Pill>}
        </>
      ),
    },
    { id: 'role', label: t('processes.role'), rank: 2, width: '8rem', show: ({ role }) => role },
    { id: 'sessions', label: t('processes.sessions'), width: '6rem', show: ({ sessions }) => number(sessions) },
    { id: 'lanes', label: t('processes.lanes'), rank: 2, width: '7rem', show: ({ lanes }) => number(lanes) },
    { id: 'lease', label: t('processes.lease'), rank: 3, width: '9rem', show: ({ leaseUntil }) => <Time at={leaseUntil} /> },
    { id: 'url', label: t('processes.address'), rank: 3, show: ({ url }) => url ?? <span class="quiet">–</span> },
  ];
}

export function Infra({ of }: { of: InfraStatus | undefined }) {
  return (
    <section class="card">
      <h2>{t('installation')}</h2>
      {of ? (
        <dl class="facts">
          <dt>{t('infra.database')}</dt>
          <dd>
            {of.database.type} <Answers up={of.database.connected} />
          </dd>
          <dt>{t('infra.queue')}</dt>
          <dd>
            {of.queue.enabled ? t('infra.inRedis') : t('infra.inDatabase')}{' '}
            {of.queue.connected !== null && of.queue.enabled && <Answers up={of.queue.connected} />} ·{' '}
            {t('infra.waiting', { n: of.queue.pending })}
          </dd>
          <dt>{t('infra.storage')}</dt>
          <dd>
            {of.storage.type} <Code>{of.storage.path}</Code>
          </dd>
          <dt>{t('infra.engine')}</dt>
          <dd>
            {of.engine.name} · {of.engine.library.name} {of.engine.library.version}
          </dd>
          <dt>{t('infra.sessions')}</dt>
          <dd>
            {t('infra.sessionsOf', {
              ready: number(of.sessions.ready),
              active: number(of.sessions.active),
              total: number(of.sessions.total),
            })}
          </dd>
        </dl>
      ) : (
        <p class="quiet">{t('missing')}</p>
      )}
    </section>
  );
}

function Answers({ up }: { up: boolean }) {
  return <Pill tone={up ? 'good' : 'bad'}>{up ? t('infra.connected') : t('infra.away')}</Pill>;
}

