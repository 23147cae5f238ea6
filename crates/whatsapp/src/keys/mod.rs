//! The engine's keys in the ledger: [`LedgerBackend`] maps the protocol library's store traits onto
//! [`DeviceKeys`], one namespace per kind of key.
//!
//! # Guarantees
//! - A batch is one [`DeviceKeys::apply`]: atomic and durable when it returns. The library leases
//!   Signal counters in blocks and relies on exactly that.
//! - Read-modify-write runs under one mutex per backend. That suffices because a session has one
//!   owner: one open connection per process (the engine's registry) and one process per session
//!   (the ledger's lease, which fences writes).
//! - Once [sealed](LedgerBackend::seal) nothing is written any more, so that a straggling task of a
//!   closed connection cannot bring deleted keys back.
//!
//! Values are private to this module: raw bytes where the library has bytes, JSON where it has
//! structures. There is no read cache, because the library keeps its own in front of every hot
//! read and a second one would only have to be kept right.

mod appsync;
mod device;
mod import;
mod protocol;
mod secrets;
mod signal;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use domain::{
    SessionId,
    port::{DeviceKeys, KeyChange, KeyEntry, StoreError, StoreErrorKind},
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::{Mutex, MutexGuard};
use whatsapp_rust::{store::error::StoreError as EngineStoreError, wacore::time};

pub use import::{LinkedDevice, import_device};

/// What the library's store traits return.
type Outcome<T> = Result<T, EngineStoreError>;

/// Between the parts of a composite name. No address, message id or collection name holds it.
const SEPARATOR: char = '\u{1f}';

/// The namespaces. They are stored, so renaming one loses keys.
mod namespace {
    pub const DEVICE: &str = "device";
    pub const IDENTITY: &str = "identity";
    pub const SESSION: &str = "session";
    pub const PREKEY: &str = "prekey";
    pub const SIGNED_PREKEY: &str = "signed_prekey";
    pub const SENDER_KEY: &str = "sender_key";
    pub const SENDER_KEY_DEVICE: &str = "sender_key_device";
    pub const APPSTATE_KEY: &str = "appstate_key";
    pub const APPSTATE_LATEST: &str = "appstate_latest";
    pub const APPSTATE_VERSION: &str = "appstate_version";
    pub const APPSTATE_MAC: &str = "appstate_mac";
    pub const LID: &str = "lid";
    pub const PHONE: &str = "phone";
    pub const BASE_KEY: &str = "base_key";
    pub const DEVICE_LIST: &str = "device_list";
    pub const GROUP: &str = "group";
    pub const TC_TOKEN: &str = "tc_token";
    pub const SENT: &str = "sent";
    pub const PENDING_INBOUND: &str = "pending_inbound";
    pub const MSG_SECRET: &str = "msg_secret";
}

/// The store of one session's device, for the protocol library.
pub struct LedgerBackend {
    keys: Arc<dyn DeviceKeys>,
    session: SessionId,
    read_modify_write: Mutex<()>,
    sealed: AtomicBool,
}

impl LedgerBackend {
    /// The keys of one session.
    pub fn new(keys: Arc<dyn DeviceKeys>, session: SessionId) -> Self {
        Self { keys, session, read_modify_write: Mutex::new(()), sealed: AtomicBool::new(false) }
    }

    /// Refuses every write from now on.
    pub fn seal(&self) {
        self.sealed.store(true, Ordering::Release);
    }

    async fn exclusive(&self) -> MutexGuard<'_, ()> {
        self.read_modify_write.lock().await
    }

    async fn entry(&self, namespace: &'static str, key: &str) -> Outcome<Option<KeyEntry>> {
        self.keys.get(self.session, namespace, key).await.map_err(engine_error)
    }

    async fn bytes(&self, namespace: &'static str, key: &str) -> Outcome<Option<Vec<u8>>> {
        Ok(self.entry(namespace, key).await?.map(|entry| entry.value))
    }

    async fn json<T: DeserializeOwned>(
        &self,
        namespace: &'static str,
        key: &str,
    ) -> Outcome<Option<T>> {
        self.bytes(namespace, key).await?.map(|bytes| from_json(&bytes)).transpose()
    }

    async fn list(&self, namespace: &'static str, prefix: &str) -> Outcome<Vec<KeyEntry>> {
        self.keys.list(self.session, namespace, prefix).await.map_err(engine_error)
    }

    async fn apply(&self, changes: Vec<KeyChange>) -> Outcome<()> {
        if changes.is_empty() {
            return Ok(());
        }
        if self.sealed.load(Ordering::Acquire) {
            return Err(EngineStoreError::Validation("the connection is closed".into()));
        }
        self.keys.apply(self.session, changes).await.map_err(engine_error)
    }

    async fn delete_expired(&self, namespace: &'static str, cutoff: i64) -> Outcome<u32> {
        if self.sealed.load(Ordering::Acquire) {
            return Ok(0);
        }
        let deleted = self
            .keys
            .delete_expired(self.session, namespace, cutoff)
            .await
            .map_err(engine_error)?;
        Ok(u32::try_from(deleted).unwrap_or(u32::MAX))
    }
}

fn put(namespace: &'static str, key: impl Into<String>, value: impl Into<Vec<u8>>) -> KeyChange {
    put_until(namespace, key, value, 0)
}

fn put_until(
    namespace: &'static str,
    key: impl Into<String>,
    value: impl Into<Vec<u8>>,
    expires_at: i64,
) -> KeyChange {
    KeyChange::Put { namespace, key: key.into(), value: value.into(), expires_at }
}

fn put_json<T: Serialize>(
    namespace: &'static str,
    key: impl Into<String>,
    value: &T,
) -> Outcome<KeyChange> {
    Ok(put(namespace, key, to_json(value)?))
}

fn delete(namespace: &'static str, key: impl Into<String>) -> KeyChange {
    KeyChange::Delete { namespace, key: key.into() }
}

/// A composite name.
fn join(parts: &[&str]) -> String {
    let mut name = String::with_capacity(parts.iter().map(|part| part.len() + 1).sum());
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            name.push(SEPARATOR);
        }
        name.push_str(part);
    }
    name
}

/// Key ids sort as text in the order of their numbers.
fn number(id: u32) -> String {
    format!("{id:010}")
}

fn hexed(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// For rows that the library deletes by age: it asks for "inserted before the cutoff", the ledger
/// deletes what expired "at or before" it. One second between the two makes them the same. The time
/// is the library's own, because its cutoffs are.
fn inserted_now() -> i64 {
    time::now_secs() + 1
}

fn to_json<T: Serialize>(value: &T) -> Outcome<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| EngineStoreError::Serialization(Box::new(error)))
}

fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Outcome<T> {
    serde_json::from_slice(bytes).map_err(|error| EngineStoreError::Serialization(Box::new(error)))
}

/// The ledger's failure travels through the library as a source, see [`ledger_error`].
fn engine_error(error: StoreError) -> EngineStoreError {
    EngineStoreError::Database(Box::new(error))
}

/// The ledger's failure behind an error of the library, or a description of the library's own.
pub(crate) fn ledger_error(error: EngineStoreError) -> StoreError {
    const DOING: &str = "loading the device";
    let corrupt = |source: EngineStoreError| StoreError {
        kind: StoreErrorKind::Corrupt,
        doing: DOING,
        source: Some(Arc::new(source)),
    };
    match error {
        EngineStoreError::Database(source) => match source.downcast::<StoreError>() {
            Ok(ledger) => *ledger,
            Err(other) => corrupt(EngineStoreError::Database(other)),
        },
        other => corrupt(other),
    }
}
