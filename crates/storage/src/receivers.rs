//! Webhooks in memory: those of each session inside the writer, and each by its id for the workers.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use domain::{SessionId, WebhookId, webhook::Webhook};

/// Entries of either memory; when full all are forgotten.
pub(crate) const CACHE_MAX: usize = 4096;

/// Webhooks by session, as of the transaction that is under way.
#[derive(Default)]
pub(crate) struct OfSessions {
    known: HashMap<SessionId, (i64, Arc<Vec<Webhook>>)>,
    /// Something changed that the workers' memory must not keep.
    changed: bool,
}

impl OfSessions {
    /// Those of a session, if they are known in this version.
    pub(crate) fn get(&self, session: &SessionId, version: i64) -> Option<&Arc<Vec<Webhook>>> {
        let (known, webhooks) = self.known.get(session)?;
        (*known == version).then_some(webhooks)
    }

    /// Remembers the webhooks of a session.
    pub(crate) fn remember(
        &mut self,
        session: SessionId,
        version: i64,
        webhooks: Arc<Vec<Webhook>>,
    ) {
        if self.known.len() >= CACHE_MAX {
            self.known.clear();
        }
        self.known.insert(session, (version, webhooks));
    }

    /// Those of a session change.
    pub(crate) fn remove(&mut self, session: &SessionId) {
        self.known.remove(session);
        self.changed = true;
    }

    /// Any may have changed.
    pub(crate) fn clear(&mut self) {
        self.known.clear();
        self.changed = true;
    }

    /// Whether something changed since [`Self::take_changed`].
    pub(crate) fn is_changed(&self) -> bool {
        self.changed
    }

    /// Something of a webhook changed that decides nothing about which events it gets.
    pub(crate) fn changed(&mut self) {
        self.changed = true;
    }

    /// Whether something changed since the last call.
    pub(crate) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }
}

#[derive(Default)]
struct CacheState {
    known: HashMap<WebhookId, Arc<Webhook>>,
    version: u64,
}

/// Webhooks by id, as of the last commit. Their last success may be older.
#[derive(Default)]
pub(crate) struct Receivers(Mutex<CacheState>);

impl Receivers {
    fn lock(&self) -> MutexGuard<'_, CacheState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A webhook if it is known, and the version of the memory.
    pub(crate) fn get(&self, id: WebhookId) -> (Option<Arc<Webhook>>, u64) {
        let state = self.lock();
        (state.known.get(&id).cloned(), state.version)
    }

    /// Keeps what was read, unless something changed since `version`.
    pub(crate) fn keep(&self, webhook: Arc<Webhook>, version: u64) {
        let mut state = self.lock();
        if state.version != version {
            return;
        }
        if state.known.len() >= CACHE_MAX {
            state.known.clear();
        }
        state.known.insert(webhook.id, webhook);
    }

    /// Something changed with the last commit.
    pub(crate) fn forget(&self) {
        let mut state = self.lock();
        state.known.clear();
        state.version += 1;
    }
}

#[cfg(test)]
mod tests {
    use testkit::build;

    use super::*;

    #[test]
    fn the_memories_are_bounded() {
        let (mut sessions, receivers) = (OfSessions::default(), Receivers::default());
        let session = build::session(1).id;
        for number in 0..=u32::try_from(CACHE_MAX).unwrap() {
            sessions.remember(build::session(number).id, 0, Arc::default());
            receivers.keep(Arc::new(build::webhook(number, session)), 0);
            assert!(sessions.known.len() <= CACHE_MAX && receivers.lock().known.len() <= CACHE_MAX);
        }
        assert_eq!((sessions.known.len(), receivers.lock().known.len()), (1, 1));
    }

    #[test]
    fn what_was_read_before_a_change_is_not_kept() {
        let receivers = Receivers::default();
        let webhook = Arc::new(build::webhook(1, build::session(1).id));
        let (_, version) = receivers.get(webhook.id);
        receivers.forget();
        receivers.keep(webhook.clone(), version);
        assert_eq!(receivers.get(webhook.id).0, None);
        receivers.keep(webhook.clone(), version + 1);
        assert_eq!(receivers.get(webhook.id).0, Some(webhook));
    }
}
