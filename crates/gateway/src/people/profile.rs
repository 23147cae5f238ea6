//! The account's own profile.

use domain::{
    SessionId,
    port::{ProfileChange, SessionPatch, Write},
    proxy::ProxyUrl,
};

use super::{People, PeopleError, engine};
use crate::sessions::NoLink;

/// Where a profile picture comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PictureInput {
    /// An http or https address, fetched by this process.
    Url(String),
    /// Its bytes as base64, with or without `data:`.
    Base64(String),
}

impl People {
    /// Gives the account another name, the one that others see in its messages.
    ///
    /// # Errors
    /// [`PeopleError`].
    pub async fn rename(&self, session: SessionId, name: String) -> Result<(), PeopleError> {
        let link = self.sessions.link(session).await?;
        let change = ProfileChange::Name(name.clone());
        link.connection.change_profile(change).await.map_err(engine)?;
        let patch = SessionPatch { push_name: Some(Some(name)), ..SessionPatch::default() };
        let write = Write::PatchSession { session, patch: Box::new(patch), events: vec![] };
        self.sessions.took(&link.lease, vec![write]).await.map_err(PeopleError::Store)
    }

    /// Changes the text under the name; an empty one takes it away.
    ///
    /// # Errors
    /// [`PeopleError`].
    pub async fn set_about(&self, session: SessionId, text: String) -> Result<(), PeopleError> {
        let link = self.sessions.link(session).await?;
        let change = ProfileChange::About(text);
        link.connection.change_profile(change).await.map_err(engine)
    }

    /// Puts another picture into the profile: its middle, as a square.
    ///
    /// # Errors
    /// [`PeopleError`].
    pub async fn set_picture(
        &self,
        session: SessionId,
        picture: PictureInput,
    ) -> Result<(), PeopleError> {
        // Nothing is fetched for a session that could not use it.
        self.sessions.link(session).await?;
        let made = match picture {
            PictureInput::Base64(text) => self.media.profile_of_base64(&text).await,
            PictureInput::Url(url) => {
                let proxy = self.way_out(session).await?;
                self.media.profile_of_url(&url, proxy.as_ref()).await
            }
        };
        self.change_picture(session, Some(made.map_err(PeopleError::Media)?)).await
    }

    /// Takes the picture out of the profile.
    ///
    /// # Errors
    /// [`PeopleError`].
    pub async fn remove_picture(&self, session: SessionId) -> Result<(), PeopleError> {
        self.change_picture(session, None).await
    }

    async fn change_picture(
        &self,
        session: SessionId,
        jpeg: Option<Vec<u8>>,
    ) -> Result<(), PeopleError> {
        let link = self.sessions.link(session).await?;
        let change = ProfileChange::Picture(jpeg);
        link.connection.change_profile(change).await.map_err(engine)?;
        if let Ok(own) = link.from.parse() {
            self.sessions.pictures().forget(session, &own);
        }
        Ok(())
    }

    /// The proxy that a picture is fetched through.
    async fn way_out(&self, session: SessionId) -> Result<Option<ProxyUrl>, PeopleError> {
        if !self.fetch_through_proxy {
            return Ok(None);
        }
        let known = self.ports.store.session(session).await.map_err(PeopleError::Store)?;
        Ok(known.ok_or(NoLink::NotFound(session))?.proxy)
    }
}
