//! The real clock, the real randomness, and how much memory this process uses.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use domain::{Clock, Entropy, Timestamp, time::BoxFuture};
use rand::Rng as _;

/// The operating system's clock.
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    fn sleep_until(&self, at: Timestamp) -> BoxFuture<()> {
        let wait = at.since(self.now());
        Box::pin(tokio::time::sleep(wait))
    }
}

/// The operating system's randomness.
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        rand::rng().fill_bytes(bytes);
    }
}

/// Resident memory of this process in bytes, where the system tells it.
pub fn resident_bytes() -> u64 {
    // Linux counts pages of 4 KiB in the second field; elsewhere the file does not exist.
    let pages = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split_whitespace().nth(1)?.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}
