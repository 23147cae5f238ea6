//! Who is notified when something is wanted of a session.

use std::sync::{Mutex, PoisonError};

use domain::{SessionId, port::WishListener};

/// Listeners, one per gateway on this store.
#[derive(Default)]
pub(crate) struct WishListeners(Mutex<Vec<WishListener>>);

impl WishListeners {
    /// From now on this listener is notified too, until the store is gone.
    pub(crate) fn listen(&self, listener: WishListener) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(listener);
    }

    /// Tells all of them.
    pub(crate) fn notify(&self, sessions: &[SessionId]) {
        if sessions.is_empty() {
            return;
        }
        let listeners = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for session in sessions {
            listeners.iter().for_each(|listener| listener(*session));
        }
    }
}
