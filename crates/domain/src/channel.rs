//! Channels, which WhatsApp calls newsletters: what the account sees of them.

use crate::{address::ChatId, content::Content, ids::WaMessageId};

/// Longest name of a channel, in characters (OpenWA's limit).
pub const CHANNEL_NAME_CHARS_MAX: usize = 100;
/// Longest description of a channel, in characters (OpenWA's limit).
pub const CHANNEL_DESCRIPTION_CHARS_MAX: usize = 2048;
/// Most posts of a channel in one answer (OpenWA's limit).
pub const CHANNEL_POSTS_MAX: u32 = 100;

/// A channel, as WhatsApp describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// Its address, `<id>@newsletter`.
    pub id: ChatId,
    /// The name of the channel.
    pub name: String,
    /// What the channel says about itself.
    pub description: Option<String>,
    /// What stands at the end of an invite link to it.
    pub invite_code: Option<String>,
    /// How many people follow it.
    pub subscribers: u64,
    /// Where WhatsApp's servers keep its picture.
    pub picture: Option<String>,
    /// Whether WhatsApp vouches for its owner.
    pub verified: bool,
    /// When it was made, epoch seconds.
    pub created_at: Option<i64>,
    /// What this account is in it.
    pub role: Option<ChannelRole>,
}

/// What an account is in a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelRole {
    /// It made the channel, or was given it.
    Owner,
    /// It may post and edit.
    Admin,
    /// It follows the channel.
    Subscriber,
    /// It only looks at the channel.
    Guest,
}

impl ChannelRole {
    /// The word that the API uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Subscriber => "subscriber",
            Self::Guest => "guest",
        }
    }
}

/// A post of a channel.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelPost {
    /// WhatsApp's id of the message; its number in the channel where WhatsApp names none.
    pub id: WaMessageId,
    /// What it says.
    pub content: Content,
    /// WhatsApp's time, epoch seconds.
    pub timestamp: i64,
}

/// A channel with these words is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewChannel {
    /// The name of the channel.
    pub name: String,
    /// What the channel says about itself.
    pub description: Option<String>,
}

/// What is done with a channel that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChannelChange {
    /// The account does not follow it any more.
    Unsubscribe,
    /// The channel ends, for everybody.
    Delete,
    /// Its posts make no sound, or do again.
    Mute(bool),
    /// This admin is a follower from now on.
    Demote(ChatId),
    /// This admin is the owner from now on.
    Transfer(ChatId),
}
