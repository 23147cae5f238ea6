// Replays: of chosen deliveries, of a range, of what was never attempted.
import { useEffect, useState } from 'preact/hooks';
import { call } from '../api/client';
import type { EventName, ReplayResult, Webhook } from '../api/types.gen';
import { Button, Chips, Confirm, Problem, Sheet, toast } from '../parts/ui';
import { useAction } from '../state/load';
import { t, word } from '../state/text';
import { PAGE, readDeliveries, STATES, type StateChoice } from './deliveries';

/** Most that one replay takes, and that is counted before it. */
const REPLAY_MAX = 1000;
/** Events of the log, and deliveries, that are looked through to count. */
const COUNTED_MAX = 5000;
const PULL = 500;

export function ReplaySelection({ webhook, ids, onClose }: { webhook: Webhook; ids: string[]; onClose: (done: boolean) => void }) {
  const { busy, error, run } = useAction();
  const replay = async () => {
    const done = await run(async () => {
      const answer = await call('POST /api/webhooks/{id}/replay', { path: { id: webhook.id }, body: { deliveryIds: ids } });
      toast(t('replay.done', { n: answer.enqueued, skipped: answer.skipped }));
    });
    if (done) onClose(true);
  };
  return (
    <Confirm
      title={t('replay')}
      yes={t('replay.selection', { n: ids.length })}
      busy={busy}
      {...(error ? { error } : {})}
      onYes={() => void replay()}
      onNo={() => onClose(false)}
    >
      <p>{t('replay.means')}</p>
    </Confirm>
  );
}

type RangeProps = { webhook: Webhook; state: StateChoice; event: string; onClose: () => void; reload: () => void };

export function ReplayRange({ webhook, state, event, onClose, reload }: RangeProps) {
  const [since, setSince] = useState(local(new Date(Date.now() - 3_600_000)));
  const [until, setUntil] = useState(local(new Date()));
  const [which, setWhich] = useState<StateChoice>(state === 'all' || state === 'pending' ? 'exhausted' : state);
  const [count, setCount] = useState<{ n: number; more: boolean }>();
  const { busy, error, run } = useAction();
  // A field that is being typed in is empty meanwhile.
  const narrow = { since: iso(since), until: iso(until) };
  const isWhole = Boolean(narrow.since && narrow.until && narrow.since < narrow.until);
  useEffect(() => setCount(undefined), [since, until, which]);
  const look = () =>
    run(async () => {
      const found = await readDeliveries(webhook.id, { state: which, event, ...narrow }, REPLAY_MAX / PAGE);
      setCount({ n: found.deliveries.filter((delivery) => delivery.state !== 'pending').length, more: found.more });
    });
  const replay = () =>
    run(async () => {
      const filter = { ...narrow, ...(which === 'all' ? {} : { state: which }), ...(event ? { event: event as EventName } : {}) };
      const body = { filter, limit: REPLAY_MAX };
      const answer = await call('POST /api/webhooks/{id}/replay', { path: { id: webhook.id }, body });
      toast(t('replay.done', { n: answer.enqueued, skipped: answer.skipped }));
      reload();
      onClose();
    });
  return (
    <Sheet title={t('replay.range')} onClose={onClose}>
      <p>{t('replay.means')}</p>
      <div class="row">
        <label class="choice">
          <span>{t('from')}</span>
          <input type="datetime-local" step="1" value={since} onInput={(event) => setSince(event.currentTarget.value)} />
        </label>
        <label class="choice">
          <span>{t('until')}</span>
          <input type="datetime-local" step="1" value={until} onInput={(event) => setUntil(event.currentTarget.value)} />
        </label>
      </div>
      <Chips
        label={t('delivery.state')}
        chips={STATES.filter((id) => id !== 'pending').map((id) => ({ id, label: id === 'all' ? t('group.all') : word('delivery', id) }))}
        chosen={which}
        choose={setWhich}
      />
      <Problem error={error} />
      <p role="status">{count && (count.more ? t('replay.countMore', { n: REPLAY_MAX }) : t('replay.count', { n: count.n }))}</p>
      <footer class="row end">
        <Button onClick={onClose}>{t('cancel')}</Button>
        <Button busy={busy} disabled={!isWhole} onClick={() => void look()}>
          {t('replay.look')}
        </Button>
        <Button kind="main" busy={busy} disabled={!isWhole || !count?.n} onClick={() => void replay()}>
          {t('replay')}
        </Button>
      </footer>
    </Sheet>
  );
}

/** Events of the session that the webhook names and was never called with. */
async function countNever(webhook: Webhook) {
  const { deliveries, more } = await readDeliveries(webhook.id, { state: 'all', event: '' }, COUNTED_MAX / PAGE);
  const tried = new Set(deliveries.filter(({ attempts }) => attempts.length).map(({ eventId }) => eventId));
  // Deliveries that are on their way are not replayed, tried or not.
  for (const { eventId, state } of deliveries) if (state === 'pending') tried.add(eventId);
  const names = webhook.events.includes('*' as EventName) ? '*' : webhook.events.join(',');
  let [n, seen, after, whole] = [0, 0, '0', false];
  while (seen < COUNTED_MAX && !whole) {
    const query = { sessionId: webhook.sessionId, events: names, after, limit: PULL };
    const page = await call('GET /api/events/pull', { query });
    n += page.events.filter(({ id }) => !tried.has(id)).length;
    seen += page.events.length;
    after = page.cursor;
    whole = page.events.length < PULL;
  }
  return { n, seen, whole: whole && !more };
}

type NeverProps = { webhook: Webhook; onClose: () => void; reload: () => void };

export function ReplayNever({ webhook, onClose, reload }: NeverProps) {
  const [count, setCount] = useState<{ n: number; seen: number; whole: boolean }>();
  const { busy, error, run } = useAction();
  const look = () => run(async () => setCount(await countNever(webhook)));
  const replay = () =>
    run(async () => {
      let [enqueued, skipped] = [0, 0];
      // One call takes so many; the next goes on where it ended.
      for (let from: number | null = 0; from !== null; ) {
        const body = { neverAttempted: true, limit: REPLAY_MAX, ...(from ? { from } : {}) };
        const answer: ReplayResult = await call('POST /api/webhooks/{id}/replay', { path: { id: webhook.id }, body });
        enqueued += answer.enqueued;
        skipped += answer.skipped;
        from = answer.nextFrom !== null && answer.nextFrom > from ? answer.nextFrom : null;
      }
      toast(t('replay.done', { n: enqueued, skipped }));
      reload();
      onClose();
    });
  const words = (of: { n: number; seen: number; whole: boolean }) => {
    const values = { n: of.n, seen: of.seen };
    if (!of.whole) return t('replay.neverMore', values);
    return t(webhook.filters?.conditions.length ? 'replay.neverMost' : 'replay.neverCount', values);
  };
  return (
    <Sheet title={t('replay.never')} onClose={onClose}>
      <p>{t('replay.neverMeans')}</p>
      <p>{t('replay.means')}</p>
      <Problem error={error} />
      <p role="status">{count && words(count)}</p>
      <footer class="row end">
        <Button onClick={onClose}>{t('cancel')}</Button>
        <Button busy={busy} onClick={() => void look()}>
          {t('replay.look')}
        </Button>
        <Button kind="main" busy={busy} disabled={!count?.n} onClick={() => void replay()}>
          {t('replay')}
        </Button>
      </footer>
    </Sheet>
  );
}

function iso(time: string): string {
  const at = new Date(time);
  return Number.isNaN(at.getTime()) ? '' : at.toISOString();
}

/** A time as the browser's field takes it. */
function local(at: Date): string {
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}
