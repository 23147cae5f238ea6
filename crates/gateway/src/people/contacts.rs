//! Who is blocked, the address book, pictures, privacy ids.

use std::time::Duration;

use domain::{
    ChatId, PhoneNumber, SessionId, Timer,
    chat::{ContactName, ContactPatch},
    port::{EngineError, Write},
};
use futures::future::try_join_all;

use super::{People, PeopleError, engine};
use crate::sessions::ReadySession;

/// How long WhatsApp may take to say where one picture is.
const PICTURE_LIMIT: Duration = Duration::from_secs(10);

impl People {
    /// Everybody whom the account blocks, as WhatsApp says now; the ledger learns it.
    ///
    /// # Errors
    /// [`PeopleError`].
    pub async fn blocked(&self, session: SessionId) -> Result<Vec<ChatId>, PeopleError> {
        let link = self.sessions.link(session).await?;
        let found = link.connection.blocked().await.map_err(engine)?;
        let mut blocked = Vec::with_capacity(found.len());
        for id in found {
            let id = self.ports.store.canonical_chat(session, &id).await;
            blocked.push(id.map_err(PeopleError::Store)?);
        }
        blocked.sort();
        blocked.dedup();
        let write = Write::LearnBlockList { session, blocked: blocked.clone() };
        self.ledger.write(Some(&link.lease), vec![write]).await.map_err(PeopleError::Store)?;
        Ok(blocked)
    }

    /// Blocks a person, or lets them in again.
    ///
    /// # Errors
    /// [`PeopleError`].
    pub async fn set_blocked(
        &self,
        session: SessionId,
        person: &ChatId,
        blocked: bool,
    ) -> Result<(), PeopleError> {
        let link = self.sessions.link(session).await?;
        let person = self.canonical(session, person).await.map_err(PeopleError::Store)?;
        link.connection.set_blocked(&person, blocked).await.map_err(engine)?;
        let patch = ContactPatch { blocked: Some(blocked), ..ContactPatch::default() };
        self.learn(&link, person, patch).await
    }

    /// Saves a person in the account's address book, on all its devices, or renames them there.
    ///
    /// # Errors
    /// [`PeopleError`].
    pub async fn save(
        &self,
        session: SessionId,
        person: &ChatId,
        name: &ContactName,
    ) -> Result<(), PeopleError> {
        let link = self.sessions.link(session).await?;
        let phone = self.number_of(session, person).await?;
        link.connection.save_contact(&phone, name).await.map_err(engine)?;
        let patch = ContactPatch { name: Some(Some(name.full())), ..ContactPatch::default() };
        self.learn(&link, phone.chat(), patch).await
    }

    /// Takes a person out of the account's address book, on all its devices.
    ///
    /// # Errors
    /// [`PeopleError`].
    pub async fn remove(&self, session: SessionId, person: &ChatId) -> Result<(), PeopleError> {
        let link = self.sessions.link(session).await?;
        let phone = self.number_of(session, person).await?;
        link.connection.remove_contact(&phone).await.map_err(engine)?;
        let patch = ContactPatch { name: Some(None), ..ContactPatch::default() };
        self.learn(&link, phone.chat(), patch).await
    }

    /// Where the picture of a person or a group is; `None` when there is none, or not for this account.
    ///
    /// # Errors
    /// [`PeopleError`].
    pub async fn picture(
        &self,
        session: SessionId,
        id: &ChatId,
    ) -> Result<Option<String>, PeopleError> {
        let link = self.sessions.link(session).await?;
        self.picture_by(&link, session, id).await
    }

    /// Where several pictures are, in the order of the ids.
    ///
    /// # Errors
    /// [`PeopleError`]; one that is not answered fails them all, rather than to look like nobody's.
    pub async fn pictures(
        &self,
        session: SessionId,
        ids: &[ChatId],
    ) -> Result<Vec<Option<String>>, PeopleError> {
        let link = self.sessions.link(session).await?;
        try_join_all(ids.iter().map(|id| self.picture_by(&link, session, id))).await
    }

    async fn picture_by(
        &self,
        link: &ReadySession,
        session: SessionId,
        id: &ChatId,
    ) -> Result<Option<String>, PeopleError> {
        let id = self.canonical(session, id).await.map_err(PeopleError::Store)?;
        let clock = &self.ports.clock;
        let ask = async || {
            let limit = clock.now().plus(PICTURE_LIMIT);
            tokio::select! {
                found = link.connection.picture(&id) => found,
                () = clock.sleep_until(Timer::Picture, limit) => Err(EngineError::Unanswered(None)),
            }
        };
        let found = self.sessions.pictures().find((session, &id), || clock.now(), ask).await;
        found.map_err(engine)
    }

    /// The privacy id of a number. WhatsApp is asked where it is not known.
    ///
    /// # Errors
    /// [`PeopleError`].
    pub async fn lid_of(
        &self,
        session: SessionId,
        phone: &PhoneNumber,
    ) -> Result<Option<ChatId>, PeopleError> {
        let known = self.ports.store.lid_of(session, phone).await.map_err(PeopleError::Store)?;
        if known.is_some() {
            return Ok(known);
        }
        Ok(self.check(session, phone).await?.lid)
    }

    /// The number of a person; the address book has nothing else.
    async fn number_of(
        &self,
        session: SessionId,
        person: &ChatId,
    ) -> Result<PhoneNumber, PeopleError> {
        let id = self.canonical(session, person).await.map_err(PeopleError::Store)?;
        id.phone().ok_or(PeopleError::NumberUnknown(id))
    }

    /// WhatsApp has done it: the ledger follows as soon as it can.
    async fn learn(
        &self,
        link: &ReadySession,
        id: ChatId,
        patch: ContactPatch,
    ) -> Result<(), PeopleError> {
        let write = Write::LearnContact { session: link.lease.session, id, patch };
        let stored = self.sessions.took(&link.lease, vec![write]).await;
        stored.map_err(PeopleError::Store)
    }
}
