// What waits to be delivered: a row for each lane, and why it waits.
import { useEffect, useState } from 'preact/hooks';
import { call, isMissing } from '../api/client';
import type { Lane, LanePage, LaneWait, Session, Webhook } from '../api/types.gen';
import { Table, type Column } from '../parts/table';
import { exact, Time } from '../parts/time';
import { Code, Empty, Pill, Problem, Sheet, Waiting, type Tone } from '../parts/ui';
import { useLoad } from '../state/load';
import { link, place, refine } from '../state/route';
import { number, t } from '../state/text';
import { who } from '../state/who';
import { RatesCard } from './rates';
import { useSessions } from './sessions';
import { SessionChoice, WEBHOOKS_MAX } from './webhooks';

const PAGE = 100;
const EVERY_MS = 5000;
const TONES: Record<LaneWait, Tone> = {
  delivering: 'busy',
  due: 'calm',
  retry: 'warn',
  held: 'calm',
  breaker: 'bad',
  paused: 'warn',
  inactive: 'calm',
};

const WAITS = Object.keys(TONES) as LaneWait[];

type Narrow = { sessionId: string; webhookId: string; why: string };

export function LanesView() {
  const sessions = useSessions();
  const webhooks = useLoad((signal) => call('GET /api/webhooks', { query: { limit: WEBHOOKS_MAX }, signal }), [], (event) =>
    event.event.startsWith('webhook.'),
  );
  const { query } = place.value;
  const narrow = { sessionId: query.get('session') ?? '', webhookId: query.get('webhook') ?? '', why: query.get('why') ?? '' };
  return (
    <>
      <div class="head">
        <h1>{t('nav.lanes')}</h1>
      </div>
      {!who.value?.allowedSessions.length && <RatesCard />}
      <div class="bar">
        <SessionChoice sessions={sessions.data ?? []} chosen={narrow.sessionId} choose={(session) => refine({ session, webhook: '' })} all />
        <WebhookChoice
          webhooks={(webhooks.data ?? []).filter(({ sessionId }) => !narrow.sessionId || sessionId === narrow.sessionId)}
          chosen={narrow.webhookId}
        />
        <WhyChoice chosen={narrow.why} />
      </div>
      <Lanes narrow={narrow} sessions={sessions.data ?? []} />
    </>
  );
}

function WebhookChoice({ webhooks, chosen }: { webhooks: Webhook[]; chosen: string }) {
  return (
    <label class="choice">
      <span>{t('lanes.webhook')}</span>
      <select value={chosen} onChange={(event) => refine({ webhook: event.currentTarget.value })}>
        <option value="">{t('group.all')}</option>
        {webhooks.map(({ id, url }) => (
          <option key={id} value={id}>
            {url}
          </option>
        ))}
      </select>
    </label>
  );
}

function WhyChoice({ chosen }: { chosen: string }) {
  return (
    <label class="choice">
      <span>{t('lanes.why')}</span>
      <select value={chosen} onChange={(event) => refine({ why: event.currentTarget.value })}>
        <option value="">{t('group.all')}</option>
        {WAITS.map((why) => (
          <option key={why} value={why}>
            {t(`lane.${why}`)}
          </option>
        ))}
      </select>
    </label>
  );
}

function Lanes({ narrow, sessions }: { narrow: Narrow; sessions: Session[] }) {
  const [pages, setPages] = useState(1);
  const [opened, open] = useState<Lane>();
  const inputs = [narrow.sessionId, narrow.webhookId, narrow.why];
  const { data, error, reload } = useLoad((signal) => read(narrow, pages, signal), [...inputs, pages], undefined, EVERY_MS);
  useEffect(() => setPages(1), inputs);
  if (isMissing(error) && !data) return <Empty title={t('missing')} />;
  const narrowed = inputs.some(Boolean);
  // The drawer shows the lane as it is now, and as it was last when it has ended.
  const shown = opened && (data?.lanes.find((lane) => key(lane) === key(opened)) ?? opened);
  const names = new Map(sessions.map(({ id, name }) => [id, name]));
  return (
    <>
      <Problem error={error} retry={reload} />
      {!data && !error && <Waiting />}
      {data?.lanes.length === 0 && (
        <Empty title={narrowed ? t('lanes.noneFit') : t('lanes.none')}>
          <p>{t('lanes.noneHint')}</p>
        </Empty>
      )}
      {data && data.lanes.length > 0 && (
        <>
          <p class="quiet" role="status">
            {t('lanes.total', { n: data.total })}
          </p>
          <Table
            label={t('nav.lanes')}
            rows={data.lanes}
            keyOf={key}
            columns={columns(open)}
            open={open}
            {...(data.more ? { more: () => setPages(Math.ceil(data.lanes.length / PAGE) + 1) } : {})}
          />
        </>
      )}
      {shown && <OneLane lane={shown} session={names.get(shown.sessionId) ?? shown.sessionId} onClose={() => open(undefined)} />}
    </>
  );
}

function key({ webhookId, lane }: Lane): string {
  return `${webhookId} ${lane}`;
}

async function read(narrow: Narrow, pages: number, signal: AbortSignal) {
  const lanes = new Map<string, Lane>();
  let cursor: string | null = null;
  let total = 0;
  for (let page = 0; page < pages; page++) {
    const query = { ...narrow, limit: PAGE, ...(cursor ? { cursor } : {}) };
    const answer: LanePage = await call('GET /api/lanes', { query, signal });
    // Lanes move while pages are read: one may come twice.
    for (const lane of answer.lanes) lanes.set(key(lane), lane);
    total = answer.total;
    cursor = answer.nextCursor;
    if (!cursor) break;
  }
  return { lanes: [...lanes.values()], total, more: cursor !== null };
}

function headOf({ webhookId, head }: Lane): string {
  return `${link('webhooks', webhookId)}?delivery=${encodeURIComponent(head.deliveryId)}`;
}

function columns(open: (lane: Lane) => void): Column<Lane>[] {
  return [
    {
      id: 'webhook',
      label: t('lanes.webhook'),
      show: (lane) => (
        <button type="button" class="as-link" onClick={() => open(lane)}>
          {lane.url}
        </button>
      ),
    },
    { id: 'chat', label: t('chat'), rank: 3, show: ({ chatId }) => chatId ?? <span class="quiet">{t('lanes.wholeSession')}</span> },
    { id: 'waiting', label: t('lanes.waiting'), rank: 2, width: '6.5rem', show: ({ waiting }) => number(waiting) },
    { id: 'oldest', label: t('lanes.oldest'), rank: 2, width: '8rem', show: ({ oldestAt }) => <Time at={oldestAt} /> },
    { id: 'why', label: t('lanes.why'), width: '15rem', show: (lane) => <Why lane={lane} /> },
    { id: 'holder', label: t('lanes.holder'), rank: 3, width: '8rem', show: ({ owner }) => owner ?? <span class="quiet">–</span> },
    {
      id: 'head',
      label: t('lanes.head'),
      rank: 2,
      width: '11rem',
      show: (lane) => <a href={headOf(lane)}>{lane.head.event}</a>,
    },
  ];
}

function Why({ lane: { why, until } }: { lane: Lane }) {
  return (
    <>
      <Pill tone={TONES[why] ?? 'calm'}>{t(`lane.${why}`)}</Pill> {until && <Time at={until} />}
    </>
  );
}

function OneLane({ lane, session, onClose }: { lane: Lane; session: string; onClose: () => void }) {
  const { head } = lane;
  return (
    <Sheet title={t('lanes')} onClose={onClose} side>
      <p>
        <Why lane={lane} />
      </p>
      <p>
        {t(`lane.means.${lane.why}`)} {lane.until && t('number.until', { time: exact(lane.until) })}
      </p>
      <dl class="facts">
        <dt>{t('lanes.webhook')}</dt>
        <dd>
          <a href={link('webhooks', lane.webhookId)}>{lane.url}</a>
        </dd>
        <dt>{t('nav.number')}</dt>
        <dd>
          <a href={link('numbers', lane.sessionId)}>{session}</a>
        </dd>
        <dt>{t('chat')}</dt>
        <dd>{lane.chatId ? <Code>{lane.chatId}</Code> : t('lanes.wholeSession')}</dd>
        <dt>{t('lanes.waiting')}</dt>
        <dd>{number(lane.waiting)}</dd>
        <dt>{t('lanes.oldest')}</dt>
        <dd>
          <Time at={lane.oldestAt} /> · {exact(lane.oldestAt)}
        </dd>
        <dt>{t('lanes.holder')}</dt>
        <dd>{lane.owner ?? t('lanes.nobody')}</dd>
        {lane.leaseUntil && (
          <>
            <dt>{t('lanes.lease')}</dt>
            <dd>{exact(lane.leaseUntil)}</dd>
          </>
        )}
      </dl>
      <h3>{t('lanes.head')}</h3>
      <dl class="facts">
        <dt>{t('event')}</dt>
        <dd>{head.event}</dd>
        <dt>{t('sequence')}</dt>
        <dd>{head.sequence}</dd>
        <dt>{t('delivery.attempts')}</dt>
        <dd>{head.attempts}</dd>
        <dt>{t('delivery.error')}</dt>
        <dd>{head.lastError ?? '–'}</dd>
      </dl>
      <p>
        <a href={headOf(lane)}>{t('lanes.toHead')}</a>
      </p>
    </Sheet>
  );
}
