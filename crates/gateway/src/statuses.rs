//! Statuses as they are kept for a day: who posted what, and their files.
//!
//! They are messages of one chat; [`Messages`](crate::Messages) posts them and takes them back. A file of somebody
//! else's status is fetched when it is asked for.

use std::time::Duration;

use domain::{
    ChatId, ChatKind, SessionId, Timer, Timestamp, WaMessageId,
    chat::Contact,
    media::MediaState,
    message::{Direction, Message},
    port::{Page, StoreError, Write},
    status::STATUS_LIFE,
};

use crate::{
    Media, Ports, Sessions,
    ledger::LedgerWriter,
    media::{MediaError, Stored},
    sessions::AskError,
};

/// How long a caller waits for a file that has to be fetched.
const FILE_LIMIT: Duration = Duration::from_secs(25);
/// Between two looks whether it is there.
const FILE_LOOK: Duration = Duration::from_millis(200);
/// Most statuses in one list.
const LISTED_MAX: u32 = 1000;

/// A status with what is known of who posted it.
#[derive(Debug, Clone, PartialEq)]
pub struct PostedStatus {
    /// The message that it is.
    pub message: Message,
    /// Who posted it; the account itself for its own.
    pub by: ChatId,
    /// What that person is called, when they are known.
    pub contact: Option<Contact>,
    /// When it was posted.
    pub at: Timestamp,
}

/// Why the file of a status is not given.
#[derive(Debug, thiserror::Error)]
pub enum StatusFileError {
    /// It has to be fetched, and the session cannot be asked.
    #[error("the file of the status has to be fetched")]
    Ask(#[from] AskError),
    /// It could not be had.
    #[error("the file of the status could not be had")]
    Media(#[from] MediaError),
}

/// A handle to the statuses. Cheap to clone.
#[derive(Clone)]
pub struct Statuses {
    ports: Ports,
    sessions: Sessions,
    media: Media,
    ledger: LedgerWriter,
}

impl Statuses {
    pub(crate) fn build(
        ports: &Ports,
        sessions: &Sessions,
        media: &Media,
        ledger: &LedgerWriter,
    ) -> Self {
        let (ports, sessions) = (ports.clone(), sessions.clone());
        Self { ports, sessions, media: media.clone(), ledger: ledger.clone() }
    }

    /// What was posted during the last day, newest first; of everybody or of one person.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn list(
        &self,
        session: SessionId,
        by: Option<&ChatId>,
    ) -> Result<Vec<PostedStatus>, StoreError> {
        let after = self.ports.clock.now().minus(STATUS_LIFE);
        let page = Page { limit: LISTED_MAX, offset: 0 };
        let messages = self.ports.store.statuses(session, after, by, page).await?;
        let mut known: Vec<(ChatId, Option<Contact>)> = Vec::new();
        let mut posted = Vec::with_capacity(messages.len());
        for message in messages {
            let by = poster(&message);
            let contact = match known.iter().find(|(id, _)| *id == by) {
                Some((_, contact)) => contact.clone(),
                None => {
                    let contact = self.ports.store.contact(session, &by).await?;
                    known.push((by.clone(), contact.clone()));
                    contact
                }
            };
            let at = posted_at(&message);
            posted.push(PostedStatus { message, by, contact, at });
        }
        Ok(posted)
    }

    /// The file of a status; `None` when there is no such status any more, or no file in it.
    ///
    /// # Errors
    /// [`StatusFileError`].
    pub async fn file(
        &self,
        session: SessionId,
        id: &WaMessageId,
    ) -> Result<Option<Stored>, StatusFileError> {
        let store = &self.ports.store;
        let message = store.message(session, id).await.map_err(MediaError::Store)?;
        let over = self.ports.clock.now().minus(STATUS_LIFE);
        let is_shown = |one: &Message| one.chat.kind() == ChatKind::Status && posted_at(one) > over;
        let Some(message) = message.filter(is_shown) else { return Ok(None) };
        let record = store.media(session, id).await.map_err(MediaError::Store)?;
        let Some(record) = record else { return Ok(None) };
        if let MediaState::Pending { due_at } = record.state
            && due_at > self.ports.clock.now()
        {
            self.ask(session, id).await?;
        }
        let clock = &self.ports.clock;
        let limit = clock.now().plus(FILE_LIMIT);
        loop {
            match self.media.of_message(session, &message.chat, id).await {
                Err(MediaError::Pending) if clock.now() < limit => {
                    clock.sleep_until(Timer::StatusFile, clock.now().plus(FILE_LOOK)).await;
                }
                opened => return Ok(opened?),
            }
        }
    }

    /// Has a file fetched now.
    async fn ask(&self, session: SessionId, id: &WaMessageId) -> Result<(), AskError> {
        let link = self.sessions.link(session).await?;
        let state = MediaState::Pending { due_at: self.ports.clock.now() };
        let write = Write::SettleMedia { session, wa_id: id.clone(), state, events: vec![] };
        let written = self.ledger.write(Some(&link.lease), vec![write]).await;
        written.map_err(AskError::Store)?;
        self.media.wake();
        Ok(())
    }
}

fn posted_at(message: &Message) -> Timestamp {
    message.timestamp.map_or(message.created_at, Timestamp::from_seconds)
}

fn poster(message: &Message) -> ChatId {
    let own = || match message.direction {
        Direction::Outgoing => message.from.parse().ok(),
        Direction::Incoming => None,
    };
    message.author.clone().or_else(own).unwrap_or_else(|| message.chat.clone())
}
