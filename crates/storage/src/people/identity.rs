//! Which number is behind which privacy id.

use std::borrow::Cow;

use domain::{ChatId, PhoneNumber, SessionId, chat::Identity, message::Message, port::StoreResult};

use super::{chat, contact};
use crate::{
    db::{self, Executor},
    error::{Doing as _, corrupt},
    label, stats,
    writer::Unit,
};

db::statements! {
    PHONE = both("select phone from identity where session_id = $1 and lid = $2");
    // A number may have had several privacy ids: the last learned counts.
    LID = both("select lid from identity where session_id = $1 and phone = $2 order by position desc limit 1");
    FORGET = both("delete from identity where session_id = $1 and lid = $2");
    LEARN = both("insert into identity (session_id, lid, phone) values ($1, $2, $3)");
    // The chat of the person, with whatever in it names them; then what they wrote elsewhere.
    MOVE_CHAT = both("update message set chat = $3, \
         sender = case when sender = $2 then $3 else sender end, \
         recipient = case when recipient = $2 then $3 else recipient end, \
         media_path = case when media_path is not null \
         then '/api/sessions/' || session_id || '/messages/' || $3 || '/' || wa_id || '/media' end \
         where session_id = $1 and chat = $2");
    // Nothing is left in the chat of the privacy id: what it sent is in other chats.
    MOVE_SENDER = both("update message set sender = $3 where session_id = $1 and sender = $2 and sender <> chat");
    MOVE_AUTHOR = both("update message set author = $3 where session_id = $1 and author = $2");
}

/// The number behind a privacy id.
pub(super) async fn phone_of(
    conn: impl Executor,
    session: SessionId,
    lid: &ChatId,
) -> StoreResult<Option<PhoneNumber>> {
    const DOING: &str = "looking a privacy id up";
    let phone: Option<String> = db::query_scalar(&PHONE)
        .bind(session.to_string())
        .bind(lid.as_str())
        .fetch_optional(conn)
        .await
        .doing(DOING)?;
    phone.map(|phone| PhoneNumber::parse(&phone).ok_or_else(|| corrupt(DOING))).transpose()
}

/// The privacy id of a number.
pub(super) async fn lid_of(
    conn: impl Executor,
    session: SessionId,
    phone: &PhoneNumber,
) -> StoreResult<Option<ChatId>> {
    const DOING: &str = "looking the privacy id of a number up";
    let lid: Option<String> = db::query_scalar(&LID)
        .bind(session.to_string())
        .bind(phone.digits())
        .fetch_optional(conn)
        .await
        .doing(DOING)?;
    lid.map(|lid| lid.parse().map_err(|_| corrupt(DOING))).transpose()
}

/// The number's chat for a privacy id whose number is known, else the id itself.
pub(crate) async fn canonical(
    conn: impl Executor,
    session: SessionId,
    id: &ChatId,
) -> StoreResult<ChatId> {
    if !id.is_lid() {
        return Ok(id.clone());
    }
    let phone = phone_of(conn, session, id).await?;
    Ok(phone.map_or_else(|| id.clone(), |phone| phone.chat()))
}

/// Whether a privacy id is among the ids of a message.
pub(crate) fn names_lid(message: &Message) -> bool {
    let is_lid = |end: &str| end.parse::<ChatId>().is_ok_and(|id| id.is_lid());
    message.chat.is_lid()
        || message.author.as_ref().is_some_and(ChatId::is_lid)
        || is_lid(&message.from)
        || is_lid(&message.to)
}

/// A message with the canonical ids; itself when it has them.
pub(crate) async fn canonicalised<'a>(
    unit: &mut Unit,
    message: &'a Message,
) -> StoreResult<Cow<'a, Message>> {
    if !names_lid(message) {
        return Ok(Cow::Borrowed(message));
    }
    let mut message = message.clone();
    canonicalise(unit, &mut message).await?;
    Ok(Cow::Owned(message))
}

async fn canonicalise(unit: &mut Unit, message: &mut Message) -> StoreResult<()> {
    message.chat = canonical(&mut unit.conn, message.session, &message.chat).await?;
    if let Some(author) = &mut message.author {
        *author = canonical(&mut unit.conn, message.session, author).await?;
    }
    for end in [&mut message.from, &mut message.to] {
        if let Ok(id) = end.parse::<ChatId>()
            && id.is_lid()
        {
            *end = canonical(&mut unit.conn, message.session, &id).await?.to_string();
        }
    }
    Ok(())
}

/// Remembers a pair and moves what was filed under the privacy id; `false` when it was known.
pub(crate) async fn learn_identity(
    unit: &mut Unit,
    session: SessionId,
    identity: &Identity,
) -> StoreResult<bool> {
    const DOING: &str = "learning an identity";
    let known = phone_of(&mut unit.conn, session, &identity.lid).await?;
    if known.as_ref() == Some(&identity.phone) {
        return Ok(false);
    }
    let (id, lid) = (session.to_string(), identity.lid.as_str());
    if known.is_some() {
        let gone = db::query(&FORGET).bind(&id).bind(lid).execute(&mut unit.conn).await;
        gone.doing(DOING)?;
    }
    db::query(&LEARN)
        .bind(&id)
        .bind(lid)
        .bind(identity.phone.digits())
        .execute(&mut unit.conn)
        .await
        .doing(DOING)?;
    let number = identity.phone.chat();
    for sql in [&MOVE_CHAT, &MOVE_SENDER, &MOVE_AUTHOR] {
        db::query(sql)
            .bind(&id)
            .bind(lid)
            .bind(number.as_str())
            .execute(&mut unit.conn)
            .await
            .doing(DOING)?;
    }
    chat::merge(unit, &id, lid, number.as_str()).await?;
    contact::merge(unit, &id, lid, number.as_str()).await?;
    stats::chat_moved(unit, &id, lid, number.as_str()).await?;
    label::merge(unit, &id, lid, number.as_str()).await?;
    Ok(true)
}
