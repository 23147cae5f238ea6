//! The transactional heart of the ledger.

use std::sync::Arc;

use async_trait::async_trait;

use serde::{Deserialize, Serialize};

use super::{GroupWrite, Lease, StoreError, StoreErrorKind, StoreResult, Trouble, UnreadableRow};
use crate::{
    address::{ChatId, PhoneNumber},
    approval::ApprovalWrite,
    batch::{BatchChange, BatchId},
    chat::{ChatMark, ContactPatch, Identity, KnownForm},
    event::{Event, EventDraft},
    ids::{EventId, SessionId, WaMessageId},
    label::LabelChange,
    media::{MediaRecord, MediaState},
    message::{Message, MessageStatus, MessageType, OutgoingMessage},
    proxy::ProxyUrl,
    receipt::RecipientReceipt,
    session::{NewChatQuota, Restriction, SessionConfig, SessionStatus, Wish},
    time::Timestamp,
};

/// One change with the events it causes. A change and its events are atomic; an event whose change did not apply
/// (a duplicate, an ack that would move backwards) is not recorded.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// Everything of this unit only while this lease is the session's; otherwise nothing of it is done and
    /// [`Ledger::write`] fails with [`StoreErrorKind::NotOwner`](super::StoreErrorKind::NotOwner). Its own outcome is
    /// [`WriteOutcome::Unchanged`].
    Held {
        /// As [`SessionStore::acquire_session`](super::SessionStore::acquire_session) gave it.
        lease: Lease,
    },
    /// Everything of this unit only while nobody runs the session and nobody wants it to run; otherwise as above.
    Unheld {
        /// The session that has to be idle.
        session: SessionId,
        /// Now; see [`SessionStore::acquire_session`](super::SessionStore::acquire_session).
        now: Timestamp,
    },
    /// Insert a message unless `(session, wa_id)` exists. A row that could not be decrypted is replaced by one that
    /// could be (and counts as new). The chat and its unread count move along. Changes that were held for the message
    /// are applied after it, oldest first, with their events behind its own. Ids are stored in their canonical form.
    InsertMessage {
        /// The row and what belongs to it.
        message: Box<NewMessage>,
        /// Recorded only if the row is new.
        events: Vec<EventDraft>,
    },
    /// Change what a message says: an edit, a reaction, a revoke, a vote. The same change twice (its first event has
    /// a key that was recorded or is held) is [`WriteOutcome::Unchanged`]. A message that cannot be read yet counts
    /// as not there, except for a revoke.
    ChangeMessage {
        /// The session it belongs to.
        session: SessionId,
        /// WhatsApp's id of the message.
        wa_id: WaMessageId,
        /// The change that is made.
        change: Box<MessageChange>,
        /// When the message is not there: hold the change and its events until it comes, or record the events alone
        /// at this time ([`Ledger::release_held`]). `None` drops both. Held is [`WriteOutcome::Unchanged`], unless a
        /// session holds too many: then the oldest is released and its events are in the outcome.
        hold_until: Option<Timestamp>,
        /// Recorded with the change.
        events: Vec<EventDraft>,
    },
    /// Remember which number is behind a privacy id. Chats, messages and contacts filed under the id move to the
    /// number's. [`WriteOutcome::Unchanged`] when it was known.
    LearnIdentity {
        /// The session it belongs to.
        session: SessionId,
        /// The privacy id and the number behind it.
        identity: Identity,
        /// Recorded only if the pair is new.
        events: Vec<EventDraft>,
    },
    /// Remember exactly these people as blocked, and nobody else.
    LearnBlockList {
        /// The session it belongs to.
        session: SessionId,
        /// Everybody whom the account blocks, by any of their ids.
        blocked: Vec<ChatId>,
    },
    /// Remember whether the account wants to show as online.
    WishAvailable {
        /// The session it belongs to.
        session: SessionId,
        /// Online, or not.
        available: bool,
    },
    /// Remember that a chat's presence is watched. Of too many
    /// ([`WATCHED_MAX`](crate::presence::WATCHED_MAX)) the one watched longest is forgotten.
    WatchPresence {
        /// The session it belongs to.
        session: SessionId,
        /// Whose presence it is.
        chat: ChatId,
        /// When it was asked for.
        at: Timestamp,
    },
    /// Remember under which spelling WhatsApp knows a number. Of too many the oldest is forgotten.
    LearnForm {
        /// The session it belongs to.
        session: SessionId,
        /// The spelling that was asked for.
        asked: ChatId,
        /// The one it has.
        form: KnownForm,
    },
    /// Remember something about a person; they are added when new.
    LearnContact {
        /// The session it belongs to.
        session: SessionId,
        /// Who, by any id.
        id: ChatId,
        /// The fields that were learned.
        patch: ContactPatch,
    },
    /// Mark a chat; it is added when new. Removing its messages spares sends whose outcome is not known.
    MarkChat {
        /// The session it belongs to.
        session: SessionId,
        /// Which, by any id.
        chat: ChatId,
        /// The mark that is set or taken.
        mark: ChatMark,
    },
    /// Give a chat a name; it is added when new.
    NameChat {
        /// The session it belongs to.
        session: SessionId,
        /// Which, by any id.
        chat: ChatId,
        /// Its name.
        name: String,
    },
    /// Change the account's labels, or which chats have them. [`WriteOutcome::Unchanged`] when it is so already. A
    /// chat may have a label that is told later.
    ChangeLabel {
        /// The session it belongs to.
        session: SessionId,
        /// What is different from now on.
        change: LabelChange,
        /// Recorded only if something changed.
        events: Vec<EventDraft>,
    },
    /// Remember a group, or what happened to it. The first event tells the same occurrence twice apart: one that was
    /// recorded before changes nothing.
    Group {
        /// The session it belongs to.
        session: SessionId,
        /// The group; of no meaning for [`GroupWrite::Keep`].
        group: ChatId,
        /// What becomes of it.
        change: Box<GroupWrite>,
        /// Recorded whether or not the group is known.
        events: Vec<EventDraft>,
    },
    /// Record how a download went; it counts as a try. A file that is there stays.
    SettleMedia {
        /// The session it belongs to.
        session: SessionId,
        /// The file of which message.
        wa_id: WaMessageId,
        /// Where it stands now. `Ready` also fills the row's media path and type.
        state: MediaState,
        /// Recorded with it.
        events: Vec<EventDraft>,
    },
    /// Move a message forward if [`MessageStatus::may_become`] allows it.
    AdvanceMessage {
        /// The session it belongs to.
        session: SessionId,
        /// WhatsApp's id of the message.
        wa_id: WaMessageId,
        /// The status that it moves to.
        status: MessageStatus,
        /// WhatsApp's time in seconds, stored when the row has none or when `status` is `sent`.
        timestamp: Option<i64>,
        /// Merged into the row's metadata (for instance the reason of a failure); `null` changes nothing.
        metadata: serde_json::Value,
        /// When the message is not there: hold this until it comes, or forget it at this time (an ack alone means
        /// nothing to anybody). `None` drops it.
        hold_until: Option<Timestamp>,
        /// Recorded only if the row moved.
        events: Vec<EventDraft>,
    },
    /// Note what a recipient's device said of a message of ours, and move the message forward as
    /// [`Write::AdvanceMessage`] does. Of each kind the first answer of a recipient stays.
    /// [`WriteOutcome::Unchanged`] when the message did not move; the answer is noted all the same.
    NoteReceipt {
        /// The session it belongs to.
        session: SessionId,
        /// WhatsApp's id of the message.
        wa_id: WaMessageId,
        /// Who answered what, and when.
        receipt: RecipientReceipt,
        /// When the message is not there: hold this until it comes, or forget it at this time. `None` drops it.
        hold_until: Option<Timestamp>,
        /// Recorded only if the row moved.
        events: Vec<EventDraft>,
    },
    /// Change a session's record.
    PatchSession {
        /// The session that is asked.
        session: SessionId,
        /// The fields to change.
        patch: Box<SessionPatch>,
        /// Recorded if the session exists.
        events: Vec<EventDraft>,
    },
    /// Change a batch; the event it causes, if any, is made of the batch as it is then.
    Batch {
        /// The session it belongs to.
        session: SessionId,
        /// The batch that it is about.
        batch: BatchId,
        /// The change that is made.
        change: Box<BatchChange>,
        /// The time of the change.
        at: Timestamp,
        /// The event's id.
        event: EventId,
    },
    /// WhatsApp proved that a message went out which was given up or refused: if it is an item of a batch that
    /// failed, that item is sent, and the counts and the end of its batch follow. A cancelled batch stays cancelled,
    /// and what an error stopped stays stopped.
    ConfirmItem {
        /// The session it belongs to.
        session: SessionId,
        /// WhatsApp's id of the message.
        wa_id: WaMessageId,
        /// When WhatsApp took it, as far as is known.
        sent_at: Timestamp,
        /// The time of the change.
        at: Timestamp,
        /// The event's id.
        event: EventId,
    },
    /// Remember a change of a message (an edit, a reaction, …) before it goes out: it has no row of its own.
    OpenChange {
        /// The session it belongs to.
        session: SessionId,
        /// What goes out, under its id.
        outgoing: Box<OutgoingMessage>,
        /// The time of the change.
        at: Timestamp,
    },
    /// What became of such a change is known.
    CloseChange {
        /// The session it belongs to.
        session: SessionId,
        /// The change's own id.
        id: WaMessageId,
    },
    /// Change an approval; the event it causes, if any, is made of it as it is then.
    Approval(Box<ApprovalWrite>),
    /// Record an event by itself.
    Append {
        /// The event; dropped with [`WriteOutcome::Unchanged`] when its session does not exist.
        event: Box<EventDraft>,
    },
}

/// A message to store, with what belongs to it.
#[derive(Debug, Clone, PartialEq)]
pub struct NewMessage {
    /// The row as it will be stored.
    pub message: Message,
    /// What goes out, kept (encrypted) until the row is settled, so that it can be sent again under the same id.
    pub outgoing: Option<OutgoingMessage>,
    /// The file that belongs to the message.
    pub media: Option<MediaRecord>,
    /// The key of an idempotent send, taken in the same commit. Where another message of the session has it already,
    /// nothing is stored.
    pub idempotency_key: Option<KeyOfSend>,
}

/// Under which key a message is sent once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyOfSend {
    /// The key, unique in its session.
    pub key: String,
    /// Hash of route and body: the same key with another one is refused.
    pub fingerprint: String,
    /// Under which lease of the session the request came.
    pub epoch: u64,
}

impl NewMessage {
    /// A row alone.
    pub fn row(message: Message) -> Self {
        Self { message, outgoing: None, media: None, idempotency_key: None }
    }
}

/// What changes in a message's row; `None` keeps. Stored as JSON while it is held.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MessageChange {
    /// The text; `Some(None)` clears it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub body: Option<Option<String>>,
    /// The new type of the message.
    pub kind: Option<MessageType>,
    /// Merged into the metadata member by member, objects within objects too; a `null` member is removed.
    pub metadata: serde_json::Value,
    /// Removes the file: path, type, record and the metadata's `media`.
    pub drop_media: bool,
}

/// A member that is there, even as `null`: without this a cleared text would read back as one to keep.
fn present<'de, D: serde::Deserializer<'de>>(json: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(json).map(Some)
}

/// A change of a message that went out, and of which nothing is known yet.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenChange {
    /// What went out, under its id.
    pub outgoing: OutgoingMessage,
    /// When it was accepted.
    pub at: Timestamp,
}

/// A send whose outcome is not known, with what was to go out.
#[derive(Debug, Clone, PartialEq)]
pub struct UnresolvedSend {
    /// The row, `pending`.
    pub message: Message,
    /// What goes out again, under the same id.
    pub outgoing: OutgoingMessage,
}

/// Something that can never be stored where it belongs.
#[derive(Debug, Clone, PartialEq)]
pub struct Quarantined {
    /// The session it belongs to.
    pub session: SessionId,
    /// What it is: `message`, …
    pub kind: &'static str,
    /// Its own id, of any length.
    pub id: String,
    /// All of it.
    pub content: Vec<u8>,
    /// Why it cannot be stored.
    pub reason: String,
    /// The time of the change.
    pub at: Timestamp,
}

/// What a [`Write`] did.
#[derive(Debug, Clone, PartialEq)]
pub enum WriteOutcome {
    /// Applied; the events as recorded, with their sequences.
    Applied(Vec<Arc<Event>>),
    /// A duplicate, a backward step, or nothing there to change. Nothing was recorded.
    Unchanged,
}

/// Fields of a session to change; `None` keeps, `Some(None)` clears.
#[derive(Debug, Clone, Default, PartialEq)]
#[expect(missing_docs, reason = "the fields are those of Session")]
pub struct SessionPatch {
    pub status: Option<SessionStatus>,
    pub wanted: Option<bool>,
    pub wish: Option<Option<Wish>>,
    pub phone: Option<Option<PhoneNumber>>,
    pub lid: Option<Option<ChatId>>,
    pub push_name: Option<Option<String>>,
    pub connected_at: Option<Option<Timestamp>>,
    pub last_active: Option<Option<Timestamp>>,
    pub last_error: Option<Option<String>>,
    pub config: Option<SessionConfig>,
    pub proxy: Option<Option<ProxyUrl>>,
    pub restriction: Option<Option<Restriction>>,
    pub new_chat_quota: Option<Option<NewChatQuota>>,
    /// Stored as `updated_at`, unless `None`.
    pub at: Option<Timestamp>,
}

/// The transactional heart: changes, events and deliveries, committed together.
#[async_trait]
pub trait Ledger: Send + Sync + 'static {
    /// Applies all writes as one atomic, durable unit, and answers each. For every recorded event the next dense
    /// sequence of its session is assigned and one pending delivery per webhook that
    /// [wants](crate::webhook::Webhook::wants) it is stored in the webhook's [lane](crate::webhook::Webhook::lane),
    /// in the same transaction.
    ///
    /// # Errors
    /// Nothing was written when this fails with anything but a lost answer; every write is safe to repeat.
    /// [`StoreErrorKind::NotOwner`](super::StoreErrorKind::NotOwner), see [`Write::Held`].
    /// [`StoreErrorKind::Gone`](super::StoreErrorKind::Gone) when the session of a message, a person, a chat or a held
    /// change does not exist.
    async fn write(&self, writes: Vec<Write>) -> StoreResult<Vec<WriteOutcome>>;

    /// Records the events of changes that were held until `now` for messages that never came; the acks among them are
    /// forgotten. How many changes were released.
    async fn release_held(&self, now: Timestamp) -> StoreResult<u64>;

    /// Whether the database answers.
    async fn ping(&self) -> StoreResult<()>;

    /// Why it takes no writes, as the last that were tried showed; `None` as long as it takes them. It stays until a
    /// [`probe`](Self::probe) works.
    fn trouble(&self) -> Option<Trouble> {
        None
    }

    /// Commits something that nobody needs, to see whether writes are taken.
    async fn probe(&self) -> StoreResult<()> {
        self.ping().await
    }

    /// Rows that could not be read since the process started and have not been read since.
    fn unreadable(&self) -> Vec<UnreadableRow> {
        vec![]
    }

    /// Puts something aside that can never be stored where it belongs, encrypted. `false` when it was put aside before.
    async fn quarantine(&self, _put_aside: Quarantined) -> StoreResult<bool> {
        let doing = "putting a message aside";
        Err(StoreError { kind: StoreErrorKind::Unavailable, doing, source: None })
    }

    /// How much is put aside.
    async fn put_aside(&self) -> StoreResult<u64> {
        Ok(0)
    }
}
