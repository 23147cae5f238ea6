//! The HTTP server: who may hold a connection, for how long, and how it all ends.
//!
//! A client that does nothing must not cost those who do something. Every wait for a client has a limit: for the head
//! of a request, for the next request of a kept connection, for an answer to be taken. Connections are counted, whole
//! and per address; when there are too many, one that waits for a request gives its slot to the new one, and when all
//! are at work the new one is closed. Only HTTP/1 is spoken.

mod connection;
mod descriptors;
mod pulse;
mod slots;
mod stream;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use ipnet::IpNet;
use tokio::{net::TcpListener, sync::Semaphore, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use descriptors::{allowance, raise};
use slots::ClientSlots;

/// How long accepting rests after it failed for want of something, such as descriptors.
const REST: Duration = Duration::from_millis(50);
/// Connections that lost their slot and have not ended yet; they still have their descriptors.
const ENDING_MAX: usize = 64;

/// How long, and how many.
#[derive(Debug, Clone)]
pub struct HttpLimits {
    /// From the first wait for a request until its head is there.
    pub headers: Duration,
    /// From an answer to the next request of the same connection.
    pub keep_alive: Duration,
    /// Without a byte taken of an answer that waits.
    pub write: Duration,
    /// Connections at the same time.
    pub connections: usize,
    /// The same of one address; of IPv6, of one network of 64 bits.
    pub per_address: usize,
    /// Addresses that stand for many clients: they have the whole of [`HttpLimits::connections`].
    pub proxies: Vec<IpNet>,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            headers: Duration::from_secs(65),
            keep_alive: Duration::from_secs(5),
            write: Duration::from_secs(30),
            connections: 1024,
            per_address: 256,
            proxies: vec![],
        }
    }
}

/// The HTTP server and the way to stop it.
pub struct HttpServer {
    task: JoinHandle<()>,
    /// Take no more connections; finish what is open.
    stopping: CancellationToken,
    /// Close every connection without finishing its request.
    cut: CancellationToken,
}

impl HttpServer {
    /// Serves on a listener.
    #[expect(
        clippy::disallowed_methods,
        reason = "the HTTP server outlives no one: its handle is awaited in stop()"
    )]
    pub fn start(listener: TcpListener, router: Router, limits: HttpLimits) -> Self {
        let (stopping, cut) = (CancellationToken::new(), CancellationToken::new());
        let acceptor = ClientAcceptor {
            router,
            slots: ClientSlots::new(&limits),
            descriptors: Arc::new(Semaphore::new(limits.connections + ENDING_MAX)),
            limits: Arc::new(limits),
            stopping: stopping.clone(),
            cut: cut.clone(),
            clients: TaskTracker::new(),
        };
        Self { task: tokio::spawn(acceptor.open(listener)), stopping, cut }
    }

    /// Takes no more connections, waits for open requests up to a limit, then cuts.
    pub async fn stop(mut self, limit: Duration) {
        self.stopping.cancel();
        if tokio::time::timeout(limit, &mut self.task).await.is_err() {
            tracing::warn!("requests still open at the limit were cut");
            self.cut.cancel();
            let _ = self.task.await;
        }
    }
}

/// Accepts connections, as many as there are slots for.
struct ClientAcceptor {
    router: Router,
    slots: ClientSlots,
    /// One per socket, also of connections that have lost their slot and not ended yet.
    descriptors: Arc<Semaphore>,
    limits: Arc<HttpLimits>,
    stopping: CancellationToken,
    cut: CancellationToken,
    clients: TaskTracker,
}

impl ClientAcceptor {
    async fn open(self, listener: TcpListener) {
        loop {
            // Before a connection is taken: its descriptor is one that may be used.
            let descriptor = tokio::select! {
                descriptor = self.descriptors.clone().acquire_owned() => descriptor,
                () = self.stopping.cancelled() => break,
            };
            let Ok(descriptor) = descriptor else { break };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.stopping.cancelled() => break,
            };
            match accepted {
                Ok((stream, peer)) => self.let_in(stream, peer, descriptor),
                Err(error) => self.rest(&error).await,
            }
        }
        drop(listener);
        self.clients.close();
        self.clients.wait().await;
    }

    fn let_in(
        &self,
        stream: tokio::net::TcpStream,
        peer: SocketAddr,
        descriptor: tokio::sync::OwnedSemaphorePermit,
    ) {
        let Some(slot) = self.slots.take(peer.ip()) else {
            tracing::debug!(%peer, "a connection was closed: too many are at work");
            return;
        };
        // Small answers and events should not wait for more; a socket that refuses this still works.
        let _ = stream.set_nodelay(true);
        let connection = connection::ClientConnection {
            stream,
            peer,
            slot,
            router: self.router.clone(),
            limits: self.limits.clone(),
        };
        let (stopping, cut) = (self.stopping.clone(), self.cut.clone());
        self.clients.spawn(async move {
            tokio::select! {
                () = connection.serve(stopping) => {}
                () = cut.cancelled() => {}
            }
            drop(descriptor);
        });
    }

    /// What is wrong with one connection concerns only it; everything else needs a moment.
    async fn rest(&self, error: &io::Error) {
        use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
        if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
            return;
        }
        tracing::error!(error = error as &dyn std::error::Error, "no connection can be taken");
        self.slots.free_one();
        tokio::time::sleep(REST).await;
    }
}

#[cfg(test)]
mod tests;
