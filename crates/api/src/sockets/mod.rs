//! Live events over Socket.IO, as OpenWA serves them: namespace `/events`, one event `message` both ways.
//!
//! # The cast
//! - A [`reader::SocketReader`] serves one socket. It is one more reader of the event log, as a stream of
//!   server-sent events is: nothing is fanned out, and a socket that does not read is told nothing more.
//! - [`rooms`] knows what a socket subscribed to, [`frames`] what is said, [`emit`] how much of it fits.
//!
//! # The limits
//! Handshakes of an address ([`SocketOptions::handshakes`]), frames of a key ([`SocketOptions::frames`]), sockets of a
//! key and in all (those of every live reader), rooms of a socket, bytes of a frame, places in its buffer, and how
//! long nothing may leave it.

mod emit;
mod frames;
mod reader;
mod rooms;

use std::{
    convert::Infallible,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    body::Body,
    extract::Request,
    response::IntoResponse as _,
    routing::{MethodRouter, any},
};
use domain::ApiKeyId;
use futures::future::BoxFuture;
use serde_json::Value;
use socketioxide::{
    ParserConfig, SocketIo,
    extract::{SocketRef, TryData},
    handler::ConnectHandler as _,
};
use tokio::sync::{Notify, mpsc};
use tower::ServiceExt as _;

use crate::{
    AppState,
    address::client_ip,
    allowance::{Allowance, FramePace, PacedAllowance},
    error::ApiError,
    rates::{Window, network},
};

/// Where the library listens.
pub const PATH: &str = "/socket.io";
/// The namespace that OpenWA's clients enter.
const NAMESPACE: &str = "/events";
/// Longest message of a client, and of a poll that brings several.
const CLIENT_BYTES_MAX: usize = 64 * 1024;
/// Packets of a connection that wait for a client.
const BUFFER_MAX: usize = 64;
/// Frames of a client that wait to be answered; further ones are dropped.
const INBOX_MAX: usize = 32;
/// Between two signs of life, and how long the answer may take.
const PING_EVERY: Duration = Duration::from_secs(25);
const PING_LIMIT: Duration = Duration::from_secs(20);
/// How long a connection may stay outside of the namespace.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Connections that may be opened for each handshake: a client that was refused hears it in one of them.
const OPENS_PER_HANDSHAKE: u32 = 3;

/// How sockets behave. Plain data.
#[derive(Debug, Clone, Copy)]
pub struct SocketOptions {
    /// Handshakes of one address.
    pub handshakes: Window,
    /// Frames of one key.
    pub frames: FramePace,
    /// How long nothing may leave a socket that has something to read.
    pub stall_limit: Duration,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self {
            handshakes: Window { length: Duration::from_secs(60), limit: 10 },
            frames: FramePace { per_second: 60, burst: 120 },
            stall_limit: Duration::from_secs(30),
        }
    }
}

/// What all sockets of this process share.
pub struct Sockets {
    options: SocketOptions,
    opens: Allowance<Option<IpAddr>>,
    handshakes: Allowance<Option<IpAddr>>,
    frames: PacedAllowance<ApiKeyId>,
}

impl Sockets {
    pub fn new(options: SocketOptions) -> Self {
        let Window { length, limit } = options.handshakes;
        let opens = Window { length, limit: limit.saturating_mul(OPENS_PER_HANDSHAKE) };
        Self {
            options,
            opens: Allowance::new(opens),
            handshakes: Allowance::new(options.handshakes),
            frames: PacedAllowance::new(options.frames),
        }
    }
}

/// Frames of a client, from the moment on at which it may send some. Taken by whoever serves it.
#[derive(Clone)]
struct ClientInbox {
    frames: Arc<Mutex<Option<mpsc::Receiver<Value>>>>,
    closed: Arc<Notify>,
}

/// The route that Socket.IO's clients use. It is no operation of the OpenAPI document.
pub fn route(state: &AppState) -> MethodRouter<AppState> {
    let parser = ParserConfig::common().max_incoming_binaries(0).max_incoming_binary_buf_size(0);
    let (service, io) = SocketIo::builder()
        .with_parser(parser)
        .req_path(PATH)
        .max_payload(CLIENT_BYTES_MAX as u64)
        .ws_max_message_size(CLIENT_BYTES_MAX)
        .ws_max_frame_size(CLIENT_BYTES_MAX)
        .max_buffer_size(BUFFER_MAX)
        .ping_interval(PING_EVERY)
        .ping_timeout(PING_LIMIT)
        .connect_timeout(CONNECT_LIMIT)
        .build_svc();
    let serving = state.clone();
    let serve = move |io: SocketIo, socket: SocketRef, TryData(auth): TryData<Value>| {
        let state = serving.clone();
        let auth = auth.unwrap_or_default();
        // Boxed: it lives as long as its socket.
        let served: BoxFuture<'static, ()> = Box::pin(reader::serve(state, io, socket, auth));
        served
    };
    let check = |socket: SocketRef| {
        prepare(&socket);
        std::future::ready(Ok::<(), Infallible>(()))
    };
    io.ns(NAMESPACE, serve.with(check));
    let state = state.clone();
    any(move |request: Request| {
        let (state, service) = (state.clone(), service.clone());
        async move {
            if let Err(refused) = may_open(&state, &request) {
                return refused.into_response();
            }
            match service.oneshot(request).await {
                Ok(response) => response.map(Body::new),
                Err(never) => match never {},
            }
        }
    })
}

/// Whether a request belongs to an open connection, or may open one.
fn may_open(state: &AppState, request: &Request) -> Result<(), ApiError> {
    let query = request.uri().query().unwrap_or_default();
    if query.split('&').any(|part| part.starts_with("sid=")) {
        return Ok(());
    }
    let mut parts = axum::http::Request::new(()).into_parts().0;
    parts.headers = request.headers().clone();
    parts.extensions = request.extensions().clone();
    let address = network(client_ip(&parts, &state.options.trusted_proxies));
    let allowed = state.sockets.opens.take(address, state.gateway.live.now());
    allowed.map_err(ApiError::too_many)
}

/// Before a client is told that it is connected: what it sends at once must find somebody.
fn prepare(socket: &SocketRef) {
    let (sender, frames) = mpsc::channel(INBOX_MAX);
    let closed = Arc::new(Notify::new());
    let told = closed.clone();
    // The library calls these in order and hands the rest to a task of its own: there is no rest.
    socket.on(emit::MESSAGE, move |TryData(frame): TryData<Value>| {
        // Without data, or with data that cannot be read, it is refused as what it is: no frame.
        let _ = sender.try_send(frame.unwrap_or_default());
        std::future::ready(())
    });
    socket.on_disconnect(move || {
        told.notify_one();
        std::future::ready(())
    });
    socket.extensions.insert(ClientInbox { frames: Arc::new(Mutex::new(Some(frames))), closed });
}

impl ClientInbox {
    fn take(&self) -> Option<mpsc::Receiver<Value>> {
        self.frames.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
