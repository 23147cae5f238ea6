//! The engine's keys in the ledger: [`LedgerBackend`] maps the protocol library's store traits onto
//! [`DeviceKeys`], one namespace per kind of key.
//!
//! # Guarantees
//! - A batch is one [`DeviceKeys::apply_key_changes`]: atomic and durable when it returns. The library leases
//!   Signal counters in blocks and relies on exactly that.
//! - Read-modify-write runs under one mutex per backend. That suffices because a session has one
//!   owner: one open connection per process (the engine's registry) and one process per session:
//!   every write carries the session's lease, and the ledger refuses it when that is over.
//! - A ratchet is written after the rows of the messages that moved it, never before ([`order`]).
//! - Once [sealed](LedgerBackend::seal) nothing is written any more, so that a straggling task of a
//!   closed connection cannot bring deleted keys back. Who lost the session is sealed before its
//!   connection is closed: the library writes down what it holds when it says goodbye.
//!
//! Values are private to this module: raw bytes where the library has bytes, JSON where it has
//! structures. There is no read cache, because the library keeps its own in front of every hot
//! read and a second one would only have to be kept right.

mod appsync;
mod device;
mod done;
mod import;
mod order;
mod protocol;
mod renew;
mod secrets;
mod signal;

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use domain::port::{
    DeviceKeys, KeyChange, KeyEntry, Lease, StoreError, StoreErrorKind, StoreResult,
};
use done::DoneMessages;
use order::{HandOver, WritableChanges};
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::{Mutex, MutexGuard};
use whatsapp_rust::{store::error::StoreError as EngineStoreError, wacore::time};

use crate::pairs::LearnedPairs;

pub use import::{LinkedDevice, import_device};
pub(crate) use order::{ReadingNumber, WriteOrder};
pub use renew::{DEVICE_PLACE, STALE_NAMESPACES, renewed_device};

/// What the library's store traits return.
type StoreOutcome<T> = Result<T, EngineStoreError>;

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
    pub const DONE_INBOUND: &str = "done_inbound";
    pub const MSG_SECRET: &str = "msg_secret";
}

/// The store of one session's device, for the protocol library.
pub struct LedgerBackend {
    keys: Arc<dyn DeviceKeys>,
    /// Whose keys, and the right to write them.
    lease: Lease,
    read_modify_write: Mutex<()>,
    sealed: AtomicBool,
    order: Arc<WriteOrder>,
    /// Called when a message could not be stored, or a ratchet not be written: the connection has to end.
    unstored: OnceLock<Box<dyn Fn() + Send + Sync>>,
    duplicates: OnceLock<Box<dyn Duplicates>>,
    /// Messages that made no row, by (chat, id): they leave a mark when their buffered row goes.
    done: DoneMessages,
    /// Pairs of ids that were stored.
    pairs: LearnedPairs,
    hold_rows: Duration,
}

/// Knows what became of messages that came before.
#[async_trait]
pub(crate) trait Duplicates: Send + Sync {
    /// Whether the ledger has the message.
    async fn knows(&self, id: &str) -> StoreResult<bool>;
    /// A message came again that was read before and is nowhere.
    fn lost(&self, chat: &str, sender: &str, id: &str);
}

impl LedgerBackend {
    /// The keys of one session.
    pub fn new(keys: Arc<dyn DeviceKeys>, lease: Lease) -> Self {
        Self {
            keys,
            lease,
            read_modify_write: Mutex::new(()),
            sealed: AtomicBool::new(false),
            order: Arc::default(),
            unstored: OnceLock::new(),
            duplicates: OnceLock::new(),
            done: DoneMessages::default(),
            pairs: LearnedPairs::default(),
            hold_rows: Duration::ZERO,
        }
    }

    /// With rows that are written late.
    pub(crate) fn holding_rows(self, hold_rows: Duration) -> Self {
        Self { hold_rows, ..self }
    }

    /// In which order its changes become durable.
    pub(crate) fn order(&self) -> &Arc<WriteOrder> {
        &self.order
    }

    /// Numbers behind privacy ids, as they are stored.
    pub(crate) fn pairs(&self) -> &LearnedPairs {
        &self.pairs
    }

    /// Sets what is called when the connection has to end, and who knows duplicates. Once.
    pub(crate) fn watch(
        &self,
        unstored: impl Fn() + Send + Sync + 'static,
        duplicates: impl Duplicates + 'static,
    ) {
        let _ = self.unstored.set(Box::new(unstored));
        let _ = self.duplicates.set(Box::new(duplicates));
    }

    /// Nothing that a message moved is written any more, and the connection ends.
    fn give_up(&self) {
        self.order.freeze();
        if let Some(fail) = self.unstored.get() {
            fail();
        }
    }

    /// Hands changes of the Signal state over. They are durable on return when no message is being read; otherwise
    /// after those messages, and before anything leaves over the wire.
    async fn keep(&self, changes: Vec<KeyChange>) -> StoreOutcome<()> {
        if changes.is_empty() {
            return Ok(());
        }
        self.refuse_sealed()?;
        match self.order.hand_over(changes) {
            HandOver::Now(through) => self.write_through(through).await,
            HandOver::Later => {
                self.order.wake();
                Ok(())
            }
            HandOver::Frozen => Err(closed()),
        }
    }

    async fn write_through(&self, through: u64) -> StoreOutcome<()> {
        let _one = self.order.writing.lock().await;
        while let Some(ready) = self.order.ready() {
            self.write_ready(ready).await?;
        }
        if self.order.written_through(through).await { Ok(()) } else { Err(closed()) }
    }

    async fn write_ready(&self, mut ready: WritableChanges) -> StoreOutcome<()> {
        let changes = std::mem::take(&mut ready.changes);
        match self.apply(changes).await {
            Ok(()) => {
                self.order.wrote(&ready);
                Ok(())
            }
            Err(error) => {
                if ready.owed {
                    tracing::warn!(%error, "keys could not be written; the connection ends");
                    self.give_up();
                } else {
                    self.order.refused(&ready);
                }
                Err(error)
            }
        }
    }

    /// Writes what is held as soon as it may be, until it is dropped.
    pub(crate) async fn write_behind(&self) {
        loop {
            let changed = self.order.changes();
            tokio::pin!(changed);
            changed.as_mut().enable();
            self.write_what_is_ready().await;
            changed.await;
        }
    }

    /// Writes what is held and may be written.
    pub(crate) async fn write_what_is_ready(&self) {
        let _one = self.order.writing.lock().await;
        while let Some(ready) = self.order.ready() {
            // Whoever is owed the write learns it from the end of the connection.
            let _ = self.write_ready(ready).await;
        }
    }

    fn refuse_sealed(&self) -> StoreOutcome<()> {
        if self.sealed.load(Ordering::Acquire) { Err(closed()) } else { Ok(()) }
    }

    /// The stored or held value of a key of the Signal state.
    async fn kept(&self, namespace: &'static str, key: &str) -> StoreOutcome<Option<Vec<u8>>> {
        match self.order.held(namespace, key) {
            Some(held) => Ok(held),
            None => self.bytes(namespace, key).await,
        }
    }

    async fn kept_list(
        &self,
        namespace: &'static str,
        prefix: &str,
    ) -> StoreOutcome<Vec<KeyEntry>> {
        let stored = self.list(namespace, prefix).await?;
        Ok(self.order.laid_over(namespace, prefix, stored))
    }

    /// A message is committed that makes no row of its own: a mark says so from its end on.
    pub(crate) fn leaves_mark(&self, chat: &str, id: &str) {
        self.done.keep(chat, id);
    }

    /// Refuses every write from now on.
    pub fn seal(&self) {
        self.sealed.store(true, Ordering::Release);
        self.order.freeze();
    }

    /// Who lost the session writes nothing more: neither this nor what comes after it.
    fn engine_error(&self, error: StoreError) -> EngineStoreError {
        if error.kind == StoreErrorKind::NotOwner {
            self.seal();
        }
        engine_error(error)
    }

    async fn exclusive(&self) -> MutexGuard<'_, ()> {
        self.read_modify_write.lock().await
    }

    async fn entry(&self, namespace: &'static str, key: &str) -> StoreOutcome<Option<KeyEntry>> {
        self.keys.device_key(self.lease.session, namespace, key).await.map_err(engine_error)
    }

    async fn bytes(&self, namespace: &'static str, key: &str) -> StoreOutcome<Option<Vec<u8>>> {
        Ok(self.entry(namespace, key).await?.map(|entry| entry.value))
    }

    async fn json<T: DeserializeOwned>(
        &self,
        namespace: &'static str,
        key: &str,
    ) -> StoreOutcome<Option<T>> {
        self.bytes(namespace, key).await?.map(|bytes| from_json(&bytes)).transpose()
    }

    async fn list(&self, namespace: &'static str, prefix: &str) -> StoreOutcome<Vec<KeyEntry>> {
        self.keys.device_keys(self.lease.session, namespace, prefix).await.map_err(engine_error)
    }

    async fn apply(&self, changes: Vec<KeyChange>) -> StoreOutcome<()> {
        if changes.is_empty() {
            return Ok(());
        }
        self.refuse_sealed()?;
        self.keys
            .apply_key_changes(&self.lease, changes)
            .await
            .map_err(|error| self.engine_error(error))
    }

    async fn delete_expired(&self, namespace: &'static str, cutoff: i64) -> StoreOutcome<u32> {
        if self.sealed.load(Ordering::Acquire) {
            return Ok(0);
        }
        let deleted = self.keys.delete_expired_keys(&self.lease, namespace, cutoff).await;
        let deleted = deleted.map_err(|error| self.engine_error(error))?;
        Ok(u32::try_from(deleted).unwrap_or(u32::MAX))
    }
}

fn closed() -> EngineStoreError {
    EngineStoreError::Validation("the connection is closed".into())
}

/// A change of the Signal state, or a mark, as it is written.
fn put_kept(namespace: &'static str, key: &str, value: &[u8]) -> KeyChange {
    if namespace == namespace::DONE_INBOUND {
        return done_mark(key.to_owned());
    }
    put(namespace, key, value)
}

/// Says that a message of this name was read to its end. It goes after a while, as buffered rows do.
fn done_mark(name: String) -> KeyChange {
    put_until(namespace::DONE_INBOUND, name, [], inserted_now())
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
) -> StoreOutcome<KeyChange> {
    Ok(put(namespace, key, to_json(value)?))
}

fn delete(namespace: &'static str, key: impl Into<String>) -> KeyChange {
    KeyChange::Delete { namespace, key: key.into() }
}

/// The parts of a key's name, joined by [`SEPARATOR`].
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

fn to_json<T: Serialize>(value: &T) -> StoreOutcome<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| EngineStoreError::Serialization(Box::new(error)))
}

fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> StoreOutcome<T> {
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
