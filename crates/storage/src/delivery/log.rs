//! The delivery log, and replays.

use std::{collections::HashMap, time::Duration};

use async_trait::async_trait;
use domain::{
    DeliveryId, EventId, SessionId, Timestamp, WebhookId,
    delivery::{Attempt, AttemptError, AttemptErrorKind, DeliveryState, LaneId},
    log::{DeliveryQuery, DeliveryRecord, FailureQuery, NewReplay, PastDelivery, ReplayCandidate},
    port::{DeliveryLog, Page, StoreResult},
    webhook::Webhook,
};
use serde_json::json;

use crate::{
    db::{self, Row, Statement},
    error::{Doing as _, corrupt},
    event_log::{read_event, stored},
    open::LedgerStore,
    writer::Unit,
};

/// A statement for deliveries, each with its event and its webhook's URL: the same columns, whichever they are.
macro_rules! select_deliveries {
    ($which:literal) => {
        concat!(
            "select delivery.id, delivery.webhook_id, delivery.lane, delivery.state, delivery.attempts, ",
            "delivery.replay_of, webhook.url, event.id as event_id, event.session_id, event.sequence, event.kind, ",
            "event.occurred_at as event_at, event.chat, event.idempotency_key, event.data ",
            "from delivery join event on event.id = delivery.event_id ",
            "join webhook on webhook.id = delivery.webhook_id ",
            $which
        )
    };
}

db::statements! {
    // Where the page begins is a bound of the index: what lies before it is not read.
    LIST = both(select_deliveries!(
        "where delivery.webhook_id = $1 and ($2 is null or delivery.state = $2) \
         and ($3 is null or event.kind = $3) and delivery.occurred_at >= $4 and delivery.occurred_at <= $5 \
         and ($6 is null or event.chat = $6) and ($7 is null or delivery.occurred_at < $7 or delivery.id < $8) \
         order by delivery.occurred_at desc, delivery.id desc limit $9"
    ));
    // What waits and what failed are few among all: each has an index that has nothing else.
    LIST_PENDING = both(select_deliveries!(
        "where coalesce(delivery.webhook_id, '') = $1 and delivery.state = 'pending' and delivery.state = $2 \
         and delivery.lane >= $1 || '/' and delivery.lane < $1 || '0' \
         and ($3 is null or event.kind = $3) and delivery.occurred_at >= $4 and delivery.occurred_at <= $5 \
         and ($6 is null or event.chat = $6) and ($7 is null or delivery.occurred_at < $7 or delivery.id < $8) \
         order by delivery.occurred_at desc, delivery.id desc limit $9"
    ));
    LIST_FAILED = both(select_deliveries!(
        "where delivery.webhook_id = $1 and delivery.state in ('exhausted', 'dropped') and delivery.state = $2 \
         and ($3 is null or event.kind = $3) and delivery.occurred_at >= $4 and delivery.occurred_at <= $5 \
         and ($6 is null or event.chat = $6) and ($7 is null or delivery.occurred_at < $7 or delivery.id < $8) \
         order by delivery.occurred_at desc, delivery.id desc limit $9"
    ));
    GET = both(select_deliveries!(
        "where delivery.id = $1"
    ));
    // Lists of ids travel as one text: an id is found in it because ids have one spelling and one length.
    FAILURES = both(select_deliveries!(
        "where delivery.state in ('exhausted', 'dropped') and delivery.superseded = 0 \
         and ($1 = '' or $1 like '%' || event.session_id || '%') and ($2 is null or delivery.webhook_id = $2) \
         and ($3 is null or $3 like '%' || delivery.id || '%') \
         order by delivery.occurred_at desc, delivery.id desc limit $4 offset $5"
    ));
    TO_REDRIVE = both(select_deliveries!(
        "where delivery.state in ('exhausted', 'dropped') and delivery.superseded = 0 \
         and ($1 = '' or $1 like '%' || event.session_id || '%') and ($2 is null or delivery.webhook_id = $2) \
         and ($3 is null or $3 like '%' || delivery.id || '%') \
         order by delivery.attempts, delivery.occurred_at, event.sequence limit $4"
    ));
    FAILURE_COUNT = both("select count(*) from delivery join event on event.id = delivery.event_id \
         where delivery.state in ('exhausted', 'dropped') and delivery.superseded = 0 \
         and ($1 = '' or $1 like '%' || event.session_id || '%') and ($2 is null or delivery.webhook_id = $2) \
         and ($3 is null or $3 like '%' || delivery.id || '%')");
    // Of many deliveries at once, by their ids.
    TRIES = DialectPair {
        sqlite: "select delivery_id, at, duration_ms, status, error_kind, error, excerpt from json_each($1) as one \
             cross join delivery_attempt on delivery_id = one.value order by delivery_id, attempt",
        postgres: "select delivery_id, at, duration_ms, status, error_kind, error, excerpt from delivery_attempt \
             where delivery_id in (select json_array_elements_text($1::json)) order by delivery_id, attempt",
    };
    TRIES_SHORT = DialectPair {
        sqlite: "select delivery_id, at, duration_ms, status, error_kind, error, null as excerpt from \
             json_each($1) as one \
             cross join delivery_attempt on delivery_id = one.value order by delivery_id, attempt",
        postgres: "select delivery_id, at, duration_ms, status, error_kind, error, null::text as excerpt from \
             delivery_attempt \
             where delivery_id in (select json_array_elements_text($1::json)) order by delivery_id, attempt",
    };
    SESSION_EVENTS = both("select id as event_id, session_id, sequence, kind, occurred_at as event_at, chat, \
         idempotency_key, data from event where session_id = $1 and sequence > $2 order by sequence limit $3");
    // Through `coalesce`, so that the webhook's whole log is not read instead.
    OF_EVENT = both("select id, state, attempts, superseded from delivery where coalesce(webhook_id, '') = $2 and \
         id in (select id from delivery_of where event = $1)");
    SEQUENCE_OF = both("select event.sequence from delivery join event on event.id = delivery.event_id \
         where delivery.id = $1 and delivery.webhook_id = $2");
    EVENT = both("select event.occurred_at, event.sequence from event join webhook on webhook.session_id = \
         event.session_id \
         where event.id = $1 and webhook.id = $2");
    SUPERSEDE = both("update delivery set superseded = 1 where coalesce(webhook_id, '') = $2 and superseded = 0 and \
         id in (select id from delivery_of where event = $1)");
    NEXT_REPLAY = both("insert into counter (name, value) values ('replay', 1) \
         on conflict (name) do update set value = counter.value + 1 returning value");
    INSERT = both("insert into delivery (id, webhook_id, event_id, lane, sequence, replay_ticket, state, attempts, \
         occurred_at, replay_of) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)");
    TRY = both("insert into delivery_attempt (delivery_id, attempt, at, duration_ms, status, error_kind, error, \
         excerpt) values ($1, 1, $2, $3, $4, $5, $6, $7)");
    TRIGGERED = both("update webhook set last_triggered_at = case when last_triggered_at > $2 then \
         last_triggered_at else $2 end where id = $1");
}

const READING: &str = "reading the delivery log";
const REPLAYING: &str = "storing replays";

fn record(row: &Row) -> StoreResult<DeliveryRecord> {
    let bad = || corrupt(READING);
    let text = |name: &str| row.try_get::<String, _>(name).doing(READING);
    let attempts: i64 = row.try_get("attempts").doing(READING)?;
    let replay_of: Option<String> = row.try_get("replay_of").doing(READING)?;
    Ok(DeliveryRecord {
        id: text("id")?.parse().map_err(|_| bad())?,
        webhook: text("webhook_id")?.parse().map_err(|_| bad())?,
        url: text("url")?,
        lane: LaneId::from_stored(text("lane")?),
        state: DeliveryState::parse(&text("state")?).ok_or_else(bad)?,
        attempts: u32::try_from(attempts).map_err(|_| bad())?,
        replay_of: replay_of.map(|id| id.parse().map_err(|_| bad())).transpose()?,
        event: read_event(row, READING)?,
        tries: vec![],
    })
}

fn attempt(row: &Row) -> StoreResult<Attempt> {
    let text = |name: &str| row.try_get::<Option<String>, _>(name).doing(READING);
    let number = |name: &str| row.try_get::<Option<i64>, _>(name).doing(READING);
    let kind = text("error_kind")?;
    let kind = kind.map(|word| AttemptErrorKind::parse(&word).ok_or_else(|| corrupt(READING)));
    let error = match kind.transpose()? {
        Some(kind) => Some(AttemptError { kind, text: text("error")?.unwrap_or_default() }),
        None => None,
    };
    let status =
        number("status")?.map(|status| u16::try_from(status).map_err(|_| corrupt(READING)));
    Ok(Attempt {
        at: Timestamp::from_millis(number("at")?.unwrap_or_default()),
        duration: Duration::from_millis(
            u64::try_from(number("duration_ms")?.unwrap_or_default()).unwrap_or(0),
        ),
        status: status.transpose()?,
        error,
        excerpt: text("excerpt")?,
    })
}

/// The conditions of a [`FailureQuery`] as they are bound.
struct Failures {
    sessions: String,
    webhook: Option<String>,
    ids: Option<String>,
}

impl Failures {
    fn new(query: &FailureQuery) -> Self {
        let join = |ids: Vec<String>| ids.join(",");
        Self {
            sessions: join(query.sessions.iter().map(SessionId::to_string).collect()),
            webhook: query.webhook.map(|webhook| webhook.to_string()),
            ids: query
                .ids
                .as_ref()
                .map(|ids| join(ids.iter().map(DeliveryId::to_string).collect())),
        }
    }
}

impl LedgerStore {
    async fn with_tries(
        &self,
        rows: Vec<Row>,
        sql: &'static Statement,
    ) -> StoreResult<Vec<DeliveryRecord>> {
        let mut records = self.unreadable.rows("delivery", &["id"], &rows, record);
        if records.is_empty() {
            return Ok(records);
        }
        let ids: Vec<String> = records.iter().map(|record| record.id.to_string()).collect();
        let places: HashMap<&str, usize> = ids.iter().map(String::as_str).zip(0..).collect();
        let tries = db::query(sql).bind(json!(ids).to_string()).fetch_all(&self.readers).await;
        for row in tries.doing(READING)? {
            let id: String = row.try_get("delivery_id").doing(READING)?;
            if let Some(place) = places.get(id.as_str()) {
                let column = ["delivery_id"];
                let read = self.unreadable.row("delivery attempt", &column, &row, attempt(&row));
                records[*place].tries.extend(read);
            }
        }
        Ok(records)
    }

    async fn candidate(&self, row: &Row, webhook: WebhookId) -> StoreResult<ReplayCandidate> {
        let event = read_event(row, READING)?;
        let rows = db::query(&OF_EVENT)
            .bind(event.draft.id.to_string())
            .bind(webhook.to_string())
            .fetch_all(&self.readers)
            .await
            .doing(READING)?;
        let mut candidate =
            ReplayCandidate { event, delivery: None, waiting: false, attempted: false };
        for row in rows {
            let bad = || corrupt(READING);
            let id: String = row.try_get("id").doing(READING)?;
            let state: String = row.try_get("state").doing(READING)?;
            let state = DeliveryState::parse(&state).ok_or_else(bad)?;
            let attempts: i64 = row.try_get("attempts").doing(READING)?;
            let superseded: i64 = row.try_get("superseded").doing(READING)?;
            candidate.waiting |= state == DeliveryState::Pending;
            candidate.attempted |= attempts > 0;
            if superseded == 0 {
                candidate.delivery =
                    Some(PastDelivery { id: id.parse().map_err(|_| bad())?, state });
            }
        }
        Ok(candidate)
    }
}

#[async_trait]
impl DeliveryLog for LedgerStore {
    async fn deliveries(
        &self,
        webhook: WebhookId,
        query: &DeliveryQuery,
        limit: u32,
    ) -> StoreResult<Vec<DeliveryRecord>> {
        let sql = match query.state {
            Some(DeliveryState::Pending) => &LIST_PENDING,
            Some(DeliveryState::Exhausted | DeliveryState::Dropped) => &LIST_FAILED,
            Some(DeliveryState::Delivered) | None => &LIST,
        };
        let until = query.until.map_or(i64::MAX, |until| until.millis().saturating_sub(1));
        let through = query.after.map_or(i64::MAX, |after| after.occurred_at.millis());
        let rows = db::query(sql)
            .bind(webhook.to_string())
            .bind(query.state.map(DeliveryState::as_str))
            .bind(query.event.map(domain::event::EventType::as_str))
            .bind(query.since.map_or(i64::MIN, Timestamp::millis))
            .bind(until.min(through))
            .bind(query.chat.as_ref().map(domain::ChatId::as_str))
            .bind(query.after.map(|after| after.occurred_at.millis()))
            .bind(query.after.map(|after| after.id.to_string()))
            .bind(i64::from(limit))
            .fetch_all(&self.readers)
            .await
            .doing(READING)?;
        self.with_tries(rows, &TRIES_SHORT).await
    }

    async fn delivery(&self, id: DeliveryId) -> StoreResult<Option<DeliveryRecord>> {
        let row = db::query(&GET).bind(id.to_string()).fetch_optional(&self.readers).await;
        let rows = row.doing(READING)?.into_iter().collect();
        Ok(self.with_tries(rows, &TRIES).await?.pop())
    }

    async fn failures(&self, query: &FailureQuery, page: Page) -> StoreResult<Vec<DeliveryRecord>> {
        let failures = Failures::new(query);
        let rows = db::query(&FAILURES)
            .bind(failures.sessions)
            .bind(failures.webhook)
            .bind(failures.ids)
            .bind(i64::from(page.limit))
            .bind(i64::from(page.offset))
            .fetch_all(&self.readers)
            .await
            .doing(READING)?;
        self.with_tries(rows, &TRIES_SHORT).await
    }

    async fn to_redrive(
        &self,
        query: &FailureQuery,
        limit: u32,
    ) -> StoreResult<Vec<DeliveryRecord>> {
        let failures = Failures::new(query);
        let rows = db::query(&TO_REDRIVE)
            .bind(failures.sessions)
            .bind(failures.webhook)
            .bind(failures.ids)
            .bind(i64::from(limit))
            .fetch_all(&self.readers)
            .await
            .doing(READING)?;
        Ok(self.unreadable.rows("delivery", &["id"], &rows, record))
    }

    async fn failure_count(&self, query: &FailureQuery) -> StoreResult<u64> {
        let failures = Failures::new(query);
        let count: i64 = db::query_scalar(&FAILURE_COUNT)
            .bind(failures.sessions)
            .bind(failures.webhook)
            .bind(failures.ids)
            .fetch_one(&self.readers)
            .await
            .doing(READING)?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    async fn replay_candidates(
        &self,
        webhook: &Webhook,
        after: u64,
        limit: u32,
    ) -> StoreResult<Vec<ReplayCandidate>> {
        let rows = db::query(&SESSION_EVENTS)
            .bind(webhook.session.to_string())
            .bind(stored(after))
            .bind(i64::from(limit))
            .fetch_all(&self.readers)
            .await
            .doing(READING)?;
        let mut candidates = Vec::with_capacity(rows.len());
        for row in &rows {
            candidates.push(self.candidate(row, webhook.id).await?);
        }
        Ok(candidates)
    }

    async fn delivery_sequence(
        &self,
        webhook: WebhookId,
        id: DeliveryId,
    ) -> StoreResult<Option<u64>> {
        let sequence: Option<i64> = db::query_scalar(&SEQUENCE_OF)
            .bind(id.to_string())
            .bind(webhook.to_string())
            .fetch_optional(&self.readers)
            .await
            .doing(READING)?;
        Ok(sequence.and_then(|sequence| u64::try_from(sequence).ok()))
    }

    async fn insert_replays(
        &self,
        webhook: WebhookId,
        replays: Vec<NewReplay>,
    ) -> StoreResult<u64> {
        self.writer
            .run(REPLAYING, move |unit| {
                Box::pin(async move {
                    let mut count = 0;
                    for replay in &replays {
                        count += u64::from(store(unit, webhook, replay).await?);
                    }
                    Ok(count)
                })
            })
            .await
    }

    async fn record_redrives(
        &self,
        webhook: WebhookId,
        replay: NewReplay,
        attempt: Attempt,
    ) -> StoreResult<bool> {
        const DOING: &str = "recording a redrive";
        self.writer
            .run(DOING, move |unit| {
                Box::pin(async move {
                    let Some(past) = past(unit, webhook, replay.event).await? else {
                        return Ok(false);
                    };
                    let done = attempt.error.is_none();
                    let state =
                        if done { DeliveryState::Delivered } else { DeliveryState::Exhausted };
                    insert(unit, webhook, &replay, &past, state).await?;
                    db::query(&TRY)
                        .bind(replay.id.to_string())
                        .bind(attempt.at.millis())
                        .bind(i64::try_from(attempt.duration.as_millis()).unwrap_or(i64::MAX))
                        .bind(attempt.status.map(i64::from))
                        .bind(attempt.error.as_ref().map(|error| error.kind.as_str()))
                        .bind(attempt.error.as_ref().map(|error| error.text.as_str()))
                        .bind(attempt.excerpt.as_deref())
                        .execute(&mut unit.conn)
                        .await
                        .doing(DOING)?;
                    if done {
                        db::query(&TRIGGERED)
                            .bind(webhook.to_string())
                            .bind(attempt.at.millis())
                            .execute(&mut unit.conn)
                            .await
                            .doing(DOING)?;
                    }
                    Ok(true)
                })
            })
            .await
    }
}

/// What is known of an event and its deliveries to a webhook.
struct Past {
    occurred_at: i64,
    sequence: i64,
    /// One of the deliveries waits.
    waiting: bool,
    /// The newest of them.
    newest: Option<String>,
}

/// `None` when the event or the webhook is gone.
async fn past(unit: &mut Unit, webhook: WebhookId, event: EventId) -> StoreResult<Option<Past>> {
    let found = db::query(&EVENT)
        .bind(event.to_string())
        .bind(webhook.to_string())
        .fetch_optional(&mut unit.conn)
        .await
        .doing(REPLAYING)?;
    let Some(found) = found else { return Ok(None) };
    let occurred_at = found.try_get("occurred_at").doing(REPLAYING)?;
    let sequence = found.try_get("sequence").doing(REPLAYING)?;
    let rows = db::query(&OF_EVENT)
        .bind(event.to_string())
        .bind(webhook.to_string())
        .fetch_all(&mut unit.conn)
        .await
        .doing(REPLAYING)?;
    let mut past = Past { occurred_at, sequence, waiting: false, newest: None };
    for row in rows {
        let state: String = row.try_get("state").doing(REPLAYING)?;
        past.waiting |= state == DeliveryState::Pending.as_str();
        let superseded: i64 = row.try_get("superseded").doing(REPLAYING)?;
        if superseded == 0 {
            past.newest = Some(row.try_get("id").doing(REPLAYING)?);
        }
    }
    Ok(Some(past))
}

/// Stores one replay, unless its event or webhook is gone or a delivery of the event waits already.
async fn store(unit: &mut Unit, webhook: WebhookId, replay: &NewReplay) -> StoreResult<bool> {
    let Some(past) = past(unit, webhook, replay.event).await?.filter(|past| !past.waiting) else {
        return Ok(false);
    };
    // The lane first: whoever settles in it has it before its deliveries too.
    let claims = unit.seams.claims.clone();
    claims.open_retry(unit, replay.lane.as_str(), webhook).await?;
    insert(unit, webhook, replay, &past, DeliveryState::Pending).await?;
    Ok(true)
}

async fn insert(
    unit: &mut Unit,
    webhook: WebhookId,
    replay: &NewReplay,
    past: &Past,
    state: DeliveryState,
) -> StoreResult<()> {
    db::query(&SUPERSEDE)
        .bind(replay.event.to_string())
        .bind(webhook.to_string())
        .execute(&mut unit.conn)
        .await
        .doing(REPLAYING)?;
    // Always behind what waits in the lane: a worker may be sending the head of it now.
    let ticket: i64 =
        db::query_scalar(&NEXT_REPLAY).fetch_one(&mut unit.conn).await.doing(REPLAYING)?;
    db::query(&INSERT)
        .bind(replay.id.to_string())
        .bind(webhook.to_string())
        .bind(replay.event.to_string())
        .bind(replay.lane.as_str())
        .bind(past.sequence)
        .bind(ticket)
        .bind(state.as_str())
        .bind(i64::from(state != DeliveryState::Pending))
        .bind(past.occurred_at)
        .bind(past.newest.as_deref())
        .execute(&mut unit.conn)
        .await
        .doing(REPLAYING)
        .map(|_| ())
}
