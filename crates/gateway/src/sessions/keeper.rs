//! Loads a session, gives its task another life after a panic, and unloads it.

use std::{sync::Arc, time::Duration};

use domain::{
    SessionId, Timer,
    backoff::Backoff,
    port::Lease,
    session::{Session, SessionInput, SessionState, SessionStatus},
};
use tokio::sync::watch;

use super::{
    SessionsInner,
    handle::{SessionHandle, SharedState, put},
    heart::{HeartEnd, LeaseHeart, heart},
    line::LineEntry,
    task::SessionTask,
};
use crate::{Policy, supervisor::Ending};

/// Restarts of a task that panicked.
const AFTER_PANIC: Backoff =
    Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(300), jitter_percent: 20 };

/// How long an unloaded session waits for the ledger.
const RELEASE_LIMIT: Duration = Duration::from_millis(2_900);

/// Loads a session under the caller's lease: its first step is done when this returns.
///
/// # Cancel safety
/// Everything runs on the supervisor; a caller that goes away leaves a loaded session.
pub(super) async fn launch(inner: &Arc<SessionsInner>, session: Session, lease: Lease) {
    let shared = Arc::new(SharedState::new(lease));
    put(&shared.account, session.phone.clone());
    let keeper = SessionLoader { inner: inner.clone(), id: session.id, shared: shared.clone() };
    let task = keeper.life(&session);
    // Made here, so that a future that is dropped before its first poll unloads as well.
    let unload = UnloadGuard { inner: inner.clone(), id: session.id, shared: shared.clone() };
    inner.supervisor.spawn(format!("session/{}", session.id), Policy::Once, async move {
        let _unload = unload;
        keeper.keep(task).await;
    });
    shared.begun.cancelled().await;
}

/// Unloads the session however its keeper ends, so that nobody waits for it for ever.
struct UnloadGuard {
    inner: Arc<SessionsInner>,
    id: SessionId,
    shared: Arc<SharedState>,
}

impl Drop for UnloadGuard {
    fn drop(&mut self) {
        put(&self.shared.qr, None);
        drop(put(&self.shared.connection, None));
        self.inner.lock().remove(&self.id);
        self.shared.begun.cancel();
        self.shared.ended.cancel();
        self.inner.moved.notify_one();
    }
}

struct SessionLoader {
    inner: Arc<SessionsInner>,
    id: SessionId,
    shared: Arc<SharedState>,
}

impl SessionLoader {
    /// A task that has not begun, with the way to it, and what keeps its lease.
    fn life(&self, session: &Session) -> (SessionTask, LeaseHeart) {
        let (handle, commands) = SessionHandle::new(self.shared.clone());
        self.inner.lock().insert(self.id, handle);
        self.inner.moved.notify_one();
        let (heart, pulse) = heart(&self.inner, &self.shared, self.shared.lease());
        (SessionTask::new(&self.inner, session, self.shared.clone(), commands, pulse), heart)
    }

    /// Runs the task; after a panic the connection is dropped and the session starts anew, after a wait.
    async fn keep(&self, first: (SessionTask, LeaseHeart)) {
        let mut next = Some(first);
        let mut panics = 0;
        while let Some(task) = next.take() {
            let ending = self.live(task).await;
            put(&self.shared.qr, None);
            put(&self.shared.status, None);
            drop(put(&self.shared.connection, None));
            self.shared.begun.cancel();
            if ending == Some(Ending::Panicked) && !self.shared.killed.is_cancelled() {
                panics += 1;
                next = self.again(panics).await;
            }
        }
        self.let_go().await;
    }

    /// Gives the lease back when everything is stored. While the session is still loaded: a start that follows must not
    /// lose its lease to this.
    async fn let_go(&self) {
        let clock = &self.inner.ports.clock;
        let release = async {
            self.inner.lines.drained(self.id).await;
            self.inner.let_go(&self.shared.lease()).await;
        };
        tokio::select! {
            biased;
            () = release => {}
            // It runs out by itself.
            () = clock.sleep_until(Timer::LeaseRelease, clock.now().plus(RELEASE_LIMIT)) => {}
        }
    }

    async fn live(&self, (mut task, mut heart): (SessionTask, LeaseHeart)) -> Option<Ending> {
        let shared = self.shared.clone();
        let name = format!("session/{}/life", self.id);
        let ended = self.inner.supervisor.spawn(name, Policy::Once, async move {
            let life = async {
                task.begin().await;
                shared.begun.cancel();
                task.run().await;
            };
            let end = tokio::select! {
                biased;
                end = heart.beat() => Some(end),
                () = shared.killed.cancelled() => None,
                () = life => None,
            };
            // Whatever the task was waiting for.
            match end {
                Some(HeartEnd::Lost(why)) => task.leave(why).await,
                Some(HeartEnd::Kill) => task.drop_dead().await,
                None => {}
            }
        });
        wait(ended).await
    }

    /// The next life; `None` when there should be none.
    async fn again(&self, panics: u32) -> Option<(SessionTask, LeaseHeart)> {
        tracing::error!(session.id = %self.id, panics, "the session's task panicked; it starts again");
        let ports = &self.inner.ports;
        self.tell_down().await;
        let stopping = self.inner.supervisor.stopping();
        let mut tries = panics;
        let mut told = false;
        loop {
            let wait = AFTER_PANIC.wait(tries, ports.entropy.fraction());
            tokio::select! {
                () = ports.clock.sleep_until(Timer::SessionRestart, ports.clock.now().plus(wait)) => {}
                () = stopping.cancelled() => return None,
                () = self.shared.killed.cancelled() => return None,
            }
            match ports.store.session(self.id).await {
                Ok(Some(session)) if session.wanted => {
                    if let Ok(Some(held)) = self.inner.acquire(self.id).await {
                        self.shared.renew(held.lease);
                        return Some(self.life(&session));
                    }
                    tries += 1;
                }
                Ok(_) => return None,
                Err(error) if !told => {
                    told = true;
                    tracing::error!(session.id = %self.id, error = &error as &dyn std::error::Error,
                        "a session could not be read");
                }
                Err(_) => {}
            }
        }
    }

    /// The record must not go on saying that the session is ready.
    async fn tell_down(&self) {
        let session = self.inner.ports.store.session(self.id).await.ok().flatten();
        // While the session's line waits, the record is not what was told last.
        let session = session.filter(|_| !self.inner.lines.is_behind(self.id));
        let is_told =
            |session: &Session| !session.wanted || session.status == SessionStatus::Initializing;
        if session.as_ref().is_some_and(is_told) {
            return;
        }
        // What was told last is not known: it is told again.
        let as_ready = || SessionState {
            status: SessionStatus::Ready,
            wanted: true,
            failures: 0,
            last_error: None,
        };
        let state = session.as_ref().map_or_else(as_ready, SessionState::of);
        let (patch, events) = self.inner.decide(self.id, &state, SessionInput::TaskFailed);
        let mut ticket =
            self.inner.line_up(&self.shared.lease(), LineEntry::Record(Box::new(patch), events));
        ticket.stored_soon(&self.inner).await;
    }
}

async fn wait(mut ended: watch::Receiver<Option<Ending>>) -> Option<Ending> {
    loop {
        if let Some(ending) = *ended.borrow_and_update() {
            return Some(ending);
        }
        ended.changed().await.ok()?;
    }
}
