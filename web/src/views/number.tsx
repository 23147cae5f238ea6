import { useState } from 'preact/hooks';
import { call } from '../api/client';
import type { Session } from '../api/types.gen';
import { Time } from '../parts/time';
import { Button, Code, Confirm, Pill, Problem, toast, Waiting } from '../parts/ui';
import { useAction, useLoad } from '../state/load';
import { go, link } from '../state/route';
import { t, word } from '../state/text';
import { isOperator } from '../state/who';
import { Limits } from './limits';
import { Pairing } from './pairing';
import { ofSessions, TONES } from './sessions';

export function NumberView({ id }: { id: string }) {
  const { data, error, reload } = useLoad(
    (signal) => call('GET /api/sessions/{sessionId}', { path: { sessionId: id }, signal }),
    [id],
    (event) => event.sessionId === id && ofSessions(event),
    15_000,
  );
  return (
    <>
      <p class="trail">
        <a href={link('numbers')}>← {t('nav.numbers')}</a>
      </p>
      <Problem error={error} retry={reload} />
      {!data && !error && <Waiting />}
      {data && <Known session={data} reload={reload} />}
    </>
  );
}

function Known({ session, reload }: { session: Session; reload: () => void }) {
  return (
    <>
      <div class="head">
        <h1>{session.name}</h1>
        <Pill tone={TONES[session.status]}>{word('status', session.status)}</Pill>
      </div>
      {session.status !== 'ready' && <Pairing session={session} reload={reload} />}
      <section class="card">
        <h2>{t('number.facts')}</h2>
        <dl class="facts">
          <dt>{t('number')}</dt>
          <dd>{session.phone ? <Code>{`+${session.phone}`}</Code> : '–'}</dd>
          <dt>{t('number.pushName')}</dt>
          <dd>{session.pushName ?? '–'}</dd>
          <dt>{t('id')}</dt>
          <dd>
            <Code>{session.id}</Code>
          </dd>
          <dt>{t('numbers.since')}</dt>
          <dd>
            <Time at={session.status === 'ready' ? session.connectedAt : null} />
          </dd>
          <dt>{t('numbers.heard')}</dt>
          <dd>
            <Time at={session.activity?.lastEngineEventAt} />
          </dd>
          <dt>{t('numbers.delivered')}</dt>
          <dd>
            <Time at={session.activity?.lastDeliveredAt} />
          </dd>
          <dt>{t('created')}</dt>
          <dd>
            <Time at={session.createdAt} />
          </dd>
          {session.lastError && (
            <>
              <dt>{t('number.lastError')}</dt>
              <dd>{session.lastError}</dd>
            </>
          )}
        </dl>
        <p class="row">
          <a href={link('inbox', session.id)}>{t('nav.inbox')}</a>
          {isOperator.value && <a href={`${link('webhooks')}?session=${session.id}`}>{t('nav.webhooks')}</a>}
          <a href={link('campaigns', session.id)}>{t('nav.campaigns')}</a>
        </p>
      </section>
      <Limits session={session} />
      {isOperator.value && <Actions session={session} reload={reload} />}
    </>
  );
}

type Asked = 'logout' | 'delete' | 'force-kill';

function Actions({ session, reload }: { session: Session; reload: () => void }) {
  const [asked, ask] = useState<Asked>();
  const { busy, error, run } = useAction();
  const path = { sessionId: session.id };
  const stop = () => run(() => call('POST /api/sessions/{sessionId}/stop', { path })).then(reload);
  const does: Record<Asked, () => Promise<unknown>> = {
    logout: () => call('POST /api/sessions/{sessionId}/logout', { path }),
    'force-kill': () => call('POST /api/sessions/{sessionId}/force-kill', { path }),
    delete: () => call('DELETE /api/sessions/{sessionId}', { path }),
  };
  const confirmed = async (what: Asked) => {
    if (!(await run(does[what]))) return;
    ask(undefined);
    toast(t(`number.done.${what}`, { name: session.name }));
    if (what === 'delete') go('numbers');
    else reload();
  };
  return (
    <section class="card">
      <h2>{t('number.actions')}</h2>
      {!asked && <Problem error={error} />}
      <div class="row">
        <Button disabled={!session.engineLoaded} busy={busy} onClick={() => void stop()}>
          {t('stop')}
        </Button>
        <Button disabled={!session.engineLoaded} onClick={() => ask('logout')}>
          {t('number.logout')}
        </Button>
        <Button disabled={!session.engineLoaded} onClick={() => ask('force-kill')}>
          {t('number.force-kill')}
        </Button>
        <Button kind="danger" onClick={() => ask('delete')}>
          {t('delete')}
        </Button>
      </div>
      {asked && (
        <Confirm
          title={t(`number.ask.${asked}`, { name: session.name })}
          yes={asked === 'delete' ? t('delete') : t(`number.${asked}`)}
          danger
          busy={busy}
          {...(error ? { error } : {})}
          onYes={() => void confirmed(asked)}
          onNo={() => ask(undefined)}
        >
          <p>{t(`number.means.${asked}`)}</p>
        </Confirm>
      )}
    </section>
  );
}
