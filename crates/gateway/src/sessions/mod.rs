//! Linked accounts.
//!
//! # The cast
//! - [`Sessions`] is the handle. It knows which sessions are *loaded*: have a task, and with it the engine.
//! - A *task* ([`task`]) owns the life of one session: inputs in, `domain::session::transition`, effects out. Its
//!   *keeper* ([`keeper`]) loads it, gives it another life after a panic, and unloads it. Beside the task beats its
//!   *heart* ([`heart`]): it renews the lease, whatever the task waits for, and cuts the task when the lease is lost.
//! - A *sink* ([`sink`]) takes what one connection says: messages are committed before WhatsApp is acknowledged, acks
//!   and what is learned of people go into the session's line, everything else goes to the task.
//! - A *line* ([`line`]) stores, in order, what a session has to tell, however long the ledger is away.
//!
//! # Guarantees
//! One task per session in this process, and one owner among processes: the right to connect is a lease in the
//! ledger, taken before the engine opens, renewed while it runs; who loses it closes the connection and leaves the
//! record to the next owner. Sessions whose owner died are found and taken over ([`takeover`]). A panic ends that
//! session's connection and nothing else; the session comes back after a backoff.

mod access;
mod calls;
mod drafts;
mod echoes;
mod error;
mod facts;
mod handle;
mod heart;
pub(crate) mod held;
mod inner;
mod keeper;
mod lease;
mod limits;
mod line;
mod linking;
mod owner;
mod passkey;
mod qr;
mod record;
mod settings;
mod sink;
mod starts;
mod takeover;
mod task;
mod view;
mod wishes;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, OnceLock},
};

use crate::{
    Activities, Hooks, Media, Options, Ports, Supervisor, hooks::HookPoint, ledger::LedgerWriter,
    outbox::AckWaiters, pictures::Pictures, presence::Presences,
};
pub(crate) use calls::{RejectError, RejectedBy};
use domain::{
    SessionId,
    port::{Held, Lease, Page, StoreError},
    session::{Session, SessionStatus, Wish},
};
pub(crate) use echoes::ExpectedEcho;
use handle::Command;
use inner::SessionsInner;
pub(crate) use inner::{NoLink, ReadySession};
use serde_json::json;
use starts::StartTurn;

pub use error::{
    AskError, CreateSessionError, LogoutSessionError, PairingError, PasskeyRequestError, QrError,
    StartSessionError, StopSessionError, UpdateSessionError,
};
pub use owner::Owner;
pub use passkey::PasskeyView;
pub use view::{ConfigPatch, NewSession, Overview, PairingView, QrView, SessionView};

/// A handle to all sessions.
#[derive(Clone)]
pub struct Sessions {
    inner: Arc<SessionsInner>,
}

/// What the sessions are built of.
pub(crate) struct Parts<'a> {
    pub(crate) options: &'a Options,
    pub(crate) ports: &'a Ports,
    pub(crate) supervisor: &'a Supervisor,
    pub(crate) ledger: &'a LedgerWriter,
    pub(crate) activities: &'a Activities,
    pub(crate) waiters: &'a AckWaiters,
    pub(crate) media: &'a Media,
    pub(crate) hooks: &'a Hooks,
}

impl Sessions {
    pub(crate) fn build(parts: Parts<'_>) -> Self {
        let ports = parts.ports;
        let inner = SessionsInner {
            ports: ports.clone(),
            options: parts.options.clone(),
            supervisor: parts.supervisor.clone(),
            ledger: parts.ledger.clone(),
            activities: parts.activities.clone(),
            waiters: parts.waiters.clone(),
            media: parts.media.clone(),
            hooks: parts.hooks.clone(),
            on_ready: OnceLock::new(),
            presences: Presences::default(),
            pictures: Pictures::default(),
            lines: line::SessionLines::default(),
            poison: sink::PoisonMessages::default(),
            echoes: echoes::GroupEchoes::default(),
            loaded: Mutex::default(),
            starts: Arc::default(),
            receipts: Mutex::default(),
            moved: tokio::sync::Notify::new(),
        };
        let inner = Arc::new(inner);
        let called = Arc::downgrade(&inner);
        let call = move |session| {
            if let Some(handle) = called.upgrade().and_then(|inner| inner.handle(session)) {
                handle.call();
            }
        };
        ports.store.listen_for_wishes(Arc::new(call));
        Self { inner }
    }

    /// Stores a new session; it is not started.
    ///
    /// # Errors
    /// [`CreateSessionError`].
    pub async fn create(&self, new: NewSession) -> Result<SessionView, CreateSessionError> {
        if !domain::session::is_valid_name(&new.name) {
            return Err(CreateSessionError::InvalidName);
        }
        let now = self.inner.ports.clock.now();
        let session = Session {
            id: SessionId::new(&*self.inner.ports.entropy),
            name: new.name,
            status: SessionStatus::Created,
            wanted: false,
            phone: None,
            lid: None,
            push_name: None,
            connected_at: None,
            last_active: None,
            last_error: None,
            restriction: None,
            new_chat_quota: None,
            config: new.config,
            proxy: new.proxy,
            created_at: now,
            updated_at: now,
        };
        match self.inner.ports.store.insert_session(&session).await {
            Ok(true) => {
                let data = json!({ "sessionId": session.id, "name": session.name });
                self.inner.hooks.notify(HookPoint::SessionCreated, session.id, data);
                Ok(SessionView { session, engine_loaded: false })
            }
            Ok(false) => Err(CreateSessionError::NameTaken(session.name)),
            Err(error) => Err(CreateSessionError::Store(error)),
        }
    }

    /// Newest first.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn list(
        &self,
        name: Option<&str>,
        page: Page,
    ) -> Result<Vec<SessionView>, StoreError> {
        let sessions = self.inner.ports.store.sessions(name, page).await?;
        self.views(sessions).await
    }

    /// Those of some ids, in one read; newest first.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn list_among(&self, ids: &[SessionId]) -> Result<Vec<SessionView>, StoreError> {
        let sessions = self.inner.ports.store.sessions_among(ids).await?;
        self.views(sessions).await
    }

    async fn views(&self, sessions: Vec<Session>) -> Result<Vec<SessionView>, StoreError> {
        let elsewhere = self.inner.held_anywhere().await?;
        let view = |session: Session| {
            let elsewhere = elsewhere.contains(&session.id);
            self.inner.view(session, elsewhere)
        };
        Ok(sessions.into_iter().map(view).collect())
    }

    /// One session.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn get(&self, id: SessionId) -> Result<Option<SessionView>, StoreError> {
        let Some(session) = self.inner.ports.store.session(id).await? else { return Ok(None) };
        let elsewhere = matches!(self.owner(id).await?, Owner::Elsewhere(_));
        Ok(Some(self.inner.view(session, elsewhere)))
    }

    /// Who answers for a session now. A process that is alone asks nobody: a session that it does not run is nobody's.
    ///
    /// # Errors
    /// The ledger failed.
    pub(crate) async fn owner(&self, id: SessionId) -> Result<Owner, StoreError> {
        if self.inner.handle(id).is_some() {
            return Ok(Owner::Here);
        }
        if self.inner.options.peers.is_none() {
            return Ok(Owner::Nobody);
        }
        let now = self.inner.ports.clock.now();
        Ok(match self.inner.ports.store.session_holder(id, now).await? {
            None => Owner::Nobody,
            Some(holder) if holder.owner == self.inner.options.node => Owner::Here,
            Some(holder) => Owner::Elsewhere(holder),
        })
    }

    /// Loads the engine and begins to connect.
    ///
    /// # Errors
    /// [`StartSessionError`].
    pub async fn start(&self, id: SessionId) -> Result<SessionView, StartSessionError> {
        let turn = self.inner.starts.turn(id).await;
        let (session, held) = self.take(&turn, id).await?;
        if let Some(wish) = held.wish {
            // Asked of an owner that died before it could.
            self.inner.grant(&held.lease, wish).await.map_err(StartSessionError::Store)?;
        }
        keeper::launch(&self.inner, session, held.lease).await;
        self.view_of(id)
            .await
            .map_err(StartSessionError::Store)?
            .ok_or(StartSessionError::NotFound(id))
    }

    /// The right to connect a session that may be started here.
    async fn take(
        &self,
        turn: &StartTurn,
        id: SessionId,
    ) -> Result<(Session, Held), StartSessionError> {
        let session = self.inner.ports.store.session(id).await.map_err(StartSessionError::Store)?;
        let session = session.ok_or(StartSessionError::NotFound(id))?;
        // What its last life came to must be in the record before another begins.
        if self.inner.handle(id).is_some() || self.inner.lines.is_behind(id) {
            return Err(StartSessionError::AlreadyStarted);
        }
        let most = self.inner.options.max_concurrent_sessions;
        if most > 0 && !turn.take_place(&self.inner.lock(), most as usize) {
            return Err(StartSessionError::TooMany(most));
        }
        if self.inner.supervisor.stopping().is_cancelled() {
            return Err(StartSessionError::ShuttingDown);
        }
        let held = self.inner.acquire(id).await.map_err(StartSessionError::Store)?;
        Ok((session, held.ok_or(StartSessionError::HeldElsewhere)?))
    }

    /// Closes the connection and unloads the engine; keys are kept. Stopping a stopped session is fine. Where another
    /// process runs it, that is told to, and this does not wait for it.
    ///
    /// # Errors
    /// [`StopSessionError`].
    pub async fn stop(&self, id: SessionId) -> Result<SessionView, StopSessionError> {
        let known = self.lease(id);
        let stopped = self.inner.end(id, Command::Stop, (Wish::Stop, known)).await;
        stopped.map_err(StopSessionError::Store)?;
        self.view_of(id)
            .await
            .map_err(StopSessionError::Store)?
            .ok_or(StopSessionError::NotFound(id))
    }

    /// Unlinks the device at WhatsApp and deletes its keys.
    ///
    /// # Errors
    /// [`LogoutSessionError`]; after [`LogoutSessionError::Incomplete`] the session is stopped and its keys are gone.
    pub async fn logout(&self, id: SessionId) -> Result<SessionView, LogoutSessionError> {
        let found = self.view_of(id).await.map_err(LogoutSessionError::Store)?;
        found.ok_or(LogoutSessionError::NotFound(id))?;
        let Some(known) = self.lease(id) else {
            return match self.ask_owner(id, Wish::Logout).await {
                Ok(Some(view)) => Ok(view),
                Ok(None) => Err(LogoutSessionError::NotStarted),
                Err(error) => Err(LogoutSessionError::Store(error)),
            };
        };
        let unlinked = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let logout = |done| Command::Logout { done, unlinked: unlinked.clone() };
        let done = self.inner.end(id, logout, (Wish::Logout, Some(known))).await;
        done.map_err(LogoutSessionError::Store)?;
        if !unlinked.load(std::sync::atomic::Ordering::Acquire) {
            return Err(LogoutSessionError::Incomplete);
        }
        self.view_of(id)
            .await
            .map_err(LogoutSessionError::Store)?
            .ok_or(LogoutSessionError::NotFound(id))
    }

    /// Drops the engine without asking it; keys are kept.
    ///
    /// # Errors
    /// [`StopSessionError`].
    pub async fn force_kill(&self, id: SessionId) -> Result<SessionView, StopSessionError> {
        let found = self.view_of(id).await.map_err(StopSessionError::Store)?;
        found.ok_or(StopSessionError::NotFound(id))?;
        let Some(handle) = self.inner.handle(id) else {
            let asked = self.ask_owner(id, Wish::ForceKill).await;
            return asked.map_err(StopSessionError::Store)?.ok_or(StopSessionError::NotStarted);
        };
        let known = Some(handle.lease());
        handle.kill().await;
        let no_start = self.inner.starts.turn(id).await;
        if let Some(handle) = self.inner.handle(id) {
            // Started before it was this one's turn.
            handle.kill().await;
        }
        let marked = self.inner.mark_stopped(&no_start, Wish::Stop, known).await;
        marked.map_err(StopSessionError::Store)?;
        self.view_of(id)
            .await
            .map_err(StopSessionError::Store)?
            .ok_or(StopSessionError::NotFound(id))
    }

    /// Asks the process that runs a session for something; nothing when none does.
    async fn ask_owner(
        &self,
        id: SessionId,
        wish: Wish,
    ) -> Result<Option<SessionView>, StoreError> {
        let now = self.inner.ports.clock.now();
        if self.inner.ports.store.session_holder(id, now).await?.is_none() {
            return Ok(None);
        }
        self.inner.wish(id, wish).await?;
        self.view_of(id).await
    }

    /// Stops a session and deletes it with all that belongs to it; `false` when it is unknown.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn delete(&self, id: SessionId) -> Result<bool, StoreError> {
        self.inner.command(id, Command::Stop).await;
        let was_there = self.inner.ports.store.delete_session(id).await?;
        if was_there {
            self.inner.hooks.notify(HookPoint::SessionDeleted, id, json!({ "sessionId": id }));
        }
        Ok(was_there)
    }

    /// Counts over the sessions a caller may see.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn overview(
        &self,
        visible: &(dyn Fn(SessionId) -> bool + Send + Sync),
    ) -> Result<Overview, StoreError> {
        let all = self.list(None, Page { limit: u32::MAX, offset: 0 }).await?;
        let mut by_status: BTreeMap<&'static str, u64> = BTreeMap::new();
        let mut overview = Overview::default();
        for view in all.into_iter().filter(|view| visible(view.session.id)) {
            overview.total += 1;
            overview.active += u64::from(view.engine_loaded);
            *by_status.entry(view.session.status.as_str()).or_default() += 1;
        }
        let count = |status: SessionStatus| by_status.get(status.as_str()).copied().unwrap_or(0);
        overview.ready = count(SessionStatus::Ready);
        overview.disconnected = count(SessionStatus::Disconnected);
        overview.by_status = by_status;
        Ok(overview)
    }

    async fn view_of(&self, id: SessionId) -> Result<Option<SessionView>, StoreError> {
        self.get(id).await
    }

    /// The right to run a session, if it runs here.
    pub(crate) fn lease(&self, id: SessionId) -> Option<Lease> {
        self.inner.handle(id).map(|handle| handle.lease())
    }

    /// What a send needs, if the session is logged in.
    pub(crate) fn ready(&self, id: SessionId) -> Option<ReadySession> {
        let handle = self.inner.handle(id)?;
        handle.ready().map(|connection| ReadySession::of(&handle, connection))
    }

    /// Why a session that is not loaded here has no link. One that should run comes up soon, for instance after a
    /// restart.
    pub(crate) async fn not_loaded(&self, id: SessionId) -> NoLink {
        match self.inner.ports.store.session(id).await {
            Ok(Some(session)) if session.is_coming_up() => {
                NoLink::NotReady(SessionStatus::Initializing)
            }
            Ok(Some(_)) => NoLink::NotStarted,
            Ok(None) => NoLink::NotFound(id),
            Err(error) => NoLink::Store(error),
        }
    }

    /// What a send needs.
    pub(crate) async fn link(&self, id: SessionId) -> Result<ReadySession, NoLink> {
        let Some(handle) = self.inner.handle(id) else { return Err(self.not_loaded(id).await) };
        // As it is now: the record may be behind.
        let connection = handle.ready().ok_or_else(|| NoLink::NotReady(handle.status()))?;
        Ok(ReadySession::of(&handle, connection))
    }
}
