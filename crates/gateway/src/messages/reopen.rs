//! Changes that a crash or a lost link cut off: they go out again, under their id, before anything new does.

use std::sync::Arc;

use domain::{
    SessionId, Timer,
    port::{EngineError, OpenChange, StoreError, Write},
};

use super::{
    SendError, SharedMessages,
    carry::{UnderWay, late},
    meaning::BeforeChange,
};
use crate::sessions::ReadySession;

/// Sends the open changes of a session again, oldest first, and listens for their answers. One that WhatsApp has
/// already is the same on its side: it knows the id. `false` when all sends were paused before it was done.
///
/// # Errors
/// The ledger's.
pub(super) async fn reopen(
    shared: &Arc<SharedMessages>,
    session: SessionId,
    link: &ReadySession,
) -> Result<bool, StoreError> {
    let open = shared.ports.store.open_changes(session).await?;
    for change in open {
        // Somebody listens for its answer still.
        if shared.waiters.is_carrier(session, &change.outgoing.id) {
            continue;
        }
        if shared.brake.is_on() {
            return Ok(false);
        }
        if !again(shared, session, link, change).await? {
            // The link is gone or slow: the next one goes on.
            return Ok(true);
        }
    }
    Ok(true)
}

/// Whether the link took it, or it has ended.
async fn again(
    shared: &Arc<SharedMessages>,
    session: SessionId,
    link: &ReadySession,
    change: OpenChange,
) -> Result<bool, StoreError> {
    let OpenChange { outgoing, at } = change;
    let (id, clock) = (outgoing.id.clone(), &shared.ports.clock);
    let target = outgoing.content.target().map(|target| target.id.clone());
    let message = match target {
        Some(target) => shared.ports.store.message(session, &target).await?,
        None => None,
    };
    let expired = clock.now().since(at) > shared.options.resend_limit;
    let Some(message) = message.filter(|_| !expired) else {
        tracing::warn!(session.id = %session, change.id = %id,
            "a change that was cut off is too old, or its message is gone: it is given up");
        let closed = Write::CloseChange { session, id };
        shared.ledger.write(Some(&link.lease), vec![closed]).await?;
        return Ok(true);
    };
    let Some(ticket) = shared.waiters.wait_for_change(session, id) else { return Ok(false) };
    let (me, lease) = (link.from.clone(), link.lease.clone());
    let limit = clock.now().plus(shared.options.answer_limit);
    let sent = tokio::select! {
        sent = link.connection.send(outgoing.clone()) => sent,
        () = clock.sleep_until(Timer::SendWrite, limit) => return Ok(false),
    };
    let change = UnderWay { session, outgoing, before: BeforeChange::of(&message), me, lease };
    match sent {
        Ok(()) => late(shared.clone(), ticket, change),
        Err(EngineError::NotConnected | EngineError::Unanswered(_)) => return Ok(false),
        Err(EngineError::Store(error)) => return Err(error),
        Err(error) => {
            tracing::warn!(session.id = %session, %error, "a change could not go out again");
            let _ = change.ends(shared, SendError::Engine(error)).await;
        }
    }
    Ok(true)
}
