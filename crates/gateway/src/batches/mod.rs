//! Batches: many recipients, one pace, nothing sent twice.
//!
//! # The cast
//! - [`Batches`] is the handle: it stores batches, shows them, cancels, pauses and resumes them.
//! - The *caretaker* sees to it that every session with something to do that runs here has a runner, and forgets old
//!   batches. Batches of a session that nobody runs are held.
//! - A *runner* ([`runner`]) is one task per session: its batches take turns and share one pace.
//!
//! # Guarantees
//! Every item has its message id before anything is sent, and is marked as open before it is handed over. After a
//! crash the row of that id tells what became of it: no row means that it never left. Only the session's owner moves
//! its items: every change carries the lease and is refused when that is over; others cancel, pause and resume.
//! Between two bulk messages of a session lies at least the delay of the first, also across restarts and reconnects;
//! what had no answer when a link was lost goes out again at once with the next one, at the distance it was accepted
//! at. A limit, a lost session or a pause of all sends holds a batch, and fails nothing. A cancel is one guarded write:
//! nothing is begun after it.

mod accept;
mod error;
mod item;
mod open;
mod outcome;
mod runner;
mod sight;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use domain::{
    EventId, SessionId, Timer, Timestamp,
    batch::{Batch, BatchChange, BatchId, BatchItem, BatchState, Hold, HoldReason},
    pacing::PacingRules,
    port::{Lease, Page, StoreError, StoreErrorKind, Write, WriteOutcome},
};
use tokio::sync::{Notify, watch};

use crate::{Brake, Media, Messages, Policy, Ports, Sessions, Supervisor, ledger::LedgerWriter};

pub use accept::{Accepted, BulkRequest, Foreseen};
pub use error::BatchError;

/// How batches behave. `Default` is for production.
#[derive(Debug, Clone)]
pub struct BulkOptions {
    /// Batches of one session that are not over; 0 means no cap (`BULK_MAX_CONCURRENT_BATCHES`).
    pub unfinished_max: u32,
    /// How long a batch that is over is kept.
    pub kept: Duration,
    /// Between two looks of the caretaker and of a runner that waits. Everything is also told by signals.
    pub sweep_interval: Duration,
}

impl Default for BulkOptions {
    fn default() -> Self {
        Self {
            unfinished_max: 50,
            kept: Duration::from_secs(30 * 86_400),
            sweep_interval: Duration::from_secs(10),
        }
    }
}

/// What a runner waits for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RunnerRest {
    /// When it goes on by itself; nothing when only a change from outside lets it go on.
    pub until: Option<Timestamp>,
    /// Grows with each rest.
    pub number: u64,
    /// Whether it rests now.
    pub resting: bool,
}

/// A handle to the batches. Cheap to clone.
#[derive(Clone)]
pub struct Batches {
    shared: Arc<SharedBatches>,
}

struct SharedBatches {
    ports: Ports,
    sessions: Sessions,
    messages: Messages,
    media: Media,
    ledger: LedgerWriter,
    brake: Brake,
    supervisor: Supervisor,
    options: BulkOptions,
    rules: PacingRules,
    /// What a send waits for its answer, and how long one may be sent again.
    resend_limit: Duration,
    runners: Mutex<HashMap<SessionId, Arc<RunnerHandle>>>,
    /// Sessions with a runner, and those whose last one panicked.
    lives: Mutex<HashMap<SessionId, RunnerLife>>,
    wake: Notify,
}

/// How it is with a session's runner; nothing is known of one that ended well.
#[derive(Clone, Copy, PartialEq, Eq)]
enum RunnerLife {
    Running,
    /// Under which lease.
    Panicked(u64),
}

/// The way to a runner.
#[derive(Default)]
struct RunnerHandle {
    wake: Notify,
    rest: watch::Sender<RunnerRest>,
}

/// What the batches are built of.
pub(crate) struct Parts<'a> {
    pub(crate) options: &'a crate::Options,
    pub(crate) ports: &'a Ports,
    pub(crate) sessions: &'a Sessions,
    pub(crate) messages: &'a Messages,
    pub(crate) media: &'a Media,
    pub(crate) ledger: &'a LedgerWriter,
    pub(crate) brake: &'a Brake,
    pub(crate) supervisor: &'a Supervisor,
}

impl Batches {
    pub(crate) fn build(parts: Parts<'_>) -> Self {
        let shared = SharedBatches {
            ports: parts.ports.clone(),
            sessions: parts.sessions.clone(),
            messages: parts.messages.clone(),
            media: parts.media.clone(),
            ledger: parts.ledger.clone(),
            brake: parts.brake.clone(),
            supervisor: parts.supervisor.clone(),
            options: parts.options.bulk.clone(),
            rules: parts.options.sends.pacing.clone(),
            resend_limit: parts.options.sends.resend_limit,
            runners: Mutex::default(),
            lives: Mutex::default(),
            wake: Notify::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Starts the runners of what is not over, now and from now on.
    pub(crate) fn run(&self) {
        let care = caretaker(self.shared.clone());
        self.shared.supervisor.spawn("batches/caretaker", Policy::Essential, care);
    }

    /// One batch.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn get(&self, session: SessionId, id: &BatchId) -> Result<Option<Batch>, StoreError> {
        self.shared.ports.store.batch(session, id).await
    }

    /// Newest first.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn list(
        &self,
        session: SessionId,
        state: Option<BatchState>,
        page: Page,
    ) -> Result<Vec<Batch>, StoreError> {
        self.shared.ports.store.batches(session, state, page).await
    }

    /// The items of a batch in their order; `touched` leaves out those to which nothing happened yet.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn items(
        &self,
        session: SessionId,
        id: &BatchId,
        touched: bool,
        page: Page,
    ) -> Result<Vec<BatchItem>, StoreError> {
        self.shared.ports.store.batch_items(session, id, touched, page).await
    }

    /// Ends a batch: nothing is begun after it, whatever else happens at that moment. What was handed over settles.
    ///
    /// # Errors
    /// [`BatchError`].
    pub async fn cancel(&self, session: SessionId, id: &BatchId) -> Result<Batch, BatchError> {
        self.change(session, id, BatchChange::Cancel).await
    }

    /// Stops it until it is resumed. What was handed over settles.
    ///
    /// # Errors
    /// [`BatchError`].
    pub async fn pause(&self, session: SessionId, id: &BatchId) -> Result<Batch, BatchError> {
        let hold = Hold { reason: HoldReason::Paused, until: None };
        self.change(session, id, BatchChange::Hold(hold)).await
    }

    /// Lets a paused batch go on.
    ///
    /// # Errors
    /// [`BatchError`].
    pub async fn resume(&self, session: SessionId, id: &BatchId) -> Result<Batch, BatchError> {
        self.change(session, id, BatchChange::Release { paused: true }).await
    }

    /// What the runner of a session waits for; follow it to see when it rests.
    pub fn resting(&self, session: SessionId) -> watch::Receiver<RunnerRest> {
        self.shared.handle(session).rest.subscribe()
    }

    async fn change(
        &self,
        session: SessionId,
        id: &BatchId,
        change: BatchChange,
    ) -> Result<Batch, BatchError> {
        let resume = matches!(change, BatchChange::Release { .. });
        let changed =
            self.shared.write(None, session, id, change).await.map_err(BatchError::Store)?;
        let batch = self.get(session, id).await.map_err(BatchError::Store)?;
        let batch = batch.ok_or(BatchError::NotFound(id.clone()))?;
        if changed {
            self.shared.wake(session);
            return Ok(batch);
        }
        Err(match batch.state {
            state if state.is_over() => BatchError::Over(state),
            _ if resume => BatchError::NotPaused,
            _ => BatchError::AlreadyPaused,
        })
    }
}

impl SharedBatches {
    /// Changes a batch, for the owner of its session or for anybody; `false` when the change no longer fits.
    async fn write(
        &self,
        lease: Option<&Lease>,
        session: SessionId,
        batch: &BatchId,
        change: BatchChange,
    ) -> Result<bool, StoreError> {
        let write = self.change_of(session, batch, change);
        let outcomes = self.ledger.write_with_retry(lease, vec![write]).await?;
        Ok(matches!(outcomes.first(), Some(WriteOutcome::Applied(_))))
    }

    /// Holds the batches of a session that nobody runs and that is not to run. Of one that is wanted nothing is said:
    /// another process runs it, or soon will.
    async fn hold_idle(&self, session: SessionId) {
        match self.hold_if_idle(session).await {
            Ok(()) | Err(StoreError { kind: StoreErrorKind::NotOwner, .. }) => {}
            Err(error) => {
                tracing::warn!(session.id = %session, error = &error as &dyn std::error::Error,
                    "batches of a stopped session were not held");
            }
        }
    }

    async fn hold_if_idle(&self, session: SessionId) -> Result<(), StoreError> {
        let wanted = self.ports.store.session(session).await?.is_none_or(|found| found.wanted);
        if wanted {
            return Ok(());
        }
        let (now, hold) =
            (self.ports.clock.now(), Hold { reason: HoldReason::SessionNotReady, until: None });
        for batch in self.ports.store.unfinished_batches(session).await? {
            let later = batch.options.scheduled_at.is_some_and(|from| from > now);
            if later || batch.is_paused() || batch.hold == Some(hold) {
                continue;
            }
            let hold = self.change_of(session, &batch.id, BatchChange::Hold(hold));
            let writes = vec![Write::Unheld { session, now }, hold];
            self.ledger.write_with_retry(None, writes).await?;
        }
        Ok(())
    }

    fn change_of(&self, session: SessionId, batch: &BatchId, change: BatchChange) -> Write {
        Write::Batch {
            session,
            batch: batch.clone(),
            change: Box::new(change),
            at: self.ports.clock.now(),
            event: EventId::new(&*self.ports.entropy),
        }
    }

    fn handle(&self, session: SessionId) -> Arc<RunnerHandle> {
        let mut runners = self.runners.lock().unwrap_or_else(PoisonError::into_inner);
        runners.entry(session).or_default().clone()
    }

    /// Claims the place of a session's runner: whether the last one under this lease panicked; nothing when there is
    /// one.
    fn claim(&self, lease: &Lease) -> Option<bool> {
        let mut lives = self.lives.lock().unwrap_or_else(PoisonError::into_inner);
        match lives.insert(lease.session, RunnerLife::Running) {
            Some(RunnerLife::Running) => None,
            before => Some(before == Some(RunnerLife::Panicked(lease.epoch))),
        }
    }

    /// A runner ended.
    fn ended(&self, lease: &Lease, clean: bool) {
        let mut lives = self.lives.lock().unwrap_or_else(PoisonError::into_inner);
        if clean {
            lives.remove(&lease.session);
        } else {
            lives.insert(lease.session, RunnerLife::Panicked(lease.epoch));
        }
        drop(lives);
        let mut runners = self.runners.lock().unwrap_or_else(PoisonError::into_inner);
        let is_unused =
            |handle: &Arc<RunnerHandle>| Arc::strong_count(handle) == 1 && handle.rest.is_closed();
        if runners.get(&lease.session).is_some_and(is_unused) {
            runners.remove(&lease.session);
        }
        drop(runners);
        self.wake.notify_one();
    }

    /// Something of a session's batches changed.
    fn wake(&self, session: SessionId) {
        let runners = self.runners.lock().unwrap_or_else(PoisonError::into_inner);
        // One that begins later looks by itself.
        if let Some(handle) = runners.get(&session) {
            handle.wake.notify_one();
        }
        drop(runners);
        self.wake.notify_one();
    }
}

/// Keeps a runner for every session with something to do that runs here.
async fn caretaker(shared: Arc<SharedBatches>) {
    let stopping = shared.supervisor.stopping();
    let clock = shared.ports.clock.clone();
    loop {
        match shared.ports.store.bulk_sessions().await {
            Ok(sessions) => {
                for session in sessions {
                    let Some(lease) = shared.sessions.lease(session) else {
                        shared.hold_idle(session).await;
                        continue;
                    };
                    let Some(after_panic) = shared.claim(&lease) else { continue };
                    let name = format!("batches/{session}");
                    let task = runner::run(shared.clone(), lease, after_panic);
                    shared.supervisor.spawn(name, Policy::Once, task);
                }
            }
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "batches were not found");
            }
        }
        forget(&shared).await;
        tokio::select! {
            () = shared.wake.notified() => {}
            () = shared.sessions.moved() => {}
            () = clock.sleep_until(Timer::BatchSweep, clock.now().plus(shared.options.sweep_interval)) => {}
            () = stopping.cancelled() => return,
        }
    }
}

async fn forget(shared: &SharedBatches) {
    let before = shared.ports.clock.now().minus(shared.options.kept);
    if let Err(error) = shared.ports.store.forget_batches(before).await {
        tracing::warn!(error = &error as &dyn std::error::Error, "old batches were not forgotten");
    }
}
