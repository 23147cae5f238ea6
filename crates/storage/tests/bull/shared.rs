//! A ledger whose queue is the shared one.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::{
    SessionId, Timestamp, WebhookId,
    delivery::{ClaimedLane, Delivery, LaneId},
    port::{
        DeliveryQueue, Holder, Ledger, Page, QueueStats, SessionStore, Settled, Settlement,
        StoreResult, WebhookStore, Write, WriteOutcome,
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
    async fn claim(
        &self,
        worker: &str,
        lanes: u32,
        window: u32,
        now: Timestamp,
        until: Timestamp,
    ) -> StoreResult<Vec<ClaimedLane>> {
        let claimed = self.queue.claim(worker, lanes, window, now, until).await;
        assert!(self.queue.status().up, "it came from Redis: {:?}", self.queue.status());
        claimed
    }

    async fn more(&self, lane: &LaneId, epoch: u64, window: u32) -> StoreResult<Vec<Delivery>> {
        self.queue.more(lane, epoch, window).await
    }

    async fn settle(&self, settlement: Settlement) -> StoreResult<Settled> {
        self.queue.settle(settlement).await
    }

    async fn renew(&self, lane: &LaneId, epoch: u64, until: Timestamp) -> StoreResult<bool> {
        self.queue.renew(lane, epoch, until).await
    }

    async fn release(&self, lane: &LaneId, epoch: u64) -> StoreResult<()> {
        self.queue.release(lane, epoch).await
    }

    async fn hold(&self, webhook: WebhookId, until: Timestamp) -> StoreResult<()> {
        self.queue.hold(webhook, until).await
    }

    async fn next_due(&self, now: Timestamp) -> StoreResult<Option<Timestamp>> {
        self.queue.next_due(now).await
    }

    async fn receiver(&self, webhook: WebhookId) -> StoreResult<Option<Arc<Webhook>>> {
        self.queue.receiver(webhook).await
    }

    async fn stats(&self) -> StoreResult<QueueStats> {
        self.queue.stats().await
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
    async fn insert(&self, session: &Session) -> StoreResult<bool> {
        SessionStore::insert(&self.store, session).await
    }

    async fn get(&self, id: SessionId) -> StoreResult<Option<Session>> {
        SessionStore::get(&self.store, id).await
    }

    async fn list(&self, name: Option<&str>, page: Page) -> StoreResult<Vec<Session>> {
        SessionStore::list(&self.store, name, page).await
    }

    async fn delete(&self, id: SessionId) -> StoreResult<bool> {
        SessionStore::delete(&self.store, id).await
    }

    async fn acquire(
        &self,
        id: SessionId,
        owner: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> StoreResult<Option<u64>> {
        self.store.acquire(id, owner, now, until).await
    }

    async fn release(&self, id: SessionId, owner: &str) -> StoreResult<()> {
        SessionStore::release(&self.store, id, owner).await
    }

    async fn unheld(&self, now: Timestamp, limit: u32) -> StoreResult<Vec<SessionId>> {
        self.store.unheld(now, limit).await
    }

    async fn holder(&self, id: SessionId, now: Timestamp) -> StoreResult<Option<Holder>> {
        self.store.holder(id, now).await
    }

    async fn held(&self, now: Timestamp) -> StoreResult<Vec<SessionId>> {
        self.store.held(now).await
    }

    async fn announce(
        &self,
        owner: &str,
        url: &str,
        now: Timestamp,
        forget_before: Timestamp,
    ) -> StoreResult<()> {
        self.store.announce(owner, url, now, forget_before).await
    }
}

#[async_trait]
impl WebhookStore for Shared {
    async fn insert(&self, webhook: &Webhook, most: u32) -> StoreResult<bool> {
        WebhookStore::insert(&self.store, webhook, most).await
    }

    async fn get(&self, id: WebhookId) -> StoreResult<Option<Webhook>> {
        WebhookStore::get(&self.store, id).await
    }

    async fn list(&self, session: Option<SessionId>, page: Page) -> StoreResult<Vec<Webhook>> {
        WebhookStore::list(&self.store, session, page).await
    }

    async fn update(&self, webhook: &Webhook) -> StoreResult<bool> {
        WebhookStore::update(&self.store, webhook).await
    }

    async fn update_unchanged(&self, webhook: &Webhook, was: Timestamp) -> StoreResult<bool> {
        WebhookStore::update_unchanged(&self.store, webhook, was).await
    }

    async fn pause(&self, id: WebhookId, at: Timestamp) -> StoreResult<bool> {
        WebhookStore::pause(&self.store, id, at).await
    }

    async fn resume(&self, id: WebhookId, now: Timestamp) -> StoreResult<bool> {
        WebhookStore::resume(&self.store, id, now).await
    }

    async fn delete(&self, id: WebhookId) -> StoreResult<bool> {
        WebhookStore::delete(&self.store, id).await
    }
}
