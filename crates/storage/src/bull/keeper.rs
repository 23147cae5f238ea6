//! The task beside the claims: it adds the jobs of new lanes, sweeps, and looks for Redis while it is gone.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::delivery::LaneId;
use tokio::{sync::Notify, task::JoinHandle, time::MissedTickBehavior};

use super::{Inner, at_every_claim, claim::Failure, link::Link};

/// Lanes whose job is not added yet. When full, the oldest are forgotten: a sweep finds them.
const NEWS_MAX: usize = 16_384;

/// Lanes that commits opened.
#[derive(Default)]
pub(super) struct News {
    lanes: Mutex<VecDeque<LaneId>>,
    told: Notify,
    /// Held while jobs are added.
    pub(super) feeding: tokio::sync::Mutex<()>,
}

impl News {
    fn lock(&self) -> MutexGuard<'_, VecDeque<LaneId>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tell(&self, lanes: &[LaneId]) {
        let mut waiting = self.lock();
        waiting.extend(lanes.iter().cloned());
        let over = waiting.len().saturating_sub(NEWS_MAX);
        waiting.drain(..over);
        self.told.notify_one();
    }

    pub(super) fn take(&self) -> Vec<LaneId> {
        self.lock().drain(..).collect()
    }
}

/// A task; it ends when this is dropped.
pub(super) struct Keeper(JoinHandle<()>);

impl Drop for Keeper {
    fn drop(&mut self) {
        self.end();
    }
}

impl Keeper {
    pub(super) fn end(&self) {
        self.0.abort();
    }

    /// Calls `wake` while jobs wait for a worker.
    #[expect(
        clippy::disallowed_methods,
        reason = "the task belongs to the queue, which ends it when it is dropped"
    )]
    pub(super) fn watch(inner: Arc<Inner>, wake: Arc<dyn Fn() + Send + Sync>) -> Self {
        Self(tokio::spawn(async move {
            loop {
                tokio::time::sleep(inner.options.watch_interval).await;
                let Some(link) = inner.standing.link() else { continue };
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
    pub(super) fn start(inner: Arc<Inner>) -> Self {
        Self(tokio::spawn(async move {
            let sweep_interval = inner.options.sweep_interval;
            let quiet = at_every_claim(sweep_interval);
            // An interval of zero is none to tokio; it is not used then.
            let mut sweeps = tokio::time::interval(sweep_interval.max(Duration::from_millis(1)));
            sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                let Some(link) = inner.standing.link() else {
                    inner.look().await;
                    continue;
                };
                let sweep = tokio::select! {
                    () = inner.news.told.notified() => false,
                    () = inner.sweeps.wanted(), if !quiet => true,
                    _ = sweeps.tick(), if !quiet => true,
                };
                inner.keep(&link, sweep).await;
            }
        }))
    }
}

impl Inner {
    /// What is to be done while Redis answers.
    async fn keep(&self, link: &Arc<Link>, sweep: bool) {
        let done = if sweep {
            self.sweep(link, self.clock.now()).await
        } else {
            self.feed(link).await.map_err(Failure::from)
        };
        match done {
            Ok(()) => {}
            Err(Failure::Redis(gone)) => self.lost(link, &gone),
            Err(Failure::Ledger(error)) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the queue was not swept");
            }
        }
    }

    /// Waits a while, then looks whether Redis is back.
    async fn look(&self) {
        tokio::time::sleep(self.options.probe_interval).await;
        match Link::open(&self.address, &self.options, self.token.clone()).await {
            Ok(link) => {
                if let Err(error) = self.welcome(Arc::new(link)).await {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the queue was not filled"
                    );
                }
            }
            Err(gone) => self.standing.still_down(gone),
        }
    }
}
