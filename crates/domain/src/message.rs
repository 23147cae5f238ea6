//! Messages: what is stored, what came in, what goes out.

use serde::{Deserialize, Serialize};

pub use crate::content::Content;
use crate::{
    address::{ChatId, PhoneNumber},
    event::ChangeSource,
    ids::{MessageRowId, SessionId, WaMessageId},
    status::{StatusPost, TextStyle},
    time::Timestamp,
};

/// Longest text of one message, in characters (OpenWA's limit).
pub const TEXT_CHARS_MAX: usize = 4096;
/// Most mentions in one message.
pub const MENTIONS_MAX: usize = 1024;

/// How far WhatsApp carried a message. Moves forward only, see [`MessageStatus::may_become`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MessageStatus {
    /// Stored; WhatsApp's server has not answered yet.
    Pending,
    /// WhatsApp's server took it.
    Sent,
    /// A device of the recipient has it.
    Delivered,
    /// The recipient saw it.
    Read,
    /// WhatsApp refused it, or it was never sent.
    Failed,
}

impl MessageStatus {
    /// Every status, in the order of progress.
    pub const ALL: [Self; 5] =
        [Self::Pending, Self::Sent, Self::Delivered, Self::Read, Self::Failed];

    /// The word that the API uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Failed => "failed",
        }
    }

    /// Reads the wire word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// OpenWA's integer in `message.ack` (only -1 is documented; the others are inferred).
    pub const fn ack(self) -> i8 {
        match self {
            Self::Failed => -1,
            Self::Pending => 0,
            Self::Sent => 1,
            Self::Delivered => 2,
            Self::Read => 3,
        }
    }

    /// Whether an ack may move a message from `self` to `next`. Receipts overtake each other, so late lower ones
    /// change nothing. A refusal counts only while nothing else is known; a receipt proves a refusal wrong.
    pub const fn may_become(self, next: Self) -> bool {
        match (self, next) {
            (Self::Pending, Self::Pending) => false,
            (Self::Pending, _) => true,
            (Self::Failed, Self::Sent | Self::Delivered | Self::Read) => true,
            (_, Self::Failed | Self::Pending) => false,
            (from, to) => to.ack() > from.ack(),
        }
    }
}

/// Which way a message went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Sent to this account by somebody else.
    Incoming,
    /// From this account, by API or on the phone.
    Outgoing,
}

impl Direction {
    /// The word that the API uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Incoming => "incoming",
            Self::Outgoing => "outgoing",
        }
    }

    /// Reads the wire word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Incoming, Self::Outgoing].into_iter().find(|direction| direction.as_str() == text)
    }
}

/// The types of messages that OpenWA's API knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the words are WhatsApp's own and say it")]
pub enum MessageType {
    Text,
    Image,
    Video,
    Audio,
    Voice,
    Document,
    Sticker,
    Location,
    Contact,
    Poll,
    Call,
    Revoked,
    Order,
    Product,
    Masked,
    Unknown,
}

impl MessageType {
    /// Every type that a message can have.
    pub const ALL: [Self; 16] = [
        Self::Text,
        Self::Image,
        Self::Video,
        Self::Audio,
        Self::Voice,
        Self::Document,
        Self::Sticker,
        Self::Location,
        Self::Contact,
        Self::Poll,
        Self::Call,
        Self::Revoked,
        Self::Order,
        Self::Product,
        Self::Masked,
        Self::Unknown,
    ];

    /// The word that the API uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Image => "image",
            Self::Video => "video",
            Self::Audio => "audio",
            Self::Voice => "voice",
            Self::Document => "document",
            Self::Sticker => "sticker",
            Self::Location => "location",
            Self::Contact => "contact",
            Self::Poll => "poll",
            Self::Call => "call",
            Self::Revoked => "revoked",
            Self::Order => "order",
            Self::Product => "product",
            Self::Masked => "masked",
            Self::Unknown => "unknown",
        }
    }

    /// Reads the wire word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A message as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// The id of the row, which the API shows as the message's own.
    pub id: MessageRowId,
    /// The session it belongs to.
    pub session: SessionId,
    /// WhatsApp's id; `(session, wa_id)` is unique. Chosen by us for sends, before the wire.
    pub wa_id: WaMessageId,
    /// The chat it belongs to.
    pub chat: ChatId,
    /// Sender's chat id; for our own, the session's number.
    pub from: String,
    /// Chat id of the recipient.
    pub to: String,
    /// Display name of the chat, when known.
    pub chat_name: Option<String>,
    /// The person who wrote it, in groups.
    pub author: Option<ChatId>,
    /// The text, or the caption of a file.
    pub body: Option<String>,
    /// OpenWA's type of the message.
    pub kind: MessageType,
    /// Whether this account received or sent it.
    pub direction: Direction,
    /// WhatsApp's own time, whole seconds.
    pub timestamp: Option<i64>,
    /// `quotedMessage`, `media`, `poll`, … as the API shows them; `null` when there are none.
    pub metadata: serde_json::Value,
    /// Where its file can be fetched in this API, once it is there.
    pub media_path: Option<String>,
    /// The type of its file.
    pub media_mimetype: Option<String>,
    /// How far it got. Incoming messages are `delivered`.
    pub status: MessageStatus,
    /// When the row was written.
    pub created_at: Timestamp,
}

/// The message another one answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quoted {
    /// WhatsApp's id of the quoted message.
    pub id: WaMessageId,
    /// Its text, empty when unknown.
    pub body: String,
}

/// A message as the engine received it: typed by somebody else, or by us on another device. Serialised where it has to
/// be kept although it cannot be stored.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InboundMessage {
    /// WhatsApp's id of the message.
    pub id: WaMessageId,
    /// The chat, in its canonical form (phone number when known).
    pub chat: ChatId,
    /// Who wrote it (in groups the author, else the other person or ourselves).
    pub sender: ChatId,
    /// The sender's privacy id, when known.
    pub sender_lid: Option<ChatId>,
    /// The sender's number, when known.
    pub sender_phone: Option<PhoneNumber>,
    /// Written by this account on another device.
    pub from_me: bool,
    /// Which device that was; `None` for messages of other people.
    pub source: Option<ChangeSource>,
    /// The sender's display name.
    pub push_name: Option<String>,
    /// WhatsApp's time, whole seconds.
    pub timestamp: i64,
    /// The text, file, poll or change that the message carries.
    pub content: Content,
    /// The message that this one answers.
    pub quoted: Option<Quoted>,
    /// The people whom the text mentions.
    pub mentions: Vec<ChatId>,
    /// Waited at WhatsApp's server while we were away.
    pub backfilled: bool,
    /// The chat deletes its messages after this many seconds.
    pub ephemeral_seconds: Option<u32>,
    /// Phones show it once. Its file does not come to linked devices.
    pub view_once: bool,
    /// How often it was forwarded; 0 for what its sender wrote.
    pub forwarding_score: u32,
    /// How the text of a status looks.
    pub style: TextStyle,
}

/// A message on its way out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OutgoingMessage {
    /// Chosen and stored before this is handed to the engine; a retry uses the same.
    pub id: WaMessageId,
    /// The chat that it goes to.
    pub chat: ChatId,
    /// The text, file, poll or change to send.
    pub content: Content,
    /// The people whom the text mentions.
    pub mentions: Vec<ChatId>,
    /// What it answers, with the author of the quoted message.
    pub quoted: Option<(Quoted, ChatId)>,
    /// How often it was forwarded, this time included; 0 when it is not marked as forwarded.
    #[serde(default)]
    pub forwarding_score: u32,
    /// What it has in addition as a status, or as the end of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Box<StatusPost>>,
}

#[cfg(test)]
mod tests {
    use super::MessageStatus::{self, Delivered, Failed, Pending, Read, Sent};

    #[test]
    fn acks_never_move_a_message_backwards() {
        let allowed: Vec<(MessageStatus, MessageStatus)> = MessageStatus::ALL
            .into_iter()
            .flat_map(|from| MessageStatus::ALL.map(|to| (from, to)))
            .filter(|(from, to)| from.may_become(*to))
            .collect();
        assert_eq!(
            allowed,
            [
                (Pending, Sent),
                (Pending, Delivered),
                (Pending, Read),
                (Pending, Failed),
                (Sent, Delivered),
                (Sent, Read),
                (Delivered, Read),
                (Failed, Sent),
                (Failed, Delivered),
                (Failed, Read),
            ]
        );
    }
}
