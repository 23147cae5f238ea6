//! Events of the last commits, so that the way from a commit to its POST goes through memory; and word of the lanes
//! they opened.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use domain::{EventId, delivery::LaneId, event::Event, port::OpenedListener};

/// Most bytes of event data that are kept; the oldest go first. What is gone is read from the database.
const BYTES_MAX: usize = 6 * 1024 * 1024;
/// What an event takes besides its data, about.
const EVENT_BYTES: usize = 600;

#[derive(Default)]
struct State {
    events: HashMap<EventId, Arc<Event>>,
    order: VecDeque<(EventId, usize)>,
    bytes: usize,
}

/// The memory, and who is told of lanes that were opened.
#[derive(Default)]
pub(crate) struct Recent {
    state: Mutex<State>,
    listener: RwLock<Option<OpenedListener>>,
}

impl Recent {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells `listener` from now on.
    pub(crate) fn listen(&self, listener: OpenedListener) {
        *self.listener.write().unwrap_or_else(PoisonError::into_inner) = Some(listener);
    }

    /// Lanes were opened by a commit.
    pub(crate) fn tell_opened(&self, lanes: &[LaneId]) {
        if lanes.is_empty() {
            return;
        }
        if let Some(listener) = &*self.listener.read().unwrap_or_else(PoisonError::into_inner) {
            listener(lanes);
        }
    }

    /// Remembers events that were committed.
    pub(crate) fn keep(&self, events: impl IntoIterator<Item = Arc<Event>>) {
        let mut state = self.lock();
        for event in events {
            let bytes = event.draft.data.text().len() + EVENT_BYTES;
            let id = event.draft.id;
            if state.events.insert(id, event).is_none() {
                state.order.push_back((id, bytes));
                state.bytes += bytes;
            }
        }
        while state.bytes > BYTES_MAX {
            let Some((id, bytes)) = state.order.pop_front() else { break };
            state.events.remove(&id);
            state.bytes -= bytes;
        }
    }

    /// An event, if it is remembered.
    pub(crate) fn get(&self, id: EventId) -> Option<Arc<Event>> {
        self.lock().events.get(&id).cloned()
    }
}

#[cfg(test)]
mod tests {
    use testkit::build;

    use super::*;

    #[test]
    fn the_oldest_go_when_it_is_full() {
        let recent = Recent::default();
        let session = build::session(1).id;
        let event = |number| {
            let mut draft = build::session_event(number, session);
            draft.data = draft.data.changed(|data| data["text"] = "x".repeat(1 << 20).into());
            Arc::new(Event { draft, sequence: number.into() })
        };
        recent.keep((1..=20).map(event));
        assert_eq!(recent.get(event(1).draft.id), None);
        assert_eq!(recent.get(event(20).draft.id), Some(event(20)));
        let state = recent.lock();
        assert!(state.bytes <= BYTES_MAX && state.events.len() == state.order.len());
    }
}
