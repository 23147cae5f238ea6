//! Who runs which session, where one process has the database: in memory, so that a renewal costs no commit.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::{SessionId, Timestamp, port::Lease};

/// The leases of sessions. Empty where processes share the database: there they are in the rows.
#[derive(Default)]
pub(crate) struct Tenures(Mutex<HashMap<SessionId, Tenure>>);

struct Tenure {
    owner: Arc<str>,
    epoch: u64,
    until: Timestamp,
}

/// How it is with a session's lease.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The caller's, renewed.
    Renewed(Lease),
    /// Somebody else's.
    Taken,
    /// Nobody's.
    Free,
}

impl Tenures {
    /// Renews the lease of its owner.
    pub(crate) fn renew(
        &self,
        session: SessionId,
        owner: &str,
        now: Timestamp,
        lasts: Duration,
    ) -> Standing {
        match self.lock().get_mut(&session) {
            Some(tenure) if &*tenure.owner == owner => {
                tenure.until = now.plus(lasts);
                let owner = Arc::clone(&tenure.owner);
                Standing::Renewed(Lease { session, owner, epoch: tenure.epoch })
            }
            Some(tenure) if tenure.until > now => Standing::Taken,
            _ => Standing::Free,
        }
    }

    /// A lease begins.
    pub(crate) fn begin(&self, lease: &Lease, until: Timestamp) {
        let tenure = Tenure { owner: Arc::clone(&lease.owner), epoch: lease.epoch, until };
        self.lock().insert(lease.session, tenure);
    }

    /// A lease is over.
    pub(crate) fn end(&self, lease: &Lease) {
        let mut tenures = self.lock();
        if tenures.get(&lease.session).is_some_and(|tenure| tenure.is(lease)) {
            tenures.remove(&lease.session);
        }
    }

    /// An owner does without.
    pub(crate) fn abandon(&self, session: SessionId, owner: &str) {
        let mut tenures = self.lock();
        if tenures.get(&session).is_some_and(|tenure| &*tenure.owner == owner) {
            tenures.remove(&session);
        }
    }

    /// The session is gone.
    pub(crate) fn forget(&self, session: SessionId) {
        self.lock().remove(&session);
    }

    /// Whether this lease is the session's.
    pub(crate) fn is_held(&self, lease: &Lease) -> bool {
        self.lock().get(&lease.session).is_some_and(|tenure| tenure.is(lease))
    }

    /// Who runs a session.
    pub(crate) fn owner(&self, session: SessionId, now: Timestamp) -> Option<Arc<str>> {
        let tenures = self.lock();
        let tenure = tenures.get(&session).filter(|tenure| tenure.until > now);
        tenure.map(|tenure| Arc::clone(&tenure.owner))
    }

    /// Sessions that somebody runs.
    pub(crate) fn taken(&self, now: Timestamp) -> Vec<SessionId> {
        let tenures = self.lock();
        tenures.iter().filter(|(_, tenure)| tenure.until > now).map(|(id, _)| *id).collect()
    }

    /// Whether anything is, or was last, this owner's.
    pub(crate) fn is_owner(&self, owner: &str) -> bool {
        self.lock().values().any(|tenure| &*tenure.owner == owner)
    }

    /// Whether the session has an owner.
    pub(crate) fn is_taken(&self, session: SessionId, now: Timestamp) -> bool {
        self.lock().get(&session).is_some_and(|tenure| tenure.until > now)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, Tenure>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tenure {
    fn is(&self, lease: &Lease) -> bool {
        self.owner == lease.owner && self.epoch == lease.epoch
    }
}
