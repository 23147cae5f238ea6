//! Who was seen doing what, last: kept in memory, of the sessions that run in this process.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use domain::{
    ChatId, SessionId, Timestamp,
    presence::{PresenceChange, PresenceOf},
};

/// Chats that are remembered, of all sessions. With one more, the one of which nothing was heard longest is forgotten.
const CHATS_MAX: usize = 20_000;
/// People that are remembered of one group. With one more, the one of whom nothing was heard longest is forgotten.
const PEOPLE_MAX: usize = 256;

/// What was seen in a chat, and when the last of it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastPresence {
    /// Who does what there; who was heard of last comes last.
    pub people: Vec<PresenceOf>,
    /// When the last of it was heard.
    pub observed_at: Timestamp,
}

/// What is remembered of all sessions.
#[derive(Default)]
pub(crate) struct Presences(Mutex<PresenceBook>);

#[derive(Default)]
struct PresenceBook {
    chats: HashMap<(SessionId, ChatId), (u64, LastPresence)>,
    /// The chats in the order in which something was heard of them.
    order: BTreeMap<u64, (SessionId, ChatId)>,
    heard: u64,
}

impl Presences {
    /// Remembers what was heard of a chat.
    pub(crate) fn note(&self, session: SessionId, change: &PresenceChange, at: Timestamp) {
        self.lock().note(session, change, at);
    }

    /// What was seen in a chat last.
    pub(crate) fn last(&self, session: SessionId, chat: &ChatId) -> Option<LastPresence> {
        let book = self.lock();
        book.chats.get(&(session, chat.clone())).map(|(_, last)| last.clone())
    }

    /// Forgets everything of a session: its account is another one from now on.
    pub(crate) fn forget(&self, session: SessionId) {
        let mut book = self.lock();
        book.chats.retain(|(of, _), _| *of != session);
        book.order.retain(|_, (of, _)| *of != session);
    }

    fn lock(&self) -> MutexGuard<'_, PresenceBook> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PresenceBook {
    fn note(&mut self, session: SessionId, change: &PresenceChange, at: Timestamp) {
        let key = (session, change.chat.clone());
        self.heard += 1;
        let empty = || (0, LastPresence { people: vec![], observed_at: at });
        let (order, last) = self.chats.entry(key.clone()).or_insert_with(empty);
        self.order.remove(order);
        *order = self.heard;
        self.order.insert(self.heard, key);
        last.observed_at = at;
        let before = last.people.iter().position(|known| known.person == change.of.person);
        let before = before.map(|index| last.people.remove(index));
        let mut of = change.of.clone();
        // Who writes says nothing of when they were there before.
        of.last_seen = of.last_seen.or_else(|| before.and_then(|before| before.last_seen));
        if last.people.len() >= PEOPLE_MAX {
            last.people.remove(0);
        }
        last.people.push(of);
        while self.chats.len() > CHATS_MAX
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.chats.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::presence::PresenceState;
    use testkit::{START, build};

    use super::*;

    fn change(chat: u32, person: u32, state: PresenceState) -> PresenceChange {
        let of = PresenceOf { person: build::chat(person), state, last_seen: None };
        PresenceChange { chat: build::chat(chat), of }
    }

    #[test]
    fn the_last_news_of_each_person_counts() {
        let (presences, session) = (Presences::default(), build::session(1).id);
        let mut seen = change(1, 1, PresenceState::Unavailable);
        seen.of.last_seen = Some(5);
        presences.note(session, &seen, START);
        presences.note(session, &change(1, 2, PresenceState::Recording), START);
        let later = Timestamp::from_seconds(START.seconds() + 1);
        presences.note(session, &change(1, 1, PresenceState::Composing), later);
        let last = presences.last(session, &build::chat(1)).unwrap();
        assert_eq!(last.observed_at, later);
        let people: Vec<_> =
            last.people.iter().map(|of| (of.person.clone(), of.state, of.last_seen)).collect();
        let expected = [
            (build::chat(2), PresenceState::Recording, None),
            (build::chat(1), PresenceState::Composing, Some(5)),
        ];
        assert_eq!(people, expected);
        presences.forget(session);
        assert_eq!(presences.last(session, &build::chat(1)), None);
    }

    #[test]
    fn the_chat_that_was_silent_longest_is_forgotten() {
        let (presences, session) = (Presences::default(), build::session(1).id);
        let chats = u32::try_from(CHATS_MAX).unwrap();
        for chat in 1..=chats {
            presences.note(session, &change(chat, chat, PresenceState::Available), START);
        }
        presences.note(session, &change(1, 1, PresenceState::Available), START);
        presences.note(session, &change(chats + 1, 1, PresenceState::Available), START);
        assert!(presences.last(session, &build::chat(1)).is_some(), "it was heard of again");
        assert!(presences.last(session, &build::chat(2)).is_none());
        let book = presences.lock();
        assert_eq!((book.chats.len(), book.order.len()), (CHATS_MAX, CHATS_MAX));
    }

    #[test]
    fn a_large_group_remembers_those_heard_last() {
        let (presences, session) = (Presences::default(), build::session(1).id);
        let people = u32::try_from(PEOPLE_MAX).unwrap() + 1;
        for person in 1..=people {
            presences.note(session, &change(0, person, PresenceState::Composing), START);
        }
        let last = presences.last(session, &build::chat(0)).unwrap();
        assert_eq!(last.people.len(), PEOPLE_MAX);
        assert_eq!(last.people[0].person, build::chat(2));
    }
}
