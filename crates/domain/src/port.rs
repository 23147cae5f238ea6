//! The walls of the house: traits that the outer crates implement.
//!
//! `storage` implements [`Ledger`], the stores, [`DeliveryQueue`] and [`DeviceKeys`]; `whatsapp` implements
//! [`WhatsApp`] and [`Connection`]; `gateway` implements [`EngineSink`].

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use crate::{
    address::{ChatId, PhoneNumber},
    api_key::{ApiKey, KeyHash},
    delivery::{Attempt, ClaimedLane, LaneId},
    event::{Event, EventDraft},
    ids::{ApiKeyId, DeliveryId, MessageRowId, SessionId, WaMessageId, WebhookId},
    message::{Direction, InboundMessage, Message, MessageStatus, MessageType, OutgoingMessage},
    proxy::ProxyUrl,
    session::{LossCause, Session, SessionConfig, SessionStatus},
    time::Timestamp,
    webhook::Webhook,
};

/// What went wrong in a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// The database did not answer; the same call may work later.
    Unavailable,
    /// The writer's queue is full; the same call may work in a moment.
    Busy,
    /// A stored value makes no sense, or the key it was encrypted with is another one.
    Corrupt,
}

/// A store failed.
#[derive(Debug, thiserror::Error)]
#[error("the ledger failed ({kind:?}) while {doing}")]
pub struct StoreError {
    /// What sort.
    pub kind: StoreErrorKind,
    /// In which operation, for logs.
    pub doing: &'static str,
    /// The cause.
    #[source]
    pub source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

/// The result of a store call.
pub type StoreResult<T> = Result<T, StoreError>;

// ---------------------------------------------------------------------------------------------------------------
// The ledger

/// One change with the events it causes. A change and its events are atomic; an event whose change did not apply
/// (a duplicate, an ack that would move backwards) is not recorded.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// Insert a message unless `(session, wa_id)` exists.
    InsertMessage {
        /// The row.
        message: Box<Message>,
        /// Recorded only if the row is new.
        events: Vec<EventDraft>,
    },
    /// Move a message forward if [`MessageStatus::may_become`] allows it.
    AdvanceMessage {
        /// Whose.
        session: SessionId,
        /// Which.
        wa_id: WaMessageId,
        /// Where to.
        status: MessageStatus,
        /// WhatsApp's time in seconds, stored when the row has none or when `status` is `sent`.
        timestamp: Option<i64>,
        /// Merged into the row's metadata (for instance the reason of a failure); `null` changes nothing.
        metadata: serde_json::Value,
        /// Recorded only if the row moved.
        events: Vec<EventDraft>,
    },
    /// Change a session's record.
    PatchSession {
        /// Which.
        session: SessionId,
        /// The fields to change.
        patch: Box<SessionPatch>,
        /// Recorded if the session exists.
        events: Vec<EventDraft>,
    },
    /// Record an event by itself.
    Append {
        /// The event; dropped with [`WriteOutcome::Unchanged`] when its session does not exist.
        event: Box<EventDraft>,
    },
}

/// What a [`Write`] did.
#[derive(Debug, Clone, PartialEq)]
pub enum WriteOutcome {
    /// Applied; the events as recorded, with their sequences.
    Applied(Vec<Event>),
    /// A duplicate, a backward step, or nothing there to change. Nothing was recorded.
    Unchanged,
}

/// Fields of a session to change; `None` keeps, `Some(None)` clears.
#[derive(Debug, Clone, Default, PartialEq)]
#[expect(missing_docs, reason = "the fields are those of Session")]
pub struct SessionPatch {
    pub status: Option<SessionStatus>,
    pub wanted: Option<bool>,
    pub phone: Option<Option<PhoneNumber>>,
    pub lid: Option<Option<ChatId>>,
    pub push_name: Option<Option<String>>,
    pub connected_at: Option<Option<Timestamp>>,
    pub last_active: Option<Option<Timestamp>>,
    pub last_error: Option<Option<String>>,
    pub config: Option<SessionConfig>,
    pub proxy: Option<Option<ProxyUrl>>,
    /// Stored as `updated_at`, unless `None`.
    pub at: Option<Timestamp>,
}

/// The transactional heart: changes, events and deliveries, committed together.
#[async_trait]
pub trait Ledger: Send + Sync + 'static {
    /// Applies all writes as one atomic, durable unit, and answers each. For every recorded event the next dense
    /// sequence of its session is assigned and one pending delivery per webhook that [wants](Webhook::wants) it is
    /// stored in the webhook's [lane](Webhook::lane), in the same transaction.
    ///
    /// # Errors
    /// Nothing was written when this fails with anything but a lost answer; every write is safe to repeat.
    async fn write(&self, writes: Vec<Write>) -> StoreResult<Vec<WriteOutcome>>;

    /// Whether the database answers.
    async fn ping(&self) -> StoreResult<()>;
}

/// A page of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Most rows.
    pub limit: u32,
    /// Rows to skip.
    pub offset: u32,
}

/// Sessions.
#[async_trait]
pub trait SessionStore: Send + Sync + 'static {
    /// Stores a new session; `false` when the name is taken.
    async fn insert(&self, session: &Session) -> StoreResult<bool>;
    /// One session.
    async fn get(&self, id: SessionId) -> StoreResult<Option<Session>>;
    /// Newest first; with `name`, at most that one.
    async fn list(&self, name: Option<&str>, page: Page) -> StoreResult<Vec<Session>>;
    /// Deletes it with all that belongs to it: keys, messages, events, webhooks, deliveries. `false` when unknown.
    async fn delete(&self, id: SessionId) -> StoreResult<bool>;
    /// Takes or renews the right to connect a session until `until`. `None` when another owner holds it after `now`.
    /// The number grows with each change of owner and fences the engine's keys.
    async fn acquire(
        &self,
        id: SessionId,
        owner: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> StoreResult<Option<u64>>;
    /// Gives the right back. Does nothing when `owner` does not hold it.
    async fn release(&self, id: SessionId, owner: &str) -> StoreResult<()>;
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
    /// This way.
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
    async fn get(&self, session: SessionId, wa_id: &WaMessageId) -> StoreResult<Option<Message>>;
    /// A list. `None` when `query.after` names no row of this session.
    async fn list(
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
    async fn insert(&self, webhook: &Webhook, most: u32) -> StoreResult<bool>;
    /// One webhook, with its secret.
    async fn get(&self, id: WebhookId) -> StoreResult<Option<Webhook>>;
    /// Of one session, or of all; newest first.
    async fn list(&self, session: Option<SessionId>, page: Page) -> StoreResult<Vec<Webhook>>;
    /// Replaces everything a user may change; `false` when it is gone. Waiting deliveries of a webhook that is made
    /// inactive stay where they are.
    async fn update(&self, webhook: &Webhook) -> StoreResult<bool>;
    /// Deletes it with its deliveries; `false` when unknown.
    async fn delete(&self, id: WebhookId) -> StoreResult<bool>;
}

/// API keys.
#[async_trait]
pub trait ApiKeyStore: Send + Sync + 'static {
    /// Stores a new key.
    async fn insert(&self, key: &ApiKey) -> StoreResult<()>;
    /// By the hash of the key.
    async fn find(&self, hash: KeyHash) -> StoreResult<Option<ApiKey>>;
    /// By its id.
    async fn get(&self, id: ApiKeyId) -> StoreResult<Option<ApiKey>>;
    /// Newest first.
    async fn list(&self) -> StoreResult<Vec<ApiKey>>;
    /// Replaces everything a user may change; `false` when it is gone.
    async fn update(&self, key: &ApiKey) -> StoreResult<bool>;
    /// Deletes it; `false` when unknown.
    async fn delete(&self, id: ApiKeyId) -> StoreResult<bool>;
    /// Adds uses; not durable to the last call.
    async fn touch(&self, id: ApiKeyId, uses: u64, at: Timestamp) -> StoreResult<()>;
}

// ---------------------------------------------------------------------------------------------------------------
// The lanes

/// What a worker says about the delivery at the head of a lane it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// 2xx.
    Delivered,
    /// Try again at this time; the lane waits for it and the claim ends.
    RetryAt(Timestamp),
    /// No attempt is left.
    Exhausted,
    /// The webhook is gone or switched off; no attempt was made.
    Dropped,
}

/// One result to record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// The lane.
    pub lane: LaneId,
    /// The claim's epoch.
    pub epoch: u64,
    /// The delivery.
    pub delivery: DeliveryId,
    /// What became of it.
    pub verdict: Verdict,
    /// The try, if there was one.
    pub attempt: Option<Attempt>,
}

/// What is waiting, for health and tests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// Deliveries not settled.
    pub pending: u64,
    /// Deliveries whose attempts are used up.
    pub exhausted: u64,
    /// When the oldest waiting delivery's event happened.
    pub oldest_pending: Option<Timestamp>,
}

/// The queue of lanes. Pushing is [`Ledger::write`]: a delivery exists from the commit of its event on.
#[async_trait]
pub trait DeliveryQueue: Send + Sync + 'static {
    /// Takes up to `lanes` lanes whose head is due at `now` and that nobody holds, until `until`, each with up to
    /// `window` of its waiting deliveries that are next in order. Lanes of inactive webhooks are not offered. Lanes
    /// with a head that was never tried come first, then by how long they are due.
    async fn claim(
        &self,
        worker: &str,
        lanes: u32,
        window: u32,
        now: Timestamp,
        until: Timestamp,
    ) -> StoreResult<Vec<ClaimedLane>>;

    /// Records a result, durably. `false` when the claim is no longer the worker's (its lease ran out and somebody
    /// else took the lane, or the lane is gone): nothing was recorded then and the worker must let go.
    async fn settle(&self, settlement: Settlement) -> StoreResult<bool>;

    /// Extends a claim; `false` when it is lost.
    async fn renew(&self, lane: &LaneId, epoch: u64, until: Timestamp) -> StoreResult<bool>;

    /// Gives a lane back. What was not settled stays first in it.
    async fn release(&self, lane: &LaneId, epoch: u64) -> StoreResult<()>;

    /// When the next lane becomes due that nobody holds, or when the next lease ends; `None` when nothing waits.
    async fn next_due(&self) -> StoreResult<Option<Timestamp>>;

    /// What is waiting.
    async fn stats(&self) -> StoreResult<QueueStats>;
}

// ---------------------------------------------------------------------------------------------------------------
// The engine's keys

/// One change of the engine's keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyChange {
    /// Insert or replace.
    Put {
        /// The kind of key, for instance `session`.
        namespace: &'static str,
        /// Its name within the namespace.
        key: String,
        /// Encrypted at rest.
        value: Vec<u8>,
        /// [`DeviceKeys::delete_expired`] may delete it from this epoch second on; 0 means never.
        expires_at: i64,
    },
    /// Remove, if there.
    Delete {
        /// The kind of key.
        namespace: &'static str,
        /// Its name.
        key: String,
    },
}

/// A stored entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyEntry {
    /// Its name within the namespace.
    pub key: String,
    /// Decrypted.
    pub value: Vec<u8>,
    /// See [`KeyChange::Put`].
    pub expires_at: i64,
}

/// The engine's keys and state, per session, encrypted at rest. Only the owner of the session writes.
#[async_trait]
pub trait DeviceKeys: Send + Sync + 'static {
    /// One entry.
    async fn get(
        &self,
        session: SessionId,
        namespace: &'static str,
        key: &str,
    ) -> StoreResult<Option<KeyEntry>>;
    /// The entries whose names start with `prefix`, by name.
    async fn list(
        &self,
        session: SessionId,
        namespace: &'static str,
        prefix: &str,
    ) -> StoreResult<Vec<KeyEntry>>;
    /// Applies all changes as one atomic, durable unit.
    async fn apply(&self, session: SessionId, changes: Vec<KeyChange>) -> StoreResult<()>;
    /// Deletes what expired at or before `cutoff` (epoch seconds); how many.
    async fn delete_expired(
        &self,
        session: SessionId,
        namespace: &'static str,
        cutoff: i64,
    ) -> StoreResult<u64>;
    /// Deletes everything of a session.
    async fn purge(&self, session: SessionId) -> StoreResult<()>;
}

// ---------------------------------------------------------------------------------------------------------------
// The engine

/// Why the engine could not do something, and whether trying again makes sense.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The link is down or did not answer; what became of the request is not known.
    #[error("WhatsApp did not answer")]
    Unanswered(#[source] Option<Box<dyn std::error::Error + Send + Sync>>),
    /// The request never left this process.
    #[error("not connected to WhatsApp")]
    NotConnected,
    /// WhatsApp said no.
    #[error("WhatsApp refused: {0}")]
    Refused(String),
    /// Not in this state, for instance a pairing code for a linked device.
    #[error("{0}")]
    WrongState(&'static str),
    /// A setting must change first.
    #[error("{0}")]
    Misconfigured(String),
    /// The ledger failed underneath.
    #[error("the engine's keys could not be read or written")]
    Store(#[source] StoreError),
}

/// How far a receipt says a message got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiptKind {
    /// A device of the recipient has it.
    Delivered,
    /// The recipient saw (or played) it.
    Read,
}

/// News from a connection, in the order they happened.
#[derive(Debug, Clone, PartialEq)]
pub enum EngineSignal {
    /// Show this to a person's phone.
    QrCode {
        /// The text behind the picture.
        code: String,
    },
    /// The phone accepted this device.
    Paired {
        /// The linked number.
        phone: PhoneNumber,
        /// Its privacy id.
        lid: Option<ChatId>,
    },
    /// Logged in; sends are possible.
    Connected {
        /// The linked number.
        phone: PhoneNumber,
        /// Its privacy id.
        lid: Option<ChatId>,
        /// The account's display name.
        push_name: Option<String>,
    },
    /// The connection is over. Nothing follows it.
    Lost(LossCause),
    /// WhatsApp's server took or refused a message of ours.
    ServerAck {
        /// Which.
        id: WaMessageId,
        /// The code of a refusal, for instance 404 or 463.
        refused: Option<u16>,
        /// WhatsApp's time, epoch seconds.
        timestamp: i64,
    },
    /// Somebody's device answered.
    Receipt {
        /// In which chat.
        chat: ChatId,
        /// For which messages of ours.
        ids: Vec<WaMessageId>,
        /// How far.
        kind: ReceiptKind,
        /// WhatsApp's time, epoch seconds.
        timestamp: i64,
    },
}

/// Where a connection's news go. Implemented by the session's task.
#[async_trait]
pub trait EngineSink: Send + Sync + 'static {
    /// Messages that came in, oldest first. `Ok` means that they are committed; only then is WhatsApp acknowledged.
    /// On an error WhatsApp keeps them and sends them again.
    async fn messages(&self, messages: Vec<InboundMessage>) -> StoreResult<()>;

    /// Everything else, one at a time, in order.
    async fn signal(&self, signal: EngineSignal);
}

/// What a connection is opened with.
#[derive(Debug, Clone)]
pub struct OpenRequest {
    /// Whose keys.
    pub session: SessionId,
    /// Where the traffic goes through.
    pub proxy: Option<ProxyUrl>,
}

/// The engine behind its wall: one WhatsApp client per session.
#[async_trait]
pub trait WhatsApp: Send + Sync + 'static {
    /// Starts the one connection of a session and returns at once; how it goes is told to the sink. With keys in the
    /// ledger it logs in, without it shows QR codes.
    ///
    /// # Errors
    /// [`EngineError::WrongState`] when this process holds a connection of that session already,
    /// [`EngineError::Misconfigured`] when the engine may not connect there, [`EngineError::Store`].
    async fn open(
        &self,
        request: OpenRequest,
        sink: Arc<dyn EngineSink>,
    ) -> Result<Arc<dyn Connection>, EngineError>;
}

/// One connection. It ends with [`EngineSignal::Lost`] or [`Connection::close`]; dropping the last handle closes it.
#[async_trait]
pub trait Connection: Send + Sync + 'static {
    /// Encrypts a message and writes it to the wire. `Ok` means written, not accepted: that is
    /// [`EngineSignal::ServerAck`].
    async fn send(&self, message: OutgoingMessage) -> Result<(), EngineError>;

    /// An 8-character code to type into the phone of that number, instead of a QR code.
    async fn pairing_code(&self, phone: &PhoneNumber) -> Result<String, EngineError>;

    /// Tells WhatsApp that this device is gone, within a limit. Keys are deleted by the caller.
    async fn unlink(&self, limit: Duration) -> Result<(), EngineError>;

    /// Ends it and waits until nothing of it runs; no signal follows. Safe to call twice.
    async fn close(&self);
}
