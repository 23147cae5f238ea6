//! The engine behind the domain's port: the only crate that names the protocol library.
//!
//! # The cast
//! - [`Engine`] implements [`domain::port::WhatsApp`]. It holds at most one connection per session.
//! - A *link* is one connection's shared state: whether it stands, why it ended, what happened.
//! - The *driver* is one connection's life. It owns the library's client and every task of it; when
//!   it has ended, nothing of the connection runs.
//! - The *pump* carries the link's events to the sink, one at a time and in order.
//! - The *inbound handler* converts messages and holds WhatsApp's acknowledgement back until the sink has
//!   committed them. Changes of messages (reactions, edits, votes, …) take the same way.
//! - *Pairs* are the numbers behind privacy ids that the library stores, whatever named them; each is told.
//! - A *message writer* writes messages that go out.
//! - The *ledger backend* keeps the device's keys in the ledger, see [`keys`].
//!
//! # Guarantees
//! - A received message is acknowledged only after [`domain::port::EngineSink::messages`] returned
//!   `Ok`. If it fails the connection ends, so that WhatsApp sends the message again after the next
//!   login and no later one overtakes it. Channel posts and messages recovered from the phone are
//!   the exception: WhatsApp does not send them again, so they are tried three times. So is the report that a
//!   message could not be decrypted; the message itself, when it is sent again, is held like any other.
//! - Messages of one chat keep their order; chats are independent of each other. Signals keep the
//!   order in which the library emits them. It handles acks and receipts in tasks of their own, so
//!   a receipt may come before the ack of the same message.
//! - A connection ends exactly once, with `Lost` or by closing. `Lost` is the last signal, and the
//!   session may be opened again from inside it.
//! - A session with a proxy sends nothing around it, neither chat nor media nor look-ups of names.
//! - A build that does not verify WhatsApp's certificate speaks with loopback addresses only.
//! - Logs hold neither texts nor whole phone numbers. The library's own logs (the `log` facade,
//!   targets `whatsapp_rust`, `wacore` and `Client/…`) do name numbers at `info` and below.

#![deny(missing_docs)]
// The futures of the protocol library with their spans are deep.
#![recursion_limit = "512"]

/// The protocol library, and its version.
pub const LIBRARY: (&str, &str) = ("whatsapp-rust", "0.7.0");

mod address_book;
mod calls;
mod catalogue;
mod channels;
mod chats;
mod connection;
mod contacts;
mod content;
mod driver;
mod duplicates;
mod engine;
mod failure;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod groups;
mod http;
mod inbound;
pub mod keys;
mod labels;
mod limits;
mod link;
mod loss;
mod marks;
mod mex;
mod outbound;
mod pairs;
mod passkey;
mod people;
mod presence;
mod reading;
mod runtime;
mod safety;
mod secrets;
mod signals;
mod transfer;
mod transport;
mod unheld;

pub use engine::{Engine, EngineOptions, LAST_GOOD_VERSION};
pub use http::MediaEndpoint;
pub use keys::{DEVICE_PLACE, LinkedDevice, STALE_NAMESPACES, import_device, renewed_device};
pub use safety::verification_compiled_in;
