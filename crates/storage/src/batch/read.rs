//! Reading batches and their items.

use domain::{
    ChatId, SessionId, Timestamp, WaMessageId,
    batch::{
        Batch, BatchId, BatchItem, BatchRecord, BatchState, Hold, HoldReason, ItemContent,
        ItemError, ItemState, Progress,
    },
    pacing::PacingState,
    port::{BulkFacts, OpenItem, Page, RecipientScope, StoreResult},
};
use serde_json::json;

use super::content_aad;
use crate::{
    db::{self, Row},
    error::{Doing as _, corrupt},
    open::LedgerStore,
    writer::Unit,
};

db::statements! {
    AT = both("select * from batch where position = $1");
    GET = both("select * from batch where session_id = $1 and id = $2");
    RECORD = both("select batch.*, (select count(*) from batch_item where batch_item.batch = batch.position \
         and batch_item.state = 'open') as open_items from batch where session_id = $1 and id = $2");
    LIST = both("select * from batch where session_id = $1 and ($2 is null or state = $2) \
         order by position desc limit $3 offset $4");
    UNFINISHED = both("select * from batch where session_id = $1 and state in ('pending','processing') \
         order by position");
    ITEMS = both("select * from batch_item where batch = (select position from batch where session_id = $1 and id \
         = $2) \
         and ($3 = 0 or state <> 'pending') order by place limit $4 offset $5");
    SESSIONS = both("select batch.session_id from batch join session on session.id = batch.session_id \
         where batch.state in ('pending','processing') and session.deleted = 0 \
         union select batch.session_id from batch_item join batch on batch.position = batch_item.batch \
         join session on session.id = batch.session_id where batch_item.state = 'open' and session.deleted = 0");
    ZONES = both("select distinct zone from batch_item \
         where batch = (select position from batch where session_id = $1 and id = $2) and state = 'pending'");
    NEXT = DialectPair {
        sqlite: "select * from batch_item as item \
             where batch = (select position from batch where session_id = $1 and id = $2) and state = 'pending' \
             and coalesce(zone, '') in (select value from json_each($3)) \
             and ($4 = 0 or exists (select 1 from message where message.session_id = $1 and message.chat = item.chat \
             and ($4 = 1 or message.direction = 'incoming'))) \
             order by place limit 1",
        postgres: "select * from batch_item as item \
             where batch = (select position from batch where session_id = $1 and id = $2) and state = 'pending' \
             and coalesce(zone, '') in (select json_array_elements_text($3::json)) \
             and ($4 = 0 or exists (select 1 from message where message.session_id = $1 and message.chat = item.chat \
             and ($4 = 1 or message.direction = 'incoming'))) \
             order by place limit 1",
    };
    OPEN = both("select batch_item.*, batch.id as batch_id, batch.options as batch_options \
         from batch_item join batch on batch.position = batch_item.batch \
         where batch.session_id = $1 and batch_item.state = 'open' order by batch_item.at, batch, place");
    PACE = both("select next_at from batch_pace where session_id = $1");
    PACING = both("select state from pacing where session_id = $1");
    COLD = DialectPair {
        sqlite: "select not exists (select 1 from message where session_id = $1 and chat = asked.value) \
             from json_each($2) as asked order by asked.key",
        postgres: "select not exists (select 1 from message where session_id = $1 and chat = asked.value) \
             from json_array_elements_text($2::json) with ordinality as asked(value, key) order by asked.key",
    };
}

const DOING: &str = "reading a batch";

pub(super) fn batch(row: &Row) -> StoreResult<Batch> {
    let bad = || corrupt(DOING);
    let text = |name: &str| row.try_get::<String, _>(name).doing(DOING);
    let count = |name: &str| {
        let number: i64 = row.try_get(name).doing(DOING)?;
        u32::try_from(number).map_err(|_| bad())
    };
    let (total, sent) = (count("total")?, count("sent")?);
    let (failed, cancelled) = (count("failed")?, count("cancelled")?);
    let pending = total.checked_sub(sent + failed + cancelled).ok_or_else(bad)?;
    let reason: Option<String> = row.try_get("hold_reason").doing(DOING)?;
    let reason = reason.map(|word| HoldReason::parse(&word).ok_or_else(bad)).transpose()?;
    let until = maybe_time(row, "hold_until")?;
    Ok(Batch {
        session: text("session_id")?.parse().map_err(|_| bad())?,
        id: BatchId::parse(&text("id")?).ok_or_else(bad)?,
        state: BatchState::parse(&text("state")?).ok_or_else(bad)?,
        hold: reason.map(|reason| Hold { reason, until }),
        options: serde_json::from_str(&text("options")?).map_err(|_| bad())?,
        progress: Progress { total, sent, failed, pending, cancelled },
        created_at: Timestamp::from_millis(row.try_get("created_at").doing(DOING)?),
        started_at: maybe_time(row, "started_at")?,
        completed_at: maybe_time(row, "completed_at")?,
    })
}

fn maybe_time(row: &Row, name: &str) -> StoreResult<Option<Timestamp>> {
    let millis: Option<i64> = row.try_get(name).doing(DOING)?;
    Ok(millis.map(Timestamp::from_millis))
}

fn item(row: &Row) -> StoreResult<BatchItem> {
    let bad = || corrupt(DOING);
    let text = |name: &str| row.try_get::<String, _>(name).doing(DOING);
    let maybe = |name: &str| row.try_get::<Option<String>, _>(name).doing(DOING);
    let error = match (maybe("error_code")?, maybe("error_message")?) {
        (Some(code), message) => Some(ItemError { code, message: message.unwrap_or_default() }),
        _ => None,
    };
    Ok(BatchItem {
        index: u32::try_from(row.try_get::<i64, _>("place").doing(DOING)?).map_err(|_| bad())?,
        chat: text("chat")?.parse().map_err(|_| bad())?,
        wa_id: WaMessageId::from_wire(text("wa_id")?),
        state: ItemState::parse(&text("state")?).ok_or_else(bad)?,
        at: maybe_time(row, "at")?,
        error,
    })
}

/// One batch, as of this transaction.
pub(super) async fn at(unit: &mut Unit, position: i64) -> StoreResult<Option<Batch>> {
    let row = db::query(&AT).bind(position).fetch_optional(&mut unit.conn).await.doing(DOING)?;
    row.as_ref().map(batch).transpose()
}

/// A batch with what a change of it depends on, as of this transaction, and the number of its row.
pub(super) async fn record(
    unit: &mut Unit,
    session: SessionId,
    id: &BatchId,
) -> StoreResult<Option<(i64, BatchRecord)>> {
    let row = db::query(&RECORD).bind(session.to_string()).bind(id.as_str());
    let Some(row) = row.fetch_optional(&mut unit.conn).await.doing(DOING)? else { return Ok(None) };
    let open: i64 = row.try_get("open_items").doing(DOING)?;
    let record = BatchRecord {
        batch: batch(&row)?,
        open: u32::try_from(open).map_err(|_| corrupt(DOING))?,
        notified_at: maybe_time(&row, "told_at")?,
    };
    Ok(Some((row.try_get("position").doing(DOING)?, record)))
}

pub(super) async fn get(
    store: &LedgerStore,
    session: SessionId,
    id: &BatchId,
) -> StoreResult<Option<Batch>> {
    let row = db::query(&GET).bind(session.to_string()).bind(id.as_str());
    row.fetch_optional(&store.readers).await.doing(DOING)?.as_ref().map(batch).transpose()
}

pub(super) async fn list(
    store: &LedgerStore,
    session: SessionId,
    state: Option<BatchState>,
    page: Page,
) -> StoreResult<Vec<Batch>> {
    let rows = db::query(&LIST)
        .bind(session.to_string())
        .bind(state.map(BatchState::as_str))
        .bind(page.limit)
        .bind(page.offset)
        .fetch_all(&store.readers)
        .await;
    let rows = rows.doing("listing batches")?;
    Ok(store.unreadable.rows("batch", &["session_id", "id"], &rows, batch))
}

pub(super) async fn unfinished(store: &LedgerStore, session: SessionId) -> StoreResult<Vec<Batch>> {
    let rows = db::query(&UNFINISHED).bind(session.to_string()).fetch_all(&store.readers).await;
    let rows = rows.doing("listing batches")?;
    Ok(store.unreadable.rows("batch", &["session_id", "id"], &rows, batch))
}

pub(super) async fn items(
    store: &LedgerStore,
    session: SessionId,
    id: &BatchId,
    touched: bool,
    page: Page,
) -> StoreResult<Vec<BatchItem>> {
    let rows = db::query(&ITEMS)
        .bind(session.to_string())
        .bind(id.as_str())
        .bind(touched)
        .bind(page.limit)
        .bind(page.offset)
        .fetch_all(&store.readers)
        .await;
    rows.doing("listing the items of a batch")?.iter().map(item).collect()
}

pub(super) async fn sessions(store: &LedgerStore) -> StoreResult<Vec<SessionId>> {
    let rows: Vec<String> =
        db::query_scalar(&SESSIONS).fetch_all(&store.readers).await.doing("listing batches")?;
    rows.iter().map(|id| id.parse().map_err(|_| corrupt(DOING))).collect()
}

pub(super) async fn zones(
    store: &LedgerStore,
    session: SessionId,
    id: &BatchId,
) -> StoreResult<Vec<Option<String>>> {
    let zones = db::query_scalar(&ZONES).bind(session.to_string()).bind(id.as_str());
    zones.fetch_all(&store.readers).await.doing(DOING)
}

pub(super) async fn next_item(
    store: &LedgerStore,
    session: SessionId,
    id: &BatchId,
    zones: &[Option<String>],
    whom: RecipientScope,
) -> StoreResult<Option<(BatchItem, ItemContent)>> {
    let session = session.to_string();
    let zones: Vec<&str> = zones.iter().map(|zone| zone.as_deref().unwrap_or_default()).collect();
    let whom = match whom {
        RecipientScope::Anyone => 0,
        RecipientScope::HasHistory => 1,
        RecipientScope::HasWrittenToUs => 2,
    };
    let row = db::query(&NEXT)
        .bind(&session)
        .bind(id.as_str())
        .bind(json!(zones).to_string())
        .bind(whom)
        .fetch_optional(&store.readers)
        .await;
    let Some(row) = row.doing(DOING)? else { return Ok(None) };
    let found = item(&row)?;
    let sealed: Vec<u8> = row.try_get("content").doing(DOING)?;
    let index = found.index.to_string();
    let plain = store.cipher.open(&content_aad(&session, id.as_str(), &index), &sealed)?;
    let content = serde_json::from_slice(&plain).map_err(|_| corrupt(DOING))?;
    Ok(Some((found, content)))
}

pub(super) async fn open_items(
    store: &LedgerStore,
    session: SessionId,
) -> StoreResult<Vec<OpenItem>> {
    let rows = db::query(&OPEN).bind(session.to_string()).fetch_all(&store.readers).await;
    let rows = rows.doing("listing the items of a batch")?;
    let read = |row: &Row| {
        let text = |name: &str| row.try_get::<String, _>(name).doing(DOING);
        Ok(OpenItem {
            batch: BatchId::parse(&text("batch_id")?).ok_or_else(|| corrupt(DOING))?,
            options: serde_json::from_str(&text("batch_options")?).map_err(|_| corrupt(DOING))?,
            item: item(row)?,
            epoch: u64::try_from(row.try_get::<i64, _>("epoch").doing(DOING)?)
                .map_err(|_| corrupt(DOING))?,
        })
    };
    rows.iter().map(read).collect()
}

pub(super) async fn facts(
    store: &LedgerStore,
    session: SessionId,
    chats: &[ChatId],
) -> StoreResult<BulkFacts> {
    let session = session.to_string();
    let pace: Option<i64> =
        db::query_scalar(&PACE).bind(&session).fetch_optional(&store.readers).await.doing(DOING)?;
    let pacing: Option<String> = db::query_scalar(&PACING)
        .bind(&session)
        .fetch_optional(&store.readers)
        .await
        .doing(DOING)?;
    let pacing = pacing.map(|state| serde_json::from_str(&state).map_err(|_| corrupt(DOING)));
    let cold: Vec<bool> = db::query_scalar(&COLD)
        .bind(&session)
        .bind(json!(chats).to_string())
        .fetch_all(&store.readers)
        .await
        .doing(DOING)?;
    Ok(BulkFacts {
        pacing: pacing.transpose()?.unwrap_or_else(PacingState::default),
        cold,
        pace: pace.map(Timestamp::from_millis),
    })
}
