//! How fast a number may send: WhatsApp bans numbers that send too much, to strangers, or too regularly.
//!
//! Pure rules over counters that the ledger keeps. OpenWA's three rules (warm-up cap and cold cap per UTC day by age,
//! failure breaker) and two of ours (a minimum gap, a limit per minute). Unlike OpenWA's breaker, ours lets one probe
//! through after its cool-down and closes only when that succeeds.

mod day;

use std::{collections::VecDeque, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{address::ChatId, time::Timestamp};

pub use day::DaySends;

const DAY_MS: i64 = 86_400_000;
const MINUTE: Duration = Duration::from_secs(60);
/// Sends that are remembered where their number in a minute is not limited: the last ones, of which some may still be
/// given back.
const RECENT_KEPT: usize = 16;
/// A probe that never ended frees its slot after this long.
const PROBE_MAX: Duration = Duration::from_secs(120);

/// The rules in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PacingRules {
    /// Off by default, as OpenWA's.
    pub enabled: bool,
    /// Sends per UTC day by age of the session in days; the last repeats.
    pub warmup: Vec<u32>,
    /// New chats per UTC day by age; the last repeats. Empty switches the rule off.
    pub cold: Vec<u32>,
    /// Failures in a row that open the breaker.
    pub breaker_threshold: u32,
    /// How long it stays open before a probe.
    pub breaker_cooldown: Duration,
    /// Least time between two sends of a session; zero is off.
    pub min_gap: Duration,
    /// Most sends in any 60 seconds; 0 is off.
    pub per_minute: u32,
}

impl Default for PacingRules {
    fn default() -> Self {
        Self {
            enabled: false,
            warmup: vec![20, 40, 80, 160, 320, 640, 1000],
            cold: vec![5, 10, 20, 40, 60, 80, 100],
            breaker_threshold: 5,
            breaker_cooldown: Duration::from_secs(900),
            min_gap: Duration::ZERO,
            per_minute: 0,
        }
    }
}

/// The counters of one session. Stored as JSON; every field has a default, so that old rows read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PacingState {
    /// UTC days since 1970 that `sent` and `cold` count.
    pub day: i64,
    /// Sends admitted that day.
    pub sent: u32,
    /// New chats of that day.
    pub cold: Vec<ChatId>,
    /// Times of the sends of the last minute.
    pub recent: VecDeque<Timestamp>,
    /// Failures since the last success.
    pub failures: u32,
    /// The breaker refuses until then.
    pub open_until: Option<Timestamp>,
    /// One send is trying whether WhatsApp takes messages again, since then.
    pub probing_since: Option<Timestamp>,
}

/// Why a send has to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PacingRule {
    /// The day's sends are used up.
    DailyCap,
    /// The day's new chats are used up.
    ColdDailyCap,
    /// Too many failures in a row.
    BreakerOpen,
    /// Too soon after the last send.
    MinGap,
    /// Too many in a minute.
    PerMinute,
}

impl PacingRule {
    /// The word in metrics and audit.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DailyCap => "daily_cap",
            Self::ColdDailyCap => "cold_daily_cap",
            Self::BreakerOpen => "breaker_open",
            Self::MinGap => "min_gap",
            Self::PerMinute => "per_minute",
        }
    }
}

/// A send that has to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// Because of which rule.
    pub rule: PacingRule,
    /// When the same send may be allowed.
    pub until: Timestamp,
}

/// Why people cannot be written to first, or added to a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StrangersRefusal {
    /// They can be later.
    Later(Refusal),
    /// There are more of them than new chats are allowed in one day.
    Never {
        /// New chats of a whole day.
        most: u32,
    },
}

/// What became of an admitted send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PacingOutcome {
    /// WhatsApp's server took the message.
    Taken,
    /// WhatsApp refused it, or failed.
    Failed,
    /// It certainly never left: its slot is given back.
    NotSent,
}

impl PacingState {
    /// Takes a slot for a send at `now`, or says why not. `age_days` counts whole UTC days since the session was made;
    /// `cold` means that neither side ever wrote in this chat.
    ///
    /// # Errors
    /// [`Refusal`]; the counters are as before then.
    pub fn admit(
        &mut self,
        rules: &PacingRules,
        chat: &ChatId,
        cold: bool,
        age_days: i64,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        self.roll(now);
        let probe = self.breaker(now)?;
        self.gap(rules, now)?;
        let tomorrow = Timestamp::from_millis((self.day + 1) * DAY_MS);
        let capped = |rule| Refusal { rule, until: tomorrow };
        if by_age(&rules.warmup, age_days).is_some_and(|cap| self.sent >= cap) {
            return Err(capped(PacingRule::DailyCap));
        }
        let new = cold && !self.cold.contains(chat);
        let cold_count = u32::try_from(self.cold.len()).unwrap_or(u32::MAX);
        if new && by_age(&rules.cold, age_days).is_some_and(|cap| cold_count >= cap) {
            return Err(capped(PacingRule::ColdDailyCap));
        }
        self.sent += 1;
        if new && !rules.cold.is_empty() {
            self.cold.push(chat.clone());
        }
        self.recent.push_back(now);
        if rules.per_minute == 0 {
            // Only the gap to the next one is looked at.
            self.recent.drain(..self.recent.len().saturating_sub(RECENT_KEPT));
        }
        if probe {
            self.probing_since = Some(now);
        }
        Ok(())
    }

    /// Takes places for people to whom this account would be new, all of them or none: `strangers` are those with whom
    /// neither side ever wrote. Who of them was not counted before today.
    ///
    /// # Errors
    /// [`StrangersRefusal`]; the counters are as before then.
    pub fn admit_strangers(
        &mut self,
        rules: &PacingRules,
        strangers: &[ChatId],
        age_days: i64,
        now: Timestamp,
    ) -> Result<Vec<ChatId>, StrangersRefusal> {
        self.roll(now);
        self.breaker(now).map_err(StrangersRefusal::Later)?;
        let Some(most) = by_age(&rules.cold, age_days) else { return Ok(vec![]) };
        let mut new: Vec<ChatId> = Vec::new();
        for stranger in strangers {
            if !self.cold.contains(stranger) && !new.contains(stranger) {
                new.push(stranger.clone());
            }
        }
        if new.is_empty() {
            return Ok(new);
        }
        if new.len() > most as usize {
            return Err(StrangersRefusal::Never { most });
        }
        if self.cold.len() + new.len() > most as usize {
            let until = Timestamp::from_millis((self.day + 1) * DAY_MS);
            let rule = PacingRule::ColdDailyCap;
            return Err(StrangersRefusal::Later(Refusal { rule, until }));
        }
        self.cold.extend(new.iter().cloned());
        Ok(new)
    }

    /// Gives back places that were taken at `at` for people who did not hear of this account.
    pub fn return_strangers(&mut self, strangers: &[ChatId], at: Timestamp) {
        if at.millis().div_euclid(DAY_MS) == self.day {
            self.cold.retain(|known| !strangers.contains(known));
        }
    }

    /// Whether a success would change anything but the breaker, which is closed and counts no failure.
    pub const fn is_untroubled(&self) -> bool {
        self.failures == 0 && self.open_until.is_none() && self.probing_since.is_none()
    }

    /// Records what became of a send that was admitted at `at`. True when the breaker has just opened.
    pub fn settle(
        &mut self,
        rules: &PacingRules,
        chat: &ChatId,
        at: Timestamp,
        outcome: PacingOutcome,
        now: Timestamp,
    ) -> bool {
        self.roll(now);
        match outcome {
            PacingOutcome::Taken => {
                (self.failures, self.open_until, self.probing_since) = (0, None, None);
                false
            }
            PacingOutcome::Failed => {
                self.failures = self.failures.saturating_add(1);
                let failed_probe = self.probing_since.take().is_some();
                let opens = failed_probe || self.failures == rules.breaker_threshold.max(1);
                if opens {
                    self.open_until = Some(now.plus(rules.breaker_cooldown));
                }
                opens
            }
            PacingOutcome::NotSent => {
                self.probing_since = None;
                if at.millis().div_euclid(DAY_MS) == self.day {
                    self.sent = self.sent.saturating_sub(1);
                    self.cold.retain(|known| known != chat);
                }
                if let Some(index) = self.recent.iter().position(|time| *time == at) {
                    self.recent.remove(index);
                }
                false
            }
        }
    }

    /// Forgets the days before and the minutes before.
    fn roll(&mut self, now: Timestamp) {
        let day = now.millis().div_euclid(DAY_MS);
        if day != self.day {
            (self.day, self.sent) = (day, 0);
            self.cold.clear();
        }
        let minute_ago = now.minus(MINUTE);
        // The last one stays for the minimum gap, which may be longer than a minute.
        while self.recent.len() > 1 && self.recent[0] <= minute_ago {
            self.recent.pop_front();
        }
    }

    /// `Ok(true)` when this send would be the probe.
    fn breaker(&self, now: Timestamp) -> Result<bool, Refusal> {
        let Some(until) = self.open_until else { return Ok(false) };
        let open = |until| Refusal { rule: PacingRule::BreakerOpen, until };
        if now < until {
            return Err(open(until));
        }
        match self.probing_since.map(|since| since.plus(PROBE_MAX)) {
            Some(end) if now < end => Err(open(end)),
            _ => Ok(true),
        }
    }

    fn gap(&self, rules: &PacingRules, now: Timestamp) -> Result<(), Refusal> {
        if let Some(last) = self.recent.back() {
            let until = last.plus(rules.min_gap);
            if now < until {
                return Err(Refusal { rule: PacingRule::MinGap, until });
            }
        }
        let most = rules.per_minute as usize;
        let in_minute = self.recent.iter().filter(|at| **at > now.minus(MINUTE)).count();
        if most > 0 && in_minute >= most {
            let oldest = self.recent[self.recent.len() - most];
            return Err(Refusal { rule: PacingRule::PerMinute, until: oldest.plus(MINUTE) });
        }
        Ok(())
    }
}

/// Whole UTC days between two times.
pub fn age_days(created: Timestamp, now: Timestamp) -> i64 {
    now.millis().div_euclid(DAY_MS) - created.millis().div_euclid(DAY_MS)
}

fn by_age(schedule: &[u32], age_days: i64) -> Option<u32> {
    let at = usize::try_from(age_days).unwrap_or(0);
    schedule.get(at).or(schedule.last()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp::from_millis(20_000 * DAY_MS + DAY_MS / 2);

    fn chat(number: u32) -> ChatId {
        format!("49170{number:05}@c.us").parse().unwrap()
    }

    fn after(seconds: u64) -> Timestamp {
        NOON.plus(Duration::from_secs(seconds))
    }

    #[test]
    fn the_day_ends_at_midnight_utc() {
        let rules = PacingRules { warmup: vec![2, 3], ..PacingRules::default() };
        let mut state = PacingState::default();
        for _ in 0..2 {
            state.admit(&rules, &chat(1), false, 0, NOON).unwrap();
        }
        let refusal = state.admit(&rules, &chat(1), false, 0, NOON).unwrap_err();
        assert_eq!(refusal.rule, PacingRule::DailyCap);
        assert_eq!(refusal.until.millis(), 20_001 * DAY_MS);
        for _ in 0..3 {
            state.admit(&rules, &chat(1), false, 9, refusal.until).unwrap();
        }
        assert!(state.admit(&rules, &chat(1), false, 9, refusal.until).is_err());
    }

    #[test]
    fn a_stranger_counts_once_and_acquaintances_not_at_all() {
        let rules = PacingRules { cold: vec![1], ..PacingRules::default() };
        let mut state = PacingState::default();
        state.admit(&rules, &chat(1), true, 0, NOON).unwrap();
        state.admit(&rules, &chat(1), true, 0, NOON).unwrap();
        state.admit(&rules, &chat(2), false, 0, NOON).unwrap();
        let refusal = state.admit(&rules, &chat(3), true, 0, NOON).unwrap_err();
        assert_eq!(refusal.rule, PacingRule::ColdDailyCap);
        let off = PacingRules { cold: vec![], ..rules };
        state.admit(&off, &chat(3), true, 0, NOON).unwrap();
    }

    #[test]
    fn the_breaker_lets_one_probe_through() {
        let rules = PacingRules { breaker_threshold: 2, ..PacingRules::default() };
        let mut state = PacingState::default();
        for second in 0..2 {
            state.admit(&rules, &chat(1), false, 0, after(second)).unwrap();
            let opened =
                state.settle(&rules, &chat(1), after(second), PacingOutcome::Failed, after(second));
            assert_eq!(opened, second == 1);
        }
        let refusal = state.admit(&rules, &chat(1), false, 0, after(2)).unwrap_err();
        assert_eq!((refusal.rule, refusal.until), (PacingRule::BreakerOpen, after(901)));
        state.admit(&rules, &chat(1), false, 0, after(901)).unwrap();
        assert!(state.admit(&rules, &chat(1), false, 0, after(901)).is_err(), "one probe only");
        assert!(state.settle(&rules, &chat(1), after(901), PacingOutcome::Failed, after(902)));
        state.admit(&rules, &chat(1), false, 0, after(1802)).unwrap();
        state.settle(&rules, &chat(1), after(1802), PacingOutcome::Taken, after(1803));
        state.admit(&rules, &chat(1), false, 0, after(1803)).unwrap();
    }

    #[test]
    fn gaps_and_minutes_are_kept() {
        let gap = Duration::from_secs(2);
        let rules = PacingRules { min_gap: gap, per_minute: 3, ..PacingRules::default() };
        let mut state = PacingState::default();
        for second in [0, 2, 4] {
            state.admit(&rules, &chat(1), false, 0, after(second)).unwrap();
        }
        let soon = state.admit(&rules, &chat(1), false, 0, after(5)).unwrap_err();
        assert_eq!((soon.rule, soon.until), (PacingRule::MinGap, after(6)));
        let many = state.admit(&rules, &chat(1), false, 0, after(6)).unwrap_err();
        assert_eq!((many.rule, many.until), (PacingRule::PerMinute, after(60)));
        state.admit(&rules, &chat(1), false, 0, after(60)).unwrap();
    }

    #[test]
    fn what_never_left_gives_its_slot_back() {
        let rules = PacingRules { warmup: vec![1], cold: vec![1], ..PacingRules::default() };
        let mut state = PacingState::default();
        state.admit(&rules, &chat(1), true, 0, NOON).unwrap();
        state.settle(&rules, &chat(1), NOON, PacingOutcome::NotSent, NOON);
        state.admit(&rules, &chat(2), true, 0, NOON).unwrap();
    }

    #[test]
    fn strangers_are_admitted_all_or_none() {
        let rules = PacingRules { cold: vec![3], ..PacingRules::default() };
        let mut state = PacingState::default();
        let people = |numbers: &[u32]| numbers.iter().map(|one| chat(*one)).collect::<Vec<_>>();
        let never = state.admit_strangers(&rules, &people(&[1, 2, 3, 4]), 0, NOON);
        assert_eq!(never, Err(StrangersRefusal::Never { most: 3 }));
        state.admit_strangers(&rules, &people(&[1, 2, 2]), 0, NOON).unwrap();
        let later = state.admit_strangers(&rules, &people(&[2, 3, 4]), 0, NOON);
        let Err(StrangersRefusal::Later(refusal)) = later else { panic!("{later:?}") };
        assert_eq!(refusal.rule, PacingRule::ColdDailyCap);
        assert_eq!(refusal.until.millis(), 20_001 * DAY_MS);
        // Nothing of it was counted, and whoever did not hear of us is given back.
        state.return_strangers(&people(&[1]), NOON);
        let counted = state.admit_strangers(&rules, &people(&[2, 3, 4]), 0, NOON);
        assert_eq!(counted, Ok(people(&[3, 4])));
        assert!(state.admit(&rules, &chat(5), true, 0, NOON).is_err(), "sends share the budget");
        let off = PacingRules { cold: vec![], ..rules };
        state.admit_strangers(&off, &people(&[6, 7, 8, 9]), 0, NOON).unwrap();
    }

    #[test]
    fn only_the_last_sends_are_remembered_where_a_minute_has_no_limit() {
        let gap = Duration::from_secs(2);
        let rules = PacingRules { warmup: vec![], min_gap: gap, ..PacingRules::default() };
        let mut state = PacingState::default();
        for number in 0..40 {
            state.admit(&rules, &chat(1), false, 0, after(2 * number)).unwrap();
        }
        assert_eq!(state.recent.len(), RECENT_KEPT);
        // The last one never left: the gap counts from the one before it.
        state.settle(&rules, &chat(1), after(78), PacingOutcome::NotSent, after(78));
        let soon = state.admit(&rules, &chat(1), false, 0, after(77)).unwrap_err();
        assert_eq!((soon.rule, soon.until), (PacingRule::MinGap, after(78)));
        assert!(state.is_untroubled());
        state.settle(&rules, &chat(1), after(76), PacingOutcome::Failed, after(78));
        assert!(!state.is_untroubled());
    }

    #[test]
    fn counters_survive_the_ledger() {
        let mut state = PacingState::default();
        state.admit(&PacingRules::default(), &chat(1), true, 0, NOON).unwrap();
        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<PacingState>(&text).unwrap(), state);
        assert_eq!(serde_json::from_str::<PacingState>("{}").unwrap(), PacingState::default());
    }
}
