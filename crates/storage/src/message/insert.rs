//! New messages, with what belongs to them.

use domain::{
    event::EventDraft,
    message::{Message, MessageStatus, MessageType, OutgoingMessage},
    port::{NewMessage, StoreResult},
};

use super::{find, held, outgoing_place};
use crate::{
    db,
    error::{Doing as _, corrupt},
    idempotency, media, people, status,
    writer::Unit,
};

db::statements! {
    INSERT = both("insert into message (id, session_id, wa_id, chat, sender, recipient, chat_name, author, body, \
         kind, direction, timestamp, metadata, status, created_at, media_path, media_mimetype, outgoing) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18) \
         on conflict (session_id, wa_id) do nothing");
    // The row keeps its id and its position in the list.
    REPLACE = both("update message set chat = $3, sender = $4, recipient = $5, chat_name = $6, author = $7, body = \
         $8, \
         kind = $9, direction = $10, timestamp = $11, metadata = $12, status = $13, media_path = $14, \
         media_mimetype = $15 \
         where session_id = $1 and wa_id = $2 and kind = 'masked'");
}

/// Whether a row is new.
#[derive(Clone, Copy, PartialEq, Eq)]
enum InsertOutcome {
    New,
    /// It replaced one that could not be decrypted.
    Replaced,
    Known,
}

/// Stores a message unless its id is known in its session, or its key taken (`None`); the events to record, its own and those of what was
/// held for it. A session that does not exist is an error: nothing may be
/// sent whose row is not there.
pub(crate) async fn insert(
    unit: &mut Unit,
    new: &NewMessage,
    events: &[EventDraft],
) -> StoreResult<Option<Vec<EventDraft>>> {
    let NewMessage { message, outgoing, media, idempotency_key } = new;
    let mut message = people::canonicalised(unit, message).await?;
    if let Some(record) = media {
        media::show(message.to_mut(), &record.media.mimetype, &record.state);
    }
    if let Some(key) = idempotency_key
        && !idempotency::take(unit, &message, key).await?
    {
        return Ok(None);
    }
    let outcome = insert_or_replace(unit, &message, outgoing.as_ref()).await?;
    if outcome == InsertOutcome::Known {
        return Ok(None);
    }
    if let Some(record) = media {
        media::insert(unit, message.session, &message.wa_id, record).await?;
    }
    if let Some(post) = outgoing.as_ref().and_then(|outgoing| outgoing.status.as_deref()) {
        status::keep_audience(unit, message.session, &message.wa_id, &post.audience).await?;
    }
    people::message_came(unit, &message, outcome == InsertOutcome::New).await?;
    let mut events = events.to_vec();
    if message.kind != MessageType::Masked {
        events.extend(held::apply(unit, message.session, &message.wa_id).await?);
    }
    Ok(Some(events))
}

async fn insert_or_replace(
    unit: &mut Unit,
    message: &Message,
    outgoing: Option<&OutgoingMessage>,
) -> StoreResult<InsertOutcome> {
    let outgoing = outgoing.filter(|_| message.status == MessageStatus::Pending);
    let sealed = outgoing.map(|outgoing| seal(unit, message, outgoing)).transpose()?;
    let done = bound(db::query(&INSERT), message, sealed).execute(&mut unit.conn).await;
    if done.doing("storing a message")?.rows_affected() == 1 {
        return Ok(InsertOutcome::New);
    }
    if message.kind != MessageType::Masked && replace(unit, message).await? {
        return Ok(InsertOutcome::Replaced);
    }
    Ok(InsertOutcome::Known)
}

/// The values of a row.
pub(super) fn bound<'q, T: db::FromRow>(
    query: db::Query<'q, T>,
    message: &'q Message,
    sealed: Option<Vec<u8>>,
) -> db::Query<'q, T> {
    query
        .bind(message.id.to_string())
        .bind(message.session.to_string())
        .bind(message.wa_id.as_str())
        .bind(message.chat.as_str())
        .bind(&message.from)
        .bind(&message.to)
        .bind(message.chat_name.as_deref())
        .bind(message.author.as_ref().map(domain::ChatId::as_str))
        .bind(message.body.as_deref())
        .bind(message.kind.as_str())
        .bind(message.direction.as_str())
        .bind(message.timestamp)
        .bind(message.metadata.to_string())
        .bind(message.status.as_str())
        .bind(message.created_at.millis())
        .bind(message.media_path.as_deref())
        .bind(message.media_mimetype.as_deref())
        .bind(sealed)
}

fn seal(unit: &Unit, message: &Message, outgoing: &OutgoingMessage) -> StoreResult<Vec<u8>> {
    let plain = serde_json::to_vec(outgoing).map_err(|_| corrupt("storing a message"))?;
    let session = message.session.to_string();
    Ok(unit.cipher.seal(&outgoing_place(&session, &message.wa_id), &plain))
}

/// Replaces a message that could not be read by a readable one.
async fn replace(unit: &mut Unit, message: &Message) -> StoreResult<bool> {
    let Some(masked) = find(unit, message.session, &message.wa_id).await? else { return Ok(false) };
    // What is known of how far it got stays.
    let status =
        if masked.status.may_become(message.status) { message.status } else { masked.status };
    let done = db::query(&REPLACE)
        .bind(message.session.to_string())
        .bind(message.wa_id.as_str())
        .bind(message.chat.as_str())
        .bind(&message.from)
        .bind(&message.to)
        .bind(message.chat_name.as_deref())
        .bind(message.author.as_ref().map(domain::ChatId::as_str))
        .bind(message.body.as_deref())
        .bind(message.kind.as_str())
        .bind(message.direction.as_str())
        .bind(message.timestamp)
        .bind(message.metadata.to_string())
        .bind(status.as_str())
        .bind(message.media_path.as_deref())
        .bind(message.media_mimetype.as_deref())
        .execute(&mut unit.conn)
        .await;
    Ok(done.doing("replacing a message")?.rows_affected() == 1)
}
