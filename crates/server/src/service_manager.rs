//! What the service manager is told (systemd's `Type=notify`): when the program is ready, that it stops or starts
//! again, and for its watchdog that the gateway's loops make progress. Where none asks, nothing is told to anybody.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

use gateway::{Gateway, LoopBeat};
use sd_notify::NotifyState;
use tokio::{task::JoinHandle, time::Instant};

/// A loop that has not begun a turn for so long stands still. A turn waits for the ledger at most two minutes, and a
/// restart would not make a slow ledger faster.
const STANDSTILL: Duration = Duration::from_secs(300);

/// The first answer can be given.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// What is under way is finished, then the process ends.
pub fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("finishing what is under way")]);
}

/// The same process begins again. Not a stop: its end would be waited for, and then forced.
pub fn restarting() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now, NotifyState::Status("starting again")]),
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "there is no steady clock");
        }
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(error, "the service manager (NOTIFY_SOCKET) cannot be told");
    }
}

/// Tells the service manager's watchdog that the process lives, until it is dropped. From the beginning on: a restart
/// in place does not make the watchdog wait for the upgrade of a large ledger.
pub struct Watchdog {
    task: Option<JoinHandle<()>>,
    gateway: Arc<OnceLock<Gateway>>,
}

impl Watchdog {
    /// Begins, if the service manager has a watchdog (`WATCHDOG_USEC`).
    #[expect(
        clippy::disallowed_methods,
        reason = "it watches over those that the supervisor spawns, and ends with its handle"
    )]
    pub fn begin() -> Self {
        let gateway = Arc::<OnceLock<Gateway>>::default();
        let every = sd_notify::watchdog_enabled().map(|limit| limit / 2);
        let task = every.filter(|every| !every.is_zero()).map(|every| {
            let gateway = gateway.clone();
            let beats = move || gateway.get().map(Gateway::beats).unwrap_or_default();
            tokio::spawn(watch(every, beats, || tell(&[NotifyState::Watchdog])))
        });
        Self { task, gateway }
    }

    /// From here on the loops of the gateway have to make progress, too.
    pub fn look_at(&self, gateway: &Gateway) {
        let _ = self.gateway.set(gateway.clone());
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// Says `alive` at an interval, but not while a loop stands still.
async fn watch(every: Duration, beats: impl Fn() -> Vec<LoopBeat>, alive: impl Fn()) {
    let mut watch = LoopWatch::default();
    loop {
        if watch.all_move(&beats(), Instant::now()) {
            alive();
        }
        tokio::time::sleep(every).await;
    }
}

/// What was seen of the loops so far.
#[derive(Default)]
struct LoopWatch {
    /// The turns that a loop had begun when it was last seen to have moved.
    turns: HashMap<&'static str, (u64, Instant)>,
    /// The loops of which the log says that they stand still.
    told: Vec<&'static str>,
}

impl LoopWatch {
    /// Whether every loop that has to makes progress; the log names those that do not, once.
    fn all_move(&mut self, beats: &[LoopBeat], now: Instant) -> bool {
        let still = self.standing_still(beats, now);
        if !still.is_empty() && still != self.told {
            tracing::error!(loops = ?still, "loops stand still; the watchdog may end this process");
        }
        self.told = still;
        self.told.is_empty()
    }

    fn standing_still(&mut self, beats: &[LoopBeat], now: Instant) -> Vec<&'static str> {
        let mut still = vec![];
        for beat in beats {
            let Some(turns) = beat.turns else {
                self.turns.remove(beat.name);
                continue;
            };
            let (seen, since) = self.turns.entry(beat.name).or_insert((turns, now));
            if *seen != turns {
                (*seen, *since) = (turns, now);
            } else if now.duration_since(*since) >= STANDSTILL {
                still.push(beat.name);
            }
        }
        still
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_stands_still_when_its_next_turn_does_not_come() {
        let (mut watch, begin) = (LoopWatch::default(), Instant::now());
        let mut moves = |seconds, turns| {
            let beats = [LoopBeat { name: "pump", turns }, LoopBeat { name: "rest", turns: None }];
            watch.all_move(&beats, begin + Duration::from_secs(seconds))
        };
        assert!(moves(0, Some(7)));
        assert!(moves(299, Some(7)));
        assert!(!moves(300, Some(7)));
        assert!(!moves(330, Some(7)));
        assert!(moves(360, Some(8)), "it goes on");
        assert!(moves(700, None), "it may wait");
        assert!(moves(1000, Some(8)), "what it waited does not count");
        assert!(!moves(1300, Some(8)));
    }
}
