//! Lets go of what is old: settled deliveries, dead letters, events without deliveries, the audit, keys of
//! idempotent sends, statuses, and messages where that is asked for.
//!
//! The ledger has no clock. At each round the length of the event log is marked with the time; the mark of a week ago
//! then says which events are a week old. Small batches, with everything else in between.

use std::{sync::Arc, time::Duration};

use domain::{
    Clock, Timer, Timestamp,
    log::PruneLimits,
    port::{IdempotencyStore, LogStore, StatsStore, StatusStore, StoreResult},
    stats::STATS_KEPT,
    status::STATUS_LIFE,
};

use crate::{Audit, Policy, Ports, Supervisor};

/// Events looked at, or rows deleted, in one job.
const BATCH: u32 = 500;
/// Rounds after which the event log is looked through from its beginning: what had to stay may go by then.
const ROUNDS: u32 = 24;

/// How long things are kept.
#[derive(Debug, Clone)]
pub struct RetentionOptions {
    /// Settled deliveries and their events.
    pub events: Duration,
    /// How long dead letters are kept.
    pub failures: Duration,
    /// How long entries of the audit are kept.
    pub audit: Duration,
    /// Messages with their files; `None` keeps them.
    pub messages: Option<Duration>,
    /// The time between two rounds.
    pub every: Duration,
    /// Between two looks for deletes to finish and files to remove.
    pub sweep: Duration,
}

impl Default for RetentionOptions {
    fn default() -> Self {
        let days = |days: u64| Duration::from_secs(days * 86_400);
        Self {
            events: days(7),
            failures: days(90),
            audit: days(90),
            messages: None,
            every: Duration::from_secs(3600),
            sweep: Duration::from_secs(20),
        }
    }
}

struct RetentionLoop {
    options: RetentionOptions,
    log: Arc<dyn LogStore>,
    idempotency: Arc<dyn IdempotencyStore>,
    stats: Arc<dyn StatsStore>,
    statuses: Arc<dyn StatusStore>,
    clock: Arc<dyn Clock>,
    audit: Audit,
    supervisor: Supervisor,
}

/// How far the rounds before have looked through the event log.
#[derive(Default)]
struct SeenTables {
    rounds: u32,
    events: u64,
    failures: u64,
}
pub(crate) fn start(
    options: RetentionOptions,
    ports: &Ports,
    audit: &Audit,
    supervisor: &Supervisor,
) {
    let retention = RetentionLoop {
        options,
        log: ports.store.clone(),
        idempotency: ports.store.clone(),
        stats: ports.store.clone(),
        statuses: ports.store.clone(),
        clock: ports.clock.clone(),
        audit: audit.clone(),
        supervisor: supervisor.clone(),
    };
    supervisor.spawn("retention", Policy::Essential, retention.run());
}

impl RetentionLoop {
    async fn run(self) {
        let stopping = self.supervisor.stopping();
        let mut seen = SeenTables::default();
        while !stopping.is_cancelled() {
            let now = self.clock.now();
            if let Err(error) = self.round(now, &mut seen).await {
                // The next round goes on.
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "old rows were not all deleted");
            }
            tokio::select! {
                () = self.clock.sleep_until(Timer::Retention, now.plus(self.options.every)) => {}
                () = stopping.cancelled() => {}
            }
        }
    }

    async fn round(&self, now: Timestamp, seen: &mut SeenTables) -> StoreResult<()> {
        // Of the processes that share the ledger one does it.
        if !self.log.take_upkeep_turn("retention", now, self.options.every).await? {
            return Ok(());
        }
        let stopping = self.supervisor.stopping();
        while !stopping.is_cancelled()
            && self.idempotency.expire_idempotency_keys(now, BATCH).await? > 0
        {}
        self.stats.prune_stats(now.minus(STATS_KEPT)).await?;
        let over = now.minus(STATUS_LIFE);
        while !stopping.is_cancelled() && self.statuses.expire_statuses(over, BATCH).await? > 0 {}
        let before = now.minus(self.options.audit);
        while !stopping.is_cancelled() && self.audit.prune(before, BATCH).await? > 0 {}
        if let Some(kept) = self.options.messages {
            let before = now.minus(kept);
            while !stopping.is_cancelled() && self.log.prune_messages(before, BATCH).await? > 0 {}
        }
        self.events(now, seen).await
    }

    /// The event log, from where the rounds before came to. Dead letters are kept longer: they have a place of their
    /// own.
    async fn events(&self, now: Timestamp, seen: &mut SeenTables) -> StoreResult<()> {
        let settled_before = now.minus(self.options.events);
        let failed_before = now.minus(self.options.failures);
        self.log.mark_time(now, settled_before.min(failed_before)).await?;
        let events_through = self.log.time_mark(settled_before).await?;
        let failures_through = self.log.time_mark(failed_before).await?;
        if seen.rounds.is_multiple_of(ROUNDS) {
            *seen = SeenTables::default();
        }
        let limits =
            PruneLimits { events_through, failures_through, settled_before, failed_before };
        let failures =
            PruneLimits { events_through: events_through.min(failures_through), ..limits };
        let (from, to) = (seen.failures, failures_through);
        if to > from && self.prune(from, failures).await? {
            seen.failures = to;
        }
        let settled = PruneLimits { failures_through: 0, ..limits };
        let (from, to) = (seen.events.max(seen.failures), events_through);
        if to > from && self.prune(from, settled).await? {
            seen.events = to;
        }
        seen.rounds += 1;
        Ok(())
    }

    /// `false` when it was told to stop before the end.
    async fn prune(&self, from: u64, limits: PruneLimits) -> StoreResult<bool> {
        let stopping = self.supervisor.stopping();
        let mut after = from;
        while !stopping.is_cancelled() {
            let pruned = self.log.prune_events(after, limits, BATCH).await?;
            if pruned.deliveries + pruned.events > 0 {
                tracing::debug!(pruned.deliveries, pruned.events, "old rows deleted");
            }
            let Some(next) = pruned.next else { return Ok(true) };
            after = next;
        }
        Ok(false)
    }
}
