//! Sessions: their records here, their life in [`life`], their settings in [`settings`].

mod life;
mod passkey;
mod settings;
mod today;

use axum::{Json, extract::State, http::StatusCode};
use domain::{
    SessionId, Timestamp,
    api_key::{KeyRefused, Role},
    log::Activity,
    pacing::DaySends,
    session::{NewChatQuota, SessionConfig, SessionStatus},
};
use gateway::sessions::{NewSession, SessionView};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use today::DaySendsBody;

use crate::{
    AppState,
    access::{Caller, ExistingSession, OnSession, Operator, Unscoped, Viewer},
    activity::ActivityBody,
    body::RawBody,
    error::ApiError,
    query::{Query, slice},
    words::{ProxyTypeWord, SessionStatusWord},
};

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(get, delete))
        .routes(routes!(overview))
        .merge(life::routes())
        .merge(passkey::routes())
        .merge(settings::routes())
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = CreateSession, example = json!({
    "name": "bakery", "config": {"autoRejectCalls": true}, "proxyUrl": "socks5://ann:secret@proxy.example:1080"
}))]
struct CreateSession {
    /// Unique; letters, digits and hyphens.
    #[schema(min_length = 3, max_length = 50, pattern = "^[a-zA-Z0-9-]+$")]
    name: String,
    /// Tunables, up to 16,384 bytes. Other keys are accepted and not used.
    config: Option<Tunables>,
    /// Where the session's traffic goes through. Setting it needs an admin key. socks4 is not supported.
    #[schema(max_length = 255, format = "proxy-url")]
    proxy_url: Option<String>,
    /// Accepted and not used: the scheme of `proxyUrl` decides.
    #[serde(rename = "proxyType")]
    #[schema(deprecated, value_type = Option<ProxyTypeWord>)]
    _proxy_type: Option<String>,
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SessionTunables)]
struct Tunables {
    /// Whether incoming calls are rejected.
    auto_reject_calls: Option<bool>,
    /// Give up after this many failed tries in a row; `null` never gives up.
    #[schema(minimum = 0, maximum = 20)]
    max_reconnect_attempts: Option<u32>,
    /// First wait before a reconnect, in milliseconds.
    #[schema(minimum = 1000, maximum = 300_000)]
    reconnect_base_delay: Option<u32>,
    /// The country whose national form of phone numbers is understood: two letters, like `DE`. Without it a number
    /// needs its country code. An addition to OpenWA.
    #[schema(min_length = 2, max_length = 2, format = "country")]
    default_country: Option<String>,
    /// The time zone of a `scheduledAt` without an offset, by its IANA name; `null` is UTC. An addition to OpenWA.
    #[schema(min_length = 1, max_length = 64, format = "time-zone")]
    time_zone: Option<String>,
    /// Whether texts with a link have a card where the request says nothing.
    link_preview: Option<bool>,
}

/// Largest `config` of a new session, bytes of JSON (OpenWA's limit).
const CONFIG_BYTES_MAX: usize = 16_384;

/// One WhatsApp account connected through this gateway.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Session, example = json!({
    "id": "3b0c6f52-0c1e-4a77-9d0e-5a1f2b3c4d5e", "name": "bakery", "status": "ready", "phone": "49155500",
    "pushName": "Bakery", "connectedAt": "2026-10-01T07:00:00.000Z", "lastActive": "2026-10-01T07:59:00.000Z",
    "createdAt": "2026-09-30T10:00:00.000Z", "updatedAt": "2026-10-01T07:59:00.000Z", "lastError": null,
    "restriction": null, "newChatQuota": null, "engineLoaded": true
}))]
pub struct SessionBody {
    id: String,
    name: String,
    #[schema(value_type = SessionStatusWord)]
    status: SessionStatus,
    /// The phone number that is linked.
    #[schema(required)]
    phone: Option<String>,
    #[schema(required)]
    push_name: Option<String>,
    #[schema(required)]
    connected_at: Option<String>,
    #[schema(required)]
    last_active: Option<String>,
    created_at: String,
    updated_at: String,
    /// Why it is not running, for people.
    #[schema(required)]
    last_error: Option<String>,
    /// What WhatsApp limits on this account; `null` when nothing is known.
    #[schema(required)]
    restriction: Option<Restriction>,
    /// How many chats the account may begin; `null` where WhatsApp does not count them.
    #[schema(required)]
    new_chat_quota: Option<NewChatQuotaBody>,
    /// Whether stop, logout and force-kill apply; otherwise start does.
    engine_loaded: bool,
    /// When it was last heard of; where sessions are read, once something was heard.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    activity: Option<ActivityBody>,
    /// What it sent today, where sessions are read. An addition to OpenWA.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    sends_today: Option<DaySendsBody>,
}

/// A limit that WhatsApp put on an account.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Restriction {
    kind: String,
    code: String,
    /// OpenWA's name for the end.
    #[schema(required)]
    expires_at: Option<String>,
    /// The end, if WhatsApp said when; first messages to strangers wait until then.
    #[schema(required)]
    ends_at: Option<String>,
}

/// How many chats an account may begin.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = NewChatQuota)]
struct NewChatQuotaBody {
    used: u32,
    total: u32,
    remaining: u32,
    /// WhatsApp's own word: NONE, FIRST_WARNING, SECOND_WARNING or CAPPED.
    #[schema(required)]
    status: Option<String>,
    #[schema(required)]
    cycle_ends_at: Option<String>,
}

impl From<&NewChatQuota> for NewChatQuotaBody {
    fn from(quota: &NewChatQuota) -> Self {
        Self {
            used: quota.used,
            total: quota.total,
            remaining: quota.remaining(),
            status: quota.status.clone(),
            cycle_ends_at: quota.cycle_ends.map(Timestamp::iso),
        }
    }
}

impl From<SessionView> for SessionBody {
    fn from(view: SessionView) -> Self {
        let session = view.session;
        Self {
            id: session.id.to_string(),
            name: session.name,
            status: session.status,
            phone: session.phone.map(|phone| phone.to_string()),
            push_name: session.push_name,
            connected_at: session.connected_at.map(Timestamp::iso),
            last_active: session.last_active.map(Timestamp::iso),
            created_at: session.created_at.iso(),
            updated_at: session.updated_at.iso(),
            last_error: session.last_error,
            restriction: session.restriction.map(|restriction| Restriction {
                kind: restriction.kind,
                code: restriction.code,
                expires_at: restriction.expires_at.map(Timestamp::iso),
                ends_at: restriction.expires_at.map(Timestamp::iso),
            }),
            new_chat_quota: session.new_chat_quota.as_ref().map(NewChatQuotaBody::from),
            engine_loaded: view.engine_loaded,
            activity: None,
            sends_today: None,
        }
    }
}

/// Counts over the sessions that the caller's key sees.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SessionOverview)]
struct OverviewBody {
    total: u64,
    /// With a loaded engine.
    active: u64,
    ready: u64,
    disconnected: u64,
    /// How many are in each status; statuses without sessions are absent.
    #[schema(example = json!({"ready": 2, "disconnected": 1}))]
    by_status: std::collections::BTreeMap<&'static str, u64>,
    /// For admin keys of all sessions.
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_usage: Option<MemoryUsage>,
}

/// Memory of the process in MiB. There is no separate heap to look at, so all three are the resident memory.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct MemoryUsage {
    heap_used: u64,
    heap_total: u64,
    rss: u64,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes the path to the OpenAPI document")]
pub struct SessionPath {
    /// The id of the session.
    #[param(rename = "sessionId", example = "3b0c6f52-0c1e-4a77-9d0e-5a1f2b3c4d5e")]
    session_id: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query to the OpenAPI document")]
struct ListQuery {
    /// Only the session with exactly this name.
    #[param(nullable = false)]
    name: Option<String>,
    /// 1 to 1000; anything else counts as 1000.
    #[param(nullable = false)]
    limit: Option<u32>,
    /// Rows to skip; anything that is not a number counts as 0.
    #[param(nullable = false)]
    offset: Option<u32>,
}

/// Creates a session. It is not started.
#[utoipa::path(
    post, path = "/api/sessions", operation_id = "createSession", tag = "Sessions",
    request_body = CreateSession,
    responses(
        (status = 201, description = "Created", body = SessionBody),
        (status = 409, description = "The name is taken", body = crate::error::ErrorBody),
    ),
    security(("X-API-Key" = ["operator", "unscoped"])),
)]
async fn create(
    State(state): State<AppState>,
    caller: Caller<Unscoped<Operator>>,
    body: RawBody,
) -> Result<(StatusCode, Json<SessionBody>), ApiError> {
    if body.has("proxyUrl") && caller.key().role < Role::Admin {
        return Err(KeyRefused::Role(Role::Admin).into());
    }
    if body.size_of("config") > CONFIG_BYTES_MAX {
        return Err(ApiError::problem(format!("config must be at most {CONFIG_BYTES_MAX} bytes")));
    }
    let new: CreateSession = body.checked()?;
    let tunables = new.config.unwrap_or_default();
    let new = NewSession {
        name: new.name,
        config: SessionConfig {
            auto_reject_calls: tunables.auto_reject_calls.unwrap_or_default(),
            max_reconnect_attempts: tunables.max_reconnect_attempts,
            reconnect_base_delay_ms: tunables.reconnect_base_delay,
            default_country: settings::country(tunables.default_country.as_deref())?,
            time_zone: settings::zone(tunables.time_zone.as_deref())?,
            link_preview: tunables.link_preview.unwrap_or_default(),
        },
        proxy: settings::read_proxy(new.proxy_url.as_deref())?,
    };
    let view = state.gateway.sessions.create(new).await?;
    Ok((StatusCode::CREATED, Json(view.into())))
}

/// Lists the sessions that the caller's key sees, newest first.
#[utoipa::path(
    get, path = "/api/sessions", operation_id = "listSessions", tag = "Sessions",
    params(ListQuery),
    responses((status = 200, description = "Sessions", body = [SessionBody])),
    security(("X-API-Key" = ["viewer"])),
)]
async fn list(
    State(state): State<AppState>,
    caller: Caller<Viewer>,
    query: Query,
) -> Result<Json<Vec<SessionBody>>, ApiError> {
    let name = match query.one("name") {
        Ok(Some("")) => return Err(ApiError::problem("name should not be empty")),
        Ok(name) => name,
        Err(_) => return Err(ApiError::problem("name must be a string")),
    };
    let sessions = &state.gateway.sessions;
    let allowed = &caller.key().allowed_sessions;
    let views = if allowed.is_empty() {
        sessions.list(name, query.page()).await?
    } else {
        // Filtered before paging, so that a page is never emptier than it has to be.
        let mut views = sessions.list_among(allowed).await?;
        views.retain(|view| name.is_none_or(|name| view.session.name == name));
        slice(views, query.page())
    };
    Ok(Json(with_numbers(&state, views).await?))
}

/// Reads one session and its state.
#[utoipa::path(
    get, path = "/api/sessions/{sessionId}", operation_id = "getSession", tag = "Sessions",
    params(SessionPath),
    responses((status = 200, description = "The session", body = SessionBody)),
    security(("X-API-Key" = ["viewer"])),
)]
async fn get(
    State(state): State<AppState>,
    on: ExistingSession<Viewer>,
) -> Result<Json<SessionBody>, ApiError> {
    let bodies = with_numbers(&state, vec![on.view]).await?;
    // One session, one body.
    let body = bodies.into_iter().next();
    Ok(Json(body.ok_or_else(|| ApiError::unknown(&on.session))?))
}

/// Sessions with what is counted of them, which takes two reads however many they are.
async fn with_numbers(
    state: &AppState,
    views: Vec<SessionView>,
) -> Result<Vec<SessionBody>, ApiError> {
    let ids: Vec<SessionId> = views.iter().map(|view| view.session.id).collect();
    let activities = state.gateway.activities.of(&ids).await?;
    let sends = state.gateway.stats.sends_today(&views).await?;
    let numbers = activities.into_iter().zip(sends);
    let body = |(view, (activity, sends)): (SessionView, (Activity, DaySends))| SessionBody {
        activity: ActivityBody::of(activity),
        sends_today: Some(sends.into()),
        ..view.into()
    };
    Ok(views.into_iter().zip(numbers).map(body).collect())
}

/// Stops a session and deletes it with everything that belongs to it: keys, messages, events, webhooks.
#[utoipa::path(
    delete, path = "/api/sessions/{sessionId}", operation_id = "deleteSession", tag = "Sessions",
    params(SessionPath),
    responses((status = 204, description = "Gone")),
    security(("X-API-Key" = ["operator"])),
)]
async fn delete(
    State(state): State<AppState>,
    on: OnSession<Operator>,
) -> Result<StatusCode, ApiError> {
    if state.gateway.sessions.delete(on.session).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(ApiError::unknown(&on.session))
    }
}

/// Counts the sessions that the caller's key sees, and says how much memory the process holds.
#[utoipa::path(
    get, path = "/api/sessions/stats/overview", operation_id = "sessionOverview", tag = "Sessions",
    responses((status = 200, description = "Counts", body = OverviewBody)),
    security(("X-API-Key" = ["viewer"])),
)]
async fn overview(
    State(state): State<AppState>,
    caller: Caller<Viewer>,
) -> Result<Json<OverviewBody>, ApiError> {
    let visible = |session| caller.key().sees_session(session);
    let counts = state.gateway.sessions.overview(&visible).await?;
    let key = caller.key();
    let is_whole = key.check_role(Role::Admin).is_ok() && key.allowed_sessions.is_empty();
    let rss = (state.options.resident_bytes)() / (1024 * 1024);
    Ok(Json(OverviewBody {
        total: counts.total,
        active: counts.active,
        ready: counts.ready,
        disconnected: counts.disconnected,
        by_status: counts.by_status,
        memory_usage: is_whole.then_some(MemoryUsage { heap_used: rss, heap_total: rss, rss }),
    }))
}
