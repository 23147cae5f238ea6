//! The only place that spawns. Every task has a name and a policy.
//!
//! | policy | ends early or returns an error | panics | at shutdown |
//! |---|---|---|---|
//! | [`Policy::Essential`] | the process fails | the process fails | told by the soft token, waited for, cut at the limit |
//! | [`Policy::Once`] | that is its job | logged; its owner sees it ended | the same |

mod pulse;

use std::{
    collections::HashMap,
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::FutureExt as _;
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use pulse::LoopPulses;
pub use pulse::{LoopBeat, LoopPulse};

/// What a task's end means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Runs until shutdown; anything else fails the process.
    Essential,
    /// Has an end of its own.
    Once,
}

/// How a task ended, for whoever waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The task returned by itself.
    Finished,
    /// It panicked; what it held is dropped, nothing else is touched.
    Panicked,
    /// It was cut at the shutdown limit.
    Cut,
}

/// Spawns, watches and stops the tasks of the gateway. Cheap to clone.
#[derive(Clone)]
pub struct Supervisor {
    tracker: TaskTracker,
    soft: CancellationToken,
    hard: CancellationToken,
    failure: Arc<watch::Sender<Option<String>>>,
    running: Arc<Mutex<HashMap<u64, String>>>,
    started: Arc<AtomicU64>,
    pulses: LoopPulses,
}

impl Default for Supervisor {
    fn default() -> Self {
        Self::new()
    }
}

impl Supervisor {
    /// A supervisor that runs nothing yet.
    pub fn new() -> Self {
        Self {
            tracker: TaskTracker::new(),
            soft: CancellationToken::new(),
            hard: CancellationToken::new(),
            failure: Arc::new(watch::Sender::new(None)),
            running: Arc::default(),
            started: Arc::default(),
            pulses: LoopPulses::default(),
        }
    }

    /// Runs a task. The answer tells how it ended; dropping it changes nothing.
    #[expect(clippy::disallowed_methods, reason = "the one place that spawns")]
    pub fn spawn(
        &self,
        name: impl Into<String>,
        policy: Policy,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> watch::Receiver<Option<Ending>> {
        let (tell, told) = watch::channel(None);
        let (name, this) = (name.into(), self.clone());
        // In a place of its own: a task that is moved through the layers below would be stored in each of them.
        let task = AssertUnwindSafe(Box::pin(task)).catch_unwind();
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        this.list(|running| running.insert(number, name.clone()));
        tokio::spawn(self.tracker.track_future(async move {
            let hard = this.hard.clone();
            let ending = tokio::select! {
                // In a fixed order, so that simulations repeat.
                biased;
                ended = task => {
                    if ended.is_ok() { Ending::Finished } else { Ending::Panicked }
                }
                () = hard.cancelled() => Ending::Cut,
            };
            this.list(|running| running.remove(&number));
            this.judge(&name, policy, ending);
            let _ = tell.send(Some(ending));
        }));
        told
    }

    fn judge(&self, name: &str, policy: Policy, ending: Ending) {
        if ending == Ending::Panicked {
            tracing::error!(task = name, "a task panicked");
        }
        if policy == Policy::Essential && ending != Ending::Cut && !self.soft.is_cancelled() {
            self.failure.send_replace(Some(name.to_owned()));
        }
    }

    fn list<T>(&self, change: impl FnOnce(&mut HashMap<u64, String>) -> T) -> T {
        change(&mut self.running.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What a loop that must not stand still tells its turns to; its name is that of its task.
    pub fn pulse(&self, name: &'static str) -> LoopPulse {
        self.pulses.begin(name)
    }

    /// How far the loops with a pulse have come.
    pub fn beats(&self) -> Vec<LoopBeat> {
        self.pulses.beats()
    }

    /// Cancelled when the shutdown begins: take no more work.
    pub fn stopping(&self) -> CancellationToken {
        self.soft.clone()
    }

    /// Cancelled at the shutdown's limit.
    pub fn cut(&self) -> CancellationToken {
        self.hard.clone()
    }

    /// Asks every task to finish, waits up to the limit, then cuts. Idempotent.
    pub async fn shutdown(&self, limit: Duration) {
        self.soft.cancel();
        self.tracker.close();
        if tokio::time::timeout(limit, self.tracker.wait()).await.is_err() {
            self.list(
                |running| tracing::warn!(tasks = ?running.values(), "cut at the shutdown limit"),
            );
            self.hard.cancel();
            self.tracker.wait().await;
        }
    }

    /// Completes with the name of an essential task that ended.
    pub async fn failed(&self) -> String {
        let mut failure = self.failure.subscribe();
        loop {
            let name = failure.borrow_and_update().clone();
            if let Some(name) = name {
                return name;
            }
            if failure.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }
}
