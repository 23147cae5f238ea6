//! What the sessions share, and what a send needs of one.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use domain::{
    SessionId, Timestamp,
    event::EventType,
    port::{Connection, Lease, Page, SessionPatch, StoreError, StoreResult},
    session::{Session, SessionInput, SessionState, SessionStatus, Wish},
};

use super::{
    SessionView,
    echoes::GroupEchoes,
    error::StartSessionError,
    handle::{Command, Done, SessionHandle},
    line::{LineEntry, SessionLines},
    sink::PoisonMessages,
    starts::{StartTurn, StartTurns},
};
use crate::{
    Activities, Hooks, Media, Options, Ports, Supervisor, ledger::LedgerWriter, outbox::AckWaiters,
    pictures::Pictures, presence::Presences,
};

/// How long a person waits until what they asked for is in the ledger.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(9);

/// How long it is believed whether a webhook names `message.receipt`.
const RECEIPTS_KEPT: Duration = Duration::from_secs(2);

/// Shared by the handle, the tasks and the sinks.
pub(crate) struct SessionsInner {
    pub(crate) ports: Ports,
    pub(crate) options: Options,
    pub(crate) supervisor: Supervisor,
    pub(crate) ledger: LedgerWriter,
    pub(crate) activities: Activities,
    pub(crate) waiters: AckWaiters,
    pub(crate) media: Media,
    pub(crate) hooks: Hooks,
    /// Called whenever a session has become ready.
    pub(super) on_ready: OnceLock<ReadyListener>,
    pub(crate) presences: Presences,
    pub(crate) pictures: Pictures,
    pub(crate) lines: SessionLines,
    pub(crate) poison: PoisonMessages,
    /// Changes of groups that this API makes.
    pub(crate) echoes: GroupEchoes,
    pub(super) loaded: Mutex<HashMap<SessionId, SessionHandle>>,
    pub(super) starts: Arc<StartTurns>,
    /// Whether a webhook of a session names `message.receipt`, and when that was looked up.
    pub(super) receipts: Mutex<HashMap<SessionId, (Timestamp, bool)>>,
    /// Told when a session begins to run here, and when it has ended to.
    pub(crate) moved: tokio::sync::Notify,
}

/// Called with the session.
pub(crate) type ReadyListener = Box<dyn Fn(SessionId) + Send + Sync>;

/// What a send needs of a ready session.
pub(crate) struct ReadySession {
    pub(crate) connection: Arc<dyn Connection>,
    /// The account's own chat id, or `me`.
    pub(crate) from: String,
    /// The right to run it.
    pub(crate) lease: Lease,
}

impl ReadySession {
    pub(super) fn of(handle: &SessionHandle, connection: Arc<dyn Connection>) -> Self {
        let account = handle.account();
        let from = account.map_or_else(|| "me".to_owned(), |phone| phone.chat().to_string());
        Self { connection, from, lease: handle.lease() }
    }
}

/// Why there is no [`ReadySession`].
pub(crate) enum NoLink {
    NotFound(SessionId),
    NotStarted,
    NotReady(SessionStatus),
    Store(StoreError),
}

impl SessionsInner {
    /// A session has become ready: sends of an earlier connection may be looked after.
    pub(super) fn is_ready(&self, session: SessionId) {
        if let Some(listener) = self.on_ready.get() {
            listener(session);
        }
    }

    /// Whether somebody asked for the receipts of each member: they are recorded for nobody else, a group has many. A
    /// new webhook gets them within [`RECEIPTS_KEPT`].
    pub(crate) async fn wants_receipts(&self, session: SessionId) -> StoreResult<bool> {
        let now = self.ports.clock.now();
        let known = || {
            let receipts = self.receipts.lock().unwrap_or_else(PoisonError::into_inner);
            receipts.get(&session).copied()
        };
        let known = known();
        if let Some((at, wanted)) = known
            && now.since(at) < RECEIPTS_KEPT
        {
            return Ok(wanted);
        }
        let page = Page { limit: u32::MAX, offset: 0 };
        let webhooks = self.ports.store.webhooks(Some(session), page).await?;
        let wanted = webhooks.iter().any(|webhook| {
            webhook.active
                && webhook.events.iter().any(|events| events.covers(EventType::MessageReceipt))
        });
        self.receipts.lock().unwrap_or_else(PoisonError::into_inner).insert(session, (now, wanted));
        Ok(wanted)
    }

    pub(super) fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<SessionId, SessionHandle>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn handle(&self, id: SessionId) -> Option<SessionHandle> {
        self.lock().get(&id).cloned()
    }

    /// Sessions that a process runs, this one or another; none for a process that is alone.
    pub(super) async fn held_anywhere(&self) -> Result<HashSet<SessionId>, StoreError> {
        if self.options.peers.is_none() {
            return Ok(HashSet::new());
        }
        let held = self.ports.store.held_sessions(self.ports.clock.now()).await?;
        Ok(held.into_iter().collect())
    }

    /// A session as callers see it; `elsewhere` says whether another process runs it.
    pub(super) fn view(&self, session: Session, elsewhere: bool) -> SessionView {
        let engine_loaded = elsewhere || self.lock().contains_key(&session.id);
        SessionView { session, engine_loaded }
    }

    /// Gives the task a command and waits until it is done; nothing when no task took it. Either way the session is not
    /// loaded afterwards.
    pub(super) async fn command(
        &self,
        id: SessionId,
        command: impl FnOnce(Done) -> Command,
    ) -> Option<StoreResult<()>> {
        let handle = self.handle(id)?;
        let done = handle.command(command).await;
        if done.is_none() {
            // It ended by itself, or panicked and would come back.
            handle.kill().await;
        }
        done
    }

    /// Ends a session with a command, or without a task to give it to.
    ///
    /// # Errors
    /// It is not in the ledger yet; see [`mark_stopped`](Self::mark_stopped).
    pub(super) async fn end(
        self: &Arc<Self>,
        id: SessionId,
        command: impl Fn(Done) -> Command,
        (wish, known): (Wish, Option<Lease>),
    ) -> StoreResult<()> {
        if let Some(done) = self.command(id, &command).await {
            return done;
        }
        // A start that has begun already is let through first, and then ended.
        let no_start = self.starts.turn(id).await;
        match self.command(id, &command).await {
            Some(done) => done,
            None => self.mark_stopped(&no_start, wish, known).await,
        }
    }

    /// At the start of the process: what an earlier life left as running is not running, unless another process has it.
    /// One that is wanted connects soon.
    pub(super) async fn wake(&self, session: &Session) -> Result<(), StoreError> {
        let is_over = match session.status {
            SessionStatus::QrReady | SessionStatus::Authenticating | SessionStatus::Ready => true,
            SessionStatus::Initializing => !session.wanted,
            _ => false,
        };
        if !is_over {
            return Ok(());
        }
        let Some(held) = self.acquire(session.id).await? else { return Ok(()) };
        let (patch, events) =
            self.decide(session.id, &SessionState::of(session), SessionInput::ProcessDied);
        self.ledger.patch(Some(&held.lease), session.id, patch, events).await?;
        if !session.wanted {
            self.let_go(&held.lease).await;
        }
        Ok(())
    }

    /// A wanted session that could not be brought back: its record says why, unless another process has it or it was
    /// started meanwhile.
    pub(super) async fn stay_down(&self, id: SessionId, error: &StartSessionError) {
        // A start beside this has the same lease, and would lose it when this gives it back.
        let _no_start = self.starts.turn(id).await;
        if self.handle(id).is_some() {
            return;
        }
        if let Err(error) = self.show_down(id, error.to_string()).await {
            tracing::error!(session.id = %id, error = &error as &dyn std::error::Error,
                "a session that stays down may still say that it runs");
        }
    }

    async fn show_down(&self, id: SessionId, reason: String) -> Result<(), StoreError> {
        let Some(held) = self.acquire(id).await? else { return Ok(()) };
        let told = match self.ports.store.session(id).await {
            Ok(Some(session))
                if session.status != SessionStatus::Disconnected
                    || session.last_error.as_deref() != Some(&reason) =>
            {
                tracing::error!(session.id = %id, reason, "a session was not brought back");
                let (patch, mut events) =
                    self.decide(id, &SessionState::of(&session), SessionInput::NotRestored(reason));
                if events.is_empty() {
                    // The reason is another one.
                    events.push(self.ledger.status_event(id, SessionStatus::Disconnected));
                }
                self.ledger.patch(Some(&held.lease), id, patch, events).await.map(|_| ())
            }
            // It says so already.
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        self.let_go(&held.lease).await;
        told
    }

    /// A session without a task here that should stay down over restarts. Where another process runs it, that is
    /// asked: its record is its owner's. `known` is the lease that it had here. Nobody starts it meanwhile: the lease
    /// is given back at the end.
    ///
    /// # Errors
    /// It is not in the ledger yet. With a lease it is done as soon as that works, unless this process ends before.
    pub(super) async fn mark_stopped(
        self: &Arc<Self>,
        no_start: &StartTurn,
        wish: Wish,
        known: Option<Lease>,
    ) -> StoreResult<()> {
        let id = no_start.session();
        let lease = match (self.acquire(id).await, known) {
            (Ok(Some(held)), _) => held.lease,
            (Ok(None), _) => return self.wish(id, wish).await,
            (Err(_), Some(known)) => known,
            (Err(error), None) => return Err(error),
        };
        self.grant(&lease, wish).await?;
        self.let_go(&lease).await;
        Ok(())
    }

    /// Asks the owner of a session for something. It is told at once, or sees it with the next renewal; should it die
    /// before, whoever has the session next does it.
    pub(super) async fn wish(&self, id: SessionId, wish: Wish) -> StoreResult<()> {
        let patch =
            SessionPatch { wanted: Some(false), wish: Some(Some(wish)), ..SessionPatch::default() };
        self.ledger.patch(None, id, patch, vec![]).await.map(|_| ())
    }

    /// Does, as the owner of a session that does not run, what was asked of it.
    pub(super) async fn grant(self: &Arc<Self>, lease: &Lease, wish: Wish) -> StoreResult<()> {
        let id = lease.session;
        let Some(session) = self.ports.store.session(id).await? else { return Ok(()) };
        let is_down = session.status == SessionStatus::Created
            || (!session.wanted && session.status == SessionStatus::Disconnected);
        if wish != Wish::Logout && is_down && !self.lines.is_behind(id) {
            let granted = SessionPatch { wish: Some(None), ..SessionPatch::default() };
            return self.ledger.patch(Some(lease), id, granted, vec![]).await.map(|_| ());
        }
        let input = match wish {
            Wish::Stop | Wish::ForceKill => SessionInput::Stop,
            Wish::Logout => SessionInput::Logout,
        };
        let (mut patch, events) = self.decide(id, &SessionState::of(&session), input);
        (patch.wanted, patch.wish) = (Some(false), Some(None));
        if wish == Wish::Logout {
            self.line_up(lease, LineEntry::Purge);
            (patch.phone, patch.lid) = (Some(None), Some(None));
        }
        // Behind what the session's task told before.
        let mut ticket = self.line_up(lease, LineEntry::Record(Box::new(patch), events));
        ticket.stored_within(self, ANSWER_LIMIT).await
    }
}
