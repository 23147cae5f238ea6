//! An item that has failed, and did go out after all.

use domain::{
    EventId, SessionId, Timestamp, WaMessageId,
    batch::{Batch, BatchState},
    event::EventDraft,
    port::StoreResult,
};

use super::{change::end_event, read};
use crate::{
    db,
    error::{Doing as _, corrupt},
    writer::Unit,
};

const DOING: &str = "confirming an item of a batch";

db::statements! {
    FIND = both("select batch_item.batch from batch_item join batch on batch.position = batch_item.batch \
         where batch.session_id = $1 and batch_item.wa_id = $2 and batch_item.state = 'failed'");
    CONFIRM = both("update batch_item set state = 'sent', at = $3, error_code = null, error_message = null \
         where batch = $1 and wa_id = $2 and state = 'failed'");
    COUNT = both("update batch set sent = sent + 1, failed = failed - 1 where position = $1");
    END = both("update batch set state = $2 where position = $1");
}

pub(crate) async fn confirm(
    unit: &mut Unit,
    session: SessionId,
    wa_id: &WaMessageId,
    sent_at: Timestamp,
    (event, at): (EventId, Timestamp),
) -> StoreResult<Option<Vec<EventDraft>>> {
    let found: Option<i64> = db::query_scalar(&FIND)
        .bind(session.to_string())
        .bind(wa_id.as_str())
        .fetch_optional(&mut unit.conn)
        .await
        .doing(DOING)?;
    let Some(position) = found else { return Ok(None) };
    db::query(&CONFIRM)
        .bind(position)
        .bind(wa_id.as_str())
        .bind(sent_at.millis())
        .execute(&mut unit.conn)
        .await
        .doing(DOING)?;
    db::query(&COUNT).bind(position).execute(&mut unit.conn).await.doing(DOING)?;
    let batch = read::at(unit, position).await?.ok_or_else(|| corrupt(DOING))?;
    let Some(state) = new_end(&batch) else { return Ok(Some(vec![])) };
    let end = db::query(&END).bind(position).bind(state.as_str());
    end.execute(&mut unit.conn).await.doing(DOING)?;
    let batch = Batch { state, ..batch };
    Ok(Some(vec![end_event(&batch, event, at)]))
}

/// The end the batch has now, when it is another one.
fn new_end(batch: &Batch) -> Option<BatchState> {
    let progress = batch.progress;
    if !matches!(batch.state, BatchState::Completed | BatchState::Failed) {
        return None;
    }
    // What it kept from being sent stays unsent: it was stopped.
    let stopped = batch.options.stop_on_error && progress.failed + progress.cancelled > 0;
    Some(progress.end(stopped)).filter(|state| *state != batch.state)
}
