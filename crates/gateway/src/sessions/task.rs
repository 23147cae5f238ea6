//! The task of one loaded session.

use std::{
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use domain::{
    SessionId, Timer, Timestamp,
    backoff::Backoff,
    event::EventDraft,
    port::{EngineError, EngineSignal, Lease, OpenRequest, PasskeySignal, SessionPatch},
    session::{
        self, Effect, LossCause, Session, SessionConfig, SessionInput, SessionState, SessionStatus,
    },
};
use tokio::sync::mpsc;

use super::{
    SessionsInner,
    handle::{Command, SharedState, look, put},
    heart::LeasePulse,
    inner::ANSWER_LIMIT,
    line::{LineEntry, LineTicket},
    passkey::PasskeyView,
    qr,
    record::patch_of,
    sink::SessionSink,
};

/// Signals that may wait; when full the connection is held back.
const SIGNALS_MAX: usize = 256;
/// How long an unlink may take.
const UNLINK_LIMIT: Duration = Duration::from_secs(10);
/// Between two tries to open while the ledger fails.
const LEDGER_RETRY: Backoff =
    Backoff { base: Duration::from_secs(5), cap: Duration::from_secs(5), jitter_percent: 20 };

pub(super) struct SessionTask {
    inner: Arc<SessionsInner>,
    id: SessionId,
    state: SessionState,
    shared: Arc<SharedState>,
    commands: mpsc::Receiver<Command>,
    signals: mpsc::Receiver<(u64, EngineSignal)>,
    signal_sender: mpsc::Sender<(u64, EngineSignal)>,
    generation: u64,
    retry_at: Option<Timestamp>,
    /// The tunables as they were read last.
    config: SessionConfig,
    /// What was put into the line last, if nobody has seen it stored.
    unstored: Option<LineTicket>,
    pulse: LeasePulse,
    /// The right to run the session.
    lease: Lease,
}

impl SessionTask {
    pub(super) fn new(
        inner: &Arc<SessionsInner>,
        session: &Session,
        shared: Arc<SharedState>,
        commands: mpsc::Receiver<Command>,
        pulse: LeasePulse,
    ) -> Self {
        let (signal_sender, signals) = mpsc::channel(SIGNALS_MAX);
        let state = SessionState::of(session);
        let (inner, lease) = (inner.clone(), shared.lease());
        let id = session.id;
        Self {
            inner,
            id,
            state,
            shared,
            commands,
            signals,
            signal_sender,
            generation: 0,
            retry_at: None,
            config: session.config.clone(),
            unstored: None,
            pulse,
            lease,
        }
    }

    /// The first step.
    pub(super) async fn begin(&mut self) {
        self.step(SessionInput::Start).await;
    }

    /// Until the session is not wanted any more, or this process stops.
    pub(super) async fn run(&mut self) {
        let stopping = self.inner.supervisor.stopping();
        while self.state.wanted {
            let (inner, id) = (self.inner.clone(), self.id);
            let clock = &inner.ports.clock;
            // Nothing more happens to a session that has told too much that is not stored yet.
            let goes_on = !inner.lines.is_full_of_records(id);
            let retry = async {
                match self.retry_at {
                    Some(at) => clock.sleep_until(Timer::Reconnect, at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                Some(command) = self.commands.recv() => self.obey(command).await,
                () = stopping.cancelled() => {
                    self.step(SessionInput::Shutdown).await;
                    return;
                }
                () = inner.lines.moved(id), if !goes_on => {}
                Some((generation, signal)) = self.signals.recv(), if goes_on => {
                    if generation == self.generation {
                        self.hear(signal).await;
                    }
                }
                () = retry, if goes_on => {
                    self.retry_at = None;
                    self.step(SessionInput::RetryDue).await;
                }
            }
        }
    }

    /// Lets the session go without a word in its record. It comes back when its lease is free.
    pub(super) async fn leave(&mut self, why: &str) {
        tracing::warn!(session.id = %self.id, why, "the session is let go");
        self.show(SessionStatus::Initializing);
        if let Some(connection) = look(&self.shared.connection) {
            // Before its goodbye, which writes down what the engine still holds.
            connection.seal();
        }
        self.close().await;
    }

    /// Drops the connection without asking it: another process was asked for that.
    pub(super) async fn drop_dead(&mut self) {
        drop(put(&self.shared.connection, None));
        self.show(SessionStatus::Disconnected);
        let (mut patch, events) = self.inner.decide(self.id, &self.state, SessionInput::Stop);
        (patch.wanted, patch.wish) = (Some(false), Some(None));
        self.line_up(LineEntry::Record(Box::new(patch), events)).await;
    }

    async fn obey(&mut self, command: Command) {
        let done = match command {
            Command::Stop(done) => {
                self.step(SessionInput::Stop).await;
                done
            }
            Command::Logout { done, unlinked } => {
                unlinked.store(self.unlink().await, Ordering::Release);
                self.step(SessionInput::Logout).await;
                done
            }
        };
        let stored = match self.unstored.take() {
            Some(mut ticket) => ticket.stored_within(&self.inner, ANSWER_LIMIT).await,
            None => Ok(()),
        };
        let _ = done.send(stored);
    }

    /// Tells WhatsApp that this device is gone; a session that was never linked has nothing to tell.
    async fn unlink(&self) -> bool {
        if self.state.status != SessionStatus::Ready {
            return true;
        }
        let Some(connection) = look(&self.shared.connection) else { return false };
        match connection.unlink(UNLINK_LIMIT).await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(session.id = %self.id, %error, "whatsapp did not confirm the logout");
                false
            }
        }
    }

    async fn hear(&mut self, signal: EngineSignal) {
        match signal {
            EngineSignal::QrCode { code, lasts } => self.show_qr(code, lasts).await,
            EngineSignal::Passkey(signal) => self.hear_passkey(&signal).await,
            EngineSignal::Paired { phone, lid } => {
                put(&self.shared.qr, None);
                put(&self.shared.passkey, None);
                put(&self.shared.account, Some(phone.clone()));
                let patch = SessionPatch {
                    phone: Some(Some(phone)),
                    lid: Some(lid),
                    ..SessionPatch::default()
                };
                self.step_with(SessionInput::Paired, patch, None).await;
            }
            EngineSignal::Connected { phone, lid, push_name } => {
                put(&self.shared.qr, None);
                put(&self.shared.account, Some(phone.clone()));
                let now = self.inner.ports.clock.now();
                let authenticated = self.inner.ledger.authenticated_event(
                    self.id,
                    Some(phone.digits()),
                    push_name.as_deref(),
                );
                let patch = SessionPatch {
                    phone: Some(Some(phone)),
                    lid: lid.map(Some),
                    push_name: push_name.map(Some),
                    connected_at: Some(Some(now)),
                    last_active: Some(Some(now)),
                    ..SessionPatch::default()
                };
                self.step_with(SessionInput::Connected, patch, Some(authenticated)).await;
                self.inner.is_ready(self.id);
                self.inner.media.wake();
            }
            EngineSignal::CaughtUp => self.caught_up(),
            EngineSignal::Lost(cause) => {
                put(&self.shared.qr, None);
                // A process that took the session over connects with the same keys.
                if cause == LossCause::Replaced {
                    self.pulse.check().await;
                }
                self.step(SessionInput::Lost(cause)).await;
            }
            // The sink puts the others into the line.
            _ => {}
        }
    }

    /// A step of linking with a passkey: seen by callers from here on, and told.
    async fn hear_passkey(&mut self, signal: &PasskeySignal) {
        let view = PasskeyView::after(signal, self.inner.ports.clock.now());
        let told = self.inner.ledger.passkey_event(self.id, view.told());
        put(&self.shared.passkey, Some(view));
        self.line_up(LineEntry::Record(Box::default(), vec![told])).await;
    }

    /// Sends of an earlier connection can be settled now; this task does not wait for it.
    fn caught_up(&self) {
        let Some(connection) = look(&self.shared.connection) else { return };
        let now = self.inner.ports.clock.now();
        self.inner.waiters.outbox.gate(self.id).caught_up(&connection, now);
        self.inner.is_ready(self.id);
        self.inner.renew_presence(&self.lease);
    }

    async fn show_qr(&mut self, code: String, lasts: Duration) {
        let shown = qr::ShownQr { code, expires_at: self.inner.ports.clock.now().plus(lasts) };
        put(&self.shared.qr, Some(shown.clone()));
        let picture = qr::data_url(&shown.code).unwrap_or_default();
        let told = self.inner.ledger.qr_event(self.id, &shown, &picture);
        self.step_with(SessionInput::QrShown, SessionPatch::default(), Some(told)).await;
    }

    async fn step(&mut self, input: SessionInput) {
        self.step_with(input, SessionPatch::default(), None).await;
    }

    /// One transition: decided, stored with its events, performed. A failed opening is the next input. `own` is the
    /// event that the input itself would emit; whether it does is decided with the rest.
    async fn step_with(
        &mut self,
        input: SessionInput,
        patch: SessionPatch,
        own: Option<EventDraft>,
    ) {
        let (mut input, mut patch, mut own) = (Some(input), patch, own);
        while let Some(now) = input.take() {
            if matches!(now, SessionInput::Lost(_)) {
                self.read_config().await;
            }
            let (next, effects) = session::transition(&self.state, &self.config, now);
            if effects.contains(&Effect::ForgetAccount) {
                patch.phone = Some(None);
                patch.lid = Some(None);
                put(&self.shared.account, None);
                self.inner.presences.forget(self.id);
                self.inner.pictures.forget_all(self.id);
            }
            self.show(next.status);
            let (events, retry_at) = self.consequences(&next, &effects, own.take());
            self.store(&next, std::mem::take(&mut patch), events).await;
            self.state = next;
            input = self.perform(effects, retry_at).await;
        }
    }

    /// From here on everybody in this process knows.
    fn show(&self, status: SessionStatus) {
        let before = put(&self.shared.status, Some(status));
        if before == Some(SessionStatus::Ready) && status != SessionStatus::Ready {
            self.inner.waiters.outbox.gate(self.id).stir();
        }
    }

    /// Somebody may have changed it; what is known holds where the ledger does not answer.
    async fn read_config(&mut self) {
        if let Ok(Some(session)) = self.inner.ports.store.session(self.id).await {
            self.config = session.config;
        }
    }

    /// The events of a transition, and when it is tried again.
    fn consequences(
        &self,
        next: &SessionState,
        effects: &[Effect],
        mut own: Option<EventDraft>,
    ) -> (Vec<EventDraft>, Option<Timestamp>) {
        let mut events = vec![];
        let ledger = &self.inner.ledger;
        if next.status != self.state.status {
            events.push(ledger.status_event(self.id, next.status));
        }
        let mut wait = Duration::ZERO;
        let mut retry_at = None;
        for effect in effects {
            match effect {
                Effect::Retry { failures } => {
                    wait = session::backoff(&self.config)
                        .wait(*failures, self.inner.ports.entropy.fraction());
                    retry_at = Some(self.inner.ports.clock.now().plus(wait));
                }
                Effect::RetrySoon => {
                    let wait = LEDGER_RETRY.wait(1, self.inner.ports.entropy.fraction());
                    retry_at = Some(self.inner.ports.clock.now().plus(wait));
                }
                Effect::TellDisconnected(reason) => {
                    events.push(ledger.disconnected_event(self.id, reason));
                }
                // Late news of a connection that was given up has no such effect.
                Effect::TellAuthenticated | Effect::TellQr => events.extend(own.take()),
                Effect::TellReconnectLoop { attempts } => {
                    events.push(ledger.reconnect_loop_event(self.id, *attempts, wait));
                }
                _ => {}
            }
        }
        (events, retry_at)
    }

    /// Goes on without the ledger when that does not answer soon: what was told is stored as soon as it does.
    async fn store(&mut self, next: &SessionState, patch: SessionPatch, events: Vec<EventDraft>) {
        let nothing_new =
            *next == self.state && patch == SessionPatch::default() && events.is_empty();
        if nothing_new {
            return;
        }
        let decided = patch_of(&self.state, next, self.inner.ports.clock.now());
        let SessionPatch { status, wanted, wish, last_error, at, .. } = decided;
        let patch = SessionPatch { status, wanted, wish, last_error, at, ..patch };
        let stored = self.line_up(LineEntry::Record(Box::new(patch), events)).await;
        tracing::info!(session.id = %self.id, status = next.status.as_str(), stored, "session");
    }

    async fn line_up(&mut self, entry: LineEntry) -> bool {
        let mut ticket = self.inner.line_up(&self.lease, entry);
        let stored = ticket.stored_soon(&self.inner).await;
        self.unstored = (!stored).then_some(ticket);
        stored
    }

    async fn perform(
        &mut self,
        effects: Vec<Effect>,
        retry_at: Option<Timestamp>,
    ) -> Option<SessionInput> {
        let mut next = None;
        for effect in effects {
            match effect {
                Effect::Open => next = self.open().await,
                Effect::Close => self.close().await,
                Effect::DeleteKeys => drop(self.line_up(LineEntry::Purge).await),
                Effect::CancelRetry => self.retry_at = None,
                Effect::Retry { .. } | Effect::RetrySoon => self.retry_at = retry_at,
                // In its commit.
                Effect::ForgetAccount
                | Effect::TellQr
                | Effect::TellAuthenticated
                | Effect::TellDisconnected(_)
                | Effect::TellReconnectLoop { .. } => {}
            }
        }
        next
    }

    async fn open(&mut self) -> Option<SessionInput> {
        self.close().await;
        self.pulse.check_if_due(self.inner.ports.clock.elapsed()).await;
        let session = match self.inner.ports.store.session(self.id).await {
            Ok(Some(session)) => session,
            Ok(None) => return Some(SessionInput::Stop),
            Err(_) => return Some(away()),
        };
        self.generation += 1;
        let sink = Arc::new(SessionSink {
            inner: self.inner.clone(),
            session: self.id,
            lease: self.lease.clone(),
            generation: self.generation,
            account: self.shared.account.clone(),
            signals: self.signal_sender.clone(),
            last_active: self.shared.last_active.clone(),
            last_ack: Mutex::default(),
        });
        let request = OpenRequest { lease: self.lease.clone(), proxy: session.proxy };
        match self.inner.ports.whatsapp.open(request, sink).await {
            Ok(connection) => {
                put(&self.shared.connection, Some(connection));
                None
            }
            Err(EngineError::Misconfigured(reason)) => {
                Some(SessionInput::Lost(LossCause::Misconfigured(reason)))
            }
            Err(EngineError::Store(error)) => {
                tracing::warn!(session.id = %self.id, error = &error as &dyn std::error::Error,
                    "the engine could not read its keys");
                Some(away())
            }
            Err(error) => Some(SessionInput::Lost(LossCause::Link(error.to_string()))),
        }
    }

    async fn close(&mut self) {
        // Late signals of this connection are not listened to any more.
        self.generation += 1;
        let connection = put(&self.shared.connection, None);
        put(&self.shared.qr, None);
        put(&self.shared.passkey, None);
        if let Some(connection) = connection {
            // A sink that waits for a place in the queue must not keep the connection from ending.
            let drained = async { while self.signals.recv().await.is_some() {} };
            tokio::select! {
                () = connection.close() => {}
                () = drained => {}
            }
        }
    }
}

fn away() -> SessionInput {
    SessionInput::Lost(LossCause::Ledger("the ledger does not answer".into()))
}
