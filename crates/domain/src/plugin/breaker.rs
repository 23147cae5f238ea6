//! A plugin that fails again and again is left alone for a while.
//!
//! A pure state machine like that of a receiver's [health](crate::delivery), moved by how each call ended: an error, a
//! limit of time and a crash of the process are failures, a veto is none.
//!
//! | state | calls | a success | a failure |
//! |---|---|---|---|
//! | closed | all | stays closed | suspended at [`FAILURES_MAX`] in a row |
//! | suspended | none until its end, then one trial | of a call from before: nothing | of a call from before: nothing |
//! | probing | none but the trial | closed | suspended again, for twice as long |

use std::time::Duration;

use crate::time::Timestamp;

/// So many failures in a row suspend a plugin.
pub const FAILURES_MAX: u32 = 5;
/// How long it is suspended the first time; doubles with each failed trial.
pub const SUSPENSION: Duration = Duration::from_secs(30);
/// It is never suspended longer.
pub const SUSPENSION_MAX: Duration = Duration::from_secs(600);
/// A trial that nobody heard of again for so long does not keep the next one from being made.
pub const TRIAL_MAX: Duration = Duration::from_secs(60);

/// Whether a plugin is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum State {
    /// Calls go to it as usual.
    #[default]
    Closed,
    /// Nothing goes to it until then; one trial afterwards.
    Suspended {
        /// The end of it.
        until: Timestamp,
    },
    /// The trial is on its way.
    Probing {
        /// After this another one may be made.
        until: Timestamp,
    },
}

impl State {
    /// The word that users see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Suspended { .. } => "suspended",
            Self::Probing { .. } => "probing",
        }
    }
}

/// What to do with a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// The call is made.
    Call,
    /// Make it; no other is made until its outcome is recorded.
    Trial,
    /// Do without the plugin.
    Suspended {
        /// When the next trial may be made.
        until: Timestamp,
        /// The last failure.
        reason: String,
    },
}

/// A suspension that has just begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspension {
    /// The end of it.
    pub until: Timestamp,
    /// The failure that caused it.
    pub reason: String,
    /// Failures in a row so far.
    pub failures: u32,
}

/// How a plugin does. A fresh one is closed; start with a fresh one when the plugin is enabled or updated.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Breaker {
    state: State,
    /// Failures in a row.
    failures: u32,
    /// Suspensions since it was closed last.
    suspensions: u32,
    /// The last failure since it was closed last.
    reason: String,
}

impl Breaker {
    /// Whether the plugin is called at `now`. A suspension that has ended stays one until a trial is made.
    pub fn state(&self, now: Timestamp) -> State {
        match self.state {
            // Nobody heard of the trial again.
            State::Probing { until } if until <= now => State::Suspended { until },
            state => state,
        }
    }

    /// The last failure, while there are failures in a row.
    pub fn reason(&self) -> Option<&str> {
        (self.failures > 0).then_some(self.reason.as_str())
    }

    /// Asks before a call. The outcome of a call that was made has to be recorded.
    pub fn ask(&mut self, now: Timestamp) -> Ask {
        match self.state(now) {
            State::Closed => Ask::Call,
            State::Suspended { until } if until <= now => {
                self.state = State::Probing { until: now.plus(TRIAL_MAX) };
                Ask::Trial
            }
            State::Suspended { until } | State::Probing { until } => {
                Ask::Suspended { until, reason: self.reason.clone() }
            }
        }
    }

    /// Records a call that ended well, a veto too. True when the plugin works again after a suspension.
    pub fn succeeded(&mut self, now: Timestamp) -> bool {
        match self.state(now) {
            // A call from before the suspension.
            State::Suspended { .. } => false,
            state => {
                *self = Self::default();
                state != State::Closed
            }
        }
    }

    /// Records a call that failed. `Some` exactly when this suspends the plugin, so that it is told once.
    pub fn failed(&mut self, now: Timestamp, reason: &str) -> Option<Suspension> {
        let state = self.state(now);
        if let State::Suspended { .. } = state {
            // A call from before the suspension.
            return None;
        }
        self.failures = self.failures.saturating_add(1);
        reason.clone_into(&mut self.reason);
        if state == State::Closed && self.failures < FAILURES_MAX {
            return None;
        }
        let wait = SUSPENSION.saturating_mul(1 << self.suspensions.min(10)).min(SUSPENSION_MAX);
        self.suspensions = self.suspensions.saturating_add(1);
        let until = now.plus(wait);
        self.state = State::Suspended { until };
        Some(Suspension { until, reason: reason.to_owned(), failures: self.failures })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn suspended() -> Breaker {
        let mut breaker = Breaker::default();
        for second in 0..4 {
            assert_eq!(breaker.failed(at(second), "slow"), None);
        }
        let suspension = breaker.failed(at(4), "threw").unwrap();
        assert_eq!(suspension, Suspension { until: at(34), reason: "threw".into(), failures: 5 });
        breaker
    }

    #[test]
    fn five_failures_in_a_row_suspend_and_a_success_between_starts_the_count_anew() {
        let mut breaker = Breaker::default();
        for _ in 0..4 {
            assert_eq!(breaker.failed(at(0), "x"), None);
        }
        assert_eq!(breaker.reason(), Some("x"));
        assert!(!breaker.succeeded(at(0)));
        assert_eq!(breaker, Breaker::default());
        let mut breaker = suspended();
        assert_eq!(breaker.state(at(10)).as_str(), "suspended");
        let refused = Ask::Suspended { until: at(34), reason: "threw".into() };
        assert_eq!(breaker.ask(at(33)), refused);
    }

    #[test]
    fn one_trial_goes_out_and_its_success_closes() {
        let mut breaker = suspended();
        assert_eq!(breaker.ask(at(34)), Ask::Trial);
        assert_eq!(breaker.state(at(34)).as_str(), "probing");
        assert!(matches!(breaker.ask(at(34)), Ask::Suspended { .. }));
        assert!(breaker.succeeded(at(35)), "it works again");
        assert_eq!((breaker.ask(at(35)), breaker.reason()), (Ask::Call, None));
    }

    #[test]
    fn suspensions_double_to_ten_minutes_and_late_outcomes_do_not_count() {
        let mut breaker = suspended();
        assert_eq!(breaker.failed(at(5), "late"), None);
        assert!(!breaker.succeeded(at(5)));
        let mut now = 34;
        for wait in [60, 120, 240, 480, 600, 600] {
            assert_eq!(breaker.ask(at(now)), Ask::Trial);
            let suspension = breaker.failed(at(now), "again").unwrap();
            assert_eq!(suspension.until, at(now + wait));
            now += wait;
        }
    }

    #[test]
    fn a_trial_that_is_never_heard_of_again_is_followed_by_another() {
        let mut breaker = suspended();
        assert_eq!(breaker.ask(at(40)), Ask::Trial);
        assert!(matches!(breaker.ask(at(99)), Ask::Suspended { until, .. } if until == at(100)));
        assert_eq!(breaker.ask(at(100)), Ask::Trial);
    }

    proptest! {
        /// Whatever happens: never two trials at once, no suspension beyond its limit, each told once.
        #[test]
        fn it_is_never_stuck_and_tells_each_suspension_once(
            steps in prop::collection::vec((0i64..700, 0u8..3), 1..200)
        ) {
            let (mut breaker, mut now) = (Breaker::default(), 0);
            for (wait, step) in steps {
                now += wait;
                let before = breaker.state(at(now));
                match step {
                    0 => match breaker.ask(at(now)) {
                        Ask::Call => prop_assert_eq!(before, State::Closed),
                        Ask::Trial => {
                            let due = matches!(before, State::Suspended { until } if until <= at(now));
                            prop_assert!(due);
                        }
                        Ask::Suspended { until, .. } => {
                            prop_assert!(until > at(now) && until.since(at(now)) <= SUSPENSION_MAX);
                        }
                    },
                    1 => {
                        let again = breaker.succeeded(at(now));
                        prop_assert_eq!(again, matches!(before, State::Probing { .. }));
                    }
                    _ => {
                        let told = breaker.failed(at(now), "x").is_some();
                        let is = matches!(breaker.state(at(now)), State::Suspended { .. });
                        let was = matches!(before, State::Suspended { .. });
                        prop_assert_eq!(told, is && !was);
                    }
                }
            }
            now += 601;
            let refused = matches!(breaker.ask(at(now)), Ask::Suspended { .. });
            prop_assert!(!refused);
        }
    }
}
