//! Sends, changes of what was sent, and what was said.
//!
//! # The way of a send
//! Its place in the chat's line ([`outbox`]) → its idempotency key is taken → pacing admits it → hook `message:sending` →
//! the session must be ready → its file is fetched and uploaded → its turn in the chat, typing → the row is stored as
//! pending with the id it will have, and what goes out → the frame → the answer of WhatsApp's server, up to a limit →
//! hook `message:sent` or `message:failed`.
//!
//! # Guarantees
//! `sent` means that the server took it. A row that is stored reaches a final state: when the link is lost, the process
//! dies or the server stays silent, [`settle`] finishes it, under the same id. Sends of one chat leave in the order in which
//! they were accepted. A caller that goes away does not stop its send.

mod bulk;
mod card;
mod carry;
mod change;
mod compose;
mod error;
mod forward;
mod gate;
mod input;
mod meaning;
mod outbox;
mod reopen;
mod say;
mod send;
mod settle;
mod typing;

use std::sync::Arc;

use domain::{
    ChatId, SessionId, Timer, WaMessageId,
    message::Message,
    port::{Lease, MessagePage, MessageQuery, Page, StoreError},
};
use tokio::sync::oneshot;
use tracing::Instrument as _;

use crate::{
    Media, Policy, Ports, SendOptions, Sessions, Supervisor,
    acks::Waiters,
    egress::Egress,
    hooks::{HookPoint, Hooks, Within},
    idempotency::Keys,
    pacing::Pacing,
    sessions::{Inner, Link},
    spelling,
};

pub(crate) use bulk::{FromBatch, Uploads};
pub use error::SendError;
use gate::{Gate, Passing};
pub(crate) use outbox::Outbox;
use outbox::Place;
pub use say::{
    Answered, Card, IdempotencyKey, MediaInput, Preview, QuoteRef, Say, Sent, TemplateRef,
    TemplateSend, ToSend,
};
use settle::PENDING_LIMIT;
pub(crate) use settle::settle;

/// A handle to the messages. Cheap to clone.
#[derive(Clone)]
pub struct Messages {
    shared: Arc<Shared>,
}

struct Shared {
    ports: Ports,
    sessions: Sessions,
    waiters: Waiters,
    media: Media,
    hooks: Hooks,
    supervisor: Supervisor,
    options: SendOptions,
    keys: Keys,
    pacing: Pacing,
    /// For pages behind links.
    pages: Egress,
}

/// What the messages are built of.
pub(crate) struct Parts<'a> {
    pub(crate) options: &'a SendOptions,
    pub(crate) ports: &'a Ports,
    pub(crate) sessions: &'a Sessions,
    pub(crate) waiters: &'a Waiters,
    pub(crate) media: &'a Media,
    pub(crate) hooks: &'a Hooks,
    pub(crate) supervisor: &'a Supervisor,
    pub(crate) pages: Egress,
}

impl Messages {
    pub(crate) fn build(parts: Parts<'_>) -> Self {
        let ports = parts.ports;
        let shared = Shared {
            ports: ports.clone(),
            sessions: parts.sessions.clone(),
            waiters: parts.waiters.clone(),
            media: parts.media.clone(),
            hooks: parts.hooks.clone(),
            supervisor: parts.supervisor.clone(),
            options: parts.options.clone(),
            keys: Keys::new(ports),
            pacing: Pacing::new(ports, parts.options.pacing.clone()),
            pages: parts.pages,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Sends a message and answers with what is known within the limit.
    ///
    /// # Errors
    /// [`SendError`].
    ///
    /// # Cancel safety
    /// The send goes on when the future is dropped.
    pub async fn send(
        &self,
        session: SessionId,
        to_send: ToSend,
        key: Option<IdempotencyKey>,
    ) -> Result<Answered, SendError> {
        let within = Within::here();
        let place = self.accept(&within, session, &to_send.chat).await?;
        // The whole way of a send is a large future; only its handle is carried around.
        let work = Box::pin(within.run(send::run(self.clone(), session, to_send, place, key)));
        self.detached("messages/send", work).await
    }

    /// Sends a stored message of one chat to another.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn forward(
        &self,
        session: SessionId,
        from: ChatId,
        to: ChatId,
        id: WaMessageId,
        key: Option<IdempotencyKey>,
    ) -> Result<Answered, SendError> {
        let say = Say::Forward { from, id };
        self.send(session, ToSend { chat: to, say, mentions: vec![], quoted: None }, key).await
    }

    /// Fills a template and sends it as a text.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn send_template(
        &self,
        session: SessionId,
        to_send: TemplateSend,
        key: Option<IdempotencyKey>,
    ) -> Result<Answered, SendError> {
        let templates = &self.shared.ports.templates;
        let found = match &to_send.template {
            TemplateRef::Id(id) => templates.template(session, *id).await,
            TemplateRef::Name(name) => templates.template_by_name(session, name).await,
        };
        let Some(template) = found.map_err(SendError::Store)? else {
            self.session(session).await?;
            return Err(SendError::TemplateNotFound);
        };
        let text = template.render(&to_send.variables).map_err(SendError::Render)?;
        let say = Say::Text { text, preview: to_send.preview };
        say.check().map_err(SendError::Unshown)?;
        let TemplateSend { chat, mentions, .. } = to_send;
        self.send(session, ToSend { chat, say, mentions, quoted: None }, key).await
    }

    /// Stored messages; `None` when the query's cursor names no row.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn list(
        &self,
        session: SessionId,
        query: &MessageQuery,
        page: Page,
    ) -> Result<Option<MessagePage>, StoreError> {
        self.shared.ports.messages.messages(session, query, page).await
    }

    fn inner(&self) -> &Arc<Inner> {
        self.shared.sessions.inner()
    }

    /// The place of a send in its chat's line, in the order of the calls. A send inside a hook of another send cannot wait
    /// for that one, so it has none.
    async fn accept(
        &self,
        within: &Within,
        session: SessionId,
        chat: &ChatId,
    ) -> Result<Option<Place>, SendError> {
        if within.is_inside(HookPoint::MessageSending) {
            return Ok(None);
        }
        let gate = self.shared.waiters.outbox.gate(session);
        let _in_order = gate.enter().await;
        let chat = self.canonical(session, chat).await?;
        let place = self.shared.waiters.outbox.join(session, chat);
        place.map(Some).map_err(|_| SendError::Busy)
    }

    /// Runs work to its end, whether or not the caller waits for it.
    async fn detached<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl Future<Output = Result<T, SendError>> + Send + 'static,
    ) -> Result<T, SendError> {
        let (tell, told) = oneshot::channel();
        let task = async move {
            // Nobody waiting is fine: the outcome is in the ledger.
            let _ = tell.send(work.await);
        };
        let task = task.instrument(tracing::Span::current());
        self.shared.supervisor.spawn(name, Policy::Once, task);
        // It panicked or was cut at the end of the process: what became of it is not known.
        told.await.unwrap_or(Err(SendError::Unanswered))
    }

    /// A person's id that everything is filed under.
    async fn canonical(&self, session: SessionId, chat: &ChatId) -> Result<ChatId, SendError> {
        if !chat.is_lid() {
            let remembered = spelling::remembered(&self.shared.ports, session, chat).await;
            return remembered.map_err(SendError::Store);
        }
        self.shared.ports.people.canonical_chat(session, chat).await.map_err(SendError::Store)
    }

    async fn session(&self, session: SessionId) -> Result<domain::session::Session, SendError> {
        let found = self.shared.ports.sessions.session(session).await.map_err(SendError::Store)?;
        found.ok_or(SendError::SessionNotFound(session))
    }

    /// The right to run the session, which sends need.
    async fn lease(&self, session: SessionId) -> Result<Lease, SendError> {
        match self.shared.sessions.lease(session) {
            Some(lease) => Ok(lease),
            None => Err(self.shared.sessions.not_loaded(session).await.into()),
        }
    }

    async fn link(&self, session: SessionId) -> Result<Link, SendError> {
        Ok(self.shared.sessions.link(session).await?)
    }

    /// The connection of a session, free for a new frame to a chat as long as the second part lives.
    async fn pass(&self, session: SessionId, chat: &ChatId) -> Result<(Link, Passing), SendError> {
        let clock = &self.shared.ports.clock;
        let look_at = || clock.now().plus(PENDING_LIMIT);
        self.way(session, |gate, link| gate.pass(&link.connection, chat, look_at())).await
    }

    /// The connection of a session when its gate lets through what is asked for.
    async fn way<T>(
        &self,
        session: SessionId,
        lets: impl Fn(&Gate, &Link) -> Option<T>,
    ) -> Result<(Link, T), SendError> {
        let gate = self.shared.waiters.outbox.gate(session);
        let clock = &self.shared.ports.clock;
        let limit = clock.now().plus(self.shared.options.answer_limit);
        loop {
            let mut changed = gate.watch();
            let link = self.link(session).await?;
            if let Some(passed) = lets(&gate, &link) {
                settle::begin(&self.shared.sessions, session, &gate);
                return Ok((link, passed));
            }
            settle(&self.shared.sessions, session);
            tokio::select! {
                _ = changed.changed() => {}
                () = clock.sleep_until(Timer::SendGate, limit) => return Err(SendError::Settling),
            }
        }
    }

    /// A stored message of a chat.
    async fn stored(
        &self,
        session: SessionId,
        chat: &ChatId,
        id: &WaMessageId,
    ) -> Result<Message, SendError> {
        let found =
            self.shared.ports.messages.message(session, id).await.map_err(SendError::Store)?;
        let Some(message) = found else {
            self.session(session).await?;
            return Err(SendError::MessageNotFound(id.clone()));
        };
        if message.chat != self.canonical(session, chat).await? {
            return Err(SendError::MessageNotFound(id.clone()));
        }
        Ok(message)
    }
}
