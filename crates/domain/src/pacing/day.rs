//! What a session sent today, against what it may.

use super::{DAY_MS, PacingRules, PacingState, age_days, by_age};
use crate::time::Timestamp;

/// What a session sent on a day of UTC, and how much it may send that day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DaySends {
    /// With pacing: the sends that took one of the day's places. Without: messages of the account, from this API or
    /// another device.
    pub sent: u64,
    /// Most sends of that day, by the age of the session; `None`: as many as anybody likes.
    pub sent_max: Option<u32>,
    /// Chats in which nobody had written before; `None` where they are not counted.
    pub new_chats: Option<u64>,
    /// Most new chats of that day, by the age of the session; `None`: as many as anybody likes.
    pub new_chats_max: Option<u32>,
    /// When the day ends and counting begins anew.
    pub resets_at: Timestamp,
}

impl DaySends {
    /// Without pacing: so many messages, and no limit.
    pub fn unpaced(sent: u64, now: Timestamp) -> Self {
        Self {
            sent,
            sent_max: None,
            new_chats: None,
            new_chats_max: None,
            resets_at: next_day(now),
        }
    }

    /// By the counters of a session that was made at `created`, under rules that are in force.
    pub fn paced(
        state: &PacingState,
        rules: &PacingRules,
        created: Timestamp,
        now: Timestamp,
    ) -> Self {
        let age = age_days(created, now);
        // The counters are those of the day of the last send.
        let is_today = state.day == now.millis().div_euclid(DAY_MS);
        let today = |count: u64| if is_today { count } else { 0 };
        let new_chats = today(u64::try_from(state.cold.len()).unwrap_or(u64::MAX));
        let counts_new = !rules.cold.is_empty();
        Self {
            sent: today(u64::from(state.sent)),
            sent_max: by_age(&rules.warmup, age),
            new_chats: counts_new.then_some(new_chats),
            new_chats_max: by_age(&rules.cold, age),
            resets_at: next_day(now),
        }
    }
}

fn next_day(now: Timestamp) -> Timestamp {
    Timestamp::from_millis((now.millis().div_euclid(DAY_MS) + 1) * DAY_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp::from_millis(20_000 * DAY_MS + DAY_MS / 2);
    const MIDNIGHT: Timestamp = Timestamp::from_millis(20_001 * DAY_MS);

    #[test]
    fn the_places_of_a_day_are_told_by_the_age_of_the_session() {
        let rules = PacingRules { warmup: vec![2, 9], cold: vec![1, 4], ..PacingRules::default() };
        let mut state = PacingState::default();
        let told = |state: &PacingState, now| DaySends::paced(state, &rules, NOON, now);
        let none = DaySends {
            sent: 0,
            sent_max: Some(2),
            new_chats: Some(0),
            new_chats_max: Some(1),
            resets_at: MIDNIGHT,
        };
        assert_eq!(told(&state, NOON), none);
        let chat = "4917011111@c.us".parse().unwrap();
        state.admit(&rules, &chat, true, 0, NOON).unwrap();
        state.admit(&rules, &chat, true, 0, NOON).unwrap();
        assert_eq!(told(&state, NOON), DaySends { sent: 2, new_chats: Some(1), ..none });
        let next = told(&state, MIDNIGHT);
        assert_eq!((next.sent, next.sent_max), (0, Some(9)), "the next day, a day older");
        assert_eq!((next.new_chats, next.new_chats_max), (Some(0), Some(4)));
        assert_eq!(next.resets_at.millis(), 20_002 * DAY_MS);
    }

    #[test]
    fn a_rule_that_is_off_has_no_limit() {
        let off = PacingRules { warmup: vec![], cold: vec![], ..PacingRules::default() };
        let told = DaySends::paced(&PacingState::default(), &off, NOON, NOON);
        assert_eq!(told, DaySends::unpaced(0, NOON));
    }
}
