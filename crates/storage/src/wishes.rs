//! Who is told that something is wanted of a session.

use std::sync::{Mutex, PoisonError};

use domain::{SessionId, port::WishListener};

/// Listeners, one per gateway on this store.
#[derive(Default)]
pub(crate) struct Wishes(Mutex<Vec<WishListener>>);

impl Wishes {
    /// From now on this listener is told too, until the store is gone.
    pub(crate) fn listen(&self, listener: WishListener) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(listener);
    }

    /// Tells all of them.
    pub(crate) fn tell(&self, sessions: &[SessionId]) {
        if sessions.is_empty() {
            return;
        }
        let listeners = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for session in sessions {
            listeners.iter().for_each(|listener| listener(*session));
        }
    }
}
