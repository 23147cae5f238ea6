//! Lanes that found no room: their webhook, or their kind, has as many on the way as it may.
//!
//! Their jobs are sent to wait in Redis, out of the way of the others, and their names are remembered here. As soon
//! as there is room the ledger gives them without another way through Redis; if this process does not get to it,
//! their jobs come back by themselves, for whoever is first.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    sync::PoisonError,
    time::Duration,
};

use domain::{Timestamp, WebhookId, delivery::LaneId, port::Offer};
use futures::future::join_all;

use super::{
    QueueInner,
    claim::{ClaimFailure, ClaimRequest, count},
    job,
    link::RedisLink,
};

/// Lanes that are remembered. When full, the others have only their jobs.
const LANES_MAX: usize = 4096;
/// Lanes of one webhook that are asked for at once: most often there is room for a few.
const AT_ONCE: usize = 8;
/// When the jobs come back by themselves: the first after this, the next ones so far apart.
const WAIT: Duration = Duration::from_secs(2);
const STEP: Duration = Duration::from_millis(5);

/// Those of this process, by webhook, so that one webhook's many do not hide the others'.
#[derive(Default)]
pub(super) struct ThrottledLanes {
    lanes: BTreeMap<WebhookId, VecDeque<LaneId>>,
    known: HashSet<LaneId>,
    last: Timestamp,
}

impl ThrottledLanes {
    /// One more; the time until which its job waits.
    pub(super) fn keep(&mut self, lane: LaneId, now: Timestamp) -> Timestamp {
        if let Some(webhook) = lane.webhook()
            && self.known.len() < LANES_MAX
            && self.known.insert(lane.clone())
        {
            self.lanes.entry(webhook).or_default().push_back(lane);
        }
        self.last = now.plus(WAIT).max(self.last.plus(STEP));
        self.last
    }

    /// The first few of each webhook.
    fn first(&self, most: usize) -> Vec<LaneId> {
        self.lanes
            .values()
            .flat_map(|lanes| lanes.iter().take(AT_ONCE))
            .take(most)
            .cloned()
            .collect()
    }

    /// It is throttled no more.
    fn forget(&mut self, lane: &LaneId) {
        let Some(webhook) = lane.webhook().filter(|_| self.known.remove(lane)) else { return };
        if let Some(lanes) = self.lanes.get_mut(&webhook) {
            lanes.retain(|one| one != lane);
            if lanes.is_empty() {
                self.lanes.remove(&webhook);
            }
        }
    }

    /// Redis is gone: lanes come from the ledger.
    pub(super) fn clear(&mut self) {
        self.lanes.clear();
        self.known.clear();
    }
}

impl QueueInner {
    pub(super) fn throttled(&self) -> std::sync::MutexGuard<'_, ThrottledLanes> {
        self.throttled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes throttled lanes for which there is room by now.
    pub(super) async fn claim_throttled(
        &self,
        link: &RedisLink,
        ask: ClaimRequest<'_>,
        claimed: &mut Vec<domain::delivery::ClaimedLane>,
    ) -> Result<(), ClaimFailure> {
        loop {
            let slots = ask.lanes.saturating_sub(count(claimed.len()));
            let lanes = self.throttled().first(usize::try_from(slots).unwrap_or(0));
            if lanes.is_empty() {
                return Ok(());
            }
            let ClaimRequest { worker, window, now, until, .. } = ask;
            let offers = self.ledger.claim_these(worker, slots, &lanes, window, now, until).await?;
            let (mut taken, mut full) = (Vec::new(), false);
            for (lane, offer) in lanes.iter().zip(offers) {
                match offer {
                    Offer::Crowded => {
                        full = true;
                        continue;
                    }
                    Offer::Claimed(given) => {
                        taken.push(job::id_of(lane));
                        claimed.push(given);
                    }
                    // It waits in Redis all the same, and is looked at when it comes.
                    Offer::Later(_) | Offer::Nothing => {}
                }
                self.throttled().forget(lane);
            }
            // Its job would come for nothing.
            let removed = join_all(taken.iter().map(|id| link.remove(id))).await;
            removed.into_iter().collect::<Result<(), _>>()?;
            if full {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use testkit::build;

    use super::*;

    fn lane(webhook: u32, chat: u32) -> LaneId {
        let webhook = build::webhook(webhook, build::session(1).id);
        LaneId::chat(webhook.id, &build::chat(chat))
    }

    #[test]
    fn throttled_lanes_are_kept_by_webhook_and_each_lane_once() {
        let mut throttled = ThrottledLanes::default();
        let now = Timestamp::from_millis(1000);
        let until: Vec<i64> = [lane(1, 1), lane(1, 2), lane(1, 1), lane(2, 1)]
            .into_iter()
            .map(|lane| throttled.keep(lane, now).millis())
            .collect();
        assert_eq!(until, [3000, 3005, 3010, 3015]);
        assert_eq!(throttled.first(100), [lane(1, 1), lane(1, 2), lane(2, 1)]);
        assert_eq!(throttled.first(1), [lane(1, 1)]);
        throttled.forget(&lane(1, 1));
        throttled.forget(&lane(2, 1));
        assert_eq!(throttled.first(100), [lane(1, 2)]);
        assert_eq!(throttled.keep(lane(1, 1), Timestamp::from_millis(9000)).millis(), 11_000);
    }

    #[test]
    fn a_full_set_takes_no_more() {
        let mut throttled = ThrottledLanes::default();
        for chat in 0..=u32::try_from(LANES_MAX).unwrap() {
            throttled.keep(lane(1, chat), Timestamp::from_millis(0));
        }
        assert_eq!(throttled.known.len(), LANES_MAX);
        throttled.clear();
        assert!(throttled.first(1).is_empty());
    }
}
