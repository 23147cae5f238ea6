//! The logs: events and deliveries of the past, replays, the audit, and how current everything is.

use async_trait::async_trait;

use super::{Page, StoreResult, Upkeep};
use crate::{
    delivery::{Attempt, LanePage, LaneQuery},
    ids::{DeliveryId, EventId, SessionId, WebhookId},
    log::{
        Activity, AuditEntry, AuditQuery, DeliveryQuery, DeliveryRecord, DoubtfulCounts,
        FailureQuery, LogBounds, LoggedEvent, MessageCounts, NewReplay, PruneLimits, Pruned,
        PrunedSession, ReplayCandidate, WebhookLag, WriterStats,
    },
    time::Timestamp,
    webhook::Webhook,
};

/// Reading the event log by position.
#[async_trait]
pub trait EventLog: Send + Sync + 'static {
    /// Where it begins and ends.
    async fn log_bounds(&self) -> StoreResult<LogBounds>;
    /// Up to `limit` events behind `after`, of one session or of all, in the order of their positions. What was
    /// committed before the call is there: a position never appears behind one that was already seen.
    async fn read_events(
        &self,
        after: u64,
        session: Option<SessionId>,
        limit: u32,
    ) -> StoreResult<Vec<LoggedEvent>>;
    /// One event.
    async fn event(&self, id: EventId) -> StoreResult<Option<LoggedEvent>>;
    /// The sessions of which events are gone, by id, at most `limit`.
    async fn pruned_sessions(&self, limit: u32) -> StoreResult<Vec<PrunedSession>>;
    /// Remembers how long the log is at that time; forgets marks that nobody asks for who asks for times after
    /// `forget_before`, and those of a clock that ran ahead of it.
    async fn mark_time(&self, at: Timestamp, forget_before: Timestamp) -> StoreResult<()>;
    /// The last position that was stored at or before a time, as far as marks tell; 0 when none does.
    async fn time_mark(&self, at: Timestamp) -> StoreResult<u64>;
    /// Looks at up to `limit` events behind `after` and deletes what may go: settled deliveries, then events without
    /// any. Where nothing may go, nothing is written.
    async fn prune_events(
        &self,
        after: u64,
        limits: PruneLimits,
        limit: u32,
    ) -> StoreResult<Pruned>;
}

/// Reading the delivery log, and putting events of the past on their way again.
#[async_trait]
pub trait DeliveryLog: Send + Sync + 'static {
    /// Deliveries of a webhook, newest event first, without excerpts of answers.
    async fn deliveries(
        &self,
        webhook: WebhookId,
        query: &DeliveryQuery,
        limit: u32,
    ) -> StoreResult<Vec<DeliveryRecord>>;
    /// One delivery with everything.
    async fn delivery(&self, id: DeliveryId) -> StoreResult<Option<DeliveryRecord>>;
    /// Dead letters, newest event first: exhausted or dropped, and not replayed since.
    async fn failures(&self, query: &FailureQuery, page: Page) -> StoreResult<Vec<DeliveryRecord>>;
    /// Dead letters in the order in which a redrive takes them: least tried first, then oldest.
    async fn to_redrive(
        &self,
        query: &FailureQuery,
        limit: u32,
    ) -> StoreResult<Vec<DeliveryRecord>>;
    /// How many dead letters there are.
    async fn failure_count(&self, query: &FailureQuery) -> StoreResult<u64>;
    /// Up to `limit` events of the webhook's session behind the sequence `after`, in order.
    async fn replay_candidates(
        &self,
        webhook: &Webhook,
        after: u64,
        limit: u32,
    ) -> StoreResult<Vec<ReplayCandidate>>;
    /// The sequence of a delivery's event, if it is one of this webhook's.
    async fn delivery_sequence(
        &self,
        webhook: WebhookId,
        id: DeliveryId,
    ) -> StoreResult<Option<u64>>;
    /// Stores replays behind what waits in their lanes, as one unit; how many. Left out are events that are gone and
    /// those of which a delivery to the webhook waits.
    async fn insert_replays(&self, webhook: WebhookId, replays: Vec<NewReplay>)
    -> StoreResult<u64>;
    /// Records a replay that was tried once outside the lanes: delivered, or a dead letter. `false` when its event or
    /// its webhook is gone.
    async fn record_redrives(
        &self,
        webhook: WebhookId,
        replay: NewReplay,
        attempt: Attempt,
    ) -> StoreResult<bool>;
}

/// Reading how the lanes stand, for people. What a claim needs is [`DeliveryQueue`](super::DeliveryQueue).
#[async_trait]
pub trait LaneLog: Send + Sync + 'static {
    /// Lanes in which something waits at `now`, those that wait longest first, at most `limit`. Who has a lane is told
    /// of all processes; that a webhook's rate is used up is known of this one alone. A lane that ends while this is
    /// read is left out.
    async fn lanes(&self, query: &LaneQuery, now: Timestamp, limit: u32) -> StoreResult<LanePage>;
}

/// The audit.
#[async_trait]
pub trait AuditLog: Send + Sync + 'static {
    /// Stores entries.
    async fn append_audit(&self, entries: Vec<AuditEntry>) -> StoreResult<()>;
    /// Newest first, and how many match without paging.
    async fn audit_entries(
        &self,
        query: &AuditQuery,
        page: Page,
    ) -> StoreResult<(Vec<AuditEntry>, u64)>;
    /// Deletes up to `limit` entries older than this; how many.
    async fn prune_audit(&self, before: Timestamp, limit: u32) -> StoreResult<u64>;
}

/// How current everything is.
#[async_trait]
pub trait Telemetry: Send + Sync + 'static {
    /// Webhooks with something waiting, the longest waiting first.
    async fn lags(&self) -> StoreResult<Vec<WebhookLag>>;
    /// Numbers of webhooks whose receivers do not do well.
    async fn doubtful_counts(&self) -> StoreResult<DoubtfulCounts>;
    /// Numbers of messages.
    async fn message_counts(&self) -> StoreResult<MessageCounts>;
    /// What was stored about the activity of some sessions, and their last deliveries, in one read; in any order, and
    /// without those that do not exist.
    async fn activities(&self, sessions: &[SessionId]) -> StoreResult<Vec<(SessionId, Activity)>>;
    /// Stores activities; never moves one back.
    async fn keep_activity(&self, activities: Vec<(SessionId, Activity)>) -> StoreResult<()>;
    /// How the writer does.
    fn writer(&self) -> WriterStats;
}

/// All of them.
pub trait LogStore: EventLog + DeliveryLog + LaneLog + AuditLog + Telemetry + Upkeep {}

impl<T: EventLog + DeliveryLog + LaneLog + AuditLog + Telemetry + Upkeep> LogStore for T {}
