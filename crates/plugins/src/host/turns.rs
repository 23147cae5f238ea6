//! Whose turn it is inside a child: one piece of work at a time, and how long it may still run. Pure, in the times it
//! is given.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

/// What may be written to the child when it is idle.
#[derive(Debug, PartialEq)]
pub(super) enum Work<C, A> {
    /// A call, with its number.
    Call(u32, C),
    /// An answer to what the plugin asked for.
    Answer(A),
}

/// A call that the child has, or that waits for it.
#[derive(Debug)]
struct Open<R> {
    reply: R,
    ends: Instant,
}

/// The state of one child.
#[derive(Debug)]
pub(super) struct Turns<C, A, R> {
    waiting: VecDeque<(u32, C)>,
    answers: VecDeque<A>,
    open: HashMap<u32, Open<R>>,
    /// Since when the child works, and on which call; `None`: it is idle.
    running: Option<(Instant, u32)>,
    /// The child said that a timer's work began; what was sent after it waits behind that.
    behind_timer: Option<u32>,
}

impl<C, A, R> Turns<C, A, R> {
    /// A child that has to start first.
    pub(super) fn starting(now: Instant) -> Self {
        Self {
            waiting: VecDeque::new(),
            answers: VecDeque::new(),
            open: HashMap::new(),
            running: Some((now, 0)),
            behind_timer: None,
        }
    }

    /// How many calls wait for their turn.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// A call comes in, with the time at which it has lasted too long.
    pub(super) fn add_call(&mut self, number: u32, call: C, reply: R, ends: Instant) {
        self.waiting.push_back((number, call));
        self.open.insert(number, Open { reply, ends });
    }

    /// An answer to what the plugin asked for comes in.
    pub(super) fn add_answer(&mut self, answer: A) {
        self.answers.push_back(answer);
    }

    /// What the child is to work on now: answers first, because calls wait for them.
    pub(super) fn next(&mut self, now: Instant) -> Option<Work<C, A>> {
        if self.running.is_some() {
            return None;
        }
        if let Some(answer) = self.answers.pop_front() {
            self.running = Some((now, 0));
            return Some(Work::Answer(answer));
        }
        let (number, call) = self.waiting.pop_front()?;
        self.running = Some((now, number));
        Some(Work::Call(number, call))
    }

    /// The child begins a timer's work. If something was sent to it meanwhile, that begins when the timer's work ends.
    pub(super) fn busy(&mut self, now: Instant) {
        self.behind_timer = self.running.map(|(_, number)| number);
        self.running = Some((now, 0));
    }

    /// The child is done with a piece of work.
    pub(super) fn idle(&mut self, now: Instant) {
        self.running = self.behind_timer.take().map(|number| (now, number));
    }

    /// Since when the child works on something.
    pub(super) fn running_since(&self) -> Option<Instant> {
        self.running.map(|(since, _)| since)
    }

    /// The call that is answered; `None`: nobody waits for it any more.
    pub(super) fn answered(&mut self, number: u32) -> Option<R> {
        self.open.remove(&number).map(|open| open.reply)
    }

    /// Whether somebody waits for a call.
    #[cfg(test)]
    pub(super) fn is_open(&self, number: u32) -> bool {
        self.open.contains_key(&number)
    }

    /// The calls that have lasted too long; those that have not begun never will.
    pub(super) fn too_long(&mut self, now: Instant) -> Vec<R> {
        let over: Vec<u32> = self
            .open
            .iter()
            .filter(|(_, open)| open.ends <= now)
            .map(|(number, _)| *number)
            .collect();
        self.waiting.retain(|(number, _)| !over.contains(number));
        over.into_iter().filter_map(|number| self.answered(number)).collect()
    }

    /// When the next call has lasted too long.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.open.values().map(|open| open.ends).min()
    }

    /// The child has ended. Whom to tell, and whether the child had begun on the call: the one that ran, if one did,
    /// is told apart.
    pub(super) fn ended(mut self) -> Ended<R> {
        let unbegun: Vec<R> = std::mem::take(&mut self.waiting)
            .into_iter()
            .filter_map(|(number, _)| self.answered(number))
            .collect();
        let behind = self.behind_timer.filter(|number| *number != 0);
        let unbegun =
            unbegun.into_iter().chain(behind.and_then(|number| self.answered(number))).collect();
        let running = self.running.and_then(|(_, number)| self.answered(number));
        Ended { running, unbegun, parked: self.open.into_values().map(|open| open.reply).collect() }
    }
}

/// Who waited for a child that has ended.
#[derive(Debug)]
pub(super) struct Ended<R> {
    /// The call that was being worked on.
    pub(super) running: Option<R>,
    /// Calls that waited for something the plugin had asked for.
    pub(super) parked: Vec<R>,
    /// Calls that the child had not begun.
    pub(super) unbegun: Vec<R>,
}

/// Whether a piece of work has run longer than its budget. `used` is the processor time since it began, where the
/// system tells it: a busy machine does not make a plugin slow. By the clock it may take eight times as long.
pub(super) fn is_over_budget(budget: Duration, ran: Duration, used: Option<Duration>) -> bool {
    match used {
        Some(used) => used >= budget || ran >= budget * 8,
        None => ran >= budget,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn idle(now: Instant) -> Turns<&'static str, &'static str, u32> {
        let mut turns = Turns::starting(now);
        assert_eq!(turns.next(now), None, "it has not started");
        turns.idle(now);
        turns
    }

    #[test]
    fn one_piece_of_work_at_a_time_and_answers_first() {
        let now = crate::clock::now();
        let mut turns = idle(now);
        turns.add_call(1, "a", 1, now + MS);
        turns.add_call(2, "b", 2, now + MS);
        assert_eq!(turns.next(now), Some(Work::Call(1, "a")));
        assert_eq!(turns.next(now), None);
        turns.add_answer("for 1");
        turns.idle(now);
        assert!(turns.is_open(1), "it waits for its answer");
        assert_eq!(turns.next(now), Some(Work::Answer("for 1")));
        assert_eq!(turns.answered(1), Some(1));
        turns.idle(now);
        assert_eq!(turns.next(now), Some(Work::Call(2, "b")));
    }

    #[test]
    fn what_was_sent_while_a_timer_began_is_timed_from_the_timers_end() {
        let now = crate::clock::now();
        let mut turns = idle(now);
        turns.add_call(1, "a", 1, now + 100 * MS);
        assert_eq!(turns.next(now), Some(Work::Call(1, "a")));
        turns.busy(now + MS);
        assert_eq!(turns.running_since(), Some(now + MS));
        turns.idle(now + 9 * MS);
        assert_eq!(turns.running_since(), Some(now + 9 * MS));
        turns.idle(now + 10 * MS);
        assert_eq!(turns.running_since(), None);
    }

    #[test]
    fn a_child_that_ends_takes_down_what_it_had_begun_and_nothing_else() {
        let now = crate::clock::now();
        let mut turns = idle(now);
        for number in 1..=4 {
            turns.add_call(number, "x", number, now + MS);
        }
        assert_eq!(turns.next(now), Some(Work::Call(1, "x")));
        turns.idle(now);
        assert_eq!(turns.next(now), Some(Work::Call(2, "x")));
        let ended = turns.ended();
        assert_eq!((ended.running, ended.parked, ended.unbegun), (Some(2), vec![1], vec![3, 4]));
    }

    #[test]
    fn a_call_behind_a_timer_that_kills_the_child_had_not_begun() {
        let now = crate::clock::now();
        let mut turns = idle(now);
        turns.add_call(1, "a", 1, now + MS);
        assert!(turns.next(now).is_some());
        turns.busy(now);
        let ended = turns.ended();
        assert_eq!((ended.running, ended.unbegun), (None, vec![1]));
    }

    #[test]
    fn a_call_that_lasts_too_long_is_told_and_never_begins_afterwards() {
        let now = crate::clock::now();
        let mut turns = idle(now);
        turns.add_call(1, "a", 1, now + MS);
        turns.add_call(2, "b", 2, now + 5 * MS);
        assert_eq!(turns.next_end(), Some(now + MS));
        assert_eq!(turns.too_long(now + MS), [1]);
        assert_eq!(turns.next(now + MS), Some(Work::Call(2, "b")));
    }

    #[test]
    fn a_busy_machine_makes_no_plugin_slow() {
        let budget = 250 * MS;
        assert!(!is_over_budget(budget, 1900 * MS, Some(20 * MS)));
        assert!(is_over_budget(budget, 2000 * MS, Some(20 * MS)), "it may not stand still either");
        assert!(is_over_budget(budget, 260 * MS, Some(250 * MS)));
        assert!(is_over_budget(budget, 250 * MS, None));
    }
}
