//! The engine against a simulated network, and the keys against the protocol library's own store.

#![expect(clippy::unwrap_used, reason = "helpers of tests; a test that cannot go on says where")]

mod business;
mod changes;
mod chats;
mod disk_host;
mod feeds;
mod files;
mod groups;
mod keys_ledger;
mod keys_suite;
mod kinds;
mod limits;
mod losses;
mod messages;
mod order;
mod pairing;
mod passkey;
mod people;
mod proxies;
mod proxy_servers;
mod safety;
mod support;
