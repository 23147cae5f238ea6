//! Leases in memory, where one process has the database: a renewal costs no commit.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use domain::{
    SessionId, Timestamp,
    port::{Held, Holder, Lease, StoreResult},
};

use super::{
    CHECKING, LeaseApplicant, OwnerTally, SessionLeases, TAKING, read, readable_ids, taken,
};
use crate::{
    db::{self, Readers},
    error::{Doing as _, gone, not_owner},
    unreadable::UnreadableRows,
    writer::{Unit, Writer},
};

db::statements! {
    ACQUIRE = sqlite("update session set lease_epoch = lease_epoch + 1 where id = $1 and deleted = 0 \
         returning lease_epoch, wanted, wish");
    WANTED = sqlite("select lease_epoch, wanted, wish from session where id = $1 and deleted = 0");
    UNHELD = sqlite("select id from session where deleted = 0 and (wanted = 1 or wish is not null) order by \
         created_at, id");
    NODE = sqlite("select url from node where id = $1");
    IS_THERE = sqlite("select 1 from session where id = $1 and deleted = 0");
    IS_UNWANTED = sqlite("select wanted = 0 from session where id = $1 and deleted = 0");
}

/// The leases of a process that has the file to itself.
pub(crate) struct MemoryLeases {
    tenures: Arc<LeaseTable>,
    readers: Readers,
    unreadable: Arc<UnreadableRows>,
}

impl MemoryLeases {
    pub(crate) fn new(readers: Readers, unreadable: Arc<UnreadableRows>) -> Self {
        Self { tenures: Arc::default(), readers, unreadable }
    }
}

#[async_trait]
impl SessionLeases for MemoryLeases {
    fn is_shared(&self) -> bool {
        false
    }

    async fn acquire(&self, writer: &Writer, by: LeaseApplicant) -> StoreResult<Option<Held>> {
        match self.tenures.renew(&by) {
            LeaseStanding::Taken => Ok(None),
            LeaseStanding::Renewed(lease) => {
                let query = db::query(&WANTED).bind(by.session.to_string());
                let row = query.fetch_optional(&self.readers).await.doing(TAKING)?;
                row.map(|row| read(&row, |_| lease)).transpose()
            }
            LeaseStanding::Free => {
                let (session, taker) = (by.session, by.owner.clone());
                let tenures = self.tenures.clone();
                let begun = writer.run_for(session, TAKING, move |unit| {
                    Box::pin(async move { begin(unit, &tenures, by).await })
                });
                let begun = begun.await;
                if begun.is_err() {
                    // Its number may not be in the row.
                    self.tenures.abandon(session, &taker);
                }
                begun
            }
        }
    }

    async fn release(&self, _writer: &Writer, lease: &Lease) -> StoreResult<()> {
        self.tenures.end(lease);
        Ok(())
    }

    async fn holder(&self, session: SessionId, now: Timestamp) -> StoreResult<Option<Holder>> {
        const DOING: &str = "looking for who runs a session";
        let Some(owner) = self.tenures.owner(session, now) else { return Ok(None) };
        let node =
            db::query(&NODE).bind(&*owner).fetch_optional(&self.readers).await.doing(DOING)?;
        let url = match node {
            Some(row) => row.try_get("url").doing(DOING)?,
            None => None,
        };
        Ok(Some(Holder { owner: owner.to_string(), url }))
    }

    async fn held(&self, now: Timestamp) -> StoreResult<Vec<SessionId>> {
        Ok(self.tenures.taken(now))
    }

    async fn by_owner(&self, now: Timestamp) -> StoreResult<Vec<OwnerTally>> {
        Ok(self.tenures.by_owner(now))
    }

    async fn unheld(&self, now: Timestamp, limit: u32) -> StoreResult<Vec<SessionId>> {
        const DOING: &str = "looking for sessions that nobody runs";
        let rows = db::query(&UNHELD).fetch_all(&self.readers).await.doing(DOING)?;
        let ids = readable_ids(&self.unreadable, &rows, DOING).into_iter();
        let free = |id: &SessionId| !self.tenures.is_taken(*id, now);
        Ok(ids.filter(free).take(usize::try_from(limit).unwrap_or(usize::MAX)).collect())
    }

    fn is_owner(&self, owner: &str) -> bool {
        self.tenures.is_owner(owner)
    }

    fn forget(&self, session: SessionId) {
        self.tenures.forget(session);
    }

    async fn is_held(&self, unit: &mut Unit, lease: &Lease) -> StoreResult<Option<bool>> {
        if self.tenures.is_held(lease) {
            return Ok(Some(true));
        }
        let there: Option<i64> = db::query_scalar(&IS_THERE)
            .bind(lease.session.to_string())
            .fetch_optional(&mut unit.conn)
            .await
            .doing(CHECKING)?;
        Ok(there.map(|_| false))
    }

    async fn check_unheld(
        &self,
        unit: &mut Unit,
        session: SessionId,
        now: Timestamp,
    ) -> StoreResult<()> {
        let unwanted: Option<bool> = db::query_scalar(&IS_UNWANTED)
            .bind(session.to_string())
            .fetch_optional(&mut unit.conn)
            .await
            .doing(CHECKING)?;
        let idle = unwanted.ok_or_else(|| gone(CHECKING))? && !self.tenures.is_taken(session, now);
        if idle { Ok(()) } else { Err(not_owner(CHECKING)) }
    }
}

/// Begins a lease with a number of its own.
async fn begin(
    unit: &mut Unit,
    tenures: &LeaseTable,
    by: LeaseApplicant,
) -> StoreResult<Option<Held>> {
    // Somebody may have been faster.
    if tenures.is_taken(by.session, by.now) {
        return Ok(None);
    }
    let query = db::query(&ACQUIRE).bind(by.session.to_string());
    let held = taken(query.fetch_optional(&mut unit.conn).await, by.session, by.owner)?;
    if let Some(held) = &held {
        tenures.begin(&held.lease, by.now.plus(by.lasts));
    }
    Ok(held)
}

/// Who runs which session.
#[derive(Default)]
struct LeaseTable(Mutex<HashMap<SessionId, HeldLease>>);

struct HeldLease {
    owner: Arc<str>,
    epoch: u64,
    until: Timestamp,
}

/// How it is with a session's lease.
#[derive(Debug, PartialEq, Eq)]
enum LeaseStanding {
    /// The caller's, renewed.
    Renewed(Lease),
    /// Somebody else's.
    Taken,
    /// Nobody's.
    Free,
}

impl LeaseTable {
    /// Renews the lease of its owner.
    fn renew(&self, by: &LeaseApplicant) -> LeaseStanding {
        let session = by.session;
        match self.lock().get_mut(&session) {
            Some(tenure) if tenure.owner == by.owner => {
                tenure.until = by.now.plus(by.lasts);
                let owner = Arc::clone(&tenure.owner);
                LeaseStanding::Renewed(Lease { session, owner, epoch: tenure.epoch })
            }
            Some(tenure) if tenure.until > by.now => LeaseStanding::Taken,
            _ => LeaseStanding::Free,
        }
    }

    /// A lease begins.
    fn begin(&self, lease: &Lease, until: Timestamp) {
        let tenure = HeldLease { owner: Arc::clone(&lease.owner), epoch: lease.epoch, until };
        self.lock().insert(lease.session, tenure);
    }

    /// A lease is over.
    fn end(&self, lease: &Lease) {
        let mut tenures = self.lock();
        if tenures.get(&lease.session).is_some_and(|tenure| tenure.is(lease)) {
            tenures.remove(&lease.session);
        }
    }

    /// An owner does without.
    fn abandon(&self, session: SessionId, owner: &str) {
        let mut tenures = self.lock();
        if tenures.get(&session).is_some_and(|tenure| &*tenure.owner == owner) {
            tenures.remove(&session);
        }
    }

    /// The session is gone.
    fn forget(&self, session: SessionId) {
        self.lock().remove(&session);
    }

    /// Whether this lease is the session's.
    fn is_held(&self, lease: &Lease) -> bool {
        self.lock().get(&lease.session).is_some_and(|tenure| tenure.is(lease))
    }

    /// Who runs a session.
    fn owner(&self, session: SessionId, now: Timestamp) -> Option<Arc<str>> {
        let tenures = self.lock();
        let tenure = tenures.get(&session).filter(|tenure| tenure.until > now);
        tenure.map(|tenure| Arc::clone(&tenure.owner))
    }

    /// Sessions that somebody runs.
    fn taken(&self, now: Timestamp) -> Vec<SessionId> {
        let tenures = self.lock();
        tenures.iter().filter(|(_, tenure)| tenure.until > now).map(|(id, _)| *id).collect()
    }

    /// How many sessions each owner runs.
    fn by_owner(&self, now: Timestamp) -> Vec<OwnerTally> {
        let mut found: Vec<OwnerTally> = Vec::new();
        for tenure in self.lock().values().filter(|tenure| tenure.until > now) {
            match found.iter_mut().find(|tally| *tally.owner == *tenure.owner) {
                Some(tally) => {
                    tally.sessions += 1;
                    tally.until = tally.until.max(tenure.until);
                }
                None => found.push(OwnerTally {
                    owner: tenure.owner.to_string(),
                    sessions: 1,
                    until: tenure.until,
                }),
            }
        }
        found
    }

    /// Whether anything is, or was last, this owner's.
    fn is_owner(&self, owner: &str) -> bool {
        self.lock().values().any(|tenure| &*tenure.owner == owner)
    }

    /// Whether the session has an owner.
    fn is_taken(&self, session: SessionId, now: Timestamp) -> bool {
        self.lock().get(&session).is_some_and(|tenure| tenure.until > now)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, HeldLease>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HeldLease {
    fn is(&self, lease: &Lease) -> bool {
        self.owner == lease.owner && self.epoch == lease.epoch
    }
}
