//! The real clock, the real randomness, and how much memory this process uses.

use std::time::{SystemTime, UNIX_EPOCH};

use domain::{Clock, Entropy, Timer, Timestamp, time::BoxFuture};
use rand::Rng as _;

pub struct RealClock;

impl Clock for RealClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock of the benchmark")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap())
    }

    fn sleep_until(&self, _: Timer, at: Timestamp) -> BoxFuture<()> {
        let wait = at.since(self.now());
        Box::pin(tokio::time::sleep(wait))
    }
}

pub struct RealEntropy;

impl Entropy for RealEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        rand::rng().fill_bytes(bytes);
    }
}

/// Resident memory, MiB.
pub fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    let kib: f64 = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0.0);
    kib / 1024.0
}
