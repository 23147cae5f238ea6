//! The WhatsApp client behind its wall.

use std::{fs::File, sync::Arc, time::Duration};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{
    CatalogueActions, ChannelActions, GroupActions, LabelActions, Lease, PasskeyActions,
    PasskeySignal, StoreError, StoreResult,
    contacts::{ContactActions, PeopleSignal},
};
use crate::{
    address::{ChatId, PhoneNumber},
    chat::{ChatMark, ContactPatch, Identity, LastMessage, Registration, Typing},
    content::{MediaKind, RemoteMedia, Target},
    event::ChangeSource,
    group::GroupSignal,
    ids::WaMessageId,
    label::LabelSignal,
    message::{InboundMessage, OutgoingMessage},
    proxy::ProxyUrl,
    session::{LimitNews, LossCause},
};

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
    /// The file is larger than it may be.
    #[error("the file is too large")]
    TooBig,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReceiptKind {
    /// A device of the recipient has it.
    Delivered,
    /// The recipient saw it.
    Read,
    /// The recipient played it.
    Played,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallOutcome {
    /// Taken on another device of this account.
    Accepted,
    /// Refused on another device of this account.
    Rejected,
    /// Nobody took it.
    Missed,
}

impl CallOutcome {
    /// The wire word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::Missed => "missed",
        }
    }
}

/// A call to this account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// WhatsApp's id of the call.
    pub id: String,
    /// Who calls, or the group.
    pub from: ChatId,
    /// With a picture.
    pub video: bool,
    /// In a group.
    pub group: bool,
    /// WhatsApp's time, epoch seconds.
    pub timestamp: i64,
    /// How it ended; `None` while it rings.
    pub outcome: Option<CallOutcome>,
    /// Where it was taken or refused; `None` for a call that nobody took, and while it rings.
    pub source: Option<ChangeSource>,
}

/// News from a connection, in the order they happened.
#[derive(Debug, Clone, PartialEq)]
pub enum EngineSignal {
    /// Show this to a person's phone.
    QrCode {
        /// The text behind the picture.
        code: String,
        /// How long it can be scanned.
        lasts: Duration,
    },
    /// The phone accepted this device.
    Paired {
        /// The linked number.
        phone: PhoneNumber,
        /// Its privacy id.
        lid: Option<ChatId>,
    },
    /// The account asks for its passkey while this device is linked.
    Passkey(PasskeySignal),
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
        /// The message that it is about.
        id: WaMessageId,
        /// The code of a refusal, for instance 404 or 463.
        refused: Option<u16>,
        /// WhatsApp's time, epoch seconds.
        timestamp: i64,
    },
    /// What waited at WhatsApp's server while we were away has been handed over, messages and receipts.
    CaughtUp,
    /// A call came in, or ended.
    Call(Call),
    /// Something about people: presences, pictures, who is blocked, who is behind a privacy id.
    People(PeopleSignal),
    /// Something about groups.
    Group(GroupSignal),
    /// The number behind a privacy id was learned outside of a message.
    Identity(Identity),
    /// A person's names were learned: from the address book, or from themselves.
    Contact {
        /// The person, by any of their ids.
        id: ChatId,
        /// The fields that were learned.
        patch: ContactPatch,
    },
    /// A chat was marked on another device.
    ChatMark {
        /// The chat that it is about.
        chat: ChatId,
        /// The mark that is set or taken.
        mark: ChatMark,
    },
    /// Another device of the account changed its labels.
    Label(LabelSignal),
    /// A group's name was learned.
    ChatName {
        /// The chat that it is about.
        chat: ChatId,
        /// Its name.
        name: String,
    },
    /// WhatsApp said something about the account's limits.
    Limits(LimitNews),
    /// Somebody's device answered.
    Receipt {
        /// In which chat.
        chat: ChatId,
        /// Whose, in a group or of a status.
        participant: Option<ChatId>,
        /// For which messages of ours.
        ids: Vec<WaMessageId>,
        /// How far the message got.
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

    /// Whether the ledger has a message of this id.
    async fn knows(&self, id: &WaMessageId) -> StoreResult<bool>;

    /// Everything else, one at a time, in order.
    async fn signal(&self, signal: EngineSignal);
}

/// What a connection is opened with.
#[derive(Debug, Clone)]
pub struct OpenRequest {
    /// Whose keys, and the right to write them.
    pub lease: Lease,
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
pub trait Connection:
    PasskeyActions
    + ChannelActions
    + LabelActions
    + CatalogueActions
    + ContactActions
    + GroupActions
    + Send
    + Sync
    + 'static
{
    /// Encrypts a message and writes it to the wire. `Ok` means written, not accepted: that is
    /// [`EngineSignal::ServerAck`].
    async fn send(&self, message: OutgoingMessage) -> Result<(), EngineError>;

    /// Encrypts a file and uploads it, as streams; the file is read from its beginning.
    async fn upload(&self, kind: MediaKind, file: File) -> Result<RemoteMedia, EngineError>;

    /// Downloads a file, decrypts and verifies it, as streams; `into` is emptied first, and again when this fails.
    /// [`EngineError::Refused`] means that WhatsApp no longer has it. [`EngineError::TooBig`] comes as soon as it is
    /// larger than `bytes_max`, or than its message says; nothing more is read then.
    async fn download(
        &self,
        kind: MediaKind,
        remote: &RemoteMedia,
        into: File,
        bytes_max: u64,
    ) -> Result<(), EngineError>;

    /// Shows in a chat what one is doing.
    async fn typing(&self, chat: &ChatId, state: Typing) -> Result<(), EngineError>;

    /// Sends read receipts for messages of a chat, given with their authors in groups.
    async fn mark_read(
        &self,
        chat: &ChatId,
        messages: &[(WaMessageId, Option<ChatId>)],
    ) -> Result<(), EngineError>;

    /// Marks a chat on all devices of the account. `last` is its newest message, when there is one.
    async fn mark_chat(
        &self,
        chat: &ChatId,
        mark: ChatMark,
        last: Option<&LastMessage>,
    ) -> Result<(), EngineError>;

    /// Stars a message on all devices of the account, or takes the star away.
    async fn star(&self, chat: &ChatId, target: &Target, star: bool) -> Result<(), EngineError>;

    /// Deletes a message on the devices of this account only; `timestamp` is the message's, epoch seconds.
    async fn delete_for_me(
        &self,
        chat: &ChatId,
        target: &Target,
        timestamp: i64,
    ) -> Result<(), EngineError>;

    /// Asks who has these addresses (numbers or privacy ids); one answer each, in order.
    async fn lookup(&self, ids: &[ChatId]) -> Result<Vec<Registration>, EngineError>;

    /// An 8-character code to type into the phone of that number, instead of a QR code.
    async fn pairing_code(&self, phone: &PhoneNumber) -> Result<String, EngineError>;

    /// Tells WhatsApp that this device is gone, within a limit. Keys are deleted by the caller.
    async fn unlink(&self, limit: Duration) -> Result<(), EngineError>;

    /// Writes nothing of its keys from now on, whatever else it still does: for who lost the session.
    fn seal(&self);

    /// Ends it and waits until nothing of it runs; no signal follows. Safe to call twice.
    async fn close(&self);
}
