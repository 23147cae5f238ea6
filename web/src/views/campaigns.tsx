import { useEffect, useState } from 'preact/hooks';
import { call } from '../api/client';
import type { Batch, BatchPaused, BatchResult, BatchStatus, BatchSummary } from '../api/types.gen';
import { Table, type Column } from '../parts/table';
import { saveCsv } from '../parts/file';
import { exact, Time } from '../parts/time';
import { Button, Chips, Code, Confirm, Empty, Pill, Problem, toast, Waiting, type Tone } from '../parts/ui';
import { useAction, useLoad } from '../state/load';
import { go, link, place, refine, replace } from '../state/route';
import { number, t, word } from '../state/text';
import { isOperator } from '../state/who';
import { NewCampaign } from './new-campaign';
import { useSessions } from './sessions';
import { SessionChoice } from './webhooks';

const TONES: Record<BatchStatus, Tone> = {
  pending: 'calm',
  processing: 'busy',
  completed: 'good',
  failed: 'bad',
  cancelled: 'calm',
};
const RESULT_TONES: Record<BatchResult['status'], Tone> = { pending: 'calm', sent: 'good', failed: 'bad', cancelled: 'calm' };

export function CampaignsView() {
  const sessions = useSessions();
  const [, session, batch] = place.value.parts;
  const first = (sessions.data?.find(({ phone }) => phone) ?? sessions.data?.[0])?.id;
  useEffect(() => {
    if (!session && first) replace(link('campaigns', first));
  }, [session, first]);
  if (sessions.error && !sessions.data) return <Problem error={sessions.error} retry={sessions.reload} />;
  if (!sessions.data) return <Waiting />;
  if (!session) return <Empty title={t('numbers.none')} />;
  if (batch === 'new') return <NewCampaign session={session} />;
  if (batch) return <OneCampaign key={batch} session={session} batch={batch} />;
  return (
    <>
      <div class="head">
        <h1>{t('nav.campaigns')}</h1>
        {isOperator.value && (
          <Button kind="main" onClick={() => go('campaigns', session, 'new')}>
            {t('campaigns.new')}
          </Button>
        )}
      </div>
      <div class="bar">
        <SessionChoice sessions={sessions.data} chosen={session} choose={(id) => go('campaigns', id)} />
      </div>
      <CampaignList key={session} session={session} />
    </>
  );
}

function isOf(session: string) {
  return (event: { sessionId: string; event: string }) => event.sessionId === session && event.event.startsWith('batch.');
}

function CampaignList({ session }: { session: string }) {
  const { data, error, reload } = useLoad(
    (signal) =>
      call('GET /api/sessions/{sessionId}/messages/batches', { path: { sessionId: session }, query: { limit: 200 }, signal }),
    [session],
    isOf(session),
  );
  if (error && !data) return <Problem error={error} retry={reload} />;
  if (!data) return <Waiting />;
  if (!data.length) {
    return (
      <Empty title={t('campaigns.none')}>
        <p>{t('campaigns.noneHint')}</p>
      </Empty>
    );
  }
  const columns: Column<BatchSummary>[] = [
    { id: 'id', label: t('campaign'), show: ({ batchId }) => <a href={link('campaigns', session, batchId)}>{batchId}</a> },
    { id: 'state', label: t('numbers.state'), width: '11rem', show: (batch) => <State of={batch} /> },
    { id: 'progress', label: t('campaigns.progress'), show: ({ progress }) => <Bar of={progress} /> },
    { id: 'when', label: t('created'), rank: 2, width: '9rem', show: ({ createdAt }) => <Time at={createdAt} /> },
  ];
  return (
    <Table
      label={t('nav.campaigns')}
      rows={data}
      keyOf={({ batchId }) => batchId}
      columns={columns}
      open={({ batchId }) => go('campaigns', session, batchId)}
    />
  );
}

function State({ of }: { of: { status: BatchStatus; paused?: BatchPaused } }) {
  if (of.paused) return <Pill tone="warn">{word('held', of.paused.reason)}</Pill>;
  return <Pill tone={TONES[of.status]}>{word('batch', of.status)}</Pill>;
}

function Bar({ of }: { of: BatchSummary['progress'] }) {
  const done = of.total - of.pending;
  const text = t('campaigns.counts', { sent: number(of.sent), failed: number(of.failed), total: number(of.total) });
  return (
    <span class="progress">
      <progress max={Math.max(1, of.total)} value={done} aria-label={text} /> {text}
    </span>
  );
}

const SHOWN = ['all', 'sent', 'failed', 'pending', 'cancelled'] as const;

function OneCampaign({ session, batch }: { session: string; batch: string }) {
  const path = { sessionId: session, batchId: batch };
  const { data, error, reload } = useLoad(
    (signal) => readAll(path, signal),
    [session, batch],
    (event) => isOf(session)(event),
  );
  const { busy, error: refused, run } = useAction();
  const [asked, ask] = useState(false);
  if (error && !data) return <Problem error={error} retry={reload} />;
  if (!data) return <Waiting />;
  const ended = ['completed', 'failed', 'cancelled'].includes(data.status);
  const paused = data.paused?.reason === 'paused';
  const change = (what: 'pause' | 'resume' | 'cancel') =>
    run(() => call(`POST /api/sessions/{sessionId}/messages/batch/{batchId}/${what}`, { path })).then(reload);
  const cancel = () => change('cancel').then(() => ask(false));
  const shown = SHOWN.find((one) => one === place.value.query.get('show')) ?? 'all';
  const rows = data.results.filter(({ status }) => shown === 'all' || status === shown);
  return (
    <>
      <p class="trail">
        <a href={link('campaigns', session)}>← {t('nav.campaigns')}</a>
      </p>
      <div class="head">
        <h1>
          <Code>{data.batchId}</Code>
        </h1>
        <State of={data} />
      </div>
      <section class="card">
        <Bar of={data.progress} />
        <dl class="facts">
          {data.paused?.until && (
            <>
              <dt>{t('campaigns.held')}</dt>
              <dd>
                {word('held', data.paused.reason)} · {t('number.until', { time: exact(data.paused.until) })}
              </dd>
            </>
          )}
          {data.scheduledAt && (
            <>
              <dt>{t('campaigns.scheduled')}</dt>
              <dd>{exact(data.scheduledAt)}</dd>
            </>
          )}
          <dt>{t('campaigns.started')}</dt>
          <dd>
            <Time at={data.startedAt} />
          </dd>
          <dt>{t('campaigns.ended')}</dt>
          <dd>
            <Time at={data.completedAt} />
          </dd>
        </dl>
        <Problem error={refused} />
        {isOperator.value && (
          <div class="row">
            <Button busy={busy} disabled={ended} onClick={() => void change(paused ? 'resume' : 'pause')}>
              {paused ? t('resume') : t('pause')}
            </Button>
            <Button kind="danger" busy={busy} disabled={ended} onClick={() => ask(true)}>
              {t('campaigns.cancel')}
            </Button>
          </div>
        )}
      </section>
      {asked && !ended && (
        <Confirm title={t('campaigns.askCancel')} yes={t('campaigns.cancel')} danger busy={busy} onYes={() => void cancel()} onNo={() => ask(false)}>
          <p>{t('campaigns.cancelMeans')}</p>
        </Confirm>
      )}
      <div class="bar">
        <Chips
          label={t('campaigns.results')}
          chips={SHOWN.map((id) => ({
            id,
            label: id === 'all' ? t('group.all') : word('result', id),
            count: id === 'all' ? data.progress.total : data.progress[id],
          }))}
          chosen={shown}
          choose={(id) => refine({ show: id === 'all' ? '' : id })}
        />
        <span class="grow" />
        <Button onClick={() => save(data)}>{t('campaigns.save')}</Button>
      </div>
      <Table label={t('campaigns.results')} rows={rows} keyOf={({ index }) => String(index)} columns={resultColumns(session)} />
    </>
  );
}

/** Results come a page at a time. */
async function readAll(path: { sessionId: string; batchId: string }, signal: AbortSignal): Promise<Batch> {
  const limit = 1000;
  const results: BatchResult[] = [];
  for (;;) {
    const query = { all: true, limit, offset: results.length };
    const page = await call('GET /api/sessions/{sessionId}/messages/batch/{batchId}', { path, query, signal });
    results.push(...page.results);
    if (page.results.length < limit || results.length >= page.progress.total) return { ...page, results };
  }
}

function resultColumns(session: string): Column<BatchResult>[] {
  return [
    { id: 'number', label: '#', width: '4rem', show: ({ index }) => index + 1 },
    {
      id: 'chat',
      label: t('campaigns.recipient'),
      show: ({ chatId, resolvedTo }) => <a href={link('inbox', session, resolvedTo ?? chatId)}>{chatId}</a>,
    },
    {
      id: 'state',
      label: t('numbers.state'),
      width: '9rem',
      show: ({ status }) => <Pill tone={RESULT_TONES[status]}>{word('result', status)}</Pill>,
    },
    { id: 'why', label: t('delivery.error'), rank: 2, show: ({ error }) => (error ? `${error.code}: ${error.message}` : '') },
    { id: 'at', label: t('when'), rank: 3, width: '9rem', show: ({ sentAt }) => <Time at={sentAt} /> },
  ];
}

/** The results as a file of comma-separated values. */
function save(batch: Batch) {
  const head = ['index', 'chatId', 'resolvedTo', 'status', 'messageId', 'sentAt', 'errorCode', 'errorMessage'];
  const rows = batch.results.map((of) => [
    of.index,
    of.chatId,
    of.resolvedTo,
    of.status,
    of.messageId,
    of.sentAt,
    of.error?.code,
    of.error?.message,
  ]);
  saveCsv(`${batch.batchId}.csv`, head, rows);
  toast(t('campaigns.saved'));
}
