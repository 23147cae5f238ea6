//! Exponential backoff with jitter, as a pure function of the attempt and a random fraction.

use std::time::Duration;

/// How long to wait between tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The wait after the first failure.
    pub base: Duration,
    /// No wait is longer than this (before jitter).
    pub cap: Duration,
    /// How far a wait may differ from the plan, in percent of it, both ways.
    pub jitter_percent: u8,
}

impl Backoff {
    /// The wait after `failures` failures in a row (1 is the first), `fraction` in `0.0..1.0`.
    pub fn wait(&self, failures: u32, fraction: f64) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let planned = self.base.saturating_mul(1u32 << doublings).min(self.cap);
        let spread = f64::from(self.jitter_percent) / 100.0;
        planned.mul_f64(1.0 - spread + 2.0 * spread * fraction.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BACKOFF: Backoff =
        Backoff { base: Duration::from_secs(5), cap: Duration::from_secs(300), jitter_percent: 20 };

    #[test]
    fn doubles_up_to_the_cap() {
        let waits: Vec<u64> = (1..=8).map(|n| BACKOFF.wait(n, 0.5).as_secs()).collect();
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 300, 300]);
    }

    proptest! {
        #[test]
        fn jitter_stays_in_its_band(failures in 1u32..1000, fraction in 0.0f64..1.0) {
            let middle = BACKOFF.wait(failures, 0.5);
            let wait = BACKOFF.wait(failures, fraction);
            prop_assert!(wait >= middle.mul_f64(0.799) && wait <= middle.mul_f64(1.201));
        }
    }
}
