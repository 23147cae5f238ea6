// The deliveries of a webhook, one of them with each attempt, and their replay.
import { useEffect, useState } from 'preact/hooks';
import { call } from '../api/client';
import type { Delivery, DeliveryState, Webhook } from '../api/types.gen';
import { EVENT_NAMES } from '../api/types.gen';
import { Table, type Column } from '../parts/table';
import { Clock, Time } from '../parts/time';
import { Button, Chips, Code, Empty, Json, Pill, Problem, Sheet, toast, Waiting, type Tone } from '../parts/ui';
import { useAction, useLoad } from '../state/load';
import { place, refine } from '../state/route';
import { t, word } from '../state/text';
import { ReplayNever, ReplayRange, ReplaySelection } from './replay';

export const PAGE = 100;
export const STATES = ['all', 'pending', 'delivered', 'exhausted', 'dropped'] as const;
export type StateChoice = (typeof STATES)[number];
export const DELIVERY_TONES: Record<DeliveryState, Tone> = {
  pending: 'busy',
  delivered: 'good',
  exhausted: 'bad',
  dropped: 'calm',
};

export function Deliveries({ webhook }: { webhook: Webhook }) {
  const { query } = place.value;
  const state = (STATES.find((state) => state === query.get('state')) ?? 'all') as StateChoice;
  const event = query.get('event') ?? '';
  const opened = query.get('delivery');
  const [pages, setPages] = useState(1);
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const [asked, ask] = useState<'selection' | 'range' | 'never'>();
  const { data, error, reload } = useLoad(
    (signal) => readDeliveries(webhook.id, { state, event }, pages, signal),
    [webhook.id, state, event, pages],
    (heard) => heard.sessionId === webhook.sessionId,
    5000,
  );
  useEffect(() => setPages(1), [state, event]);
  const toggle = (id: string) => {
    const next = new Set(chosen);
    if (!next.delete(id)) next.add(id);
    setChosen(next);
  };
  return (
    <section>
      <h2>{t('deliveries')}</h2>
      <div class="bar">
        <Chips
          label={t('delivery.state')}
          chips={STATES.map((id) => ({ id, label: id === 'all' ? t('group.all') : word('delivery', id) }))}
          chosen={state}
          choose={(id) => refine({ state: id === 'all' ? '' : id })}
        />
        <EventChoice chosen={event} choose={(event) => refine({ event })} />
        <span class="grow" />
        <Button disabled={!chosen.size} onClick={() => ask('selection')}>
          {t('replay.selection', { n: chosen.size })}
        </Button>
        <Button onClick={() => ask('range')}>{t('replay.range')}</Button>
        <Button onClick={() => ask('never')}>{t('replay.never')}</Button>
      </div>
      <Problem error={error} retry={reload} />
      {!data && !error && <Waiting />}
      {data?.deliveries.length === 0 && <Empty title={t('deliveries.none')} />}
      {data && data.deliveries.length > 0 && (
        <Table
          label={t('deliveries')}
          rows={data.deliveries}
          keyOf={({ id }) => id}
          columns={columns(chosen, toggle)}
          open={({ id }) => refine({ delivery: id })}
          {...(data.more ? { more: () => setPages(Math.ceil(data.deliveries.length / PAGE) + 1) } : {})}
        />
      )}
      {opened && <OneDelivery key={opened} id={opened} onClose={() => refine({ delivery: '' })} reload={reload} />}
      {asked === 'selection' && (
        <ReplaySelection
          webhook={webhook}
          ids={[...chosen]}
          onClose={(done) => {
            ask(undefined);
            if (done) setChosen(new Set());
            reload();
          }}
        />
      )}
      {asked === 'never' && <ReplayNever webhook={webhook} onClose={() => ask(undefined)} reload={reload} />}
      {asked === 'range' && <ReplayRange webhook={webhook} state={state} event={event} onClose={() => ask(undefined)} reload={reload} />}
    </section>
  );
}

type Narrow = { state: StateChoice; event: string; since?: string; until?: string };

export async function readDeliveries(id: string, narrow: Narrow, pages: number, signal?: AbortSignal) {
  const deliveries: Delivery[] = [];
  let cursor: string | null | undefined;
  for (let page = 0; page < pages; page++) {
    const { state, ...rest } = narrow;
    const query = { ...rest, limit: PAGE, ...(state === 'all' ? {} : { state }), ...(cursor ? { cursor } : {}) };
    const answer = await call('GET /api/webhooks/{id}/deliveries', { path: { id }, query, ...(signal ? { signal } : {}) });
    deliveries.push(...answer.deliveries);
    cursor = answer.nextCursor;
    if (!cursor) break;
  }
  return { deliveries, more: Boolean(cursor) };
}

export function EventChoice({ chosen, choose }: { chosen: string; choose: (event: string) => void }) {
  return (
    <label class="choice">
      <span>{t('event')}</span>
      <select value={chosen} onChange={(event) => choose(event.currentTarget.value)}>
        <option value="">{t('group.all')}</option>
        {EVENT_NAMES.map((name) => (
          <option key={name}>{name}</option>
        ))}
      </select>
    </label>
  );
}

function columns(chosen: ReadonlySet<string>, toggle: (id: string) => void): Column<Delivery>[] {
  return [
    {
      id: 'choose',
      label: t('choose'),
      unseen: true,
      width: '2.5rem',
      show: ({ id, event, sequence, state }) => (
        <input
          type="checkbox"
          disabled={state === 'pending'}
          aria-label={`${t('choose')} ${event} ${sequence}`}
          checked={chosen.has(id)}
          onChange={() => toggle(id)}
        />
      ),
    },
    {
      id: 'event',
      label: t('event'),
      show: ({ id, event }) => (
        <button type="button" class="as-link" onClick={() => refine({ delivery: id })}>
          {event}
        </button>
      ),
    },
    {
      id: 'state',
      label: t('delivery.state'),
      width: '9rem',
      show: ({ state }) => <Pill tone={DELIVERY_TONES[state]}>{word('delivery', state)}</Pill>,
    },
    { id: 'when', label: t('when'), rank: 2, width: '8rem', show: ({ occurredAt }) => <Time at={occurredAt} /> },
    { id: 'tries', label: t('delivery.attempts'), rank: 3, width: '6rem', show: ({ attempts }) => attempts.length },
    { id: 'last', label: t('delivery.last'), rank: 2, show: ({ attempts }) => <LastTry of={attempts.at(-1)} /> },
    { id: 'number', label: t('sequence'), rank: 3, width: '6rem', show: ({ sequence }) => sequence },
  ];
}

function LastTry({ of }: { of: Delivery['attempts'][number] | undefined }) {
  if (!of) return <span class="quiet">–</span>;
  return (
    <span>
      {of.statusCode ?? word('trouble', of.errorKind ?? '')} <span class="quiet">{of.durationMs} ms</span>
    </span>
  );
}

function OneDelivery({ id, onClose, reload }: { id: string; onClose: () => void; reload: () => void }) {
  const { data, error, reload: again } = useLoad((signal) => call('GET /api/deliveries/{id}', { path: { id }, signal }), [id], undefined, 3000);
  const action = useAction();
  const replay = (delivery: Delivery) =>
    action
      .run(() => call('POST /api/webhooks/{id}/replay', { path: { id: delivery.webhookId }, body: { deliveryIds: [delivery.id] } }))
      .then((done) => {
        if (!done) return;
        toast(t('replay.done', { n: 1, skipped: 0 }));
        reload();
      });
  return (
    <Sheet title={t('delivery')} onClose={onClose} side>
      <Problem error={error} retry={again} />
      {!data && !error && <Waiting />}
      {data && (
        <>
          <div class="row">
            <strong>{data.event}</strong>
            <Pill tone={DELIVERY_TONES[data.state]}>{word('delivery', data.state)}</Pill>
            <span class="grow" />
            <Button kind="main" busy={action.busy} disabled={data.state === 'pending'} onClick={() => void replay(data)}>
              {t('replay.one')}
            </Button>
          </div>
          <Problem error={action.error} />
          <h3>{t('delivery.attempts')}</h3>
          <Attempts of={data} />
          <h3>{t('delivery.body')}</h3>
          <Json value={data.data ?? null} label={t('delivery.body')} />
          <dl class="facts">
            <dt>webhook-id</dt>
            <dd>
              <Code>{data.eventId}</Code>
            </dd>
            <dt>{t('idempotencyKey')}</dt>
            <dd>
              <Code>{data.idempotencyKey}</Code>
            </dd>
            <dt>{t('delivery')}</dt>
            <dd>
              <Code>{data.id}</Code>
            </dd>
            <dt>{t('sequence')}</dt>
            <dd>{data.sequence}</dd>
            {data.chatId && (
              <>
                <dt>{t('chat')}</dt>
                <dd>
                  <Code>{data.chatId}</Code>
                </dd>
              </>
            )}
            {data.replayOf && (
              <>
                <dt>{t('delivery.replayOf')}</dt>
                <dd>
                  <Code>{data.replayOf}</Code>
                </dd>
              </>
            )}
          </dl>
        </>
      )}
    </Sheet>
  );
}

function Attempts({ of }: { of: Delivery }) {
  if (!of.attempts.length) return <p class="quiet">{t('delivery.noAttempt')}</p>;
  return (
    <ol class="timeline">
      {of.attempts.map((attempt, index) => {
        const good = attempt.statusCode !== null && attempt.statusCode >= 200 && attempt.statusCode < 300;
        return (
          <li key={`${attempt.at}-${index}`} class={good ? 'good' : 'bad'}>
            <p>
              <strong>{attempt.statusCode ?? word('trouble', attempt.errorKind ?? '')}</strong>{' '}
              <span class="quiet">
                {attempt.durationMs} ms · <Clock at={attempt.at} />
              </span>
            </p>
            {attempt.error && <p>{attempt.error}</p>}
            {attempt.excerpt && (
              <pre tabIndex={0} aria-label={t('delivery.answer')}>
                {attempt.excerpt}
              </pre>
            )}
          </li>
        );
      })}
    </ol>
  );
}
