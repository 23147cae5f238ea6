//! Which sends of a session may go out on its connection.
//!
//! On each new connection, sends of an earlier one whose outcome is not known go first in their chats. Until it is
//! known which chats those are, the gate is closed to all new sends; from then on to those of these chats, each until
//! its own are reconciled. A send holds its chat while its row is stored and its frame written, so that nobody
//! reconciles a send that is still being handed over.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use domain::{ChatId, Timestamp, port::Connection};
use tokio::sync::{Notify, watch};

/// The gate of one session; clones are the same gate.
#[derive(Clone, Default)]
pub(crate) struct SendGate {
    shared: Arc<SharedGate>,
}

struct SharedGate {
    state: Mutex<GateState>,
    /// Told when it opens, for a chat or at all, and by [`SendGate::stir`].
    changed: watch::Sender<u64>,
    wake: Notify,
    entry: tokio::sync::Mutex<()>,
}

impl Default for SharedGate {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            changed: watch::Sender::new(0),
            wake: Notify::new(),
            entry: tokio::sync::Mutex::default(),
        }
    }
}

#[derive(Default)]
struct GateState {
    /// The connection that sends may go out on.
    open_for: Option<Weak<dyn Connection>>,
    /// Closed to everybody, while the reconciler finds out what is not known.
    shut: bool,
    /// Chats with sends that go first.
    reconciling: HashSet<ChatId>,
    /// Every send that was not known when it opened has been tried.
    tried: bool,
    /// Sends that are being handed over.
    handing: HashMap<ChatId, usize>,
    /// The connection on which everything that waited at WhatsApp has been handed over, and since when.
    caught_up: Option<(Weak<dyn Connection>, Timestamp)>,
    reconciler: ReconcilerState,
    /// When sends that went out are looked at.
    look_at: Option<Timestamp>,
}

/// Whether a reconciler of the session runs.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum ReconcilerState {
    #[default]
    Nobody,
    Runs,
    /// And was called once more.
    RunsAgain,
}

/// The right to reconcile a session's sends; dropping it lets another one have it.
pub(crate) struct GateClaim {
    gate: SendGate,
    finished: bool,
}

/// Keeps others from reconciling a chat while a send is handed over.
pub(crate) struct GatePass {
    gate: SendGate,
    chat: ChatId,
}

impl SendGate {
    fn state(&self) -> MutexGuard<'_, GateState> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anybody else has to do with it.
    pub(crate) fn is_used(&self) -> bool {
        Arc::strong_count(&self.shared) > 1 || self.shared.changed.receiver_count() > 0
    }

    /// Lets callers in one after another, in the order of their calls, while they find out which line is theirs.
    pub(crate) async fn enter(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.shared.entry.lock().await
    }

    /// Goes through, if the gate is open for this chat on this connection. What went through is looked at at that time.
    pub(crate) fn pass(
        &self,
        connection: &Arc<dyn Connection>,
        chat: &ChatId,
        look_at: Timestamp,
    ) -> Option<GatePass> {
        let mut state = self.state();
        if state.shut
            || !is(state.open_for.as_ref(), connection)
            || state.reconciling.contains(chat)
        {
            return None;
        }
        *state.handing.entry(chat.clone()).or_default() += 1;
        if state.look_at.is_none() {
            state.look_at = Some(look_at);
            self.shared.wake.notify_one();
        }
        Some(GatePass { gate: self.clone(), chat: chat.clone() })
    }

    /// Whether everything that was not known before this connection has been tried on it.
    pub(crate) fn is_reconciled(&self, connection: &Arc<dyn Connection>) -> bool {
        let state = self.state();
        !state.shut && state.tried && is(state.open_for.as_ref(), connection)
    }

    /// Something else of the session changed, its connection or what it may send: whoever waits looks again.
    pub(crate) fn stir(&self) {
        self.shared.changed.send_modify(|times| *times += 1);
        self.shared.wake.notify_one();
    }

    /// Told when it opens, and by [`SendGate::stir`]; subscribe before looking whether it is open.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.shared.changed.subscribe()
    }

    /// Everything that waited at WhatsApp has been handed over on this connection.
    pub(crate) fn caught_up(&self, connection: &Arc<dyn Connection>, now: Timestamp) {
        self.state().caught_up = Some((Arc::downgrade(connection), now));
    }
}
impl SendGate {
    /// The right to reconcile; nothing when somebody has it, who is told to look once more.
    pub(crate) fn claim(&self) -> Option<GateClaim> {
        let mut state = self.state();
        if state.reconciler != ReconcilerState::Nobody {
            state.reconciler = ReconcilerState::RunsAgain;
            drop(state);
            self.shared.wake.notify_one();
            return None;
        }
        state.reconciler = ReconcilerState::Runs;
        Some(GateClaim { gate: self.clone(), finished: false })
    }

    /// Whether sends are to be looked at, and nobody is there to do so.
    pub(crate) fn is_unattended(&self) -> bool {
        let state = self.state();
        state.reconciler == ReconcilerState::Nobody && state.look_at.is_some()
    }

    /// Completes when something happened that the reconciler should know.
    pub(crate) async fn woken(&self) {
        self.shared.wake.notified().await;
    }

    pub(crate) fn is_open(&self, connection: &Arc<dyn Connection>) -> bool {
        let state = self.state();
        !state.shut && is(state.open_for.as_ref(), connection)
    }

    /// Since when everything that waited has been handed over on this connection.
    pub(crate) fn caught_up_at(&self, connection: &Arc<dyn Connection>) -> Option<Timestamp> {
        let state = self.state();
        state.caught_up.as_ref().filter(|(of, _)| is(Some(of), connection)).map(|(_, at)| *at)
    }

    /// Keeps everybody out, and waits until nobody is passing.
    pub(crate) async fn shut(&self) {
        let mut changed = self.watch();
        self.state().shut = true;
        while !self.state().handing.is_empty() {
            let _ = changed.changed().await;
        }
    }

    /// Opens it for this connection, but not to these chats.
    pub(crate) fn open(&self, connection: &Arc<dyn Connection>, reconciling: HashSet<ChatId>) {
        let mut state = self.state();
        state.shut = false;
        state.open_for = Some(Arc::downgrade(connection));
        state.tried = reconciling.is_empty();
        state.reconciling = reconciling;
        drop(state);
        self.shared.changed.send_modify(|times| *times += 1);
    }

    /// Keeps everybody out of a chat, and waits until nobody is passing there.
    pub(crate) async fn close(&self, chat: &ChatId) {
        let mut changed = self.watch();
        self.state().reconciling.insert(chat.clone());
        while self.state().handing.contains_key(chat) {
            let _ = changed.changed().await;
        }
    }

    /// The sends of a chat that went first are reconciled.
    pub(crate) fn free(&self, chat: &ChatId) {
        if self.state().reconciling.remove(chat) {
            self.shared.changed.send_modify(|times| *times += 1);
        }
    }

    /// New sends wait in these chats alone.
    pub(crate) fn keep(&self, reconciling: HashSet<ChatId>) {
        let mut state = self.state();
        if state.reconciling != reconciling {
            state.reconciling = reconciling;
            drop(state);
            self.shared.changed.send_modify(|times| *times += 1);
        }
    }

    /// Every send that was not known has been tried.
    pub(crate) fn all_tried(&self) {
        if !std::mem::replace(&mut self.state().tried, true) {
            self.shared.changed.send_modify(|times| *times += 1);
        }
    }

    /// When sends that went out are to be looked at.
    pub(crate) fn look_at(&self) -> Option<Timestamp> {
        self.state().look_at
    }

    /// They are looked at now; what is being handed over is looked at at that time.
    pub(crate) fn looked(&self, next: Timestamp) {
        let mut state = self.state();
        state.look_at = (!state.handing.is_empty()).then_some(next);
    }
}

impl GateClaim {
    /// Nothing is left to do: `false` when there is again.
    pub(crate) fn finish(&mut self) -> bool {
        let mut state = self.gate.state();
        self.finished = state.reconciler == ReconcilerState::Runs;
        state.reconciler =
            if self.finished { ReconcilerState::Nobody } else { ReconcilerState::Runs };
        self.finished
    }
}

impl Drop for GateClaim {
    fn drop(&mut self) {
        if !self.finished {
            self.gate.state().reconciler = ReconcilerState::Nobody;
        }
    }
}

impl Drop for GatePass {
    fn drop(&mut self) {
        let mut state = self.gate.state();
        let Some(sends) = state.handing.get_mut(&self.chat) else { return };
        *sends -= 1;
        if *sends > 0 {
            return;
        }
        state.handing.remove(&self.chat);
        let is_awaited = state.shut || state.reconciling.contains(&self.chat);
        drop(state);
        if is_awaited {
            self.gate.shared.changed.send_modify(|times| *times += 1);
        }
    }
}

/// The weak handle keeps the address from being used for another connection.
fn is(known: Option<&Weak<dyn Connection>>, connection: &Arc<dyn Connection>) -> bool {
    known.is_some_and(|known| std::ptr::addr_eq(known.as_ptr(), Arc::as_ptr(connection)))
}
