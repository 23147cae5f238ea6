//! The network, driven by real engine clients.

// The futures of the protocol library with their spans are deep.
#![recursion_limit = "512"]
#![expect(
    clippy::disallowed_methods,
    reason = "tests measure time and run things side by side, without a supervisor"
)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod strict;
mod support;

mod admin;
mod bulk;
mod chat;
mod contacts;
mod core;
mod faults;
mod golden_codec;
mod golden_noise;
mod groups;
mod history;
mod links;
mod media;
mod pairing;
mod persistence;
mod phone;
mod say;
