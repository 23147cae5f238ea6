//! The task that runs besides the claims: it adds the jobs of new lanes, sweeps, and looks for Redis while it is gone.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::delivery::LaneId;
use tokio::{sync::Notify, task::JoinHandle, time::MissedTickBehavior};

use super::{QueueInner, at_every_claim, claim::ClaimFailure, link::RedisLink};

/// Lanes whose job is not added yet. When full, the oldest are forgotten: a sweep finds them.
const OPENED_MAX: usize = 16_384;

/// Lanes that commits opened.
#[derive(Default)]
pub(super) struct OpenedLanes {
    lanes: Mutex<VecDeque<LaneId>>,
    added: Notify,
    /// HeldJob while jobs are added.
    pub(super) feeding: tokio::sync::Mutex<()>,
}

impl OpenedLanes {
    fn lock(&self) -> MutexGuard<'_, VecDeque<LaneId>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, lanes: &[LaneId]) {
        let mut waiting = self.lock();
        waiting.extend(lanes.iter().cloned());
        let over = waiting.len().saturating_sub(OPENED_MAX);
        waiting.drain(..over);
        self.added.notify_one();
    }

    pub(super) fn take(&self) -> Vec<LaneId> {
        self.lock().drain(..).collect()
    }
}

/// A task of the queue; it ends when this is dropped.
pub(super) struct FeederTask(JoinHandle<()>);

impl Drop for FeederTask {
    fn drop(&mut self) {
        self.end();
    }
}

impl FeederTask {
    pub(super) fn end(&self) {
        self.0.abort();
    }

    /// Calls `wake` while jobs wait for a worker.
    #[expect(
        clippy::disallowed_methods,
        reason = "the task belongs to the queue, which ends it when it is dropped"
    )]
    pub(super) fn watch(inner: Arc<QueueInner>, wake: Arc<dyn Fn() + Send + Sync>) -> Self {
        Self(tokio::spawn(async move {
            loop {
                tokio::time::sleep(inner.options.watch_interval).await;
                let Some(link) = inner.redis_status.link() else { continue };
                match link.waiting().await {
                    Ok((0, _)) => {}
                    Ok(_) => wake(),
                    Err(gone) => inner.lost(&link, &gone),
                }
            }
        }))
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the task belongs to the queue, which ends it when it is dropped"
    )]
    pub(super) fn start(inner: Arc<QueueInner>) -> Self {
        Self(tokio::spawn(async move {
            let sweep_interval = inner.options.sweep_interval;
            let quiet = at_every_claim(sweep_interval);
            // An interval of zero is none to tokio; it is not used then.
            let mut sweeps = tokio::time::interval(sweep_interval.max(Duration::from_millis(1)));
            sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                let Some(link) = inner.redis_status.link() else {
                    inner.look().await;
                    continue;
                };
                let sweep = tokio::select! {
                    () = inner.opened.added.notified() => false,
                    () = inner.sweeps.wanted(), if !quiet => true,
                    _ = sweeps.tick(), if !quiet => true,
                };
                inner.feed_or_sweep(&link, sweep).await;
            }
        }))
    }
}

impl QueueInner {
    /// What is to be done while Redis answers.
    async fn feed_or_sweep(&self, link: &Arc<RedisLink>, sweep: bool) {
        let done = if sweep {
            self.sweep(link, self.clock.now()).await
        } else {
            self.feed(link).await.map_err(ClaimFailure::from)
        };
        match done {
            Ok(()) => {}
            Err(ClaimFailure::Redis(gone)) => self.lost(link, &gone),
            Err(ClaimFailure::Ledger(error)) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the queue was not swept");
            }
        }
    }

    /// Waits a while, then looks whether Redis is back.
    async fn look(&self) {
        tokio::time::sleep(self.options.probe_interval).await;
        match RedisLink::open(&self.address, &self.options, self.token.clone()).await {
            Ok(link) => {
                if let Err(error) = self.welcome(Arc::new(link)).await {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the queue was not filled"
                    );
                }
            }
            Err(gone) => self.redis_status.still_down(gone),
        }
    }
}
