//! Sends that wait for a person: the routes about them, and the fence around keys whose sends wait.
//!
//! A send of such a key is checked as every other, then put aside by [`hold_unless_in_budget`] and answered with 202.
//! When
//! it is released, the same request is made again inside the process, by [`perform`]: as the key's, with [`Released`].
//! Everything else that such a key could change by itself is closed to it by [`fence_agent`].

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Body,
    extract::{MatchedPath, State},
    http::{Method, Request, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use domain::{
    ApprovalId, Timestamp,
    api_key::{ApiKey, KeyRefused},
    approval::{Approval, ApprovalAnswer, ApprovalRule, ApprovalState},
    port::ApprovalQuery,
};
use gateway::{
    approvals::{ApprovalError, NewApproval, Performed},
    messages::SendError,
};
use http_body_util::BodyExt as _;
use serde::Serialize;
use serde_json::{Value, json};
use tower::ServiceExt as _;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    AppState,
    access::{Caller, Operator, Viewer},
    error::ApiError,
    query::Query,
};

/// Longest request that is put aside; a file has to be a URL.
const REQUEST_BYTES_MAX: usize = 1024 * 1024;
/// Sends that can wait: what follows `/messages/` in their route.
const SENDS: [&str; 12] = [
    "forward",
    "reply",
    "send-audio",
    "send-contact",
    "send-document",
    "send-image",
    "send-location",
    "send-poll",
    "send-sticker",
    "send-template",
    "send-text",
    "send-video",
];
/// What an agent may do by itself although it is no read: nobody is told anything.
const HARMLESS: [&str; 7] = [
    // Its browser logs out.
    "/api/auth/session",
    "/api/auth/validate",
    "/api/sessions/{sessionId}/chats/read",
    "/api/sessions/{sessionId}/chats/typing",
    "/api/sessions/{sessionId}/chats/unread",
    "/api/sessions/{sessionId}/presence/subscribe",
    "/mcp",
];

/// A request that was released: it is this key's, which showed itself when it was put aside. Only this process can say
/// so.
#[derive(Clone)]
pub struct Released(pub ApiKey);

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(get))
        .routes(routes!(release))
        .routes(routes!(refuse))
}

/// Closes to a key whose sends wait what could reach people without waiting: a new route is closed until it is named
/// here.
pub fn fence_agent(parts: &Parts, key: &ApiKey) -> Result<(), ApiError> {
    if key.approval.is_none() || [Method::GET, Method::HEAD].contains(&parts.method) {
        return Ok(());
    }
    let route = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
    if HARMLESS.contains(&route) || can_wait(route) {
        return Ok(());
    }
    let sentence = "What this key does needs an approval, and this route cannot wait for one";
    Err(ApiError::new(StatusCode::FORBIDDEN, sentence).with_code("APPROVAL_REQUIRED"))
}

/// Whether a route makes a send that can wait for a person.
pub fn can_wait(route: &str) -> bool {
    let send = route.strip_prefix("/api/sessions/{sessionId}/messages/");
    send.is_some_and(|send| SENDS.contains(&send))
}

/// Puts a send aside, unless the key's budget of the day allows it; the answer, if it does not go on.
pub async fn hold_unless_in_budget(
    state: &AppState,
    key: &ApiKey,
    rule: ApprovalRule,
    new: NewApproval,
) -> Option<Response> {
    let approvals = &state.gateway.approvals;
    if rule.daily_budget > 0 && state.gateway.brake.pause().is_some() {
        // It would be refused further on, and have cost a place of the day.
        return Some(ApiError::from(SendError::SendsPaused).into_response());
    }
    match approvals.take_budget(key.id, rule).await {
        Ok(true) => return None,
        Ok(false) => {}
        Err(error) => return Some(ApiError::store(error).into_response()),
    }
    if new.request.len() > REQUEST_BYTES_MAX {
        return Some(ApiError::too_large().into_response());
    }
    let answer = match approvals.hold(key, new).await {
        Ok(approval) => (StatusCode::ACCEPTED, Json(ApprovalBody::from(approval))).into_response(),
        Err(error) => ApiError::from(error).into_response(),
    };
    Some(answer)
}

impl From<ApprovalError> for ApiError {
    fn from(error: ApprovalError) -> Self {
        match error {
            ApprovalError::SessionNotFound(id) => Self::unknown(&id),
            ApprovalError::NotFound(id) => Self::unknown(&id),
            ApprovalError::Decided(_) => Self::new(StatusCode::CONFLICT, error.to_string()),
            ApprovalError::TooMany => Self::new(StatusCode::TOO_MANY_REQUESTS, error.to_string())
                .with_code("APPROVALS_MAX"),
            ApprovalError::KeyReused => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string())
                    .with_code("IDEMPOTENCY_KEY_REUSED")
            }
            ApprovalError::Store(error) => Self::store(error),
        }
    }
}

/// Lets what is released go out through these routes.
pub fn perform(state: &AppState, routes: Router) {
    let keys = state.gateway.api_keys.clone();
    state.gateway.approvals.perform_with(Arc::new(move |approval| {
        let (keys, routes) = (keys.clone(), routes.clone());
        Box::pin(async move {
            match keys.get(approval.key).await {
                Ok(Some(key)) => make(routes, key, approval).await,
                Ok(None) => {
                    ended(StatusCode::UNAUTHORIZED, json!({ "message": "The key is gone" }))
                }
                Err(_) => Performed::NotYet,
            }
        })
    }));
}

/// Makes the request that waited.
async fn make(routes: Router, key: ApiKey, approval: Approval) -> Performed {
    let path = format!("/api/sessions/{}/messages/{}", approval.session, approval.route);
    let request = Request::post(path)
        .header(header::CONTENT_TYPE, "application/json")
        .header("idempotency-key", approval.id.to_string())
        .extension(Released(key))
        .body(Body::from(approval.request));
    let Ok(request) = request else { return Performed::NotYet };
    let response = routes.oneshot(request).await.unwrap_or_else(|never| match never {});
    let status = response.status();
    // It is in memory already: reading it cannot fail.
    let body = response.into_body().collect().await.map(|body| body.to_bytes());
    let body = serde_json::from_slice(&body.unwrap_or_default()).unwrap_or_default();
    match status {
        StatusCode::CONFLICT
        | StatusCode::REQUEST_TIMEOUT
        | StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Performed::NotYet,
        status => ended(status, body),
    }
}

fn ended(status: StatusCode, body: Value) -> Performed {
    Performed::Ended(ApprovalAnswer { status: status.as_u16(), body })
}

/// A send that waits, or waited, for a person.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Approval)]
pub struct ApprovalBody {
    #[schema(example = "apr_7a510c7e-0b8f-4c0e-9a3e-4f0a8a662f10")]
    id: String,
    /// `held`, `released`, `refused`, `sent` or `failed`.
    status: &'static str,
    session_id: String,
    #[schema(required)]
    chat_id: Option<String>,
    /// Which send it is: the last part of its route.
    #[schema(example = "send-text")]
    route: String,
    /// What was asked; null when it has ended.
    #[schema(required, value_type = Option<Object>)]
    request: Value,
    api_key_id: String,
    api_key_name: String,
    created_at: String,
    #[schema(required)]
    decided_at: Option<String>,
    /// The name of the key that released or refused it.
    #[schema(required)]
    decided_by: Option<String>,
    /// What the route answered when it was released.
    #[schema(required)]
    answer: Option<ApprovalAnswerBody>,
}

/// What became of a released send.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ApprovalAnswer)]
struct ApprovalAnswerBody {
    status_code: u16,
    #[schema(value_type = Object)]
    body: Value,
}

impl From<Approval> for ApprovalBody {
    fn from(approval: Approval) -> Self {
        let decided = approval.decided;
        Self {
            id: approval.id.to_string(),
            status: approval.state.as_str(),
            session_id: approval.session.to_string(),
            chat_id: approval.chat.map(|chat| chat.to_string()),
            route: approval.route,
            request: serde_json::from_str(&approval.request).unwrap_or_default(),
            api_key_id: approval.key.to_string(),
            api_key_name: approval.key_name,
            created_at: approval.created_at.iso(),
            decided_at: decided.as_ref().map(|decision| decision.at).map(Timestamp::iso),
            decided_by: decided.map(|decision| decision.by),
            answer: approval
                .answer
                .map(|answer| ApprovalAnswerBody { status_code: answer.status, body: answer.body }),
        }
    }
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
#[expect(dead_code, reason = "describes the query to the OpenAPI document")]
struct ApprovalListQuery {
    /// `held`, `released`, `refused`, `sent` or `failed`.
    #[param(nullable = false)]
    status: Option<String>,
    #[param(nullable = false)]
    session_id: Option<String>,
    #[param(nullable = false)]
    api_key_id: Option<String>,
    /// 1 to 1000, default 1000.
    #[param(nullable = false)]
    limit: Option<u32>,
    #[param(nullable = false)]
    offset: Option<u32>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes the path to the OpenAPI document")]
struct ApprovalPath {
    /// The id of the approval.
    #[param(example = "apr_7a510c7e-0b8f-4c0e-9a3e-4f0a8a662f10")]
    id: String,
}

fn search(key: &ApiKey, query: &Query) -> Result<ApprovalQuery, ApiError> {
    let one = |name: &str| {
        let value = query.one(name);
        let value = value.map_err(|_| ApiError::problem(format!("{name} must be given once")))?;
        Ok::<_, ApiError>(value.filter(|text| !text.is_empty()))
    };
    let session = one("sessionId")?.map(str::parse).transpose();
    let session = session.map_err(|_| ApiError::problem("sessionId must be a UUID"))?;
    match session {
        Some(session) => key.check_session(session)?,
        None if key.allowed_sessions.is_empty() => {}
        None => return Err(KeyRefused::Scoped.into()),
    }
    let of_key = one("apiKeyId")?.map(str::parse).transpose();
    let of_key = of_key.map_err(|_| ApiError::problem("apiKeyId must be a UUID"))?;
    let state = one("status")?.map(|text| {
        let words =
            "status must be one of the following values: held, released, refused, sent, failed";
        ApprovalState::parse(text).ok_or_else(|| ApiError::problem(words))
    });
    // An agent sees what it asked for itself.
    let of_key = if key.approval.is_some() { Some(key.id) } else { of_key };
    Ok(ApprovalQuery { session, state: state.transpose()?, key: of_key })
}

/// One that the caller may see.
async fn visible<A>(state: &AppState, caller: &Caller<A>) -> Result<Approval, ApiError> {
    let (key, id) = (caller.key(), caller.id::<ApprovalId>("id")?);
    let found = state.gateway.approvals.get(id).await?;
    let own = |approval: &Approval| key.approval.is_none() || approval.key == key.id;
    let approval = found.filter(own).ok_or_else(|| ApiError::unknown(&id))?;
    key.check_session(approval.session)?;
    Ok(approval)
}

/// Lists what agents wanted to send, newest first. A key with `allowedSessions` has to name one of them; a key whose
/// own sends wait sees its own.
#[utoipa::path(
    get, path = "/api/approvals", operation_id = "listApprovals", tag = "Approvals",
    params(ApprovalListQuery),
    responses(
        (status = 200, description = "A page", body = [ApprovalBody]),
        (status = 400, description = "A wrong query", body = crate::error::ErrorBody),
    ),
    security(("X-API-Key" = ["viewer"])),
)]
async fn list(
    State(state): State<AppState>,
    caller: Caller<Viewer>,
    query: Query,
) -> Result<Json<Vec<ApprovalBody>>, ApiError> {
    let search = search(caller.key(), &query)?;
    let found = state.gateway.approvals.list(&search, query.page()).await?;
    Ok(Json(found.into_iter().map(ApprovalBody::from).collect()))
}

/// Reads one approval, with what it would send.
#[utoipa::path(
    get, path = "/api/approvals/{id}", operation_id = "getApproval", tag = "Approvals",
    params(ApprovalPath),
    responses((status = 200, description = "The approval", body = ApprovalBody)),
    security(("X-API-Key" = ["viewer"])),
)]
async fn get(
    State(state): State<AppState>,
    caller: Caller<Viewer>,
) -> Result<Json<ApprovalBody>, ApiError> {
    Ok(Json(visible(&state, &caller).await?.into()))
}

/// Lets a send that waits go out. It goes out once, as soon as its session is connected.
#[utoipa::path(
    post, path = "/api/approvals/{id}/release", operation_id = "releaseApproval", tag = "Approvals",
    params(ApprovalPath),
    responses(
        (status = 200, description = "It is on its way", body = ApprovalBody),
        (status = 409, description = "It was released or refused before", body = crate::error::ErrorBody),
    ),
    security(("X-API-Key" = ["operator"])),
)]
async fn release(
    State(state): State<AppState>,
    caller: Caller<Operator>,
) -> Result<Json<ApprovalBody>, ApiError> {
    decide(&state, &caller, ApprovalState::Released).await
}

/// Refuses a send that waits: it never goes out.
#[utoipa::path(
    post, path = "/api/approvals/{id}/refuse", operation_id = "refuseApproval", tag = "Approvals",
    params(ApprovalPath),
    responses(
        (status = 200, description = "It never goes out", body = ApprovalBody),
        (status = 409, description = "It was released or refused before", body = crate::error::ErrorBody),
    ),
    security(("X-API-Key" = ["operator"])),
)]
async fn refuse(
    State(state): State<AppState>,
    caller: Caller<Operator>,
) -> Result<Json<ApprovalBody>, ApiError> {
    decide(&state, &caller, ApprovalState::Refused).await
}

async fn decide(
    state: &AppState,
    caller: &Caller<Operator>,
    word: ApprovalState,
) -> Result<Json<ApprovalBody>, ApiError> {
    let approval = visible(state, caller).await?;
    let decided = state.gateway.approvals.decide(approval.id, word, &caller.key().name).await?;
    Ok(Json(decided.into()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn what_can_wait_and_what_is_harmless_are_routes() {
        let document = serde_json::to_value(crate::openapi()).unwrap();
        let posts: BTreeSet<&String> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .filter(|(_, item)| item.get("post").is_some())
            .map(|(path, _)| path)
            .collect();
        for send in SENDS {
            let path = format!("/api/sessions/{{sessionId}}/messages/{send}");
            assert!(posts.contains(&path), "{path}");
        }
        // Subscribing to presences comes with its route.
        let known = HARMLESS.iter().filter(|path| posts.contains(&(**path).to_owned()));
        assert!(known.count() >= HARMLESS.len() - 1);
    }
}
