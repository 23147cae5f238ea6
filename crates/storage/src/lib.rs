//! The ledger and the shared queue: the only crate that names SQL and Redis.
//!
//! # The cast
//! - [`LedgerStore`] is one SQLite file or one PostgreSQL schema, and implements every store port of `domain::port`.
//! - The *writer* is one task with the one writing connection; on PostgreSQL it is several, a session always at the
//!   same
//!   one. It takes whatever waits, runs each job in a savepoint of one transaction, commits once, then answers: many
//!   callers
//!   share one fsync (`synchronous=FULL`).
//! - *Readers* are connections of their own; WAL lets them read while the writer writes.
//! - The *cipher* encrypts the engine's keys, webhook secrets and headers, proxy addresses, messages on their way out,
//!   the keys of files, configurations of plugins and what their providers sent, bound to their rows.
//! - [`BullQueue`] hands the lanes of a ledger out through Redis, so that several processes share them.
//! - A *backup* is a copy of a SQLite ledger and its files in one file; [`Revival`] is what a restored copy must not do
//!   again. [`inspect`] looks at a ledger from outside.
//! - [`FolderMedia`] keeps files in a folder, by the hash of their bytes.
//!
//! # Guarantees
//! A write is durable when its call returns. An event, its sequence, its deliveries and the change that caused it are
//! one transaction. A second process cannot open the same file.

mod api_key;
mod approval;
mod audit;
mod automation;
mod backup;
mod batch;
mod brake;
mod bull;
mod crypt;
mod db;
mod delivery;
mod device_key;
mod error;
mod event_log;
mod failpoint;
mod folder;
mod group;
mod idempotency;
mod inspect;
mod keyfile;
mod known_keys;
mod label;
mod lease;
mod ledger;
mod login;
mod media;
mod media_removal;
mod message;
mod open;
mod pacing;
mod people;
mod plugin;
mod quarantine;
mod receivers;
mod removal;
mod revive;
mod search;
mod session;
mod statements;
mod stats;
mod status;
mod telemetry;
mod template;
mod transfer;
mod unreadable;
mod upkeep;
mod webhook;
mod wishes;
mod writer;

pub use backup::{
    BACKUP_FORMAT, BackupError, BackupHeader, BackupMedia, BackupOptions, BackupProgress,
    BackupStep, CheckedBackup, ProgressListener, RestoreOptions, RestoredBackup, WrittenBackup,
    back_up, check as check_backup, restore, revive_in_place,
};
pub use bull::{BullQueue, InvalidRedisOptions, RedisOptions, redis_answers};
pub use crypt::{InvalidMasterKey, MasterKey};
pub use failpoint::{Failpoint, InvalidFailpoint};
pub use folder::FolderMedia;
pub use inspect::{LedgerFacts, LedgerWork, inspect};
pub use keyfile::KeyFileError;
pub use open::{
    Database, DatabaseLimits, LedgerStore, OpenError, PostgresOptions, PostgresTls, StoreOptions,
};
pub use revive::{DeviceRenewal, Revival, Revived};
#[doc(hidden)]
pub use statements::{RegisteredStatement, statements};
