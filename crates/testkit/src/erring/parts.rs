//! A store put together of others: each part of the ledger answers by itself.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::{
    SessionId, Timestamp,
    brake::SendsPause,
    log::{Activity, DoubtfulCounts, MessageCounts, WebhookLag, WriterStats},
    port::{
        ApiKeyStore, ApprovalStore, AutomationStore, BatchStore, BrakeStore, DeviceKeys,
        GroupStore, Held, Holder, IdempotencyStore, IngressStore, LabelStore, Lease, Ledger,
        LogStore, LoginStore, MediaRecords, MessageStore, PacingStore, Page, PauseListener,
        PeopleStore, PluginStore, PluginValues, ProcessStore, Quarantined, SearchStore,
        SessionStore, StatsStore, StatusStore, Store, StoreResult, Telemetry, TemplateStore,
        TransferStore, Trouble, UnreadableRow, WebhookStore, WishListener, Write, WriteOutcome,
    },
    session::Session,
};

/// A [`Store`] of which a test replaces a part: the ledger errs, the rest is real.
#[derive(Clone)]
#[expect(missing_docs, reason = "each field is the port of its name")]
pub struct StoreParts {
    pub ledger: Arc<dyn Ledger>,
    pub sessions: Arc<dyn SessionStore>,
    pub messages: Arc<dyn MessageStore>,
    pub webhooks: Arc<dyn WebhookStore>,
    pub api_keys: Arc<dyn ApiKeyStore>,
    pub approvals: Arc<dyn ApprovalStore>,
    pub logins: Arc<dyn LoginStore>,
    pub log: Arc<dyn LogStore>,
    pub device_keys: Arc<dyn DeviceKeys>,
    pub people: Arc<dyn PeopleStore>,
    pub groups: Arc<dyn GroupStore>,
    pub templates: Arc<dyn TemplateStore>,
    pub idempotency: Arc<dyn IdempotencyStore>,
    pub pacing: Arc<dyn PacingStore>,
    pub batches: Arc<dyn BatchStore>,
    pub media_records: Arc<dyn MediaRecords>,
    pub plugins: Arc<dyn PluginStore>,
    pub plugin_values: Arc<dyn PluginValues>,
    pub ingress: Arc<dyn IngressStore>,
    pub stats: Arc<dyn StatsStore>,
    pub search: Arc<dyn SearchStore>,
    pub automation: Arc<dyn AutomationStore>,
    pub transfer: Arc<dyn TransferStore>,
    pub statuses: Arc<dyn StatusStore>,
    pub labels: Arc<dyn LabelStore>,
    pub brake: Arc<dyn BrakeStore>,
    pub processes: Arc<dyn ProcessStore>,
}

impl StoreParts {
    /// All parts from one store.
    pub fn of(store: Arc<dyn Store>) -> Self {
        Self {
            ledger: store.clone(),
            sessions: store.clone(),
            messages: store.clone(),
            webhooks: store.clone(),
            api_keys: store.clone(),
            approvals: store.clone(),
            logins: store.clone(),
            log: store.clone(),
            device_keys: store.clone(),
            people: store.clone(),
            groups: store.clone(),
            templates: store.clone(),
            idempotency: store.clone(),
            pacing: store.clone(),
            batches: store.clone(),
            media_records: store.clone(),
            plugins: store.clone(),
            plugin_values: store.clone(),
            ingress: store.clone(),
            stats: store.clone(),
            search: store.clone(),
            automation: store.clone(),
            transfer: store.clone(),
            statuses: store.clone(),
            labels: store.clone(),
            brake: store.clone(),
            processes: store.clone(),
        }
    }
}

#[async_trait]
impl Ledger for StoreParts {
    async fn write(&self, writes: Vec<Write>) -> StoreResult<Vec<WriteOutcome>> {
        self.ledger.write(writes).await
    }

    async fn release_held(&self, now: Timestamp) -> StoreResult<u64> {
        self.ledger.release_held(now).await
    }

    async fn ping(&self) -> StoreResult<()> {
        self.ledger.ping().await
    }

    fn trouble(&self) -> Option<Trouble> {
        self.ledger.trouble()
    }

    async fn probe(&self) -> StoreResult<()> {
        self.ledger.probe().await
    }

    fn unreadable(&self) -> Vec<UnreadableRow> {
        self.ledger.unreadable()
    }

    async fn quarantine(&self, put_aside: Quarantined) -> StoreResult<bool> {
        self.ledger.quarantine(put_aside).await
    }

    async fn put_aside(&self) -> StoreResult<u64> {
        self.ledger.put_aside().await
    }
}

#[async_trait]
impl SessionStore for StoreParts {
    async fn insert_session(&self, session: &Session) -> StoreResult<bool> {
        self.sessions.insert_session(session).await
    }

    async fn session(&self, id: SessionId) -> StoreResult<Option<Session>> {
        self.sessions.session(id).await
    }

    async fn sessions(&self, name: Option<&str>, page: Page) -> StoreResult<Vec<Session>> {
        self.sessions.sessions(name, page).await
    }

    async fn sessions_among(&self, ids: &[SessionId]) -> StoreResult<Vec<Session>> {
        self.sessions.sessions_among(ids).await
    }

    async fn delete_session(&self, id: SessionId) -> StoreResult<bool> {
        self.sessions.delete_session(id).await
    }

    async fn acquire_session(
        &self,
        id: SessionId,
        owner: &str,
        now: Timestamp,
        lasts: Duration,
    ) -> StoreResult<Option<Held>> {
        self.sessions.acquire_session(id, owner, now, lasts).await
    }

    async fn release_session(&self, lease: &Lease) -> StoreResult<()> {
        self.sessions.release_session(lease).await
    }

    async fn unheld_sessions(&self, now: Timestamp, limit: u32) -> StoreResult<Vec<SessionId>> {
        self.sessions.unheld_sessions(now, limit).await
    }

    async fn session_holder(&self, id: SessionId, now: Timestamp) -> StoreResult<Option<Holder>> {
        self.sessions.session_holder(id, now).await
    }

    async fn held_sessions(&self, now: Timestamp) -> StoreResult<Vec<SessionId>> {
        self.sessions.held_sessions(now).await
    }

    async fn announce_process(
        &self,
        owner: &str,
        url: &str,
        now: Timestamp,
        forget_before: Timestamp,
    ) -> StoreResult<()> {
        self.sessions.announce_process(owner, url, now, forget_before).await
    }

    fn is_shared(&self) -> bool {
        self.sessions.is_shared()
    }

    fn listen_for_wishes(&self, listener: WishListener) {
        self.sessions.listen_for_wishes(listener);
    }
}

#[async_trait]
impl BrakeStore for StoreParts {
    async fn sends_pause(&self) -> StoreResult<Option<SendsPause>> {
        self.brake.sends_pause().await
    }

    async fn pause_sends(&self, pause: &SendsPause) -> StoreResult<SendsPause> {
        self.brake.pause_sends(pause).await
    }

    async fn resume_sends(&self) -> StoreResult<bool> {
        self.brake.resume_sends().await
    }

    fn listen_for_pauses(&self, listener: PauseListener) {
        self.brake.listen_for_pauses(listener);
    }
}

#[async_trait]
impl Telemetry for StoreParts {
    async fn lags(&self) -> StoreResult<Vec<WebhookLag>> {
        self.log.lags().await
    }

    async fn doubtful_counts(&self) -> StoreResult<DoubtfulCounts> {
        self.log.doubtful_counts().await
    }

    async fn message_counts(&self) -> StoreResult<MessageCounts> {
        self.log.message_counts().await
    }

    async fn activities(&self, sessions: &[SessionId]) -> StoreResult<Vec<(SessionId, Activity)>> {
        self.log.activities(sessions).await
    }

    async fn keep_activity(&self, activities: Vec<(SessionId, Activity)>) -> StoreResult<()> {
        self.log.keep_activity(activities).await
    }

    fn writer(&self) -> WriterStats {
        self.log.writer()
    }
}
