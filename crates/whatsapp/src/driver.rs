//! The life of one connection, from the first dial to the last word to the sink.
//!
//! The library would reconnect by itself; that is switched off, because the session's task owns the
//! backoff. One restart stays here: after pairing, WhatsApp ends the stream and expects a login with
//! the new device. That is part of the same connection, and nobody outside hears of it.

use std::{
    future::pending,
    panic::AssertUnwindSafe,
    pin::pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use domain::{port::EngineSignal, session::LossCause};
use futures::FutureExt as _;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use whatsapp_rust::{
    Client,
    types::events::{Event, Subscription},
};

use crate::{
    engine::SessionSlot, keys::LedgerBackend, link::LinkState, runtime::ConnectionTasks,
    signals::EventPump, unheld::UnheldLine,
};

/// Stream restarts between pairing and the first login. One is normal, more than a few is a loop.
const RESTARTS_MAX: u32 = 3;
/// For the library to write down what it holds and say goodbye. Its own steps have limits of 5 s.
const GOODBYE: Duration = Duration::from_secs(15);
/// Why a connection ends in which something panicked.
const FAILED: &str = "the engine failed";
/// For tasks to notice that they are to end.
const TASKS_END: Duration = Duration::from_secs(5);

/// Everything that lives as long as the connection.
pub(crate) struct ConnectionDriver {
    pub client: Arc<Client>,
    pub backend: Arc<LedgerBackend>,
    pub link: Arc<LinkState>,
    pub tasks: ConnectionTasks,
    pub pump: EventPump,
    pub events: async_channel::Receiver<Arc<Event>>,
    pub subscription: Subscription,
    pub slot: SessionSlot,
    pub unheld: Arc<UnheldLine>,
    /// Signals the handle that nothing runs any more, even if this future is dropped.
    pub done: DropGuard,
}

impl ConnectionDriver {
    /// Runs the connection to its end.
    pub async fn drive(self) {
        let Self { client, backend, link, tasks, pump, events, subscription, slot, unheld, done } =
            self;
        // A link that ends by itself is not over: what watches it has to be notified.
        let ended = CancellationToken::new();
        let engine = async {
            let cause = run(&client, &link).await;
            goodbye(&client).await;
            drop(subscription);
            tasks.stop(TASKS_END).await;
            // What nothing stands in the way of any more; the rest is read again.
            if timeout(TASKS_END, backend.write_what_is_ready()).await.is_err() {
                tracing::warn!("the last keys of a connection were not written in time");
            }
            events.close();
            ended.cancel();
            cause
        };
        // Box: the library's futures are large, and this one lives on the heap anyway.
        let parts = async {
            tokio::join!(
                Box::pin(engine),
                pump.run(events.clone()),
                ended.run_until_cancelled(unheld.run(&*pump.sink, &link)),
                ended.run_until_cancelled(watch(&tasks, &link)),
            )
        };
        let cause = match AssertUnwindSafe(parts).catch_unwind().await {
            Ok((cause, ..)) => cause,
            Err(_) => {
                tracing::error!("a panic in the engine; its connection ends");
                link.fail(LossCause::Link(FAILED.into()));
                tasks.stop(TASKS_END).await;
                events.close();
                Some(LossCause::Link(FAILED.into()))
            }
        };
        unheld.finish(&*pump.sink).await;
        backend.seal();
        // The session may be opened again from here on, also by whoever hears of the loss.
        drop(slot);
        if let Some(cause) = cause {
            tracing::info!(?cause, "connection lost");
            pump.signal(EngineSignal::Lost(cause)).await;
        }
        drop(done);
    }
}

/// A task of the library that panicked leaves the connection in a state that nobody knows.
async fn watch(tasks: &ConnectionTasks, link: &LinkState) {
    tokio::select! {
        () = link.over() => {}
        () = tasks.panicked() => {
            tracing::error!("a panic in a task of the engine; its connection ends");
            link.fail(LossCause::Link(FAILED.into()));
        }
    }
}

/// Keeps the link until it ends. `None` when it was closed on purpose.
async fn run(client: &Arc<Client>, link: &LinkState) -> Option<LossCause> {
    for _ in 0..=RESTARTS_MAX {
        client.enable_auto_reconnect.store(false, Ordering::Relaxed);
        let ended = until_over(client, link).await;
        // A stream that ends while the device is being unlinked ended on request.
        if link.is_closing() || link.is_unlinking() {
            return None;
        }
        if let Some(cause) = link.cause() {
            return Some(cause);
        }
        if let Some(reason) = link.take_dial_failure() {
            return Some(LossCause::Link(reason));
        }
        if !ended || !link.awaits_first_login() {
            break;
        }
        tracing::debug!("WhatsApp restarts the stream after pairing");
    }
    Some(LossCause::Link("the connection was lost".into()))
}

/// True when the library's loop ended by itself.
async fn until_over(client: &Arc<Client>, link: &LinkState) -> bool {
    let mut run = pin!(client.run());
    tokio::select! {
        () = link.over() => {}
        () = &mut run => return true,
    }
    // The loop takes part in the goodbye, but nobody waits for it: it may be in the middle of a dial.
    let goodbye = async {
        tokio::select! {
            () = client.disconnect() => {}
            () = async { run.await; pending().await } => {}
        }
    };
    if timeout(GOODBYE, Box::pin(goodbye)).await.is_err() {
        tracing::warn!("the engine did not end in time");
    }
    false
}

/// Writes down what the library still holds. Harmless when that has happened already.
async fn goodbye(client: &Arc<Client>) {
    if timeout(GOODBYE, client.disconnect()).await.is_err() {
        tracing::warn!("the engine did not say goodbye in time");
    }
    match timeout(GOODBYE, client.persistence_manager().flush()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!(%error, "the device could not be saved at the end of a connection");
        }
        Err(_) => tracing::warn!("the device was not saved in time at the end of a connection"),
    }
}
