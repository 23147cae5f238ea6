//! Sends whose outcome is not known, after a lost link or a crash.
//!
//! Their rows are pending and keep what was to go out. After a connect WhatsApp first hands over what waited: acks,
//! receipts and echoes settle what they prove. What is still open after a short grace goes out again, oldest first, under
//! the same id: a recipient that has it already throws the second away. New sends of the session wait until this is done.

use std::sync::Arc;

use domain::{
    Clock, SessionId, event,
    port::{EngineError, Lease, StoreError, Unsettled},
};
use serde_json::json;

use crate::{
    SendOptions, Sessions, acks,
    hooks::HookPoint,
    sessions::{Inner, Link},
};

/// What became of one row.
enum Settled {
    /// It has its final state, or goes out.
    Yes,
    /// The connection failed: the next one settles the rest.
    Later,
}

/// Settles the sends of a session on its present connection. To be called when the backlog has been handed over; ends by
/// itself, and may be dropped at any time: the next connection begins anew.
pub(crate) async fn settle(sessions: &Sessions, session: SessionId) {
    let inner = sessions.inner();
    let Ok(link) = sessions.link(session).await else { return };
    let (clock, options) = (&inner.ports.clock, &inner.options.sends);
    match inner.ports.messages.unsettled(session).await {
        Ok(rows) if rows.is_empty() => {}
        // Receipts that follow the backlog may still prove some of them.
        _ => clock.sleep_until(clock.now().plus(options.settle_grace)).await,
    }
    let closed = inner.waiters.outbox.gate(session).close().await;
    if closed.was_open(&link.connection) {
        return;
    }
    let now = sessions.link(session).await;
    if !now.is_ok_and(|now| Arc::ptr_eq(&now.connection, &link.connection)) {
        // Another connection settles what is open.
        return;
    }
    match send_again(inner, options, &link).await {
        Ok(true) => closed.open(&link.connection),
        Ok(false) => {}
        Err(error) => {
            tracing::error!(session.id = %session, error = &error as &dyn std::error::Error,
                "sends with an unknown outcome were not settled");
        }
    }
}

/// `false` when the connection failed before all rows were settled.
async fn send_again(inner: &Inner, options: &SendOptions, link: &Link) -> Result<bool, StoreError> {
    let session = link.lease.session;
    let rows = inner.ports.messages.unsettled(session).await?;
    if !rows.is_empty() {
        tracing::info!(session.id = %session, rows = rows.len(), "settling sends with an unknown outcome");
    }
    for row in rows {
        let age = inner.ports.clock.now().since(row.message.created_at);
        let settled = if age > options.resend_limit {
            fail(inner, &link.lease, &row, "expired").await?;
            Settled::Yes
        } else {
            send_one(inner, options, row, link).await?
        };
        if matches!(settled, Settled::Later) {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn send_one(
    inner: &Inner,
    options: &SendOptions,
    row: Unsettled,
    link: &Link,
) -> Result<Settled, StoreError> {
    let clock: &dyn Clock = &*inner.ports.clock;
    let limit = clock.now().plus(options.answer_limit);
    let written = tokio::select! {
        written = link.connection.send(row.outgoing.clone()) => written,
        () = clock.sleep_until(limit) => Err(EngineError::Unanswered(None)),
    };
    match written {
        Ok(()) => Ok(Settled::Yes),
        Err(EngineError::Unanswered(_) | EngineError::NotConnected) => Ok(Settled::Later),
        Err(EngineError::Store(error)) => Err(error),
        Err(error) => {
            tracing::warn!(session.id = %row.message.session, %error, "a send could not go out again");
            fail(inner, &link.lease, &row, "the engine refused the message").await?;
            Ok(Settled::Yes)
        }
    }
}

async fn fail(
    inner: &Inner,
    lease: &Lease,
    row: &Unsettled,
    reason: &str,
) -> Result<(), StoreError> {
    let (message, at) = (&row.message, inner.ports.clock.now());
    let write = acks::failed(inner, message, None, reason, at);
    inner.commit.write_surely(Some(lease), vec![write]).await?;
    let session = message.session;
    let shown = event::message_sent(inner.commit.event_id(), message, at).data.value();
    let data =
        json!({ "sessionId": session, "message": shown, "error": reason, "type": message.kind });
    inner.hooks.notify(HookPoint::MessageFailed, session, data);
    Ok(())
}
