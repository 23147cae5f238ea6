//! Health: is the process alive, can it work. No key needed, nothing secret shown.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, request::Parts},
};
use domain::{Timestamp, api_key::ApiKey};
use gateway::{health::Readiness, metrics::Stalled, webhooks::Flow};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{AppState, access::valid_key};

/// Most warnings of one answer.
const WARNINGS_MAX: usize = 100;

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(health))
        .routes(routes!(live))
        .routes(routes!(ready))
        .routes(routes!(infra))
}

/// What a process that answers says of itself.
#[derive(Serialize, ToSchema)]
#[schema(as = Health, example = json!({"status": "ok", "timestamp": "2026-10-01T08:00:00.000Z"}))]
struct HealthBody {
    status: &'static str,
    timestamp: String,
    /// Only for callers with a valid key.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'static str>,
    /// What needs attention. Only for callers with a valid key, and only if there is something.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    warnings: Option<Vec<Warning>>,
}

/// All sends are paused, events are stored for a webhook but not delivered, the queue's server is gone, the ledger
/// takes no writes, or something in it cannot be read or was put aside.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = HealthWarning)]
struct Warning {
    /// `SENDS_PAUSED`, `DELIVERY_STALLED`, `QUEUE_DOWN`, `LEDGER_NOT_WRITABLE`, `ROWS_UNREADABLE` or
    /// `MESSAGES_QUARANTINED`
    code: &'static str,
    message: String,
    /// Of a webhook that stalls.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook_id: Option<String>,
    /// The session of that webhook.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<String>,
    /// Deliveries of it that wait.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pending: Option<u64>,
    /// How long the oldest waits, or how long it is so; 0 where that is not known.
    seconds: u64,
}

/// Without the reason: it may name addresses, and stands in the log.
fn queue_down(state: &AppState) -> Option<Warning> {
    let server = state.gateway.health.queue().filter(|server| !server.up)?;
    let message = "Redis does not answer: deliveries go on from the ledger".to_owned();
    let seconds = now().since(server.since).as_secs();
    let (webhook_id, session_id, pending) = (None, None, None);
    Some(Warning { code: "QUEUE_DOWN", message, webhook_id, session_id, pending, seconds })
}

fn warning(code: &'static str, message: String, seconds: u64) -> Warning {
    Warning { code, message, webhook_id: None, session_id: None, pending: None, seconds }
}

/// Whoever may send should know that nothing goes out: also a key that sees some sessions only.
fn sends_paused(state: &AppState) -> Option<Warning> {
    let pause = state.gateway.brake.pause()?;
    let why = pause.reason.map(|reason| format!(": {reason}")).unwrap_or_default();
    let message = format!("All sends are paused by {}{why}", pause.by);
    Some(warning("SENDS_PAUSED", message, state.gateway.live.now().since(pause.since).as_secs()))
}

/// What is wrong with the ledger, and what to do about it.
async fn ledger_faults(state: &AppState) -> Vec<Warning> {
    let health = &state.gateway.health;
    let mut found = Vec::new();
    if let Flow::Stopped { trouble, since } = health.flow() {
        let message = format!("Nothing is delivered: {}", trouble.advice());
        found.push(warning("LEDGER_NOT_WRITABLE", message, now().since(since).as_secs()));
    }
    let rows = health.unreadable();
    if let Some(first) = rows.first() {
        let (count, what, id) = (rows.len(), first.what, &first.id);
        let message = format!(
            "{count} rows cannot be read, such as {what} {id}: everything else goes on without them; \
             see the log, or start the version that wrote them"
        );
        found.push(warning("ROWS_UNREADABLE", message, 0));
    }
    let aside = health.put_aside().await.unwrap_or(0);
    if aside > 0 {
        let message = format!("{aside} messages could not be stored and are in quarantine");
        found.push(warning("MESSAGES_QUARANTINED", message, 0));
    }
    found
}

async fn warnings(state: &AppState, key: &ApiKey) -> Option<Vec<Warning>> {
    let visible = |session| key.sees_session(session);
    let stalled = state.gateway.metrics.stalled(&visible).await;
    let warning = |one: Stalled| Warning {
        code: "DELIVERY_STALLED",
        message: format!("{} deliveries wait and none gets through", one.lag.pending),
        webhook_id: Some(one.lag.webhook.to_string()),
        session_id: Some(one.lag.session.to_string()),
        pending: Some(one.lag.pending),
        seconds: one.waits.as_secs(),
    };
    // A ledger that does not answer is among its own faults.
    let stalled = stalled.unwrap_or_default();
    // What concerns the house is for those who see all of it.
    let of_the_house = match key.allowed_sessions.is_empty() {
        true => ledger_faults(state).await,
        false => vec![],
    };
    let warnings: Vec<Warning> = sends_paused(state)
        .into_iter()
        .chain(of_the_house)
        .chain(queue_down(state))
        .chain(stalled.into_iter().map(warning))
        .take(WARNINGS_MAX)
        .collect();
    Some(warnings).filter(|warnings| !warnings.is_empty())
}

/// The process answers; nothing else was looked at.
#[derive(Serialize, ToSchema)]
#[schema(as = Liveness, example = json!({"status": "ok"}))]
struct Live {
    status: &'static str,
}

/// Whether the process can work.
#[derive(Serialize, ToSchema)]
#[schema(as = Readiness, example = json!({
    "status": "ok", "details": {"mainDatabase": {"status": "up"}, "dataDatabase": {"status": "up"}}
}))]
struct Ready {
    /// `ok` when every part works, else `error`.
    status: &'static str,
    details: Details,
}

/// One ledger holds what OpenWA spreads over two databases, so both parts always agree.
#[derive(Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ReadinessDetails)]
struct Details {
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    main_database: Option<Part>,
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    data_database: Option<Part>,
    /// Redis, only where it is used. While it is down the process works: deliveries go on from the ledger.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<Part>,
    /// Only while the process stops.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    shutdown: Option<Part>,
}

/// One part of the process.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[schema(as = ReadinessPart)]
struct Part {
    /// `up`, `down`, `read_only` (it answers and takes no writes) or `draining`.
    status: &'static str,
    /// What is wrong, and what to do about it.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'static str>,
}

impl Part {
    const fn of(status: &'static str) -> Self {
        Self { status, message: None }
    }
}

/// Says that the process answers.
#[utoipa::path(
    get, path = "/api/health", operation_id = "health", tag = "Health",
    responses((status = 200, description = "It answers", body = HealthBody)),
    security(()),
)]
async fn health(State(state): State<AppState>, parts: Parts) -> Json<HealthBody> {
    let key = valid_key(&parts, &state).await;
    let version = key.as_ref().map(|_| state.options.version);
    let warnings = match &key {
        // Chats are none of a webhook's business: a key for chats sees no webhooks.
        Some(key) if key.allowed_chats.is_empty() => warnings(&state, key).await,
        _ => None,
    };
    Json(HealthBody { status: "ok", timestamp: now().iso(), version, warnings })
}

/// Says that the process answers, for supervisors that restart it otherwise.
#[utoipa::path(
    get, path = "/api/health/live", operation_id = "healthLive", tag = "Health",
    responses((status = 200, description = "It answers", body = Live)),
    security(()),
)]
async fn live() -> Json<Live> {
    Json(Live { status: "ok" })
}

/// Says whether the process can work, for load balancers.
#[utoipa::path(
    get, path = "/api/health/ready", operation_id = "healthReady", tag = "Health",
    responses(
        (status = 200, description = "It can work", body = Ready),
        (status = 503, description = "The ledger does not answer or takes no writes, or the process is stopping", body = Ready),
    ),
    security(()),
)]
async fn ready(State(state): State<AppState>) -> (StatusCode, Json<Ready>) {
    let queue = state.gateway.health.queue();
    let databases = |part| Details {
        main_database: Some(part),
        data_database: Some(part),
        queue: queue.map(|server| Part::of(if server.up { "up" } else { "down" })),
        shutdown: None,
    };
    let (status, word, details) = match state.gateway.health.ready().await {
        Readiness::Ready => (StatusCode::OK, "ok", databases(Part::of("up"))),
        Readiness::DatabaseDown => {
            (StatusCode::SERVICE_UNAVAILABLE, "error", databases(Part::of("down")))
        }
        Readiness::NotWritable(trouble) => {
            let part = Part { status: "read_only", message: Some(trouble.advice()) };
            (StatusCode::SERVICE_UNAVAILABLE, "error", databases(part))
        }
        Readiness::Draining => {
            let shutdown = Some(Part::of("draining"));
            let details = Details { shutdown, ..Details::default() };
            (StatusCode::SERVICE_UNAVAILABLE, "error", details)
        }
    };
    (status, Json(Ready { status: word, details }))
}

/// Says that the process answers, where OpenWA's infrastructure page looks.
#[utoipa::path(
    get, path = "/api/infra/health", operation_id = "infraHealth", tag = "Health",
    responses((status = 200, description = "It answers", body = HealthBody)),
    security(()),
)]
async fn infra() -> Json<HealthBody> {
    Json(HealthBody { status: "ok", timestamp: now().iso(), version: None, warnings: None })
}

/// The wall clock: these answers say when they were given, and nothing is decided by it.
#[expect(clippy::disallowed_methods, reason = "no rule depends on this time")]
fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let millis = since.unwrap_or_default().as_millis();
    Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
}
