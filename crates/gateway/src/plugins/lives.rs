//! What happens to sessions, told at their hook points: what was committed is read.

use domain::{
    event::{Event, EventType},
    hook::HookPoint,
    session::SessionStatus,
};
use serde_json::Value;

use crate::{
    hooks::Hooks,
    ledger::{Committed, LedgerWriter},
};

/// Tells handlers of every change of a session that this process commits.
pub(super) fn follow(ledger: &LedgerWriter, hooks: &Hooks) {
    let hooks = hooks.clone();
    ledger.subscribe(move |committed| {
        if let Committed::Events(events) = committed {
            events.iter().for_each(|event| tell(&hooks, event));
        }
    });
}

fn tell(hooks: &Hooks, event: &Event) {
    let draft = &event.draft;
    let is_of_session = matches!(
        draft.kind,
        EventType::SessionStatus
            | EventType::SessionQr
            | EventType::SessionAuthenticated
            | EventType::SessionDisconnected
    );
    if is_of_session {
        let data = draft.data.value();
        if let Some(point) = point(draft.kind, &data).filter(|point| hooks.listens(*point)) {
            hooks.notify(point, draft.session, data);
        }
    }
}

fn point(kind: EventType, data: &Value) -> Option<HookPoint> {
    match kind {
        EventType::SessionQr => Some(HookPoint::SessionQr),
        EventType::SessionAuthenticated => Some(HookPoint::SessionReady),
        EventType::SessionDisconnected => Some(HookPoint::SessionDisconnected),
        EventType::SessionStatus => match SessionStatus::parse(data["status"].as_str()?)? {
            SessionStatus::Initializing => Some(HookPoint::SessionStarting),
            SessionStatus::Failed | SessionStatus::ActionRequired => Some(HookPoint::SessionError),
            _ => None,
        },
        _ => None,
    }
}
