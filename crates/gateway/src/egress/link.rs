//! One HTTP/1.1 connection, and those that wait for the next call.
//!
//! The protocol of a connection runs inside the call that has it: no task of its own, so that a call needs no other
//! thread. While a connection waits nobody looks at it; whoever takes it looks first.

use std::{
    collections::HashMap,
    pin::{Pin, pin},
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{
    body::Incoming,
    client::conn::http1::{Builder, Connection, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Notify,
    time::Instant,
};

/// Most of an answer that is read ahead; longer heads are no HTTP.
const READ_AHEAD_BYTES: usize = 64 * 1024;
/// Headers of an answer.
const HEADERS_MAX: usize = 1000;
/// Idle connections kept per host; when full, the connection is closed.
const IDLE_PER_HOST: usize = 64;
/// Idle connections kept in all; the same.
const IDLE_MAX: usize = 1024;
/// How long one is kept.
const IDLE_FOR: Duration = Duration::from_secs(60);

/// What a connection runs over: TCP, or TLS on it.
pub(super) trait SocketIo: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> SocketIo for T {}

/// A connection. It is large and changes hands often: it goes around in a box.
pub(super) struct EgressLink {
    send: SendRequest<Full<Bytes>>,
    run: Connection<TokioIo<Box<dyn SocketIo>>, Full<Bytes>>,
    over: bool,
}

impl EgressLink {
    pub(super) async fn over(io: Box<dyn SocketIo>) -> hyper::Result<Box<Self>> {
        let mut builder = Builder::new();
        // The status alone decides: receivers in old languages fold headers, write blanks into their names, and many
        // of them.
        builder
            .ignore_invalid_headers_in_responses(true)
            .allow_obsolete_multiline_headers_in_responses(true)
            .max_headers(HEADERS_MAX);
        // Head and body in one piece cost less than a list of pieces.
        builder.max_buf_size(READ_AHEAD_BYTES).writev(false);
        let (send, run) = builder.handshake(TokioIo::new(io)).await?;
        Ok(Box::new(Self { send, run, over: false }))
    }

    fn drive(&mut self, cx: &mut Context<'_>) {
        if !self.over {
            self.over = Pin::new(&mut self.run).poll(cx).is_ready();
        }
    }

    /// Waits for something that the protocol has to do.
    pub(super) async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        std::future::poll_fn(|cx| {
            self.drive(cx);
            work.as_mut().poll(cx)
        })
        .await
    }

    /// Makes a call; the body of the answer comes [`during`](Self::during) more waiting.
    pub(super) async fn call(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> hyper::Result<Response<Incoming>> {
        let answer = self.send.send_request(request);
        self.during(answer).await
    }

    /// Whether it can take a call: it is open, the last answer is at its end, and nothing came that nobody asked for.
    async fn is_fit(&mut self) -> bool {
        let look = std::future::poll_fn(|cx| {
            self.drive(cx);
            Poll::Ready(())
        });
        look.await;
        !self.over && self.send.is_ready()
    }
}

/// The connections that wait, by scheme, host and port.
#[derive(Default)]
pub(super) struct IdleLinks {
    links: Mutex<HostLinks>,
    filled: Notify,
}

#[derive(Default)]
struct HostLinks {
    by_origin: HashMap<String, Vec<(Instant, Box<EgressLink>)>>,
    count: usize,
}

impl IdleLinks {
    fn lock(&self) -> MutexGuard<'_, HostLinks> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one that was used last and can take a call.
    pub(super) async fn take(&self, origin: &str) -> Option<Box<EgressLink>> {
        loop {
            let (since, mut link) = self.lock().pop(origin)?;
            if since.elapsed() < IDLE_FOR && link.is_fit().await {
                return Some(link);
            }
        }
    }

    /// Keeps one for the next call, if it can take one and there is room.
    pub(super) async fn put(&self, origin: &str, mut link: Box<EgressLink>) {
        if link.is_fit().await && self.lock().push(origin, link) {
            self.filled.notify_one();
        }
    }

    /// Closes what was not used for a while, as long as there is anything; never ends.
    pub(super) async fn close_old(&self) {
        loop {
            self.filled.notified().await;
            while self.lock().count > 0 {
                tokio::time::sleep(IDLE_FOR / 2).await;
                self.lock().forget_old();
            }
        }
    }
}

impl HostLinks {
    fn pop(&mut self, origin: &str) -> Option<(Instant, Box<EgressLink>)> {
        let link = self.by_origin.get_mut(origin)?.pop()?;
        self.count -= 1;
        Some(link)
    }

    /// Whether it is the first.
    fn push(&mut self, origin: &str, link: Box<EgressLink>) -> bool {
        if self.count >= IDLE_MAX {
            return false;
        }
        let links = match self.by_origin.get_mut(origin) {
            Some(links) => links,
            None => self.by_origin.entry(origin.to_owned()).or_default(),
        };
        if links.len() >= IDLE_PER_HOST {
            return false;
        }
        links.push((Instant::now(), link));
        self.count += 1;
        self.count == 1
    }

    fn forget_old(&mut self) {
        for links in self.by_origin.values_mut() {
            links.retain(|(since, _)| since.elapsed() < IDLE_FOR);
        }
        self.by_origin.retain(|_, links| !links.is_empty());
        self.count = self.by_origin.values().map(Vec::len).sum();
    }
}
