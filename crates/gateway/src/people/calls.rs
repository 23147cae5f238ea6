//! Calls: refused, and links to them.

use domain::{SessionId, Timestamp, port::CallMedia};

use super::{People, PeopleError, engine};
use crate::sessions::RejectError;

impl People {
    /// Refuses a call that rings.
    ///
    /// # Errors
    /// [`PeopleError::NotRinging`], and what else may go wrong.
    pub async fn reject_call(&self, session: SessionId, id: &str) -> Result<(), PeopleError> {
        let link = self.sessions.link(session).await?;
        match self.sessions.reject_call(&link, id).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(PeopleError::NotRinging(id.to_owned())),
            Err(RejectError::Engine(error)) => Err(engine(error)),
            Err(RejectError::Store(error)) => Err(PeopleError::Store(error)),
        }
    }

    /// Makes a link to a call that begins at a time.
    ///
    /// # Errors
    /// [`PeopleError`].
    pub async fn call_link(
        &self,
        session: SessionId,
        media: CallMedia,
        start: Timestamp,
    ) -> Result<String, PeopleError> {
        let link = self.sessions.link(session).await?;
        link.connection.call_link(media, start).await.map_err(engine)
    }
}
