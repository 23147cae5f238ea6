//! Whether Redis answers, since when, and the way to it.

use std::sync::{Arc, PoisonError, RwLock};

use domain::{Timestamp, port::QueueServer};

use super::link::{Gone, Link};

struct State {
    link: Option<Arc<Link>>,
    status: QueueServer,
}

/// The state, shared by all calls.
pub(super) struct Standing(RwLock<State>);

impl Standing {
    pub(super) fn down(now: Timestamp, gone: Gone) -> Self {
        tracing::warn!(reason = gone.0, "Redis does not answer: lanes are claimed from the ledger");
        let status = QueueServer { up: false, since: now, reason: Some(gone.0) };
        Self(RwLock::new(State { link: None, status }))
    }

    pub(super) fn up(now: Timestamp, link: Link) -> Self {
        let status = QueueServer { up: true, since: now, reason: None };
        Self(RwLock::new(State { link: Some(Arc::new(link)), status }))
    }

    pub(super) fn status(&self) -> QueueServer {
        self.0.read().unwrap_or_else(PoisonError::into_inner).status.clone()
    }

    /// The way to Redis, while it answers.
    pub(super) fn link(&self) -> Option<Arc<Link>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).link.clone()
    }

    /// A call on `link` failed. Only the first one to say so about it is heard.
    pub(super) fn lost(&self, link: &Arc<Link>, now: Timestamp, gone: &Gone) {
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if state.link.as_ref().is_none_or(|current| !Arc::ptr_eq(current, link)) {
            return;
        }
        tracing::warn!(reason = gone.0, "Redis is gone: lanes are claimed from the ledger");
        state.link = None;
        state.status = QueueServer { up: false, since: now, reason: Some(gone.0.clone()) };
    }

    /// Redis is still gone, for this reason.
    pub(super) fn still_down(&self, gone: Gone) {
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        state.status.reason = Some(gone.0);
    }

    /// Redis answers again.
    pub(super) fn back(&self, now: Timestamp, link: Arc<Link>) {
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let gone = now.since(state.status.since);
        tracing::info!(seconds = gone.as_secs(), "Redis is back: lanes are claimed through it");
        state.link = Some(link);
        state.status = QueueServer { up: true, since: now, reason: None };
    }
}
