//! Changes, events and deliveries in one transaction.

use std::sync::Arc;

use async_trait::async_trait;
use domain::{
    DeliveryId, SessionId, Timestamp,
    event::{Event, EventDraft},
    port::{Ledger, StoreResult, Write, WriteOutcome},
    webhook::Webhook,
};

use crate::{
    batch,
    error::{Doing as _, corrupt, gone},
    media,
    message::{self, Ack},
    open::SqliteStore,
    people, session, webhook,
    writer::Unit,
};

const NEXT_SEQUENCE: &str =
    "update session set last_sequence = last_sequence + $2 where id = $1 returning last_sequence";
const INSERT_EVENT: &str = "insert into event (id, session_id, sequence, kind, occurred_at, chat, idempotency_key, data) \
     values ($1, $2, $3, $4, $5, $6, $7, $8)";
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

    async fn release_held(&self, now: Timestamp) -> StoreResult<u64> {
        let mut total = 0;
        loop {
            let released = self
                .writer
                .run("releasing held changes", move |unit| Box::pin(message::release(unit, now)))
                .await?;
            total += released;
            // In portions, so that other writers are not kept waiting.
            if released < message::RELEASE_BATCH {
                return Ok(total);
            }
        }
    }

    async fn ping(&self) -> StoreResult<()> {
        let answer = sqlx::query_scalar::<_, i64>("select 1").fetch_one(&self.readers).await;
        answer.doing("asking the database").map(|_| ())
    }
}

async fn apply(unit: &mut Unit, write: Write) -> StoreResult<WriteOutcome> {
    match write {
        Write::InsertMessage { message, events } => message::insert(unit, *message, events).await,
        Write::ChangeMessage { session, wa_id, change, hold_until, events } => {
            message::change(unit, session, &wa_id, *change, hold_until, events).await
        }
        Write::AdvanceMessage {
            session,
            wa_id,
            status,
            timestamp,
            metadata,
            hold_until,
            events,
        } => {
            let ack = Ack { status, timestamp, metadata };
            message::advance(unit, session, &wa_id, ack, hold_until, events).await
        }
        Write::LearnIdentity { session, identity } => {
            let learned = people::learn_identity(unit, session, &identity).await?;
            recorded_if(unit, learned, vec![]).await
        }
        Write::LearnContact { session, id, patch } => {
            let learned = people::learn_contact(unit, session, &id, &patch).await?;
            recorded_if(unit, learned, vec![]).await
        }
        Write::MarkChat { session, chat, mark } => {
            let marked = people::mark_chat(unit, session, &chat, mark).await?;
            recorded_if(unit, marked, vec![]).await
        }
        Write::NameChat { session, chat, name } => {
            let named = people::name_chat(unit, session, &chat, &name).await?;
            recorded_if(unit, named, vec![]).await
        }
        Write::SettleMedia { session, wa_id, state, events } => {
            let settled = media::settle(unit, session, &wa_id, &state).await?;
            recorded_if(unit, settled, events).await
        }
        Write::PatchSession { session, patch, events } => {
            let patched = session::patch(unit, session, *patch).await?;
            recorded_if(unit, patched, events).await
        }
        Write::Batch { session, batch, change, at, event } => {
            batch::change(unit, session, &batch, *change, (event, at)).await
        }
        Write::Append { event } => {
            let recorded = record(unit, vec![*event]).await?;
            Ok(recorded.map_or(WriteOutcome::Unchanged, WriteOutcome::Applied))
        }
    }
}

/// Records the events of a change that applied.
async fn recorded_if(
    unit: &mut Unit,
    applied: bool,
    events: Vec<EventDraft>,
) -> StoreResult<WriteOutcome> {
    if !applied {
        return Ok(WriteOutcome::Unchanged);
    }
    record_all(unit, events).await.map(WriteOutcome::Applied)
}

/// Records events of a session that is there, because something of it was just changed.
pub(crate) async fn record_all(
    unit: &mut Unit,
    drafts: Vec<EventDraft>,
) -> StoreResult<Vec<Event>> {
    record(unit, drafts).await?.ok_or_else(|| gone("recording an event of a session"))
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
    let webhooks = webhooks(unit, session).await?;
    let mut events = Vec::with_capacity(drafts.len());
    for (draft, sequence) in drafts.into_iter().zip(first..) {
        let event = Event { draft, sequence };
        store(unit, &event, &webhooks).await?;
        events.push(event);
    }
    Ok(Some(events))
}

async fn store(unit: &mut Unit, event: &Event, webhooks: &[Webhook]) -> StoreResult<()> {
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
