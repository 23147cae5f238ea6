//! Until when WhatsApp lets an account write to nobody new, as it said last. Filled after each login, so that a restart
//! does not forget it for long.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use domain::{SessionId, Timestamp, port::Lease, session::LimitNews};

/// The ends of these locks, by session. An entry per session with a limit: bounded by their number.
#[derive(Clone, Default)]
pub(crate) struct ColdLocks {
    ends: Arc<Mutex<HashMap<SessionId, LockEnds>>>,
    unlocked: Arc<Mutex<Unlocked>>,
}

/// Sessions whose record was looked at and names no lock, each under the lease of that time: each send asks.
#[derive(Default)]
struct Unlocked {
    by_session: HashMap<SessionId, Lease>,
    /// Changes of the restriction of any session that this process stored.
    changes: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct LockEnds {
    reachout: Option<Timestamp>,
    new_chats: Option<Timestamp>,
}

impl ColdLocks {
    /// WhatsApp said something about the limits of a session's account.
    pub(crate) fn learn(&self, session: SessionId, news: &LimitNews, now: Timestamp) {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let known = ends.entry(session).or_default();
        match news {
            LimitNews::Reachout(_) => known.reachout = news.cold_until(now),
            LimitNews::NewChats(_) => known.new_chats = news.cold_until(now),
        }
        if *known == LockEnds::default() {
            ends.remove(&session);
        }
    }

    /// When strangers may be written to again; `None` when they may now.
    pub(crate) fn until(&self, session: SessionId, now: Timestamp) -> Option<Timestamp> {
        let ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let known = ends.get(&session)?;
        known.reachout.max(known.new_chats).filter(|until| *until > now)
    }

    /// Whether the record of the session is known to name no lock; and how many changes of restrictions there were.
    pub(crate) fn is_unlocked(&self, lease: &Lease) -> (bool, u64) {
        let unlocked = self.unlocked.lock().unwrap_or_else(PoisonError::into_inner);
        (unlocked.by_session.get(&lease.session) == Some(lease), unlocked.changes)
    }

    /// The record named no lock when it was read, after so many changes.
    pub(crate) fn found_unlocked(&self, lease: &Lease, changes: u64) {
        let mut unlocked = self.unlocked.lock().unwrap_or_else(PoisonError::into_inner);
        if unlocked.changes == changes {
            unlocked.by_session.insert(lease.session, lease.clone());
        }
    }

    /// A change of the session's restriction was stored.
    pub(crate) fn restriction_changed(&self, session: SessionId) {
        let mut unlocked = self.unlocked.lock().unwrap_or_else(PoisonError::into_inner);
        unlocked.by_session.remove(&session);
        unlocked.changes += 1;
    }

    /// WhatsApp took a message to a stranger: what it said before does not hold.
    pub(crate) fn forget(&self, session: SessionId) {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner).remove(&session);
    }
}
