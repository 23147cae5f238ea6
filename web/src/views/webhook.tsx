import { useState } from 'preact/hooks';
import { call } from '../api/client';
import type { Webhook, WebhookTest, WebhookTestAnswer } from '../api/types.gen';
import { exact, Time } from '../parts/time';
import { Button, Code, Confirm, CopyButton, Pill, Problem, Sheet, toast } from '../parts/ui';
import { useAction } from '../state/load';
import { go, link } from '../state/route';
import { t, word } from '../state/text';
import { Deliveries } from './deliveries';
import { newSecret, scope, WebhookState } from './webhooks';

type Props = { webhook: Webhook; session: string; reload: () => void };

export function WebhookView({ webhook, session, reload }: Props) {
  return (
    <>
      <p class="trail">
        <a href={link('webhooks')}>← {t('nav.webhooks')}</a>
      </p>
      <div class="head">
        <h1 class="long">{webhook.url}</h1>
        <WebhookState webhook={webhook} />
      </div>
      <section class="card">
        <p class="scope">{scope(webhook, session)}</p>
        <dl class="facts">
          <dt>{t('webhooks.lastSuccess')}</dt>
          <dd>
            <Time at={webhook.lastTriggeredAt} />
          </dd>
          <dt>{t('webhooks.failures')}</dt>
          <dd>
            {webhook.health.failures}{' '}
            {webhook.health.failingSince && (
              <span class="quiet">
                {t('webhooks.since')} <Time at={webhook.health.failingSince} />
              </span>
            )}
          </dd>
          <dt>{t('webhooks.breaker')}</dt>
          <dd>
            {word('breaker', webhook.health.breaker)}{' '}
            {webhook.health.openUntil && t('number.until', { time: exact(webhook.health.openUntil) })}
          </dd>
          {webhook.health.pausedAt && (
            <>
              <dt>{t('webhook.paused')}</dt>
              <dd>
                <Time at={webhook.health.pausedAt} /> · {word('pause', webhook.health.pauseReason ?? '')}
              </dd>
            </>
          )}
          <dt>{t('webhooks.order')}</dt>
          <dd>{word('order', webhook.order)}</dd>
          <dt>{t('id')}</dt>
          <dd>
            <Code>{webhook.id}</Code>
          </dd>
        </dl>
        <Actions webhook={webhook} session={session} reload={reload} />
      </section>
      <Deliveries webhook={webhook} />
    </>
  );
}

function Actions({ webhook, reload }: Props) {
  const [asked, ask] = useState<'delete' | 'rotate' | 'test'>();
  const { busy, error, run } = useAction();
  const path = { sessionId: webhook.sessionId, id: webhook.id };
  const paused = webhook.health.pausedAt !== null;
  const route = paused
    ? 'POST /api/sessions/{sessionId}/webhooks/{id}/resume'
    : 'POST /api/sessions/{sessionId}/webhooks/{id}/pause';
  const remove = () =>
    run(() => call('DELETE /api/sessions/{sessionId}/webhooks/{id}', { path })).then((done) => {
      if (!done) return;
      reload();
      go('webhooks');
    });
  return (
    <>
      {!asked && <Problem error={error} />}
      <div class="row">
        <Button kind="main" onClick={() => ask('test')}>
          {t('webhooks.verify')}
        </Button>
        <Button busy={busy} onClick={() => void run(() => call(route, { path })).then(reload)}>
          {paused ? t('resume') : t('pause')}
        </Button>
        <Button onClick={() => ask('rotate')}>{t('webhooks.rotate')}</Button>
        <Button kind="danger" onClick={() => ask('delete')}>
          {t('delete')}
        </Button>
      </div>
      {asked === 'test' && <Verify webhook={webhook} onClose={() => ask(undefined)} />}
      {asked === 'rotate' && <Rotate webhook={webhook} onClose={() => ask(undefined)} reload={reload} />}
      {asked === 'delete' && (
        <Confirm
          title={t('webhooks.delete')}
          yes={t('delete')}
          danger
          busy={busy}
          {...(error ? { error } : {})}
          onYes={() => void remove()}
          onNo={() => ask(undefined)}
        >
          <p>{t('webhooks.deleteMeans')}</p>
        </Confirm>
      )}
    </>
  );
}

function Verify({ webhook, onClose }: { webhook: Webhook; onClose: () => void }) {
  const [result, setResult] = useState<WebhookTest & { ms: number }>();
  const { busy, error, run } = useAction();
  const send = () =>
    run(async () => {
      const began = performance.now();
      const path = { sessionId: webhook.sessionId, id: webhook.id };
      const answer = await call('POST /api/sessions/{sessionId}/webhooks/{id}/test', { path });
      setResult({ ...answer, ms: Math.round(performance.now() - began) });
    });
  return (
    <Sheet title={t('webhooks.verify')} onClose={onClose}>
      <p>{t('webhooks.verifyMeans')}</p>
      <Problem error={error} />
      {result && (
        <dl class="facts" aria-live="polite">
          <dt>{t('webhooks.result')}</dt>
          <dd>
            <Pill tone={result.success ? 'good' : 'bad'}>{result.success ? t('webhooks.accepted') : t('webhooks.refused')}</Pill>
          </dd>
          <dt>{t('delivery.status')}</dt>
          <dd>{result.answer?.status ?? result.statusCode ?? '–'}</dd>
          <dt>{t('delivery.took')}</dt>
          <dd>{result.answer?.durationMs ?? result.ms} ms</dd>
          {result.error && (
            <>
              <dt>{t('delivery.error')}</dt>
              <dd>{result.error}</dd>
            </>
          )}
        </dl>
      )}
      {result?.answer && <Answer of={result.answer} />}
      <footer class="row end">
        <Button onClick={onClose}>{t('close')}</Button>
        <Button kind="main" busy={busy} onClick={() => void send()}>
          {result ? t('tryAgain') : t('webhooks.sendTest')}
        </Button>
      </footer>
    </Sheet>
  );
}

/** What came back, as it came. */
function Answer({ of }: { of: WebhookTestAnswer }) {
  return (
    <>
      <h3>{t('webhooks.headers')}</h3>
      <pre tabIndex={0} aria-label={t('webhooks.headers')}>
        {Object.entries(of.headers)
          .map(([name, value]) => `${name}: ${String(value)}`)
          .join('\n')}
      </pre>
      <h3>{t('webhooks.excerpt')}</h3>
      {of.excerpt ? (
        <pre tabIndex={0} aria-label={t('webhooks.excerpt')}>
          {of.excerpt}
        </pre>
      ) : (
        <p class="quiet">{t('webhooks.noBody')}</p>
      )}
    </>
  );
}

function Rotate({ webhook, onClose, reload }: { webhook: Webhook; onClose: () => void; reload: () => void }) {
  const [secret] = useState(newSecret);
  const { busy, error, run } = useAction();
  const path = { sessionId: webhook.sessionId, id: webhook.id };
  const rotate = () =>
    run(() => call('PUT /api/sessions/{sessionId}/webhooks/{id}', { path, body: { secret } })).then((done) => {
      if (!done) return;
      toast(t('webhooks.rotated'));
      reload();
      onClose();
    });
  return (
    <Sheet title={t('webhooks.rotate')} onClose={onClose}>
      <p>{t('webhooks.rotateMeans')}</p>
      <p>
        <code class="long">{secret}</code> <CopyButton text={secret} label={t('webhooks.secret')} />
      </p>
      <Problem error={error} />
      <footer class="row end">
        <Button onClick={onClose}>{t('cancel')}</Button>
        <Button kind="main" busy={busy} onClick={() => void rotate()}>
          {t('webhooks.rotate')}
        </Button>
      </footer>
    </Sheet>
  );
}
