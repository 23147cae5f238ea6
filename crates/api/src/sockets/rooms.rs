//! What a socket has subscribed to, and what of it the socket was told already.
//!
//! A room is one name of an event, or `*`, of one session, or `*`. Each has the positions of the log between which its
//! events were told: a room that is entered later and begins earlier brings what it alone has, and nothing twice.

use std::collections::{BTreeSet, HashMap, HashSet};

use domain::{
    SessionId,
    event::{EventType, Subscription},
    log::LoggedEvent,
};

/// Rooms of one socket; further ones are refused.
pub const ROOMS_MAX: usize = 4096;

/// Of which session; `None` is `*`.
pub type RoomSession = Option<SessionId>;

/// One subscription: of which session, and to which name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Room {
    session: RoomSession,
    /// `None` is `*`.
    kind: Option<EventType>,
}

/// From where a room's events are wanted, and up to where they were told.
#[derive(Debug, Clone, Copy)]
struct Span {
    since: u64,
    told: u64,
}

/// The rooms of one socket.
#[derive(Debug, Default)]
pub struct Rooms {
    entered: HashMap<Room, Span>,
    /// Rooms that already began at the cursor of the handshake: entered again, they begin now.
    resumed: HashSet<Room>,
}

/// Where a room begins that is entered now.
#[derive(Debug, Clone, Copy)]
pub struct Beginning {
    /// The end of the log.
    pub now: u64,
    /// The cursor of the handshake, if there was one.
    pub cursor: Option<u64>,
}

impl Rooms {
    /// Enters rooms; those that were entered before stay as they are. Answers with the first position behind which
    /// something may have to be told.
    ///
    /// # Errors
    /// There would be too many; nothing was entered.
    pub fn enter(
        &mut self,
        session: RoomSession,
        names: &[Subscription],
        beginning: Beginning,
    ) -> Result<u64, TooManyRooms> {
        let wanted: BTreeSet<Room> =
            names.iter().map(|name| Room { session, kind: kind_of(name) }).collect();
        let new: Vec<Room> =
            wanted.into_iter().filter(|room| !self.entered.contains_key(room)).collect();
        if self.entered.len() + new.len() > ROOMS_MAX {
            return Err(TooManyRooms);
        }
        let mut first = beginning.now;
        for room in new {
            let resumes = self.resumed.len() < ROOMS_MAX && self.resumed.insert(room);
            let cursor = beginning.cursor.filter(|_| resumes);
            let since = cursor.unwrap_or(beginning.now);
            first = first.min(since);
            self.entered.insert(room, Span { since, told: since });
        }
        Ok(first)
    }

    /// Leaves all rooms of a session.
    pub fn leave(&mut self, session: RoomSession) {
        self.entered.retain(|room, _| room.session != session);
    }

    /// Everything up to this position was told.
    pub fn told(&mut self, through: u64) {
        for span in self.entered.values_mut() {
            span.told = span.told.max(through);
        }
    }

    /// Whether an event is told now: a room wants it, and none has told it before.
    pub fn wants(&self, logged: &LoggedEvent) -> bool {
        let (draft, position) = (&logged.event.draft, logged.position);
        let mut wanted = false;
        for session in [Some(draft.session), None] {
            for name in [Subscription::One(draft.kind), Subscription::All] {
                let room = Room { session, kind: kind_of(&name) };
                let Some(span) = self.entered.get(&room).filter(|_| name.covers(draft.kind)) else {
                    continue;
                };
                if span.since < position && position <= span.told {
                    return false;
                }
                wanted |= position > span.told;
            }
        }
        wanted
    }

    /// The only session of all rooms, if there is only one.
    pub fn only_session(&self) -> RoomSession {
        let mut sessions = self.entered.keys().map(|room| room.session);
        let first = sessions.next()?;
        first.filter(|_| sessions.all(|session| session == first))
    }

    /// The names that some room has; empty when one has all of them.
    pub fn kinds(&self) -> Vec<EventType> {
        let kinds: Option<BTreeSet<EventType>> =
            self.entered.keys().map(|room| room.kind).collect();
        kinds.unwrap_or_default().into_iter().collect()
    }
}

/// A socket has as many rooms as it may.
#[derive(Debug, PartialEq, Eq)]
pub struct TooManyRooms;

fn kind_of(name: &Subscription) -> Option<EventType> {
    match name {
        Subscription::All => None,
        Subscription::One(kind) => Some(*kind),
    }
}

#[cfg(test)]
mod tests {
    use domain::{
        EventId, Timestamp,
        event::{Event, EventDraft},
    };
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    const RECEIVED: Subscription = Subscription::One(EventType::MessageReceived);

    fn session(number: u128) -> SessionId {
        SessionId::from_uuid(Uuid::from_u128(number))
    }

    fn event(position: u64, of: u128, kind: EventType) -> LoggedEvent {
        let draft = EventDraft {
            id: EventId::from_uuid(Uuid::from_u128(position.into())),
            session: session(of),
            chat: None,
            kind,
            occurred_at: Timestamp::default(),
            idempotency_key: position.to_string(),
            data: json!({}).into(),
        };
        LoggedEvent { position, event: Event { sequence: position, draft } }
    }

    fn from(now: u64, cursor: Option<u64>) -> Beginning {
        Beginning { now, cursor }
    }

    #[test]
    fn rooms_bring_what_they_name() {
        let mut rooms = Rooms::default();
        assert!(rooms.kinds().is_empty());
        assert_eq!(rooms.enter(Some(session(1)), &[RECEIVED], from(5, None)), Ok(5));
        assert_eq!(rooms.only_session(), Some(session(1)));
        assert_eq!(rooms.kinds(), [EventType::MessageReceived]);
        assert!(rooms.wants(&event(6, 1, EventType::MessageReceived)));
        assert!(!rooms.wants(&event(5, 1, EventType::MessageReceived)), "before it was entered");
        assert!(!rooms.wants(&event(6, 2, EventType::MessageReceived)));
        assert!(!rooms.wants(&event(6, 1, EventType::MessageAck)));
        rooms.enter(None, &[Subscription::All], from(5, None)).unwrap();
        assert_eq!((rooms.only_session(), rooms.kinds()), (None, vec![]));
        assert!(rooms.wants(&event(6, 2, EventType::MessageAck)));
        assert!(!rooms.wants(&event(6, 2, EventType::MessageReceipt)), "only by name");
        rooms.leave(None);
        rooms.leave(Some(session(1)));
        assert!(rooms.kinds().is_empty() && !rooms.wants(&event(7, 1, EventType::MessageReceived)));
    }

    #[test]
    fn a_room_that_begins_earlier_brings_nothing_twice() {
        let mut rooms = Rooms::default();
        let cursor = Some(2);
        assert_eq!(rooms.enter(Some(session(1)), &[RECEIVED], from(9, cursor)), Ok(2));
        rooms.told(7);
        assert_eq!(rooms.enter(None, &[RECEIVED], from(9, cursor)), Ok(2));
        assert!(!rooms.wants(&event(3, 1, EventType::MessageReceived)), "told by the first room");
        assert!(rooms.wants(&event(3, 2, EventType::MessageReceived)));
        assert!(rooms.wants(&event(8, 1, EventType::MessageReceived)));
        rooms.told(9);
        rooms.leave(None);
        assert_eq!(rooms.enter(None, &[RECEIVED], from(9, cursor)), Ok(9), "not from before again");
    }

    #[test]
    fn they_are_bounded() {
        let mut rooms = Rooms::default();
        for number in 0..ROOMS_MAX as u128 {
            rooms.enter(Some(session(number)), &[RECEIVED], from(0, None)).unwrap();
        }
        assert_eq!(rooms.enter(None, &[RECEIVED], from(0, None)), Err(TooManyRooms));
        assert_eq!(rooms.enter(Some(session(1)), &[RECEIVED], from(0, None)), Ok(0), "a known one");
        for number in 0..10_000 {
            rooms.leave(Some(session(number)));
            rooms.enter(Some(session(number + 1)), &[RECEIVED], from(0, Some(0))).unwrap();
        }
        assert!(rooms.resumed.len() <= ROOMS_MAX);
    }
}
