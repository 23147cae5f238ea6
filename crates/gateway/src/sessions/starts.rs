//! Starts of sessions: of one session one after another, of different ones side by side.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use domain::SessionId;
use tokio::sync::OwnedMutexGuard;

/// Who may start which session now. "Already started" and the cap are exact.
#[derive(Default)]
pub(super) struct StartTurns {
    turns: Mutex<HashMap<SessionId, Arc<tokio::sync::Mutex<()>>>>,
    /// Sessions that are being started, and count for the cap.
    places: Mutex<HashSet<SessionId>>,
}

/// Nobody else starts this session meanwhile.
pub(super) struct StartTurn {
    starts: Arc<StartTurns>,
    session: SessionId,
    _guard: OwnedMutexGuard<()>,
}

impl StartTurns {
    /// Waits until nobody starts the session.
    pub(super) async fn turn(self: &Arc<Self>, session: SessionId) -> StartTurn {
        let lock = lock(&self.turns).entry(session).or_default().clone();
        StartTurn { starts: self.clone(), session, _guard: lock.lock_owned().await }
    }
}

impl StartTurn {
    /// The session that nobody else starts.
    pub(super) const fn session(&self) -> SessionId {
        self.session
    }

    /// Takes a place under the cap until this turn is over or the session is loaded; `false` when there is none.
    pub(super) fn take_place<T>(&self, loaded: &HashMap<SessionId, T>, most: usize) -> bool {
        let mut places = lock(&self.starts.places);
        let others = places.iter().filter(|place| !loaded.contains_key(place)).count();
        let free = loaded.len() + others < most;
        if free {
            places.insert(self.session);
        }
        free
    }
}

impl Drop for StartTurn {
    fn drop(&mut self) {
        lock(&self.starts.places).remove(&self.session);
        let mut turns = lock(&self.starts.turns);
        // This turn's own and the map's: nobody waits.
        if turns.get(&self.session).is_some_and(|turn| Arc::strong_count(turn) == 2) {
            turns.remove(&self.session);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
