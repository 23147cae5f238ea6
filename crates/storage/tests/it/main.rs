//! The ledger in SQLite: the stores' conformance suite, and what only this database has to do.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up should stop at once")]

#[path = "../parts/place.rs"]
mod place;

mod conformance;
mod crash;
mod device_keys;
mod folder;
mod group_commit;
mod held;
mod identities;
mod key_file;
mod migration;
mod model;
mod notices;
mod opening;
mod plugins;
mod postgres;
mod secrets;
mod standing;
mod statements;
mod support;
mod turns;
mod unreadable;
mod volume;
