//! A webhook receiver that follows a script and remembers everything.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde_json::Value;
use tokio::{net::TcpListener, sync::watch};

/// What the receiver answers to one call.
#[derive(Debug, Clone)]
pub enum Reply {
    /// This status, at once.
    Status(u16),
    /// This status with a body.
    Body(u16, String),
    /// This status with a `Retry-After`.
    RetryAfter(u16, String),
    /// A redirect to this address.
    Redirect(String),
    /// This status after this time.
    Slow(Duration, u16),
    /// The call stays open and is never answered.
    Silence,
}

/// One call as it came in.
#[derive(Debug, Clone)]
pub struct Received {
    /// The headers it came with.
    pub headers: HeaderMap,
    /// The body, byte for byte.
    pub body: Bytes,
}

impl Received {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// A header's text; empty when it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// Listens on a free port of loopback until the test ends. Answers 200 unless a script says otherwise.
#[derive(Clone)]
pub struct Receiver {
    url: String,
    shared: Arc<ReceiverState>,
}

#[derive(Default)]
struct ReceiverState {
    script: Mutex<VecDeque<Reply>>,
    received: Mutex<Vec<Received>>,
    count: watch::Sender<usize>,
    /// Calls that are not answered yet, and the most of them so far.
    open: Mutex<(usize, usize)>,
}

impl Receiver {
    /// Starts to listen on a free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let shared = Arc::new(ReceiverState::default());
        let router = Router::new().fallback(take).with_state(shared.clone());
        crate::background(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, shared }
    }

    /// The address for a webhook: `http://127.0.0.1:…/hook`.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// The next calls get these answers, one after another; then 200 again.
    pub fn answer(&self, replies: impl IntoIterator<Item = Reply>) {
        self.shared.script.lock().unwrap_or_else(PoisonError::into_inner).extend(replies);
    }

    /// Every call so far, in order.
    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The most calls that were open at the same time.
    pub fn most_at_once(&self) -> usize {
        self.shared.open.lock().unwrap_or_else(PoisonError::into_inner).1
    }

    /// Waits until so many calls came in.
    pub async fn wait_for(&self, count: usize) -> Vec<Received> {
        let mut seen = self.shared.count.subscribe();
        seen.wait_for(|seen| *seen >= count).await.unwrap();
        self.received()
    }
}

/// A call that is not answered yet.
struct OpenCall(Arc<ReceiverState>);

impl OpenCall {
    fn new(shared: Arc<ReceiverState>) -> Self {
        let mut open = shared.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.0 += 1;
        open.1 = open.1.max(open.0);
        drop(open);
        Self(shared)
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner).0 -= 1;
    }
}

async fn take(
    State(shared): State<Arc<ReceiverState>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let _open = OpenCall::new(shared.clone());
    let reply = shared.script.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let count = {
        let mut received = shared.received.lock().unwrap_or_else(PoisonError::into_inner);
        received.push(Received { headers, body });
        received.len()
    };
    shared.count.send_replace(count);
    let code = |status| StatusCode::from_u16(status).unwrap();
    match reply.unwrap_or(Reply::Status(200)) {
        Reply::Status(status) => code(status).into_response(),
        Reply::Body(status, body) => (code(status), body).into_response(),
        Reply::RetryAfter(status, when) => {
            (code(status), [(header::RETRY_AFTER, when)]).into_response()
        }
        Reply::Redirect(to) => (StatusCode::FOUND, [(header::LOCATION, to)]).into_response(),
        Reply::Slow(time, status) => {
            tokio::time::sleep(time).await;
            code(status).into_response()
        }
        Reply::Silence => std::future::pending().await,
    }
}
