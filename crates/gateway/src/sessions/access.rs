//! What the rest of the gateway gets of the sessions.

use std::{collections::HashMap, sync::Arc};

use domain::{
    SessionId,
    port::{Connection, Lease, StoreResult, Write},
};

use super::{ExpectedEcho, ReadySession, RejectError, RejectedBy, Sessions};
use crate::{pictures::Pictures, presence::Presences};

impl Sessions {
    /// Calls `listener` whenever a session has become ready. Only the first one that is given is called.
    pub(crate) fn on_ready(&self, listener: impl Fn(SessionId) + Send + Sync + 'static) {
        let _ = self.inner.on_ready.set(Box::new(listener));
    }

    /// Sessions that are logged in, with their connections.
    pub(crate) fn connected(&self) -> HashMap<SessionId, Arc<dyn Connection>> {
        let loaded = self.inner.lock();
        loaded
            .iter()
            .filter_map(|(id, handle)| handle.ready().map(|connection| (*id, connection)))
            .collect()
    }

    /// Who was seen doing what, last.
    pub(crate) fn presences(&self) -> &Presences {
        &self.inner.presences
    }

    /// Where pictures are.
    pub(crate) fn pictures(&self) -> &Pictures {
        &self.inner.pictures
    }

    /// Refuses a call and records that; `false` when none of this id rings.
    pub(crate) async fn reject_call(
        &self,
        link: &ReadySession,
        id: &str,
    ) -> Result<bool, RejectError> {
        let way = (&*link.connection, &link.lease);
        self.inner.reject_call(way, id, RejectedBy::Person).await
    }

    /// How many sessions this process runs.
    pub(crate) fn loaded_count(&self) -> usize {
        self.inner.lock().len()
    }

    /// Completes when a session has begun to run here, or has ended to.
    pub(crate) async fn moved(&self) {
        self.inner.moved.notified().await;
    }

    /// Completes when everything that WhatsApp has said to a session so far is stored.
    pub(crate) async fn drained(&self, session: SessionId) {
        self.inner.lines.drained(session).await;
    }

    /// A change of a group begins, which WhatsApp will tell every device of.
    pub(crate) fn expect_echo(&self, session: SessionId, echo: ExpectedEcho) {
        self.inner.echoes.expect(session, echo);
    }

    /// Such a change was refused.
    pub(crate) fn forget_echo(&self, session: SessionId, echo: &ExpectedEcho) {
        self.inner.echoes.forget(session, echo);
    }

    /// Stores what WhatsApp took already.
    ///
    /// # Errors
    /// It is not stored yet. It is as soon as that works, unless this process ends before.
    pub(crate) async fn took(&self, lease: &Lease, writes: Vec<Write>) -> StoreResult<()> {
        self.inner.took(lease, writes).await
    }
}
