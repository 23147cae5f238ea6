//! The reference model of the queue of lanes: what every ledger has to do, as plainly as it can be said.
//!
//! Nothing here is fast, shared or durable; everything is together and in order, so that it can be read and believed.
//! `storage-conformance` compares the stores with it, and the simulation of the delivery path runs on it.

mod queue;
mod shared;
mod stores;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use domain::{
    DeliveryId, EventId, SessionId, Timestamp, WebhookId,
    delivery::{Attempt, DeliveryState, LaneId},
    event::{Event, EventDraft},
    port::OpenedListener,
    webhook::{Webhook, WebhookStop},
};

/// A delivery as the model keeps it.
#[derive(Debug, Clone)]
pub struct DeliveryRow {
    /// The id of the delivery.
    pub id: DeliveryId,
    /// The webhook that it goes to.
    pub webhook: WebhookId,
    /// The event that it carries.
    pub event: Arc<Event>,
    /// Pending, or how it ended.
    pub state: DeliveryState,
    /// The attempts so far, the first one first.
    pub tries: Vec<Attempt>,
}

/// A worker's claim of a lane.
#[derive(Debug)]
struct LaneClaim {
    owner: String,
    epoch: u64,
    until: Timestamp,
    doubtful: bool,
    /// Deliveries the worker was given and has not settled.
    given: VecDeque<DeliveryId>,
}

/// A lane with something waiting, or held.
#[derive(Debug)]
struct LaneRow {
    webhook: WebhookId,
    /// Waits for a retry until then.
    retry_at: Option<Timestamp>,
    /// The smaller, the longer it waits.
    ticket: u64,
    /// Its deliveries, the head first.
    waiting: VecDeque<DeliveryId>,
    lease: Option<LaneClaim>,
}

#[derive(Default)]
struct ModelState {
    sequences: BTreeMap<SessionId, u64>,
    webhooks: BTreeMap<WebhookId, Webhook>,
    rows: BTreeMap<DeliveryId, DeliveryRow>,
    lanes: BTreeMap<LaneId, LaneRow>,
    holds: BTreeMap<WebhookId, Timestamp>,
    epoch: u64,
    ticket: u64,
    notices: u128,
    listener: Option<OpenedListener>,
}

/// The model. Clones share it.
#[derive(Clone, Default)]
pub struct ModelStore(Arc<Mutex<ModelState>>);

impl ModelStore {
    fn lock(&self) -> MutexGuard<'_, ModelState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The process dies: nobody holds anything any more.
    pub fn crash(&self) {
        let mut state = self.lock();
        state.holds.clear();
        state.lanes.values_mut().for_each(|lane| lane.lease = None);
        state.lanes.retain(|_, lane| !lane.waiting.is_empty());
    }

    /// The process dies and others go on: what it held is nobody's until the leases run out.
    pub fn lose_claims(&self) {
        let mut state = self.lock();
        state.holds.clear();
        for lease in state.lanes.values_mut().filter_map(|lane| lane.lease.as_mut()) {
            lease.epoch = u64::MAX;
        }
    }

    /// Records an event by itself.
    pub fn push(&self, draft: EventDraft) -> Event {
        self.lock().record(draft)
    }

    /// Every delivery that was ever stored.
    pub fn rows(&self) -> Vec<DeliveryRow> {
        self.lock().rows.values().cloned().collect()
    }
}

impl ModelState {
    fn record(&mut self, draft: EventDraft) -> Event {
        let sequence = self.sequences.entry(draft.session).or_default();
        *sequence += 1;
        let event = Arc::new(Event { draft, sequence: *sequence });
        let wanting: Vec<Webhook> =
            self.webhooks.values().filter(|webhook| webhook.wants(&event.draft)).cloned().collect();
        for webhook in wanting {
            let id = DeliveryId::of(event.draft.id, webhook.id);
            let row = DeliveryRow {
                id,
                webhook: webhook.id,
                event: event.clone(),
                state: DeliveryState::Pending,
                tries: vec![],
            };
            self.rows.insert(id, row);
            self.ticket += 1;
            let fresh = LaneRow {
                webhook: webhook.id,
                retry_at: None,
                ticket: self.ticket,
                waiting: VecDeque::new(),
                lease: None,
            };
            let name = webhook.lane(&event.draft);
            let lane = self.lanes.entry(name.clone()).or_insert(fresh);
            lane.waiting.push_back(id);
            if let (1, Some(listener)) = (lane.waiting.len(), &self.listener) {
                listener(&[name]);
            }
        }
        Event::clone(&event)
    }

    /// Tells the other webhooks of the session that one stopped.
    fn notice_stop(&mut self, id: WebhookId, stop: WebhookStop, at: Timestamp) {
        self.notices += 1;
        let notice = EventId::from_uuid(uuid::Uuid::from_u128(u128::MAX - self.notices));
        let Some(webhook) = self.webhooks.get(&id) else { return };
        let draft = webhook.stop_notice(notice, stop, at);
        self.record(draft);
    }
}
