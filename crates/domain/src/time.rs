//! Time and randomness as arguments.

use std::{fmt, future::Future, pin::Pin, time::Duration};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From epoch milliseconds.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// From epoch seconds.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Epoch milliseconds.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whole epoch seconds, rounded down.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// `2026-10-01T08:00:00.000Z`, the form of every ISO time in the API.
    pub fn iso(self) -> String {
        DateTime::<Utc>::from_timestamp_millis(self.0)
            .unwrap_or_default()
            .to_rfc3339_opts(SecondsFormat::Millis, true)
    }

    /// Reads an ISO-8601 time with an offset or `Z`; a bare date means midnight UTC.
    pub fn parse_iso(text: &str) -> Option<Self> {
        if let Ok(time) = DateTime::parse_from_rfc3339(text) {
            return Some(Self(time.timestamp_millis()));
        }
        let date = chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
        Some(Self(date.and_hms_opt(0, 0, 0)?.and_utc().timestamp_millis()))
    }

    /// Reads the date of an HTTP header: `Thu, 01 Oct 2026 08:00:00 GMT`.
    pub fn parse_http_date(text: &str) -> Option<Self> {
        DateTime::parse_from_rfc2822(text).ok().map(|time| Self(time.timestamp_millis()))
    }

    /// This time plus a duration, saturating.
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// This time minus a duration, saturating.
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this is; zero when it is not after.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.iso())
    }
}

/// A future that owns what it needs.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The only source of the current time.
pub trait Clock: Send + Sync + 'static {
    /// The time now. People and programs may set the clock, also back.
    fn now(&self) -> Timestamp;

    /// Completes when `now() >= at`. Dropping it is safe.
    fn sleep_until(&self, at: Timestamp) -> BoxFuture<()>;

    /// How long the process runs, whatever is done to the clock. For leases and limits within a process.
    fn elapsed(&self) -> Duration {
        self.now().since(Timestamp::from_millis(0))
    }

    /// Completes when so much time has passed, whatever is done to the clock. Dropping it is safe.
    fn sleep(&self, wait: Duration) -> BoxFuture<()> {
        self.sleep_until(self.now().plus(wait))
    }
}

/// The only source of randomness for ids and jitter. Keys and API secrets come from here too, so the real one is
/// cryptographic.
pub trait Entropy: Send + Sync + 'static {
    /// Fills `bytes` with random bytes.
    fn fill(&self, bytes: &mut [u8]);

    /// A number in `0.0..1.0`.
    fn fraction(&self) -> f64 {
        let mut bytes = [0u8; 8];
        self.fill(&mut bytes);
        // 53 bits are all that an f64 holds between 0 and 1.
        (u64::from_le_bytes(bytes) >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iso_has_milliseconds_and_zulu() {
        assert_eq!(Timestamp::from_millis(1_790_841_600_007).iso(), "2026-10-01T08:00:00.007Z");
    }

    #[test]
    fn iso_reads_offsets_and_dates() {
        let time = Timestamp::parse_iso("2026-10-01T10:00:00+02:00").unwrap();
        assert_eq!(time.iso(), "2026-10-01T08:00:00.000Z");
        assert_eq!(Timestamp::parse_iso("2026-10-01").unwrap().iso(), "2026-10-01T00:00:00.000Z");
        assert_eq!(Timestamp::parse_iso("tomorrow"), None);
    }

    #[test]
    fn since_never_underflows() {
        let (early, late) = (Timestamp::from_millis(5), Timestamp::from_millis(9));
        assert_eq!(late.since(early), Duration::from_millis(4));
        assert_eq!(early.since(late), Duration::ZERO);
    }
}
