//! Refusing calls: asked for by a person, or by the session's settings for every call.

use std::sync::Arc;

use domain::{
    ChatId, SessionId, event,
    port::{Call, Connection, EngineError, Lease, StoreError, Write},
};
use serde_json::json;

use super::SessionsInner;
use crate::Policy;

/// Why a call was not refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RejectError {
    #[error("the engine failed")]
    Engine(#[source] EngineError),
    #[error("the ledger failed while recording a refused call")]
    Store(#[source] StoreError),
}

/// Who wants a call to be refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RejectedBy {
    Person,
    /// The session's settings, for every call.
    Settings,
}

impl SessionsInner {
    /// Refuses a call and records that; `false` when none of this id rings.
    pub(crate) async fn reject_call(
        self: &Arc<Self>,
        (connection, lease): (&dyn Connection, &Lease),
        id: &str,
        by: RejectedBy,
    ) -> Result<bool, RejectError> {
        let rejected = connection.reject_call(id).await.map_err(RejectError::Engine)?;
        let Some(mut call) = rejected else { return Ok(false) };
        let session = lease.session;
        call.from = self.one_name(session, call.from).await;
        let mut event = event::call_event(self.ledger.event_id(), session, &call);
        if by == RejectedBy::Settings {
            event.data = event.data.changed(|data| data["automatic"] = json!(true));
        }
        let write = Write::Append { event: Box::new(event) };
        self.took(lease, vec![write]).await.map_err(RejectError::Store)?;
        Ok(true)
    }

    /// A call came in: it is refused where the session's settings say so.
    pub(super) fn rings(self: &Arc<Self>, lease: &Lease, call: &Call) {
        let (inner, lease, id) = (self.clone(), lease.clone(), call.id.clone());
        let name = format!("session/{}/call", lease.session);
        let stopping = self.supervisor.stopping();
        self.supervisor.spawn(name, Policy::Once, async move {
            let answered = Box::pin(inner.answer(&lease, &id));
            let Some(Err(error)) = stopping.run_until_cancelled(answered).await else { return };
            tracing::warn!(session.id = %lease.session, error = &error as &dyn std::error::Error,
                "a call was not refused");
        });
    }

    async fn answer(self: &Arc<Self>, lease: &Lease, id: &str) -> Result<(), RejectError> {
        let session = self.ports.store.session(lease.session).await.map_err(RejectError::Store)?;
        if !session.is_some_and(|session| session.config.auto_reject_calls) {
            return Ok(());
        }
        let connection = self.handle(lease.session).and_then(|handle| handle.ready());
        let Some(connection) = connection else { return Ok(()) };
        self.reject_call((&*connection, lease), id, RejectedBy::Settings).await.map(|_| ())
    }

    /// The canonical id; where the ledger does not answer, the id as it is.
    pub(super) async fn one_name(&self, session: SessionId, id: ChatId) -> ChatId {
        let known = self.ports.store.canonical_chat(session, &id).await;
        known.unwrap_or(id)
    }
}
