//! Instances: the providers that may call a plugin.

use axum::{Json, extract::State, http::StatusCode};
use domain::{
    SessionId,
    plugin::{Instance, PluginId},
};
use gateway::plugins::{InstancePatch, NewInstance};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::CREATED;
use crate::{
    AppState,
    access::{Admin, Caller},
    body::{Body, nullable},
    error::ApiError,
};

type Keeper = Caller<Admin>;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(get, patch, delete))
        .routes(routes!(renew))
        .routes(routes!(redrive))
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes the path to the OpenAPI document")]
struct OfPlugin {
    /// The id of the plugin.
    #[param(rename = "pluginId", example = "chatwoot-adapter")]
    plugin_id: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes the path to the OpenAPI document")]
struct OfInstance {
    /// The id of the plugin.
    #[param(rename = "pluginId", example = "chatwoot-adapter")]
    plugin_id: String,
    /// The id of the instance.
    #[param(rename = "instanceId", example = "shop")]
    instance_id: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = CreateInstance, example = json!({"instanceId": "shop", "sessionScope": "3b0c6f52-0c1e-4a77-9d0e-5a1f2b3c4d5e"}))]
struct CreateInstance {
    /// Letters, digits, dashes and underscores.
    #[schema(min_length = 1, max_length = 64)]
    instance_id: String,
    /// The only session it may act for.
    #[schema(max_length = 256)]
    session_scope: Option<String>,
    /// What a provider's challenge has to name.
    #[schema(max_length = 512)]
    verify_token: Option<String>,
    /// What calls are signed with. Made by the gateway if it is not given, and shown once.
    #[schema(min_length = 16, max_length = 512)]
    secret: Option<String>,
    config: Option<Map<String, Value>>,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = UpdateInstance, example = json!({"enabled": false}))]
struct UpdateInstance {
    #[schema(nullable = false)]
    enabled: Option<bool>,
    /// The only session it may act for; `null`: any that the plugin runs for.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, max_length = 256)]
    session_scope: Option<Option<String>>,
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<Map<String, Value>>)]
    config: Option<Option<Map<String, Value>>>,
}

/// Where a provider calls.
#[derive(Serialize, ToSchema)]
#[schema(as = IngressUrl)]
struct IngressUrl {
    route: String,
    url: String,
}

/// A provider that may call a plugin. The secret is shown when it is made, `***` afterwards.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Instance)]
struct InstanceView {
    id: String,
    plugin_id: String,
    instance_id: String,
    #[schema(required)]
    session_scope: Option<String>,
    secret: String,
    #[schema(required)]
    verify_token: Option<String>,
    #[schema(required)]
    config: Option<Map<String, Value>>,
    enabled: bool,
    created_at: String,
    updated_at: String,
    ingress_urls: Vec<IngressUrl>,
}

const MASK: &str = "***";

async fn view(
    state: &AppState,
    instance: &Instance,
    is_new: bool,
) -> Result<InstanceView, ApiError> {
    let urls = state.gateway.plugins.ingress_urls(instance).await?;
    Ok(InstanceView {
        id: format!("{}/{}", instance.plugin, instance.id),
        plugin_id: instance.plugin.to_string(),
        instance_id: instance.id.clone(),
        session_scope: instance.session.map(|session| session.to_string()),
        secret: if is_new { instance.secret.expose().to_owned() } else { MASK.into() },
        verify_token: instance.verify_token.as_ref().map(|_| MASK.into()),
        config: instance.config.clone(),
        enabled: instance.enabled,
        created_at: instance.created_at.iso(),
        updated_at: instance.updated_at.iso(),
        ingress_urls: urls.into_iter().map(|(route, url)| IngressUrl { route, url }).collect(),
    })
}

/// The session of a scope; a caller that is limited to sessions names one of its own.
fn scope(caller: &Keeper, text: Option<String>) -> Result<Option<SessionId>, ApiError> {
    let limited = !caller.key().allowed_sessions.is_empty();
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return match limited {
            true => Err(ApiError::problem(
                "sessionScope is required for a key that is limited to sessions",
            )),
            false => Ok(None),
        };
    };
    let session: SessionId =
        text.parse().map_err(|_| ApiError::problem("sessionScope must be the id of a session"))?;
    match limited && !caller.key().allowed_sessions.contains(&session) {
        true => {
            Err(ApiError::new(StatusCode::FORBIDDEN, "API key not authorized for this session"))
        }
        false => Ok(Some(session)),
    }
}

/// An instance that the caller may see.
async fn mine(state: &AppState, caller: &Keeper) -> Result<Instance, ApiError> {
    let plugin: PluginId = caller.id("pluginId")?;
    let instance = state.gateway.plugins.instance(&plugin, caller.text("instanceId")).await?;
    match sees(caller, &instance) {
        true => Ok(instance),
        false => Err(ApiError::unknown_text("Instance", &instance.id)),
    }
}

fn sees(caller: &Keeper, instance: &Instance) -> bool {
    let allowed = &caller.key().allowed_sessions;
    allowed.is_empty() || instance.session.is_some_and(|session| allowed.contains(&session))
}

/// Makes an instance.
#[utoipa::path(
    post, path = "/api/integration/plugins/{pluginId}/instances", operation_id = "createInstance", tag = "Integration",
    params(OfPlugin), request_body = CreateInstance,
    responses(
        (status = 201, description = "Made", body = InstanceView),
        (status = 409, description = "There is one of this id", body = crate::error::ErrorBody),
    ),
    security(("X-API-Key" = ["admin"])),
)]
async fn create(
    State(state): State<AppState>,
    caller: Keeper,
    Body(new): Body<CreateInstance>,
) -> Result<(StatusCode, Json<InstanceView>), ApiError> {
    let plugin: PluginId = caller.id("pluginId")?;
    let new = NewInstance {
        id: new.instance_id,
        session: scope(&caller, new.session_scope)?,
        secret: new.secret,
        verify_token: new.verify_token.filter(|token| !token.is_empty()),
        config: new.config,
    };
    let instance = state.gateway.plugins.add_instance(&plugin, new).await?;
    Ok((CREATED, Json(view(&state, &instance, true).await?)))
}

/// Lists the instances of a plugin.
#[utoipa::path(
    get, path = "/api/integration/plugins/{pluginId}/instances", operation_id = "listInstances", tag = "Integration",
    params(OfPlugin), responses((status = 200, description = "Oldest first", body = [InstanceView])),
    security(("X-API-Key" = ["admin"])),
)]
async fn list(
    State(state): State<AppState>,
    caller: Keeper,
) -> Result<Json<Vec<InstanceView>>, ApiError> {
    let instances = state.gateway.plugins.instances(&caller.id("pluginId")?).await?;
    let mut views = vec![];
    for instance in instances.iter().filter(|instance| sees(&caller, instance)) {
        views.push(view(&state, instance, false).await?);
    }
    Ok(Json(views))
}

/// Reads an instance.
#[utoipa::path(
    get, path = "/api/integration/plugins/{pluginId}/instances/{instanceId}", operation_id = "getInstance",
    tag = "Integration", params(OfInstance), responses((status = 200, description = "The instance", body = InstanceView)),
    security(("X-API-Key" = ["admin"])),
)]
async fn get(
    State(state): State<AppState>,
    caller: Keeper,
) -> Result<Json<InstanceView>, ApiError> {
    let instance = mine(&state, &caller).await?;
    Ok(Json(view(&state, &instance, false).await?))
}

/// Changes an instance.
#[utoipa::path(
    patch, path = "/api/integration/plugins/{pluginId}/instances/{instanceId}", operation_id = "updateInstance",
    tag = "Integration", params(OfInstance), request_body = UpdateInstance,
    responses((status = 200, description = "The instance", body = InstanceView)),
    security(("X-API-Key" = ["admin"])),
)]
async fn patch(
    State(state): State<AppState>,
    caller: Keeper,
    Body(new): Body<UpdateInstance>,
) -> Result<Json<InstanceView>, ApiError> {
    let instance = mine(&state, &caller).await?;
    let session = match new.session_scope {
        Some(text) => Some(scope(&caller, text)?),
        None => None,
    };
    let patch = InstancePatch { enabled: new.enabled, session, config: new.config };
    let instance =
        state.gateway.plugins.change_instance(&instance.plugin, &instance.id, patch).await?;
    Ok(Json(view(&state, &instance, false).await?))
}

/// Deletes an instance with its calls and mappings.
#[utoipa::path(
    delete, path = "/api/integration/plugins/{pluginId}/instances/{instanceId}", operation_id = "deleteInstance",
    tag = "Integration", params(OfInstance), responses((status = 204, description = "Deleted")),
    security(("X-API-Key" = ["admin"])),
)]
async fn delete(State(state): State<AppState>, caller: Keeper) -> Result<StatusCode, ApiError> {
    let instance = mine(&state, &caller).await?;
    state.gateway.plugins.delete_instance(&instance.plugin, &instance.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Gives an instance another secret, which is shown once. Calls signed with the old one are refused from now on.
#[utoipa::path(
    post, path = "/api/integration/plugins/{pluginId}/instances/{instanceId}/regenerate-secret",
    operation_id = "regenerateInstanceSecret", tag = "Integration", params(OfInstance),
    responses((status = 200, description = "The instance with its secret", body = InstanceView)),
    security(("X-API-Key" = ["admin"])),
)]
async fn renew(
    State(state): State<AppState>,
    caller: Keeper,
) -> Result<Json<InstanceView>, ApiError> {
    let instance = mine(&state, &caller).await?;
    let instance = state.gateway.plugins.renew_secret(&instance.plugin, &instance.id).await?;
    Ok(Json(view(&state, &instance, true).await?))
}

/// What became of dead calls.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RedrivenCalls)]
struct Redriven {
    /// Calls that wait again.
    redriven: u32,
    /// Calls that are still dead.
    remaining: u32,
    /// The most that go at once.
    batch_size: u32,
}

/// Lets calls that could not be handled wait again, oldest first.
#[utoipa::path(
    post, path = "/api/integration/instances/{pluginId}/{instanceId}/redrive", operation_id = "redriveInstance",
    tag = "Integration", params(OfInstance),
    responses(
        (status = 201, description = "How many", body = Redriven),
        (status = 409, description = "It is disabled", body = crate::error::ErrorBody),
    ),
    security(("X-API-Key" = ["admin"])),
)]
async fn redrive(
    State(state): State<AppState>,
    caller: Keeper,
) -> Result<(StatusCode, Json<Redriven>), ApiError> {
    let instance = mine(&state, &caller).await?;
    let (redriven, remaining, batch_size) =
        state.gateway.plugins.redrive(&instance.plugin, &instance.id).await?;
    Ok((CREATED, Json(Redriven { redriven, remaining, batch_size })))
}
