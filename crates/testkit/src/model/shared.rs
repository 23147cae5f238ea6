//! The model as the ledger under a shared queue.

use std::collections::{BTreeMap, VecDeque};

use async_trait::async_trait;
use domain::{
    Timestamp, WebhookId,
    delivery::{Candidate, ClaimedLane, LaneId},
    port::{LaneLedger, Offer, OpenedListener, StoreResult, WaitingLane},
};

use super::{LaneClaim, LaneRow, ModelState, ModelStore};

impl LaneRow {
    fn is_free(&self, now: Timestamp) -> bool {
        let held = self.lease.as_ref().is_some_and(|lease| lease.until > now);
        !held && !self.waiting.is_empty()
    }

    fn waiting_lane(&self, lane: &LaneId) -> WaitingLane {
        let retry = self.retry_at.is_some();
        WaitingLane { lane: lane.clone(), retry, not_before: self.retry_at }
    }

    /// First tries first, then by how long they are due.
    fn queue_position(&self) -> (bool, Timestamp, u64) {
        (self.retry_at.is_some(), self.retry_at.unwrap_or_default(), self.ticket)
    }
}

impl ModelState {
    /// Why a lane of a webhook that is no candidate is not given.
    fn held_back(&self, webhook: WebhookId) -> Offer {
        if self.holds.contains_key(&webhook) {
            return Offer::Crowded;
        }
        let known = self.webhooks.get(&webhook).filter(|known| known.active);
        let health = known.map(|known| known.health).filter(|health| health.pause.is_none());
        health.and_then(|health| health.held_until()).map_or(Offer::Nothing, Offer::Later)
    }
}

#[async_trait]
impl LaneLedger for ModelStore {
    async fn due(&self, now: Timestamp, limit: u32) -> StoreResult<Vec<WaitingLane>> {
        let mut state = self.lock();
        state.places("", 0, now);
        let offered: Vec<WebhookId> = state.candidates(now).iter().map(|one| one.webhook).collect();
        let due = |lane: &LaneRow| {
            offered.contains(&lane.webhook)
                && lane.is_free(now)
                && lane.retry_at.is_none_or(|at| at <= now)
        };
        let mut found: Vec<_> = state.lanes.iter().filter(|(_, lane)| due(lane)).collect();
        found.sort_by_key(|(_, lane)| lane.queue_position());
        Ok(found.into_iter().take(limit as usize).map(|(id, lane)| lane.waiting_lane(id)).collect())
    }

    async fn claim_these(
        &self,
        worker: &str,
        places: u32,
        lanes: &[LaneId],
        window: u32,
        now: Timestamp,
        until: Timestamp,
    ) -> StoreResult<Vec<Offer>> {
        let mut state = self.lock();
        let state = &mut *state;
        let places = state.places(worker, places, now);
        let candidates = state.candidates(now);
        let mut left: BTreeMap<WebhookId, u32> =
            places.share(&candidates).iter().map(|share| (share.webhook, share.lanes)).collect();
        let candidates: BTreeMap<WebhookId, Candidate> =
            candidates.into_iter().map(|one| (one.webhook, one)).collect();
        let (mut room, mut free) = (places.doubtful_room(), places.free);
        let mut order: Vec<&LaneId> =
            lanes.iter().filter(|id| state.lanes.contains_key(*id)).collect();
        order.sort_by_key(|id| state.lanes[*id].queue_position());
        let mut offers: BTreeMap<LaneId, Offer> = BTreeMap::new();
        for id in order {
            let lane = &state.lanes[id];
            if !lane.is_free(now) {
                continue;
            }
            let webhook = lane.webhook;
            if let Some(at) = lane.retry_at.filter(|at| *at > now) {
                offers.insert(id.clone(), Offer::Later(at));
                continue;
            }
            let Some(candidate) = candidates.get(&webhook) else {
                offers.insert(id.clone(), state.held_back(webhook));
                continue;
            };
            let doubtful = lane.retry_at.is_some() || candidate.failing;
            let own = left.entry(webhook).or_default();
            if free == 0 || *own == 0 || (doubtful && room == 0) {
                offers.insert(id.clone(), Offer::Crowded);
                continue;
            }
            (*own, free, room) = (*own - 1, free - 1, room - u32::from(doubtful));
            state.epoch += 1;
            let epoch = state.epoch;
            let given = VecDeque::new();
            let lease = LaneClaim { owner: worker.into(), epoch, until, doubtful, given };
            state.lanes.get_mut(id).unwrap().lease = Some(lease);
            let deliveries = state.give(id, window);
            let claimed = ClaimedLane { lane: id.clone(), webhook, epoch, deliveries };
            offers.insert(id.clone(), Offer::Claimed(claimed));
        }
        let mut answer = |lane: &LaneId| offers.remove(lane).unwrap_or(Offer::Nothing);
        Ok(lanes.iter().map(&mut answer).collect())
    }

    async fn waiting(&self, lanes: &[LaneId], now: Timestamp) -> StoreResult<Vec<WaitingLane>> {
        let state = self.lock();
        let found = lanes.iter().filter_map(|id| Some((id, state.lanes.get(id)?)));
        Ok(found
            .filter(|(_, lane)| lane.is_free(now))
            .map(|(id, lane)| lane.waiting_lane(id))
            .collect())
    }

    fn on_opened(&self, listener: OpenedListener) {
        self.lock().listener = Some(listener);
    }
}
