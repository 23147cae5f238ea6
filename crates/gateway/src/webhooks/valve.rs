//! Nothing leaves whose result could not be recorded.
//!
//! While the ledger takes no writes, no lane is claimed and no lane that is held goes on. What was under way when that
//! began comes to its end: its results are known, wait here, and are recorded before anything new leaves.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use domain::{
    Clock, Timer, Timestamp,
    port::{Ledger, Trouble},
};
use tokio::sync::Notify;

use crate::Ports;

/// Between two looks whether the ledger takes writes again; doubles up to [`LOOK_MAX`].
const LOOK_FIRST: Duration = Duration::from_millis(500);
/// Longest time between two looks.
const LOOK_MAX: Duration = Duration::from_secs(5);
/// For a probe: a ledger that does not answer takes no writes.
const PROBE_LIMIT: Duration = Duration::from_secs(15);

/// Whether deliveries leave, and why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Lanes are claimed and their deliveries leave.
    Open,
    /// None leaves, and why.
    Stopped {
        /// What keeps the ledger from taking results.
        trouble: Trouble,
        /// When the first write failed.
        since: Timestamp,
    },
}

/// A handle to it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct LedgerValve {
    ledger: Arc<dyn Ledger>,
    clock: Arc<dyn Clock>,
    state: Arc<ValveState>,
}

#[derive(Default)]
struct ValveState {
    /// Since when nothing leaves.
    stopped: Mutex<Option<(Trouble, Timestamp)>>,
    /// Results that are known and not recorded.
    waiting: AtomicUsize,
    /// Told when the ledger takes writes again.
    again: Notify,
    /// Told when a result does not wait any more.
    recorded: Notify,
}

impl LedgerValve {
    pub(super) fn new(ports: &Ports) -> Self {
        let (ledger, clock) = (ports.store.clone(), ports.clock.clone());
        Self { ledger, clock, state: Arc::default() }
    }

    fn stopped(&self) -> MutexGuard<'_, Option<(Trouble, Timestamp)>> {
        self.state.stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether deliveries leave, and why not.
    pub(crate) fn flow(&self) -> Flow {
        let known = *self.stopped();
        match (known, self.ledger.trouble()) {
            (Some((_, since)), Some(trouble)) | (Some((trouble, since)), None) => {
                Flow::Stopped { trouble, since }
            }
            (None, Some(trouble)) => Flow::Stopped { trouble, since: self.clock.now() },
            (None, None) => Flow::Open,
        }
    }

    /// Whether something may leave.
    pub(super) fn is_open(&self) -> bool {
        self.stopped().is_none() && self.ledger.trouble().is_none()
    }

    /// Results that wait to be recorded.
    pub(crate) fn waiting(&self) -> usize {
        self.state.waiting.load(Ordering::Acquire)
    }

    /// Waits until the ledger takes writes and everything that is known is recorded. One caller at a time.
    pub(super) async fn pass(&self) {
        if !self.is_open() {
            self.until_written().await;
            self.state.again.notify_waiters();
            self.until_recorded().await;
            *self.stopped() = None;
            self.state.again.notify_waiters();
        }
    }

    /// At the start of a process nothing is known: one that begins on a full disk would find out by deliveries that it
    /// cannot record.
    pub(super) async fn first(&self) {
        self.until_written().await;
        *self.stopped() = None;
    }

    async fn until_written(&self) {
        let mut wait = LOOK_FIRST;
        loop {
            let probe = tokio::time::timeout(PROBE_LIMIT, self.ledger.probe());
            let written = matches!(probe.await, Ok(Ok(())));
            let trouble = self.ledger.trouble();
            if written && trouble.is_none() {
                return;
            }
            let trouble = trouble.unwrap_or(Trouble::Away);
            let now = self.clock.now();
            {
                let mut stopped = self.stopped();
                let since = stopped.map_or(now, |(_, since)| since);
                *stopped = Some((trouble, since));
            }
            self.clock.sleep_until(Timer::LedgerLook, now.plus(wait)).await;
            wait = (wait * 2).min(LOOK_MAX);
        }
    }

    /// Ends early when writes fail once more: then it begins anew.
    async fn until_recorded(&self) {
        loop {
            let recorded = self.state.recorded.notified();
            if self.waiting() == 0 {
                return;
            }
            if self.ledger.trouble().is_some() {
                self.until_written().await;
                self.state.again.notify_waiters();
            }
            let look = self.clock.now().plus(LOOK_FIRST);
            // Whoever began to wait just now has not heard of it.
            self.state.again.notify_waiters();
            tokio::select! {
                () = recorded => {}
                () = self.clock.sleep_until(Timer::LedgerLook, look) => {}
            }
        }
    }

    /// Counts a result that waits, until this is dropped.
    pub(super) fn wait_in_line(&self) -> InLine {
        self.state.waiting.fetch_add(1, Ordering::AcqRel);
        InLine(self.state.clone())
    }

    /// Returns when it makes sense to try to record something again.
    pub(super) async fn again(&self, at_the_latest: Timestamp) {
        let again = self.state.again.notified();
        tokio::select! {
            () = again => {}
            () = self.clock.sleep_until(Timer::ResultRetry, at_the_latest) => {}
        }
    }
}

/// A result that waits to be recorded.
pub(super) struct InLine(Arc<ValveState>);

impl Drop for InLine {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
        self.0.recorded.notify_waiters();
    }
}
