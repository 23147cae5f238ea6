//! Sends whose outcome is not known: after a lost link or a crash, and where WhatsApp's server stays silent.
//!
//! Their rows are pending and keep what was to go out. After a connect WhatsApp first hands over what waited: acks,
//! receipts and echoes prove some. What is still open after a short grace goes out again, oldest first, under
//! the same id: a recipient that has it already throws the second away. New sends to the chat wait until this is done;
//! other chats do not. What stays open on a link that stays goes out again too, after a while.
//!
//! A session's reconciler is one task. It goes on, past a chat that is slow and through failures of the ledger, until
//! nothing is unknown or the connection is lost. While all sends are paused it waits, and so does what it would send.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Weak},
    time::Duration,
};

use domain::{
    ChatId, SessionId, Timer, Timestamp, WaMessageId,
    backoff::Backoff,
    event,
    failure::SendFailure,
    message::MessageStatus,
    port::{Connection, EngineError, Lease, StoreError, UnresolvedSend},
};
use serde_json::json;

use super::{SharedMessages, reopen::reopen};
use crate::{
    Policy,
    hooks::HookPoint,
    outbox::{GateClaim, SendGate, acks},
    sessions::ReadySession,
};

/// How long a send may be pending on a link that stays before it goes out again; doubles each time.
pub(crate) const PENDING_LIMIT: Duration = Duration::from_secs(60);
/// Between two tries with a chat that is slow.
const SLOW: Backoff =
    Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(30), jitter_percent: 20 };
/// Between two tries while the ledger fails.
const LEDGER: Backoff =
    Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(15), jitter_percent: 20 };

/// What became of one row.
enum ReconcileStep {
    /// It has its final state, or goes out.
    Yes,
    /// It could not go out now.
    Later,
}

/// Sees to it that the sends of a session are reconciled: starts its reconciler, or tells the one that runs to look.
pub(super) fn start(shared: &Arc<SharedMessages>, session: SessionId) {
    let gate = shared.waiters.outbox.gate(session);
    let Some(claim) = gate.claim() else { return };
    let stopping = shared.supervisor.stopping();
    let mut reconciler = Reconciler {
        shared: shared.clone(),
        session,
        gate,
        link: None,
        opened_at: shared.ports.clock.now(),
        open: Vec::new(),
        again: HashMap::new(),
        slow: HashMap::new(),
        failures: 0,
    };
    shared.supervisor.spawn(format!("session/{session}/reconcile"), Policy::Once, async move {
        let mut claim = claim;
        tokio::select! {
            () = reconciler.run(&mut claim) => {}
            () = stopping.cancelled() => {}
        }
    });
}

/// The same, if nobody does yet: a send went out whose outcome is to be known.
pub(super) fn start_if_unattended(
    shared: &Arc<SharedMessages>,
    session: SessionId,
    gate: &SendGate,
) {
    if gate.is_unattended() {
        start(shared, session);
    }
}

struct Reconciler {
    shared: Arc<SharedMessages>,
    session: SessionId,
    gate: SendGate,
    /// The connection that the rest is about.
    link: Option<Weak<dyn Connection>>,
    /// When the gate opened for it.
    opened_at: Timestamp,
    /// What is not known, as far as it was read.
    open: Vec<OpenSend>,
    /// Sends that went out again on this connection: how often, and when they would once more.
    again: HashMap<WaMessageId, (u32, Timestamp)>,
    /// Chats that were slow: how often, and when it is their turn again.
    slow: HashMap<ChatId, (u32, Timestamp)>,
    /// Failures of the ledger in a row.
    failures: u32,
}

/// A send whose outcome is not known.
struct OpenSend {
    id: WaMessageId,
    chat: ChatId,
    accepted: Timestamp,
    /// Of an earlier connection, and has not gone out on this one.
    old: bool,
}

impl Reconciler {
    async fn run(&mut self, claim: &mut GateClaim) {
        let clock = self.shared.ports.clock.clone();
        loop {
            let mut brake = self.shared.brake.watch();
            let turn = match self.shared.sessions.ready(self.session) {
                Some(_) if self.shared.brake.is_on() => Ok(Some(self.now().plus(PENDING_LIMIT))),
                Some(link) => self.turn(&link).await,
                // The next connection calls again.
                None => Ok(None),
            };
            let until = match turn {
                Ok(None) if claim.finish() => return,
                Ok(None) => continue,
                Ok(Some(until)) => {
                    self.failures = 0;
                    until
                }
                Err(error) => self.fails(&error),
            };
            tokio::select! {
                () = clock.sleep_until(Timer::Reconcile, until) => {}
                () = self.gate.woken() => {}
                _ = brake.changed() => {}
            }
        }
    }

    fn now(&self) -> Timestamp {
        self.shared.ports.clock.now()
    }

    /// One line per state, however often it is tried.
    fn fails(&mut self, error: &StoreError) -> Timestamp {
        self.failures += 1;
        if self.failures == 1 {
            tracing::warn!(session.id = %self.session, error = error as &dyn std::error::Error,
                "sends with an unknown outcome wait for the ledger");
        }
        self.now().plus(LEDGER.wait(self.failures, self.shared.ports.entropy.fraction()))
    }

    /// Does what is due, and says when the next is; nothing when all is known.
    async fn turn(&mut self, link: &ReadySession) -> Result<Option<Timestamp>, StoreError> {
        if !self.is_on(link) && self.gate.is_reconciled(&link.connection) {
            // The reconciler before this one was done: sends that went out since are looked at when it is time.
            (self.link, self.opened_at) = (Some(Arc::downgrade(&link.connection)), self.now());
        } else if !self.gate.is_open(&link.connection) || !self.is_on(link) {
            let begun = self.begin(link).await?;
            if !begun {
                return Ok(Some(self.now()));
            }
        }
        if self.due(link).is_some_and(|due| due <= self.now()) {
            self.round(link).await?;
        }
        Ok(self.due(link))
    }

    fn is_on(&self, link: &ReadySession) -> bool {
        let known = self.link.as_ref();
        known.is_some_and(|known| std::ptr::addr_eq(known.as_ptr(), Arc::as_ptr(&link.connection)))
    }

    /// Finds out what is not known on a new connection, and lets all other chats go on. `false` when all sends were
    /// paused meanwhile: it has to begin anew.
    async fn begin(&mut self, link: &ReadySession) -> Result<bool, StoreError> {
        self.gate.shut().await;
        let rows = self.shared.ports.store.unresolved_sends(self.session).await?;
        if !rows.is_empty() {
            tracing::info!(session.id = %self.session, rows = rows.len(), "reconciling sends with an unknown outcome");
        }
        if !reopen(&self.shared, self.session, link).await? {
            return Ok(false);
        }
        (self.link, self.opened_at) = (Some(Arc::downgrade(&link.connection)), self.now());
        self.again.clear();
        self.slow.clear();
        self.open = rows.iter().map(|row| OpenSend::of(row, true)).collect();
        self.gate.open(&link.connection, self.old_chats());
        Ok(true)
    }

    /// Chats whose new sends wait.
    fn old_chats(&self) -> HashSet<ChatId> {
        self.open.iter().filter(|open| open.old).map(|open| open.chat.clone()).collect()
    }

    /// When there is something to do.
    fn due(&self, link: &ReadySession) -> Option<Timestamp> {
        let begins = self.begins(link);
        let rows = self.open.iter().map(|open| self.due_of(open, begins));
        rows.chain(self.gate.look_at()).min()
    }

    fn due_of(&self, open: &OpenSend, begins: Timestamp) -> Timestamp {
        let again = self.again.get(&open.id).map(|(_, at)| *at);
        let due =
            again.unwrap_or(if open.old { begins } else { open.accepted.plus(PENDING_LIMIT) });
        self.slow.get(&open.chat).map_or(due, |(_, at)| due.max(*at))
    }

    /// When what was open before this connection goes out: receipts that follow the backlog may still prove some of it.
    fn begins(&self, link: &ReadySession) -> Timestamp {
        let grace = self.shared.options.reconcile_grace;
        let caught_up = self.gate.caught_up_at(&link.connection).map(|at| at.plus(grace));
        caught_up.unwrap_or_else(|| self.opened_at.plus(PENDING_LIMIT))
    }

    /// Every chat in which something is due, one after another.
    async fn round(&mut self, link: &ReadySession) -> Result<(), StoreError> {
        // What WhatsApp said already comes first.
        self.shared.sessions.drained(self.session).await;
        self.gate.looked(self.now().plus(PENDING_LIMIT));
        let mut chats: Vec<(ChatId, Vec<UnresolvedSend>)> = Vec::new();
        let rows = self.shared.ports.store.unresolved_sends(self.session).await?;
        let of_batches = self.shared.ports.store.open_batch_items(self.session).await?;
        let old: HashSet<WaMessageId> =
            self.open.drain(..).filter(|open| open.old).map(|open| open.id).collect();
        let is_of_batch = |id: &WaMessageId| of_batches.iter().any(|open| open.item.wa_id == *id);
        for row in rows {
            // On a link that stays a batch waits for its items by itself: they must not break its pace.
            if !old.contains(&row.message.wa_id) && is_of_batch(&row.message.wa_id) {
                continue;
            }
            self.open.push(OpenSend::of(&row, old.contains(&row.message.wa_id)));
            match chats.iter_mut().find(|(chat, _)| *chat == row.message.chat) {
                Some((_, rows)) => rows.push(row),
                None => chats.push((row.message.chat.clone(), vec![row])),
            }
        }
        self.again.retain(|id, _| self.open.iter().any(|open| open.id == *id));
        self.slow.retain(|chat, _| chats.iter().any(|(other, _)| other == chat));
        self.gate.keep(self.old_chats());
        let begins = self.begins(link);
        let all_begin = begins <= self.now();
        for (chat, rows) in chats {
            if !self.is_on_air(link) || self.shared.brake.is_on() {
                return Ok(());
            }
            self.chat(link, &chat, rows, begins).await?;
        }
        if all_begin {
            self.gate.all_tried();
        }
        Ok(())
    }

    fn is_on_air(&self, link: &ReadySession) -> bool {
        let now = self.shared.sessions.ready(self.session);
        now.is_some_and(|now| Arc::ptr_eq(&now.connection, &link.connection))
    }

    /// The sends of one chat that are due, in their order, up to the first that cannot go out.
    async fn chat(
        &mut self,
        link: &ReadySession,
        chat: &ChatId,
        rows: Vec<UnresolvedSend>,
        begins: Timestamp,
    ) -> Result<(), StoreError> {
        let now = self.now();
        let is_due = |open: &OpenSend| open.chat == *chat && self.due_of(open, begins) <= now;
        let due: HashSet<WaMessageId> =
            self.open.iter().filter(|open| is_due(open)).map(|open| open.id.clone()).collect();
        if due.is_empty() {
            return Ok(());
        }
        self.gate.close(chat).await;
        let mut result = Ok(ReconcileStep::Yes);
        for row in rows.into_iter().filter(|row| due.contains(&row.message.wa_id)) {
            if self.shared.brake.is_on() {
                return Ok(());
            }
            result = self.row(link, row).await;
            if !matches!(result, Ok(ReconcileStep::Yes)) {
                break;
            }
        }
        if let Ok(ReconcileStep::Yes) = result {
            self.slow.remove(chat);
        } else {
            let tries = self.slow.get(chat).map_or(0, |(tries, _)| *tries) + 1;
            let wait = SLOW.wait(tries, self.shared.ports.entropy.fraction());
            self.slow.insert(chat.clone(), (tries, self.now().plus(wait)));
        }
        if !self.open.iter().any(|open| open.old && open.chat == *chat) {
            self.gate.free(chat);
        }
        result.map(|_| ())
    }

    async fn row(
        &mut self,
        link: &ReadySession,
        row: UnresolvedSend,
    ) -> Result<ReconcileStep, StoreError> {
        let (id, now) = (row.message.wa_id.clone(), self.now());
        let is_open = |message: Option<domain::message::Message>| {
            message.is_some_and(|message| message.status == MessageStatus::Pending)
        };
        let reconciled = if !is_open(self.shared.ports.store.message(self.session, &id).await?) {
            // WhatsApp proved it meanwhile.
            ReconcileStep::Yes
        } else if now.since(row.message.created_at) > self.shared.options.resend_limit {
            fail(&self.shared, &link.lease, &row, SendFailure::Expired).await?;
            ReconcileStep::Yes
        } else {
            self.send(link, row).await?
        };
        if matches!(reconciled, ReconcileStep::Yes) {
            let times = self.again.get(&id).map_or(0, |(times, _)| *times) + 1;
            let next = self.now().plus(PENDING_LIMIT * (1 << times.min(6)));
            self.open.iter_mut().filter(|open| open.id == id).for_each(|open| open.old = false);
            self.again.insert(id, (times, next));
        }
        Ok(reconciled)
    }

    /// A chat that was slow gets more time.
    async fn send(
        &self,
        link: &ReadySession,
        row: UnresolvedSend,
    ) -> Result<ReconcileStep, StoreError> {
        let clock = &self.shared.ports.clock;
        let tries = self.slow.get(&row.message.chat).map_or(0, |(tries, _)| *tries);
        let limit = clock.now().plus(self.shared.options.answer_limit * (1 << tries.min(3)));
        let written = tokio::select! {
            written = link.connection.send(row.outgoing.clone()) => written,
            () = clock.sleep_until(Timer::SendWrite, limit) => Err(EngineError::Unanswered(None)),
        };
        match written {
            Ok(()) => Ok(ReconcileStep::Yes),
            Err(EngineError::Unanswered(_) | EngineError::NotConnected) => Ok(ReconcileStep::Later),
            Err(EngineError::Store(error)) => Err(error),
            Err(error) => {
                tracing::warn!(session.id = %row.message.session, %error, "a send could not go out again");
                fail(&self.shared, &link.lease, &row, SendFailure::EngineRefused).await?;
                Ok(ReconcileStep::Yes)
            }
        }
    }
}

impl OpenSend {
    fn of(row: &UnresolvedSend, old: bool) -> Self {
        let message = &row.message;
        let (id, chat) = (message.wa_id.clone(), message.chat.clone());
        Self { id, chat, accepted: message.created_at, old }
    }
}

async fn fail(
    shared: &SharedMessages,
    lease: &Lease,
    row: &UnresolvedSend,
    failure: SendFailure,
) -> Result<(), StoreError> {
    let (message, at) = (&row.message, shared.ports.clock.now());
    let write = acks::failed(&shared.ledger, message, failure, at);
    shared.ledger.write_with_retry(Some(lease), vec![write]).await?;
    let session = message.session;
    let shown = event::message_sent(shared.ledger.event_id(), message, at).data.value();
    let data = json!({ "sessionId": session, "message": shown, "error": failure.reason(), "type": message.kind });
    shared.hooks.notify(HookPoint::MessageFailed, session, data);
    Ok(())
}
