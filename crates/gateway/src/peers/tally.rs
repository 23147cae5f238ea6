//! How the requests that were handed over ended.

use std::sync::atomic::{AtomicU64, Ordering};

use super::HandOverError;

/// As the label says it.
const OUTCOMES: [&str; 5] = ["answered", "unreachable", "not_there", "timeout", "lost"];

/// Counts since the start.
#[derive(Default)]
pub(super) struct HandOverTally([AtomicU64; OUTCOMES.len()]);

impl HandOverTally {
    /// One more; without an error it was answered.
    pub(super) fn count(&self, error: Option<&HandOverError>) {
        let class = match error {
            None => 0,
            Some(
                HandOverError::NoAddress | HandOverError::Unreachable(_) | HandOverError::Refused,
            ) => 1,
            Some(HandOverError::NotThere) => 2,
            Some(HandOverError::Silent) => 3,
            Some(HandOverError::BrokenOff(_)) => 4,
        };
        self.0[class].fetch_add(1, Ordering::Relaxed);
    }

    /// Each outcome with its count.
    pub(super) fn read(&self) -> [(&'static str, u64); OUTCOMES.len()] {
        std::array::from_fn(|class| (OUTCOMES[class], self.0[class].load(Ordering::Relaxed)))
    }
}
