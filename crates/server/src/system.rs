//! The real clock, the real randomness, and how much memory this process uses.

use std::{
    sync::OnceLock,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use domain::{Clock, Entropy, Timer, Timestamp, time::BoxFuture};
use rand::Rng as _;

use crate::config::ClockRate;

/// The operating system's clock.
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = since_epoch();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    fn sleep_until(&self, _: Timer, at: Timestamp) -> BoxFuture<()> {
        let wait = at.since(self.now());
        Box::pin(tokio::time::sleep(wait))
    }

    fn elapsed(&self) -> Duration {
        running()
    }

    fn sleep(&self, _: Timer, wait: Duration) -> BoxFuture<()> {
        Box::pin(tokio::time::sleep(wait))
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO)
}

/// The real time in epoch nanoseconds, for what is measured and shown beside the spans of others.
pub fn epoch_nanos() -> u64 {
    u64::try_from(since_epoch().as_nanos()).unwrap_or(u64::MAX)
}

/// How long this process runs, by a clock that nobody sets.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the steady clock")]
fn running() -> Duration {
    static BEGUN: OnceLock<Instant> = OnceLock::new();
    BEGUN.get_or_init(Instant::now).elapsed()
}

/// A clock that runs faster than time, for tests of the whole program.
///
/// It depends on nothing but the real time, so it goes on over a restart and never back.
pub struct FastClock(pub ClockRate);

impl FastClock {
    /// Every start says that the times of this process are not real.
    pub fn announced(rate: ClockRate) -> Self {
        if rate.rate != 1 {
            tracing::warn!(
                rate = rate.rate,
                "WAYPOST_CLOCK_RATE: the clock runs too fast; every time, limit and pace of this process is \
                 wrong. Only for tests"
            );
        }
        Self(rate)
    }

    fn real_micros() -> i64 {
        i64::try_from(since_epoch().as_micros()).unwrap_or(i64::MAX)
    }

    fn at(&self, real_micros: i64) -> Timestamp {
        let ClockRate { rate, since_millis } = self.0;
        let since = real_micros.saturating_sub(since_millis.saturating_mul(1000));
        let passed = since.saturating_mul(i64::from(rate)).div_euclid(1000);
        Timestamp::from_millis(since_millis.saturating_add(passed))
    }
}

impl Clock for FastClock {
    fn now(&self) -> Timestamp {
        self.at(Self::real_micros())
    }

    fn sleep_until(&self, _: Timer, at: Timestamp) -> BoxFuture<()> {
        // The timer of the runtime counts milliseconds and never ends early.
        Box::pin(tokio::time::sleep(at.since(self.now()) / self.0.rate))
    }

    fn elapsed(&self) -> Duration {
        running() * self.0.rate
    }

    fn sleep(&self, _: Timer, wait: Duration) -> BoxFuture<()> {
        Box::pin(tokio::time::sleep(wait / self.0.rate))
    }
}

/// The operating system's randomness.
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        rand::rng().fill_bytes(bytes);
    }
}

/// Resident memory of this process in bytes, where the system reports it.
pub fn resident_bytes() -> u64 {
    // Linux counts pages of 4 KiB in the second field; elsewhere the file does not exist.
    let pages = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split_whitespace().nth(1)?.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fast_clock_depends_only_on_the_real_time() {
        let rate = ClockRate { rate: 20, since_millis: 1_000_000 };
        let at = |real_millis: i64| FastClock(rate).at(real_millis * 1000).millis();
        assert_eq!(at(1_000_000), 1_000_000);
        assert_eq!(at(1_000_050), 1_001_000);
        assert_eq!(at(999_999), 999_980, "before its beginning it runs at its rate as well");
    }

    #[test]
    fn at_rate_one_it_shows_the_real_time() {
        let clock = FastClock(ClockRate { rate: 1, since_millis: 7 });
        assert!(SystemClock.now().since(clock.now()) < Duration::from_secs(1));
        assert!(clock.now().since(SystemClock.now()) < Duration::from_secs(1));
    }
}
