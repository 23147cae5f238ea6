//! Ledgers in temporary folders, and a way into their files beside the store.

use std::path::{Path, PathBuf};

use domain::{
    SessionId,
    event::{Event, EventDraft},
    port::{Lease, Ledger as _, SessionStore, StoreError, Write, WriteOutcome},
};
use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use storage::{LedgerStore, StoreOptions};
use tempfile::TempDir;
use testkit::{START, build};

/// Where the ledger of a folder is.
pub fn database(folder: &TempDir) -> PathBuf {
    folder.path().join("waypost.sqlite")
}

pub async fn open(folder: &TempDir) -> LedgerStore {
    open_at(&database(folder)).await
}

pub async fn open_at(path: &Path) -> LedgerStore {
    LedgerStore::open(StoreOptions::for_testing(path)).await.unwrap()
}

/// Closes a ledger and lets go of its file.
pub async fn close(store: LedgerStore) {
    store.close().await;
}

/// A connection of somebody who does not go through the store.
pub async fn raw(path: &Path) -> SqliteConnection {
    SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(path)).await.unwrap()
}

/// Runs one statement past the store; how many rows it changed.
pub async fn tamper(path: &Path, sql: &str) -> u64 {
    let mut conn = raw(path).await;
    let done = sqlx::query(AssertSqlSafe(sql)).execute(&mut conn).await.unwrap();
    conn.close().await.unwrap();
    done.rows_affected()
}

/// Stores session `number`.
pub async fn session(store: &LedgerStore, number: u32) -> SessionId {
    let session = build::session(number);
    assert!(store.insert_session(&session).await.unwrap());
    session.id
}

/// Records an event by itself.
pub async fn append(store: &LedgerStore, draft: EventDraft) -> Result<Event, StoreError> {
    let outcomes = store.write(vec![Write::Append { event: Box::new(draft) }]).await?;
    match outcomes.into_iter().next() {
        Some(WriteOutcome::Applied(events)) => Ok(Event::clone(&events[0])),
        other => panic!("the event was not recorded: {other:?}"),
    }
}

/// Stores session `number` and takes its lease.
pub async fn held(store: &LedgerStore, number: u32) -> Lease {
    let id = session(store, number).await;
    hold(store, id).await
}

/// Takes the first lease of a session.
pub async fn hold(store: &LedgerStore, id: SessionId) -> Lease {
    let day = std::time::Duration::from_secs(86_400);
    store.acquire_session(id, "test", START, day).await.unwrap().unwrap().lease
}

/// Every byte of the ledger's files, one file after another.
pub fn bytes(path: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for ending in ["", "-wal", "-shm"] {
        all.extend(std::fs::read(beside(path, ending)).unwrap_or_default());
    }
    all
}

/// A companion of the database file.
pub fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Whether the bytes hold a text.
pub fn holds(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

/// The error of what should not open, with its causes.
pub fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
