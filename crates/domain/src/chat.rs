//! People and chats as the ledger keeps them.
//!
//! A person has one canonical chat id: the phone number's when it is known, else the privacy id. Pairs of both are
//! learned from every source; when a privacy id gains a number, what was filed under it moves.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    address::{ChatId, PhoneNumber},
    ids::WaMessageId,
    message::MessageType,
    time::Timestamp,
};

/// A privacy id and the number behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The privacy id, in the form `<digits>@lid`.
    pub lid: ChatId,
    /// The phone number that the privacy id stands for.
    pub phone: PhoneNumber,
}

/// What is known about a person whom the account talked to or saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// The canonical chat id.
    pub id: ChatId,
    /// The number, when known.
    pub phone: Option<PhoneNumber>,
    /// The privacy id, when known.
    pub lid: Option<ChatId>,
    /// As saved in the account's address book.
    pub name: Option<String>,
    /// As the person calls themselves.
    pub push_name: Option<String>,
    /// Blocked by this account.
    pub blocked: bool,
}

/// A name in the account's address book.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContactName {
    /// What phones show where there is little room.
    pub first: String,
    /// What comes behind it.
    pub last: Option<String>,
}

impl ContactName {
    /// Both in one line.
    pub fn full(&self) -> String {
        let parts = [Some(self.first.as_str()), self.last.as_deref()];
        let parts = parts.into_iter().flatten().map(str::trim).filter(|part| !part.is_empty());
        parts.collect::<Vec<_>>().join(" ")
    }
}

/// What was learned about a person; `None` keeps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContactPatch {
    /// As saved in the account's address book; `Some(None)` when it was removed.
    pub name: Option<Option<String>>,
    /// As the person calls themselves.
    pub push_name: Option<String>,
    /// Blocked by this account.
    pub blocked: Option<bool>,
}

/// A conversation, as the list of chats shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chat {
    /// The canonical id of the chat.
    pub id: ChatId,
    /// The group's or person's name, when known.
    pub name: Option<String>,
    /// Messages from others since it was read; at least 1 when marked unread by hand.
    pub unread_count: u32,
    /// WhatsApp's time of the newest message, epoch seconds.
    pub timestamp: i64,
    /// The newest message, or `None` in an empty chat.
    pub last_message: Option<LastMessage>,
    /// Whether the chat is in the archive.
    pub archived: bool,
    /// On top of the list.
    pub pinned: bool,
    /// Until when its messages make no sound.
    pub muted: Option<MutedUntil>,
}

/// The newest message of a chat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastMessage {
    /// WhatsApp's id of the message.
    pub id: WaMessageId,
    /// Whether this account wrote it.
    pub from_me: bool,
    /// Who wrote it, in groups.
    pub author: Option<ChatId>,
    /// The text or caption of the message.
    pub body: Option<String>,
    /// OpenWA's type of the message.
    pub kind: MessageType,
    /// WhatsApp's time, epoch seconds.
    pub timestamp: i64,
}

/// For how long a chat is silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MutedUntil {
    /// Until it is unmuted.
    Forever,
    /// Until this time at the latest.
    Time(Timestamp),
}

/// A mark on a chat, set here or on another device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChatMark {
    /// Put away, or back.
    Archived(bool),
    /// On top, or not.
    Pinned(bool),
    /// Muted for a while, or `None` when unmuted.
    Muted(Option<MutedUntil>),
    /// Read, or marked unread by hand.
    Read(bool),
    /// Removed from the list, with its messages.
    Deleted,
    /// Its messages were removed.
    Cleared,
}

/// What one shows in a chat while writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Typing {
    /// Somebody is writing a text.
    Typing,
    /// Recording a voice note.
    Recording,
    /// Somebody stopped writing and recording.
    Paused,
}

/// How long it is believed under which spelling WhatsApp knows a number: 30 days. Later it is asked again, and what was
/// known serves as long as WhatsApp cannot be asked.
pub const FORM_FRESH: Duration = Duration::from_secs(30 * 24 * 3600);
/// Spellings that are remembered per session. When full, the oldest is forgotten and would be asked for again.
pub const FORMS_MAX: u32 = 20_000;

/// Under which spelling WhatsApp knows a number that may have two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownForm {
    /// The chat that it is about.
    pub chat: ChatId,
    /// When WhatsApp said so.
    pub at: Timestamp,
}

/// What WhatsApp says about an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// As it was asked for.
    pub asked: ChatId,
    /// The registered id, which may differ from the one asked for (ninth digits, country rules). `None` when nobody
    /// has this address.
    pub registered: Option<ChatId>,
    /// The privacy id of the same person, when WhatsApp names it.
    pub lid: Option<ChatId>,
}
