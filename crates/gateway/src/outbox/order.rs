//! What is known about sends under way: who goes first in a chat, and the [gate](super::gate) of each session.
//!
//! # Lines
//! A send takes its place in its chat's line the moment it is accepted. Typing, uploads and hooks go on side by side;
//! the frame is written when every earlier place of that chat is free again. Chats do not wait for each other.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use domain::{ChatId, SessionId};
use tokio::sync::{Notify, oneshot};

use super::gate::SendGate;

/// Sends that may be under way in one chat; more are refused.
pub(crate) const IN_CHAT_MAX: usize = 256;
/// Sends that may be under way at all; more are refused.
pub(crate) const IN_ALL_MAX: usize = 10_000;

/// Gates in memory before the first look for those that nobody uses.
const GATES_KEPT: usize = 64;

/// The lines of all chats; clones are the same lines.
#[derive(Clone, Default)]
pub(crate) struct Outbox {
    lines: Arc<Mutex<ChatLines>>,
    /// Told whenever a session has no place taken any more.
    idle: Arc<Notify>,
    gates: Arc<Mutex<SendGates>>,
}

#[derive(Default)]
struct SendGates {
    by_session: HashMap<SessionId, SendGate>,
    /// With so many, those that nobody uses are forgotten: what they know is found out again.
    most: usize,
}

#[derive(Default)]
struct ChatLines {
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
pub(crate) struct LinePlace {
    outbox: Outbox,
    key: (SessionId, ChatId),
    number: u64,
    told: oneshot::Receiver<()>,
    /// Its turn has come.
    first: bool,
}

/// Too many sends are under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LineFull;

impl Outbox {
    /// Takes the last place in a chat's line.
    pub(crate) fn join(&self, session: SessionId, chat: ChatId) -> Result<LinePlace, LineFull> {
        let key = (session, chat);
        let mut lines = self.lines();
        let ahead = lines.by_chat.get(&key).map_or(0, VecDeque::len);
        if lines.count >= IN_ALL_MAX || ahead >= IN_CHAT_MAX {
            return Err(LineFull);
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
        Ok(LinePlace { outbox: self.clone(), key, number, told, first: false })
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
    pub(crate) fn gate(&self, session: SessionId) -> SendGate {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gate) = gates.by_session.get(&session) {
            return gate.clone();
        }
        if gates.by_session.len() >= gates.most {
            gates.by_session.retain(|_, gate| gate.is_used());
            gates.most = GATES_KEPT.max(2 * gates.by_session.len());
        }
        gates.by_session.entry(session).or_default().clone()
    }

    fn lines(&self) -> std::sync::MutexGuard<'_, ChatLines> {
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

impl LinePlace {
    /// Whether it is in this chat's line.
    pub(crate) fn is_in(&self, chat: &ChatId) -> bool {
        self.key.1 == *chat
    }

    /// Completes when every earlier place is free.
    pub(crate) async fn turn(&mut self) {
        if !self.first {
            // The sender lives in the line until it has told.
            let _ = (&mut self.told).await;
            self.first = true;
        }
    }
}

impl Drop for LinePlace {
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
    fn gates_that_nobody_uses_are_forgotten() {
        let outbox = Outbox::default();
        let id = |number| SessionId::from_uuid(uuid::Uuid::from_u128(number));
        let watched = outbox.gate(id(0)).watch();
        for number in 1..10_000 {
            outbox.gate(id(number));
        }
        let gates = outbox.gates.lock().unwrap();
        assert!(gates.by_session.len() <= GATES_KEPT);
        assert!(gates.by_session.contains_key(&id(0)) && !watched.has_changed().unwrap());
    }

    #[test]
    fn a_full_line_refuses_and_recovers() {
        let outbox = Outbox::default();
        let mut places: Vec<LinePlace> =
            (0..IN_CHAT_MAX).map(|_| outbox.join(session(), chat(1)).unwrap()).collect();
        assert_eq!(outbox.join(session(), chat(1)).err(), Some(LineFull));
        assert!(outbox.join(session(), chat(2)).is_ok());
        places.pop();
        assert!(outbox.join(session(), chat(1)).is_ok());
        drop(places);
        assert!(outbox.lines().by_chat.is_empty());
        assert_eq!(outbox.lines().count, 0);
        assert!(outbox.idle(session()).now_or_never().is_some());
    }
}
