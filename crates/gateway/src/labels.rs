//! Labels: read from the ledger, changed at WhatsApp first and then in the ledger, with their event.

use domain::{
    ChatId, SessionId,
    chat::Chat,
    event::{self, ChangeSource},
    label::{Label, LabelChange, LabelId},
    port::{Page, StoreError, Write},
};

use crate::{
    Ports, Sessions,
    ledger::LedgerWriter,
    sessions::{AskError, ReadySession},
    spelling,
};

/// Rows read at once while a list is filtered.
const FILTER_PAGE: u32 = 1000;

/// Why a label was not changed.
#[derive(Debug, thiserror::Error)]
pub enum LabelError {
    /// There is no label of this id.
    #[error("no label {0}")]
    NotFound(LabelId),
    /// A new label needs a name.
    #[error("a new label needs a name")]
    Nameless,
    /// Only business accounts have labels.
    #[error("the account is no business")]
    NotBusiness,
    /// WhatsApp was not asked, or did not do it.
    #[error(transparent)]
    Ask(#[from] AskError),
}

/// What a caller wants a label to be; what it leaves out stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelPatch {
    /// What it is called.
    pub name: Option<String>,
    /// The number of its colour.
    pub colour: Option<u8>,
}

/// A handle to the labels. Cheap to clone.
#[derive(Clone)]
pub struct Labels {
    ports: Ports,
    sessions: Sessions,
    ledger: LedgerWriter,
}

impl Labels {
    pub(crate) fn build(ports: &Ports, sessions: &Sessions, ledger: &LedgerWriter) -> Self {
        Self { ports: ports.clone(), sessions: sessions.clone(), ledger: ledger.clone() }
    }

    /// All labels of an account.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn list(&self, session: SessionId) -> Result<Vec<Label>, StoreError> {
        self.ports.store.labels(session).await
    }

    /// One label of the account.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn get(&self, session: SessionId, id: &LabelId) -> Result<Option<Label>, StoreError> {
        self.ports.store.label(session, id).await
    }

    /// The labels of a chat.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn of_chat(
        &self,
        session: SessionId,
        chat: &ChatId,
    ) -> Result<Vec<Label>, StoreError> {
        self.ports.store.labels_of_chat(session, chat).await
    }

    /// The chats of a label that the caller may see: filtered first, then cut.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn chats(
        &self,
        session: SessionId,
        id: &LabelId,
        page: Page,
        visible: Option<&(dyn Fn(&ChatId) -> bool + Send + Sync)>,
    ) -> Result<Vec<Chat>, StoreError> {
        let store = &self.ports.store;
        let Some(visible) = visible else { return store.chats_of_label(session, id, page).await };
        let (mut found, mut skip, mut offset) = (Vec::new(), page.offset, 0);
        loop {
            let part = Page { limit: FILTER_PAGE, offset };
            let chats = store.chats_of_label(session, id, part).await?;
            let last = chats.len() < FILTER_PAGE as usize;
            for chat in chats.into_iter().filter(|chat| visible(&chat.id)) {
                if skip > 0 {
                    skip -= 1;
                } else if found.len() < page.limit as usize {
                    found.push(chat);
                }
            }
            if last || found.len() >= page.limit as usize {
                return Ok(found);
            }
            offset += FILTER_PAGE;
        }
    }

    /// Makes a label, or gives it another name or colour.
    ///
    /// # Errors
    /// [`LabelError`].
    pub async fn put(
        &self,
        session: SessionId,
        id: LabelId,
        patch: LabelPatch,
    ) -> Result<(), LabelError> {
        let link = self.business(session).await?;
        let known = self.ports.store.label(session, &id).await.map_err(AskError::Store)?;
        let colour = patch.colour.or(known.as_ref().map(|known| known.colour)).unwrap_or(0);
        let name = patch.name.or(known.map(|known| known.name)).ok_or(LabelError::Nameless)?;
        self.change(&link, session, LabelChange::Upsert(Label { id, name, colour })).await
    }

    /// Deletes a label; its chats lose it.
    ///
    /// # Errors
    /// [`LabelError`].
    pub async fn delete(&self, session: SessionId, id: LabelId) -> Result<(), LabelError> {
        let link = self.business(session).await?;
        self.known(session, &id).await?;
        self.change(&link, session, LabelChange::Delete(id)).await
    }

    /// Puts a label on a chat, or takes it off.
    ///
    /// # Errors
    /// [`LabelError`].
    pub async fn mark(
        &self,
        session: SessionId,
        chat: &ChatId,
        id: LabelId,
        labelled: bool,
    ) -> Result<(), LabelError> {
        let link = self.business(session).await?;
        self.known(session, &id).await?;
        let chat = self.ports.store.canonical_chat(session, chat).await;
        let chat = chat.map_err(AskError::Store)?;
        let chat = spelling::remembered(&self.ports, session, &chat).await;
        let chat = chat.map_err(AskError::Store)?;
        let change = match labelled {
            true => LabelChange::Add(id, chat),
            false => LabelChange::Remove(id, chat),
        };
        self.change(&link, session, change).await
    }

    async fn known(&self, session: SessionId, id: &LabelId) -> Result<(), LabelError> {
        let known = self.ports.store.label(session, id).await.map_err(AskError::Store)?;
        known.map(|_| ()).ok_or_else(|| LabelError::NotFound(id.clone()))
    }

    /// The connection of a session whose account is a business.
    async fn business(&self, session: SessionId) -> Result<ReadySession, LabelError> {
        let link = self.sessions.link(session).await.map_err(AskError::from)?;
        match link.connection.business().await.map_err(AskError::from)? {
            Some(_) => Ok(link),
            None => Err(LabelError::NotBusiness),
        }
    }

    async fn change(
        &self,
        link: &ReadySession,
        session: SessionId,
        change: LabelChange,
    ) -> Result<(), LabelError> {
        link.connection.change_label(&change).await.map_err(AskError::from)?;
        let (id, at) = (self.ledger.event_id(), self.ports.clock.now());
        let event = event::label_event(id, session, &change, (ChangeSource::Api, false), at);
        let write = Write::ChangeLabel { session, change, events: vec![event] };
        let stored = self.sessions.took(&link.lease, vec![write]).await;
        stored.map_err(|error| AskError::Store(error).into())
    }
}
