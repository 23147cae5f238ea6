//! A webhook receiver that believes nothing: it checks both signatures, the order and the repeats of every delivery.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::bail;
use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::{get, post},
};
use domain::{signature, webhook::Secret};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch};

use crate::http::{HttpLimits, HttpServer};

/// Deliveries kept for `/received`; older ones are forgotten.
const KEPT_MAX: usize = 1000;

/// A webhook receiver that verifies what it gets and keeps it for the story.
pub struct SandboxReceiver {
    base: String,
    shared: Arc<ReceiverState>,
    server: HttpServer,
}

struct ReceiverState {
    secret: Secret,
    log: Mutex<ReceiverLog>,
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct ReceiverLog {
    received: VecDeque<Value>,
    refused: Vec<String>,
    /// Highest sequence per chat, to see an inversion.
    highest: HashMap<String, u64>,
}

impl SandboxReceiver {
    /// Listens on a free port of loopback.
    pub async fn start(secret: Secret) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let base = format!("http://{}", listener.local_addr()?);
        let shared = Arc::new(ReceiverState {
            secret,
            log: Mutex::default(),
            changed: watch::Sender::new(0),
        });
        let router = Router::new()
            .route("/hook", post(hook))
            .route("/received", get(received))
            .with_state(shared.clone());
        let server = HttpServer::start(listener, router, HttpLimits::default());
        Ok(Self { base, shared, server })
    }

    /// Its URL without a path: `http://127.0.0.1:…`
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Waits for a verified delivery that fits; fails at once if any delivery was refused.
    pub async fn wait_for(
        &self,
        what: &str,
        limit: Duration,
        fits: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Value> {
        let mut changed = self.shared.changed.subscribe();
        let search = async {
            loop {
                if let Some(found) = self.shared.find(&fits)? {
                    return Ok(found);
                }
                changed.changed().await?;
            }
        };
        match tokio::time::timeout(limit, search).await {
            Ok(found) => found,
            Err(_) => bail!("{what} did not reach the webhook within {} s", limit.as_secs()),
        }
    }

    /// Stops its server, within a second.
    pub async fn stop(self) {
        self.server.stop(Duration::from_secs(1)).await;
    }
}

impl ReceiverState {
    fn find(&self, fits: &impl Fn(&Value) -> bool) -> anyhow::Result<Option<Value>> {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(refused) = log.refused.first() {
            bail!("the receiver refused a delivery: {refused}");
        }
        Ok(log.received.iter().find(|event| fits(event)).cloned())
    }

    fn note(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), String> {
        let event = verify(&self.secret, headers, body)?;
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let sequence = event["sequence"].as_u64().ok_or("no sequence")?;
        // A repeat after a crash carries the key it had; an older event after a newer one is an inversion.
        let repeat = log_has(&log.received, &event);
        let chat = event["data"]["chatId"].as_str().unwrap_or("session").to_owned();
        let highest = log.highest.entry(chat).or_default();
        if sequence <= *highest && !repeat {
            return Err(format!("event {sequence} came after event {highest} of its lane"));
        }
        *highest = sequence.max(*highest);
        if log.received.len() == KEPT_MAX {
            log.received.pop_front();
        }
        log.received.push_back(event);
        Ok(())
    }
}

fn log_has(received: &VecDeque<Value>, event: &Value) -> bool {
    received.iter().any(|earlier| earlier["idempotencyKey"] == event["idempotencyKey"])
}

fn verify(secret: &Secret, headers: &HeaderMap, body: &[u8]) -> Result<Value, String> {
    let header = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .ok_or_else(|| format!("no header {name}"))
    };
    if header("x-openwa-signature")? != signature::openwa(secret, body) {
        return Err("X-OpenWA-Signature does not fit the body".into());
    }
    let timestamp: i64 =
        header("webhook-timestamp")?.parse().map_err(|_| "webhook-timestamp is no number")?;
    if header("webhook-signature")?
        != signature::standard_v1(secret, header("webhook-id")?, timestamp, body)
    {
        return Err("webhook-signature does not fit".into());
    }
    let event: Value = serde_json::from_slice(body).map_err(|_| "the body is not JSON")?;
    if event["idempotencyKey"] != header("x-openwa-idempotency-key")? {
        return Err("the idempotency key differs between header and body".into());
    }
    Ok(event)
}

async fn hook(
    State(shared): State<Arc<ReceiverState>>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let outcome = shared.note(&headers, &body);
    let status = match outcome {
        Ok(()) => StatusCode::NO_CONTENT,
        Err(reason) => {
            shared.log.lock().unwrap_or_else(PoisonError::into_inner).refused.push(reason);
            StatusCode::BAD_REQUEST
        }
    };
    shared.changed.send_modify(|version| *version += 1);
    status
}

async fn received(State(shared): State<Arc<ReceiverState>>) -> Json<Value> {
    let log = shared.log.lock().unwrap_or_else(PoisonError::into_inner);
    Json(json!({ "verified": log.received.len(), "refused": log.refused, "events": log.received }))
}
