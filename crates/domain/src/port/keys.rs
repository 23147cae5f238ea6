//! The engine's keys in the ledger.

use async_trait::async_trait;

use super::{Lease, StoreResult};
use crate::ids::SessionId;

/// One change of the engine's keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyChange {
    /// Insert or replace.
    Put {
        /// The kind of key, for instance `session`.
        namespace: &'static str,
        /// Its name within the namespace.
        key: String,
        /// Encrypted at rest.
        value: Vec<u8>,
        /// [`DeviceKeys::delete_expired_keys`] may delete it from this epoch second on; 0 means never.
        expires_at: i64,
    },
    /// Remove, if there.
    Delete {
        /// The kind of key.
        namespace: &'static str,
        /// Its name.
        key: String,
    },
}

/// A stored entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyEntry {
    /// Its name within the namespace.
    pub key: String,
    /// The value, decrypted.
    pub value: Vec<u8>,
    /// See [`KeyChange::Put`].
    pub expires_at: i64,
}

/// The engine's keys and state, per session, encrypted at rest. Only the owner of the session writes:
/// every write is refused with [`StoreErrorKind::NotOwner`](super::StoreErrorKind::NotOwner) when the lease is over.
#[async_trait]
pub trait DeviceKeys: Send + Sync + 'static {
    /// One entry.
    async fn device_key(
        &self,
        session: SessionId,
        namespace: &'static str,
        key: &str,
    ) -> StoreResult<Option<KeyEntry>>;
    /// The entries whose names start with `prefix`, by name.
    async fn device_keys(
        &self,
        session: SessionId,
        namespace: &'static str,
        prefix: &str,
    ) -> StoreResult<Vec<KeyEntry>>;
    /// Applies all changes as one atomic, durable unit.
    async fn apply_key_changes(&self, lease: &Lease, changes: Vec<KeyChange>) -> StoreResult<()>;
    /// Deletes what expired at or before `cutoff` (epoch seconds); how many.
    async fn delete_expired_keys(
        &self,
        lease: &Lease,
        namespace: &'static str,
        cutoff: i64,
    ) -> StoreResult<u64>;
    /// Deletes everything of a session.
    async fn purge_device_keys(&self, lease: &Lease) -> StoreResult<()>;
}
