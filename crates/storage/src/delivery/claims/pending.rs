//! What waits in lanes, as far as this process stored it and nothing of it was tried: the way from a commit to its POST
//! goes through memory. What is not known here is read from the database. Only for a process that has the database to
//! itself: elsewhere others store deliveries too.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use domain::{DeliveryId, EventId, WebhookId, delivery::LaneId};

/// Lanes that are remembered; others are read from the database.
const LANES_MAX: usize = 65_536;
/// Deliveries that are remembered in all; what comes later in a lane is read from the database.
const ENTRIES_MAX: usize = 200_000;

/// A delivery that was stored.
#[derive(Debug, Clone)]
pub(crate) struct Pushed {
    pub(crate) lane: LaneId,
    pub(crate) webhook: WebhookId,
    pub(crate) entry: Entry,
}

/// A delivery that waits and was never tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) delivery: DeliveryId,
    pub(crate) event: EventId,
}

/// The beginning of a lane.
struct CachedLane {
    webhook: WebhookId,
    waiting: VecDeque<Entry>,
    /// Nothing waits behind it that is not here.
    whole: bool,
}

#[derive(Default)]
struct State {
    lanes: HashMap<String, CachedLane>,
    entries: usize,
}

/// The memory.
#[derive(Default)]
pub(crate) struct PendingCache(Mutex<State>);

impl State {
    fn remove(&mut self, lane: &str) {
        if let Some(cached) = self.lanes.remove(lane) {
            self.entries -= cached.waiting.len();
        }
    }
}

impl PendingCache {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Deliveries were committed, in this order; in the lanes `opened` nothing waited before.
    pub(crate) fn stored(&self, opened: &[LaneId], pushed: Vec<Pushed>) {
        let mut opened: HashSet<&str> = opened.iter().map(LaneId::as_str).collect();
        let mut state = self.lock();
        for Pushed { lane, webhook, entry } in pushed {
            let name = lane.as_str();
            if opened.remove(name) {
                state.remove(name);
                if state.lanes.len() < LANES_MAX {
                    let cached = CachedLane { webhook, waiting: VecDeque::new(), whole: true };
                    state.lanes.insert(name.to_owned(), cached);
                }
            }
            let room = state.entries < ENTRIES_MAX;
            let Some(cached) = state.lanes.get_mut(name) else { continue };
            cached.whole &= room;
            if cached.whole {
                cached.waiting.push_back(entry);
                state.entries += 1;
            }
        }
    }

    /// The head of a lane was tried; `stays` when it waits for another try.
    pub(crate) fn recorded(&self, lane: &str, delivery: DeliveryId, stays: bool) {
        let mut state = self.lock();
        let Some(cached) = state.lanes.get_mut(lane) else { return };
        if cached.waiting.front().is_none_or(|entry| entry.delivery != delivery) {
            // Opened anew by the same commit, or read from the database.
            return;
        }
        if stays || cached.waiting.len() == 1 {
            state.remove(lane);
        } else {
            cached.waiting.pop_front();
            state.entries -= 1;
        }
    }

    /// Up to `most` deliveries from the head of a lane on; `None` when they are not known here.
    pub(crate) fn head(&self, lane: &str, most: usize) -> Option<Vec<Entry>> {
        let state = self.lock();
        let cached = state.lanes.get(lane)?;
        Some(cached.waiting.iter().take(most).copied().collect())
            .filter(|head: &Vec<_>| !head.is_empty())
    }

    /// Forgets everything: it is read from the database.
    pub(crate) fn clear(&self) {
        *self.lock() = State::default();
    }

    /// A webhook is gone, and its lanes with it.
    pub(crate) fn forget(&self, webhook: WebhookId) {
        let mut state = self.lock();
        let gone: Vec<String> = state
            .lanes
            .iter()
            .filter(|(_, cached)| cached.webhook == webhook)
            .map(|(lane, _)| lane.clone())
            .collect();
        gone.iter().for_each(|lane| state.remove(lane));
    }
}

#[cfg(test)]
mod tests {
    use domain::Timestamp;
    use testkit::build;

    use super::*;

    fn pushed(number: u32) -> Pushed {
        let webhook = build::webhook(1, build::session(1).id).id;
        let entropy = testkit::SeededEntropy::new(number.into());
        let event = EventId::at(Timestamp::from_millis(number.into()), &entropy);
        let entry = Entry { delivery: DeliveryId::of(event, webhook), event };
        Pushed { lane: LaneId::session(webhook), webhook, entry }
    }

    #[test]
    fn a_lane_stays_cached_from_its_opening_until_its_head_backs_off() {
        let cache = PendingCache::default();
        let (one, two, three) = (pushed(1), pushed(2), pushed(3));
        let lane = one.lane.clone();
        cache.stored(&[], vec![one.clone()]);
        assert_eq!(cache.head(lane.as_str(), 8), None, "something may wait before it");
        cache.stored(std::slice::from_ref(&lane), vec![one.clone(), two.clone()]);
        cache.stored(&[], vec![three.clone()]);
        let all = vec![one.entry, two.entry, three.entry];
        assert_eq!(cache.head(lane.as_str(), 8), Some(all.clone()));
        assert_eq!(cache.head(lane.as_str(), 2), Some(all[..2].to_vec()));
        cache.recorded(lane.as_str(), one.entry.delivery, false);
        assert_eq!(cache.head(lane.as_str(), 1), Some(vec![two.entry]));
        cache.recorded(lane.as_str(), one.entry.delivery, false);
        assert_eq!(cache.head(lane.as_str(), 1), Some(vec![two.entry]), "not the head");
        cache.recorded(lane.as_str(), two.entry.delivery, true);
        assert_eq!(cache.head(lane.as_str(), 1), None);
        assert_eq!(cache.lock().entries, 0);
    }

    #[test]
    fn it_is_bounded() {
        let cache = PendingCache::default();
        let one = pushed(1);
        let lane = one.lane.clone();
        let many = vec![one.clone(); ENTRIES_MAX + 1];
        cache.stored(std::slice::from_ref(&lane), many);
        assert_eq!(cache.lock().entries, ENTRIES_MAX);
        cache.forget(one.webhook);
        let state = cache.lock();
        assert_eq!((state.entries, state.lanes.len()), (0, 0));
    }
}
