//! The API through its front door: the real router, the real gateway, a real SQLite ledger; only WhatsApp is played.

#![expect(clippy::unwrap_used, reason = "a test that fails to set up has failed")]

mod access;
mod api_keys;
mod app;
mod audit;
mod bulk;
mod chats;
mod contacts;
mod contract;
mod dashboard;
mod deliveries;
mod docs;
mod events;
mod forward;
mod health;
mod idempotency;
mod imports;
mod inbound;
mod inbound_changes;
mod limits;
mod logins;
mod media;
mod messages;
mod messages_change;
mod messages_send;
mod metrics;
mod numbers;
mod plugins;
mod previews;
mod property;
mod rates;
mod refusals;
mod sessions;
mod templates;
mod unseen;
mod webhooks;
mod wrong_input;
