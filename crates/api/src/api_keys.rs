//! API keys: `/api/auth/…`. Only admins whose key sees all sessions manage keys.

use axum::{Json, extract::State, http::StatusCode};
use domain::{
    ApiKeyId, ChatId, SessionId, Timestamp,
    api_key::{ApiKey, Role},
    approval::ApprovalRule,
};
use gateway::api_keys::{ApiKeyPatch, NewApiKey};
use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    AppState,
    access::{Admin, Caller, Unscoped, Viewer},
    body::{Body, nullable},
    error::ApiError,
    words::{AllowedChatText, AllowedIpText, IsoTimeText, RoleWord, SessionIdText},
};

type Keeper = Caller<Unscoped<Admin>>;

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(get, update, delete))
        .routes(routes!(revoke))
        .routes(routes!(validate))
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = CreateApiKey, example = json!({
    "name": "till", "role": "operator", "allowedSessions": ["3b0c6f52-0c1e-4a77-9d0e-5a1f2b3c4d5e"],
    "expiresAt": "2027-01-01T00:00:00.000Z"
}))]
struct CreateApiKey {
    /// A name for people to recognise it by.
    #[schema(min_length = 3, max_length = 100)]
    name: String,
    /// What the key may do. Default `operator`.
    #[schema(value_type = Option<RoleWord>)]
    role: Option<Role>,
    /// The addresses it may be used from; empty means anywhere.
    #[schema(value_type = Option<Vec<AllowedIpText>>)]
    allowed_ips: Option<Vec<AllowedIp>>,
    /// The sessions it may use; empty means all.
    #[schema(value_type = Option<std::collections::BTreeSet<SessionIdText>>)]
    allowed_sessions: Option<Vec<SessionId>>,
    /// The chats it may use; empty means all.
    #[schema(value_type = Option<std::collections::BTreeSet<AllowedChatText>>)]
    allowed_chats: Option<Vec<ChatId>>,
    /// What it may send without a person: the rest waits to be released. Default: everything.
    approval: Option<ApprovalRuleBody>,
    /// When it expires. Default: never.
    #[schema(value_type = Option<IsoTimeText>)]
    expires_at: Option<IsoTime>,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = UpdateApiKey, example = json!({"role": "viewer", "allowedSessions": [], "expiresAt": null}))]
struct UpdateApiKey {
    /// A name for people to recognise it by.
    #[schema(min_length = 3, max_length = 100)]
    name: Option<String>,
    #[schema(value_type = Option<RoleWord>)]
    role: Option<Role>,
    /// The addresses it may be used from; `[]` means anywhere.
    #[schema(value_type = Option<Vec<AllowedIpText>>)]
    allowed_ips: Option<Vec<AllowedIp>>,
    /// The sessions it may use; `[]` means all.
    #[schema(value_type = Option<std::collections::BTreeSet<SessionIdText>>)]
    allowed_sessions: Option<Vec<SessionId>>,
    /// The chats it may use; `[]` means all.
    #[schema(value_type = Option<std::collections::BTreeSet<AllowedChatText>>)]
    allowed_chats: Option<Vec<ChatId>>,
    /// What it may send without a person; `null` means everything.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<ApprovalRuleBody>)]
    approval: Option<Option<ApprovalRuleBody>>,
    /// When it expires; `null` means never.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<IsoTimeText>)]
    expires_at: Option<Option<IsoTime>>,
}

/// What an agent's key may send without a person.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = ApprovalRule)]
struct ApprovalRuleBody {
    /// Messages in a day of UTC; 0, or nothing, lets each wait.
    #[serde(default)]
    #[schema(maximum = 100000)]
    daily_budget: u32,
}

impl From<ApprovalRuleBody> for ApprovalRule {
    fn from(body: ApprovalRuleBody) -> Self {
        Self { daily_budget: body.daily_budget }
    }
}

impl From<ApprovalRule> for ApprovalRuleBody {
    fn from(rule: ApprovalRule) -> Self {
        Self { daily_budget: rule.daily_budget }
    }
}

/// An address or a range.
struct AllowedIp(IpNet);

impl<'de> Deserialize<'de> for AllowedIp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let net = text
            .parse::<IpNet>()
            .or_else(|error| text.parse::<std::net::IpAddr>().map(IpNet::from).map_err(|_| error));
        net.map(Self).map_err(serde::de::Error::custom)
    }
}

/// A time in ISO 8601.
#[derive(Clone, Copy)]
struct IsoTime(Timestamp);

impl<'de> Deserialize<'de> for IsoTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Timestamp::parse_iso(&text)
            .map(Self)
            .ok_or_else(|| serde::de::Error::custom("must be a valid ISO 8601 date string"))
    }
}

/// A key's record. Limits that are not set are absent.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ApiKey)]
struct ApiKeyBody {
    id: String,
    name: String,
    /// The first 12 characters of the key.
    #[schema(example = "owa_k1_0f3c2")]
    key_prefix: String,
    #[schema(value_type = RoleWord)]
    role: Role,
    is_active: bool,
    usage_count: u64,
    created_at: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    allowed_ips: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false, value_type = Vec<SessionIdText>)]
    allowed_sessions: Vec<SessionId>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false, value_type = Vec<AllowedChatText>)]
    allowed_chats: Vec<ChatId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    approval: Option<ApprovalRuleBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    last_used_at: Option<String>,
}

/// A new key's record with the key itself, which is shown this once.
#[derive(Serialize, ToSchema)]
#[schema(as = CreatedApiKey)]
struct CreatedApiKey {
    #[serde(flatten)]
    record: ApiKeyBody,
    /// The key. Keep it: only its hash is stored.
    #[serde(rename = "apiKey")]
    #[schema(example = "owa_k1_0f3c2ab4…")]
    api_key: String,
}

/// What the caller's key is good for.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ValidatedApiKey)]
struct Validated {
    /// Always true: a key that is not valid gets 401.
    valid: bool,
    #[schema(value_type = RoleWord)]
    role: Role,
    /// The engine that this one behaves like.
    #[schema(example = "baileys")]
    engine_type: &'static str,
    /// Whether the key is limited to some sessions.
    scoped: bool,
}

impl From<ApiKey> for ApiKeyBody {
    fn from(key: ApiKey) -> Self {
        Self {
            id: key.id.to_string(),
            name: key.name,
            key_prefix: key.prefix,
            role: key.role,
            is_active: key.active,
            usage_count: key.usage_count,
            created_at: key.created_at.iso(),
            allowed_ips: key.allowed_ips.iter().map(present_net).collect(),
            allowed_sessions: key.allowed_sessions,
            allowed_chats: key.allowed_chats,
            approval: key.approval.map(ApprovalRuleBody::from),
            expires_at: key.expires_at.map(Timestamp::iso),
            last_used_at: key.last_used_at.map(Timestamp::iso),
        }
    }
}

/// A single address without its prefix length.
fn present_net(net: &IpNet) -> String {
    if net.prefix_len() == net.max_prefix_len() { net.addr().to_string() } else { net.to_string() }
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes the path to the OpenAPI document")]
struct KeyPath {
    /// The id of the key's record.
    #[param(example = "a1d0c8c4-54f2-4a37-9f0b-7a2d9c1e5b60")]
    id: String,
}

/// Creates a key. The answer holds its text, once.
#[utoipa::path(
    post, path = "/api/auth/api-keys", operation_id = "createApiKey", tag = "API keys",
    request_body = CreateApiKey,
    responses((status = 201, description = "Created", body = CreatedApiKey)),
    security(("X-API-Key" = ["admin", "unscoped"])),
)]
async fn create(
    State(state): State<AppState>,
    _: Keeper,
    Body(new): Body<CreateApiKey>,
) -> Result<(StatusCode, Json<CreatedApiKey>), ApiError> {
    let new = NewApiKey {
        name: new.name,
        role: new.role.unwrap_or(Role::Operator),
        allowed_ips: nets(new.allowed_ips.unwrap_or_default()),
        allowed_sessions: new.allowed_sessions.unwrap_or_default(),
        allowed_chats: new.allowed_chats.unwrap_or_default(),
        approval: new.approval.map(ApprovalRule::from),
        expires_at: new.expires_at.map(|at| at.0),
    };
    let (key, text) = state.gateway.api_keys.create(new).await?;
    Ok((StatusCode::CREATED, Json(CreatedApiKey { record: key.into(), api_key: text })))
}

fn nets(ips: Vec<AllowedIp>) -> Vec<IpNet> {
    ips.into_iter().map(|ip| ip.0).collect()
}

/// Lists all keys, newest first.
#[utoipa::path(
    get, path = "/api/auth/api-keys", operation_id = "listApiKeys", tag = "API keys",
    responses((status = 200, description = "All keys", body = [ApiKeyBody])),
    security(("X-API-Key" = ["admin", "unscoped"])),
)]
async fn list(State(state): State<AppState>, _: Keeper) -> Result<Json<Vec<ApiKeyBody>>, ApiError> {
    let keys = state.gateway.api_keys.list().await?;
    Ok(Json(keys.into_iter().map(ApiKeyBody::from).collect()))
}

/// Reads one key's record.
#[utoipa::path(
    get, path = "/api/auth/api-keys/{id}", operation_id = "getApiKey", tag = "API keys",
    params(KeyPath),
    responses((status = 200, description = "The key", body = ApiKeyBody)),
    security(("X-API-Key" = ["admin", "unscoped"])),
)]
async fn get(State(state): State<AppState>, caller: Keeper) -> Result<Json<ApiKeyBody>, ApiError> {
    let id: ApiKeyId = caller.id("id")?;
    let key = state.gateway.api_keys.get(id).await?;
    Ok(Json(key.ok_or_else(|| ApiError::unknown(&id))?.into()))
}

/// Changes a key. Fields that are absent stay.
#[utoipa::path(
    put, path = "/api/auth/api-keys/{id}", operation_id = "updateApiKey", tag = "API keys",
    params(KeyPath), request_body = UpdateApiKey,
    responses(
        (status = 200, description = "The key after the change", body = ApiKeyBody),
        (status = 409, description = "It is the last key that can manage keys", body = crate::error::ErrorBody),
    ),
    security(("X-API-Key" = ["admin", "unscoped"])),
)]
async fn update(
    State(state): State<AppState>,
    caller: Keeper,
    Body(change): Body<UpdateApiKey>,
) -> Result<Json<ApiKeyBody>, ApiError> {
    let id: ApiKeyId = caller.id("id")?;
    let patch = ApiKeyPatch {
        name: change.name,
        role: change.role,
        allowed_ips: change.allowed_ips.map(nets),
        allowed_sessions: change.allowed_sessions,
        allowed_chats: change.allowed_chats,
        approval: change.approval.map(|rule| rule.map(ApprovalRule::from)),
        expires_at: change.expires_at.map(|at| at.map(|at| at.0)),
    };
    let key = state.gateway.api_keys.update(id, patch).await?;
    Ok(Json(key.into()))
}

/// Switches a key off, at once and for good. Its record stays.
#[utoipa::path(
    post, path = "/api/auth/api-keys/{id}/revoke", operation_id = "revokeApiKey", tag = "API keys",
    params(KeyPath),
    responses(
        (status = 200, description = "The key, inactive", body = ApiKeyBody),
        (status = 409, description = "It is the last key that can manage keys", body = crate::error::ErrorBody),
    ),
    security(("X-API-Key" = ["admin", "unscoped"])),
)]
async fn revoke(
    State(state): State<AppState>,
    caller: Keeper,
) -> Result<Json<ApiKeyBody>, ApiError> {
    let id: ApiKeyId = caller.id("id")?;
    let key = state.gateway.api_keys.revoke(id).await?;
    Ok(Json(key.into()))
}

/// Deletes a key and its record.
#[utoipa::path(
    delete, path = "/api/auth/api-keys/{id}", operation_id = "deleteApiKey", tag = "API keys",
    params(KeyPath),
    responses(
        (status = 204, description = "Gone"),
        (status = 409, description = "It is the last key that can manage keys", body = crate::error::ErrorBody),
    ),
    security(("X-API-Key" = ["admin", "unscoped"])),
)]
async fn delete(State(state): State<AppState>, caller: Keeper) -> Result<StatusCode, ApiError> {
    let id: ApiKeyId = caller.id("id")?;
    state.gateway.api_keys.delete(id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Says what the caller's own key may do.
#[utoipa::path(
    post, path = "/api/auth/validate", operation_id = "validateApiKey", tag = "API keys",
    responses((status = 200, description = "The key is valid", body = Validated)),
    security(("X-API-Key" = ["viewer"])),
)]
async fn validate(caller: Caller<Viewer>) -> Json<Validated> {
    let key = caller.key();
    Json(Validated {
        valid: true,
        role: key.role,
        // Message ids and features are those of OpenWA's socket engine, not of its browser engine.
        engine_type: "baileys",
        scoped: !key.allowed_sessions.is_empty(),
    })
}
