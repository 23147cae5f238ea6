//! Who is online, and who is writing.

use crate::address::ChatId;

/// Chats of one session whose presence is watched at a time. With one more, the one watched longest is forgotten.
pub const WATCHED_MAX: u32 = 1000;

/// What a person is doing, in OpenWA's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PresenceState {
    /// Their app is open.
    Available,
    /// It is closed, or they hide it.
    Unavailable,
    /// They write a text in the chat.
    Composing,
    /// They record a voice note in the chat.
    Recording,
    /// They stopped writing or recording.
    Paused,
}

impl PresenceState {
    /// Every state, as documented.
    pub const ALL: [Self; 5] =
        [Self::Available, Self::Unavailable, Self::Composing, Self::Recording, Self::Paused];

    /// The word that the API uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Unavailable => "unavailable",
            Self::Composing => "composing",
            Self::Recording => "recording",
            Self::Paused => "paused",
        }
    }
}

/// What one person is doing in a chat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresenceOf {
    /// Who it is, by canonical id.
    pub person: ChatId,
    /// What they are doing.
    pub state: PresenceState,
    /// When they were online last, epoch seconds, where they show it.
    pub last_seen: Option<i64>,
}

/// News of somebody's presence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresenceChange {
    /// The chat in which it is seen: the person's own, or a group.
    pub chat: ChatId,
    /// Who is doing what there.
    pub of: PresenceOf,
}

/// What an account wants of presences. It holds over every reconnect and restart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PresenceWishes {
    /// Whether the account shows as online; nobody has said so where it is `None`, and then it does not.
    pub available: Option<bool>,
    /// Chats whose presence is watched, the newest wish first.
    pub watched: Vec<ChatId>,
}
