//! Taking lanes.
//!
//! The claim is made first and the lane read afterwards. Whoever held it before has ended with a commit, so what is
//! read is what was left.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use domain::{
    DeliveryId, EventId, Timestamp, WebhookId,
    delivery::{
        Attempt, AttemptError, AttemptErrorKind, Candidate, ClaimedLane, Delivery, LaneId, Places,
    },
    event::Event,
    port::{Settlement, StoreResult, Verdict},
};

use super::claims::{Asked, ClaimedDelivery, Entry, InFlight, LaneClass, UnreadClaim};
use crate::{
    db::{self, Row},
    error::{Doing as _, corrupt},
    event_log::{self, EVENT_ROW},
    open::LedgerStore,
    webhook::{WEBHOOK, health, policy},
};

db::statements! {
    CANDIDATES = both("select id, health, policy from webhook where active = 1 and held_until <= $1 and \
         (exists (select 1 from lane where lane.webhook_id = webhook.id and lane.ticket > 0) or \
         exists (select 1 from lane where lane.webhook_id = webhook.id and lane.ticket = 0 and lane.retry_at <= $1)) \
         order by webhook.last_triggered_at nulls first, webhook.position");
    STILL_DUE = both("select 1 from lane where id = $1 and (retry_at is null or retry_at <= $2)");
    WAITING = both("select id, attempts, first_tried_at, event_id, replay_ticket, sequence from delivery \
         where lane = $1 \
         and state = 'pending' order by replay_ticket, sequence limit $2");
    EVENTS = both("select id as event_id, session_id, sequence, kind, occurred_at as event_at, chat, \
         idempotency_key, data \
         from event where id in ($1)");
}

const DOING: &str = "claiming lanes";
/// Lanes whose deliveries are read in one statement.
const READ_AT_ONCE: usize = 16;

/// A waiting delivery without its event.
struct Waiting {
    id: DeliveryId,
    attempts: u32,
    first_tried_at: Option<Timestamp>,
    event: EventId,
    /// Its place in the lane: replays have a ticket, what is none of them the sequence of its event.
    order: (i64, i64),
}

impl Waiting {
    /// With the place of its lane in what was asked for.
    fn read(row: &Row) -> StoreResult<(usize, Self)> {
        let bad = || corrupt(DOING);
        let text = |column: usize| row.try_get::<String, _>(column).doing(DOING);
        let place = row.try_get::<i64, _>(0).doing(DOING)?;
        let first: Option<i64> = row.try_get(3).doing(DOING)?;
        let waiting = Self {
            id: text(1)?.parse().map_err(|_| bad())?,
            attempts: u32::try_from(row.try_get::<i64, _>(2).doing(DOING)?).map_err(|_| bad())?,
            first_tried_at: first.map(Timestamp::from_millis),
            event: text(4)?.parse().map_err(|_| bad())?,
            order: (row.try_get(5).doing(DOING)?, row.try_get(6).doing(DOING)?),
        };
        Ok((usize::try_from(place).map_err(|_| bad())?, waiting))
    }
}

/// Takes due lanes, each with the first of its waiting deliveries.
pub(crate) async fn claim(store: &LedgerStore, asked: Asked<'_>) -> StoreResult<Vec<ClaimedLane>> {
    if asked.lanes == 0 {
        return Ok(vec![]);
    }
    let taken = take(store, &asked).await?;
    read_all(store, &taken, &asked).await
}

async fn take(store: &LedgerStore, asked: &Asked<'_>) -> StoreResult<Vec<UnreadClaim>> {
    let claims = &store.seams.claims;
    let survey = claims.survey(&asked.taker).await?;
    let places =
        Places { free: asked.lanes, all: survey.own + asked.lanes, doubtful: survey.degraded };
    let candidates = candidates(store, asked, &survey).await?;
    let failing: HashMap<WebhookId, bool> =
        candidates.iter().map(|one| (one.webhook, one.failing)).collect();
    let shares = places.share(&candidates);
    let mut due = claims.due(asked, &shares, &candidates).await?;
    let mut taken = Vec::new();
    let mut room = places.doubtful_room();
    for share in shares {
        let failing = failing.get(&share.webhook).copied().unwrap_or(false);
        let free = asked.lanes.saturating_sub(u32::try_from(taken.len()).unwrap_or(u32::MAX));
        let mut left = share.lanes.min(free);
        // First tries, then retries, as far as the share goes.
        for tried in [false, true] {
            let class = LaneClass { tried, degraded: tried || failing };
            let most = if class.degraded { left.min(room) } else { left };
            if most == 0 {
                continue;
            }
            let lanes = due.take(share.webhook, class, most).await?;
            let count = u32::try_from(lanes.len()).unwrap_or(most);
            taken.extend(lanes);
            left -= count;
            if class.degraded {
                room -= count;
            }
        }
    }
    Ok(taken)
}

/// The webhooks that have something due and are not held back.
pub(super) async fn candidates(
    store: &LedgerStore,
    asked: &Asked<'_>,
    survey: &InFlight,
) -> StoreResult<Vec<Candidate>> {
    let rows = db::query(&CANDIDATES)
        .bind(asked.taker.now.millis())
        .fetch_all(&store.couriers)
        .await
        .doing(DOING)?;
    let mut candidates = Vec::with_capacity(rows.len());
    for row in &rows {
        let candidate = candidate(row, asked.taker.now, survey);
        // Its lanes stay where they are until it can be read.
        let Some(candidate) = store.unreadable.row(WEBHOOK, &["id"], row, candidate) else {
            continue;
        };
        if !survey.held.contains(&candidate.webhook) {
            candidates.push(candidate);
        }
    }
    Ok(candidates)
}

fn candidate(row: &Row, now: Timestamp, survey: &InFlight) -> StoreResult<Candidate> {
    let id: String = row.try_get("id").doing(DOING)?;
    let webhook: WebhookId = id.parse().map_err(|_| corrupt(DOING))?;
    let health = health(row)?;
    let limits = [policy(row)?.concurrency, health.lanes_max(now)];
    // Its own limits count everywhere, its part of the places only here.
    let elsewhere = survey.elsewhere.get(&webhook).copied().unwrap_or(0);
    let most = limits.into_iter().flatten().min().map(|most| most.saturating_sub(elsewhere));
    Ok(Candidate {
        webhook,
        failing: health.is_failing(),
        most,
        held: survey.by_webhook.get(&webhook).copied().unwrap_or(0),
    })
}

/// The first deliveries of lanes that were taken, which are given back when they cannot be read.
pub(super) async fn read_all(
    store: &LedgerStore,
    taken: &[UnreadClaim],
    asked: &Asked<'_>,
) -> StoreResult<Vec<ClaimedLane>> {
    let read = try_read_all(store, taken, asked).await;
    if read.is_err() {
        for one in taken {
            // A lease that cannot be given back runs out by itself.
            let _ = store.seams.claims.release(&one.lane, one.epoch).await;
        }
    }
    read
}

async fn try_read_all(
    store: &LedgerStore,
    taken: &[UnreadClaim],
    asked: &Asked<'_>,
) -> StoreResult<Vec<ClaimedLane>> {
    let claims = &store.seams.claims;
    let mut waiting = heads(store, taken, asked).await?;
    let events = Events::of(store, waiting.iter().flatten()).await?;
    let mut claimed = Vec::with_capacity(taken.len());
    for (one, rows) in taken.iter().zip(&mut waiting) {
        let mut rows = std::mem::take(rows);
        if events.has_first(&rows) || bury(store, one, &mut rows, (&events, asked)).await {
            let deliveries = events.deliveries(one.webhook, rows);
            if !give(store, &one.lane, one.epoch, &deliveries) {
                // Taken back between the claim and now: its webhook is gone, or its time was over.
                claims.release(&one.lane, one.epoch).await?;
                continue;
            }
            let lane = LaneId::from_stored(one.lane.clone());
            claimed.push(ClaimedLane { lane, webhook: one.webhook, epoch: one.epoch, deliveries });
        } else {
            // The lane was closed or backed off between the survey and the claim; or nothing of it can leave, or
            // nothing is left in it.
            claims.release(&one.lane, one.epoch).await?;
            claims.remove_if_empty(&store.writer, &one.lane).await?;
        }
    }
    Ok(claimed)
}

/// FromRow deliveries up whose event cannot be read, so that those behind them leave; they can be sent again when it
/// can. Whether something is left that leaves.
async fn bury(
    store: &LedgerStore,
    taken: &UnreadClaim,
    rows: &mut Vec<Waiting>,
    (events, asked): (&Events, &Asked<'_>),
) -> bool {
    let given =
        rows.iter().map(|row| ClaimedDelivery { id: row.id, attempts: row.attempts }).collect();
    store.seams.claims.held().with(&taken.lane, taken.epoch, |lease| lease.window = given);
    while !rows.is_empty() && !events.has_first(rows) {
        let delivery = rows.remove(0).id;
        let settlement = Settlement {
            lane: LaneId::from_stored(taken.lane.clone()),
            epoch: taken.epoch,
            delivery,
            verdict: Verdict::Exhausted,
            attempt: Some(unsent(asked.taker.now)),
        };
        match store.writer.record_attempt(settlement).await {
            Ok(settled) if settled.is_recorded() => {
                store.unreadable.note("delivery", &delivery.to_string(), &corrupt(DOING));
            }
            // Deleted meanwhile, or nothing can be recorded now: it is looked at again.
            _ => return false,
        }
    }
    !rows.is_empty()
}

/// It says nothing about the receiver.
fn unsent(at: Timestamp) -> Attempt {
    let text = "not sent: its event cannot be read".to_owned();
    Attempt {
        at,
        duration: Duration::ZERO,
        status: None,
        error: Some(AttemptError { kind: AttemptErrorKind::Cancelled, text }),
        excerpt: None,
    }
}

/// What waits in each of some lanes that are still due: from memory, the others from the database.
async fn heads(
    store: &LedgerStore,
    taken: &[UnreadClaim],
    asked: &Asked<'_>,
) -> StoreResult<Vec<Vec<Waiting>>> {
    let mut heads: Vec<Option<Vec<Waiting>>> =
        taken.iter().map(|one| remembered(store, &one.lane, asked.window)).collect();
    let unknown: Vec<usize> = (0..taken.len()).filter(|place| heads[*place].is_none()).collect();
    for places in unknown.chunks(READ_AT_ONCE) {
        let lanes: Vec<&str> = places.iter().map(|place| taken[*place].lane.as_str()).collect();
        let mut found = waiting(store, &lanes, asked.window, Some(asked.taker.now)).await?;
        for (at, place) in places.iter().enumerate() {
            heads[*place] = found.remove(&at);
        }
    }
    Ok(heads.into_iter().map(Option::unwrap_or_default).collect())
}

/// The beginning of a lane as this process stored it.
fn remembered(store: &LedgerStore, lane: &str, window: u32) -> Option<Vec<Waiting>> {
    let entries = store.seams.claims.cached_head(lane, window)?;
    let waiting = |entry: Entry| Waiting {
        id: entry.delivery,
        attempts: 0,
        first_tried_at: None,
        event: entry.event,
        order: (0, 0),
    };
    Some(entries.into_iter().map(waiting).collect())
}

fn give(store: &LedgerStore, lane: &str, epoch: u64, deliveries: &[Delivery]) -> bool {
    let given = |one: &Delivery| ClaimedDelivery { id: one.id, attempts: one.attempts };
    let window = deliveries.iter().map(given).collect();
    store.seams.claims.held().with(lane, epoch, |lease| lease.window = window).is_some()
}

/// The next deliveries of a lane that is held.
pub(crate) async fn more(
    store: &LedgerStore,
    lane: &str,
    epoch: u64,
    window: u32,
) -> StoreResult<Vec<Delivery>> {
    let Some(webhook) = store.seams.claims.held().with(lane, epoch, |lease| lease.webhook) else {
        return Ok(vec![]);
    };
    let rows = match remembered(store, lane, window) {
        Some(rows) => rows,
        None => waiting(store, &[lane], window, None).await?.remove(&0).unwrap_or_default(),
    };
    let deliveries = Events::of(store, rows.iter()).await?.deliveries(webhook, rows);
    Ok(if give(store, lane, epoch, &deliveries) { deliveries } else { vec![] })
}

/// What waits in some lanes, by their place in the list; with a time only in those that are due then.
async fn waiting(
    store: &LedgerStore,
    lanes: &[&str],
    window: u32,
    due: Option<Timestamp>,
) -> StoreResult<BTreeMap<usize, Vec<Waiting>>> {
    let dialect = store.couriers.dialect();
    let (waiting, still_due) = (WAITING.text(dialect), STILL_DUE.text(dialect));
    // One statement for up to sixteen lanes; the texts differ by their number of lanes alone.
    let part = |place: usize| {
        let waiting = waiting.replace("$1", &format!("${}", place + 3)).replace("$2", "$1");
        let due = still_due.replace("$1", &format!("${}", place + 3));
        format!(
            " {place} as place, waiting.* from ({waiting}) as waiting where $2 is null or exists ({due})"
        )
    };
    let parts: Vec<String> = (0..lanes.len()).map(part).collect();
    let sql = format!("select{}", parts.join(" union all select"));
    let mut query = db::built(sql).bind(i64::from(window)).bind(due.map(Timestamp::millis));
    for lane in lanes {
        query = query.bind(*lane);
    }
    let rows = query.fetch_all(&store.couriers).await.doing(DOING)?;
    let mut found: BTreeMap<usize, Vec<Waiting>> = BTreeMap::new();
    for (place, waiting) in store.unreadable.rows("delivery", &["id"], &rows, Waiting::read) {
        found.entry(place).or_default().push(waiting);
    }
    // A union has no order of its own.
    found.values_mut().for_each(|rows| rows.sort_by_key(|row| row.order));
    Ok(found)
}

/// The events of waiting deliveries: from memory, the others from the database.
struct Events(HashMap<EventId, Arc<Event>>);

impl Events {
    async fn of<'a>(
        store: &LedgerStore,
        waiting: impl Iterator<Item = &'a Waiting>,
    ) -> StoreResult<Self> {
        let (mut known, mut missing) = (HashMap::new(), Vec::new());
        for one in waiting {
            match store.caches.recent.get(one.event) {
                Some(event) => {
                    known.insert(one.event, event);
                }
                None => missing.push(one.event),
            }
        }
        for (sql, ids) in EVENTS.runs(store.couriers.dialect(), &missing) {
            let mut query = db::query(sql);
            for id in ids {
                query = query.bind(id.to_string());
            }
            for row in query.fetch_all(&store.couriers).await.doing(DOING)? {
                let event = event_log::read_event(&row, DOING);
                let event = store.unreadable.row(EVENT_ROW, &["event_id"], &row, event);
                known.extend(event.map(|event| (event.draft.id, Arc::new(event))));
            }
        }
        Ok(Self(known))
    }

    /// Whether the event of the first of some deliveries could be read.
    fn has_first(&self, rows: &[Waiting]) -> bool {
        rows.first().is_some_and(|row| self.0.contains_key(&row.event))
    }

    /// Deliveries with their events, up to the first without.
    fn deliveries(&self, webhook: WebhookId, rows: Vec<Waiting>) -> Vec<Delivery> {
        let deliver = |row: Waiting| {
            let event = self.0.get(&row.event).cloned()?;
            let Waiting { id, attempts, first_tried_at, .. } = row;
            Some(Delivery { id, webhook, event, attempts, first_tried_at })
        };
        rows.into_iter().map_while(deliver).collect()
    }
}
