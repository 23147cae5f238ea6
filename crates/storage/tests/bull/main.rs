//! The lanes of a ledger, handed out by Redis through BullMQ.
//!
//! `cargo xtask test` starts the servers and says where they are; tests that stop and start Redis have one of their own.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up should stop at once")]

#[path = "../parts/place.rs"]
mod place;

mod conformance;
mod faults;
mod house;
mod jobs;
mod model;
mod node;
mod secured;
mod server;
mod shared;
mod storm;
