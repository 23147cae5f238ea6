//! Storing a batch with its items.

use domain::{
    MediaId,
    batch::{self, ItemContent, NewItem},
    port::{Created, NewBatch, StoreResult},
};

use super::{EventStamp, change, content_aad, read};
use crate::{
    db::{self, Query, Row},
    error::{Doing as _, corrupt},
    ledger,
    writer::Unit,
};

const DOING: &str = "storing a batch";

db::statements! {
    TAKEN = both("select exists (select 1 from batch where session_id = $1 and id = $2)");
    COUNT = both("select count(*) from batch where session_id = $1 and state in ('pending','processing')");
    INSERT = both("insert into batch (session_id, id, state, options, total, failed, created_at) \
         values ($1, $2, 'pending', $3, $4, $5, $6) returning position");
    // The items are many: so many rows per statement.
    INSERT_ITEMS = both("insert into batch_item (batch, place, chat, wa_id, zone, state, at, error_code, \
         error_message, content, file) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)");
}

pub(super) async fn create(unit: &mut Unit, new: NewBatch, most: u32) -> StoreResult<Created> {
    let session = new.session.to_string();
    let taken: bool = db::query_scalar(&TAKEN)
        .bind(&session)
        .bind(new.id.as_str())
        .fetch_one(&mut unit.conn)
        .await
        .doing(DOING)?;
    if taken {
        return Ok(Created::Taken);
    }
    let count: i64 =
        db::query_scalar(&COUNT).bind(&session).fetch_one(&mut unit.conn).await.doing(DOING)?;
    if most > 0 && count >= i64::from(most) {
        return Ok(Created::TooMany);
    }
    let failed = new.items.iter().filter(|item| item.content.is_err()).count();
    let number = |count: usize| u32::try_from(count).map_err(|_| corrupt(DOING));
    let (total, failed) = (number(new.items.len())?, number(failed)?);
    let options = serde_json::to_string(&new.options).map_err(|_| corrupt(DOING))?;
    let position: i64 = db::query_scalar(&INSERT)
        .bind(&session)
        .bind(new.id.as_str())
        .bind(options)
        .bind(total)
        .bind(failed)
        .bind(new.at.millis())
        .fetch_one(&mut unit.conn)
        .await
        .doing(DOING)?;
    for (sql, items) in INSERT_ITEMS.runs(unit.conn.dialect(), &new.items) {
        let mut query = db::query(sql);
        for item in items {
            query = bind(query, unit, position, &session, &new, item)?;
        }
        query.execute(&mut unit.conn).await.doing(DOING)?;
    }
    let made = read::at(unit, position).await?.ok_or_else(|| corrupt(DOING))?;
    let (record, effects) = batch::end_at_once(made);
    if !effects.is_empty() {
        change::store(unit, position, &record).await?;
        let stamp = EventStamp { id: new.event, at: new.at };
        let events = change::perform(unit, position, &record.batch, effects, stamp).await?;
        ledger::record_all(unit, events).await?;
    }
    Ok(Created::Stored(Box::new(record.batch)))
}

/// The values of one row.
fn bind<'q>(
    query: Query<'q, Row>,
    unit: &Unit,
    position: i64,
    session: &str,
    new: &'q NewBatch,
    item: &'q NewItem,
) -> StoreResult<Query<'q, Row>> {
    let index = item.index.to_string();
    let (content, error) = match &item.content {
        Ok(content) => {
            let plain = serde_json::to_vec(content).map_err(|_| corrupt(DOING))?;
            let at = content_aad(session, new.id.as_str(), &index);
            (Some(unit.cipher.seal(&at, &plain)), None)
        }
        Err(error) => (None, Some(error)),
    };
    let file = item.content.as_ref().ok().and_then(ItemContent::file);
    Ok(query
        .bind(position)
        .bind(item.index)
        .bind(item.chat.as_str())
        .bind(item.wa_id.as_str())
        .bind(item.zone.as_deref())
        .bind(if error.is_some() { "failed" } else { "pending" })
        .bind(error.map(|_| new.at.millis()))
        .bind(error.map(|error| error.code.as_str()))
        .bind(error.map(|error| error.message.as_str()))
        .bind(content)
        .bind(file.map(MediaId::as_str)))
}
