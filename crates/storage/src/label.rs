//! Labels, and the chats that have them. In the state that a device is given as a whole a chat may stand before its
//! label, so each is kept without the other.

use async_trait::async_trait;
use domain::{
    ChatId, SessionId,
    chat::Chat,
    label::{Label, LabelChange, LabelId},
    port::{LabelStore, Page, StoreResult},
};

use crate::{
    db::{self, Row},
    error::{Doing as _, corrupt},
    open::LedgerStore,
    people,
    writer::Unit,
};

db::statements! {
    LIST = both("select id, name, colour from label where session_id = $1 order by id");
    GET = both("select id, name, colour from label where session_id = $1 and id = $2");
    OF_CHAT = both("select label.id, label.name, label.colour from label_chat join label on \
         label.session_id = label_chat.session_id and label.id = label_chat.label \
         where label_chat.session_id = $1 and label_chat.chat = $2 order by label.id");
    CHATS = both("select page.chat as id, coalesce(contact.name, chat.name, contact.push_name) as shown_name, \
         cast(coalesce(chat.unread_count, 0) as bigint) as unread_count, \
         cast(coalesce(chat.timestamp, 0) as bigint) as timestamp, chat.last_id as last_id, \
         message.direction as last_direction, message.author as last_author, message.body as last_body, \
         message.kind as last_kind, cast(coalesce(chat.archived, 0) as bigint) as archived, \
         cast(coalesce(chat.pinned, 0) as bigint) as pinned, chat.muted as muted \
         from (select session_id, chat from label_chat where session_id = $1 and label = $2 \
         order by chat limit $3 offset $4) as page \
         left join chat on chat.session_id = page.session_id and chat.id = page.chat \
         left join contact on contact.session_id = page.session_id and contact.id = page.chat \
         left join message on message.session_id = page.session_id and message.wa_id = chat.last_id and \
         message.chat = chat.id \
         order by page.chat");
    PUT = both("insert into label (session_id, id, name, colour) values ($1, $2, $3, $4) \
         on conflict (session_id, id) do update set name = excluded.name, colour = excluded.colour \
         where label.name <> excluded.name or label.colour <> excluded.colour");
    DELETE = both("delete from label where session_id = $1 and id = $2");
    CLEAR = both("delete from label_chat where session_id = $1 and label = $2");
    ADD = both("insert into label_chat (session_id, chat, label) values ($1, $2, $3) \
         on conflict (session_id, chat, label) do nothing");
    REMOVE = both("delete from label_chat where session_id = $1 and chat = $2 and label = $3");
    MOVE = both("update label_chat set chat = $3 where session_id = $1 and chat = $2 and not exists \
         (select 1 from label_chat as other where other.session_id = $1 and other.chat = $3 \
         and other.label = label_chat.label)");
    LEAVE = both("delete from label_chat where session_id = $1 and chat = $2");
}

fn read(row: &Row) -> StoreResult<Label> {
    const DOING: &str = "reading a label";
    let id: String = row.try_get("id").doing(DOING)?;
    let colour: i64 = row.try_get("colour").doing(DOING)?;
    Ok(Label {
        id: id.parse().map_err(|_| corrupt(DOING))?,
        name: row.try_get("name").doing(DOING)?,
        colour: u8::try_from(colour).map_err(|_| corrupt(DOING))?,
    })
}

/// Whether anything is different now.
pub(crate) async fn change(
    unit: &mut Unit,
    session: SessionId,
    change: &LabelChange,
) -> StoreResult<bool> {
    const DOING: &str = "changing a label";
    let id = session.to_string();
    let label = change.label().as_str();
    let chat = match change.chat() {
        Some(chat) => Some(people::canonical(&mut unit.conn, session, chat).await?),
        None => None,
    };
    let chat = chat.as_ref().map_or("", ChatId::as_str);
    let query = match change {
        LabelChange::Upsert(new) => db::query(&PUT)
            .bind(&id)
            .bind(label)
            .bind(new.name.as_str())
            .bind(i64::from(new.colour)),
        LabelChange::Delete(_) => db::query(&DELETE).bind(&id).bind(label),
        LabelChange::Add(..) => db::query(&ADD).bind(&id).bind(chat).bind(label),
        LabelChange::Remove(..) => db::query(&REMOVE).bind(&id).bind(chat).bind(label),
    };
    let done = query.execute(&mut unit.conn).await.doing(DOING)?.rows_affected() > 0;
    if let LabelChange::Delete(_) = change {
        let left = db::query(&CLEAR).bind(&id).bind(label).execute(&mut unit.conn).await;
        left.doing(DOING)?;
    }
    Ok(done)
}

/// One chat under two ids becomes one, with the labels of both.
pub(crate) async fn merge(unit: &mut Unit, session: &str, old: &str, new: &str) -> StoreResult<()> {
    const DOING: &str = "merging the labels of chats";
    let moved = db::query(&MOVE).bind(session).bind(old).bind(new).execute(&mut unit.conn).await;
    moved.doing(DOING)?;
    let left = db::query(&LEAVE).bind(session).bind(old).execute(&mut unit.conn).await;
    left.doing(DOING).map(|_| ())
}

#[async_trait]
impl LabelStore for LedgerStore {
    async fn labels(&self, session: SessionId) -> StoreResult<Vec<Label>> {
        let rows = db::query(&LIST).bind(session.to_string()).fetch_all(&self.readers).await;
        rows.doing("listing labels")?.iter().map(read).collect()
    }

    async fn label(&self, session: SessionId, id: &LabelId) -> StoreResult<Option<Label>> {
        let row = db::query(&GET).bind(session.to_string()).bind(id.as_str());
        let row = row.fetch_optional(&self.readers).await.doing("reading a label")?;
        row.as_ref().map(read).transpose()
    }

    async fn labels_of_chat(&self, session: SessionId, chat: &ChatId) -> StoreResult<Vec<Label>> {
        let chat = people::filed_under(&self.readers, session, chat).await?;
        let rows = db::query(&OF_CHAT).bind(session.to_string()).bind(chat.as_str());
        let rows = rows.fetch_all(&self.readers).await.doing("listing the labels of a chat")?;
        rows.iter().map(read).collect()
    }

    async fn chats_of_label(
        &self,
        session: SessionId,
        id: &LabelId,
        page: Page,
    ) -> StoreResult<Vec<Chat>> {
        let rows = db::query(&CHATS)
            .bind(session.to_string())
            .bind(id.as_str())
            .bind(i64::from(page.limit))
            .bind(i64::from(page.offset))
            .fetch_all(&self.readers)
            .await;
        rows.doing("listing the chats of a label")?.iter().map(people::chat::read).collect()
    }
}
