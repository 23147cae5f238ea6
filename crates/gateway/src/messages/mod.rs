//! Sends, changes of what was sent, and what was said.
//!
//! # The way of a send
//! Its place in the chat's line ([`outbox`]) → its idempotency key is held → pacing admits it → hook
//! `message:sending` → the session must be ready → its file is fetched and uploaded → its turn in the chat, typing →
//! the row is stored as pending with the id it will have, its key, and what goes out → the frame → the answer of WhatsApp's
//! server, up to a limit → hook `message:sent` or `message:failed`.
//!
//! # Guarantees
//! `sent` means that the server took it. A row that is stored reaches a final state: when the link is lost, the
//! process dies or the server stays silent, [`reconcile`] finishes it, under the same id. Sends of one chat leave in
//! the order in which they were accepted. A caller that goes away does not stop its send.

mod bulk;
mod business;
mod card;
mod carry;
mod change;
mod compose;
mod context;
mod convert;
mod error;
mod forward;
mod hand_over;
mod hooks;
mod idempotency;
mod input;
mod meaning;
mod receipts;
mod reconcile;
mod reopen;
mod say;
mod send;
mod status;
mod typing;

use std::sync::Arc;

use domain::{
    ChatId, SessionId, Timer, Timestamp, WaMessageId,
    failure::COLD_RESTRICTED,
    message::{Message, MessageStatus},
    pacing::PacingOutcome,
    port::{Lease, MessagePage, MessageQuery, Page, StoreError},
};
use tokio::sync::oneshot;
use tracing::Instrument as _;

use crate::{
    Brake, Media, Policy, Ports, SendOptions, Sessions, Supervisor,
    egress::Egress,
    hooks::{HookScope, Hooks},
    ledger::LedgerWriter,
    outbox::{AckWaiters, GatePass, SendGate},
    pacing::{AdmittedSend, PacingError, SendPacing},
    sessions::ReadySession,
    spans, spelling,
};

pub(crate) use bulk::{BatchItemSend, BatchUploads};
use context::SendOrigin;
pub use convert::ConvertFileError;
pub use error::SendError;
use idempotency::IdempotencyKeys;
use reconcile::PENDING_LIMIT;
pub use say::{
    Answered, Card, IdempotencyKey, MediaInput, Preview, QuoteRef, Say, Sent, StatusSay,
    TemplateRef, TemplateSend, ToSend,
};

/// A handle to the messages. Cheap to clone.
#[derive(Clone)]
pub struct Messages {
    shared: Arc<SharedMessages>,
}

struct SharedMessages {
    ports: Ports,
    sessions: Sessions,
    ledger: LedgerWriter,
    waiters: AckWaiters,
    media: Media,
    hooks: Hooks,
    brake: Brake,
    supervisor: Supervisor,
    options: SendOptions,
    keys: IdempotencyKeys,
    pacing: SendPacing,
    /// For pages behind links.
    pages: Egress,
}

/// What the messages are built of.
pub(crate) struct Parts<'a> {
    pub(crate) options: &'a SendOptions,
    pub(crate) ports: &'a Ports,
    pub(crate) sessions: &'a Sessions,
    pub(crate) ledger: &'a LedgerWriter,
    pub(crate) waiters: &'a AckWaiters,
    pub(crate) media: &'a Media,
    pub(crate) hooks: &'a Hooks,
    pub(crate) brake: &'a Brake,
    pub(crate) supervisor: &'a Supervisor,
    pub(crate) pages: Egress,
}

impl Messages {
    pub(crate) fn build(parts: Parts<'_>) -> Self {
        let ports = parts.ports;
        let shared = SharedMessages {
            ports: ports.clone(),
            sessions: parts.sessions.clone(),
            ledger: parts.ledger.clone(),
            waiters: parts.waiters.clone(),
            media: parts.media.clone(),
            hooks: parts.hooks.clone(),
            brake: parts.brake.clone(),
            supervisor: parts.supervisor.clone(),
            options: parts.options.clone(),
            keys: IdempotencyKeys::new(ports),
            pacing: SendPacing::new(
                ports,
                parts.options.pacing.clone(),
                parts.waiters.cold.clone(),
            ),
            pages: parts.pages,
        };
        let shared = Arc::new(shared);
        let weak = Arc::downgrade(&shared);
        parts.sessions.on_ready(move |session| {
            if let Some(shared) = weak.upgrade() {
                reconcile::start(&shared, session);
            }
        });
        Self { shared }
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
        let within = HookScope::here();
        let origin = SendOrigin::Request { key: None };
        let context = self.accept(&within, session, &to_send.chat, origin).await?;
        // The whole way of a send is a large future; only its handle is carried around.
        let work = Box::pin(within.run(send::run(self.clone(), context, to_send, key)));
        self.detached("messages/send", session, work).await
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
        let templates = &self.shared.ports.store;
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
        self.shared.ports.store.messages(session, query, page).await
    }

    /// Runs work to its end, whether or not the caller waits for it.
    async fn detached<T: Send + 'static>(
        &self,
        name: &'static str,
        session: SessionId,
        work: impl Future<Output = Result<T, SendError>> + Send + 'static,
    ) -> Result<T, SendError> {
        let (tell, told) = oneshot::channel();
        let span = spans::send(name, session);
        let task = async move {
            let done = work.instrument(span.clone()).await;
            let done = done.inspect_err(|error| spans::failed(&span, error.word()));
            // Nobody waiting is fine: the outcome is in the ledger.
            let _ = tell.send(done);
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
        self.shared.ports.store.canonical_chat(session, chat).await.map_err(SendError::Store)
    }

    async fn session(&self, session: SessionId) -> Result<domain::session::Session, SendError> {
        let found = self.shared.ports.store.session(session).await.map_err(SendError::Store)?;
        found.ok_or(SendError::SessionNotFound(session))
    }

    /// The right to run the session, which sends need.
    async fn lease(&self, session: SessionId) -> Result<Lease, SendError> {
        match self.shared.sessions.lease(session) {
            Some(lease) => Ok(lease),
            None => Err(self.shared.sessions.not_loaded(session).await.into()),
        }
    }

    async fn link(&self, session: SessionId) -> Result<ReadySession, SendError> {
        Ok(self.shared.sessions.link(session).await?)
    }

    /// Whether all sends of the installation are paused.
    pub(crate) fn are_paused(&self) -> bool {
        self.shared.brake.is_on()
    }

    /// Refuses while all sends are paused.
    fn check_brake(&self) -> Result<(), SendError> {
        if self.are_paused() { Err(SendError::SendsPaused) } else { Ok(()) }
    }

    /// The connection of a session, free for a new frame to a chat as long as the second part lives. All new frames
    /// of messages come by here.
    async fn pass(
        &self,
        session: SessionId,
        chat: &ChatId,
    ) -> Result<(ReadySession, GatePass), SendError> {
        self.check_brake()?;
        let clock = &self.shared.ports.clock;
        let look_at = || clock.now().plus(PENDING_LIMIT);
        let way = self.way(session, |gate, link| gate.pass(&link.connection, chat, look_at()));
        let passed = way.await?;
        // It may have waited.
        self.check_brake()?;
        Ok(passed)
    }

    /// The connection of a session when its gate lets through what is asked for.
    async fn way<T>(
        &self,
        session: SessionId,
        lets: impl Fn(&SendGate, &ReadySession) -> Option<T>,
    ) -> Result<(ReadySession, T), SendError> {
        let gate = self.shared.waiters.outbox.gate(session);
        let clock = &self.shared.ports.clock;
        let limit = clock.now().plus(self.shared.options.answer_limit);
        loop {
            let mut changed = gate.watch();
            let link = self.link(session).await?;
            if let Some(passed) = lets(&gate, &link) {
                reconcile::start_if_unattended(&self.shared, session, &gate);
                return Ok((link, passed));
            }
            reconcile::start(&self.shared, session);
            tokio::select! {
                _ = changed.changed() => {}
                () = clock.sleep_until(Timer::SendGate, limit) => return Err(SendError::Reconciling),
            }
        }
    }

    /// Until when WhatsApp lets the account write to nobody new, where it said so.
    pub(crate) fn cold_until(&self, session: SessionId) -> Option<Timestamp> {
        self.shared.waiters.cold.until(session, self.shared.ports.clock.now())
    }

    /// A place for a send at the session's pace, unless all sends are paused.
    async fn admit(&self, lease: &Lease, chat: &ChatId) -> Result<AdmittedSend, SendError> {
        self.check_brake()?;
        let admitted = self.shared.pacing.admit(lease, chat).await;
        admitted.map_err(|error| match error {
            PacingError::Paced { rule, retry_after_seconds } => {
                SendError::Paced { rule, retry_after_seconds }
            }
            PacingError::Cold => SendError::Refused { code: COLD_RESTRICTED },
            PacingError::Store(error) => SendError::before_stored(lease.session, error),
        })
    }

    /// A stored message of a chat.
    async fn stored(
        &self,
        session: SessionId,
        chat: &ChatId,
        id: &WaMessageId,
    ) -> Result<Message, SendError> {
        let found = self.shared.ports.store.message(session, id).await.map_err(SendError::Store)?;
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

/// What the pace counts of a send; nothing while its outcome is not known.
fn pacing_outcome(result: &Result<Sent, SendError>) -> Option<PacingOutcome> {
    match result {
        Ok(sent) if sent.status == MessageStatus::Pending => None,
        Ok(_) => Some(PacingOutcome::Taken),
        Err(error) if error.leaves_it_open() => None,
        Err(error) if error.counts_as_failure() => Some(PacingOutcome::Failed),
        Err(_) => Some(PacingOutcome::NotSent),
    }
}
