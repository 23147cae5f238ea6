//! A clock that a test moves.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::{Clock, Timer, Timestamp, time::BoxFuture};
use tokio::sync::watch;

use crate::START;

/// Stands still until it is advanced. Clones show the same time.
#[derive(Clone)]
pub struct ManualClock {
    now: watch::Sender<Timestamp>,
    /// What somebody sleeps for right now, and until when.
    sleepers: Arc<Mutex<Vec<(Timer, Timestamp)>>>,
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

    /// Waits until somebody sleeps by this name, and says until when; the earliest of several.
    pub async fn awaited(&self, timer: Timer) -> Timestamp {
        let mut changed = self.changed.subscribe();
        loop {
            if let Some(at) = self.next(timer) {
                return at;
            }
            changed.changed().await.unwrap();
        }
    }

    /// Waits until somebody sleeps by this name until exactly then.
    pub async fn awaited_until(&self, timer: Timer, at: Timestamp) {
        let mut changed = self.changed.subscribe();
        while !self.lock().contains(&(timer, at)) {
            changed.changed().await.unwrap();
        }
    }

    /// Waits until somebody sleeps by this name for no longer than `most`, and lets that time come.
    pub async fn fire_within(&self, timer: Timer, most: Duration) {
        let mut changed = self.changed.subscribe();
        loop {
            let now = self.now();
            if let Some(at) = self.next(timer).filter(|at| at.since(now) <= most) {
                return self.advance(at.since(now));
            }
            changed.changed().await.unwrap();
        }
    }

    /// Waits until somebody sleeps by this name and lets that time come. How long it was.
    pub async fn fire(&self, timer: Timer) -> Duration {
        let at = self.awaited(timer).await;
        let wait = at.since(self.now());
        self.advance(wait);
        wait
    }

    /// The earliest sleep of a name that is not over.
    fn next(&self, timer: Timer) -> Option<Timestamp> {
        let now = self.now();
        let sleepers = self.lock();
        let named = sleepers.iter().filter(|(name, at)| *name == timer && *at > now);
        named.map(|(_, at)| *at).min()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(Timer, Timestamp)>> {
        self.sleepers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Is on the list as long as it lives.
struct Sleeper {
    clock: ManualClock,
    sleep: (Timer, Timestamp),
}

impl Sleeper {
    fn new(clock: ManualClock, sleep: (Timer, Timestamp)) -> Self {
        clock.lock().push(sleep);
        clock.changed.send_modify(|version| *version += 1);
        Self { clock, sleep }
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let mut sleepers = self.clock.lock();
        if let Some(index) = sleepers.iter().position(|sleep| *sleep == self.sleep) {
            sleepers.swap_remove(index);
        }
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.now.borrow()
    }

    fn sleep_until(&self, timer: Timer, at: Timestamp) -> BoxFuture<()> {
        let clock = self.clone();
        Box::pin(async move {
            let mut now = clock.now.subscribe();
            let _sleeper = Sleeper::new(clock, (timer, at));
            while *now.borrow_and_update() < at {
                now.changed().await.unwrap();
            }
        })
    }
}
