//! The events that a session's life causes.

use std::time::Duration;

use domain::{
    SessionId,
    event::{self, EventDraft, EventType, short_hash},
    session::SessionStatus,
};
use serde_json::{Value, json};

use super::qr::ShownQr;
use crate::ledger::LedgerWriter;

impl LedgerWriter {
    fn event(
        &self,
        session: SessionId,
        kind: EventType,
        key: impl FnOnce(&str) -> String,
        data: Value,
    ) -> EventDraft {
        let at = self.now();
        event::session_event(self.event_id(), session, kind, key(&at.iso()), at, data)
    }

    /// `session.status`
    pub(crate) fn status_event(&self, session: SessionId, status: SessionStatus) -> EventDraft {
        let status = status.as_str();
        let key = |at: &str| format!("sess_{session}_{status}_{at}");
        self.event(session, EventType::SessionStatus, key, json!({ "status": status }))
    }

    /// `session.qr`
    pub(crate) fn qr_event(&self, session: SessionId, qr: &ShownQr, picture: &str) -> EventDraft {
        let hash = short_hash(&json!(qr.code));
        self.event(
            session,
            EventType::SessionQr,
            |_| format!("qr_{session}_{hash}"),
            json!({ "qr": picture, "expiresAt": qr.expires_at.iso() }),
        )
    }

    /// `session.passkey`
    pub(crate) fn passkey_event(&self, session: SessionId, step: Value) -> EventDraft {
        let hash = short_hash(&step);
        let key = |at: &str| format!("passkey_{session}_{hash}_{at}");
        self.event(session, EventType::SessionPasskey, key, step)
    }

    /// `session.authenticated`
    pub(crate) fn authenticated_event(
        &self,
        session: SessionId,
        phone: Option<&str>,
        push_name: Option<&str>,
    ) -> EventDraft {
        let data = json!({ "phone": phone, "pushName": push_name });
        let hash = short_hash(&data);
        let key = |at: &str| format!("auth_{session}_{hash}_{at}");
        self.event(session, EventType::SessionAuthenticated, key, data)
    }

    /// `session.disconnected`
    pub(crate) fn disconnected_event(&self, session: SessionId, reason: &str) -> EventDraft {
        let hash = short_hash(&json!(reason));
        let key = |at: &str| format!("disc_{session}_{hash}_{at}");
        self.event(session, EventType::SessionDisconnected, key, json!({ "reason": reason }))
    }

    /// `session.reconnect_loop`
    pub(crate) fn reconnect_loop_event(
        &self,
        session: SessionId,
        attempts: u32,
        next: Duration,
    ) -> EventDraft {
        let next = u64::try_from(next.as_millis()).unwrap_or(u64::MAX);
        let key = |at: &str| format!("loop_{session}_{attempts}_{at}");
        let data = json!({ "attempts": attempts, "nextDelayMs": next });
        self.event(session, EventType::SessionReconnectLoop, key, data)
    }
}
