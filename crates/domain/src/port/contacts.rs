//! What the engine can do about people and the account's own profile.

use async_trait::async_trait;

use super::{Call, EngineError};
use crate::{
    address::{ChatId, PhoneNumber},
    chat::{ContactName, Identity},
    presence::PresenceChange,
    time::Timestamp,
};

/// News about people.
#[derive(Debug, Clone, PartialEq)]
pub enum PeopleSignal {
    /// Somebody went online or offline, or writes, or stopped to.
    Presence(PresenceChange),
    /// A person or a group has another picture, or none any more.
    Picture(ChatId),
    /// Everybody whom the account blocks, as it is now.
    BlockList(Vec<ChatId>),
    /// Numbers behind privacy ids, learned from whatever named both.
    Identities(Vec<Identity>),
}

/// A change of the account's own profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProfileChange {
    /// The name that others see in its messages.
    Name(String),
    /// The text under the name; empty takes it away.
    About(String),
    /// The picture, as JPEG; `None` takes it away.
    Picture(Option<Vec<u8>>),
}

/// What sort of call a link is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallMedia {
    /// Only sound, no picture.
    Audio,
    /// Sound and pictures.
    Video,
}

/// Actions about people and the account itself. Each is answered within the engine's limit for requests.
#[async_trait]
pub trait ContactActions {
    /// Everybody whom the account blocks, by canonical ids.
    async fn blocked(&self) -> Result<Vec<ChatId>, EngineError>;

    /// Blocks a person, or lets them in again.
    async fn set_blocked(&self, person: &ChatId, blocked: bool) -> Result<(), EngineError>;

    /// Where the picture of a person or a group can be fetched; `None` when there is none, or not for this account.
    async fn picture(&self, id: &ChatId) -> Result<Option<String>, EngineError>;

    /// Saves a number in the address book that the account's devices share, or renames it there.
    async fn save_contact(
        &self,
        phone: &PhoneNumber,
        name: &ContactName,
    ) -> Result<(), EngineError>;

    /// Takes a number out of that address book. One that is not in it is fine.
    async fn remove_contact(&self, phone: &PhoneNumber) -> Result<(), EngineError>;

    /// Changes the account's own profile.
    async fn change_profile(&self, change: ProfileChange) -> Result<(), EngineError>;

    /// Asks to hear of a chat's presence, for as long as this connection lasts.
    async fn watch_presence(&self, chat: &ChatId) -> Result<(), EngineError>;

    /// Shows the account as online, or not. `false` when WhatsApp does not know a name of it yet and shows nothing.
    async fn set_available(&self, available: bool) -> Result<bool, EngineError>;

    /// Refuses a call that rings; the call as it ended, or `None` when none of this id rings.
    async fn reject_call(&self, id: &str) -> Result<Option<Call>, EngineError>;

    /// Makes a link to a call that begins at a time.
    async fn call_link(&self, media: CallMedia, start: Timestamp) -> Result<String, EngineError>;
}
