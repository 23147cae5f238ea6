//! One connection, from its first byte to its last.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, HttpBody},
    extract::ConnectInfo,
    http::{HeaderValue, Request, Response, StatusCode, Version, header},
};
use hyper::{
    body::{Frame, Incoming, SizeHint},
    server::conn::http1,
    service::Service,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::{
    HttpLimits,
    pulse::{ConnectionPulse, RequestUnderWay},
    slots::ClientSlot,
    stream::{SocketLimits, TimedStream},
};

/// When the server stops: how long a connection that waits for a request may still begin one.
const LAST_CALL: Duration = Duration::from_millis(500);

/// How long a connection that lost its slot has for the request that it had sent before.
const LAST_ANSWER: Duration = Duration::from_secs(5);
/// How often the socket of such a connection is looked at.
const LOOKS: usize = 2;

/// What the library serves.
type ServedConnection = http1::UpgradeableConnection<TokioIo<TimedStream>, RequestService>;

/// A client, let in.
pub struct ClientConnection {
    pub stream: TcpStream,
    pub peer: SocketAddr,
    pub slot: ClientSlot,
    pub router: Router,
    pub limits: Arc<HttpLimits>,
}

impl ClientConnection {
    /// Until the client or the server has had enough.
    pub async fn serve(self, stopping: CancellationToken) {
        let pulse = self.slot.pulse().clone();
        let limits = SocketLimits { keep_alive: self.limits.keep_alive, write: self.limits.write };
        let (stream, closed) = TimedStream::new(self.stream, pulse.clone(), limits);
        let io = TokioIo::new(stream);
        let hint = format!("timeout={}", self.limits.keep_alive.as_secs());
        let requests = RequestService {
            router: self.router,
            peer: self.peer,
            pulse: pulse.clone(),
            keep_alive: HeaderValue::from_str(&hint).ok(),
        };
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            // The library counts the wait of a kept connection too.
            .header_read_timeout(self.limits.headers.max(self.limits.keep_alive))
            .serve_connection(io, requests)
            .with_upgrades();
        let mut connection = pin!(connection);
        let taken = tokio::select! {
            ended = connection.as_mut() => {
                log_end(ended);
                if pulse.is_upgraded() {
                    // Whoever has the socket now keeps its slot too. When the server stops, nobody waits for it: what
                    // is said over it has an end of its own.
                    tokio::select! {
                        _ = closed => {}
                        () = stopping.cancelled() => {}
                    }
                }
                return;
            }
            () = self.slot.taken_away() => true,
            () = stopping.cancelled() => false,
        };
        if taken {
            return finish(connection, &pulse).await;
        }
        connection.as_mut().graceful_shutdown();
        loop {
            tokio::select! {
                ended = connection.as_mut() => return log_end(ended),
                () = self.slot.taken_away() => return finish(connection, &pulse).await,
                () = tokio::time::sleep(LAST_CALL) => if !pulse.at_work() { return },
            }
        }
    }
}

/// Ends a connection that has lost its slot. A request that lies unread in its socket was sent in good faith and is
/// answered; nobody waits for one that is not there yet.
async fn finish(mut connection: Pin<&mut ServedConnection>, pulse: &ConnectionPulse) {
    for _ in 0..LOOKS {
        // Lets the runtime hear what has come.
        tokio::task::yield_now().await;
        if let Poll::Ready(ended) = futures::poll!(connection.as_mut()) {
            return log_end(ended);
        }
    }
    if pulse.at_work() {
        connection.as_mut().graceful_shutdown();
        if let Ok(ended) = tokio::time::timeout(LAST_ANSWER, connection).await {
            log_end(ended);
        }
    }
}

/// Clients go away, stay silent and talk nonsense all the time.
fn log_end(ended: Result<(), hyper::Error>) {
    if let Err(error) = ended {
        tracing::debug!(error = &error as &dyn std::error::Error, "a connection ended");
    }
}

/// The requests of one connection.
struct RequestService {
    router: Router,
    peer: SocketAddr,
    pulse: Arc<ConnectionPulse>,
    keep_alive: Option<HeaderValue>,
}

impl Service<Request<Incoming>> for RequestService {
    type Response = Response<AnswerBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let work = self.pulse.work();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(self.peer));
        request.extensions_mut().insert(api::Draining(self.pulse.draining()));
        // Clients of a kind that keeps to it do not write into a connection that is just being closed.
        let hint = self.keep_alive.clone().filter(|_| request.version() == Version::HTTP_11);
        let answer = self.router.clone().oneshot(request);
        let pulse = self.pulse.clone();
        Box::pin(async move {
            let mut response = answer.await?;
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                pulse.upgrade();
            }
            if let Some(hint) = hint
                && !response.headers().contains_key(header::CONNECTION)
            {
                response.headers_mut().insert("keep-alive", hint);
            }
            Ok(response.map(|body| AnswerBody { body, _work: work }))
        })
    }
}

/// The body of an answer; while it is not written, the connection is at work.
struct AnswerBody {
    body: Body,
    _work: RequestUnderWay,
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
