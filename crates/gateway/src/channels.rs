//! Channels: WhatsApp is asked each time, nothing of them is kept. What channels post comes in as messages.

use domain::{
    ChatId, SessionId,
    channel::{Channel, ChannelChange, ChannelPost, NewChannel},
};

use crate::{Sessions, sessions::AskError};

/// A handle to the channels. Cheap to clone.
#[derive(Clone)]
pub struct Channels {
    sessions: Sessions,
}

impl Channels {
    pub(crate) fn build(sessions: &Sessions) -> Self {
        Self { sessions: sessions.clone() }
    }

    /// The channels that the account follows or has.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn list(&self, session: SessionId) -> Result<Vec<Channel>, AskError> {
        let link = self.sessions.link(session).await?;
        Ok(link.connection.channels().await?)
    }

    /// One channel; `None` when there is none of this address.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn get(&self, session: SessionId, id: &ChatId) -> Result<Option<Channel>, AskError> {
        let link = self.sessions.link(session).await?;
        Ok(link.connection.channel(id).await?)
    }

    /// Makes a channel.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn create(&self, session: SessionId, new: NewChannel) -> Result<Channel, AskError> {
        let link = self.sessions.link(session).await?;
        Ok(link.connection.create_channel(new).await?)
    }

    /// Follows the channel of an invite code; `None` when there is none.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn subscribe(
        &self,
        session: SessionId,
        invite_code: &str,
    ) -> Result<Option<Channel>, AskError> {
        let link = self.sessions.link(session).await?;
        Ok(link.connection.subscribe_channel(invite_code).await?)
    }

    /// Changes a channel; `false` when there is none of this address.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn change(
        &self,
        session: SessionId,
        id: &ChatId,
        change: ChannelChange,
    ) -> Result<bool, AskError> {
        let link = self.sessions.link(session).await?;
        Ok(link.connection.change_channel(id, change).await?)
    }

    /// The newest posts of a channel, newest first; `None` when there is none of this address.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn posts(
        &self,
        session: SessionId,
        id: &ChatId,
        limit: u32,
    ) -> Result<Option<Vec<ChannelPost>>, AskError> {
        let link = self.sessions.link(session).await?;
        Ok(link.connection.channel_posts(id, limit).await?)
    }
}
