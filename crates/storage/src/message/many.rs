//! Many new messages in two statements, where a statement is a way to a server and back.

use std::collections::{BTreeMap, HashSet};

use domain::{
    SessionId,
    address::ChatKind,
    message::{Direction, Message, MessageType},
    port::{NewMessage, StoreResult, Write},
};

use super::{held, insert};
use crate::{
    db,
    error::Doing as _,
    lease,
    people::{self, ChatArrivals},
    writer::Unit,
};

db::statements! {
    INSERT = both("insert into message (id, session_id, wa_id, chat, sender, recipient, chat_name, author, body, \
         kind, direction, timestamp, metadata, status, created_at, media_path, media_mimetype, outgoing) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18) \
         on conflict (session_id, wa_id) do nothing returning id");
}

/// Stores the plain new messages that some writes begin with, those under the leases of their sessions too; of each
/// write whether its row is new. For one that is not, and for a lease, nothing is done: it is looked at by itself.
/// Where a statement is no way to a server and back, none are taken.
pub(crate) async fn insert_many(unit: &mut Unit, writes: &[&Write]) -> StoreResult<Vec<bool>> {
    if !unit.conn.is_remote() {
        return Ok(vec![]);
    }
    let begun = plain(writes);
    let messages: Vec<&Message> = begun.iter().copied().flatten().collect();
    // One by itself goes the way of all others.
    if messages.len() < 2 || held::anything_waits(unit).await? {
        return Ok(vec![]);
    }
    for write in writes.iter().take(begun.len()) {
        if let Write::Held { lease } = write {
            lease::check(unit, lease).await?;
        }
    }
    let mut new: HashSet<String> = HashSet::with_capacity(messages.len());
    for (sql, run) in INSERT.filled(&messages) {
        let mut query = db::query_scalar::<String>(sql);
        for message in run {
            query = insert::bound(query, message, None);
        }
        let stored = query.fetch_all(&mut unit.conn).await.doing("storing a message")?;
        new.extend(stored);
    }
    let mut chats: BTreeMap<(SessionId, &str), ChatArrivals<'_>> = BTreeMap::new();
    let mut answers = Vec::with_capacity(begun.len());
    for message in begun {
        let Some(message) = message else {
            answers.push(false);
            continue;
        };
        let is_new = new.contains(&message.id.to_string());
        answers.push(is_new);
        if is_new && message.chat.kind() != ChatKind::Status {
            let chat = chats.entry((message.session, message.chat.as_str())).or_default();
            chat.add(message, message.direction == Direction::Incoming);
        }
    }
    people::messages_came(unit, chats).await?;
    Ok(answers)
}

/// The messages of the first writes that need nothing but their row, each once; nothing for a lease among them.
fn plain<'a>(writes: &[&'a Write]) -> Vec<Option<&'a Message>> {
    let mut seen = HashSet::new();
    let row = |write: &&'a Write| {
        if matches!(write, Write::Held { .. }) {
            return Some(None);
        }
        let Write::InsertMessage { message: new, .. } = *write else { return None };
        let NewMessage { message, outgoing, media, idempotency_key } = &**new;
        let is_bare = outgoing.is_none() && media.is_none() && idempotency_key.is_none();
        let plain = is_bare && message.kind != MessageType::Masked && !people::names_lid(message);
        (plain && seen.insert((message.session, message.wa_id.as_str()))).then_some(Some(message))
    };
    writes.iter().map_while(row).collect()
}
