//! Webhooks: who is told what. Secrets and headers are written, never read.

use std::{cmp::Reverse, collections::BTreeMap};

use axum::{Json, extract::State, http::StatusCode};
use domain::{
    SessionId, Timestamp, WebhookId,
    event::{EventType, Subscription},
    filter::Filters,
    port::Page,
    webhook::{LaneOrder, RETRY_COUNT_DEFAULT, Secret, Webhook},
};
use gateway::webhooks::{NewWebhook, Ping, WebhookError, WebhookPatch};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    AppState,
    access::{Caller, OnSession, Operator},
    body::{Body, nullable},
    error::{ApiError, OnPath as _},
    query::{LIMIT_MAX, Query, slice},
    sessions::SessionPath,
    words::{EventWord, FieldWord, OperatorWord, OrderWord},
};

/// Every webhook of a session: the highest limit a page has.
const ALL: Page = Page { limit: LIMIT_MAX, offset: 0 };

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(get, update, delete))
        .routes(routes!(test))
        .routes(routes!(list_all))
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = CreateWebhook, example = json!({
    "url": "https://shop.example/hooks/whatsapp", "events": ["message.received", "message.ack"],
    "secret": "0123456789abcdef0123456789abcdef", "headers": {"Authorization": "Bearer shop"},
    "filters": {"conditions": [{"field": "isGroup", "operator": "is", "value": false}]}, "retryCount": 5
}))]
struct CreateWebhook {
    /// http or https, without user and password.
    #[schema(min_length = 1, max_length = 2048, format = "uri")]
    url: String,
    /// Default `["message.received"]`.
    #[schema(value_type = Option<Vec<EventWord>>, min_items = 1, nullable = false)]
    events: Option<Vec<Subscription>>,
    /// Signs each delivery: `X-OpenWA-Signature` is `sha256=<hex HMAC-SHA256(secret, body)>`.
    #[schema(min_length = 16, max_length = 255)]
    secret: Option<String>,
    /// Sent with each delivery: at most 50, names of letters, digits and hyphens.
    #[schema(nullable = false)]
    headers: Option<BTreeMap<String, String>>,
    /// Which of the events.
    #[schema(value_type = Option<WebhookFilters>)]
    filters: Option<Filters>,
    /// Total attempts, default 3; 0 and 1 are both one.
    #[schema(minimum = 0, maximum = 5, nullable = false)]
    retry_count: Option<u8>,
    /// Default `chat`. An addition to OpenWA.
    #[schema(value_type = Option<OrderWord>)]
    order: Option<LaneOrder>,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = UpdateWebhook, example = json!({"active": false}))]
struct UpdateWebhook {
    /// http or https, without user and password.
    #[schema(min_length = 1, max_length = 2048, format = "uri", nullable = false)]
    url: Option<String>,
    #[schema(value_type = Option<Vec<EventWord>>, min_items = 1, nullable = false)]
    events: Option<Vec<Subscription>>,
    /// 16 to 255 characters; an empty one or `null` clears it.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, max_length = 255, format = "secret-or-empty")]
    secret: Option<Option<String>>,
    /// Replaces all headers.
    #[schema(nullable = false)]
    headers: Option<BTreeMap<String, String>>,
    /// `null` or no conditions clear them.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<WebhookFilters>)]
    filters: Option<Option<Filters>>,
    #[schema(minimum = 0, maximum = 5, nullable = false)]
    retry_count: Option<u8>,
    /// An inactive webhook records nothing new and sends nothing.
    #[schema(nullable = false)]
    active: Option<bool>,
    #[schema(value_type = Option<OrderWord>)]
    order: Option<LaneOrder>,
}

/// Conditions on message events; all must hold.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "describes domain::filter::Filters to the OpenAPI document")]
struct WebhookFilters {
    #[schema(max_items = 20)]
    conditions: Vec<WebhookCondition>,
}

/// One condition.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "describes domain::filter::Condition to the OpenAPI document")]
struct WebhookCondition {
    #[schema(value_type = FieldWord)]
    field: String,
    #[schema(value_type = OperatorWord)]
    operator: String,
    value: ConditionValue,
    /// Whether capitals matter, for texts. Default false.
    #[schema(nullable = false)]
    case_sensitive: Option<bool>,
}

/// A text, up to 100 texts of which one has to fit, or a flag.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes domain::filter::Operand to the OpenAPI document")]
enum ConditionValue {
    One(String),
    Many(Vec<String>),
    Flag(bool),
}

/// A registered receiver. Its secret and its headers are never shown.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Webhook)]
struct WebhookBody {
    id: String,
    session_id: String,
    url: String,
    #[schema(value_type = Vec<EventWord>)]
    events: Vec<Subscription>,
    #[schema(required, value_type = Option<WebhookFilters>)]
    filters: Option<Filters>,
    active: bool,
    retry_count: u8,
    /// An addition to OpenWA.
    #[schema(value_type = OrderWord)]
    order: LaneOrder,
    /// The last delivery that succeeded.
    #[schema(required)]
    last_triggered_at: Option<String>,
    created_at: String,
    updated_at: String,
}

impl From<Webhook> for WebhookBody {
    fn from(webhook: Webhook) -> Self {
        Self {
            id: webhook.id.to_string(),
            session_id: webhook.session.to_string(),
            url: webhook.url,
            events: webhook.events,
            filters: webhook.filters,
            active: webhook.active,
            retry_count: webhook.retry_count,
            order: webhook.order,
            last_triggered_at: webhook.last_triggered_at.map(Timestamp::iso),
            created_at: webhook.created_at.iso(),
            updated_at: webhook.updated_at.iso(),
        }
    }
}

/// What became of a test delivery.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = WebhookTest, example = json!({"success": true, "statusCode": 200}))]
struct PingBody {
    success: bool,
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    status_code: Option<u16>,
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl From<Ping> for PingBody {
    fn from(ping: Ping) -> Self {
        Self { success: ping.success, status_code: ping.status_code, error: ping.error }
    }
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
    /// Rows to skip; anything that is no number counts as 0.
    #[param(nullable = false)]
    offset: Option<u32>,
}

/// Registers a webhook.
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
    let new = NewWebhook {
        url: new.url,
        events: new.events.unwrap_or_else(received),
        secret: new.secret.map(Secret::new),
        headers: new.headers.unwrap_or_default().into_iter().collect(),
        filters: new.filters.filter(|filters| !filters.conditions.is_empty()),
        retry_count: new.retry_count.unwrap_or(RETRY_COUNT_DEFAULT),
        order: new.order.unwrap_or_default(),
    };
    let webhook = state.gateway.webhooks.create(on.session, new).await;
    let webhook = webhook.map_err(|error| error.on(&on.session))?;
    Ok((StatusCode::CREATED, Json(webhook.into())))
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
    present_all(webhooks.map_err(|error| error.on(&on.session))?)
}

/// No session is named, so none can be unknown.
fn nowhere() -> SessionId {
    SessionId::from_uuid(uuid::Uuid::nil())
}

fn present_all(webhooks: Vec<Webhook>) -> Result<Json<Vec<WebhookBody>>, ApiError> {
    Ok(Json(webhooks.into_iter().map(WebhookBody::from).collect()))
}

/// Reads one webhook.
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
    let webhook = state.gateway.webhooks.get(on.session, id).await;
    Ok(Json(webhook.map_err(|error| error.on(&(on.session, id)))?.into()))
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
) -> Result<Json<WebhookBody>, ApiError> {
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
        order: change.order,
    };
    let webhook = state.gateway.webhooks.update(on.session, id, patch).await;
    Ok(Json(webhook.map_err(|error| error.on(&(on.session, id)))?.into()))
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
    let deleted = state.gateway.webhooks.delete(on.session, id).await;
    deleted.map_err(|error| error.on(&(on.session, id)))?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sends a `test` event now, once, and tells what became of it.
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
    let ping = state.gateway.webhooks.test(on.session, id).await;
    Ok(Json(ping.map_err(|error| error.on(&(on.session, id)))?.into()))
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
        return present_all(webhooks.list(None, query.page()).await.map_err(|e| e.on(&nowhere()))?);
    }
    let mut visible = Vec::new();
    for session in allowed {
        match webhooks.list(Some(*session), ALL).await {
            Ok(found) => visible.extend(found),
            // The key may outlive its sessions.
            Err(WebhookError::SessionNotFound) => {}
            Err(error) => return Err(error.on(session)),
        }
    }
    visible.sort_by_key(|webhook| Reverse(webhook.created_at));
    present_all(slice(visible, query.page()))
}
