//! An item that has failed, and did go out after all.

use domain::{
    SessionId, Timestamp, WaMessageId, batch,
    event::{self, EventDraft},
    port::StoreResult,
};

use super::{EventStamp, read};
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
    STORE = both("update batch set state = $2, sent = $3, failed = $4 where position = $1");
}

pub(crate) async fn confirm(
    unit: &mut Unit,
    session: SessionId,
    wa_id: &WaMessageId,
    sent_at: Timestamp,
    stamp: EventStamp,
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
    let batch = read::at(unit, position).await?.ok_or_else(|| corrupt(DOING))?;
    let (batch, kind) = batch::confirm_item(&batch);
    let store = db::query(&STORE)
        .bind(position)
        .bind(batch.state.as_str())
        .bind(batch.progress.sent)
        .bind(batch.progress.failed);
    store.execute(&mut unit.conn).await.doing(DOING)?;
    let event = kind.map(|kind| event::batch_event(stamp.id, kind, &batch, stamp.at));
    Ok(Some(event.into_iter().collect()))
}
