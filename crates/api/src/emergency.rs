//! What is done when something sends what it should not: all sends are paused, all other keys are revoked.

use axum::{
    Extension, Json,
    extract::State,
    http::{Method, request::Parts},
};
use domain::{Timestamp, brake::SendsPause};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    AppState,
    access::{Admin, Caller, Unscoped, Viewer, login_of},
    audit::Detail,
    body::Body,
    error::ApiError,
};

type Keeper = Caller<Unscoped<Admin>>;

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(show))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(revoke_all))
}

/// Routes of a session under which nothing goes out while all sends are paused: what follows the session.
const SENDING: [&str; 2] = ["/messages/", "/status/"];
/// What waits there, or tells nobody anything.
const NOT_REFUSED: [&str; 3] = ["/messages/send-bulk", "/messages/batch/", "/messages/star"];

/// Whether a route is refused while all sends are paused.
pub fn is_send(method: &Method, route: &str) -> bool {
    let Some(rest) = route.strip_prefix("/api/sessions/{sessionId}") else { return false };
    let is_among = |parts: &[&str]| parts.iter().any(|part| rest.starts_with(part));
    *method != Method::GET && is_among(&SENDING) && !is_among(&NOT_REFUSED)
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = PauseSends, example = json!({"reason": "An agent answers itself"}))]
struct PauseSendsBody {
    /// Why, for those who see it.
    #[schema(max_length = 200)]
    reason: Option<String>,
}

/// Whether anything may be sent.
#[derive(Serialize, ToSchema)]
#[schema(as = Sends, example = json!({
    "paused": true, "since": "2026-10-01T08:00:00.000Z", "by": "till", "reason": "An agent answers itself"
}))]
struct SendsBody {
    /// While it is true no session sends anything.
    paused: bool,
    /// When the pause began.
    #[schema(required)]
    since: Option<String>,
    /// The name of the key that asked for it.
    #[schema(required)]
    by: Option<String>,
    /// Why, in its words.
    #[schema(required)]
    reason: Option<String>,
}

impl From<Option<SendsPause>> for SendsBody {
    fn from(pause: Option<SendsPause>) -> Self {
        let paused = pause.is_some();
        let (since, by, reason) = match pause {
            Some(SendsPause { since, by, reason }) => (Some(since), Some(by), reason),
            None => (None, None, None),
        };
        Self { paused, since: since.map(Timestamp::iso), by, reason }
    }
}

/// Says whether all sends are paused. An addition to OpenWA.
#[utoipa::path(
    get, path = "/api/sends", operation_id = "getSends", tag = "Infrastructure",
    responses((status = 200, description = "Whether they are, since when, by whom and why", body = SendsBody)),
    security(("X-API-Key" = ["viewer"])),
)]
async fn show(State(state): State<AppState>, _: Caller<Viewer>) -> Json<SendsBody> {
    Json(state.gateway.brake.pause().into())
}

/// Pauses all sends of the installation, on every process and over restarts: from now on each is refused with 503
/// `SENDS_PAUSED`; batches, released approvals and what a reconnect would send again wait. What was handed to WhatsApp
/// already is not touched. A pause in force stays as it is. An addition to OpenWA.
#[utoipa::path(
    post, path = "/api/sends/pause", operation_id = "pauseSends", tag = "Infrastructure",
    request_body = PauseSendsBody,
    responses((status = 200, description = "Paused", body = SendsBody)),
    security(("X-API-Key" = ["admin", "unscoped"])),
)]
async fn pause(
    State(state): State<AppState>,
    caller: Keeper,
    Body(body): Body<PauseSendsBody>,
) -> Result<(Extension<Detail>, Json<SendsBody>), ApiError> {
    let reason = body.reason.filter(|reason| !reason.trim().is_empty());
    let detail = Extension(Detail(json!({ "reason": reason })));
    let pause = state.gateway.brake.engage(&caller.key().name, reason).await?;
    Ok((detail, Json(Some(pause).into())))
}

/// Ends the pause of all sends: what waited goes on. An addition to OpenWA.
#[utoipa::path(
    post, path = "/api/sends/resume", operation_id = "resumeSends", tag = "Infrastructure",
    responses((status = 200, description = "Sends go on", body = SendsBody)),
    security(("X-API-Key" = ["admin", "unscoped"])),
)]
async fn resume(State(state): State<AppState>, _: Keeper) -> Result<Json<SendsBody>, ApiError> {
    state.gateway.brake.release().await?;
    Ok(Json(None.into()))
}

/// What was revoked, and what stays.
#[derive(Serialize, ToSchema)]
#[schema(as = RevokedApiKeys, example = json!({"revoked": 4, "kept": ["till", "API_MASTER_KEY"]}))]
struct RevokedBody {
    /// Keys that worked and work no longer.
    revoked: u64,
    /// The names of the keys that still work: the caller's, and the one that the setting `API_MASTER_KEY` defines,
    /// which only another value of the setting revokes.
    kept: Vec<String>,
}

/// Revokes every key but the caller's and the one of the setting `API_MASTER_KEY`, and logs every browser out but the
/// caller's, in one transaction. An addition to OpenWA.
#[utoipa::path(
    post, path = "/api/auth/api-keys/revoke-all", operation_id = "revokeAllApiKeys", tag = "API keys",
    responses((status = 200, description = "Revoked", body = RevokedBody)),
    security(("X-API-Key" = ["admin", "unscoped"])),
)]
async fn revoke_all(
    State(state): State<AppState>,
    caller: Keeper,
    parts: Parts,
) -> Result<(Extension<Detail>, Json<RevokedBody>), ApiError> {
    let keys = &state.gateway.api_keys;
    let done = keys.revoke_all(caller.key(), login_of(&parts)).await?;
    let detail = Extension(Detail(json!({ "revoked": done.revoked, "kept": done.kept })));
    Ok((detail, Json(RevokedBody { revoked: done.revoked, kept: done.kept })))
}
