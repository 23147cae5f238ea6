//! What follows the log for all readers, and what it keeps of the newest events.

use std::{
    collections::VecDeque,
    sync::{Arc, PoisonError},
};

use domain::{
    Timer,
    log::{LogBounds, LoggedEvent},
    port::StoreResult,
};

use super::{LiveError, LiveFilter, LiveInner, Missed, PAGE, PRUNED_SESSIONS_MAX};

/// Events in memory, and bytes of their data.
const RING_EVENTS_MAX: usize = 1024;
const RING_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The newest events: all behind `start`, up to `end`.
#[derive(Default)]
pub(super) struct EventRing {
    events: VecDeque<Arc<LoggedEvent>>,
    bytes: usize,
    start: u64,
    end: u64,
    /// Whether the tail follows the log now.
    awake: bool,
}

fn size(event: &LoggedEvent) -> usize {
    // A rough measure is enough to bound memory.
    event.event.draft.data.text().len() + 512
}

impl EventRing {
    fn push(&mut self, event: LoggedEvent) {
        self.end = event.position;
        self.bytes += size(&event);
        self.events.push_back(Arc::new(event));
        while self.events.len() > RING_EVENTS_MAX || self.bytes > RING_BYTES_MAX {
            let Some(oldest) = self.events.pop_front() else { break };
            self.bytes -= size(&oldest);
            self.start = oldest.position;
        }
    }
}

impl LiveInner {
    /// Where a reader begins, and what it has missed for good by then.
    pub(super) async fn begin(
        &self,
        filter: &LiveFilter,
        after: Option<u64>,
    ) -> Result<(u64, Option<Missed>), LiveError> {
        let LogBounds { last, pruned } = self.log.log_bounds().await?;
        let Some(after) = after else { return Ok((last, None)) };
        if after > last {
            return Err(LiveError::Cursor);
        }
        if after >= pruned {
            return Ok((after, None));
        }
        let mut sessions = self.log.pruned_sessions(PRUNED_SESSIONS_MAX).await?;
        sessions.retain(|one| filter.sees_session(one.session));
        Ok((after, Some(Missed { through: pruned, sessions })))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, EventRing> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What fits among the next events behind the cursor, and whether there may be more; moves the cursor.
    pub(super) async fn page(
        &self,
        filter: &LiveFilter,
        cursor: &mut u64,
        limit: usize,
    ) -> StoreResult<(Vec<Arc<LoggedEvent>>, bool)> {
        if let Some(found) = self.remembered(filter, cursor, limit) {
            return Ok((found, false));
        }
        // Before the read: everything up to here is in it.
        let last = self.log.log_bounds().await?.last;
        let rows = self.log.read_events(*cursor, filter.session, PAGE).await?;
        let full = rows.len() == PAGE as usize;
        let mut found = Vec::new();
        for row in rows {
            *cursor = row.position;
            if filter.matches(&row.event) {
                found.push(Arc::new(row));
                if found.len() == limit {
                    return Ok((found, true));
                }
            }
        }
        if !full {
            *cursor = last.max(*cursor);
        }
        Ok((found, full))
    }

    /// `None` when the memory does not reach back to the cursor.
    fn remembered(
        &self,
        filter: &LiveFilter,
        cursor: &mut u64,
        limit: usize,
    ) -> Option<Vec<Arc<LoggedEvent>>> {
        let ring = self.lock();
        if !ring.awake || *cursor < ring.start {
            return None;
        }
        let first = ring.events.partition_point(|event| event.position <= *cursor);
        let mut found = Vec::new();
        for event in ring.events.range(first..) {
            *cursor = event.position;
            if filter.matches(&event.event) {
                found.push(event.clone());
                if found.len() == limit {
                    break;
                }
            }
        }
        Some(found)
    }

    pub(super) async fn follow(&self) {
        let stopping = self.supervisor.stopping();
        while !stopping.is_cancelled() {
            let watched = self.places.taken() > 0;
            if watched {
                if let Err(error) = self.catch_up().await {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "the event log could not be followed");
                }
            } else {
                let mut ring = self.lock();
                (ring.awake, ring.bytes) = (false, 0);
                ring.events.clear();
            }
            let sweep = async {
                if watched {
                    let at = self.clock.now().plus(self.options.sweep_interval);
                    self.clock.sleep_until(Timer::LiveSweep, at).await;
                } else {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = self.news.notified() => {}
                () = sweep => {}
                () = stopping.cancelled() => {}
            }
        }
    }

    async fn catch_up(&self) -> StoreResult<()> {
        if !self.lock().awake {
            let last = self.log.log_bounds().await?.last;
            let mut ring = self.lock();
            (ring.start, ring.end, ring.awake) = (last, last, true);
            drop(ring);
            self.head.send_replace(last);
        }
        loop {
            let end = self.lock().end;
            let rows = self.log.read_events(end, None, PAGE).await?;
            let full = rows.len() == PAGE as usize;
            if rows.is_empty() {
                return Ok(());
            }
            let end = {
                let mut ring = self.lock();
                rows.into_iter().for_each(|row| ring.push(row));
                ring.end
            };
            self.head.send_replace(end);
            if !full {
                return Ok(());
            }
        }
    }
}
