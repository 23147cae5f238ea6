//! What WhatsApp says about limits, as changes of the session's record.

use domain::{
    SessionId, event,
    port::{SessionPatch, StoreResult, Write},
    session::{LimitNews, REACHOUT_TIMELOCK, restriction_after},
};

use super::SessionsInner;

/// What the news changes in the ledger: nothing when it is known already.
pub(super) async fn writes(
    inner: &SessionsInner,
    session: SessionId,
    news: &LimitNews,
) -> StoreResult<Vec<Write>> {
    let Some(stored) = inner.ports.store.session(session).await? else {
        return Ok(vec![]);
    };
    let mut patch = SessionPatch::default();
    let mut events = vec![];
    match news {
        LimitNews::NewChats(quota) => {
            if stored.new_chat_quota == *quota {
                return Ok(vec![]);
            }
            patch.new_chat_quota = Some(quota.clone());
        }
        LimitNews::Reachout(lock) => {
            let before = stored.restriction.as_ref();
            let Some(after) = restriction_after(before, lock.as_ref()) else {
                return Ok(vec![]);
            };
            let known = after.as_ref().or(before);
            events.push(event::restriction_event(
                inner.ledger.event_id(),
                session,
                after.is_some(),
                REACHOUT_TIMELOCK,
                known.map_or("", |known| known.code.as_str()),
                known.and_then(|known| known.expires_at),
                inner.ports.clock.now(),
            ));
            patch.restriction = Some(after);
        }
    }
    Ok(vec![Write::PatchSession { session, patch: Box::new(patch), events }])
}
