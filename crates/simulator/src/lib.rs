//! A WhatsApp network on loopback, at the real wire protocol: WebSocket, Noise, binary stanzas, Signal end to end.
//!
//! # Cast
//!
//! * **[`Network`]**: the whole thing. A test or the sandbox starts it, adds people, looks at its [`NetworkRecord`] and
//!   injects [`Faults`]. Dropping the last clone stops it.
//! * **Account** ([`Account`] is the handle): a person with a phone number, a LID, a *phone* and any number of *linked
//!   devices*. Made by [`Network::add_account`], never removed.
//! * **Phone** (device 0): plays a person's primary phone in process. It encrypts, decrypts, confirms, asks again for
//!   what it cannot read, encrypts again for who cannot read it, and behaves as [`Behaviour`] says.
//! * **Linked device** (device 1 and up): a real client, usually the engine. It comes by QR code
//!   ([`Network::scan_qr`]), by code ([`Network::enter_code`]), or ready made ([`Network::provision_device`]).
//! * **Server**: admits links, answers requests, carries stanzas. It reads no message content.
//! * **Queue**: what a linked device has not acknowledged. Written by the server when a stanza is carried, emptied by
//!   the device's acks and receipts.
//!
//! # Guarantees
//!
//! * A stanza for a linked device stays queued until that device acknowledges it. Every login delivers the rest again:
//!   the same bytes, oldest first, marked `offline`. Delivery is at least once; a receiver recognises copies by message
//!   id.
//! * The order of the messages of one sender to one device never changes.
//! * A message is acknowledged to its sender before anything that follows from it.
//! * Nothing is silently ignored: what the network does not know, cannot answer or cannot read is in the record. A
//!   network made by [`Network::start`] panics at its end when there is such a thing, so that a test fails by itself.
//! * Everything that grows has a limit, a constant with its reason, and a stated answer to what happens when it is
//!   full.
//!
//! # What is not here
//!
//! Communities, the sound of calls, trusted-contact tokens, XX fallback, and TLS of the chat server. One-time keys of
//! phones, queues, channels, businesses and media do not survive a restart (see `persist`).

mod account;
pub mod admin;
mod app_state;
mod faults;
mod frames;
mod hub;
mod keys;
mod limits;
mod media;
mod media_tls;
mod network;
pub mod noise;
mod persist;
mod phone;
pub mod program;
mod provision;
mod record;
mod server;
mod state;
mod wire;

pub use account::{
    Account, CallEnd, ChatState, CraftedFile, FileKind, MembersChange, NewFile, Online,
    PhoneGroupSetting, text_message,
};
pub use faults::{DeviceFaults, Faults};
pub use limits::{NewChats, Timelock};
pub use media::{MEDIA_HOST, MediaHttp};
pub use network::{Network, NetworkOptions};
pub use phone::{AutoAnswer, Behaviour, INBOX_MAX, MessageRef, ReceivedMessage};
pub use provision::ProvisionedDevice;
pub use record::{
    AcceptedMessage, AppStateChange, DuplicateMessage, Nack, NetworkRecord, RECORD_MAX,
    RefusedCall, SeenPresence, SeenReceipt, SeenTyping,
};
pub use server::{
    business::{Business, CatalogueProduct},
    newsletters::NewsletterRole,
};
pub use whatsapp_rust::Jid;
