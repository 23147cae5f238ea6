//! The server: it accepts links, logs devices in, answers their requests and carries stanzas.
//!
//! * `link`: one connection from the first byte to the last, and what a device may send over it.
//! * `login`, `pairing` and `passkey`: who is on a link, and how a device comes to belong to an account.
//! * `requests`: which module answers which request; `prekeys`, `contacts`, `settings`, `groups`, `business` are those
//!   modules; `mex` answers stored queries, `newsletters` what they and stanzas say of channels. `calls`: what a device
//!   does with a call.
//! * `relay`: messages. `receipts`: receipts. `presence`: typing and online. `devices`: device lists and unlinking.
//! * `queue`: what waits for a device until it is acknowledged.
//!
//! Everything except reading and writing a link is plain code under the one lock of [`crate::state`].

pub(crate) mod business;
mod calls;
pub(crate) mod contacts;
pub(crate) mod devices;
pub(crate) mod groups;
mod link;
mod login;
mod mex;
pub(crate) mod newsletters;
pub(crate) mod pairing;
pub(crate) mod passkey;
pub(crate) mod prekeys;
pub(crate) mod presence;
pub(crate) mod queue;
pub(crate) mod receipts;
pub(crate) mod relay;
pub(crate) mod requests;
pub(crate) mod settings;

use std::sync::Arc;

use tokio::net::TcpListener;

use crate::hub::Hub;

/// Connections served at a time; further ones wait in the kernel's queue. A test has tens, a sandbox a few hundred.
const LINKS_MAX: usize = 4_096;

/// Accepts links until the network stops.
pub(crate) fn serve(hub: &Arc<Hub>, listener: TcpListener) {
    let hub = hub.clone();
    let stop = hub.stop.clone();
    let tasks = hub.tasks.clone();
    tasks.spawn(async move {
        let _ = stop.run_until_cancelled(accept(hub, listener)).await;
    });
}

async fn accept(hub: Arc<Hub>, listener: TcpListener) {
    let slots = Arc::new(tokio::sync::Semaphore::new(LINKS_MAX));
    while let Ok(slot) = slots.clone().acquire_owned().await {
        let Ok((socket, _)) = listener.accept().await else {
            continue;
        };
        let hub = hub.clone();
        let stop = hub.stop.clone();
        hub.tasks.clone().spawn(async move {
            let _slot = slot;
            if let Some(Err(error)) = stop.run_until_cancelled(link::serve(&hub, socket)).await {
                tracing::debug!("a link ended: {error:#}");
            }
        });
    }
}
