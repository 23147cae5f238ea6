//! A ledger whose queue is the shared one.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::{
    SessionId, Timestamp, WebhookId,
    delivery::{ClaimedLane, Delivery, LaneId},
    port::{
        DeliveryQueue, Held, Holder, Lease, Ledger, Page, QueueStats, SessionStore, Settled,
        Settlement, StoreResult, WebhookStore, WishListener, Write, WriteOutcome,
    },
    session::Session,
    webhook::Webhook,
};
use storage::{BullQueue, LedgerStore, RedisOptions};
use testkit::ManualClock;

/// Both; every port but the queue goes to the ledger.
#[derive(Clone)]
pub struct Shared {
    pub store: LedgerStore,
    pub queue: BullQueue,
}

impl Shared {
    /// Every claim sweeps: invented times pass.
    pub async fn over(store: LedgerStore, mut options: RedisOptions) -> Self {
        options.sweep_interval = Duration::ZERO;
        let clock = Arc::new(ManualClock::default());
        let queue = BullQueue::start(Arc::new(store.clone()), options, clock).await.unwrap();
        assert!(queue.status().up, "{:?}", queue.status());
        Self { store, queue }
    }
}

#[async_trait]
impl DeliveryQueue for Shared {
    async fn claim_lanes(
        &self,
        worker: &str,
        lanes: u32,
        window: u32,
        now: Timestamp,
        until: Timestamp,
    ) -> StoreResult<Vec<ClaimedLane>> {
        let claimed = self.queue.claim_lanes(worker, lanes, window, now, until).await;
        assert!(self.queue.status().up, "it came from Redis: {:?}", self.queue.status());
        claimed
    }

    async fn more_of_lane(
        &self,
        lane: &LaneId,
        epoch: u64,
        window: u32,
    ) -> StoreResult<Vec<Delivery>> {
        self.queue.more_of_lane(lane, epoch, window).await
    }

    async fn record_attempts(&self, settlement: Settlement) -> StoreResult<Settled> {
        self.queue.record_attempts(settlement).await
    }

    async fn renew_lane(&self, lane: &LaneId, epoch: u64, until: Timestamp) -> StoreResult<bool> {
        self.queue.renew_lane(lane, epoch, until).await
    }

    async fn release_lane(&self, lane: &LaneId, epoch: u64) -> StoreResult<()> {
        self.queue.release_lane(lane, epoch).await
    }

    async fn hold_webhook(&self, webhook: WebhookId, until: Timestamp) -> StoreResult<()> {
        self.queue.hold_webhook(webhook, until).await
    }

    async fn next_lane_due(&self, now: Timestamp) -> StoreResult<Option<Timestamp>> {
        self.queue.next_lane_due(now).await
    }

    async fn receiver(&self, webhook: WebhookId) -> StoreResult<Option<Arc<Webhook>>> {
        self.queue.receiver(webhook).await
    }

    async fn queue_stats(&self) -> StoreResult<QueueStats> {
        self.queue.queue_stats().await
    }
}

#[async_trait]
impl Ledger for Shared {
    async fn write(&self, writes: Vec<Write>) -> StoreResult<Vec<WriteOutcome>> {
        self.store.write(writes).await
    }

    async fn release_held(&self, now: Timestamp) -> StoreResult<u64> {
        self.store.release_held(now).await
    }

    async fn ping(&self) -> StoreResult<()> {
        self.store.ping().await
    }
}

#[async_trait]
impl SessionStore for Shared {
    async fn insert_session(&self, session: &Session) -> StoreResult<bool> {
        self.store.insert_session(session).await
    }

    async fn session(&self, id: SessionId) -> StoreResult<Option<Session>> {
        self.store.session(id).await
    }

    async fn sessions(&self, name: Option<&str>, page: Page) -> StoreResult<Vec<Session>> {
        self.store.sessions(name, page).await
    }

    async fn sessions_among(&self, ids: &[SessionId]) -> StoreResult<Vec<Session>> {
        self.store.sessions_among(ids).await
    }

    async fn delete_session(&self, id: SessionId) -> StoreResult<bool> {
        self.store.delete_session(id).await
    }

    async fn acquire_session(
        &self,
        id: SessionId,
        owner: &str,
        now: Timestamp,
        lasts: Duration,
    ) -> StoreResult<Option<Held>> {
        self.store.acquire_session(id, owner, now, lasts).await
    }

    async fn release_session(&self, lease: &Lease) -> StoreResult<()> {
        self.store.release_session(lease).await
    }

    fn is_shared(&self) -> bool {
        self.store.is_shared()
    }

    fn listen_for_wishes(&self, listener: WishListener) {
        self.store.listen_for_wishes(listener);
    }

    async fn unheld_sessions(&self, now: Timestamp, limit: u32) -> StoreResult<Vec<SessionId>> {
        self.store.unheld_sessions(now, limit).await
    }

    async fn session_holder(&self, id: SessionId, now: Timestamp) -> StoreResult<Option<Holder>> {
        self.store.session_holder(id, now).await
    }

    async fn held_sessions(&self, now: Timestamp) -> StoreResult<Vec<SessionId>> {
        self.store.held_sessions(now).await
    }

    async fn announce_process(
        &self,
        owner: &str,
        url: &str,
        now: Timestamp,
        forget_before: Timestamp,
    ) -> StoreResult<()> {
        self.store.announce_process(owner, url, now, forget_before).await
    }
}

#[async_trait]
impl WebhookStore for Shared {
    async fn insert_webhook(&self, webhook: &Webhook, most: u32) -> StoreResult<bool> {
        self.store.insert_webhook(webhook, most).await
    }

    async fn webhook(&self, id: WebhookId) -> StoreResult<Option<Webhook>> {
        self.store.webhook(id).await
    }

    async fn webhooks(&self, session: Option<SessionId>, page: Page) -> StoreResult<Vec<Webhook>> {
        self.store.webhooks(session, page).await
    }

    async fn webhooks_among(&self, sessions: &[SessionId]) -> StoreResult<Vec<Webhook>> {
        self.store.webhooks_among(sessions).await
    }

    async fn update_webhook(&self, webhook: &Webhook) -> StoreResult<bool> {
        self.store.update_webhook(webhook).await
    }

    async fn update_webhook_if_unchanged(
        &self,
        webhook: &Webhook,
        was: Timestamp,
    ) -> StoreResult<bool> {
        self.store.update_webhook_if_unchanged(webhook, was).await
    }

    async fn pause_webhook(&self, id: WebhookId, at: Timestamp) -> StoreResult<bool> {
        self.store.pause_webhook(id, at).await
    }

    async fn resume_webhook(&self, id: WebhookId, now: Timestamp) -> StoreResult<bool> {
        self.store.resume_webhook(id, now).await
    }

    async fn delete_webhook(&self, id: WebhookId) -> StoreResult<bool> {
        self.store.delete_webhook(id).await
    }
}
