//! Messages.

pub(crate) mod change;
pub(crate) mod erase;
pub(crate) mod held;
pub(crate) mod insert;
pub(crate) mod list;
pub(crate) mod many;
pub(crate) mod open_change;
pub(crate) mod receipt;

use async_trait::async_trait;
use domain::{
    SessionId, Timestamp, WaMessageId,
    message::{Direction, Message, MessageStatus, MessageType},
    port::{
        MessagePage, MessageQuery, MessageStore, OpenChange, Page, StoreResult, UnresolvedSend,
    },
    receipt::RecipientTimes,
};

use crate::{
    crypt::Cipher,
    db::{self, Row},
    error::{Doing as _, corrupt},
    open::LedgerStore,
    writer::Unit,
};

pub(crate) use change::{Ack, advance, change, merge, write};
pub(crate) use erase::{erase, prune};
pub(crate) use held::{RELEASE_BATCH, release};
pub(crate) use insert::insert;
pub(crate) use many::insert_many;
pub(crate) use receipt::note as note_receipt;

db::statements! {
    GET = both("select * from message where session_id = $1 and wa_id = $2");
    // Without what goes with its chat.
    SHOWN = both("select * from message where session_id = $1 and wa_id = $2 and not exists (select 1 from removal \
         where removal.kind = 'chat' \
         and removal.session_id = message.session_id and removal.target = message.chat \
         and message.position <= removal.through and message.status <> 'pending')");
    UNSETTLED = both("select * from message where session_id = $1 and outgoing is not null order by position");
}

pub(crate) fn read(row: &Row) -> StoreResult<Message> {
    const DOING: &str = "reading a message";
    let bad = || corrupt(DOING);
    let text = |name: &str| row.try_get::<String, _>(name).doing(DOING);
    let maybe = |name: &str| row.try_get::<Option<String>, _>(name).doing(DOING);
    Ok(Message {
        id: text("id")?.parse().map_err(|_| bad())?,
        session: text("session_id")?.parse().map_err(|_| bad())?,
        wa_id: WaMessageId::from_wire(text("wa_id")?),
        chat: text("chat")?.parse().map_err(|_| bad())?,
        from: text("sender")?,
        to: text("recipient")?,
        chat_name: maybe("chat_name")?,
        author: maybe("author")?.map(|author| author.parse().map_err(|_| bad())).transpose()?,
        body: maybe("body")?,
        kind: MessageType::parse(&text("kind")?).ok_or_else(bad)?,
        direction: Direction::parse(&text("direction")?).ok_or_else(bad)?,
        timestamp: row.try_get("timestamp").doing(DOING)?,
        metadata: serde_json::from_str(&text("metadata")?).map_err(|_| bad())?,
        media_path: maybe("media_path")?,
        media_mimetype: maybe("media_mimetype")?,
        status: MessageStatus::parse(&text("status")?).ok_or_else(bad)?,
        created_at: Timestamp::from_millis(row.try_get("created_at").doing(DOING)?),
    })
}

/// One message, as of this transaction.
pub(crate) async fn find(
    unit: &mut Unit,
    session: SessionId,
    wa_id: &WaMessageId,
) -> StoreResult<Option<Message>> {
    let row = db::query(&GET)
        .bind(session.to_string())
        .bind(wa_id.as_str())
        .fetch_optional(&mut unit.conn)
        .await;
    row.doing("reading a message")?.as_ref().map(read).transpose()
}

/// What goes out is sealed with this: it opens only in its message's row.
fn outgoing_place<'a>(session: &'a str, wa_id: &'a WaMessageId) -> [&'a str; 4] {
    ["message", session, wa_id.as_str(), "outgoing"]
}

fn unsettled(row: &Row, cipher: &Cipher) -> StoreResult<UnresolvedSend> {
    const DOING: &str = "reading a message on its way out";
    let message = read(row)?;
    let sealed: Vec<u8> = row.try_get("outgoing").doing(DOING)?;
    let session = message.session.to_string();
    let plain = cipher.open(&outgoing_place(&session, &message.wa_id), &sealed)?;
    let outgoing = serde_json::from_slice(&plain).map_err(|_| corrupt(DOING))?;
    Ok(UnresolvedSend { message, outgoing })
}

#[async_trait]
impl MessageStore for LedgerStore {
    async fn message(
        &self,
        session: SessionId,
        wa_id: &WaMessageId,
    ) -> StoreResult<Option<Message>> {
        let row = db::query(&SHOWN).bind(session.to_string()).bind(wa_id.as_str());
        row.fetch_optional(&self.couriers)
            .await
            .doing("reading a message")?
            .as_ref()
            .map(read)
            .transpose()
    }

    async fn receipts(
        &self,
        session: SessionId,
        wa_id: &WaMessageId,
    ) -> StoreResult<Vec<RecipientTimes>> {
        receipt::list(self, session, wa_id).await
    }

    async fn unresolved_sends(&self, session: SessionId) -> StoreResult<Vec<UnresolvedSend>> {
        let rows = db::query(&UNSETTLED).bind(session.to_string()).fetch_all(&self.readers).await;
        let rows = rows.doing("listing messages on their way out")?;
        let read = |row: &Row| unsettled(row, &self.cipher);
        Ok(self.unreadable.rows("message", &["session_id", "wa_id"], &rows, read))
    }

    async fn open_changes(&self, session: SessionId) -> StoreResult<Vec<OpenChange>> {
        open_change::list(self, session).await
    }

    async fn messages(
        &self,
        session: SessionId,
        query: &MessageQuery,
        page: Page,
    ) -> StoreResult<Option<MessagePage>> {
        list::list(self, session, query, page).await
    }
}
