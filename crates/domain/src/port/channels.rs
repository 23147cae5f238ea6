//! What WhatsApp is asked about channels.

use async_trait::async_trait;

use super::EngineError;
use crate::{
    address::ChatId,
    channel::{Channel, ChannelChange, ChannelPost, NewChannel},
};

/// Channels, by a connection of an account. Nothing of them is kept: WhatsApp is asked each time.
#[async_trait]
pub trait ChannelActions {
    /// The channels that the account follows or has.
    async fn channels(&self) -> Result<Vec<Channel>, EngineError>;

    /// One channel; `None` when WhatsApp knows none of this address.
    async fn channel(&self, id: &ChatId) -> Result<Option<Channel>, EngineError>;

    /// Makes a channel that belongs to the account.
    async fn create_channel(&self, new: NewChannel) -> Result<Channel, EngineError>;

    /// Follows the channel of an invite code; `None` when no channel has it.
    async fn subscribe_channel(&self, invite_code: &str) -> Result<Option<Channel>, EngineError>;

    /// Changes a channel; `false` when WhatsApp knows none of this address.
    async fn change_channel(&self, id: &ChatId, change: ChannelChange)
    -> Result<bool, EngineError>;

    /// The newest posts of a channel, newest first; `None` when WhatsApp knows none of this address.
    async fn channel_posts(
        &self,
        id: &ChatId,
        limit: u32,
    ) -> Result<Option<Vec<ChannelPost>>, EngineError>;
}
