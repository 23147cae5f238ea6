//! Presences: whose is watched, what was seen last, and what the account shows of itself.
//!
//! A wish is asked of WhatsApp first and then remembered; after each login it is asked again.

use domain::{ChatId, SessionId, port::Write};

use super::{People, PeopleError, engine};
use crate::presence::LastPresence;

impl People {
    /// Asks WhatsApp to tell the presence of a chat, now and after every reconnect.
    ///
    /// # Errors
    /// [`PeopleError`].
    pub async fn watch_presence(
        &self,
        session: SessionId,
        chat: &ChatId,
    ) -> Result<(), PeopleError> {
        let link = self.sessions.link(session).await?;
        let chat = self.canonical(session, chat).await.map_err(PeopleError::Store)?;
        link.connection.watch_presence(&chat).await.map_err(engine)?;
        let at = self.ports.clock.now();
        let write = Write::WatchPresence { session, chat, at };
        self.sessions.took(&link.lease, vec![write]).await.map_err(PeopleError::Store)
    }

    /// What was seen in a chat last, since this process runs the session. `None` when nothing was, or when so much was
    /// seen in other chats since that it is forgotten.
    ///
    /// # Errors
    /// [`PeopleError::Store`].
    pub async fn last_presence(
        &self,
        session: SessionId,
        chat: &ChatId,
    ) -> Result<Option<LastPresence>, PeopleError> {
        let id = self.canonical(session, chat).await.map_err(PeopleError::Store)?;
        let presences = self.sessions.presences();
        // Something may have been seen before the number was known.
        Ok(presences.last(session, &id).or_else(|| presences.last(session, chat)))
    }

    /// Shows the account as online or not, now and after every reconnect.
    ///
    /// # Errors
    /// [`PeopleError`].
    pub async fn set_available(
        &self,
        session: SessionId,
        available: bool,
    ) -> Result<(), PeopleError> {
        let link = self.sessions.link(session).await?;
        if !link.connection.set_available(available).await.map_err(engine)? {
            return Err(PeopleError::NoName);
        }
        let write = Write::WishAvailable { session, available };
        self.sessions.took(&link.lease, vec![write]).await.map_err(PeopleError::Store)
    }
}
