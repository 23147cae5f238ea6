//! People and chats: read from the ledger, asked of and marked at WhatsApp.
//!
//! The account's own profile, presences and calls are [`profile`], [`presence`] and [`calls`]; who is blocked, the
//! address book and pictures [`contacts`].
//!
//! Reads need no connection. A mark is set at WhatsApp first and then in the ledger, so that the ledger never shows
//! what WhatsApp refused.

mod calls;
mod contacts;
mod presence;
mod profile;

use domain::{
    ChatId, PhoneNumber, SessionId, WaMessageId,
    chat::{Chat, ChatMark, Contact, MutedUntil, Registration, Typing},
    phone::other_form,
    port::{EngineError, Erased, Page, StoreError, Write},
    session::SessionStatus,
};

use crate::{
    Media, Ports, SendOptions, Sessions,
    ledger::LedgerWriter,
    media::MediaError,
    sessions::{NoLink, ReadySession},
    spelling,
};

pub use profile::PictureInput;

/// Receipts sent at once when nobody says for which messages.
const UNREAD_MAX: u32 = 100;
/// Rows read at once while a list is filtered.
const FILTER_PAGE: u32 = 1000;

/// Why something about people or chats was not done.
#[derive(Debug, thiserror::Error)]
pub enum PeopleError {
    /// There is no session of this id.
    #[error("no session {0}")]
    SessionNotFound(SessionId),
    /// Its engine is not loaded.
    #[error("the session is not started")]
    NotStarted,
    /// It is not connected now.
    #[error("the session is not ready: {}", .0.as_str())]
    NotReady(SessionStatus),
    /// WhatsApp knows no name of the account yet, with which it could show as online.
    #[error("the account has no name yet")]
    NoName,
    /// Only numbers can be in the address book, and that of this privacy id is not known.
    #[error("the number of {0} is not known")]
    NumberUnknown(ChatId),
    /// No call of this id rings.
    #[error("no call {0} rings")]
    NotRinging(String),
    /// A picture could not be had or made.
    #[error("the picture cannot be used")]
    Media(#[source] MediaError),
    /// WhatsApp did not answer; whether it was done is not known.
    #[error("whatsapp did not answer")]
    Unanswered,
    /// The engine could not do it.
    #[error("the engine failed")]
    Engine(#[source] EngineError),
    /// The ledger could not be asked.
    #[error("the ledger failed while reading people and chats")]
    Store(#[source] StoreError),
}

impl From<NoLink> for PeopleError {
    fn from(no: NoLink) -> Self {
        match no {
            NoLink::NotFound(session) => Self::SessionNotFound(session),
            NoLink::NotStarted => Self::NotStarted,
            NoLink::NotReady(status) => Self::NotReady(status),
            NoLink::Store(error) => Self::Store(error),
        }
    }
}

/// Which chats a caller may see; `None` means all.
pub type Visible<'a> = Option<&'a (dyn Fn(&ChatId) -> bool + Send + Sync)>;

/// A handle to people and chats. Cheap to clone.
#[derive(Clone)]
pub struct People {
    ports: Ports,
    sessions: Sessions,
    ledger: LedgerWriter,
    media: Media,
    /// Pictures from URLs are fetched through the session's proxy, where it has one.
    fetch_through_proxy: bool,
}

impl People {
    pub(crate) fn build(
        options: &SendOptions,
        ports: &Ports,
        sessions: &Sessions,
        ledger: &LedgerWriter,
        media: &Media,
    ) -> Self {
        Self {
            ports: ports.clone(),
            sessions: sessions.clone(),
            ledger: ledger.clone(),
            media: media.clone(),
            fetch_through_proxy: options.fetch_through_proxy,
        }
    }

    /// The account's people that the caller may see.
    ///
    /// # Errors
    /// [`PeopleError::Store`].
    pub async fn contacts(
        &self,
        session: SessionId,
        page: Page,
        visible: Visible<'_>,
    ) -> Result<Vec<Contact>, PeopleError> {
        let read = |page| self.ports.store.contacts(session, page);
        filtered(page, visible, read, |contact| &contact.id).await.map_err(PeopleError::Store)
    }

    /// One person, by either of their ids.
    ///
    /// # Errors
    /// [`PeopleError::Store`].
    pub async fn contact(
        &self,
        session: SessionId,
        id: &ChatId,
    ) -> Result<Option<Contact>, PeopleError> {
        self.ports.store.contact(session, id).await.map_err(PeopleError::Store)
    }

    /// Deletes what is stored about a person: their messages with files, chat, names, ids, and what waits for their
    /// messages. Nothing is asked of WhatsApp. Asking again is fine.
    ///
    /// # Errors
    /// [`PeopleError::Store`].
    pub async fn erase(&self, session: SessionId, person: &ChatId) -> Result<Erased, PeopleError> {
        self.ports.store.erase_person(session, person).await.map_err(PeopleError::Store)
    }

    /// Chats that the caller may see, newest message first.
    ///
    /// # Errors
    /// [`PeopleError::Store`].
    pub async fn chats(
        &self,
        session: SessionId,
        page: Page,
        visible: Visible<'_>,
    ) -> Result<Vec<Chat>, PeopleError> {
        let read = |page| self.ports.store.chats(session, page);
        let found = filtered(page, visible, read, |chat| &chat.id).await;
        let mut chats = found.map_err(PeopleError::Store)?;
        let now = self.ports.clock.now();
        for chat in &mut chats {
            // A mute that is over ends without a word from WhatsApp.
            chat.muted = chat.muted.filter(|until| match until {
                MutedUntil::Forever => true,
                MutedUntil::Time(at) => *at > now,
            });
        }
        Ok(chats)
    }

    /// Asks WhatsApp who has a number.
    ///
    /// # Errors
    /// [`PeopleError`].
    pub async fn check(
        &self,
        session: SessionId,
        number: &PhoneNumber,
    ) -> Result<Registration, PeopleError> {
        let asked = number.chat();
        let nobody = Registration { asked: asked.clone(), registered: None, lid: None };
        let Some(other) = other_form(&asked) else {
            return Ok(self.lookup(session, &asked).await?.unwrap_or(nobody));
        };
        let link = self.sessions.link(session).await?;
        let found = link.connection.lookup(&[asked.clone(), other]).await.map_err(engine)?;
        let learned =
            spelling::learned(&self.ports, &self.ledger, &link.lease, (&asked, &found)).await;
        learned.map_err(PeopleError::Store)?;
        let somebody = found.into_iter().find(|found| found.registered.is_some());
        Ok(somebody.map_or(nobody, |found| Registration { asked, ..found }))
    }

    /// The number of a person. For a privacy id nobody has told a number for yet, WhatsApp is asked if it is connected.
    ///
    /// # Errors
    /// [`PeopleError::Store`].
    pub async fn phone_of(
        &self,
        session: SessionId,
        id: &ChatId,
    ) -> Result<Option<PhoneNumber>, PeopleError> {
        if !id.is_lid() {
            return Ok(id.phone());
        }
        let known = self.ports.store.phone_of(session, id).await.map_err(PeopleError::Store)?;
        if known.is_some() {
            return Ok(known);
        }
        match self.lookup(session, id).await {
            Ok(found) => Ok(found.and_then(|found| found.registered?.phone())),
            Err(PeopleError::Store(error)) => Err(PeopleError::Store(error)),
            // Nothing is known then; asking again later may help.
            Err(_) => Ok(None),
        }
    }

    async fn lookup(
        &self,
        session: SessionId,
        id: &ChatId,
    ) -> Result<Option<Registration>, PeopleError> {
        let link = self.sessions.link(session).await?;
        let found = link.connection.lookup(std::slice::from_ref(id)).await.map_err(engine)?;
        let found = found.into_iter().next();
        if let Some(identity) = found.as_ref().and_then(spelling::identity) {
            let write = self.ledger.learn_identity(session, identity);
            self.ledger.write(Some(&link.lease), vec![write]).await.map_err(PeopleError::Store)?;
        }
        Ok(found)
    }

    /// Sends read receipts: for these messages, else for the newest unread ones. The chat then counts as read. `false`
    /// when WhatsApp declined.
    ///
    /// # Errors
    /// [`PeopleError`].
    pub async fn mark_read(
        &self,
        session: SessionId,
        chat: &ChatId,
        ids: Option<Vec<WaMessageId>>,
    ) -> Result<bool, PeopleError> {
        let link = self.sessions.link(session).await?;
        let chat = self.canonical(session, chat).await.map_err(PeopleError::Store)?;
        let messages = match ids {
            Some(ids) => self.with_authors(session, ids).await?,
            None => self
                .ports
                .store
                .unread_messages(session, &chat, UNREAD_MAX)
                .await
                .map_err(PeopleError::Store)?,
        };
        let done = if messages.is_empty() {
            // It may have been marked unread by hand.
            self.at_whatsapp(&link, session, &chat, ChatMark::Read(true)).await?
        } else {
            accepted(link.connection.mark_read(&chat, &messages).await)?
        };
        if done {
            self.remember(&link, session, chat, ChatMark::Read(true)).await?;
        }
        Ok(done)
    }

    async fn with_authors(
        &self,
        session: SessionId,
        ids: Vec<WaMessageId>,
    ) -> Result<Vec<(WaMessageId, Option<ChatId>)>, PeopleError> {
        let mut messages = Vec::with_capacity(ids.len());
        for id in ids {
            let row = self.ports.store.message(session, &id).await.map_err(PeopleError::Store)?;
            messages.push((id, row.and_then(|row| row.author)));
        }
        Ok(messages)
    }

    /// Marks a chat, here and on all devices of the account. `false` when WhatsApp declined.
    ///
    /// # Errors
    /// [`PeopleError`].
    pub async fn mark(
        &self,
        session: SessionId,
        chat: &ChatId,
        mark: ChatMark,
    ) -> Result<bool, PeopleError> {
        let link = self.sessions.link(session).await?;
        let chat = self.canonical(session, chat).await.map_err(PeopleError::Store)?;
        let done = self.at_whatsapp(&link, session, &chat, mark).await?;
        if done {
            self.remember(&link, session, chat, mark).await?;
        }
        Ok(done)
    }

    /// Shows in a chat what one is doing.
    ///
    /// # Errors
    /// [`PeopleError`].
    pub async fn typing(
        &self,
        session: SessionId,
        chat: &ChatId,
        state: Typing,
    ) -> Result<(), PeopleError> {
        let link = self.sessions.link(session).await?;
        let chat = self.canonical(session, chat).await.map_err(PeopleError::Store)?;
        link.connection.typing(&chat, state).await.map_err(engine)
    }

    /// The id under which a person's chat is filed: by number where it is known.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn canonical(&self, session: SessionId, id: &ChatId) -> Result<ChatId, StoreError> {
        let id = self.ports.store.canonical_chat(session, id).await?;
        spelling::remembered(&self.ports, session, &id).await
    }

    async fn at_whatsapp(
        &self,
        link: &ReadySession,
        session: SessionId,
        chat: &ChatId,
        mark: ChatMark,
    ) -> Result<bool, PeopleError> {
        let known = self.ports.store.chat(session, chat).await.map_err(PeopleError::Store)?;
        let last = known.and_then(|known| known.last_message);
        accepted(link.connection.mark_chat(chat, mark, last.as_ref()).await)
    }

    async fn remember(
        &self,
        link: &ReadySession,
        session: SessionId,
        chat: ChatId,
        mark: ChatMark,
    ) -> Result<(), PeopleError> {
        let write = Write::MarkChat { session, chat, mark };
        let done = self.ledger.write_with_retry(Some(&link.lease), vec![write]).await;
        done.map(|_| ()).map_err(PeopleError::Store)
    }
}

fn engine(error: EngineError) -> PeopleError {
    match error {
        EngineError::Unanswered(_) => PeopleError::Unanswered,
        EngineError::NotConnected => PeopleError::NotReady(SessionStatus::Initializing),
        EngineError::Store(error) => PeopleError::Store(error),
        other => PeopleError::Engine(other),
    }
}

/// `false` when WhatsApp declined.
fn accepted(done: Result<(), EngineError>) -> Result<bool, PeopleError> {
    match done {
        Ok(()) => Ok(true),
        Err(EngineError::Refused(reason)) => {
            tracing::info!(reason, "whatsapp declined");
            Ok(false)
        }
        Err(error) => Err(engine(error)),
    }
}

/// A page of what the caller may see: filtered first, then cut.
async fn filtered<T, F, R>(
    page: Page,
    visible: Visible<'_>,
    read: R,
    id: impl Fn(&T) -> &ChatId,
) -> Result<Vec<T>, StoreError>
where
    R: Fn(Page) -> F,
    F: Future<Output = Result<Vec<T>, StoreError>>,
{
    let Some(visible) = visible else { return read(page).await };
    let (mut found, mut skip, mut offset) = (Vec::new(), page.offset, 0);
    loop {
        let rows = read(Page { limit: FILTER_PAGE, offset }).await?;
        let last = rows.len() < FILTER_PAGE as usize;
        for row in rows.into_iter().filter(|row| visible(id(row))) {
            if skip > 0 {
                skip -= 1;
            } else if found.len() < page.limit as usize {
                found.push(row);
            }
        }
        if last || found.len() >= page.limit as usize {
            return Ok(found);
        }
        offset += FILTER_PAGE;
    }
}
