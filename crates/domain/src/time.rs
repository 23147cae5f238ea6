//! Time and randomness as arguments.

use std::{fmt, future::Future, pin::Pin, time::Duration};

use chrono::{DateTime, NaiveDateTime, SecondsFormat, TimeZone as _, Utc};
use serde::{Deserialize, Serialize};

use crate::Timer;

/// The end of the year 9999, the last that ISO 8601 writes with four digits.
const LAST_MILLIS: i64 = 253_402_300_799_999;

/// A moment, in milliseconds since 1970-01-01T00:00:00Z.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The moment so many milliseconds after the epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// The moment so many seconds after the epoch.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Milliseconds since the epoch.
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

    /// Reads an ISO-8601 time; without an offset it is meant in this zone, and a bare date means its first moment
    /// there.
    pub fn parse_in(text: &str, zone: chrono_tz::Tz) -> Option<Self> {
        Self::parse_with_offset(text).or_else(|| {
            // A time that the clocks skip is the first one after the gap; none is longer than a day.
            let local = local(text.trim())?;
            let exists = |minutes| {
                let later = local.checked_add_signed(chrono::TimeDelta::minutes(minutes))?;
                zone.from_local_datetime(&later).earliest()
            };
            Self::writable((0..=24 * 60).find_map(exists)?.timestamp_millis())
        })
    }

    /// A time up to the year 9999: a later one could not be written.
    fn writable(millis: i64) -> Option<Self> {
        (millis <= LAST_MILLIS).then_some(Self(millis))
    }

    /// Reads an ISO-8601 time that says its offset.
    pub fn parse_with_offset(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Ok(time) = DateTime::parse_from_rfc3339(text) {
            return Self::writable(time.timestamp_millis());
        }
        let forms = [
            "%Y-%m-%dT%H:%M:%S%.f%#z",
            "%Y-%m-%dT%H:%M%#z",
            "%Y-%m-%d %H:%M:%S%.f%#z",
            "%Y-%m-%d %H:%M%#z",
        ];
        let time = forms.iter().find_map(|form| DateTime::parse_from_str(text, form).ok())?;
        Self::writable(time.timestamp_millis())
    }

    /// Reads a time of a filter: epoch seconds, epoch milliseconds, or ISO 8601, up to the year 9999. A number below
    /// 100,000,000,000 is in seconds: as milliseconds it would be before 1973.
    pub fn parse_filter(text: &str) -> Option<Self> {
        match text.trim().parse::<i64>() {
            Ok(number) if (0..100_000_000_000).contains(&number) => {
                Some(Self::from_seconds(number))
            }
            Ok(number) => (number >= 0).then_some(number).and_then(Self::writable),
            Err(_) => {
                // The plus of an offset becomes a blank where a URL does not escape it.
                let offset = text.contains('T').then(|| text.replacen(' ', "+", 1));
                let mended = offset.as_deref().and_then(Self::parse_with_offset);
                mended.or_else(|| Self::parse_in(text, chrono_tz::Tz::UTC))
            }
        }
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

/// A time zone, by its IANA name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Zone(pub chrono_tz::Tz);

/// What a clock on the wall of a zone shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is what it is called")]
pub struct WallTime {
    pub year: i32,
    /// From 1.
    pub month: u32,
    pub day: u32,
    /// From 0, a Sunday.
    pub weekday: u32,
    pub hour: u32,
    pub minute: u32,
    pub second: u32,
}

impl Zone {
    /// What the clocks of the zone show at a time; `None` for times that no calendar has.
    pub fn wall_time(self, at: Timestamp) -> Option<WallTime> {
        use chrono::{Datelike as _, TimeZone as _, Timelike as _};
        let time = self.0.timestamp_millis_opt(at.millis()).single()?;
        Some(WallTime {
            year: time.year(),
            month: time.month(),
            day: time.day(),
            weekday: time.weekday().num_days_from_sunday(),
            hour: time.hour(),
            minute: time.minute(),
            second: time.second(),
        })
    }

    /// What the zone is called at a time, like `CET`.
    pub fn abbreviation(self, at: Timestamp) -> Option<String> {
        use chrono::TimeZone as _;
        let time = self.0.timestamp_millis_opt(at.millis()).single()?;
        Some(time.format("%Z").to_string())
    }
}

/// No zone has this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be the name of a time zone, like Europe/Berlin")]
pub struct UnknownZone;

impl std::str::FromStr for Zone {
    type Err = UnknownZone;

    fn from_str(name: &str) -> Result<Self, UnknownZone> {
        name.parse().map(Self).map_err(|_| UnknownZone)
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> Self {
        zone.to_string()
    }
}

impl TryFrom<String> for Zone {
    type Error = UnknownZone;

    fn try_from(name: String) -> Result<Self, UnknownZone> {
        name.parse()
    }
}

/// A date, maybe with a time, that does not say where.
fn local(text: &str) -> Option<NaiveDateTime> {
    let forms =
        ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M"];
    let time = forms.iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok());
    time.or_else(|| chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0))
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

    /// Completes when `now() >= at`. Dropping it is safe. The name is for tests, which wait for it.
    fn sleep_until(&self, timer: Timer, at: Timestamp) -> BoxFuture<()>;

    /// How long the process runs, whatever is done to the clock. For leases and limits within a process.
    fn elapsed(&self) -> Duration {
        self.now().since(Timestamp::from_millis(0))
    }

    /// Completes when so much time has passed, whatever is done to the clock. Dropping it is safe.
    fn sleep(&self, timer: Timer, wait: Duration) -> BoxFuture<()> {
        self.sleep_until(timer, self.now().plus(wait))
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
    fn times_of_people_are_read_in_their_zone() {
        let read = |text: &str| {
            Timestamp::parse_in(text, chrono_tz::Tz::Europe__Berlin).map(Timestamp::iso)
        };
        for (text, at) in [
            ("2026-12-24", "2026-12-23T23:00:00.000Z"),
            ("2026-12-24T18:00", "2026-12-24T17:00:00.000Z"),
            ("2026-12-24 18:00:00", "2026-12-24T17:00:00.000Z"),
            ("2026-12-24T18:00:00.5", "2026-12-24T17:00:00.500Z"),
            ("2026-12-24T18:00:00+0100", "2026-12-24T17:00:00.000Z"),
            ("2026-12-24T18:00+0100", "2026-12-24T17:00:00.000Z"),
            ("2026-12-24 18:00+01", "2026-12-24T17:00:00.000Z"),
            ("2026-12-24T18:00:00-05:00", "2026-12-24T23:00:00.000Z"),
            ("2026-12-24T18:00:00Z", "2026-12-24T18:00:00.000Z"),
            // The clocks skip from two to three.
            ("2026-03-29T02:30", "2026-03-29T01:00:00.000Z"),
            ("2026-07-01T12:00", "2026-07-01T10:00:00.000Z"),
        ] {
            assert_eq!(read(text).as_deref(), Some(at), "{text}");
        }
        assert_eq!(Timestamp::parse_with_offset("2026-12-24T18:00"), None);
        assert!(Timestamp::parse_with_offset("2026-12-24T18:00Z").is_some());
        for nonsense in ["", "tomorrow", "2026-13-01", "18:00", "2026-02-30", "1790841600"] {
            assert_eq!(read(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn filters_take_seconds_milliseconds_and_iso() {
        for text in ["1790841600", "1790841600000", "2026-10-01T08:00:00Z", "2026-10-01T08:00"] {
            let time = Timestamp::parse_filter(text);
            assert_eq!(time, Some(Timestamp::from_seconds(1_790_841_600)), "{text}");
        }
        let offset = Timestamp::parse_filter("2026-10-01T10:00:00 02:00");
        assert_eq!(offset, Some(Timestamp::from_seconds(1_790_841_600)));
        assert_eq!(Timestamp::parse_filter("-1"), None);
        assert_eq!(Timestamp::parse_filter("yesterday"), None);
        // After the year 9999: such a time could not be written.
        assert_eq!(Timestamp::parse_filter("17907908416084160"), None);
        assert_eq!(Timestamp::parse_in("+12026-10-01T08:00", chrono_tz::Tz::UTC), None);
    }

    #[test]
    fn since_never_underflows() {
        let (early, late) = (Timestamp::from_millis(5), Timestamp::from_millis(9));
        assert_eq!(late.since(early), Duration::from_millis(4));
        assert_eq!(early.since(late), Duration::ZERO);
    }
}
