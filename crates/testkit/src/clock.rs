//! A clock that a test moves.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::{Clock, Timestamp, time::BoxFuture};
use tokio::sync::watch;

use crate::START;

/// Stands still until it is advanced. Clones show the same time.
#[derive(Clone)]
pub struct ManualClock {
    now: watch::Sender<Timestamp>,
    /// What somebody sleeps for right now.
    sleepers: Arc<Mutex<Vec<Timestamp>>>,
    changed: watch::Sender<u64>,
}

impl Default for ManualClock {
    fn default() -> Self {
        Self {
            now: watch::Sender::new(START),
            sleepers: Arc::default(),
            changed: watch::Sender::new(0),
        }
    }
}

impl ManualClock {
    /// Lets time pass; every sleep that is over ends.
    pub fn advance(&self, by: Duration) {
        self.now.send_modify(|now| *now = now.plus(by));
    }

    /// Waits until somebody sleeps for exactly this time.
    pub async fn awaited(&self, at: Timestamp) {
        let mut changed = self.changed.subscribe();
        while !self.lock().contains(&at) {
            changed.changed().await.unwrap();
        }
    }

    /// Waits until somebody sleeps for a time that fits, and says which.
    pub async fn awaited_within(&self, from: Duration, to: Duration) -> Timestamp {
        let now = self.now();
        let mut changed = self.changed.subscribe();
        loop {
            let found =
                self.lock().iter().copied().find(|at| *at >= now.plus(from) && *at <= now.plus(to));
            if let Some(at) = found {
                return at;
            }
            changed.changed().await.unwrap();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Timestamp>> {
        self.sleepers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Is on the list as long as it lives.
struct Sleeper {
    clock: ManualClock,
    at: Timestamp,
}

impl Sleeper {
    fn new(clock: ManualClock, at: Timestamp) -> Self {
        clock.lock().push(at);
        clock.changed.send_modify(|version| *version += 1);
        Self { clock, at }
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let mut sleepers = self.clock.lock();
        if let Some(place) = sleepers.iter().position(|at| *at == self.at) {
            sleepers.swap_remove(place);
        }
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.now.borrow()
    }

    fn sleep_until(&self, at: Timestamp) -> BoxFuture<()> {
        let clock = self.clone();
        Box::pin(async move {
            let mut now = clock.now.subscribe();
            let _sleeper = Sleeper::new(clock, at);
            while *now.borrow_and_update() < at {
                now.changed().await.unwrap();
            }
        })
    }
}
