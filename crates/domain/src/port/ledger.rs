//! The transactional heart of the ledger.

use async_trait::async_trait;

use super::StoreResult;
use crate::{
    address::{ChatId, PhoneNumber},
    event::{Event, EventDraft},
    ids::{SessionId, WaMessageId},
    message::{Message, MessageStatus},
    proxy::ProxyUrl,
    session::{SessionConfig, SessionStatus},
    time::Timestamp,
};

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
    /// sequence of its session is assigned and one pending delivery per webhook that [wants](crate::webhook::Webhook::wants) it is
    /// stored in the webhook's [lane](crate::webhook::Webhook::lane), in the same transaction.
    ///
    /// # Errors
    /// Nothing was written when this fails with anything but a lost answer; every write is safe to repeat.
    async fn write(&self, writes: Vec<Write>) -> StoreResult<Vec<WriteOutcome>>;

    /// Whether the database answers.
    async fn ping(&self) -> StoreResult<()>;
}
