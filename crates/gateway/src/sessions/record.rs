//! What a session's record says of its life. No other file writes the status: what it becomes is decided by
//! [`session::transition`] and written down here.

use domain::{
    SessionId, Timestamp,
    event::EventDraft,
    port::SessionPatch,
    session::{self, SessionConfig, SessionInput, SessionState},
};

use super::inner::SessionsInner;

/// The change of a record from one state to the next. What others want of the session is not overwritten by what merely
/// happens to it.
pub(super) fn patch_of(before: &SessionState, next: &SessionState, at: Timestamp) -> SessionPatch {
    let mut patch = SessionPatch {
        status: Some(next.status),
        last_error: Some(next.last_error.clone()),
        at: Some(at),
        ..SessionPatch::default()
    };
    if next.wanted != before.wanted {
        patch.wanted = Some(next.wanted);
        patch.wish = Some(None);
    }
    patch
}

impl SessionsInner {
    /// What an input does to the record of a session that has no task here, with its events.
    pub(super) fn decide(
        &self,
        id: SessionId,
        before: &SessionState,
        input: SessionInput,
    ) -> (SessionPatch, Vec<EventDraft>) {
        // The tunables are about reconnects, which are not decided here.
        let (next, _) = session::transition(before, &SessionConfig::default(), input);
        let patch = patch_of(before, &next, self.ports.clock.now());
        let events = match next.status == before.status {
            true => vec![],
            false => vec![self.ledger.status_event(id, next.status)],
        };
        (patch, events)
    }
}
