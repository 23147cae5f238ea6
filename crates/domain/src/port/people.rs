//! People, chats, templates, keys of idempotent sends, pacing counters and files of messages.

use async_trait::async_trait;
use serde_json::Value;

use super::{Lease, Page, StoreResult};
use crate::{
    address::{ChatId, PhoneNumber},
    chat::{Chat, Contact, KnownForm},
    content::Media,
    idempotency::IdempotencyRecord,
    ids::{MediaId, SessionId, TemplateId, WaMessageId},
    media::MediaRecord,
    pacing::{PacingOutcome, PacingRules, PacingState, Refusal, StrangersRefusal},
    presence::PresenceWishes,
    template::Template,
    time::Timestamp,
};

/// People and chats. Written by [`Ledger::write`](super::Ledger::write).
#[async_trait]
pub trait PeopleStore: Send + Sync + 'static {
    /// The account's people, by canonical id. Groups and other chats are not among them.
    async fn contacts(&self, session: SessionId, page: Page) -> StoreResult<Vec<Contact>>;
    /// One person, by either of their ids.
    async fn contact(&self, session: SessionId, id: &ChatId) -> StoreResult<Option<Contact>>;
    /// The number behind a privacy id.
    async fn phone_of(&self, session: SessionId, lid: &ChatId) -> StoreResult<Option<PhoneNumber>>;
    /// The privacy id of a number; the one learned last, where there are several.
    async fn lid_of(&self, session: SessionId, phone: &PhoneNumber) -> StoreResult<Option<ChatId>>;
    /// What the account wants of presences.
    async fn presence_wishes(&self, session: SessionId) -> StoreResult<PresenceWishes>;
    /// The canonical id: the number's chat for a privacy id whose number is known, else the id itself.
    async fn canonical_chat(&self, session: SessionId, id: &ChatId) -> StoreResult<ChatId>;
    /// What WhatsApp said last about the spelling of a number that may have two.
    async fn known_form(
        &self,
        session: SessionId,
        asked: &ChatId,
    ) -> StoreResult<Option<KnownForm>>;
    /// Chats, newest message first.
    async fn chats(&self, session: SessionId, page: Page) -> StoreResult<Vec<Chat>>;
    /// One chat, by any of its ids.
    async fn chat(&self, session: SessionId, id: &ChatId) -> StoreResult<Option<Chat>>;
    /// Ids of the newest unread messages of a chat with their authors, newest first, at most `limit`.
    async fn unread_messages(
        &self,
        session: SessionId,
        chat: &ChatId,
        limit: u32,
    ) -> StoreResult<Vec<(WaMessageId, Option<ChatId>)>>;
}

/// Templates.
#[async_trait]
pub trait TemplateStore: Send + Sync + 'static {
    /// Stores a new one; `false` when the session has that name already.
    async fn insert_template(&self, template: &Template) -> StoreResult<bool>;
    /// One of a session's.
    async fn template(&self, session: SessionId, id: TemplateId) -> StoreResult<Option<Template>>;
    /// By its name.
    async fn template_by_name(
        &self,
        session: SessionId,
        name: &str,
    ) -> StoreResult<Option<Template>>;
    /// Newest first.
    async fn templates(&self, session: SessionId) -> StoreResult<Vec<Template>>;
    /// Replaces it. `None` when it is gone, `Some(false)` when another one has the new name.
    async fn update_template(&self, template: &Template) -> StoreResult<Option<bool>>;
    /// Deletes it; `false` when unknown.
    async fn delete_template(&self, session: SessionId, id: TemplateId) -> StoreResult<bool>;
}

/// Keys of idempotent sends. A key is taken in the write that stores its message
/// ([`NewMessage::idempotency_key`](super::NewMessage::idempotency_key)). Only the owner of the session writes.
#[async_trait]
pub trait IdempotencyStore: Send + Sync + 'static {
    /// What is known under a key. A record older than [`KEPT`](crate::idempotency::KEPT) counts as none.
    async fn idempotency_record(
        &self,
        session: SessionId,
        key: &str,
        now: Timestamp,
    ) -> StoreResult<Option<IdempotencyRecord>>;
    /// Stores the answer of a success that the message's row does not tell.
    async fn finish_idempotency_key(
        &self,
        lease: &Lease,
        key: &str,
        answer: &Value,
    ) -> StoreResult<()>;
    /// The outcome cannot be known.
    async fn idempotency_outcome_unknown(&self, lease: &Lease, key: &str) -> StoreResult<()>;
    /// Nothing happened: the key is free again.
    async fn free_idempotency_key(&self, lease: &Lease, key: &str) -> StoreResult<()>;
    /// Deletes up to `limit` records older than [`KEPT`](crate::idempotency::KEPT); how many.
    async fn expire_idempotency_keys(&self, now: Timestamp, limit: u32) -> StoreResult<u64>;
}

/// Pacing counters, exact for parallel callers and across restarts. Only the owner of the session writes.
#[async_trait]
pub trait PacingStore: Send + Sync + 'static {
    /// Takes a place for a send, atomically: reads the counters, whether the chat is cold (no message either way) and
    /// the session's age, and applies [`PacingState::admit`](crate::pacing::PacingState::admit).
    async fn admit_send(
        &self,
        lease: &Lease,
        chat: &ChatId,
        rules: &PacingRules,
        now: Timestamp,
    ) -> StoreResult<Result<(), Refusal>>;
    /// Records what became of a send admitted at `at`; true when the breaker has just opened.
    async fn record_send(
        &self,
        lease: &Lease,
        chat: &ChatId,
        rules: &PacingRules,
        at: Timestamp,
        outcome: PacingOutcome,
        now: Timestamp,
    ) -> StoreResult<bool>;
    /// Takes places for people who are added to a group, atomically, all or none: those with whom neither side ever
    /// wrote count ([`PacingState::admit_strangers`](crate::pacing::PacingState::admit_strangers)). Who was counted.
    async fn admit_strangers(
        &self,
        lease: &Lease,
        people: &[ChatId],
        rules: &PacingRules,
        now: Timestamp,
    ) -> StoreResult<Result<Vec<ChatId>, StrangersRefusal>>;
    /// Gives places back that were taken at `at`.
    async fn return_strangers(
        &self,
        lease: &Lease,
        people: &[ChatId],
        at: Timestamp,
    ) -> StoreResult<()>;
    /// The counters of some sessions, in one read; in any order, and without those of which nothing was counted yet.
    async fn pacing_states(
        &self,
        sessions: &[SessionId],
    ) -> StoreResult<Vec<(SessionId, PacingState)>>;
}

/// Files of stored messages. Written by [`Ledger::write`](super::Ledger::write).
#[async_trait]
pub trait MediaRecords: Send + Sync + 'static {
    /// The file of a message.
    async fn media(
        &self,
        session: SessionId,
        wa_id: &WaMessageId,
    ) -> StoreResult<Option<MediaRecord>>;
    /// Files to download that are due at `now`, oldest first; only of these sessions.
    async fn due_media(
        &self,
        sessions: &[SessionId],
        now: Timestamp,
        limit: u32,
    ) -> StoreResult<Vec<MediaRecord>>;
    /// A file of one of a session's last messages with these bytes that went out since a time: WhatsApp may still
    /// keep it.
    async fn uploaded_since(
        &self,
        session: SessionId,
        file: &MediaId,
        since: Timestamp,
    ) -> StoreResult<Vec<Media>>;
    /// How many bytes the files of a session have, one for each message; without a session all files, each once.
    async fn media_bytes(&self, session: Option<SessionId>) -> StoreResult<u64>;
    /// When the next download of these sessions is due.
    async fn next_media_due(&self, sessions: &[SessionId]) -> StoreResult<Option<Timestamp>>;
}
