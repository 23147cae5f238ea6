//! Who did what: the list, and the layer that writes it down.
//!
//! An action is audited when it is done and before it is answered. What it was is read from the route; who did it is
//! told by [`crate::access::Caller`] through [`Seen`].

mod actions;

use std::sync::{Arc, OnceLock};

use axum::{
    Json,
    body::Body,
    extract::{MatchedPath, Request, State},
    http::{StatusCode, header},
    middleware::Next,
    response::Response,
};
use domain::{
    ApiKeyId, SessionId,
    api_key::{ApiKey, KeyRefused},
    log::{AuditEntry, AuditQuery, Severity},
    port::Page,
};
use http_body_util::BodyExt as _;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    AppState,
    access::{Admin, Caller},
    address::client_ip,
    error::{ApiError, echo},
    forward::Forwarded,
    query::Query,
};
use actions::{SENT, action};

/// Most entries of a page, and how many there are without `limit`.
const PAGE_MAX: u32 = 200;
const PAGE_DEFAULT: u32 = 50;
/// Answers of created things are small; a larger one is not looked into.
const LOOKED_INTO_MAX: u64 = 64 * 1024;

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Where the checks of a route leave the caller's key for the audit.
#[derive(Clone, Default)]
pub struct Seen(Arc<Found>);

#[derive(Default)]
struct Found {
    key: OnceLock<ApiKey>,
    refused: OnceLock<String>,
}

impl Seen {
    /// The key was refused, and why; the route may answer all the same.
    pub fn refuse(&self, why: String) {
        let _ = self.0.refused.set(why);
    }

    /// The key was found; its rights are not checked yet.
    pub fn set(&self, key: &ApiKey) {
        // A request has one key: the first is it.
        let _ = self.0.key.set(key.clone());
    }
}

impl Seen {
    /// Says in an entry whose key it was.
    fn sign(&self, mut entry: AuditEntry) -> AuditEntry {
        if let Some(key) = self.0.key.get() {
            entry.api_key = Some(key.id);
            entry.api_key_name = Some(key.name.clone());
        }
        entry
    }
}

/// What a route says about its action, besides the answer: the entry's metadata.
#[derive(Clone)]
pub struct Detail(pub Value);

/// Writes down what a request did, if it is an action, and keys that were refused; what another process answered is
/// written down there.
pub async fn watch(State(state): State<AppState>, mut request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("", MatchedPath::as_str);
    let action = action(request.method(), route);
    let about = About::of(&request, &state);
    let seen = Seen::default();
    request.extensions_mut().insert(seen.clone());
    // Before it is deleted.
    let session_name = match about.session {
        Some(session) if action.is_some() => {
            let found = state.gateway.sessions.get(session).await.ok().flatten();
            found.map(|view| view.session.name)
        }
        _ => None,
    };
    let response = next.run(request).await;
    if response.extensions().get::<Forwarded>().is_some() {
        return response;
    }
    let status = response.status();
    if route != "/api/metrics"
        && let Some(why) = refused(&response, &seen)
    {
        let entry = state.gateway.audit.entry("api_key_auth_failed", Severity::Warn);
        let entry = AuditEntry { error_message: Some(why), ..about.fill(entry, status) };
        state.gateway.audit.note_refusal(seen.sign(entry));
        return response;
    }
    let Some(action) = action else { return response };
    let failed = status == StatusCode::BAD_GATEWAY;
    if (!status.is_success() && !failed) || response.headers().contains_key("idempotent-replayed") {
        return response;
    }
    let severity = if failed { Severity::Warn } else { Severity::Info };
    let entry = state.gateway.audit.entry(action, severity);
    let mut entry = seen.sign(AuditEntry { session_name, ..about.fill(entry, status) });
    if failed {
        entry.error_message = Some("WhatsApp did not confirm it".into());
    }
    let response = with_detail(response, &mut entry).await;
    if let Some(Detail(metadata)) = response.extensions().get() {
        entry.metadata = metadata.clone();
    }
    if action == SENT {
        state.gateway.audit.note(entry);
    } else if let Err(error) = state.gateway.audit.record(entry).await {
        // It is done: an error would make the caller do it again.
        let error = &error as &dyn std::error::Error;
        tracing::error!(error, "an action was not audited");
    }
    response
}

/// Why the caller's key was refused, if it was.
fn refused(response: &Response, seen: &Seen) -> Option<String> {
    let refused = response.extensions().get::<ApiError>().and_then(ApiError::refused_key);
    refused.or_else(|| seen.0.refused.get().cloned())
}

/// What a request says about itself.
pub struct About {
    session: Option<SessionId>,
    ip: Option<String>,
    user_agent: Option<String>,
    method: String,
    path: String,
}

impl About {
    pub fn of(request: &Request, state: &AppState) -> Self {
        let path = request.uri().path();
        let session = path.strip_prefix("/api/sessions/").and_then(|rest| rest.split('/').next());
        let agent = request.headers().get(header::USER_AGENT);
        let agent = agent.and_then(|agent| agent.to_str().ok()).map(echo);
        let method = request.method().to_string();
        let mut parts = axum::http::Request::new(()).into_parts().0;
        parts.headers = request.headers().clone();
        parts.extensions = request.extensions().clone();
        Self {
            session: session.and_then(|text| text.parse().ok()),
            ip: client_ip(&parts, &state.options.trusted_proxies).map(|ip| ip.to_string()),
            user_agent: agent,
            method,
            path: echo(path),
        }
    }

    pub fn fill(self, entry: AuditEntry, status: StatusCode) -> AuditEntry {
        AuditEntry {
            session: self.session,
            ip: self.ip,
            user_agent: self.user_agent,
            method: Some(self.method),
            path: Some(self.path),
            status_code: Some(status.as_u16()),
            ..entry
        }
    }
}

/// Takes the id and the name of a created thing out of the answer.
async fn with_detail(response: Response, entry: &mut AuditEntry) -> Response {
    use axum::body::HttpBody as _;
    let small = response.body().size_hint().upper().is_some_and(|size| size <= LOOKED_INTO_MAX);
    let made = matches!(response.status(), StatusCode::CREATED | StatusCode::ACCEPTED);
    if !made || !small {
        return response;
    }
    let (parts, body) = response.into_parts();
    // The answer is in memory already: reading it cannot fail.
    let bytes = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let created: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let text = |name: &str| created[name].as_str().map(str::to_owned);
    if entry.action == "session_created" {
        entry.session = text("id").and_then(|id| id.parse().ok());
        entry.session_name = text("name");
    } else if let Some(id) = text("messageId") {
        entry.metadata = json!({ "messageId": id });
    } else if let Some(id) = text("batchId") {
        entry.metadata = json!({ "batchId": id });
    } else if let Some(id) = text("id") {
        entry.metadata = json!({ "id": id, "name": text("name") });
    }
    Response::from_parts(parts, Body::from(bytes))
}

/// An action that was recorded, with who did it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AuditEntry)]
struct EntryBody {
    id: String,
    action: String,
    /// `info`, `warn` or `error`.
    severity: &'static str,
    #[schema(required)]
    api_key_id: Option<String>,
    #[schema(required)]
    api_key_name: Option<String>,
    #[schema(required)]
    session_id: Option<String>,
    #[schema(required)]
    session_name: Option<String>,
    #[schema(required)]
    ip_address: Option<String>,
    #[schema(required)]
    user_agent: Option<String>,
    #[schema(required)]
    method: Option<String>,
    #[schema(required)]
    path: Option<String>,
    #[schema(required)]
    status_code: Option<u16>,
    #[schema(required, value_type = Option<Object>)]
    metadata: Value,
    #[schema(required)]
    error_message: Option<String>,
    created_at: String,
}

impl From<AuditEntry> for EntryBody {
    fn from(entry: AuditEntry) -> Self {
        Self {
            id: entry.id.to_string(),
            action: entry.action,
            severity: entry.severity.as_str(),
            api_key_id: entry.api_key.map(|id| id.to_string()),
            api_key_name: entry.api_key_name,
            session_id: entry.session.map(|id| id.to_string()),
            session_name: entry.session_name,
            ip_address: entry.ip,
            user_agent: entry.user_agent,
            method: entry.method,
            path: entry.path,
            status_code: entry.status_code,
            metadata: entry.metadata,
            error_message: entry.error_message,
            created_at: entry.created_at.iso(),
        }
    }
}

/// A page of the audit.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditPage)]
struct PageBody {
    /// The entries, newest first.
    data: Vec<EntryBody>,
    /// How many match without paging.
    total: u64,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
#[expect(dead_code, reason = "describes the query to the OpenAPI document")]
struct ListQuery {
    #[param(nullable = false, example = "webhook_created")]
    action: Option<String>,
    /// `info`, `warn` or `error`.
    #[param(nullable = false)]
    severity: Option<String>,
    #[param(nullable = false)]
    session_id: Option<String>,
    #[param(nullable = false)]
    api_key_id: Option<String>,
    /// 1 to 200, default 50.
    #[param(nullable = false)]
    limit: Option<u32>,
    #[param(nullable = false)]
    offset: Option<u32>,
}

fn search(query: &Query) -> Result<AuditQuery, ApiError> {
    let one = |name: &str| {
        let value = query.one(name);
        let value = value.map_err(|_| ApiError::problem(format!("{name} must be given once")))?;
        Ok::<_, ApiError>(value.filter(|text| !text.is_empty()))
    };
    let severity = one("severity")?.map(|text| {
        let words = "severity must be one of the following values: info, warn, error";
        Severity::parse(text).ok_or_else(|| ApiError::problem(words))
    });
    let session = one("sessionId")?.map(|text| {
        text.parse::<SessionId>().map_err(|_| ApiError::problem("sessionId must be a UUID"))
    });
    let api_key = one("apiKeyId")?.map(|text| {
        text.parse::<ApiKeyId>().map_err(|_| ApiError::problem("apiKeyId must be a UUID"))
    });
    Ok(AuditQuery {
        action: one("action")?.map(str::to_owned),
        severity: severity.transpose()?,
        session: session.transpose()?,
        api_key: api_key.transpose()?,
    })
}

/// Lists what was done, newest first. A key with `allowedSessions` has to name one of them.
#[utoipa::path(
    get, path = "/api/audit", operation_id = "listAudit", tag = "Audit",
    params(ListQuery),
    responses(
        (status = 200, description = "A page", body = PageBody),
        (status = 400, description = "A wrong query", body = crate::error::ErrorBody),
    ),
    security(("X-API-Key" = ["admin"])),
)]
async fn list(
    State(state): State<AppState>,
    caller: Caller<Admin>,
    query: Query,
) -> Result<Json<PageBody>, ApiError> {
    let search = search(&query)?;
    match search.session {
        Some(session) => caller.key().check_session(session)?,
        None if caller.key().allowed_sessions.is_empty() => {}
        None => return Err(KeyRefused::Scoped.into()),
    }
    let limit = query.number("limit").filter(|limit| *limit > 0).unwrap_or(PAGE_DEFAULT);
    let page = Page { limit: limit.min(PAGE_MAX), offset: query.number("offset").unwrap_or(0) };
    let (entries, total) = state.gateway.audit.list(&search, page).await?;
    Ok(Json(PageBody { data: entries.into_iter().map(EntryBody::from).collect(), total }))
}
