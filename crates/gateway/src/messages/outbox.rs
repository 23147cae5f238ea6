//! What is known about sends under way: who goes first in a chat, and whether a connection is free for new sends.
//!
//! # Lines
//! A send takes its place in its chat's line the moment it is accepted. Typing, uploads and hooks go on side by side; the
//! frame is written when every earlier place of that chat is free again. Chats do not wait for each other.
//!
//! # Gates
//! On each new connection, sends of an earlier one whose outcome is not known go first. Until they have been settled the
//! gate of the connection is closed to new sends. A send holds its session's gate while its row is stored and its frame
//! written, so that nobody settles a send that is still being handed over.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError, Weak},
};

use domain::{ChatId, SessionId, port::Connection};
use tokio::sync::{Notify, OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock, oneshot, watch};

/// Sends that may be under way in one chat; more are refused.
pub(crate) const IN_CHAT_MAX: usize = 256;
/// Sends that may be under way at all; more are refused.
pub(crate) const IN_ALL_MAX: usize = 10_000;

/// Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Outbox {
    lines: Arc<Mutex<Lines>>,
    /// Told whenever a session has no place taken any more.
    idle: Arc<Notify>,
    gates: Arc<Mutex<HashMap<SessionId, Gate>>>,
}

#[derive(Default)]
struct Lines {
    by_chat: HashMap<(SessionId, ChatId), VecDeque<Waiting>>,
    by_session: HashMap<SessionId, usize>,
    count: usize,
    next: u64,
}

struct Waiting {
    number: u64,
    /// Told when it is first.
    tell: Option<oneshot::Sender<()>>,
}

/// A place in a chat's line; dropping it lets the next one go.
pub(crate) struct Place {
    outbox: Outbox,
    key: (SessionId, ChatId),
    number: u64,
    told: oneshot::Receiver<()>,
}

/// Too many sends are under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

impl Outbox {
    /// Takes the last place in a chat's line.
    pub(crate) fn join(&self, session: SessionId, chat: ChatId) -> Result<Place, Full> {
        let key = (session, chat);
        let mut lines = self.lines();
        let ahead = lines.by_chat.get(&key).map_or(0, VecDeque::len);
        if lines.count >= IN_ALL_MAX || ahead >= IN_CHAT_MAX {
            return Err(Full);
        }
        let (tell, told) = oneshot::channel();
        lines.count += 1;
        *lines.by_session.entry(session).or_default() += 1;
        lines.next += 1;
        let number = lines.next;
        let mut waiting = Waiting { number, tell: Some(tell) };
        if ahead == 0 {
            waiting.call();
        }
        lines.by_chat.entry(key.clone()).or_default().push_back(waiting);
        Ok(Place { outbox: self.clone(), key, number, told })
    }

    /// Completes when no send of a session is on its way to the wire.
    pub(crate) async fn idle(&self, session: SessionId) {
        loop {
            let told = self.idle.notified();
            tokio::pin!(told);
            told.as_mut().enable();
            if !self.lines().by_session.contains_key(&session) {
                return;
            }
            told.await;
        }
    }

    /// The gate of a session.
    pub(crate) fn gate(&self, session: SessionId) -> Gate {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        gates.entry(session).or_default().clone()
    }

    fn lines(&self) -> std::sync::MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn call(&mut self) {
        if let Some(tell) = self.tell.take() {
            // Nobody listening is a place that is being given up.
            let _ = tell.send(());
        }
    }
}

impl Place {
    /// Whether it is in this chat's line.
    pub(crate) fn is_in(&self, chat: &ChatId) -> bool {
        self.key.1 == *chat
    }

    /// Completes when every earlier place is free.
    pub(crate) async fn turn(&mut self) {
        // The sender lives in the line until it has told.
        let _ = (&mut self.told).await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut lines = self.outbox.lines();
        lines.count = lines.count.saturating_sub(1);
        if let Some(taken) = lines.by_session.get_mut(&self.key.0) {
            *taken -= 1;
            if *taken == 0 {
                lines.by_session.remove(&self.key.0);
                self.outbox.idle.notify_waiters();
            }
        }
        let Some(line) = lines.by_chat.get_mut(&self.key) else { return };
        line.retain(|waiting| waiting.number != self.number);
        match line.front_mut() {
            Some(first) => first.call(),
            None => drop(lines.by_chat.remove(&self.key)),
        }
    }
}

/// Which connection of a session is free for new sends. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Gate {
    open_for: Arc<RwLock<Option<Weak<dyn Connection>>>>,
    opened: Arc<watch::Sender<u64>>,
    entry: Arc<tokio::sync::Mutex<()>>,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            open_for: Arc::default(),
            opened: Arc::new(watch::Sender::new(0)),
            entry: Arc::default(),
        }
    }
}

/// Keeps others from settling while a send is handed over.
pub(crate) struct Passing {
    _held: OwnedRwLockReadGuard<Option<Weak<dyn Connection>>>,
}

/// Keeps all sends of a session from being handed over.
pub(crate) struct Closed {
    gate: Gate,
    held: OwnedRwLockWriteGuard<Option<Weak<dyn Connection>>>,
}

impl Gate {
    /// Lets callers in one after another, in the order of their calls, while they find out which line is theirs.
    pub(crate) async fn enter(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.entry.lock().await
    }

    /// Goes through, if the gate is open for this connection.
    pub(crate) async fn pass(&self, connection: &Arc<dyn Connection>) -> Option<Passing> {
        let held = self.open_for.clone().read_owned().await;
        is_open(held.as_ref(), connection).then_some(Passing { _held: held })
    }

    /// Waits until nobody is passing, and keeps everybody out.
    pub(crate) async fn close(&self) -> Closed {
        Closed { gate: self.clone(), held: self.open_for.clone().write_owned().await }
    }

    /// Something else of the session changed, its connection or what it may send: whoever waits looks again.
    pub(crate) fn stir(&self) {
        self.opened.send_modify(|times| *times += 1);
    }

    /// Told when it opens, and by [`Gate::stir`]; subscribe before looking whether it is open.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.opened.subscribe()
    }
}

impl Closed {
    /// Whether it had been opened for this connection.
    pub(crate) fn was_open(&self, connection: &Arc<dyn Connection>) -> bool {
        is_open(self.held.as_ref(), connection)
    }

    /// Opens it for this connection.
    pub(crate) fn open(mut self, connection: &Arc<dyn Connection>) {
        *self.held = Some(Arc::downgrade(connection));
        let opened = self.gate.opened.clone();
        drop(self);
        opened.send_modify(|times| *times += 1);
    }
}

/// The weak handle keeps the address from being used for another connection.
fn is_open(open_for: Option<&Weak<dyn Connection>>, connection: &Arc<dyn Connection>) -> bool {
    open_for.is_some_and(|open| std::ptr::addr_eq(open.as_ptr(), Arc::as_ptr(connection)))
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn session() -> SessionId {
        SessionId::from_uuid(uuid::Uuid::nil())
    }

    fn chat(number: u32) -> ChatId {
        format!("49170{number:05}@c.us").parse().unwrap()
    }

    #[test]
    fn one_chat_goes_in_order_and_others_do_not_wait() {
        let outbox = Outbox::default();
        let mut first = outbox.join(session(), chat(1)).unwrap();
        let mut second = outbox.join(session(), chat(1)).unwrap();
        let mut third = outbox.join(session(), chat(1)).unwrap();
        let mut other = outbox.join(session(), chat(2)).unwrap();
        assert!(first.turn().now_or_never().is_some());
        assert!(other.turn().now_or_never().is_some());
        assert!(second.turn().now_or_never().is_none());
        assert!(outbox.idle(session()).now_or_never().is_none());
        // Giving up in the middle lets nobody overtake.
        drop(second);
        assert!(third.turn().now_or_never().is_none());
        drop(first);
        assert!(third.turn().now_or_never().is_some());
    }

    #[test]
    fn a_full_line_refuses_and_recovers() {
        let outbox = Outbox::default();
        let mut places: Vec<Place> =
            (0..IN_CHAT_MAX).map(|_| outbox.join(session(), chat(1)).unwrap()).collect();
        assert_eq!(outbox.join(session(), chat(1)).err(), Some(Full));
        assert!(outbox.join(session(), chat(2)).is_ok());
        places.pop();
        assert!(outbox.join(session(), chat(1)).is_ok());
        drop(places);
        assert!(outbox.lines().by_chat.is_empty());
        assert_eq!(outbox.lines().count, 0);
        assert!(outbox.idle(session()).now_or_never().is_some());
    }
}
