//! How a receiver does: the breaker, the ordered catch-up after it, and the pause after days without a success.
//!
//! A pure state machine, moved by the outcome of each attempt and stored with the webhook in the transaction that
//! records the attempt. A receiver that never fails never changes it.
//!
//! | state | lanes on the way at once | a success | a failure |
//! |---|---|---|---|
//! | closed | as the policy says | stays closed | opens at [`STREAK_MAX`] in a row, or at [`RATE_PERCENT`] of at least [`RATE_LEAST`] within [`RATE_WINDOW`] |
//! | open | none until the cool-down ends, then one probe | catch-up | the probe's opens it again, for twice as long |
//! | catch-up | [`CATCH_UP_LANES`] | closed after [`CATCH_UP_SUCCESSES`] | counts as when closed |
//! | paused | none | – | – |

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// So many failures in a row open the breaker.
pub const STREAK_MAX: u32 = 5;
/// So many percent of failures open it.
pub const RATE_PERCENT: u32 = 70;
/// Of at least so many attempts.
pub const RATE_LEAST: u32 = 10;
/// The failures are counted within this time.
pub const RATE_WINDOW: Duration = Duration::from_secs(300);
/// How long it stays open the first time; doubles with each opening.
pub const COOL_DOWN: Duration = Duration::from_secs(30);
/// It never stays open longer.
pub const COOL_DOWN_MAX: Duration = Duration::from_secs(600);
/// Lanes on the way at once while a receiver catches up.
pub const CATCH_UP_LANES: u32 = 2;
/// Successes that end the catch-up.
pub const CATCH_UP_SUCCESSES: u32 = 20;
/// Without any success for so long a webhook is paused.
pub const PAUSE_AFTER: Duration = Duration::from_secs(5 * 86_400);

/// Whether a failing receiver is called.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Breaker {
    /// Deliveries leave as usual.
    #[default]
    Closed,
    /// Nothing may leave until then; one probe afterwards.
    Open {
        /// The end of the cool-down.
        until: Timestamp,
    },
    /// The receiver works again and gets what waits, slowly.
    CatchUp {
        /// Successes that are still needed.
        left: u32,
    },
}

impl Breaker {
    /// The word that the API uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open { .. } => "open",
            Self::CatchUp { .. } => "catch_up",
        }
    }
}

/// Attempts counted from the first failure on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureWindow {
    /// When the first of them failed.
    pub since: Timestamp,
    /// All of them, whatever their state.
    pub total: u32,
    /// How many of them failed.
    pub failed: u32,
}

/// Why a webhook is paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PauseReason {
    /// Somebody asked for it.
    Requested,
    /// No success for [`PAUSE_AFTER`].
    NoSuccess,
}

impl PauseReason {
    /// The word that the API uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::NoSuccess => "no_success",
        }
    }
}

/// A pause: events are recorded and wait, nothing leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// The time at which it began.
    pub at: Timestamp,
    /// The reason that is shown to people.
    pub reason: PauseReason,
}

/// How a receiver does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Health {
    /// Whether the receiver is called.
    pub breaker: Breaker,
    /// Failures in a row.
    pub streak: u32,
    /// Recent attempts, while there are failures among them.
    pub window: Option<FailureWindow>,
    /// Openings since it was last closed for good.
    pub openings: u32,
    /// The first failure after the last success.
    pub failing_since: Option<Timestamp>,
    /// Nothing leaves until it is resumed.
    pub pause: Option<Pause>,
}

/// What an outcome changed that others want to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealthChange {
    /// The breaker opened, until then.
    Opened(Timestamp),
    /// The receiver works again.
    Recovered,
    /// The webhook is paused.
    Paused,
}

impl Health {
    /// Whether everything is well and a success would change nothing.
    pub fn is_sound(&self) -> bool {
        *self == Self::default()
    }

    /// Whether its lanes count as doubtful: they may use only a part of the places.
    pub fn is_failing(&self) -> bool {
        self.streak > 0 || self.breaker != Breaker::Closed
    }

    /// Lanes that may be on the way at once; `None` means no limit of the breaker's.
    pub fn lanes_max(&self, now: Timestamp) -> Option<u32> {
        match self.breaker {
            _ if self.pause.is_some() => Some(0),
            Breaker::Closed => None,
            Breaker::Open { until } => Some(u32::from(until <= now)),
            Breaker::CatchUp { .. } => Some(CATCH_UP_LANES),
        }
    }

    /// Nothing of it is worth a look before this.
    pub fn held_until(&self) -> Option<Timestamp> {
        match self.breaker {
            _ if self.pause.is_some() => Some(Timestamp::from_millis(i64::MAX)),
            Breaker::Open { until } => Some(until),
            Breaker::Closed | Breaker::CatchUp { .. } => None,
        }
    }

    /// Records the outcome of an attempt that ended at `now`.
    pub fn record(&mut self, now: Timestamp, success: bool) -> Option<HealthChange> {
        if success { self.succeeded(now) } else { self.failed(now) }
    }

    fn succeeded(&mut self, now: Timestamp) -> Option<HealthChange> {
        (self.streak, self.failing_since) = (0, None);
        self.count(now, false);
        match self.breaker {
            Breaker::Closed => None,
            Breaker::Open { .. } => {
                self.breaker = Breaker::CatchUp { left: CATCH_UP_SUCCESSES };
                self.window = None;
                Some(HealthChange::Recovered)
            }
            Breaker::CatchUp { left } if left > 1 => {
                self.breaker = Breaker::CatchUp { left: left - 1 };
                None
            }
            Breaker::CatchUp { .. } => {
                (self.breaker, self.openings) = (Breaker::Closed, 0);
                None
            }
        }
    }

    fn failed(&mut self, now: Timestamp) -> Option<HealthChange> {
        self.streak = self.streak.saturating_add(1);
        let since = *self.failing_since.get_or_insert(now);
        self.count(now, true);
        let bad = match self.breaker {
            // A call from before the opening: nothing new.
            Breaker::Open { until } => until <= now,
            Breaker::Closed | Breaker::CatchUp { .. } => self.is_bad(),
        };
        if bad {
            self.open(now);
        }
        if self.pause.is_none() && now.since(since) >= PAUSE_AFTER {
            self.pause = Some(Pause { at: now, reason: PauseReason::NoSuccess });
            return Some(HealthChange::Paused);
        }
        match self.breaker {
            Breaker::Open { until } if bad => Some(HealthChange::Opened(until)),
            _ => None,
        }
    }

    fn count(&mut self, now: Timestamp, failed: bool) {
        let old = self.window.filter(|window| now.since(window.since) <= RATE_WINDOW);
        self.window = match old {
            Some(window) => Some(FailureWindow {
                total: window.total.saturating_add(1),
                failed: window.failed + u32::from(failed),
                ..window
            }),
            None if failed => Some(FailureWindow { since: now, total: 1, failed: 1 }),
            None => None,
        };
    }

    fn is_bad(&self) -> bool {
        let rate = self.window.is_some_and(|window| {
            window.total >= RATE_LEAST && window.failed * 100 >= window.total * RATE_PERCENT
        });
        self.streak >= STREAK_MAX || rate
    }

    fn open(&mut self, now: Timestamp) {
        let wait = COOL_DOWN.saturating_mul(1 << self.openings.min(10)).min(COOL_DOWN_MAX);
        self.openings = self.openings.saturating_add(1);
        self.breaker = Breaker::Open { until: now.plus(wait) };
        self.window = None;
    }

    /// Stops everything until it is resumed; keeps an earlier pause.
    pub fn pause(&mut self, at: Timestamp, reason: PauseReason) {
        self.pause.get_or_insert(Pause { at, reason });
    }

    /// Ends a pause. A receiver that was failing gets its chance at once, one probe first.
    pub fn resume(&mut self, now: Timestamp) {
        self.pause = None;
        // Another five days.
        self.failing_since = None;
        if let Breaker::Open { .. } = self.breaker {
            self.breaker = Breaker::Open { until: now };
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn opened() -> Health {
        let mut health = Health::default();
        for second in 0..4 {
            assert_eq!(health.record(at(second), false), None);
        }
        assert_eq!(health.record(at(4), false), Some(HealthChange::Opened(at(34))));
        health
    }

    #[test]
    fn a_receiver_that_never_fails_changes_nothing() {
        let mut health = Health::default();
        for second in 0..100 {
            assert_eq!(health.record(at(second), true), None);
            assert!(health.is_sound());
        }
    }

    #[test]
    fn it_opens_on_a_streak_and_lets_one_probe_out() {
        let health = opened();
        assert_eq!(health.lanes_max(at(33)), Some(0));
        assert_eq!(health.lanes_max(at(34)), Some(1));
        assert_eq!(health.held_until(), Some(at(34)));
    }

    #[test]
    fn it_opens_on_a_rate() {
        let mut health = Health::default();
        let mut opened = None;
        // Three failures, one success, and so on: never five in a row.
        for second in 0..30 {
            let change = health.record(at(second), second % 4 == 3);
            if let Some(HealthChange::Opened(_)) = change {
                opened = Some(second);
                break;
            }
        }
        assert_eq!(opened, Some(9), "at the tenth attempt, eight of which failed");
        let mut slow = Health::default();
        for minute in 0..40 {
            assert_eq!(
                slow.record(at(minute * 200), minute % 4 == 3),
                None,
                "too few within 5 min"
            );
        }
    }

    #[test]
    fn cool_downs_double_to_ten_minutes_and_late_answers_do_not_count() {
        let mut health = opened();
        assert_eq!(health.record(at(20), false), None, "a call from before the opening");
        let mut now = 34;
        for wait in [60, 120, 240, 480, 600, 600] {
            assert_eq!(health.record(at(now), false), Some(HealthChange::Opened(at(now + wait))));
            now += wait;
        }
    }

    #[test]
    fn a_probe_that_succeeds_starts_a_slow_catch_up() {
        let mut health = opened();
        assert_eq!(health.record(at(34), true), Some(HealthChange::Recovered));
        for _ in 0..CATCH_UP_SUCCESSES {
            assert_eq!(health.lanes_max(at(40)), Some(CATCH_UP_LANES));
            assert!(health.is_failing());
            health.record(at(40), true);
        }
        assert!(health.is_sound(), "{health:?}");
        // A relapse while catching up opens for longer.
        let mut health = opened();
        health.record(at(34), true);
        let changes: Vec<_> = (0..5).filter_map(|n| health.record(at(40 + n), false)).collect();
        assert_eq!(changes, [HealthChange::Opened(at(104))]);
    }

    #[test]
    fn five_days_without_a_success_pause_it_and_a_resume_probes_at_once() {
        let mut health = opened();
        let day = 86_400;
        assert!(!matches!(health.record(at(5 * day - 1), false), Some(HealthChange::Paused)));
        assert_eq!(health.record(at(5 * day), false), Some(HealthChange::Paused));
        assert_eq!(health.lanes_max(at(99 * day)), Some(0));
        health.resume(at(6 * day));
        assert_eq!(health.lanes_max(at(6 * day)), Some(1));
        assert_ne!(health.record(at(6 * day), false), Some(HealthChange::Paused));
    }

    #[test]
    fn it_is_stored_and_read_back() {
        let mut health = opened();
        health.pause(at(50), PauseReason::Requested);
        for health in [health, Health::default(), opened()] {
            let text = serde_json::to_string(&health).unwrap();
            assert_eq!(serde_json::from_str::<Health>(&text).unwrap(), health, "{text}");
        }
    }

    proptest! {
        #[test]
        fn it_never_locks_up(outcomes in proptest::collection::vec((0i64..100, any::<bool>()), 1..200)) {
            let (mut health, mut now) = (Health::default(), 0);
            for (step, success) in outcomes {
                now += step;
                health.record(at(now), success);
                // At the latest ten minutes on something may leave.
                prop_assert_ne!(health.lanes_max(at(now).plus(COOL_DOWN_MAX)), Some(0));
            }
            for _ in 0..=CATCH_UP_SUCCESSES { health.record(at(now), true); }
            prop_assert_eq!(health.lanes_max(at(now)), None);
        }
    }
}
