//! Lets go of what is old: settled deliveries, dead letters, events without deliveries, the audit.
//!
//! The ledger has no clock. At each round the length of the event log is marked with the time; the mark of a week ago
//! then says which events are a week old. Small batches, with everything else in between.

use std::{sync::Arc, time::Duration};

use domain::{
    Clock, Timestamp,
    log::PruneLimits,
    port::{LogStore, StoreResult},
};

use crate::{Audit, Policy, Ports, Supervisor};

/// Events looked at, or entries deleted, in one job.
const BATCH: u32 = 200;

/// How long things are kept.
#[derive(Debug, Clone)]
pub struct RetentionOptions {
    /// Settled deliveries and their events.
    pub events: Duration,
    /// Dead letters.
    pub failures: Duration,
    /// The audit.
    pub audit: Duration,
    /// Between two rounds.
    pub every: Duration,
}

impl Default for RetentionOptions {
    fn default() -> Self {
        let days = |days: u64| Duration::from_secs(days * 86_400);
        Self {
            events: days(7),
            failures: days(90),
            audit: days(90),
            every: Duration::from_secs(3600),
        }
    }
}

struct Retention {
    options: RetentionOptions,
    log: Arc<dyn LogStore>,
    clock: Arc<dyn Clock>,
    audit: Audit,
    supervisor: Supervisor,
}

/// Starts the rounds.
pub(crate) fn start(
    options: RetentionOptions,
    ports: &Ports,
    audit: &Audit,
    supervisor: &Supervisor,
) {
    let retention = Retention {
        options,
        log: ports.log.clone(),
        clock: ports.clock.clone(),
        audit: audit.clone(),
        supervisor: supervisor.clone(),
    };
    supervisor.spawn("retention", Policy::Essential, retention.run());
}

impl Retention {
    async fn run(self) {
        let stopping = self.supervisor.stopping();
        while !stopping.is_cancelled() {
            let now = self.clock.now();
            if let Err(error) = self.round(now).await {
                // The next round goes on.
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "old rows were not all deleted");
            }
            tokio::select! {
                () = self.clock.sleep_until(now.plus(self.options.every)) => {}
                () = stopping.cancelled() => {}
            }
        }
    }

    async fn round(&self, now: Timestamp) -> StoreResult<()> {
        let stopping = self.supervisor.stopping();
        let settled_before = now.minus(self.options.events);
        let failed_before = now.minus(self.options.failures);
        self.log.mark(now, settled_before.min(failed_before)).await?;
        let limits = PruneLimits {
            events_through: self.log.marked(settled_before).await?,
            failures_through: self.log.marked(failed_before).await?,
            settled_before,
            failed_before,
        };
        let mut after = Some(0);
        while let Some(position) = after.filter(|_| !stopping.is_cancelled()) {
            let pruned = self.log.prune(position, limits, BATCH).await?;
            if pruned.deliveries + pruned.events > 0 {
                tracing::debug!(pruned.deliveries, pruned.events, "old rows deleted");
            }
            after = pruned.next;
        }
        let before = now.minus(self.options.audit);
        while !stopping.is_cancelled() && self.audit.prune(before, BATCH).await? > 0 {}
        Ok(())
    }
}
