//! Changes, events and deliveries in one transaction.

use std::sync::Arc;

use async_trait::async_trait;
use domain::{
    DeliveryId, SessionId,
    event::{Event, EventDraft},
    port::{Ledger, StoreResult, Write, WriteOutcome},
    webhook::Webhook,
};

use crate::{
    error::{Doing as _, corrupt},
    message,
    open::SqliteStore,
    session, webhook,
    writer::Unit,
};

const NEXT_SEQUENCE: &str =
    "update session set last_sequence = last_sequence + $2 where id = $1 returning last_sequence";
const INSERT_EVENT: &str = "insert into event (id, session_id, sequence, kind, occurred_at, chat, idempotency_key, data, \
     position) values ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
// One order over all sessions: the counter's row is locked until the commit, so a reader never sees a later position
// before an earlier one.
const NEXT_POSITION: &str = "insert into counter (name, value) values ('event_position', $1) \
     on conflict (name) do update set value = counter.value + $1 returning value";
const INSERT_DELIVERY: &str = "insert into delivery (id, webhook_id, event_id, lane, sequence, state, occurred_at) \
     values ($1, $2, $3, $4, $5, 'pending', $6)";
// A lane that waits for a retry keeps its time: a new delivery behind the head must not wake it.
const OPEN_LANE: &str =
    "insert into lane (id, webhook_id, due_at) values ($1, $2, 0) on conflict (id) do nothing";

#[async_trait]
impl Ledger for SqliteStore {
    async fn write(&self, writes: Vec<Write>) -> StoreResult<Vec<WriteOutcome>> {
        self.writer
            .run("writing to the ledger", move |unit| {
                Box::pin(async move {
                    let mut outcomes = Vec::with_capacity(writes.len());
                    for write in writes {
                        outcomes.push(apply(unit, write).await?);
                    }
                    Ok(outcomes)
                })
            })
            .await
    }

    async fn ping(&self) -> StoreResult<()> {
        let answer = sqlx::query_scalar::<_, i64>("select 1").fetch_one(&self.readers).await;
        answer.doing("asking the database").map(|_| ())
    }
}

async fn apply(unit: &mut Unit, write: Write) -> StoreResult<WriteOutcome> {
    let (applied, events) = match write {
        Write::InsertMessage { message, events } => {
            (message::insert(unit, &message).await?, events)
        }
        Write::AdvanceMessage { session, wa_id, status, timestamp, metadata, events } => {
            (message::advance(unit, session, &wa_id, status, timestamp, &metadata).await?, events)
        }
        Write::PatchSession { session, patch, events } => {
            (session::patch(unit, session, *patch).await?, events)
        }
        Write::Append { event } => {
            let recorded = record(unit, vec![*event]).await?;
            return Ok(recorded.map_or(WriteOutcome::Unchanged, WriteOutcome::Applied));
        }
    };
    if !applied {
        return Ok(WriteOutcome::Unchanged);
    }
    // The change is there, so its session is there.
    let recorded =
        record(unit, events).await?.ok_or_else(|| corrupt("recording an event of a session"))?;
    Ok(WriteOutcome::Applied(recorded))
}

/// Numbers and stores events with their deliveries; `None` when their session does not exist.
async fn record(unit: &mut Unit, drafts: Vec<EventDraft>) -> StoreResult<Option<Vec<Event>>> {
    const DOING: &str = "recording an event";
    let Some(session) = drafts.first().map(|draft| draft.session) else { return Ok(Some(vec![])) };
    let count = i64::try_from(drafts.len()).unwrap_or(i64::MAX);
    let last: Option<i64> = sqlx::query_scalar(NEXT_SEQUENCE)
        .bind(session.to_string())
        .bind(count)
        .fetch_optional(&mut unit.conn)
        .await
        .doing(DOING)?;
    let Some(last) = last else { return Ok(None) };
    let first = u64::try_from(last - count + 1).map_err(|_| corrupt(DOING))?;
    let end: i64 = sqlx::query_scalar(NEXT_POSITION)
        .bind(count)
        .fetch_one(&mut unit.conn)
        .await
        .doing(DOING)?;
    let webhooks = webhooks(unit, session).await?;
    let mut events = Vec::with_capacity(drafts.len());
    for ((draft, sequence), position) in drafts.into_iter().zip(first..).zip(end - count + 1..) {
        let event = Event { draft, sequence };
        store(unit, &event, position, &webhooks).await?;
        events.push(event);
    }
    Ok(Some(events))
}

async fn store(
    unit: &mut Unit,
    event: &Event,
    position: i64,
    webhooks: &[Webhook],
) -> StoreResult<()> {
    const DOING: &str = "recording an event";
    let draft = &event.draft;
    let sequence = i64::try_from(event.sequence).map_err(|_| corrupt(DOING))?;
    sqlx::query(INSERT_EVENT)
        .bind(draft.id.to_string())
        .bind(draft.session.to_string())
        .bind(sequence)
        .bind(draft.kind.as_str())
        .bind(draft.occurred_at.millis())
        .bind(draft.chat.as_ref().map(domain::ChatId::as_str))
        .bind(&draft.idempotency_key)
        .bind(draft.data.to_string())
        .bind(position)
        .execute(&mut unit.conn)
        .await
        .doing(DOING)?;
    for webhook in webhooks.iter().filter(|webhook| webhook.wants(draft)) {
        let lane = webhook.lane(draft);
        sqlx::query(INSERT_DELIVERY)
            .bind(DeliveryId::of(draft.id, webhook.id).to_string())
            .bind(webhook.id.to_string())
            .bind(draft.id.to_string())
            .bind(lane.as_str())
            .bind(sequence)
            .bind(draft.occurred_at.millis())
            .execute(&mut unit.conn)
            .await
            .doing(DOING)?;
        sqlx::query(OPEN_LANE)
            .bind(lane.as_str())
            .bind(webhook.id.to_string())
            .execute(&mut unit.conn)
            .await
            .doing(DOING)?;
    }
    Ok(())
}

/// The webhooks of a session as of this transaction.
async fn webhooks(unit: &mut Unit, session: SessionId) -> StoreResult<Arc<Vec<Webhook>>> {
    if let Some(known) = unit.webhooks.get(&session) {
        return Ok(known.clone());
    }
    let cipher = unit.cipher.clone();
    let found = Arc::new(webhook::of_session(&mut unit.conn, session, &cipher).await?);
    unit.remember(session, found.clone());
    Ok(found)
}
