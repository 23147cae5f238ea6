//! What tests of several crates share: time and randomness by hand, builders, a webhook receiver that follows a
//! script, a WhatsApp without a network, stores that err, a model of the queue of lanes, and databases on the servers
//! of the test run.
//!
//! Development only; nothing here is in the product's build.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up should stop at once")]

pub mod build;
mod clock;
mod entropy;
mod erring;
pub mod files;
pub mod model;
mod mutate;
mod proxy;
mod receiver;
pub mod servers;
mod tunnel;
mod whatsapp;

pub use clock::ManualClock;
pub use entropy::SeededEntropy;
pub use erring::{Erring, Fault, Odds, StoreParts, Trouble};
pub use model::ModelStore;
pub use mutate::mutate;
pub use proxy::Proxy;
pub use receiver::{Received, Receiver, Reply};
pub use tunnel::Tunnel;
pub use whatsapp::{Asked, AskedAboutPeople, FakeLink, FakeWhatsApp, OnDownload, OnSend};

/// The time at which tests begin: 2026-10-01T08:00:00Z.
pub const START: domain::Timestamp = domain::Timestamp::from_millis(1_790_841_600_000);

/// Runs a helper of a test until the test's runtime ends.
#[expect(clippy::disallowed_methods, reason = "no supervisor here; the test's runtime ends it")]
fn background(work: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(work);
}
