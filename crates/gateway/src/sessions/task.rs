//! The task of one loaded session.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use domain::{
    SessionId, Timestamp,
    event::EventDraft,
    port::{EngineError, EngineSignal, OpenRequest, SessionPatch},
    session::{self, Effect, LossCause, Session, SessionInput, SessionState, SessionStatus},
};
use tokio::sync::mpsc;

use super::{
    Inner, Sessions, facts,
    handle::{Command, Shared, look, put},
    lease::Lease,
    qr,
    sink::Sink,
};

use crate::{Policy, messages};

/// Signals that may wait; when full the connection is held back.
const SIGNALS_MAX: usize = 256;
/// Facts learned in one commit.
const FACTS_AT_ONCE: usize = 256;
/// How long an unlink may take.
const UNLINK_LIMIT: Duration = Duration::from_secs(10);

pub(super) struct Task {
    inner: Arc<Inner>,
    id: SessionId,
    state: SessionState,
    shared: Arc<Shared>,
    commands: mpsc::Receiver<Command>,
    signals: mpsc::Receiver<(u64, EngineSignal)>,
    signal_sender: mpsc::Sender<(u64, EngineSignal)>,
    generation: u64,
    retry_at: Option<Timestamp>,
    lease: Lease,
    /// The lease is gone: the record belongs to whoever has it.
    left: bool,
}

impl Task {
    pub(super) fn new(
        inner: &Arc<Inner>,
        session: &Session,
        shared: Arc<Shared>,
        commands: mpsc::Receiver<Command>,
    ) -> Self {
        let (signal_sender, signals) = mpsc::channel(SIGNALS_MAX);
        let state = SessionState {
            status: session.status,
            wanted: session.wanted,
            failures: 0,
            last_error: session.last_error.clone(),
        };
        let lease = Lease::taken(inner.ports.clock.now(), inner.options.session_lease);
        let inner = inner.clone();
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
            lease,
            left: false,
        }
    }

    /// The first step.
    pub(super) async fn begin(&mut self) {
        self.step(SessionInput::Start).await;
    }

    /// Until the session is not wanted any more, another process has it, or this process stops.
    pub(super) async fn run(&mut self) {
        let stopping = self.inner.supervisor.stopping();
        while self.state.wanted && !self.left {
            let clock = self.inner.ports.clock.clone();
            let retry = async {
                match self.retry_at {
                    Some(at) => clock.sleep_until(at).await,
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
                // Before anything connects: after a standstill of this process the lease may be gone.
                () = clock.sleep_until(self.lease.renew_at) => self.heartbeat().await,
                Some(signal) = self.signals.recv() => self.heard(signal).await,
                () = retry => {
                    self.retry_at = None;
                    self.step(SessionInput::RetryDue).await;
                }
            }
        }
    }

    async fn heartbeat(&mut self) {
        if let Err(why) = self.lease.renew(&self.inner, self.id).await {
            self.leave(why).await;
        }
    }

    /// Lets the session go without a word in its record. It comes back when its lease is free.
    async fn leave(&mut self, why: &str) {
        tracing::warn!(session.id = %self.id, why, "the session is let go");
        self.shared.ready.store(false, Ordering::Release);
        self.close().await;
        self.left = true;
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
        let _ = done.send(());
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

    /// Facts hold whichever connection told them, and are learned many at once: an address book is a flood of them.
    async fn heard(&mut self, signal: (u64, EngineSignal)) {
        let mut next = Some(signal);
        let mut learned = Vec::new();
        while let Some((generation, signal)) = next.take() {
            match facts::fact(signal) {
                Ok(fact) => {
                    learned.push(fact);
                    if learned.len() < FACTS_AT_ONCE {
                        next = self.signals.try_recv().ok();
                    }
                }
                Err(signal) => {
                    facts::learn(&self.inner, self.id, std::mem::take(&mut learned)).await;
                    if generation == self.generation {
                        self.hear(signal).await;
                    }
                }
            }
        }
        facts::learn(&self.inner, self.id, learned).await;
    }

    async fn hear(&mut self, signal: EngineSignal) {
        match signal {
            EngineSignal::QrCode { code } => self.show_qr(code).await,
            EngineSignal::Paired { phone, lid } => {
                put(&self.shared.qr, None);
                put(&self.shared.account, Some(phone.clone()));
                let patch = SessionPatch {
                    phone: Some(Some(phone)),
                    lid: Some(lid),
                    ..SessionPatch::default()
                };
                self.step_with(SessionInput::Paired, patch, vec![]).await;
            }
            EngineSignal::Connected { phone, lid, push_name } => {
                put(&self.shared.qr, None);
                put(&self.shared.account, Some(phone.clone()));
                let now = self.inner.ports.clock.now();
                let told = self.inner.commit.authenticated_event(
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
                self.step_with(SessionInput::Connected, patch, vec![told]).await;
                self.inner.media.wake();
            }
            EngineSignal::CaughtUp => self.caught_up(),
            EngineSignal::Lost(cause) => {
                put(&self.shared.qr, None);
                // A process that took the session over connects with the same keys.
                if cause == LossCause::Replaced {
                    self.heartbeat().await;
                }
                if !self.left {
                    self.step(SessionInput::Lost(cause)).await;
                }
            }
            // The sink deals with acks; facts were learned before.
            _ => {}
        }
    }

    /// Sends of an earlier connection can be settled now; this task does not wait for it.
    fn caught_up(&self) {
        let (sessions, id) = (Sessions { inner: self.inner.clone() }, self.id);
        let stopping = self.inner.supervisor.stopping();
        self.inner.supervisor.spawn(format!("session/{id}/settle"), Policy::Once, async move {
            tokio::select! {
                () = messages::settle(&sessions, id) => {}
                () = stopping.cancelled() => {}
            }
        });
    }

    async fn show_qr(&mut self, code: String) {
        put(&self.shared.qr, Some(code.clone()));
        let picture = qr::data_url(&code).unwrap_or_default();
        let told = self.inner.commit.qr_event(self.id, &code, &picture);
        self.step_with(SessionInput::QrShown, SessionPatch::default(), vec![told]).await;
    }

    async fn step(&mut self, input: SessionInput) {
        self.step_with(input, SessionPatch::default(), vec![]).await;
    }

    /// One transition: decided, stored with its events, performed. A failed opening is the next input.
    async fn step_with(
        &mut self,
        input: SessionInput,
        patch: SessionPatch,
        events: Vec<EventDraft>,
    ) {
        let (mut input, mut patch, mut events) = (Some(input), patch, events);
        while let Some(now) = input.take() {
            let config = self.config().await;
            let clears_phone =
                matches!(now, SessionInput::Logout | SessionInput::Lost(LossCause::LoggedOut));
            let (next, effects) = session::transition(&self.state, &config, now);
            if clears_phone {
                patch.phone = Some(None);
                patch.lid = Some(None);
                put(&self.shared.account, None);
            }
            let (told, retry_at) = self.consequences(&next, &effects, &config, events);
            self.store(&next, std::mem::take(&mut patch), told).await;
            let is_ready = next.status == SessionStatus::Ready;
            if self.shared.ready.swap(is_ready, Ordering::AcqRel) && !is_ready {
                self.inner.waiters.outbox.gate(self.id).stir();
            }
            self.state = next;
            events = vec![];
            input = self.perform(effects, retry_at).await;
        }
    }

    async fn config(&self) -> session::SessionConfig {
        let session = self.inner.ports.sessions.get(self.id).await;
        session.ok().flatten().map(|session| session.config).unwrap_or_default()
    }

    /// The events of a transition, and when it is tried again.
    fn consequences(
        &self,
        next: &SessionState,
        effects: &[Effect],
        config: &session::SessionConfig,
        mut events: Vec<EventDraft>,
    ) -> (Vec<EventDraft>, Option<Timestamp>) {
        let commit = &self.inner.commit;
        if next.status != self.state.status {
            events.insert(0, commit.status_event(self.id, next.status));
        }
        let mut wait = Duration::ZERO;
        let mut retry_at = None;
        for effect in effects {
            match effect {
                Effect::Retry { failures } => {
                    wait = session::backoff(config)
                        .wait(*failures, self.inner.ports.entropy.fraction());
                    retry_at = Some(self.inner.ports.clock.now().plus(wait));
                }
                Effect::TellDisconnected(reason) => {
                    events.push(commit.disconnected_event(self.id, reason));
                }
                Effect::TellReconnectLoop { attempts } => {
                    events.push(commit.reconnect_loop_event(self.id, *attempts, wait));
                }
                _ => {}
            }
        }
        (events, retry_at)
    }

    async fn store(&self, next: &SessionState, mut patch: SessionPatch, events: Vec<EventDraft>) {
        let nothing_new =
            *next == self.state && patch == SessionPatch::default() && events.is_empty();
        if nothing_new {
            return;
        }
        patch.status = Some(next.status);
        patch.wanted = Some(next.wanted);
        patch.last_error = Some(next.last_error.clone());
        patch.at = Some(self.inner.ports.clock.now());
        match self.inner.commit.patch(self.id, patch, events).await {
            Ok(_) => {
                tracing::info!(session.id = %self.id, status = next.status.as_str(), "session");
            }
            Err(error) => {
                tracing::error!(session.id = %self.id, error = &error as &dyn std::error::Error,
                    "a session's state was not stored");
            }
        }
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
                Effect::DeleteKeys => self.delete_keys().await,
                Effect::CancelRetry => self.retry_at = None,
                Effect::Retry { .. } => self.retry_at = retry_at,
                // Done before the transition, or told with its commit.
                Effect::Unlink
                | Effect::TellAuthenticated
                | Effect::TellDisconnected(_)
                | Effect::TellReconnectLoop { .. } => {}
            }
        }
        next
    }

    async fn open(&mut self) -> Option<SessionInput> {
        self.close().await;
        let session = match self.inner.ports.sessions.get(self.id).await {
            Ok(Some(session)) => session,
            Ok(None) => return Some(SessionInput::Stop),
            Err(_) => {
                return Some(SessionInput::Lost(LossCause::Link(
                    "the ledger did not answer".into(),
                )));
            }
        };
        self.generation += 1;
        let sink = Arc::new(Sink {
            inner: self.inner.clone(),
            session: self.id,
            generation: self.generation,
            account: self.shared.account.clone(),
            signals: self.signal_sender.clone(),
            last_active: self.shared.last_active.clone(),
        });
        let request = OpenRequest { session: self.id, proxy: session.proxy };
        match self.inner.ports.whatsapp.open(request, sink).await {
            Ok(connection) => {
                put(&self.shared.connection, Some(connection));
                None
            }
            Err(EngineError::Misconfigured(reason)) => {
                Some(SessionInput::Lost(LossCause::Misconfigured(reason)))
            }
            Err(error) => Some(SessionInput::Lost(LossCause::Link(error.to_string()))),
        }
    }

    async fn close(&mut self) {
        // Late signals of this connection are not listened to any more.
        self.generation += 1;
        let connection = put(&self.shared.connection, None);
        put(&self.shared.qr, None);
        if let Some(connection) = connection {
            // A sink that waits for a place in the queue must not keep the connection from ending.
            let mut learned = Vec::new();
            let drained = async {
                loop {
                    match self.signals.recv().await.map(|(_, signal)| facts::fact(signal)) {
                        Some(Ok(fact)) => learned.push(fact),
                        Some(Err(_)) => {}
                        None => std::future::pending::<()>().await,
                    }
                }
            };
            tokio::select! {
                () = connection.close() => {}
                () = drained => {}
            }
            facts::learn(&self.inner, self.id, learned).await;
        }
    }

    async fn delete_keys(&self) {
        if let Err(error) = self.inner.ports.device_keys.purge(self.id).await {
            tracing::error!(session.id = %self.id, error = &error as &dyn std::error::Error, "keys were not deleted");
        }
    }
}
