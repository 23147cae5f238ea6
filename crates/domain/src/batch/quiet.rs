//! Hours in which nothing is sent, on the clock of a place.

use std::time::Duration;

use chrono::{LocalResult, NaiveDateTime, NaiveTime, TimeZone as _, Timelike as _};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::zone::{zone_named, zone_of};
use crate::{address::ChatId, time::Timestamp};

/// Hours without sends, for instance 21:00 to 08:00. The end is the first minute that may send again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuietHours {
    /// First quiet minute of the day, 0 to 1439.
    from: u16,
    /// First minute after the quiet ones, 0 to 1439; before `from` means the next day.
    to: u16,
    /// The IANA name of the place.
    zone: String,
    /// Whether a recipient's own zone counts where the number tells it.
    by_recipient: bool,
}

/// Why hours cannot be quiet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidQuietHours {
    /// Not a time of day.
    #[error("must be a time of day like 21:00")]
    Time,
    /// Beginning and end are the same.
    #[error("must not begin and end at the same time")]
    Empty,
    /// Not a time zone.
    #[error("must be a time zone like Europe/Berlin")]
    Zone,
}

impl QuietHours {
    /// From texts like `21:00`, `08:00` and `Europe/Berlin`.
    ///
    /// # Errors
    /// [`InvalidQuietHours`].
    pub fn new(
        from: &str,
        to: &str,
        zone: &str,
        by_recipient: bool,
    ) -> Result<Self, InvalidQuietHours> {
        let (from, to) = (minute(from)?, minute(to)?);
        if from == to {
            return Err(InvalidQuietHours::Empty);
        }
        zone_named(zone).ok_or(InvalidQuietHours::Zone)?;
        Ok(Self { from, to, zone: zone.to_owned(), by_recipient })
    }

    /// The texts: beginning, end, zone, and whether the recipient's zone counts.
    pub fn parts(&self) -> (String, String, &str, bool) {
        let text = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
        (text(self.from), text(self.to), &self.zone, self.by_recipient)
    }

    /// The recipient's own zone, where it counts and the number tells it.
    pub fn own_zone(&self, chat: &ChatId) -> Option<&'static str> {
        if self.by_recipient { chat.phone().as_ref().and_then(zone_of) } else { None }
    }

    /// Until when nothing may be sent; nothing when it may be sent now. `own_zone` is the recipient's.
    pub fn until(&self, own_zone: Option<&str>, now: Timestamp) -> Option<Timestamp> {
        let zone = own_zone.and_then(zone_named).or_else(|| zone_named(&self.zone));
        let zone = zone.unwrap_or(Tz::UTC);
        let local = zone.timestamp_millis_opt(now.millis()).single()?.naive_local();
        let minute = u16::try_from(local.hour() * 60 + local.minute()).unwrap_or(0);
        let overnight = self.to < self.from;
        let (quiet, next_day) = if overnight {
            (minute >= self.from || minute < self.to, minute >= self.from)
        } else {
            (minute >= self.from && minute < self.to, false)
        };
        if !quiet {
            return None;
        }
        let day = if next_day { local.date().succ_opt()? } else { local.date() };
        let to = u32::from(self.to);
        let end = day.and_time(NaiveTime::from_hms_opt(to / 60, to % 60, 0)?);
        Some(instant(zone, end).unwrap_or_else(|| now.plus(Duration::from_secs(60))))
    }
}

/// A local time as an instant. A time that a change of the clocks skips is the first one after it; a time that comes
/// twice is the later one.
fn instant(zone: Tz, local: NaiveDateTime) -> Option<Timestamp> {
    let mut local = local;
    for _ in 0..8 {
        match zone.from_local_datetime(&local) {
            LocalResult::Single(at) | LocalResult::Ambiguous(_, at) => {
                return Some(Timestamp::from_millis(at.timestamp_millis()));
            }
            LocalResult::None => local += chrono::TimeDelta::minutes(30),
        }
    }
    None
}

fn minute(text: &str) -> Result<u16, InvalidQuietHours> {
    let (hours, minutes) = text.split_once(':').ok_or(InvalidQuietHours::Time)?;
    let number = |text: &str, most: u16| {
        let digits = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
        let number = text.parse::<u16>().ok().filter(|number| digits && *number <= most);
        number.ok_or(InvalidQuietHours::Time)
    };
    Ok(number(hours, 23)? * 60 + number(minutes, 59)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_iso(text).unwrap()
    }

    fn night(zone: &str) -> QuietHours {
        QuietHours::new("21:00", "08:00", zone, true).unwrap()
    }

    #[test]
    fn a_night_ends_in_the_morning_of_its_place() {
        let quiet = night("Europe/Berlin");
        for (now, until) in [
            ("2026-10-01T18:59:00Z", None),
            ("2026-10-01T19:00:00Z", Some("2026-10-02T06:00:00Z")),
            ("2026-10-02T00:30:00Z", Some("2026-10-02T06:00:00Z")),
            ("2026-10-02T05:59:59Z", Some("2026-10-02T06:00:00Z")),
            ("2026-10-02T06:00:00Z", None),
            // The night in which the clocks go back is an hour longer.
            ("2026-10-24T20:00:00Z", Some("2026-10-25T07:00:00Z")),
        ] {
            assert_eq!(quiet.until(None, at(now)), until.map(at), "{now}");
        }
    }

    #[test]
    fn an_end_that_the_clocks_skip_is_the_next_time_there_is() {
        let quiet = QuietHours::new("01:00", "02:30", "Europe/Berlin", false).unwrap();
        let until = quiet.until(None, at("2026-03-29T00:30:00Z")).unwrap();
        assert_eq!(until, at("2026-03-29T01:00:00Z"));
    }

    #[test]
    fn hours_of_one_day_and_a_recipients_own_zone() {
        let lunch = QuietHours::new("12:00", "13:00", "UTC", true).unwrap();
        let noon = at("2026-10-01T12:10:00Z");
        assert_eq!(lunch.until(None, noon), Some(at("2026-10-01T13:00:00Z")));
        assert_eq!(lunch.until(Some("Asia/Kolkata"), noon), None);
        let chat: ChatId = "919812345678@c.us".parse().unwrap();
        assert_eq!(lunch.own_zone(&chat), Some("Asia/Kolkata"));
        let unclear: ChatId = "12125550100@c.us".parse().unwrap();
        assert_eq!(lunch.own_zone(&unclear), None);
        let of_session = QuietHours::new("12:00", "13:00", "UTC", false).unwrap();
        assert_eq!(of_session.own_zone(&chat), None);
    }

    #[test]
    fn nonsense_is_refused() {
        for (from, to, zone, why) in [
            ("21", "08:00", "UTC", InvalidQuietHours::Time),
            ("24:00", "08:00", "UTC", InvalidQuietHours::Time),
            ("2:00", "08:00", "UTC", InvalidQuietHours::Time),
            ("+1:00", "08:00", "UTC", InvalidQuietHours::Time),
            ("08:00", "08:00", "UTC", InvalidQuietHours::Empty),
            ("21:00", "08:00", "Bakery/Main", InvalidQuietHours::Zone),
        ] {
            assert_eq!(QuietHours::new(from, to, zone, false), Err(why), "{from} {to} {zone}");
        }
        let parts = night("UTC");
        assert_eq!(parts.parts(), ("21:00".into(), "08:00".into(), "UTC", true));
    }
}
