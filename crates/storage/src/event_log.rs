//! The event log by position, and its pruning.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use domain::{
    ChatId, EventId, SessionId, Timestamp,
    event::{Event, EventData, EventDraft, EventType},
    log::{LogBounds, LoggedEvent, PruneLimits, Pruned, PrunedSession},
    port::{EventLog, StoreResult},
};
use serde_json::json;

use crate::{
    db::{self, Row},
    error::{Doing as _, corrupt},
    open::LedgerStore,
    writer::{Unit, plan_with_values},
};

db::statements! {
    BOUNDS = DialectPair {
        sqlite: "select coalesce((select value from counter where name = 'event_position'), 0) as last, \
             coalesce((select value from counter where name = 'event_pruned'), 0) as pruned",
        postgres: "select last_value as last, \
             coalesce((select value from counter where name = 'event_pruned'), 0) as pruned from event_position",
    };
    READ = both("select id as event_id, session_id, sequence, kind, occurred_at as event_at, chat, idempotency_key, \
         data, position from event where position > $1 and position <= $3 order by position limit $2");
    // In a session sequences grow as positions do: the sequence at which to begin is found by halving, so that
    // neither the events of other sessions nor those before it are read.
    READ_SESSION = both("with recursive halved (low, high) as (select cast(0 as bigint), last_sequence from \
         session where id = $1 \
         union all select \
         case when coalesce((select position from event where session_id = $1 and sequence <= (low + high + 1) / 2 \
         order by sequence desc limit 1), 0) <= $2 then (low + high + 1) / 2 else low end, \
         case when coalesce((select position from event where session_id = $1 and sequence <= (low + high + 1) / 2 \
         order by sequence desc limit 1), 0) <= $2 then high else (low + high + 1) / 2 - 1 end \
         from halved where low < high) \
         select id as event_id, session_id, sequence, kind, occurred_at as event_at, chat, idempotency_key, data, \
         position \
         from event where session_id = $1 and sequence > (select low from halved where low = high) and position <= \
         $4 order by sequence limit $3");
    EVENT = both("select id as event_id, session_id, sequence, kind, occurred_at as event_at, chat, idempotency_key, \
         data, position from event where id = $1");
    PRUNED_SESSIONS = both("select id, pruned_sequence from session where pruned_sequence > 0 order by id limit $1");
    MARK = DialectPair {
        sqlite: "insert into event_mark (at, position) \
             select $1, coalesce((select value from counter where name = 'event_position'), 0) \
             where not exists (select 1 from event_mark where at >= $1)",
        postgres: "insert into event_mark (at, position) select $1, last_value from event_position \
             where not exists (select 1 from event_mark where at >= $1)",
    };
    // Of a clock that ran ahead: no other could be set until that time.
    UNMARK = both("delete from event_mark where at > $1");
    MARKED = both("select coalesce(max(position), 0) from event_mark where at <= $1");
    // The newest of those before the time still says how long the log was then.
    DROP_MARKS = both("delete from event_mark where at < (select max(at) from event_mark where at <= $1)");
    // Whether something of an event may go is asked here, by a reader: events that have to stay cost the writer
    // nothing.
    LOOK = both("select page.id as id, page.position as position, case when not exists \
         (select 1 from delivery_of where delivery_of.event = page.id and delivery_of.state = 'pending') and \
         ((page.position <= $4 and not exists (select 1 from delivery_of where delivery_of.event = page.id)) or \
         exists \
         (select 1 from delivery_of join delivery on delivery.id = delivery_of.id where delivery_of.event = \
         page.id and \
         ((page.position <= $4 and (delivery.state = 'delivered' or delivery.superseded = 1) and not exists \
         (select 1 from delivery_attempt where delivery_id = delivery.id and at >= $5)) or (page.position <= $6 \
         and not exists \
         (select 1 from delivery_attempt where delivery_id = delivery.id and at >= $7))))) then 1 else 0 end as due \
         from (select id, position from event where position > $1 and position <= $2 order by position limit $3) \
         as page \
         order by page.position");
    // Each about many events at once, by their ids.
    PRUNE_DELIVERIES = DialectPair {
        sqlite: "delete from delivery where id in (select delivery_of.id from json_each($1) as one \
             cross join delivery_of where delivery_of.event = one.value) and state <> 'pending' and not exists \
             (select 1 from delivery_attempt where delivery_id = delivery.id and at >= $2) and \
             (state = 'delivered' or superseded = 1)",
        postgres: "delete from delivery where id in (select delivery_of.id from delivery_of where \
             delivery_of.event in \
             (select json_array_elements_text($1::json))) and state <> 'pending' and not exists \
             (select 1 from delivery_attempt where delivery_id = delivery.id and at >= $2) and \
             (state = 'delivered' or superseded = 1)",
    };
    PRUNE_FAILURES = DialectPair {
        sqlite: "delete from delivery where id in (select delivery_of.id from json_each($1) as one \
             cross join delivery_of where delivery_of.event = one.value) and state <> 'pending' and not exists \
             (select 1 from delivery_attempt where delivery_id = delivery.id and at >= $2)",
        postgres: "delete from delivery where id in (select delivery_of.id from delivery_of where \
             delivery_of.event in \
             (select json_array_elements_text($1::json))) and state <> 'pending' and not exists \
             (select 1 from delivery_attempt where delivery_id = delivery.id and at >= $2)",
    };
    PRUNE_EVENTS = DialectPair {
        sqlite: "delete from event where id in (select value from json_each($1)) and not exists \
             (select 1 from delivery_of where delivery_of.event = event.id) returning session_id, sequence, position",
        postgres: "delete from event where id in (select json_array_elements_text($1::json)) and not exists \
             (select 1 from delivery_of where delivery_of.event = event.id) returning session_id, sequence, position",
    };
    PRUNED_SESSION = both("update session set pruned_sequence = $2 where id = $1 and pruned_sequence < $2");
    PRUNED_THROUGH = both("insert into counter (name, value) values ('event_pruned', $1) \
         on conflict (name) do update set value = case when counter.value < $1 then $1 else counter.value end");
}

/// How often the end of the log is looked at that is not whole yet, and the time in between: a second in all.
const LOOKS: u32 = 100;
const PAUSE: Duration = Duration::from_millis(10);

/// What a row of it is called where it cannot be read.
pub(crate) const EVENT_ROW: &str = "event";

/// Reads an event out of a row with the columns `event_id`, `session_id`, `sequence`, `kind`, `event_at`, `chat`,
/// `idempotency_key` and `data`.
pub(crate) fn read_event(row: &Row, doing: &'static str) -> StoreResult<Event> {
    let bad = || corrupt(doing);
    let text = |name: &str| row.try_get::<String, _>(name).doing(doing);
    let number = |name: &str| row.try_get::<i64, _>(name).doing(doing);
    let chat: Option<String> = row.try_get("chat").doing(doing)?;
    let draft = EventDraft {
        id: text("event_id")?.parse().map_err(|_| bad())?,
        session: text("session_id")?.parse().map_err(|_| bad())?,
        kind: EventType::parse(&text("kind")?).ok_or_else(bad)?,
        occurred_at: Timestamp::from_millis(number("event_at")?),
        chat: chat.map(|chat| chat.parse::<ChatId>().map_err(|_| bad())).transpose()?,
        idempotency_key: text("idempotency_key")?,
        data: EventData::from_stored(text("data")?).map_err(|_| bad())?,
    };
    Ok(Event { draft, sequence: u64::try_from(number("sequence")?).map_err(|_| bad())? })
}

/// An event as of this transaction.
pub(crate) async fn recorded(unit: &mut Unit, id: EventId) -> StoreResult<Option<Event>> {
    const DOING: &str = "looking for an event";
    let row = db::query(&EVENT).bind(id.to_string()).fetch_optional(&mut unit.conn).await;
    row.doing(DOING)?.map(|row| read_event(&row, DOING)).transpose()
}

fn read_logged(row: &Row) -> StoreResult<LoggedEvent> {
    const DOING: &str = "reading the event log";
    let position: i64 = row.try_get("position").doing(DOING)?;
    let position = u64::try_from(position).map_err(|_| corrupt(DOING))?;
    Ok(LoggedEvent { position, event: read_event(row, DOING)? })
}

/// Numbers that a column cannot hold are beyond everything that is stored.
pub(crate) fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl LedgerStore {
    /// Up to here no event will come that is not there yet.
    async fn horizon(&self) -> StoreResult<i64> {
        self.seams.turn.horizon(&self.readers).await
    }
}

#[async_trait]
impl EventLog for LedgerStore {
    async fn log_bounds(&self) -> StoreResult<LogBounds> {
        const DOING: &str = "looking for the ends of the event log";
        let row = db::query(&BOUNDS).fetch_one(&self.readers).await.doing(DOING)?;
        let number = |name: &str| {
            let number = row.try_get::<i64, _>(name).doing(DOING)?;
            u64::try_from(number).map_err(|_| corrupt(DOING))
        };
        let bounds = LogBounds { last: number("last")?, pruned: number("pruned")? };
        // Whoever begins at the end must not miss what is on its way there.
        for _ in 0..LOOKS {
            if self.horizon().await? >= stored(bounds.last) {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(bounds)
    }

    async fn read_events(
        &self,
        after: u64,
        session: Option<SessionId>,
        limit: u32,
    ) -> StoreResult<Vec<LoggedEvent>> {
        const DOING: &str = "reading the event log";
        let mut after = stored(after);
        loop {
            let query = match session {
                None => db::query(&READ),
                Some(session) => db::query(&READ_SESSION).bind(session.to_string()),
            };
            // Before the look: everything up to it is there then.
            let horizon = self.horizon().await?;
            let query = query.bind(after).bind(i64::from(limit)).bind(horizon);
            let rows = query.fetch_all(&self.readers).await.doing(DOING)?;
            let Some(last) = rows.last() else { return Ok(vec![]) };
            let events = self.unreadable.rows(EVENT_ROW, &["event_id"], &rows, read_logged);
            if !events.is_empty() {
                return Ok(events);
            }
            // Nothing of a page can be read: whoever follows the log would take this for its end.
            after = last.try_get("position").doing(DOING)?;
        }
    }

    async fn event(&self, id: EventId) -> StoreResult<Option<LoggedEvent>> {
        let row = db::query(&EVENT).bind(id.to_string()).fetch_optional(&self.readers).await;
        row.doing("reading an event")?.as_ref().map(read_logged).transpose()
    }

    async fn pruned_sessions(&self, limit: u32) -> StoreResult<Vec<PrunedSession>> {
        const DOING: &str = "reading what was pruned";
        let rows = db::query(&PRUNED_SESSIONS)
            .bind(i64::from(limit))
            .fetch_all(&self.readers)
            .await
            .doing(DOING)?;
        let read = |row: &Row| {
            let session: String = row.try_get(0).doing(DOING)?;
            let through: i64 = row.try_get(1).doing(DOING)?;
            Ok(PrunedSession {
                session: session.parse().map_err(|_| corrupt(DOING))?,
                through: u64::try_from(through).map_err(|_| corrupt(DOING))?,
            })
        };
        rows.iter().map(read).collect()
    }

    async fn mark_time(&self, at: Timestamp, forget_before: Timestamp) -> StoreResult<()> {
        const DOING: &str = "marking the event log";
        self.writer
            .run(DOING, move |unit| {
                Box::pin(async move {
                    let done = db::query(&UNMARK).bind(at.millis()).execute(&mut unit.conn).await;
                    done.doing(DOING)?;
                    let done = db::query(&MARK).bind(at.millis()).execute(&mut unit.conn).await;
                    done.doing(DOING)?;
                    let done = db::query(&DROP_MARKS)
                        .bind(forget_before.millis())
                        .execute(&mut unit.conn)
                        .await;
                    done.doing(DOING).map(|_| ())
                })
            })
            .await
    }

    async fn time_mark(&self, at: Timestamp) -> StoreResult<u64> {
        const DOING: &str = "reading the marks of the event log";
        let marked: i64 = db::query_scalar(&MARKED)
            .bind(at.millis())
            .fetch_one(&self.readers)
            .await
            .doing(DOING)?;
        u64::try_from(marked).map_err(|_| corrupt(DOING))
    }

    async fn prune_events(
        &self,
        after: u64,
        limits: PruneLimits,
        limit: u32,
    ) -> StoreResult<Pruned> {
        const DOING: &str = "looking for old events";
        let through = limits.events_through.max(limits.failures_through);
        let rows = db::query(&LOOK)
            .bind(stored(after))
            .bind(stored(through))
            .bind(i64::from(limit))
            .bind(stored(limits.events_through))
            .bind(limits.settled_before.millis())
            .bind(stored(limits.failures_through))
            .bind(limits.failed_before.millis())
            .fetch_all(&self.readers)
            .await
            .doing(DOING)?;
        let mut old = Vec::new();
        let mut last = None;
        for row in rows {
            let position: i64 = row.try_get("position").doing(DOING)?;
            last = Some(position);
            if row.try_get::<i64, _>("due").doing(DOING)? == 1 {
                old.push((row.try_get::<String, _>("id").doing(DOING)?, position));
            }
        }
        let next = last.map(|last| u64::try_from(last).map_err(|_| corrupt(DOING))).transpose()?;
        if old.is_empty() {
            return Ok(Pruned { next, ..Pruned::default() });
        }
        let pruned = self
            .writer
            .run("pruning events", move |unit| Box::pin(prune(unit, old, limits)))
            .await?;
        Ok(Pruned { next, ..pruned })
    }
}

/// Deletes of these events, in the order of their positions, what may go.
async fn prune(
    unit: &mut Unit,
    old: Vec<(String, i64)>,
    limits: PruneLimits,
) -> StoreResult<Pruned> {
    const DOING: &str = "pruning events";
    plan_with_values(unit).await?;
    let list = |mark: u64| {
        let ids: Vec<&str> = old
            .iter()
            .filter(|(_, position)| *position <= stored(mark))
            .map(|(id, _)| id.as_str())
            .collect();
        json!(ids).to_string()
    };
    let (events, failures) = (list(limits.events_through), list(limits.failures_through));
    let mut pruned = Pruned::default();
    for (sql, ids, before) in [
        (&PRUNE_DELIVERIES, &events, limits.settled_before),
        (&PRUNE_FAILURES, &failures, limits.failed_before),
    ] {
        let done = db::query(sql).bind(ids).bind(before.millis()).execute(&mut unit.conn).await;
        pruned.deliveries += done.doing(DOING)?.rows_affected();
    }
    let gone =
        db::query(&PRUNE_EVENTS).bind(&events).fetch_all(&mut unit.conn).await.doing(DOING)?;
    // In the order of their ids, as everybody who changes the rows of several sessions.
    let (mut through, mut of_sessions) = (0_i64, BTreeMap::<String, i64>::new());
    for row in &gone {
        let last = of_sessions.entry(row.try_get("session_id").doing(DOING)?).or_default();
        *last = (*last).max(row.try_get("sequence").doing(DOING)?);
        through = through.max(row.try_get("position").doing(DOING)?);
        pruned.events += 1;
    }
    for (session, last) in of_sessions {
        let done =
            db::query(&PRUNED_SESSION).bind(session).bind(last).execute(&mut unit.conn).await;
        done.doing(DOING)?;
    }
    if through > 0 {
        let done = db::query(&PRUNED_THROUGH).bind(through).execute(&mut unit.conn).await;
        done.doing(DOING)?;
    }
    Ok(pruned)
}
