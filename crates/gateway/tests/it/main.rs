//! The gateway on a real SQLite ledger; the clock is the test's and WhatsApp is played.

#![expect(clippy::unwrap_used, reason = "a test that fails to set up has failed")]

mod api_keys;
mod authorities;
mod connections;
mod delivery_hooks;
mod egress;
mod fence;
mod groups;
mod health;
mod house;
mod inbound;
mod lanes;
mod liars;
mod live;
mod losses;
mod outage;
mod policy;
mod recipes;
mod registration;
mod replay;
mod retries;
mod send_hooks;
mod send_once;
mod send_order;
mod send_pacing;
mod send_settle;
mod sends;
mod sessions;
mod simulation;
mod strangers;
mod supervisor;
mod takeover;
mod upkeep;
mod verifiers;
mod worker;
