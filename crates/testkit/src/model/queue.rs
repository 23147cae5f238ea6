//! The queue of the model.

use std::sync::Arc;

use async_trait::async_trait;
use domain::{
    Timestamp, WebhookId,
    delivery::{
        Candidate, ClaimedLane, Delivery, DeliveryState, HealthChange, LaneId, PauseReason, Places,
    },
    port::{DeliveryQueue, QueueStats, Settled, Settlement, StoreResult, Verdict},
    webhook::{Webhook, WebhookStop},
};

use super::{LaneClaim, LaneRow, ModelState, ModelStore};

impl ModelState {
    fn delivery(&self, id: domain::DeliveryId) -> Delivery {
        let row = &self.rows[&id];
        Delivery {
            id,
            webhook: row.webhook,
            event: row.event.clone(),
            attempts: u32::try_from(row.tries.len()).unwrap(),
            first_tried_at: row.tries.iter().find(|try_| try_.error.is_some()).map(|try_| try_.at),
        }
    }

    fn held(&self, webhook: WebhookId) -> u32 {
        let held = self.lanes.values().filter(|one| one.webhook == webhook && one.lease.is_some());
        u32::try_from(held.count()).unwrap()
    }

    /// Forgets what ran out; the places of a worker that asks for more lanes.
    pub(super) fn places(&mut self, worker: &str, lanes: u32, now: Timestamp) -> Places {
        for lane in self.lanes.values_mut() {
            lane.lease.take_if(|lease| lease.until <= now);
        }
        self.holds.retain(|_, until| *until > now);
        let own = |lane: &&LaneRow| lane.lease.as_ref().is_some_and(|lease| lease.owner == worker);
        let held: Vec<&LaneRow> = self.lanes.values().filter(own).collect();
        let count = |count: usize| u32::try_from(count).unwrap();
        let doubtful =
            held.iter().filter(|lane| lane.lease.as_ref().is_some_and(|one| one.doubtful)).count();
        Places { free: lanes, all: count(held.len()) + lanes, doubtful: count(doubtful) }
    }

    pub(super) fn candidates(&self, now: Timestamp) -> Vec<Candidate> {
        let due = |id: WebhookId| {
            self.lanes.values().any(|lane| {
                lane.webhook == id
                    && !lane.waiting.is_empty()
                    && lane.retry_at.is_none_or(|at| at <= now)
            })
        };
        let offered = |webhook: &&Webhook| {
            webhook.active
                && webhook.health.held_until().is_none_or(|until| until <= now)
                && !self.holds.contains_key(&webhook.id)
                && due(webhook.id)
        };
        let mut offered: Vec<&Webhook> = self.webhooks.values().filter(offered).collect();
        offered.sort_by_key(|webhook| webhook.last_triggered_at);
        let candidate = |webhook: &&Webhook| Candidate {
            webhook: webhook.id,
            failing: webhook.health.is_failing(),
            most: [webhook.policy.concurrency, webhook.health.lanes_max(now)]
                .into_iter()
                .flatten()
                .min(),
            held: self.held(webhook.id),
        };
        offered.iter().map(candidate).collect()
    }

    /// The lanes of a webhook that are due and that nobody holds: those that wait longest first.
    fn due(&self, webhook: WebhookId, tried: bool, now: Timestamp) -> Vec<LaneId> {
        let free = |lane: &LaneRow| {
            lane.webhook == webhook && lane.lease.is_none() && !lane.waiting.is_empty()
        };
        let mut due: Vec<(Timestamp, u64, LaneId)> = self
            .lanes
            .iter()
            .filter(|(_, lane)| free(lane) && lane.retry_at.is_some() == tried)
            .map(|(id, lane)| (lane.retry_at.unwrap_or_default(), lane.ticket, id.clone()))
            .filter(|(at, ..)| *at <= now)
            .collect();
        due.sort();
        due.into_iter().map(|(.., id)| id).collect()
    }

    fn lease(&mut self, lane: &LaneId, epoch: u64) -> Option<&mut LaneClaim> {
        self.lanes.get_mut(lane)?.lease.as_mut().filter(|lease| lease.epoch == epoch)
    }

    pub(super) fn give(&mut self, id: &LaneId, window: u32) -> Vec<Delivery> {
        let lane = self.lanes.get_mut(id).unwrap();
        let given: Vec<_> = lane.waiting.iter().take(window as usize).copied().collect();
        if let Some(lease) = lane.lease.as_mut() {
            lease.given = given.iter().copied().collect();
        }
        given.into_iter().map(|id| self.delivery(id)).collect()
    }

    fn settle(&mut self, settlement: Settlement) -> Settled {
        let Some(lease) = self.lease(&settlement.lane, settlement.epoch) else {
            return Settled::Lost;
        };
        if lease.given.front() != Some(&settlement.delivery) {
            return Settled::Lost;
        }
        let stays = matches!(settlement.verdict, Verdict::RetryAt(_) | Verdict::Disabled);
        if !stays {
            lease.given.pop_front();
        }
        let row = self.rows.get_mut(&settlement.delivery).unwrap();
        row.tries.extend(settlement.attempt.clone());
        row.state = match settlement.verdict {
            Verdict::Delivered => DeliveryState::Delivered,
            Verdict::Exhausted => DeliveryState::Exhausted,
            Verdict::Dropped => DeliveryState::Dropped,
            Verdict::RetryAt(_) | Verdict::Disabled => DeliveryState::Pending,
        };
        let webhook = row.webhook;
        self.ticket += 1;
        let ticket = self.ticket;
        let lane = self.lanes.get_mut(&settlement.lane).unwrap();
        if !stays {
            lane.waiting.pop_front();
            if lane.retry_at.take().is_some() {
                lane.ticket = ticket;
            }
        }
        if let Verdict::RetryAt(at) = settlement.verdict {
            lane.retry_at = Some(at);
        }
        let done = stays || lane.waiting.is_empty();
        if done {
            lane.lease = None;
        }
        if lane.waiting.is_empty() {
            self.lanes.remove(&settlement.lane);
        }
        self.judge(webhook, &settlement);
        if done { Settled::Done } else { Settled::More }
    }

    /// What the outcome does to the webhook.
    fn judge(&mut self, id: WebhookId, settlement: &Settlement) {
        let attempt = settlement.attempt.as_ref().filter(|attempt| attempt.is_receivers());
        let Some(attempt) = attempt else { return };
        let Some(webhook) = self.webhooks.get_mut(&id) else { return };
        let (success, ended) =
            (settlement.verdict == Verdict::Delivered, attempt.at.plus(attempt.duration));
        if success {
            webhook.last_triggered_at = webhook.last_triggered_at.max(Some(attempt.at));
        }
        let change = webhook.health.record(ended, success);
        if settlement.verdict == Verdict::Disabled && webhook.active {
            webhook.active = false;
            self.notice_stop(id, WebhookStop::Gone, ended);
        }
        if change == Some(HealthChange::Paused) {
            self.notice_stop(id, WebhookStop::Paused(PauseReason::NoSuccess), ended);
        }
    }
}

#[async_trait]
impl DeliveryQueue for ModelStore {
    async fn claim_lanes(
        &self,
        worker: &str,
        lanes: u32,
        window: u32,
        now: Timestamp,
        until: Timestamp,
    ) -> StoreResult<Vec<ClaimedLane>> {
        let mut state = self.lock();
        let state = &mut *state;
        let places = state.places(worker, lanes, now);
        let candidates = state.candidates(now);
        let (mut room, mut free) = (places.doubtful_room(), lanes);
        let mut claimed = Vec::new();
        for share in places.share(&candidates) {
            let failing = candidates.iter().any(|one| one.webhook == share.webhook && one.failing);
            let mut left = share.lanes.min(free);
            for tried in [false, true] {
                let doubtful = tried || failing;
                let most = if doubtful { left.min(room) } else { left };
                for id in state.due(share.webhook, tried, now).into_iter().take(most as usize) {
                    state.epoch += 1;
                    let epoch = state.epoch;
                    let given = std::collections::VecDeque::new();
                    let lease = LaneClaim { owner: worker.into(), epoch, until, doubtful, given };
                    state.lanes.get_mut(&id).unwrap().lease = Some(lease);
                    let deliveries = state.give(&id, window);
                    claimed.push(ClaimedLane {
                        lane: id,
                        webhook: share.webhook,
                        epoch,
                        deliveries,
                    });
                    (left, free) = (left - 1, free - 1);
                    room -= u32::from(doubtful);
                }
            }
        }
        Ok(claimed)
    }

    async fn more_of_lane(
        &self,
        lane: &LaneId,
        epoch: u64,
        window: u32,
    ) -> StoreResult<Vec<Delivery>> {
        let mut state = self.lock();
        if state.lease(lane, epoch).is_none() {
            return Ok(vec![]);
        }
        Ok(state.give(lane, window))
    }

    async fn record_attempts(&self, settlement: Settlement) -> StoreResult<Settled> {
        Ok(self.lock().settle(settlement))
    }

    async fn renew_lane(&self, lane: &LaneId, epoch: u64, until: Timestamp) -> StoreResult<bool> {
        let mut state = self.lock();
        let lease = state.lease(lane, epoch);
        Ok(lease.map(|lease| lease.until = until).is_some())
    }

    async fn release_lane(&self, lane: &LaneId, epoch: u64) -> StoreResult<()> {
        let mut state = self.lock();
        if state.lease(lane, epoch).is_some() {
            state.ticket += 1;
            let ticket = state.ticket;
            let lane = state.lanes.get_mut(lane).unwrap();
            lane.lease = None;
            lane.ticket = ticket;
        }
        Ok(())
    }

    async fn hold_webhook(&self, webhook: WebhookId, until: Timestamp) -> StoreResult<()> {
        self.lock().holds.insert(webhook, until);
        Ok(())
    }

    async fn next_lane_due(&self, now: Timestamp) -> StoreResult<Option<Timestamp>> {
        let state = self.lock();
        let retries = state.lanes.values().filter_map(|lane| lane.retry_at).filter(|at| *at > now);
        let probes = state.webhooks.values().filter(|webhook| webhook.active);
        let probes = probes.filter_map(|webhook| webhook.health.held_until());
        let probes = probes.filter(|at| *at > now && at.millis() < i64::MAX);
        let leases = state.lanes.values().filter_map(|lane| lane.lease.as_ref());
        let leases = leases.map(|lease| lease.until);
        Ok(retries.chain(probes).chain(leases).chain(state.holds.values().copied()).min())
    }

    async fn receiver(&self, webhook: WebhookId) -> StoreResult<Option<Arc<Webhook>>> {
        Ok(self.lock().webhooks.get(&webhook).cloned().map(Arc::new))
    }

    async fn queue_stats(&self) -> StoreResult<QueueStats> {
        let state = self.lock();
        let of = |wanted: DeliveryState| state.rows.values().filter(move |row| row.state == wanted);
        let count = |wanted| u64::try_from(of(wanted).count()).unwrap();
        Ok(QueueStats {
            pending: count(DeliveryState::Pending),
            exhausted: count(DeliveryState::Exhausted),
            oldest_pending: of(DeliveryState::Pending).map(|row| row.event.draft.occurred_at).min(),
        })
    }
}
