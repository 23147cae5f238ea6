//! How much somebody may do: so many in a window, or so many a second with a burst. What is remembered is bounded.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, MutexGuard, PoisonError},
};

use domain::Timestamp;

use crate::rates::Window;

/// Who is counted one by one; beyond it those whose time is over are forgotten, and if there are none, all.
const COUNTED_MAX: usize = 20_000;

/// So many in a window, which is counted from its first; what is refused is not counted.
pub struct Allowance<K> {
    window: Window,
    counts: Mutex<HashMap<K, TakenInWindow>>,
}

#[derive(Clone, Copy)]
struct TakenInWindow {
    since: i64,
    count: u32,
}

impl<K: Eq + Hash + Copy> Allowance<K> {
    /// With nothing taken. A limit of 0 is no limit.
    pub fn new(window: Window) -> Self {
        Self { window, counts: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, TakenInWindow>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one; otherwise the seconds to wait, at least one.
    pub fn take(&self, who: K, now: Timestamp) -> Result<(), u64> {
        if self.window.limit == 0 {
            return Ok(());
        }
        let length = i64::try_from(self.window.length.as_millis()).unwrap_or(i64::MAX);
        let (now, mut counts) = (now.millis(), self.lock());
        // A clock that was set back must not lock anybody out.
        let runs = |taken: &TakenInWindow| (0..length).contains(&now.saturating_sub(taken.since));
        if counts.len() >= COUNTED_MAX && !counts.contains_key(&who) {
            counts.retain(|_, taken| runs(taken));
            if counts.len() >= COUNTED_MAX {
                counts.clear();
            }
        }
        let fresh = TakenInWindow { since: now, count: 0 };
        let taken = counts.entry(who).or_insert(fresh);
        if !runs(taken) {
            *taken = fresh;
        }
        if taken.count >= self.window.limit {
            let left = taken.since.saturating_add(length).saturating_sub(now);
            return Err(u64::try_from(left).unwrap_or(0).div_ceil(1000).max(1));
        }
        taken.count += 1;
        Ok(())
    }
}

/// So many a second, and so many at once after a rest.
#[derive(Debug, Clone, Copy)]
pub struct FramePace {
    /// What comes back each second; 0 is no limit.
    pub per_second: u32,
    /// What may be taken at once.
    pub burst: u32,
}

/// Counts by a [`FramePace`].
pub struct PacedAllowance<K> {
    pace: FramePace,
    levels: Mutex<HashMap<K, PaceLevel>>,
}

/// What is left, in thousandths, and when that was true.
#[derive(Clone, Copy)]
struct PaceLevel {
    at: i64,
    left: u64,
}

impl<K: Eq + Hash + Copy> PacedAllowance<K> {
    /// With everybody rested.
    pub fn new(pace: FramePace) -> Self {
        Self { pace, levels: Mutex::default() }
    }

    /// Takes one, if there is one left.
    pub fn take(&self, who: K, now: Timestamp) -> bool {
        if self.pace.per_second == 0 {
            return true;
        }
        let full = u64::from(self.pace.burst.max(1)) * 1000;
        let mut levels = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        let rested = |level: &PaceLevel| {
            let passed = u64::try_from(now.millis().saturating_sub(level.at)).unwrap_or(0);
            let back = passed.saturating_mul(self.pace.per_second.into());
            level.left.saturating_add(back).min(full)
        };
        if levels.len() >= COUNTED_MAX && !levels.contains_key(&who) {
            levels.retain(|_, level| rested(level) < full);
            if levels.len() >= COUNTED_MAX {
                levels.clear();
            }
        }
        let level = levels.entry(who).or_insert(PaceLevel { at: now.millis(), left: full });
        *level = PaceLevel { at: now.millis(), left: rested(level) };
        let taken = level.left.checked_sub(1000);
        level.left = taken.unwrap_or(level.left);
        taken.is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn a_window_is_counted_for_each_from_its_first() {
        let allowance = Allowance::new(Window { length: Duration::from_secs(60), limit: 2 });
        assert_eq!(allowance.take(1, at(500)), Ok(()));
        assert_eq!(allowance.take(1, at(600)), Ok(()));
        assert_eq!(allowance.take(1, at(1600)), Err(59));
        assert_eq!(allowance.take(2, at(1600)), Ok(()));
        assert_eq!(allowance.take(1, at(60_500)), Ok(()));
        assert_eq!(allowance.take(1, at(100)), Ok(()), "the clock was set back");
    }

    #[test]
    fn a_pace_gives_back_with_time_and_never_more_than_its_burst() {
        let allowance = PacedAllowance::new(FramePace { per_second: 2, burst: 3 });
        let takes = |count, millis| (0..count).filter(|_| allowance.take(1, at(millis))).count();
        assert_eq!(takes(5, 0), 3);
        assert_eq!(takes(5, 500), 1);
        assert_eq!(takes(9, 60_000), 3);
        assert!(allowance.take(2, at(60_000)));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let window = Window { length: Duration::from_secs(60), limit: 2 };
        let (counts, paced) =
            (Allowance::new(window), PacedAllowance::new(FramePace { per_second: 1, burst: 2 }));
        for who in 0..COUNTED_MAX + 10 {
            assert_eq!(counts.take(who, at(5)), Ok(()));
            assert!(paced.take(who, at(5)));
        }
        assert!(counts.lock().len() <= COUNTED_MAX);
        assert!(paced.levels.lock().unwrap().len() <= COUNTED_MAX);
    }
}
