//! Webhooks: who receives which events. Secrets and headers are written, never read.

#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod ping;
mod shapes;

pub use shapes::WebhookFilters;

use axum::{Extension, Json, extract::State, http::StatusCode};
use domain::{
    WebhookId,
    delivery::PolicyChoice,
    event::{EventType, Subscription},
    filter::Filters,
    webhook::{Secret, Webhook},
};
use gateway::webhooks::{Changed, Moved, NewWebhook, WebhookPatch};
use ping::PingBody;
use serde_json::json;
use shapes::{CreateWebhook, PolicyBody, UpdateWebhook, WebhookBody};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    AppState,
    access::{Caller, OnSession, Operator},
    audit::Detail,
    body::Body,
    error::ApiError,
    query::{Query, slice},
    sessions::SessionPath,
};

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(get, update, delete))
        .routes(routes!(test))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(list_all))
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes the path to the OpenAPI document")]
struct WebhookPath {
    /// The id of the session.
    #[param(rename = "sessionId", example = "3b0c6f52-0c1e-4a77-9d0e-5a1f2b3c4d5e")]
    session_id: String,
    /// The id of the webhook.
    #[param(example = "7f1f6a5c-0b8f-4c0e-9a3e-4f0a8a662f10")]
    id: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query to the OpenAPI document")]
struct ListQuery {
    /// 1 to 1000; anything else counts as 1000.
    #[param(nullable = false)]
    limit: Option<u32>,
    /// Rows to skip; anything that is not a number counts as 0.
    #[param(nullable = false)]
    offset: Option<u32>,
}

/// Registers a webhook for events of the session.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/webhooks", operation_id = "createWebhook", tag = "Webhooks",
    params(SessionPath), request_body = CreateWebhook,
    responses((status = 201, description = "Registered", body = WebhookBody)),
    security(("X-API-Key" = ["operator"])),
)]
async fn create(
    State(state): State<AppState>,
    on: OnSession<Operator>,
    Body(new): Body<CreateWebhook>,
) -> Result<(StatusCode, Json<WebhookBody>), ApiError> {
    let received = || vec![Subscription::One(EventType::MessageReceived)];
    let order = new.policy.as_ref().and_then(PolicyBody::order);
    let new = NewWebhook {
        url: new.url,
        events: new.events.unwrap_or_else(received),
        secret: new.secret.map(Secret::new),
        headers: new.headers.unwrap_or_default().into_iter().collect(),
        filters: new.filters.filter(|filters| !filters.conditions.is_empty()),
        retry_count: new.retry_count,
        order: new.order.or(order).unwrap_or_default(),
        policy: new.policy.map(PolicyChoice::from).unwrap_or_default(),
        tls_ca: new.tls_ca,
    };
    let webhook = state.gateway.webhooks.create(on.session, new).await?;
    Ok((StatusCode::CREATED, Json(present(&state, webhook))))
}

/// Lists the webhooks of a session, newest first.
#[utoipa::path(
    get, path = "/api/sessions/{sessionId}/webhooks", operation_id = "listSessionWebhooks", tag = "Webhooks",
    params(SessionPath),
    responses((status = 200, description = "Webhooks", body = [WebhookBody])),
    security(("X-API-Key" = ["operator"])),
)]
async fn list(
    State(state): State<AppState>,
    on: OnSession<Operator>,
    query: Query,
) -> Result<Json<Vec<WebhookBody>>, ApiError> {
    let webhooks = state.gateway.webhooks.list(Some(on.session), query.page()).await;
    Ok(present_all(&state, webhooks?))
}

fn present(state: &AppState, webhook: Webhook) -> WebhookBody {
    WebhookBody::of(webhook, state.gateway.webhooks.policy_defaults())
}

fn present_all(state: &AppState, webhooks: Vec<Webhook>) -> Json<Vec<WebhookBody>> {
    Json(webhooks.into_iter().map(|webhook| present(state, webhook)).collect())
}

/// Reads one webhook of the session.
#[utoipa::path(
    get, path = "/api/sessions/{sessionId}/webhooks/{id}", operation_id = "getWebhook", tag = "Webhooks",
    params(WebhookPath),
    responses((status = 200, description = "The webhook", body = WebhookBody)),
    security(("X-API-Key" = ["operator"])),
)]
async fn get(
    State(state): State<AppState>,
    on: OnSession<Operator>,
) -> Result<Json<WebhookBody>, ApiError> {
    let id: WebhookId = on.caller.id("id")?;
    let webhook = state.gateway.webhooks.get(on.session, id).await?;
    Ok(Json(present(&state, webhook)))
}

/// Changes a webhook. Fields that are absent stay; deliveries that wait use the new values.
#[utoipa::path(
    put, path = "/api/sessions/{sessionId}/webhooks/{id}", operation_id = "updateWebhook", tag = "Webhooks",
    params(WebhookPath), request_body = UpdateWebhook,
    responses((status = 200, description = "The webhook after the change", body = WebhookBody)),
    security(("X-API-Key" = ["operator"])),
)]
async fn update(
    State(state): State<AppState>,
    on: OnSession<Operator>,
    Body(change): Body<UpdateWebhook>,
) -> Result<(Option<Extension<Detail>>, Json<WebhookBody>), ApiError> {
    let id: WebhookId = on.caller.id("id")?;
    let set = |secret: Option<String>| secret.filter(|text| !text.is_empty()).map(Secret::new);
    let kept = |filters: Option<Filters>| filters.filter(|filters| !filters.conditions.is_empty());
    let patch = WebhookPatch {
        url: change.url,
        events: change.events,
        secret: change.secret.map(set),
        headers: change.headers.map(|headers| headers.into_iter().collect()),
        filters: change.filters.map(kept),
        retry_count: change.retry_count,
        active: change.active,
        order: change.order.or(change.policy.as_ref().and_then(PolicyBody::order)),
        policy: change.policy.map(PolicyChoice::from),
        tls_ca: change.tls_ca.map(|text| text.filter(|text| !text.is_empty())),
    };
    let changed = state.gateway.webhooks.change(on.session, id, patch).await;
    let Changed { webhook, moved } = changed?;
    // Who turned the events to another receiver is asked later.
    let detail = moved.map(|Moved { from, to }| {
        Extension(Detail(json!({ "id": id.to_string(), "from": from, "to": to })))
    });
    Ok((detail, Json(present(&state, webhook))))
}

/// Deletes a webhook with the deliveries that wait for it.
#[utoipa::path(
    delete, path = "/api/sessions/{sessionId}/webhooks/{id}", operation_id = "deleteWebhook", tag = "Webhooks",
    params(WebhookPath),
    responses((status = 204, description = "Gone")),
    security(("X-API-Key" = ["operator"])),
)]
async fn delete(
    State(state): State<AppState>,
    on: OnSession<Operator>,
) -> Result<StatusCode, ApiError> {
    let id: WebhookId = on.caller.id("id")?;
    state.gateway.webhooks.delete(on.session, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sends a `test` event now, once, and says what became of it.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/webhooks/{id}/test", operation_id = "testWebhook", tag = "Webhooks",
    params(WebhookPath),
    responses((status = 200, description = "Tried; `success` says how it went", body = PingBody)),
    security(("X-API-Key" = ["operator"])),
)]
async fn test(
    State(state): State<AppState>,
    on: OnSession<Operator>,
) -> Result<Json<PingBody>, ApiError> {
    let id: WebhookId = on.caller.id("id")?;
    let ping = state.gateway.webhooks.test(on.session, id).await?;
    Ok(Json(ping.into()))
}

/// Holds everything back from now on. Events are recorded for the webhook and wait. An addition to OpenWA.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/webhooks/{id}/pause", operation_id = "pauseWebhook", tag = "Webhooks",
    params(WebhookPath),
    responses((status = 200, description = "Paused", body = WebhookBody)),
    security(("X-API-Key" = ["operator"])),
)]
async fn pause(
    State(state): State<AppState>,
    on: OnSession<Operator>,
) -> Result<Json<WebhookBody>, ApiError> {
    let id: WebhookId = on.caller.id("id")?;
    let webhook = state.gateway.webhooks.pause(on.session, id).await?;
    Ok(Json(present(&state, webhook)))
}

/// Ends a pause, also one that days without a success began; what waits leaves in order. An addition to OpenWA.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/webhooks/{id}/resume", operation_id = "resumeWebhook", tag = "Webhooks",
    params(WebhookPath),
    responses((status = 200, description = "Resumed", body = WebhookBody)),
    security(("X-API-Key" = ["operator"])),
)]
async fn resume(
    State(state): State<AppState>,
    on: OnSession<Operator>,
) -> Result<Json<WebhookBody>, ApiError> {
    let id: WebhookId = on.caller.id("id")?;
    let webhook = state.gateway.webhooks.resume(on.session, id).await?;
    Ok(Json(present(&state, webhook)))
}

/// Lists all webhooks of the sessions that the caller's key sees, newest first.
#[utoipa::path(
    get, path = "/api/webhooks", operation_id = "listWebhooks", tag = "Webhooks",
    params(ListQuery),
    responses((status = 200, description = "Webhooks", body = [WebhookBody])),
    security(("X-API-Key" = ["operator"])),
)]
async fn list_all(
    State(state): State<AppState>,
    caller: Caller<Operator>,
    query: Query,
) -> Result<Json<Vec<WebhookBody>>, ApiError> {
    let webhooks = &state.gateway.webhooks;
    let allowed = &caller.key().allowed_sessions;
    if allowed.is_empty() {
        let all = webhooks.list(None, query.page()).await;
        return Ok(present_all(&state, all?));
    }
    let visible = webhooks.list_among(allowed).await?;
    Ok(present_all(&state, slice(visible, query.page())))
}
