//! Senders that wait for the answer of WhatsApp's server, and what an answer changes.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use domain::{
    SessionId, Timestamp, WaMessageId,
    event::{self, AckReport, EventDraft},
    failure::{COLD_RESTRICTED, SendFailure},
    message::{Message, MessageStatus},
    port::{SessionPatch, StoreResult, Write},
    session::{REACHOUT_TIMELOCK, Restriction},
};
use tokio::sync::oneshot;

use super::Outbox;
use crate::{ledger::LedgerWriter, pacing::ColdLocks};

/// What the server said about a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AckAnswer {
    /// The code of a refusal.
    pub(crate) refused: Option<u16>,
    /// WhatsApp's time, epoch seconds.
    pub(crate) timestamp: i64,
    /// When it came, by our clock: before anything was stored.
    pub(crate) heard: Timestamp,
}

/// Senders that wait at once. When full, a send does not wait and answers `pending`.
const WAITERS_MAX: usize = 10_000;

type WaiterKey = (SessionId, WaMessageId);

struct Waiting {
    /// The row; none for a change of another message.
    message: Option<Arc<Message>>,
    tell: oneshot::Sender<AckAnswer>,
}

/// The waiting senders, and the rows they wait for: an ack needs the row's chat.
#[derive(Clone, Default)]
pub(crate) struct AckWaiters {
    waiting: Arc<Mutex<HashMap<WaiterKey, Waiting>>>,
    /// What else is known about sends under way.
    pub(crate) outbox: Outbox,
    /// Who may write to nobody new, as WhatsApp said.
    pub(crate) cold: ColdLocks,
}

/// Takes the waiter away when the sender stops waiting, whatever the reason.
pub(crate) struct AckTicket {
    waiters: AckWaiters,
    key: WaiterKey,
    told: oneshot::Receiver<AckAnswer>,
}

impl AckWaiters {
    /// Begins to wait for a message; before it is sent, so that no answer is too early.
    pub(crate) fn wait(&self, message: Arc<Message>) -> Option<AckTicket> {
        let key = (message.session, message.wa_id.clone());
        self.begin(key, Some(message))
    }

    /// Begins to wait for a change of a message: an edit, a reaction, a revoke, a pin, a vote. It has no row.
    pub(crate) fn wait_for_change(&self, session: SessionId, id: WaMessageId) -> Option<AckTicket> {
        self.begin((session, id), None)
    }

    fn begin(&self, key: WaiterKey, message: Option<Arc<Message>>) -> Option<AckTicket> {
        let mut waiting = self.lock();
        if waiting.len() >= WAITERS_MAX {
            return None;
        }
        let (tell, told) = oneshot::channel();
        waiting.insert(key.clone(), Waiting { message, tell });
        Some(AckTicket { waiters: self.clone(), key, told })
    }

    /// The row somebody waits for.
    pub(crate) fn message(&self, session: SessionId, id: &WaMessageId) -> Option<Arc<Message>> {
        self.lock().get(&(session, id.clone())).and_then(|waiting| waiting.message.clone())
    }

    /// Whether somebody waits for a change under this id: it has no row.
    pub(crate) fn is_carrier(&self, session: SessionId, id: &WaMessageId) -> bool {
        self.lock().get(&(session, id.clone())).is_some_and(|waiting| waiting.message.is_none())
    }

    /// Answers a sender; `false` when there is none.
    pub(crate) fn answer(&self, session: SessionId, id: &WaMessageId, answer: AckAnswer) -> bool {
        let waiting = self.lock().remove(&(session, id.clone()));
        waiting.is_some_and(|waiting| waiting.tell.send(answer).is_ok())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<WaiterKey, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AckTicket {
    /// The answer; `None` when it will not come.
    pub(crate) async fn answer(&mut self) -> Option<AckAnswer> {
        (&mut self.told).await.ok()
    }
}

impl Drop for AckTicket {
    fn drop(&mut self) {
        self.waiters.lock().remove(&self.key);
    }
}

/// The events of a failed message: `message.ack` with status failed, and `message.failed`.
pub(crate) fn failed_events(
    ledger: &LedgerWriter,
    message: &Message,
    code: Option<u16>,
    at: Timestamp,
) -> Vec<EventDraft> {
    let ack = AckReport {
        message: &message.wa_id,
        chat: &message.chat,
        from: &message.from,
        status: MessageStatus::Failed,
        code,
    };
    vec![
        event::message_ack(ledger.event_id(), message.session, &ack, at),
        event::message_failed(ledger.event_id(), message.session, &ack, at),
    ]
}

/// A message has failed: its row, with the reason, and its events.
pub(crate) fn failed(
    ledger: &LedgerWriter,
    message: &Message,
    failure: SendFailure,
    at: Timestamp,
) -> Write {
    Write::AdvanceMessage {
        session: message.session,
        wa_id: message.wa_id.clone(),
        status: MessageStatus::Failed,
        timestamp: None,
        metadata: failure.metadata(),
        hold_until: None,
        events: failed_events(ledger, message, failure.code(), at),
    }
}

/// WhatsApp's server refused a message: its row and its events; for 463 the session's restriction as well.
/// The event tells the beginning once, however many messages are refused.
pub(crate) async fn refused(
    ledger: &LedgerWriter,
    message: &Message,
    code: u16,
    at: Timestamp,
) -> StoreResult<Vec<Write>> {
    let mut writes = vec![failed(ledger, message, SendFailure::Refused(code), at)];
    if code == COLD_RESTRICTED {
        let session = ledger.session(message.session).await?;
        if !session.is_some_and(|session| is_cold_restricted(session.restriction.as_ref())) {
            writes.push(restriction(ledger, message.session, true, at));
        }
    }
    Ok(writes)
}

/// Whether WhatsApp's lock on first messages to strangers is known to be on.
pub(crate) fn is_cold_restricted(restriction: Option<&Restriction>) -> bool {
    restriction.is_some_and(|restriction| restriction.kind == REACHOUT_TIMELOCK)
}

/// WhatsApp's lock on first messages to strangers begins or ends.
pub(crate) fn restriction(
    ledger: &LedgerWriter,
    session: SessionId,
    active: bool,
    at: Timestamp,
) -> Write {
    let code = COLD_RESTRICTED.to_string();
    let id = ledger.event_id();
    let event = event::restriction_event(id, session, active, REACHOUT_TIMELOCK, &code, None, at);
    let restriction = Restriction { kind: REACHOUT_TIMELOCK.into(), code, expires_at: None };
    let patch = SessionPatch {
        restriction: Some(active.then_some(restriction)),
        ..SessionPatch::default()
    };
    Write::PatchSession { session, patch: Box::new(patch), events: vec![event] }
}
