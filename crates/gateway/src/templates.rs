//! Templates: stored texts with placeholders.

use std::sync::Arc;

use domain::{
    Clock, Entropy, SessionId, TemplateId,
    port::{SessionStore, StoreError, TemplateStore},
    template::Template,
};

use crate::Ports;

/// A handle to the templates. Cheap to clone.
#[derive(Clone)]
pub struct Templates {
    store: Arc<dyn TemplateStore>,
    sessions: Arc<dyn SessionStore>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

/// A template to store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTemplate {
    /// Unique in the session.
    pub name: String,
    /// The text of the message.
    pub body: String,
    /// A text above the body.
    pub header: Option<String>,
    /// A text below the body.
    pub footer: Option<String>,
}

/// What to change; `None` keeps, `Some(None)` clears.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of NewTemplate")]
pub struct TemplatePatch {
    pub name: Option<String>,
    pub body: Option<String>,
    pub header: Option<Option<String>>,
    pub footer: Option<Option<String>>,
}

/// Why a template was not stored, found or changed.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// There is no session of this id.
    #[error("no session {0}")]
    SessionNotFound(SessionId),
    /// The session has no template of this id.
    #[error("no template {0}")]
    NotFound(TemplateId),
    /// Names are unique in a session.
    #[error("a template with this name exists")]
    NameTaken,
    /// The ledger could not be asked.
    #[error("the ledger failed at a template")]
    Store(#[source] StoreError),
}

impl From<StoreError> for TemplateError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Templates {
    pub(crate) fn build(ports: &Ports) -> Self {
        Self {
            store: ports.store.clone(),
            sessions: ports.store.clone(),
            clock: ports.clock.clone(),
            entropy: ports.entropy.clone(),
        }
    }

    /// Stores a new one.
    ///
    /// # Errors
    /// [`TemplateError`].
    pub async fn create(
        &self,
        session: SessionId,
        new: NewTemplate,
    ) -> Result<Template, TemplateError> {
        self.check_session(session).await?;
        let now = self.clock.now();
        let template = Template {
            id: TemplateId::new(&*self.entropy),
            session,
            name: new.name,
            body: new.body,
            header: new.header,
            footer: new.footer,
            created_at: now,
            updated_at: now,
        };
        let stored = self.store.insert_template(&template).await?;
        if stored { Ok(template) } else { Err(TemplateError::NameTaken) }
    }

    /// Newest first.
    ///
    /// # Errors
    /// [`TemplateError`].
    pub async fn list(&self, session: SessionId) -> Result<Vec<Template>, TemplateError> {
        self.check_session(session).await?;
        Ok(self.store.templates(session).await?)
    }

    /// One of a session's.
    ///
    /// # Errors
    /// [`TemplateError`].
    pub async fn get(&self, session: SessionId, id: TemplateId) -> Result<Template, TemplateError> {
        match self.store.template(session, id).await? {
            Some(template) => Ok(template),
            None => {
                self.check_session(session).await?;
                Err(TemplateError::NotFound(id))
            }
        }
    }

    /// Changes one.
    ///
    /// # Errors
    /// [`TemplateError`].
    pub async fn update(
        &self,
        session: SessionId,
        id: TemplateId,
        patch: TemplatePatch,
    ) -> Result<Template, TemplateError> {
        let before = self.get(session, id).await?;
        let template = Template {
            name: patch.name.unwrap_or(before.name),
            body: patch.body.unwrap_or(before.body),
            header: patch.header.unwrap_or(before.header),
            footer: patch.footer.unwrap_or(before.footer),
            updated_at: self.clock.now(),
            ..before
        };
        match self.store.update_template(&template).await? {
            Some(true) => Ok(template),
            Some(false) => Err(TemplateError::NameTaken),
            None => Err(TemplateError::NotFound(id)),
        }
    }

    /// Deletes one.
    ///
    /// # Errors
    /// [`TemplateError`].
    pub async fn delete(&self, session: SessionId, id: TemplateId) -> Result<(), TemplateError> {
        if self.store.delete_template(session, id).await? {
            return Ok(());
        }
        self.check_session(session).await?;
        Err(TemplateError::NotFound(id))
    }

    async fn check_session(&self, session: SessionId) -> Result<(), TemplateError> {
        match self.sessions.session(session).await? {
            Some(_) => Ok(()),
            None => Err(TemplateError::SessionNotFound(session)),
        }
    }
}
