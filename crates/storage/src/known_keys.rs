//! API keys in memory, where one process has the database to itself: each request shows one.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use domain::api_key::{ApiKey, KeyHash};

use crate::receivers::CACHE_MAX;

/// Keys by their hash, as of the last commit. Where others change keys too nothing is remembered: one that they revoke
/// opens nothing from that moment on.
pub(crate) struct KnownKeys {
    alone: bool,
    state: Mutex<KnownState>,
}

#[derive(Default)]
struct KnownState {
    known: HashMap<KeyHash, ApiKey>,
    version: u64,
}

impl KnownKeys {
    /// Of a process that is `alone` on its database, or not.
    pub(crate) fn new(alone: bool) -> Self {
        Self { alone, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, KnownState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A key if it is known, and the version of the memory.
    pub(crate) fn get(&self, hash: KeyHash) -> (Option<ApiKey>, u64) {
        let state = self.lock();
        (state.known.get(&hash).cloned(), state.version)
    }

    /// Keeps what was read, unless something changed since `version`. When full all are forgotten.
    pub(crate) fn keep(&self, key: ApiKey, version: u64) {
        let mut state = self.lock();
        if !self.alone || state.version != version {
            return;
        }
        if state.known.len() >= CACHE_MAX {
            state.known.clear();
        }
        state.known.insert(key.hash, key);
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
    use domain::api_key::Role;
    use testkit::build;

    use super::*;

    #[test]
    fn a_key_that_was_read_before_a_change_is_not_kept() {
        let keys = KnownKeys::new(true);
        let key = build::api_key(1, Role::Admin);
        let (_, version) = keys.get(key.hash);
        keys.forget();
        keys.keep(key.clone(), version);
        assert_eq!(keys.get(key.hash).0, None);
        keys.keep(key.clone(), version + 1);
        assert_eq!(keys.get(key.hash).0, Some(key));
    }

    #[test]
    fn where_others_change_keys_nothing_is_remembered() {
        let keys = KnownKeys::new(false);
        let key = build::api_key(1, Role::Admin);
        keys.keep(key.clone(), keys.get(key.hash).1);
        assert_eq!(keys.get(key.hash).0, None);
    }
}
