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
    port::{DeviceKeys, KeyChange, KeyEntry, StoreResult},
};

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
}

impl MemoryKeys {
    pub fn count(&self, session: SessionId) -> usize {
        self.rows.lock().unwrap().keys().filter(|(owner, ..)| *owner == session).count()
    }
}

#[async_trait]
impl DeviceKeys for MemoryKeys {
    async fn get(
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

    async fn list(
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

    async fn apply(&self, session: SessionId, changes: Vec<KeyChange>) -> StoreResult<()> {
        if self.failing.load(Ordering::SeqCst) {
            return Err(failure());
        }
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

    async fn delete_expired(
        &self,
        session: SessionId,
        namespace: &'static str,
        cutoff: i64,
    ) -> StoreResult<u64> {
        let mut rows = self.rows.lock().unwrap();
        let before = rows.len();
        rows.retain(|(owner, ns, _), (_, expires_at)| {
            *owner != session || *ns != namespace || *expires_at == 0 || *expires_at > cutoff
        });
        Ok((before - rows.len()) as u64)
    }

    async fn purge(&self, session: SessionId) -> StoreResult<()> {
        self.rows.lock().unwrap().retain(|(owner, ..), _| *owner != session);
        Ok(())
    }
}
