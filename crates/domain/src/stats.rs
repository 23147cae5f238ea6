//! Numbers of messages. They are counted as messages come; what is deleted later was counted all the same.

use std::time::Duration;

use crate::{address::ChatId, ids::SessionId, time::Timestamp};

/// How long numbers are kept.
pub const STATS_KEPT: Duration = Duration::from_secs(32 * 86_400);

/// How many messages came in and went out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MessageFlow {
    /// Messages of other people.
    pub received: u64,
    /// Messages of the account, from this API or from another device.
    pub sent: u64,
}

/// How finely numbers are told apart by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StatsBucket {
    /// One hour of UTC.
    Hour,
    /// One day of UTC.
    Day,
}

impl StatsBucket {
    /// Its length in hours.
    pub const fn hours(self) -> i64 {
        match self {
            Self::Hour => 1,
            Self::Day => 24,
        }
    }
}

/// The numbers of a while.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MessageNumbers {
    /// By the beginning of an hour or day, earliest first; what had none is missing.
    pub by_time: Vec<(Timestamp, MessageFlow)>,
    /// By OpenWA's type of the message, in both directions.
    pub by_type: Vec<(String, u64)>,
    /// By session, in the order of their ids.
    pub by_session: Vec<(SessionId, MessageFlow)>,
}

/// How many messages a chat had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatCount {
    /// The session it belongs to.
    pub session: SessionId,
    /// The chat that is counted.
    pub chat: ChatId,
    /// Messages in both directions.
    pub messages: u64,
}

/// The beginning of the day of UTC.
pub fn start_of_day(at: Timestamp) -> Timestamp {
    Timestamp::from_millis(at.millis().div_euclid(DAY_MS) * DAY_MS)
}

/// The beginning of the hour of UTC.
pub fn start_of_hour(at: Timestamp) -> Timestamp {
    Timestamp::from_millis(at.millis().div_euclid(HOUR_MS) * HOUR_MS)
}

/// Milliseconds of an hour.
pub const HOUR_MS: i64 = 3_600_000;
/// Milliseconds of a day.
pub const DAY_MS: i64 = 24 * HOUR_MS;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_and_days_begin_in_utc_before_1970_too() {
        let at = Timestamp::parse_iso("2026-10-01T08:59:59.999Z").unwrap();
        assert_eq!(start_of_hour(at).iso(), "2026-10-01T08:00:00.000Z");
        assert_eq!(start_of_day(at).iso(), "2026-10-01T00:00:00.000Z");
        assert_eq!(start_of_day(Timestamp::from_millis(-1)).millis(), -DAY_MS);
    }
}
