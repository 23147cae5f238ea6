//! Commits of the sessions' part: writes with their events, and the wake-up of the lanes behind them.

use std::{sync::Arc, time::Duration};

use domain::{
    Clock, Entropy, EventId, SessionId, Timer, Timestamp, WaMessageId,
    event::{self, EventDraft, EventType, short_hash},
    port::{
        Lease, Ledger, SessionPatch, StoreError, StoreErrorKind, StoreResult, Write, WriteOutcome,
    },
    session::SessionStatus,
};
use serde_json::{Value, json};

use crate::{Ports, Webhooks};

/// Tries of a write that nobody outside will repeat.
const TRIES: u32 = 5;
/// The wait before the second try; doubles with each.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// Writes to the ledger.
#[derive(Clone)]
pub(crate) struct Commit {
    ledger: Arc<dyn Ledger>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    webhooks: Webhooks,
}

impl Commit {
    pub(crate) fn new(ports: &Ports, webhooks: Webhooks) -> Self {
        Self {
            ledger: ports.ledger.clone(),
            clock: ports.clock.clone(),
            entropy: ports.entropy.clone(),
            webhooks,
        }
    }

    /// Writes once; whoever asked decides what a failure means. With the lease of the session that the writes are made
    /// for: nothing is written when it is over. Without one they are what anybody may write.
    pub(crate) async fn write(
        &self,
        lease: Option<&Lease>,
        mut writes: Vec<Write>,
    ) -> StoreResult<Vec<WriteOutcome>> {
        if let Some(lease) = lease {
            writes.insert(0, Write::Held { lease: lease.clone() });
        }
        let mut outcomes = self.ledger.write(writes).await?;
        if lease.is_some() {
            outcomes.remove(0);
        }
        let recorded = |outcome: &WriteOutcome| matches!(outcome, WriteOutcome::Applied(events) if !events.is_empty());
        if outcomes.iter().any(recorded) {
            self.webhooks.wake();
        }
        Ok(outcomes)
    }

    /// Writes, again after a failure that may pass: for what WhatsApp will not say twice.
    pub(crate) async fn write_surely(
        &self,
        lease: Option<&Lease>,
        writes: Vec<Write>,
    ) -> StoreResult<Vec<WriteOutcome>> {
        let mut wait = FIRST_WAIT;
        for _ in 1..TRIES {
            match self.write(lease, writes.clone()).await {
                Err(StoreError {
                    kind: StoreErrorKind::Busy | StoreErrorKind::Unavailable,
                    ..
                }) => {
                    self.clock.sleep_until(Timer::CommitRetry, self.clock.now().plus(wait)).await;
                    wait *= 2;
                }
                done => return done,
            }
        }
        self.write(lease, writes).await
    }

    /// Tells the events of changes whose message never came.
    pub(crate) async fn release_held(&self) -> StoreResult<()> {
        if self.ledger.release_held(self.clock.now()).await? > 0 {
            self.webhooks.wake();
        }
        Ok(())
    }

    /// Changes a session's record; `false` when it does not exist.
    pub(crate) async fn patch(
        &self,
        lease: Option<&Lease>,
        session: SessionId,
        patch: SessionPatch,
        events: Vec<EventDraft>,
    ) -> StoreResult<bool> {
        let write = Write::PatchSession { session, patch: Box::new(patch), events };
        let outcomes = self.write_surely(lease, vec![write]).await?;
        Ok(matches!(outcomes.first(), Some(WriteOutcome::Applied(_))))
    }

    /// A fresh event id.
    pub(crate) fn event_id(&self) -> EventId {
        EventId::at(self.clock.now(), &*self.entropy)
    }

    /// WhatsApp proved that a message went out: the item that failed with it, if it is one of a batch.
    pub(crate) fn confirm(
        &self,
        session: SessionId,
        wa_id: &WaMessageId,
        sent_at: Timestamp,
    ) -> Write {
        let (wa_id, at, event) = (wa_id.clone(), self.clock.now(), self.event_id());
        Write::ConfirmItem { session, wa_id, sent_at, at, event }
    }

    fn event(
        &self,
        session: SessionId,
        kind: EventType,
        key: impl FnOnce(&str) -> String,
        data: Value,
    ) -> EventDraft {
        let at = self.clock.now();
        event::session_event(self.event_id(), session, kind, key(&at.iso()), at, data)
    }

    /// `session.status`
    pub(crate) fn status_event(&self, session: SessionId, status: SessionStatus) -> EventDraft {
        let status = status.as_str();
        let key = |at: &str| format!("sess_{session}_{status}_{at}");
        self.event(session, EventType::SessionStatus, key, json!({ "status": status }))
    }

    /// `session.qr`
    pub(crate) fn qr_event(&self, session: SessionId, code: &str, picture: &str) -> EventDraft {
        let hash = short_hash(&json!(code));
        self.event(
            session,
            EventType::SessionQr,
            |_| format!("qr_{session}_{hash}"),
            json!({ "qr": picture }),
        )
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
