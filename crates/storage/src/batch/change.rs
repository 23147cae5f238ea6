//! Changes of batches: the rules are [`batch::transition`]'s, called in the transaction that stores what it decides.

use domain::{
    SessionId, Timestamp,
    batch::{self, Batch, BatchChange, BatchEffect, BatchId, BatchRecord, ItemOutcome, ItemState},
    event::{self, EventDraft},
    port::StoreResult,
};

use super::{EventStamp, read};
use crate::{
    db::{self, Query, Row},
    error::{Doing as _, corrupt},
    writer::Unit,
};

const DOING: &str = "changing a batch";

db::statements! {
    ITEM = both("select state from batch_item where batch = $1 and place = $2");
    STORE = both("update batch set state = $2, hold_reason = $3, hold_until = $4, sent = $5, failed = $6, cancelled = $7, \
     started_at = $8, completed_at = $9, told_at = $10 where position = $1");
    OPEN_ITEM = both("update batch_item set state = 'open', at = $3, epoch = $4 where batch = $1 and place = $2");
    REQUEUE_ITEM = both("update batch_item set state = 'pending', at = null, wa_id = coalesce($3, wa_id) \
     where batch = $1 and place = $2");
    CANCEL_ITEM = both("update batch_item set state = 'cancelled', at = null, content = null \
     where batch = $1 and place = $2");
    SENT = both("update batch_item set state = 'sent', at = $3, content = null where batch = $1 and place = $2");
    FAILED = both("update batch_item set state = 'failed', at = $3, error_code = $4, error_message = $5, content = null \
     where batch = $1 and place = $2");
    CANCEL_PENDING = both("update batch_item set state = 'cancelled', at = null, content = null \
     where batch = $1 and state = 'pending'");
    SET_PACE = both("insert into batch_pace (session_id, next_at) values ($1, $2) \
     on conflict (session_id) do update set next_at = excluded.next_at");
}

/// The events of a change, or nothing when it no longer fits.
pub(crate) async fn change(
    unit: &mut Unit,
    session: SessionId,
    id: &BatchId,
    change: BatchChange,
    stamp: EventStamp,
) -> StoreResult<Option<Vec<EventDraft>>> {
    let Some((position, record)) = read::record(unit, session, id).await? else {
        return Ok(None);
    };
    let item = match change.item() {
        Some(index) => item_state(unit, position, index).await?,
        None => None,
    };
    let Ok((next, effects)) = batch::transition(&record, item, change, stamp.at) else {
        return Ok(None);
    };
    store(unit, position, &next).await?;
    perform(unit, position, &next.batch, effects, stamp).await.map(Some)
}

async fn item_state(unit: &mut Unit, position: i64, index: u32) -> StoreResult<Option<ItemState>> {
    let word: Option<String> = db::query_scalar(&ITEM)
        .bind(position)
        .bind(index)
        .fetch_optional(&mut unit.conn)
        .await
        .doing(DOING)?;
    word.map(|word| ItemState::parse(&word).ok_or_else(|| corrupt(DOING))).transpose()
}

/// Stores what can change of a batch.
pub(super) async fn store(unit: &mut Unit, position: i64, record: &BatchRecord) -> StoreResult<()> {
    let (batch, progress) = (&record.batch, record.batch.progress);
    let millis = |at: Option<Timestamp>| at.map(Timestamp::millis);
    let query = db::query(&STORE)
        .bind(position)
        .bind(batch.state.as_str())
        .bind(batch.hold.map(|hold| hold.reason.as_str()))
        .bind(millis(batch.hold.and_then(|hold| hold.until)))
        .bind(progress.sent)
        .bind(progress.failed)
        .bind(progress.cancelled)
        .bind(millis(batch.started_at))
        .bind(millis(batch.completed_at))
        .bind(millis(record.notified_at));
    query.execute(&mut unit.conn).await.doing(DOING).map(|_| ())
}

/// Does what a change decided; the events, with the batch as it is now.
pub(super) async fn perform(
    unit: &mut Unit,
    position: i64,
    batch: &Batch,
    effects: Vec<BatchEffect>,
    stamp: EventStamp,
) -> StoreResult<Vec<EventDraft>> {
    let mut events = Vec::new();
    for effect in effects {
        let query = match effect {
            BatchEffect::Emit(kind) => {
                events.push(event::batch_event(stamp.id, kind, batch, stamp.at));
                continue;
            }
            BatchEffect::OpenItem { index, epoch } => {
                let epoch = i64::try_from(epoch).map_err(|_| corrupt(DOING))?;
                let at = stamp.at.millis();
                db::query(&OPEN_ITEM).bind(position).bind(index).bind(at).bind(epoch)
            }
            BatchEffect::RequeueItem { index, wa_id } => {
                let wa_id = wa_id.map(|id| id.as_str().to_owned());
                db::query(&REQUEUE_ITEM).bind(position).bind(index).bind(wa_id)
            }
            BatchEffect::CancelItem { index } => db::query(&CANCEL_ITEM).bind(position).bind(index),
            BatchEffect::FinishItem { index, outcome } => {
                finish_item(position, index, outcome, stamp.at)
            }
            BatchEffect::CancelPending => db::query(&CANCEL_PENDING).bind(position),
            BatchEffect::SetPace(pace) => {
                db::query(&SET_PACE).bind(batch.session.to_string()).bind(pace.millis())
            }
        };
        query.execute(&mut unit.conn).await.doing(DOING)?;
    }
    Ok(events)
}

fn finish_item(
    position: i64,
    index: u32,
    outcome: ItemOutcome,
    at: Timestamp,
) -> Query<'static, Row> {
    match outcome {
        ItemOutcome::Sent(sent_at) => {
            db::query(&SENT).bind(position).bind(index).bind(sent_at.millis())
        }
        ItemOutcome::Failed(error) => db::query(&FAILED)
            .bind(position)
            .bind(index)
            .bind(at.millis())
            .bind(error.code)
            .bind(error.message),
    }
}
