//! The words and the rules of Waypost. No I/O, no clock, no randomness of its own.
//!
//! # The cast
//! - A [`Session`](session::Session) is one WhatsApp account connected through this gateway. Its life is a pure
//!   function, [`session::transition`].
//! - A [`Message`](message::Message) is the row users see; its status only moves forward.
//! - An [`Event`](event::Event) is something that happened, appended to a log with a dense sequence per session.
//! - A [`Webhook`](webhook::Webhook) is one registered receiver; a [`Delivery`](delivery::Delivery) is event × webhook;
//!   an attempt is one HTTP try. A *lane* is a line of deliveries that leave strictly one after another.
//! - An [`ApiKey`](api_key::ApiKey) opens the HTTP API, within its role and scopes.
//! - The [`port`] module holds the traits that the outer crates implement.
//!
//! # Glossary
//! *Session*: a linked account (never a Signal session). *Chat id*: `<digits>@c.us`, `<id>@g.us`, `<digits>@lid`, …
//! *Ack*: how far WhatsApp carried a message. *Receipt*: a recipient's answer that causes an ack. *Engine*: the
//! WhatsApp client behind [`port::WhatsApp`]. *Lease*: the right to work on something until a time. *Redrive*: try
//! exhausted deliveries again. *Backfilled*: received by WhatsApp while we were away.

#![deny(missing_docs)]

pub mod address;
pub mod api_key;
pub mod approval;
pub mod automation;
pub mod backoff;
pub mod batch;
pub mod brake;
pub mod catalogue;
pub mod channel;
pub mod chat;
pub mod content;
pub mod delivery;
pub mod event;
pub mod failure;
pub mod filter;
pub mod group;
pub mod hook;
pub mod hop;
pub mod idempotency;
pub mod ids;
pub mod label;
pub mod log;
pub mod login;
pub mod media;
pub mod message;
pub mod net;
pub mod pacing;
pub mod phone;
pub mod plugin;
pub mod port;
pub mod presence;
pub mod process;
pub mod proxy;
pub mod receipt;
pub mod search;
pub mod session;
pub mod signature;
pub mod stats;
pub mod status;
pub mod template;
pub mod time;
mod timer;
pub mod trace;
pub mod transfer;
pub mod visible;
pub mod webhook;

pub use address::{ChatId, ChatKind, PhoneNumber};
pub use ids::{
    ApiKeyId, ApprovalId, AutomationRuleId, DeliveryId, EventId, MediaId, MessageRowId, SessionId,
    TemplateId, WaMessageId, WebhookId,
};
pub use time::{Clock, Entropy, Timestamp};
pub use timer::Timer;
