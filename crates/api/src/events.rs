//! Live events: server-sent events and pulls, with one cursor for both.

use std::{str::FromStr as _, sync::Arc, time::Duration};

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use domain::{
    EventId, SessionId, Timestamp,
    api_key::{ApiKey, Role},
    event::{EventData, EventType},
    log::LoggedEvent,
};
use gateway::live::{LiveFilter, Missed, News, Reader};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    AppState,
    access::{Caller, InChat, Pass, Viewer},
    error::ApiError,
    query::Query,
    words::EventWord,
};

/// Events that one write to a reader holds.
const WRITE_EVENTS_MAX: usize = 50;
/// Between two signs of life.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Between two looks at the reader's key and login, whatever flows meanwhile; a change in this process is looked at at
/// once.
const KEY_CHECK: Duration = Duration::from_secs(1);
/// Most events of a pull, and how many there are without `limit`.
const PULL_MAX: u32 = 500;
const PULL_DEFAULT: u32 = 100;
/// Longest wait of a pull, seconds.
const WAIT_MAX: u32 = 30;

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(stream)).routes(routes!(pull)).routes(routes!(get))
}

/// An event of the log.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = LoggedEvent)]
struct EventBody {
    /// `webhook-id` of its deliveries.
    id: String,
    #[schema(value_type = EventWord)]
    event: &'static str,
    /// When the event happened.
    timestamp: String,
    session_id: String,
    /// Dense in its session: a gap is an event that you may not see, or one that is gone.
    sequence: u64,
    /// The same as in its deliveries.
    idempotency_key: String,
    /// Its place in the log of all sessions.
    cursor: String,
    #[schema(value_type = Object)]
    data: EventData,
}

impl From<&LoggedEvent> for EventBody {
    fn from(logged: &LoggedEvent) -> Self {
        let draft = &logged.event.draft;
        Self {
            id: draft.id.to_string(),
            event: draft.kind.as_str(),
            timestamp: draft.occurred_at.iso(),
            session_id: draft.session.to_string(),
            sequence: logged.event.sequence,
            idempotency_key: draft.idempotency_key.clone(),
            cursor: logged.position.to_string(),
            data: draft.data.clone(),
        }
    }
}

/// What a reader that comes from before has missed for good: events that were old enough to be deleted.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MissedEvents)]
pub struct MissedBody {
    /// Up to this cursor events may be gone.
    through: String,
    /// Up to which sequence events of each session may be gone, at most 1000 sessions.
    sessions: Vec<MissedSession>,
}

/// How far the events of a session are gone.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct MissedSession {
    session_id: String,
    through: u64,
}

impl From<Missed> for MissedBody {
    fn from(missed: Missed) -> Self {
        let sessions = missed.sessions.into_iter();
        let sessions = sessions
            .map(|one| MissedSession { session_id: one.session.to_string(), through: one.through });
        Self { through: missed.through.to_string(), sessions: sessions.collect() }
    }
}

/// A page of events.
#[derive(Serialize, ToSchema)]
#[schema(as = EventPage)]
struct PageBody {
    /// In the order of the log.
    events: Vec<EventBody>,
    /// `after` of the next pull, also when there are no events.
    cursor: String,
    /// Set when `after` is so old that events after it are gone.
    #[schema(required)]
    pruned: Option<MissedBody>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
#[expect(dead_code, reason = "describes the query to the OpenAPI document")]
struct StreamQuery {
    /// Only events of this session.
    #[param(nullable = false)]
    session_id: Option<String>,
    /// Names of events, with commas between them; `*` or nothing means all.
    #[param(nullable = false, example = "message.received,message.ack")]
    events: Option<String>,
    /// Begin after this cursor instead of now. `Last-Event-ID` wins.
    #[param(nullable = false)]
    after: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
#[expect(dead_code, reason = "describes the query to the OpenAPI document")]
struct PullQuery {
    /// Only events of this session.
    #[param(nullable = false)]
    session_id: Option<String>,
    /// Names of events, with commas between them; `*` or nothing means all.
    #[param(nullable = false)]
    events: Option<String>,
    /// `cursor` of the pull before; 0 begins at the start of the log, nothing begins now.
    #[param(nullable = false)]
    after: Option<String>,
    /// 1 to 500, default 100.
    #[param(nullable = false)]
    limit: Option<u32>,
    /// Seconds to wait for the first event, 0 to 30, default 0.
    #[param(nullable = false)]
    wait: Option<u32>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes the path to the OpenAPI document")]
struct EventPath {
    /// The id of the event.
    #[param(example = "evt_7a510c7e-0b8f-4c0e-9a3e-4f0a8a662f10")]
    id: String,
}

/// What the caller's key may see and its query asks for.
fn filter(key: &ApiKey, query: &Query) -> Result<LiveFilter, ApiError> {
    let repeated = |name: &str| ApiError::problem(format!("{name} must be given once"));
    let session = query.one("sessionId").map_err(|_| repeated("sessionId"))?;
    let session = session.filter(|text| !text.is_empty()).map(SessionId::from_str).transpose();
    let session = session.map_err(|_| ApiError::problem("sessionId must be a UUID"))?;
    if let Some(session) = session {
        key.check_session(session)?;
    }
    let names = query.one("events").map_err(|_| repeated("events"))?.unwrap_or_default();
    let mut kinds = Vec::new();
    for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        if name == "*" {
            kinds.clear();
            break;
        }
        let kind = EventType::parse(name);
        kinds.push(kind.ok_or_else(|| ApiError::problem("events must be names of events"))?);
    }
    Ok(LiveFilter {
        session,
        sessions: key.allowed_sessions.clone(),
        chats: key.allowed_chats.clone(),
        kinds,
        qr: key.role >= Role::Operator,
    })
}

fn cursor(text: Option<&str>) -> Result<Option<u64>, ApiError> {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else { return Ok(None) };
    let position = text.parse::<u64>();
    position.map(Some).map_err(|_| ApiError::bad_request("The cursor is not one of ours"))
}

/// A stream of what happens, as server-sent events: `id` is the cursor, `event` the name, `data` the event. It begins
/// with `ready`; `pruned` says that events after the cursor are gone. A client that comes back with `Last-Event-ID`
/// misses nothing.
#[utoipa::path(
    get, path = "/api/events", operation_id = "streamEvents", tag = "Events",
    params(StreamQuery),
    responses(
        (status = 200, description = "A stream", body = String, content_type = "text/event-stream"),
        (status = 400, description = "A wrong query, or a cursor of another ledger", body = crate::error::ErrorBody),
        (status = 503, description = "Too many readers", body = crate::error::ErrorBody),
    ),
    security(("X-API-Key" = ["viewer", "chat"])),
)]
async fn stream(
    State(state): State<AppState>,
    caller: Caller<InChat<Viewer>>,
    headers: HeaderMap,
    query: Query,
) -> Result<Response, ApiError> {
    let filter = filter(caller.key(), &query)?;
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let after = match cursor(last)? {
        Some(after) => Some(after),
        None => cursor(query.one("after").ok().flatten())?,
    };
    // Before the checks of this request could be out of date.
    let changes = state.gateway.api_keys.changes();
    let mut reader = state.gateway.live.reader(caller.who(), filter, after).await?;
    let mut first = format!(
        "retry: 3000\nevent: ready\nid: {0}\ndata: {{\"cursor\":\"{0}\"}}\n\n",
        reader.cursor()
    );
    if let Some(missed) = reader.missed.take() {
        let missed = serde_json::to_string(&MissedBody::from(missed)).unwrap_or_default();
        first.push_str(&format!("event: pruned\ndata: {missed}\n\n"));
    }
    let (check_at, alive_at) = (state.gateway.live.now(), state.gateway.live.now().plus(HEARTBEAT));
    let (pass, first) = (caller.pass(), Some(first));
    let stream = Stream { state, pass, reader, first, changes, check_at, alive_at };
    let stream = futures::stream::unfold(stream, |mut stream| async move {
        let part = stream.next().await?;
        Some((Ok::<_, std::convert::Infallible>(part), stream))
    });
    let mut response = Response::new(Body::from_stream(stream));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    // Proxies that collect an answer first would hold events back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// One reader's stream.
struct Stream {
    state: AppState,
    pass: Pass,
    reader: Reader,
    first: Option<String>,
    changes: tokio::sync::watch::Receiver<()>,
    /// When the key, and the login, are looked at again.
    check_at: Timestamp,
    /// When a sign of life is due.
    alive_at: Timestamp,
}

impl Stream {
    /// The next part; `None` ends the stream: the client comes back with its cursor and hears what is wrong.
    async fn next(&mut self) -> Option<String> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        let live = self.state.gateway.live.clone();
        loop {
            if live.now() >= self.check_at {
                if !self.pass.holds(&self.state).await {
                    return None;
                }
                self.check_at = live.now().plus(KEY_CHECK);
            }
            let until = self.check_at.min(self.alive_at);
            let news = tokio::select! {
                biased;
                // The sender lives as long as the gateway.
                _ = self.changes.changed() => {
                    self.check_at = live.now();
                    continue;
                }
                news = self.reader.next(WRITE_EVENTS_MAX, until) => news,
            };
            let part = match news {
                Ok(News::Events(events)) => events.iter().map(part).collect(),
                // Without data nothing is dispatched, but the client keeps the id.
                Ok(News::Quiet) if live.now() >= self.alive_at => {
                    format!(": alive\nid: {}\n\n", self.reader.cursor())
                }
                Ok(News::Quiet) => continue,
                Ok(News::Ended) => return None,
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "a stream of events ended");
                    return None;
                }
            };
            self.alive_at = live.now().plus(HEARTBEAT);
            return Some(part);
        }
    }
}

/// One event on the wire. JSON has no line ends of its own.
fn part(event: &Arc<LoggedEvent>) -> String {
    let body = EventBody::from(&**event);
    let (id, name) = (event.position, body.event);
    let data = serde_json::to_string(&body).unwrap_or_default();
    format!("id: {id}\nevent: {name}\ndata: {data}\n\n")
}

/// Reads events after a cursor, and waits for the first if asked to.
#[utoipa::path(
    get, path = "/api/events/pull", operation_id = "pullEvents", tag = "Events",
    params(PullQuery),
    responses(
        (status = 200, description = "A page", body = PageBody),
        (status = 400, description = "A wrong query, or a cursor of another ledger", body = crate::error::ErrorBody),
        (status = 503, description = "Too many readers wait", body = crate::error::ErrorBody),
    ),
    security(("X-API-Key" = ["viewer", "chat"])),
)]
async fn pull(
    State(state): State<AppState>,
    caller: Caller<InChat<Viewer>>,
    query: Query,
) -> Result<Json<PageBody>, ApiError> {
    let filter = filter(caller.key(), &query)?;
    let after = cursor(query.one("after").ok().flatten())?;
    let limit = query.number("limit").filter(|limit| (1..=PULL_MAX).contains(limit));
    let limit = limit.unwrap_or(PULL_DEFAULT) as usize;
    let wait = Duration::from_secs(query.number("wait").unwrap_or(0).min(WAIT_MAX).into());
    let page = state.gateway.live.pull(caller.who(), filter, after, limit, wait).await?;
    // What came while it waited is for whoever still is let in.
    if !wait.is_zero() && !caller.pass().holds(&state).await {
        let sentence = "API key was changed or revoked, or the login is over";
        return Err(ApiError::new(StatusCode::UNAUTHORIZED, sentence));
    }
    Ok(Json(PageBody {
        events: page.events.iter().map(|event| EventBody::from(&**event)).collect(),
        cursor: page.cursor.to_string(),
        pruned: page.missed.map(MissedBody::from),
    }))
}

/// Reads one event: the whole of what a thin delivery left out.
#[utoipa::path(
    get, path = "/api/events/{id}", operation_id = "getEvent", tag = "Events",
    params(EventPath),
    responses((status = 200, description = "The event", body = EventBody)),
    security(("X-API-Key" = ["viewer", "chat"])),
)]
async fn get(
    State(state): State<AppState>,
    caller: Caller<InChat<Viewer>>,
) -> Result<Json<EventBody>, ApiError> {
    let id: EventId = caller.id("id")?;
    let found = state.gateway.live.event(id).await?;
    let logged = found.ok_or_else(|| ApiError::unknown(&id))?;
    let (key, draft) = (caller.key(), &logged.event.draft);
    key.check_session(draft.session)?;
    if draft.kind.links_a_phone() {
        key.check_role(Role::Operator)?;
    }
    if !key.allowed_chats.is_empty() {
        let chat = draft.chat.as_ref().ok_or(domain::api_key::KeyRefused::ChatRestricted)?;
        key.check_chat(chat)?;
    }
    Ok(Json(EventBody::from(&logged)))
}
