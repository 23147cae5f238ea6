//! When a batch would end, and which limits it meets: the run, played ahead on counters of its own.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use super::{BatchOptions, HoldReason};
use crate::{
    address::ChatId,
    pacing::{PacingRule, PacingRules, PacingState, age_days},
    time::Timestamp,
};

/// How far ahead is looked; a batch that takes longer has no end.
const HORIZON: Duration = Duration::from_secs(3 * 366 * 86_400);

/// A recipient to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForecastItem {
    /// The recipient, by their canonical id.
    pub chat: ChatId,
    /// Whether there was never a message in this chat.
    pub cold: bool,
    /// The recipient's own time zone, where it counts.
    pub zone: Option<String>,
}

/// Another batch of the session that shares the pace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Others {
    /// Its items to come.
    pub left: u32,
    /// Its wait after a message, on average.
    pub gap: Duration,
    /// Not before this time.
    pub from: Timestamp,
}

/// What a forecast is made of.
#[derive(Debug, Clone)]
pub struct ForecastInput<'a> {
    /// The time now.
    pub now: Timestamp,
    /// The session may not send in bulk before this time.
    pub pace: Timestamp,
    /// How the batch is sent.
    pub options: &'a BatchOptions,
    /// Its items.
    pub items: &'a [ForecastItem],
    /// The other batches of the session.
    pub others: Vec<Others>,
    /// The rules in force.
    pub rules: &'a PacingRules,
    /// The session's counters.
    pub pacing: PacingState,
    /// When the session was made.
    pub session_created_at: Timestamp,
}

/// A limit the batch meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// The reason that is shown to people.
    pub reason: HoldReason,
    /// When for the first time.
    pub at: Timestamp,
    /// Until when that time.
    pub until: Timestamp,
    /// How often in all.
    pub times: u32,
}

/// What would happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forecast {
    /// When the first item would go out.
    pub starts_at: Option<Timestamp>,
    /// When the last one would.
    pub ends_at: Option<Timestamp>,
    /// Different recipients that were never written with.
    pub new_contacts: u32,
    /// The limits it meets, in the order it meets them.
    pub limits: Vec<Limit>,
}

/// Plays a batch ahead.
pub fn forecast(input: ForecastInput<'_>) -> Forecast {
    let strangers = input.items.iter().filter(|item| item.cold).map(|item| &item.chat);
    let new_contacts = u32::try_from(super::item::chats(strangers)).unwrap_or(u32::MAX);
    let mut run = Run::new(input);
    let mut starts_at = None;
    let mut ends_at = Some(run.at);
    while let Some(sent_at) = run.step() {
        starts_at = starts_at.or(Some(sent_at));
        ends_at = Some(sent_at);
    }
    if run.left > 0 {
        ends_at = None;
    }
    Forecast { starts_at, ends_at, new_contacts, limits: run.limits }
}

struct Run<'a> {
    input: ForecastInput<'a>,
    /// Items to come by zone and warmth, each in order.
    queues: BTreeMap<(Option<&'a str>, bool), VecDeque<usize>>,
    left: usize,
    at: Timestamp,
    end: Timestamp,
    cold_until: Option<Timestamp>,
    limits: Vec<Limit>,
}

impl<'a> Run<'a> {
    fn new(input: ForecastInput<'a>) -> Self {
        let mut queues: BTreeMap<_, VecDeque<usize>> = BTreeMap::new();
        for (place, item) in input.items.iter().enumerate() {
            queues.entry((item.zone.as_deref(), item.cold)).or_default().push_back(place);
        }
        let from = input.options.scheduled_at.unwrap_or(input.now).max(input.now).max(input.pace);
        let end = input.now.plus(HORIZON);
        let left = input.items.len();
        Self { input, queues, left, at: from, end, cold_until: None, limits: vec![] }
    }

    /// Sends one more item; when it went out.
    fn step(&mut self) -> Option<Timestamp> {
        while self.left > 0 && self.at < self.end {
            let Some(key) = self.choose() else { continue };
            let place = *self.queues.get(&key)?.front()?;
            let item = &self.input.items[place];
            if let Some(wait) = self.refused(&item.chat, item.cold) {
                self.at = self.at.max(wait);
                continue;
            }
            if let Some(queue) = self.queues.get_mut(&key) {
                queue.pop_front();
                if queue.is_empty() {
                    self.queues.remove(&key);
                }
            }
            self.left -= 1;
            let sent_at = self.at;
            self.at = self.at.plus(self.input.options.mean_gap());
            self.let_others();
            return Some(sent_at);
        }
        None
    }

    /// The queue with the next item that may go now. Without one, time passes.
    fn choose(&mut self) -> Option<(Option<&'a str>, bool)> {
        let cold_until = self.cold_until.filter(|until| *until > self.at);
        let (mut best, mut wait): (Option<(usize, _)>, Option<(Timestamp, HoldReason)>) =
            (None, None);
        for (key, queue) in &self.queues {
            let quiet = self.input.options.quiet_hours.as_ref();
            let quiet = quiet.and_then(|quiet| quiet.until(key.0, self.at));
            let cold = cold_until.filter(|_| key.1);
            let blocked = match (quiet, cold) {
                (Some(until), _) => Some((until, HoldReason::QuietHours)),
                (None, Some(until)) => Some((until, HoldReason::ColdDailyCap)),
                (None, None) => None,
            };
            match (blocked, queue.front()) {
                (None, Some(place)) if best.is_none_or(|(first, _)| *place < first) => {
                    best = Some((*place, *key));
                }
                (Some(blocked), _) if wait.is_none_or(|wait| blocked.0 < wait.0) => {
                    wait = Some(blocked);
                }
                _ => {}
            }
        }
        if best.is_none() {
            let (until, reason) = wait.unwrap_or((self.end, HoldReason::Paused));
            self.meet(reason, until);
            self.at = self.at.max(until);
        }
        best.map(|(_, key)| key)
    }

    /// Asks the pacing; when to ask again, if it refuses.
    fn refused(&mut self, chat: &ChatId, cold: bool) -> Option<Timestamp> {
        if !self.input.rules.enabled {
            return None;
        }
        let age = age_days(self.input.session_created_at, self.at);
        let asked = self.input.pacing.admit(self.input.rules, chat, cold, age, self.at);
        let refusal = asked.err()?;
        match refusal.rule {
            PacingRule::ColdDailyCap => {
                self.cold_until = Some(refusal.until);
                // Acquaintances may go on.
                return Some(self.at);
            }
            PacingRule::DailyCap => self.meet(HoldReason::DailyCap, refusal.until),
            PacingRule::BreakerOpen => self.meet(HoldReason::BreakerOpen, refusal.until),
            PacingRule::MinGap | PacingRule::PerMinute => {}
        }
        Some(refusal.until)
    }

    /// Each of the other batches takes its turn.
    fn let_others(&mut self) {
        for other in &mut self.input.others {
            if other.left > 0 && other.from <= self.at {
                other.left -= 1;
                self.at = self.at.plus(other.gap);
            }
        }
    }

    fn meet(&mut self, reason: HoldReason, until: Timestamp) {
        match self.limits.iter_mut().find(|limit| limit.reason == reason) {
            Some(limit) => limit.times += 1,
            None => self.limits.push(Limit { reason, at: self.at, until, times: 1 }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::QuietHours;

    const DAY: i64 = 86_400;

    fn noon() -> Timestamp {
        Timestamp::from_seconds(20_000 * DAY + DAY / 2)
    }

    fn items(count: u32, cold: bool) -> Vec<ForecastItem> {
        let chat = |number: u32| format!("49170{number:05}@c.us").parse().unwrap();
        (0..count).map(|number| ForecastItem { chat: chat(number), cold, zone: None }).collect()
    }

    fn plain(randomize: bool) -> BatchOptions {
        BatchOptions { randomize, ..BatchOptions::default() }
    }

    fn play(
        options: &BatchOptions,
        items: &[ForecastItem],
        rules: &PacingRules,
        others: Vec<Others>,
    ) -> Forecast {
        forecast(ForecastInput {
            now: noon(),
            pace: noon(),
            options,
            items,
            others,
            rules,
            pacing: PacingState::default(),
            session_created_at: noon(),
        })
    }

    #[test]
    fn the_last_item_has_no_wait_behind_it() {
        let off = PacingRules::default();
        let told = play(&plain(false), &items(4, false), &off, vec![]);
        assert_eq!(told.ends_at, Some(noon().plus(Duration::from_secs(9))));
        let told = play(&plain(true), &items(4, false), &off, vec![]);
        assert_eq!(told.ends_at, Some(noon().plus(Duration::from_secs(12))));
        assert_eq!(play(&plain(true), &[], &off, vec![]).ends_at, Some(noon()));
    }

    #[test]
    fn another_batch_takes_every_second_turn() {
        let gap = Duration::from_secs(3);
        let other = Others { left: 2, gap, from: noon() };
        let told = play(&plain(false), &items(4, false), &PacingRules::default(), vec![other]);
        assert_eq!(told.ends_at, Some(noon().plus(gap * 5)));
    }

    #[test]
    fn caps_move_the_rest_to_the_next_day_and_are_told() {
        let rules = PacingRules {
            enabled: true,
            cold: vec![2],
            warmup: vec![100],
            ..PacingRules::default()
        };
        let mut all = items(4, true);
        all.extend(items(9, false).split_off(6));
        let told = play(&plain(false), &all, &rules, vec![]);
        assert_eq!(told.new_contacts, 4);
        let midnight = Timestamp::from_seconds(20_001 * DAY);
        assert_eq!(told.ends_at, Some(midnight.plus(Duration::from_secs(3))));
        let limit = told.limits[0];
        assert_eq!(
            (limit.reason, limit.until, limit.times),
            (HoldReason::ColdDailyCap, midnight, 1)
        );
        // Acquaintances did not wait for the strangers before them.
        assert_eq!(limit.at, noon().plus(Duration::from_secs(15)));
    }

    #[test]
    fn nights_are_waited_for() {
        let quiet = QuietHours::new("12:00", "13:00", "UTC", false).unwrap();
        let options = BatchOptions { quiet_hours: Some(quiet), ..plain(false) };
        let told = play(&options, &items(2, false), &PacingRules::default(), vec![]);
        assert_eq!(told.starts_at, Some(noon().plus(Duration::from_secs(3600))));
        assert_eq!(told.limits[0].reason, HoldReason::QuietHours);
    }

    #[test]
    fn what_never_ends_has_no_end() {
        let rules = PacingRules { enabled: true, warmup: vec![0], ..PacingRules::default() };
        let told = play(&plain(false), &items(1, false), &rules, vec![]);
        assert_eq!((told.starts_at, told.ends_at), (None, None));
    }
}
