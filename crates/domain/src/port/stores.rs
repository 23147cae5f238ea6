//! The stores: plain reads, and the writes that cause no event.

use std::time::Duration;

use async_trait::async_trait;

use super::{Held, Lease, OpenChange, StoreResult, UnresolvedSend, WishListener};
use crate::{
    address::ChatId,
    api_key::{ApiKey, KeyHash},
    ids::{ApiKeyId, MessageRowId, SessionId, WaMessageId, WebhookId},
    message::{Direction, Message, MessageType},
    receipt::RecipientTimes,
    session::Session,
    time::Timestamp,
    webhook::Webhook,
};

/// A page of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// How many rows there may be.
    pub limit: u32,
    /// Rows to skip.
    pub offset: u32,
}

/// Sessions.
#[async_trait]
pub trait SessionStore: Send + Sync + 'static {
    /// Stores a new session; `false` when the name is taken.
    async fn insert_session(&self, session: &Session) -> StoreResult<bool>;
    /// One session.
    async fn session(&self, id: SessionId) -> StoreResult<Option<Session>>;
    /// Newest first; with `name`, at most that one.
    async fn sessions(&self, name: Option<&str>, page: Page) -> StoreResult<Vec<Session>>;
    /// Those of some ids, in one read; newest first.
    async fn sessions_among(&self, ids: &[SessionId]) -> StoreResult<Vec<Session>>;
    /// Deletes it with all that belongs to it: keys, messages, events, webhooks, deliveries. `false` when unknown.
    async fn delete_session(&self, id: SessionId) -> StoreResult<bool>;
    /// Takes or renews the right to run a session for a time. `None` when another owner holds it, or when there is no
    /// such session. Where processes share the database, its clock decides when a lease is over; otherwise `now`
    /// does.
    async fn acquire_session(
        &self,
        id: SessionId,
        owner: &str,
        now: Timestamp,
        lasts: Duration,
    ) -> StoreResult<Option<Held>>;
    /// Gives the right back. Does nothing when it is another's by now.
    async fn release_session(&self, lease: &Lease) -> StoreResult<()>;
    /// Sessions that should be running, or of which something is wished, and that nobody has the right to run; at most
    /// `limit`, oldest first. The time is as for [`acquire`](Self::acquire).
    async fn unheld_sessions(&self, now: Timestamp, limit: u32) -> StoreResult<Vec<SessionId>>;
    /// Who has the right to connect a session after `now`, and where its process is asked.
    async fn session_holder(&self, id: SessionId, now: Timestamp) -> StoreResult<Option<Holder>>;
    /// Sessions that somebody has the right to connect after `now`.
    async fn held_sessions(&self, now: Timestamp) -> StoreResult<Vec<SessionId>>;
    /// Says where the process that takes leases as `owner` is asked by others. Forgets processes that said so last
    /// before `forget_before` and hold nothing.
    async fn announce_process(
        &self,
        owner: &str,
        url: &str,
        now: Timestamp,
        forget_before: Timestamp,
    ) -> StoreResult<()>;
    /// Whether other processes may run sessions of this database.
    fn is_shared(&self) -> bool;
    /// Calls the listener whenever somebody else than a session's owner changed what is wanted of it, here or in
    /// another process. A word may be lost: what is wanted is also told with each renewal. The listener must not
    /// wait.
    fn listen_for_wishes(&self, listener: WishListener);
}

/// Who has the right to connect a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The name its process takes leases under.
    pub owner: String,
    /// Where that process is asked, if it said so.
    pub url: Option<String>,
}

/// A search for messages; every given condition must hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MessageQuery {
    /// In this chat.
    pub chat: Option<ChatId>,
    /// From this id (exact text).
    pub from: Option<String>,
    /// With this WhatsApp id.
    pub wa_id: Option<WaMessageId>,
    /// With WhatsApp's time at or after this, epoch seconds rounded as the API says.
    pub since: Option<Timestamp>,
    /// With WhatsApp's time before this.
    pub until: Option<Timestamp>,
    /// Messages of this direction only.
    pub direction: Option<Direction>,
    /// Of this type.
    pub kind: Option<MessageType>,
    /// Sort and compare by WhatsApp's time instead of the row's.
    pub by_timestamp: bool,
    /// Rows after this row in the list's order; beats the page's offset.
    pub after: Option<MessageRowId>,
}

/// The answer to a [`MessageQuery`].
#[derive(Debug, Clone, PartialEq)]
pub struct MessagePage {
    /// Newest first.
    pub messages: Vec<Message>,
    /// Rows that match without paging.
    pub total: u64,
    /// Rows that match but have no time of WhatsApp, counted when sorting or comparing by it.
    pub unknown_timestamp_total: u64,
}

/// Messages.
#[async_trait]
pub trait MessageStore: Send + Sync + 'static {
    /// One message by WhatsApp's id.
    async fn message(
        &self,
        session: SessionId,
        wa_id: &WaMessageId,
    ) -> StoreResult<Option<Message>>;
    /// What recipients said of a message of ours, by their ids. Whoever answered under a privacy id and under the
    /// number behind it is one.
    async fn receipts(
        &self,
        session: SessionId,
        wa_id: &WaMessageId,
    ) -> StoreResult<Vec<RecipientTimes>>;
    /// Sends of this account whose outcome is not known, in the order they were accepted.
    async fn unresolved_sends(&self, session: SessionId) -> StoreResult<Vec<UnresolvedSend>>;
    /// Changes of messages whose outcome is not known, oldest first.
    async fn open_changes(&self, session: SessionId) -> StoreResult<Vec<OpenChange>>;
    /// A list. `None` when `query.after` names no row of this session.
    async fn messages(
        &self,
        session: SessionId,
        query: &MessageQuery,
        page: Page,
    ) -> StoreResult<Option<MessagePage>>;
}

/// Webhooks.
#[async_trait]
pub trait WebhookStore: Send + Sync + 'static {
    /// Stores a new one unless the session has `most` already (0 = no limit): `false` then.
    async fn insert_webhook(&self, webhook: &Webhook, most: u32) -> StoreResult<bool>;
    /// One webhook, with its secret.
    async fn webhook(&self, id: WebhookId) -> StoreResult<Option<Webhook>>;
    /// Of one session, or of all; newest first.
    async fn webhooks(&self, session: Option<SessionId>, page: Page) -> StoreResult<Vec<Webhook>>;
    /// Of some sessions, in one read; newest first.
    async fn webhooks_among(&self, sessions: &[SessionId]) -> StoreResult<Vec<Webhook>>;
    /// Replaces everything a user may change; `false` when it is gone. The health stays. Waiting deliveries of a
    /// webhook that is made inactive stay where they are.
    async fn update_webhook(&self, webhook: &Webhook) -> StoreResult<bool>;
    /// The same, if nobody has changed it since it was read: `was` is its `updated_at` as it was then.
    async fn update_webhook_if_unchanged(
        &self,
        webhook: &Webhook,
        was: Timestamp,
    ) -> StoreResult<bool>;
    /// Holds everything of it back from now on, and tells `webhook.paused`; events are recorded for it and wait.
    /// `false` when it is gone.
    async fn pause_webhook(&self, id: WebhookId, at: Timestamp) -> StoreResult<bool>;
    /// Ends a pause; what waits leaves in order. `false` when it is gone.
    async fn resume_webhook(&self, id: WebhookId, now: Timestamp) -> StoreResult<bool>;
    /// Deletes it with its deliveries; `false` when unknown.
    async fn delete_webhook(&self, id: WebhookId) -> StoreResult<bool>;
}

/// API keys.
#[async_trait]
pub trait ApiKeyStore: Send + Sync + 'static {
    /// Stores a new key.
    async fn insert_api_key(&self, key: &ApiKey) -> StoreResult<()>;
    /// By the hash of the key.
    async fn api_key_by_hash(&self, hash: KeyHash) -> StoreResult<Option<ApiKey>>;
    /// By its id.
    async fn api_key(&self, id: ApiKeyId) -> StoreResult<Option<ApiKey>>;
    /// Newest first.
    async fn api_keys(&self) -> StoreResult<Vec<ApiKey>>;
    /// Replaces everything a user may change; `false` when it is gone.
    async fn update_api_key(&self, key: &ApiKey) -> StoreResult<bool>;
    /// Replaces what is shown of a key and its hash: the same key, kept in another way.
    async fn rehash_api_key(&self, id: ApiKeyId, prefix: &str, hash: KeyHash) -> StoreResult<()>;
    /// Switches off every key but `caller` and `kept`, and ends every login but `login`, at once; how many keys that
    /// were on. `None`, and nothing is done, when `caller` is off or gone: of two that switch each other off one stays.
    async fn revoke_other_api_keys(
        &self,
        caller: ApiKeyId,
        kept: Option<ApiKeyId>,
        login: Option<KeyHash>,
    ) -> StoreResult<Option<u64>>;
    /// Deletes it; `false` when unknown.
    async fn delete_api_key(&self, id: ApiKeyId) -> StoreResult<bool>;
    /// Adds uses; not durable to the last call.
    async fn touch_api_key(&self, id: ApiKeyId, uses: u64, at: Timestamp) -> StoreResult<()>;
}
