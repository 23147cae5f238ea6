//! People and chats.
//!
//! Rows are filed under canonical ids: the number's chat for a privacy id whose number is known. Every write looks the
//! id up in its own transaction, so that nothing is filed under an id whose number was learned a moment before.

pub(crate) mod block_list;
pub(crate) mod chat;
pub(crate) mod contact;
pub(crate) mod form;
pub(crate) mod identity;
pub(crate) mod presence;

use async_trait::async_trait;
use domain::{
    ChatId, PhoneNumber, SessionId, WaMessageId,
    chat::{Chat, Contact, KnownForm},
    port::{Page, PeopleStore, StoreResult},
    presence::PresenceWishes,
};

use crate::{
    db::{self, Readers},
    error::{Doing as _, corrupt},
    open::LedgerStore,
};

pub(crate) use block_list::learn as learn_block_list;
pub(crate) use chat::{ChatArrivals, mark_chat, message_came, messages_came, name_chat};
pub(crate) use contact::learn_contact;
pub(crate) use form::{forget as forget_form, learn as learn_form};
pub(crate) use identity::{canonical, canonicalised, learn_identity, names_lid};
pub(crate) use presence::{forget as forget_presence, watch as watch_presence, wish_available};

/// Under which id a person's rows are looked for: the canonical one, in the spelling that WhatsApp knows.
pub(crate) async fn filed_under(
    readers: &Readers,
    session: SessionId,
    id: &ChatId,
) -> StoreResult<ChatId> {
    let id = canonical(readers, session, id).await?;
    if domain::phone::other_form(&id).is_none() {
        return Ok(id);
    }
    let form = form::get(readers, session, &id).await?;
    Ok(form.map_or(id, |form| form.chat))
}

db::statements! {
    UNREAD = both("select wa_id, author from message where session_id = $1 and chat = $2 and direction = \
         'incoming' and not exists (select 1 from removal where removal.kind = 'chat' \
         and removal.session_id = message.session_id and removal.target = message.chat \
         and message.position <= removal.through and message.status <> 'pending') \
         order by created_at desc, position desc \
         limit (select case when coalesce(max(unread_count), 0) < $3 then coalesce(max(unread_count), 0) else $3 end \
         from chat where session_id = $1 and id = $2)");
}

#[async_trait]
impl PeopleStore for LedgerStore {
    async fn contacts(&self, session: SessionId, page: Page) -> StoreResult<Vec<Contact>> {
        contact::list(self, session, page).await
    }

    async fn contact(&self, session: SessionId, id: &ChatId) -> StoreResult<Option<Contact>> {
        let id = filed_under(&self.readers, session, id).await?;
        contact::get(self, session, &id).await
    }

    async fn phone_of(&self, session: SessionId, lid: &ChatId) -> StoreResult<Option<PhoneNumber>> {
        identity::phone_of(&self.readers, session, lid).await
    }

    async fn lid_of(&self, session: SessionId, phone: &PhoneNumber) -> StoreResult<Option<ChatId>> {
        identity::lid_of(&self.readers, session, phone).await
    }

    async fn presence_wishes(&self, session: SessionId) -> StoreResult<PresenceWishes> {
        presence::wishes(self, session).await
    }

    async fn canonical_chat(&self, session: SessionId, id: &ChatId) -> StoreResult<ChatId> {
        canonical(&self.couriers, session, id).await
    }

    async fn known_form(
        &self,
        session: SessionId,
        asked: &ChatId,
    ) -> StoreResult<Option<KnownForm>> {
        form::get(&self.couriers, session, asked).await
    }

    async fn chats(&self, session: SessionId, page: Page) -> StoreResult<Vec<Chat>> {
        chat::list(self, session, page).await
    }

    async fn chat(&self, session: SessionId, id: &ChatId) -> StoreResult<Option<Chat>> {
        let id = filed_under(&self.readers, session, id).await?;
        chat::get(self, session, &id).await
    }

    async fn unread_messages(
        &self,
        session: SessionId,
        chat: &ChatId,
        limit: u32,
    ) -> StoreResult<Vec<(WaMessageId, Option<ChatId>)>> {
        const DOING: &str = "listing unread messages";
        let chat = filed_under(&self.readers, session, chat).await?;
        let rows = db::query(&UNREAD)
            .bind(session.to_string())
            .bind(chat.as_str())
            .bind(i64::from(limit))
            .fetch_all(&self.readers)
            .await
            .doing(DOING)?;
        let mut unread = Vec::with_capacity(rows.len());
        for row in rows {
            let author: Option<String> = row.try_get("author").doing(DOING)?;
            let author = author.map(|id| id.parse().map_err(|_| corrupt(DOING))).transpose()?;
            unread.push((
                WaMessageId::from_wire(row.try_get::<String, _>("wa_id").doing(DOING)?),
                author,
            ));
        }
        Ok(unread)
    }
}
