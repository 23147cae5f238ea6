//! Whether Redis answers, since when, and the way to it.

use std::sync::{Arc, PoisonError, RwLock};

use domain::{Timestamp, port::QueueServer};

use super::link::{RedisGone, RedisLink};

struct LinkState {
    link: Option<Arc<RedisLink>>,
    status: QueueServer,
}

/// The link and the status, shared by all calls.
pub(super) struct RedisStatus(RwLock<LinkState>);

impl RedisStatus {
    pub(super) fn down(now: Timestamp, gone: RedisGone) -> Self {
        tracing::warn!(reason = gone.0, "Redis does not answer: lanes are claimed from the ledger");
        let status = QueueServer { up: false, since: now, reason: Some(gone.0) };
        Self(RwLock::new(LinkState { link: None, status }))
    }

    pub(super) fn up(now: Timestamp, link: RedisLink) -> Self {
        let status = QueueServer { up: true, since: now, reason: None };
        Self(RwLock::new(LinkState { link: Some(Arc::new(link)), status }))
    }

    pub(super) fn status(&self) -> QueueServer {
        self.0.read().unwrap_or_else(PoisonError::into_inner).status.clone()
    }

    /// The way to Redis, while it answers.
    pub(super) fn link(&self) -> Option<Arc<RedisLink>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).link.clone()
    }

    /// A call on `link` failed. Only the first one to say so about it is heard.
    pub(super) fn lost(&self, link: &Arc<RedisLink>, now: Timestamp, gone: &RedisGone) {
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if state.link.as_ref().is_none_or(|current| !Arc::ptr_eq(current, link)) {
            return;
        }
        tracing::warn!(reason = gone.0, "Redis is gone: lanes are claimed from the ledger");
        state.link = None;
        state.status = QueueServer { up: false, since: now, reason: Some(gone.0.clone()) };
    }

    /// Redis is still gone, for this reason.
    pub(super) fn still_down(&self, gone: RedisGone) {
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        state.status.reason = Some(gone.0);
    }

    /// Redis answers again, over a new link.
    pub(super) fn back(&self, now: Timestamp, link: Arc<RedisLink>) {
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let gone = now.since(state.status.since);
        tracing::info!(seconds = gone.as_secs(), "Redis is back: lanes are claimed through it");
        state.link = Some(link);
        state.status = QueueServer { up: true, since: now, reason: None };
    }
}
