import { call, Refused } from '../api/client';
import type { HealthWarning, Readiness, ReadinessPart } from '../api/types.gen';
import { exact } from '../parts/time';
import { CopyButton, Pill, Problem, Waiting } from '../parts/ui';
import { masked } from '../rules/report';
import { useLoad } from '../state/load';
import { liveState } from '../state/live';
import { link } from '../state/route';
import { number, t, word } from '../state/text';
import { who } from '../state/who';
import { Infra, Processes, readInstallation } from './installation';
import { SettingsCard } from './settings';

/** Between two looks at what changes slowly. */
const INSTALLATION_EVERY_MS = 15_000;

export function HealthView() {
  const limited = (who.value?.allowedChats.length ?? 0) > 0;
  const { data, error, reload } = useLoad(
    async (signal) => {
      const [health, ready, counts] = await Promise.all([
        call('GET /api/health', { signal }),
        readiness(signal),
        limited ? null : call('GET /api/sessions/stats/overview', { signal }),
      ]);
      return { health, ready, counts };
    },
    [limited],
    undefined,
    5000,
  );
  const whole = useLoad(readInstallation, [], undefined, INSTALLATION_EVERY_MS);
  if (error && !data) return <Problem error={error} retry={reload} />;
  if (!data) return <Waiting />;
  const { health, ready, counts } = data;
  const { known, ...installation } = whole.data ?? { known: {} };
  const report = { at: new Date().toISOString(), health, ready, counts, live: liveState.value, ...installation };
  const text = JSON.stringify(masked(report), null, 2);
  return (
    <>
      <div class="head">
        <h1>{t('nav.health')}</h1>
        <span>
          {t('health.report')} <CopyButton text={text} label={t('health.report')} />
        </span>
      </div>
      <Problem error={error} retry={reload} />
      <section class="card">
        <h2>{t('health.parts')}</h2>
        <dl class="facts">
          <dt>{t('health.gateway')}</dt>
          <dd>
            <Pill tone={health.status === 'ok' ? 'good' : 'warn'}>{health.status}</Pill>
          </dd>
          <dt>{t('health.ready')}</dt>
          <dd>
            <Pill tone={ready.status === 'ok' ? 'good' : 'bad'}>{ready.status}</Pill>
          </dd>
          {Object.entries(ready.details).map(([name, part]) => (
            <Part key={name} name={name} part={part} />
          ))}
          <dt>{t('health.live')}</dt>
          <dd>
            <Pill tone={liveState.value === 'live' ? 'good' : 'bad'}>{t(`live.${liveState.value}`)}</Pill>
          </dd>
          <dt>{t('health.version')}</dt>
          <dd>{health.version ?? '–'}</dd>
          <dt>{t('health.clock')}</dt>
          <dd>{exact(health.timestamp)}</dd>
          {counts?.memoryUsage && (
            <>
              <dt>{t('health.memory')}</dt>
              <dd>{number(counts.memoryUsage.rss)} MiB</dd>
            </>
          )}
        </dl>
      </section>
      {counts && (
        <section class="card">
          <h2>{t('nav.numbers')}</h2>
          <dl class="facts">
            <dt>{t('health.all')}</dt>
            <dd>{number(counts.total)}</dd>
            {Object.entries(counts.byStatus).map(([status, count]) => (
              <Count key={status} status={status} count={Number(count)} />
            ))}
          </dl>
        </section>
      )}
      <Warnings of={health.warnings ?? []} />
      <Problem error={whole.error} retry={whole.reload} />
      {whole.data && (
        <>
          <Processes of={whole.data.processes} />
          <Infra of={whole.data.status} />
          <SettingsCard installation={whole.data} />
        </>
      )}
    </>
  );
}

function Warnings({ of }: { of: HealthWarning[] }) {
  return (
    <section class="card">
      <h2>{t('health.warnings')}</h2>
      {!of.length && <p class="quiet">{t('health.noWarnings')}</p>}
      <ul class="warnings">
        {of.map((warning) => (
          <li key={`${warning.code}${warning.webhookId}${warning.sessionId}`}>
            <Pill tone="warn">{warning.code}</Pill> {warning.message}{' '}
            {warning.webhookId && <a href={link('webhooks', warning.webhookId)}>{t('health.look')}</a>}
            {!warning.webhookId && warning.sessionId && <a href={link('numbers', warning.sessionId)}>{t('health.look')}</a>}
          </li>
        ))}
      </ul>
    </section>
  );
}

function Part({ name, part }: { name: string; part: ReadinessPart | undefined }) {
  if (!part) return null;
  return (
    <>
      <dt>{word('part', name)}</dt>
      <dd>
        <Pill tone={part.status === 'up' ? 'good' : 'bad'}>{part.status}</Pill> {part.message}
      </dd>
    </>
  );
}

function Count({ status, count }: { status: string; count: number }) {
  return (
    <>
      <dt>{word('status', status)}</dt>
      <dd>{number(count)}</dd>
    </>
  );
}

/** A gateway that is not ready says so with 503, and why in the same shape. */
async function readiness(signal: AbortSignal): Promise<Readiness> {
  const answer = await fetch('api/health/ready', { signal });
  const body = (await answer.json()) as Readiness;
  if (!body.details) throw new Refused(answer.status, [`HTTP ${answer.status}`]);
  return body;
}
