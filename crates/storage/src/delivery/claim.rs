//! Taking lanes: reads alone, because the claim itself is in memory.
//!
//! The claim is made first and the lane read afterwards. Whoever held it before has ended with a commit, so what is read
//! is what was left.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use domain::{
    ChatId, DeliveryId, EventId, Timestamp, WebhookId,
    delivery::{Candidate, ClaimedLane, Delivery, LaneId, Places, Share},
    event::{Event, EventDraft, EventType},
    port::StoreResult,
};

use super::{
    leases::{Given, OnTheWay, Taker},
    postgres,
};
use crate::{
    db::{self, Kind, Row},
    error::{Doing as _, corrupt},
    open::SqliteStore,
    rows::Wide,
    webhook::{health, policy},
};

const CANDIDATES: &str = "select id, health, policy from webhook where active = 1 and held_until <= $1 and \
     (exists (select 1 from lane where lane.webhook_id = webhook.id and lane.tried = 0 and lane.due_at <= $1) or \
     exists (select 1 from lane where lane.webhook_id = webhook.id and lane.tried = 1 and lane.due_at <= $1)) \
     order by webhook.last_triggered_at nulls first, webhook.position";
const DUE: &str = "select id from lane where webhook_id = $1 and tried = $2 and due_at <= $3 order by due_at limit $4";
const STILL_DUE: &str = "select 1 from lane where id = $1 and due_at <= $2";
const WAITING: &str = "select id, attempts, first_tried_at, event_id, sequence from delivery where lane = $1 and state = 'pending' \
     order by sequence limit $2";
const EVENTS: &str = "select id, session_id, sequence, kind, occurred_at, chat, idempotency_key, data from event where id in ($1)";

static EVENTS_OF: Wide = Wide::new(EVENTS, 1);

const DOING: &str = "claiming lanes";
/// Lanes whose deliveries are read in one statement.
const READ_AT_ONCE: usize = 16;

/// What a worker asks for.
pub(crate) struct Asked<'a> {
    pub(crate) taker: Taker<'a>,
    pub(crate) lanes: u32,
    pub(crate) window: u32,
}

/// A lane that was taken and not read yet.
pub(super) struct Taken {
    pub(super) lane: String,
    pub(super) webhook: WebhookId,
    pub(super) epoch: u64,
}

/// A waiting delivery without its event.
struct Waiting {
    id: DeliveryId,
    attempts: u32,
    first_tried_at: Option<Timestamp>,
    event: EventId,
    sequence: i64,
}

/// Takes due lanes, each with the first of its waiting deliveries.
pub(crate) async fn claim(store: &SqliteStore, asked: Asked<'_>) -> StoreResult<Vec<ClaimedLane>> {
    if asked.lanes == 0 {
        return Ok(vec![]);
    }
    let taken = take(store, &asked).await?;
    let read = read_all(store, &taken, &asked).await;
    if read.is_err() {
        for one in &taken {
            // A lease that cannot be given back runs out by itself.
            let _ = let_go(store, one).await;
        }
    }
    read
}

async fn take(store: &SqliteStore, asked: &Asked<'_>) -> StoreResult<Vec<Taken>> {
    let survey = survey(store, &asked.taker).await?;
    let places =
        Places { free: asked.lanes, all: survey.own + asked.lanes, doubtful: survey.doubtful };
    let candidates = candidates(store, asked, &survey).await?;
    let failing: HashMap<WebhookId, bool> =
        candidates.iter().map(|one| (one.webhook, one.failing)).collect();
    let mut taken = Vec::new();
    let mut room = places.doubtful_room();
    for share in places.share(&candidates) {
        let held = survey.by_webhook.get(&share.webhook).copied().unwrap_or(0);
        let failing = failing.get(&share.webhook).copied().unwrap_or(false);
        take_share(store, asked, &share, held, failing, &mut room, &mut taken).await?;
        if taken.len() >= usize::try_from(asked.lanes).unwrap_or(usize::MAX) {
            break;
        }
    }
    Ok(taken)
}

/// What is on the way.
pub(super) async fn survey(store: &SqliteStore, taker: &Taker<'_>) -> StoreResult<OnTheWay> {
    match store.readers.kind() {
        Kind::Sqlite => Ok(store.leases.survey(taker.owner, taker.now)),
        Kind::Postgres => postgres::survey(store, taker.owner, taker.now).await,
    }
}

/// The webhooks that have something due and are not held back.
pub(super) async fn candidates(
    store: &SqliteStore,
    asked: &Asked<'_>,
    survey: &OnTheWay,
) -> StoreResult<Vec<Candidate>> {
    let rows = db::query(CANDIDATES)
        .bind(asked.taker.now.millis())
        .fetch_all(&store.readers)
        .await
        .doing(DOING)?;
    let mut candidates = Vec::with_capacity(rows.len());
    for row in &rows {
        let candidate = candidate(row, asked.taker.now, survey)?;
        if !survey.held.contains(&candidate.webhook) {
            candidates.push(candidate);
        }
    }
    Ok(candidates)
}

fn candidate(row: &Row, now: Timestamp, survey: &OnTheWay) -> StoreResult<Candidate> {
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

/// First tries, then retries, as far as the share goes.
async fn take_share(
    store: &SqliteStore,
    asked: &Asked<'_>,
    share: &Share,
    held: u32,
    failing: bool,
    room: &mut u32,
    taken: &mut Vec<Taken>,
) -> StoreResult<()> {
    let free = asked.lanes.saturating_sub(u32::try_from(taken.len()).unwrap_or(u32::MAX));
    let mut left = share.lanes.min(free);
    for tried in [false, true] {
        let doubtful = tried || failing;
        let most = if doubtful { left.min(*room) } else { left };
        if most == 0 {
            continue;
        }
        let lanes =
            take_lanes(store, asked, share.webhook, (tried, doubtful), (most, held)).await?;
        let count = u32::try_from(lanes.len()).unwrap_or(most);
        let named = |(lane, epoch)| Taken { lane, webhook: share.webhook, epoch };
        taken.extend(lanes.into_iter().map(named));
        left -= count;
        if doubtful {
            *room -= count;
        }
    }
    Ok(())
}

/// Takes up to `most` due lanes of a webhook of which `held` are on the way.
async fn take_lanes(
    store: &SqliteStore,
    asked: &Asked<'_>,
    webhook: WebhookId,
    (tried, doubtful): (bool, bool),
    (most, held): (u32, u32),
) -> StoreResult<Vec<(String, u64)>> {
    if store.readers.kind() == Kind::Postgres {
        return postgres::take(store, webhook, (tried, doubtful), most, &asked.taker).await;
    }
    let found: Vec<String> = db::query_scalar(DUE)
        .bind(webhook.to_string())
        .bind(tried)
        .bind(asked.taker.now.millis())
        // Those on the way are due too.
        .bind(i64::from(most) + i64::from(held))
        .fetch_all(&store.readers)
        .await
        .doing(DOING)?;
    let take = |lane: String| {
        let epoch = store.leases.take(&lane, webhook, tried, doubtful, &asked.taker)?;
        Some((lane, epoch))
    };
    Ok(found.into_iter().filter_map(take).take(usize::try_from(most).unwrap_or(0)).collect())
}

/// Gives back what was taken.
pub(super) async fn let_go(store: &SqliteStore, taken: &Taken) -> StoreResult<()> {
    store.leases.end(&taken.lane, taken.epoch);
    match store.readers.kind() {
        Kind::Sqlite => Ok(()),
        Kind::Postgres => postgres::let_go(store, &taken.lane, taken.epoch).await,
    }
}

pub(super) async fn read_all(
    store: &SqliteStore,
    taken: &[Taken],
    asked: &Asked<'_>,
) -> StoreResult<Vec<ClaimedLane>> {
    let mut claimed = Vec::with_capacity(taken.len());
    for some in taken.chunks(READ_AT_ONCE) {
        let lanes: Vec<&str> = some.iter().map(|one| one.lane.as_str()).collect();
        let mut waiting = waiting(store, &lanes, asked.window, Some(asked.taker.now)).await?;
        let mut events = Events::of(store, waiting.values().flatten()).await?;
        for (place, one) in some.iter().enumerate() {
            let rows = waiting.remove(&place).unwrap_or_default();
            if rows.is_empty() {
                // Ended, or sent to wait, between the look and the claim.
                let_go(store, one).await?;
                continue;
            }
            let deliveries = events.deliveries(one.webhook, rows)?;
            give(store, &one.lane, one.epoch, &deliveries);
            let lane = LaneId::from_stored(one.lane.clone());
            claimed.push(ClaimedLane { lane, webhook: one.webhook, epoch: one.epoch, deliveries });
        }
    }
    Ok(claimed)
}

fn give(store: &SqliteStore, lane: &str, epoch: u64, deliveries: &[Delivery]) -> bool {
    let window =
        deliveries.iter().map(|one| Given { id: one.id, attempts: one.attempts }).collect();
    store.leases.with(lane, epoch, |lease| lease.window = window).is_some()
}

/// The next deliveries of a lane that is held.
pub(crate) async fn more(
    store: &SqliteStore,
    lane: &str,
    epoch: u64,
    window: u32,
) -> StoreResult<Vec<Delivery>> {
    let Some(webhook) = store.leases.with(lane, epoch, |lease| lease.webhook) else {
        return Ok(vec![]);
    };
    let mut waiting = waiting(store, &[lane], window, None).await?;
    let rows = waiting.remove(&0).unwrap_or_default();
    let deliveries = Events::of(store, rows.iter()).await?.deliveries(webhook, rows)?;
    Ok(if give(store, lane, epoch, &deliveries) { deliveries } else { vec![] })
}

/// What waits in some lanes, by their place in the list; with a time only in those that are due then.
async fn waiting(
    store: &SqliteStore,
    lanes: &[&str],
    window: u32,
    due: Option<Timestamp>,
) -> StoreResult<BTreeMap<usize, Vec<Waiting>>> {
    // One statement for up to sixteen lanes; the texts differ by their number of lanes alone.
    let part = |place: usize| {
        let waiting = WAITING.replace("$1", &format!("${}", place + 3)).replace("$2", "$1");
        let due = STILL_DUE.replace("$1", &format!("${}", place + 3));
        format!(
            " {place} as place, waiting.* from ({waiting}) as waiting where $2 is null or exists ({due})"
        )
    };
    let parts: Vec<String> = (0..lanes.len()).map(part).collect();
    let sql = format!("select{}", parts.join(" union all select"));
    let mut query = db::query(sql).bind(i64::from(window)).bind(due.map(Timestamp::millis));
    for lane in lanes {
        query = query.bind(*lane);
    }
    let rows = query.fetch_all(&store.readers).await.doing(DOING)?;
    let mut found: BTreeMap<usize, Vec<Waiting>> = BTreeMap::new();
    for row in rows {
        let bad = || corrupt(DOING);
        let text = |column: usize| row.try_get::<String, _>(column).doing(DOING);
        let place = row.try_get::<i64, _>(0).doing(DOING)?;
        let first: Option<i64> = row.try_get(3).doing(DOING)?;
        let waiting = Waiting {
            id: text(1)?.parse().map_err(|_| bad())?,
            attempts: u32::try_from(row.try_get::<i64, _>(2).doing(DOING)?).map_err(|_| bad())?,
            first_tried_at: first.map(Timestamp::from_millis),
            event: text(4)?.parse().map_err(|_| bad())?,
            sequence: row.try_get(5).doing(DOING)?,
        };
        found.entry(usize::try_from(place).map_err(|_| bad())?).or_default().push(waiting);
    }
    // A union has no order of its own.
    found.values_mut().for_each(|rows| rows.sort_by_key(|row| row.sequence));
    Ok(found)
}

/// The events of waiting deliveries: from memory, the others from the database.
struct Events(HashMap<EventId, Arc<Event>>);

impl Events {
    async fn of<'a>(
        store: &SqliteStore,
        waiting: impl Iterator<Item = &'a Waiting>,
    ) -> StoreResult<Self> {
        let (mut known, mut missing) = (HashMap::new(), Vec::new());
        for one in waiting {
            match store.recent.get(one.event) {
                Some(event) => {
                    known.insert(one.event, event);
                }
                None => missing.push(one.event),
            }
        }
        for (sql, ids) in EVENTS_OF.runs(&missing) {
            let mut query = db::query(sql);
            for id in ids {
                query = query.bind(id.to_string());
            }
            for row in query.fetch_all(&store.readers).await.doing(DOING)? {
                let event = event(&row)?;
                known.insert(event.draft.id, Arc::new(event));
            }
        }
        Ok(Self(known))
    }

    fn deliveries(&mut self, webhook: WebhookId, rows: Vec<Waiting>) -> StoreResult<Vec<Delivery>> {
        let deliver = |row: Waiting| {
            let event = self.0.get(&row.event).cloned().ok_or_else(|| corrupt(DOING))?;
            Ok(Delivery {
                id: row.id,
                webhook,
                event,
                attempts: row.attempts,
                first_tried_at: row.first_tried_at,
            })
        };
        rows.into_iter().map(deliver).collect()
    }
}

fn event(row: &Row) -> StoreResult<Event> {
    let bad = || corrupt(DOING);
    let text = |name: &str| row.try_get::<String, _>(name).doing(DOING);
    let number = |name: &str| row.try_get::<i64, _>(name).doing(DOING);
    let chat: Option<String> = row.try_get("chat").doing(DOING)?;
    let draft = EventDraft {
        id: text("id")?.parse().map_err(|_| bad())?,
        session: text("session_id")?.parse().map_err(|_| bad())?,
        kind: EventType::parse(&text("kind")?).ok_or_else(bad)?,
        occurred_at: Timestamp::from_millis(number("occurred_at")?),
        chat: chat.map(|chat| chat.parse::<ChatId>().map_err(|_| bad())).transpose()?,
        idempotency_key: text("idempotency_key")?,
        data: serde_json::from_str(&text("data")?).map_err(|_| bad())?,
    };
    Ok(Event { draft, sequence: u64::try_from(number("sequence")?).map_err(|_| bad())? })
}
