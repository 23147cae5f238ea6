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
    db::{self, Kind},
    error::Doing as _,
    people::{self, Came},
    rows::Wide,
    writer::Unit,
};

const INSERT: &str = "insert into message (id, session_id, wa_id, chat, sender, recipient, chat_name, author, body, \
     kind, direction, timestamp, metadata, status, created_at, media_path, media_mimetype, outgoing) \
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18) \
     on conflict (session_id, wa_id) do nothing returning id";

static INSERT_ALL: Wide = Wide::new(INSERT, 18);

/// Stores the plain new messages that some writes begin with; of each whether its row is new. For one that is not nothing
/// is done: it is looked at by itself. On SQLite a statement costs no way, and none are taken.
pub(crate) async fn insert_many(unit: &mut Unit, writes: &[&Write]) -> StoreResult<Vec<bool>> {
    if unit.conn.kind() == Kind::Sqlite {
        return Ok(vec![]);
    }
    let messages = plain(writes);
    // One by itself goes the way of all others.
    if messages.len() < 2 || held::anything_waits(unit).await? {
        return Ok(vec![]);
    }
    let mut new: HashSet<String> = HashSet::with_capacity(messages.len());
    for (sql, run) in INSERT_ALL.filled(&messages) {
        let mut query = db::query_scalar::<String>(sql);
        for message in run {
            query = insert::bound(query, message, None);
        }
        let stored = query.fetch_all(&mut unit.conn).await.doing("storing a message")?;
        new.extend(stored);
    }
    let mut chats: BTreeMap<(SessionId, &str), Came<'_>> = BTreeMap::new();
    let mut answers = Vec::with_capacity(messages.len());
    for message in messages {
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

/// The messages of the first writes that need nothing but their row, each once.
fn plain<'a>(writes: &[&'a Write]) -> Vec<&'a Message> {
    let mut seen = HashSet::new();
    let row = |write: &&'a Write| {
        let Write::InsertMessage { message: new, .. } = *write else { return None };
        let NewMessage { message, outgoing, media, idempotency_key } = &**new;
        let alone = outgoing.is_none() && media.is_none() && idempotency_key.is_none();
        let plain = alone && message.kind != MessageType::Masked && !people::names_lid(message);
        (plain && seen.insert((message.session, message.wa_id.as_str()))).then_some(message)
    };
    writes.iter().map_while(row).collect()
}
