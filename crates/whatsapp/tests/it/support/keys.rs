//! Device keys in memory.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use domain::{
    SessionId,
    port::{DeviceKeys, KeyChange, KeyEntry, Lease, StoreError, StoreErrorKind, StoreResult},
};

use tokio::sync::Notify;

use super::failure;

type Name = (SessionId, &'static str, String);

/// Device keys in memory, which can fail and count.
#[derive(Default)]
pub struct MemoryKeys {
    rows: Mutex<BTreeMap<Name, (Vec<u8>, i64)>>,
    /// How often changes were applied.
    pub applied: AtomicU64,
    /// Whether every write fails.
    pub failing: AtomicBool,
    door: Mutex<Option<Door>>,
    /// Writes that were let through, or refused.
    answered: Notify,
    /// Leases with a smaller number are over.
    pub epoch: AtomicU64,
}

/// Which puts, or deletes, of a namespace have to wait, or fail.
#[derive(Clone)]
struct Door {
    namespace: &'static str,
    prefix: String,
    deletes: bool,
    refusing: bool,
    waiting: usize,
}

impl Door {
    fn stops(&self, changes: &[KeyChange]) -> bool {
        changes.iter().any(|change| match change {
            KeyChange::Put { namespace, key, .. } => {
                !self.deletes && *namespace == self.namespace && key.starts_with(&self.prefix)
            }
            KeyChange::Delete { namespace, key } => {
                self.deletes && *namespace == self.namespace && key.starts_with(&self.prefix)
            }
        })
    }
}

impl MemoryKeys {
    /// Lets puts in `namespace` whose key begins with `prefix` wait, until [`Self::open_door`].
    pub fn close_door(&self, namespace: &'static str, prefix: &str) {
        self.set_door(namespace, prefix, (false, false));
    }

    /// Lets deletes wait instead.
    pub fn hold_deletes(&self, namespace: &'static str, prefix: &str) {
        self.set_door(namespace, prefix, (true, false));
    }

    /// Takes every row of a namespace away.
    pub fn wipe(&self, session: SessionId, namespace: &'static str) {
        let mut rows = self.rows.lock().unwrap();
        rows.retain(|(owner, ns, _), _| *owner != session || *ns != namespace);
    }

    /// Refuses such puts instead.
    pub fn refuse(&self, namespace: &'static str, prefix: &str) {
        self.set_door(namespace, prefix, (false, true));
    }

    fn set_door(&self, namespace: &'static str, prefix: &str, kind: (bool, bool)) {
        let (deletes, refusing) = kind;
        let door = Door { namespace, prefix: prefix.to_owned(), deletes, refusing, waiting: 0 };
        *self.door.lock().unwrap() = Some(door);
    }

    pub fn open_door(&self) {
        *self.door.lock().unwrap() = None;
        self.answered.notify_waiters();
    }

    /// Puts that the door stopped.
    pub fn stopped(&self) -> usize {
        self.door.lock().unwrap().as_ref().map_or(0, |door| door.waiting)
    }

    /// What a kill leaves: the rows as they are now.
    pub fn snapshot(&self) -> Self {
        Self { rows: Mutex::new(self.rows.lock().unwrap().clone()), ..Self::default() }
    }

    /// What a key holds; `None` when it is not there.
    pub fn value(&self, session: SessionId, namespace: &'static str, key: &str) -> Option<Vec<u8>> {
        let rows = self.rows.lock().unwrap();
        rows.get(&(session, namespace, key.to_owned())).map(|(value, _)| value.clone())
    }

    /// The keys of a namespace.
    pub fn names(&self, session: SessionId, namespace: &'static str) -> Vec<String> {
        let rows = self.rows.lock().unwrap();
        let listed = rows.keys().filter(|(owner, ns, _)| *owner == session && *ns == namespace);
        listed.map(|(_, _, key)| key.clone()).collect()
    }

    /// Whether the door refuses; waits while it is closed.
    async fn pass(&self, changes: &[KeyChange]) -> StoreResult<()> {
        let mut counted = false;
        loop {
            let answered = self.answered.notified();
            {
                let mut door = self.door.lock().unwrap();
                let Some(door) = door.as_mut().filter(|door| door.stops(changes)) else {
                    return Ok(());
                };
                if !counted {
                    door.waiting += 1;
                    counted = true;
                }
                if door.refusing {
                    return Err(failure());
                }
            }
            answered.await;
        }
    }

    fn check(&self, lease: &Lease) -> StoreResult<()> {
        if lease.epoch < self.epoch.load(Ordering::SeqCst) {
            let kind = StoreErrorKind::NotOwner;
            return Err(StoreError { kind, doing: "a test", source: None });
        }
        Ok(())
    }

    pub fn count(&self, session: SessionId) -> usize {
        self.rows.lock().unwrap().keys().filter(|(owner, ..)| *owner == session).count()
    }
}

#[async_trait]
impl DeviceKeys for MemoryKeys {
    async fn device_key(
        &self,
        session: SessionId,
        namespace: &'static str,
        key: &str,
    ) -> StoreResult<Option<KeyEntry>> {
        let rows = self.rows.lock().unwrap();
        let row = rows.get(&(session, namespace, key.to_owned()));
        Ok(row.map(|(value, expires_at)| KeyEntry {
            key: key.to_owned(),
            value: value.clone(),
            expires_at: *expires_at,
        }))
    }

    async fn device_keys(
        &self,
        session: SessionId,
        namespace: &'static str,
        prefix: &str,
    ) -> StoreResult<Vec<KeyEntry>> {
        let rows = self.rows.lock().unwrap();
        let listed = rows.iter().filter(|((owner, ns, key), _)| {
            *owner == session && *ns == namespace && key.starts_with(prefix)
        });
        Ok(listed
            .map(|((_, _, key), (value, expires_at))| KeyEntry {
                key: key.clone(),
                value: value.clone(),
                expires_at: *expires_at,
            })
            .collect())
    }

    async fn apply_key_changes(&self, lease: &Lease, changes: Vec<KeyChange>) -> StoreResult<()> {
        self.check(lease)?;
        let session = lease.session;
        if self.failing.load(Ordering::SeqCst) {
            return Err(failure());
        }
        self.pass(&changes).await?;
        self.applied.fetch_add(1, Ordering::SeqCst);
        let mut rows = self.rows.lock().unwrap();
        for change in changes {
            match change {
                KeyChange::Put { namespace, key, value, expires_at } => {
                    rows.insert((session, namespace, key), (value, expires_at));
                }
                KeyChange::Delete { namespace, key } => {
                    rows.remove(&(session, namespace, key));
                }
            }
        }
        Ok(())
    }

    async fn delete_expired_keys(
        &self,
        lease: &Lease,
        namespace: &'static str,
        cutoff: i64,
    ) -> StoreResult<u64> {
        self.check(lease)?;
        let session = lease.session;
        let mut rows = self.rows.lock().unwrap();
        let before = rows.len();
        rows.retain(|(owner, ns, _), (_, expires_at)| {
            *owner != session || *ns != namespace || *expires_at == 0 || *expires_at > cutoff
        });
        Ok((before - rows.len()) as u64)
    }

    async fn purge_device_keys(&self, lease: &Lease) -> StoreResult<()> {
        self.check(lease)?;
        let session = lease.session;
        self.rows.lock().unwrap().retain(|(owner, ..), _| *owner != session);
        Ok(())
    }
}
