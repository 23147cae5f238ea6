//! Plugins: `/api/plugins/…`, their providers `/api/integration/…`, and the providers' own calls `/api/ingress/…`.

mod ingress;
mod instances;
mod upload;

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use domain::{
    SessionId,
    plugin::{Plugin, PluginId},
};
use gateway::plugins::PluginState;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    AppState,
    access::{Admin, Caller, Unscoped},
    body::Body,
    error::{ApiError, Named},
};

type Keeper = Caller<Unscoped<Admin>>;

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(catalog))
        .routes(routes!(get, delete))
        .routes(routes!(config_page))
        .routes(routes!(health))
        .routes(routes!(enable))
        .routes(routes!(disable))
        .routes(routes!(configure))
        .routes(routes!(configure_session))
        .routes(routes!(activate))
        .merge(upload::routes())
        .merge(instances::routes())
        .merge(ingress::routes())
}

impl Named for PluginId {
    const KIND: &'static str = "Plugin";
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes the path to the OpenAPI document")]
struct PluginPath {
    /// The id of the plugin.
    #[param(example = "faq-bot")]
    id: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes the path to the OpenAPI document")]
struct PluginSessionPath {
    /// The id of the plugin.
    #[param(example = "faq-bot")]
    id: String,
    /// The id of the session.
    #[param(rename = "sessionId", example = "3b0c6f52-0c1e-4a77-9d0e-5a1f2b3c4d5e")]
    session_id: String,
}

/// An installed plugin. Secrets of its configuration are shown as `***`.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Plugin)]
struct PluginBody {
    #[schema(example = "faq-bot")]
    id: String,
    name: String,
    version: String,
    /// The only type: `extension`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// `installed`, `enabled`, `disabled`, or `error`: wanted, and does not run.
    #[schema(example = "enabled")]
    status: &'static str,
    config: Map<String, Value>,
    /// What single sessions have instead, by session.
    session_config: Map<String, Value>,
    built_in: bool,
    provides: Vec<String>,
    permissions: Vec<&'static str>,
    ingress_capable: bool,
    session_scoped: bool,
    /// The sessions it runs for; `*` is every one.
    active_sessions: Vec<String>,
    /// Its handlers: `{ event, priority, onFailure }`.
    hooks: Vec<Value>,
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    author: Option<String>,
    #[serde(skip_serializing_if = "Value::is_null")]
    #[schema(required = false)]
    config_schema: Value,
    #[serde(skip_serializing_if = "Value::is_null")]
    #[schema(required = false)]
    config_ui: Value,
    #[serde(skip_serializing_if = "Value::is_null")]
    #[schema(required = false)]
    i18n: Value,
    loaded_at: String,
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    enabled_at: Option<String>,
    /// Why it does not run, or why it could not be enabled.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

fn shown(plugin: &Plugin, (state, error): (PluginState, Option<String>)) -> PluginBody {
    let manifest = &plugin.manifest;
    let schema = manifest.schema();
    let own = plugin.session_configs.iter();
    let own = own.map(|(session, config)| (session.to_string(), schema.masked(config).into()));
    PluginBody {
        id: plugin.id.to_string(),
        name: manifest.name.clone(),
        version: manifest.version.clone(),
        kind: "extension",
        status: state.as_str(),
        config: schema.masked(&plugin.config),
        session_config: own.collect(),
        built_in: false,
        provides: manifest.provides(),
        permissions: manifest.permissions.iter().map(|permission| permission.as_str()).collect(),
        ingress_capable: !manifest.ingress.is_empty(),
        session_scoped: manifest.session_scoped,
        active_sessions: match &plugin.sessions {
            None => vec!["*".into()],
            Some(sessions) => sessions.iter().map(SessionId::to_string).collect(),
        },
        hooks: plugin
            .hooks
            .iter()
            .map(|hook| {
                json!({
                    "event": hook.point.as_str(), "priority": hook.priority, "onFailure": hook.on_failure.as_str(),
                })
            })
            .collect(),
        description: manifest.description().map(str::to_owned),
        author: manifest.author().map(str::to_owned),
        config_schema: manifest.raw["configSchema"].clone(),
        config_ui: manifest.raw["configUi"].clone(),
        i18n: manifest.raw["i18n"].clone(),
        loaded_at: plugin.installed_at.iso(),
        enabled_at: plugin.enabled_at.map(|at| at.iso()),
        error,
    }
}

fn answer(state: &AppState, plugin: &Plugin) -> Json<PluginBody> {
    Json(shown(plugin, state.gateway.plugins.state(plugin)))
}

/// That something was done.
#[derive(Serialize, ToSchema)]
#[schema(as = PluginDone)]
struct Done {
    success: bool,
    message: String,
}

fn done(message: String) -> Json<Done> {
    Json(Done { success: true, message })
}

/// Lists the installed plugins.
#[utoipa::path(
    get, path = "/api/plugins", operation_id = "listPlugins", tag = "Plugins",
    responses((status = 200, description = "Plugins, by id", body = [PluginBody])),
    security(("X-API-Key" = ["admin"])),
)]
async fn list(State(state): State<AppState>, _: Keeper) -> Result<Json<Vec<PluginBody>>, ApiError> {
    let plugins = state.gateway.plugins.list().await?;
    Ok(Json(
        plugins.iter().map(|plugin| shown(plugin, state.gateway.plugins.state(plugin))).collect(),
    ))
}

/// Lists plugins that could be installed. Waypost follows no catalogue of others: the list is empty; install by
/// upload or URL.
#[utoipa::path(
    get, path = "/api/plugins/catalog", operation_id = "listPluginCatalog", tag = "Plugins",
    responses((status = 200, description = "Nothing", body = Vec<Value>)),
    security(("X-API-Key" = ["admin"])),
)]
async fn catalog(_: Keeper) -> Json<Vec<Value>> {
    Json(vec![])
}

/// Reads a plugin.
#[utoipa::path(
    get, path = "/api/plugins/{id}", operation_id = "getPlugin", tag = "Plugins", params(PluginPath),
    responses((status = 200, description = "The plugin", body = PluginBody)),
    security(("X-API-Key" = ["admin"])),
)]
async fn get(State(state): State<AppState>, caller: Keeper) -> Result<Json<PluginBody>, ApiError> {
    let plugin = state.gateway.plugins.found(&caller.id("id")?).await?;
    Ok(answer(&state, &plugin))
}

/// Deletes a plugin with its configuration, its storage and its instances.
#[utoipa::path(
    delete, path = "/api/plugins/{id}", operation_id = "deletePlugin", tag = "Plugins", params(PluginPath),
    responses((status = 200, description = "Deleted", body = Done)),
    security(("X-API-Key" = ["admin"])),
)]
async fn delete(State(state): State<AppState>, caller: Keeper) -> Result<Json<Done>, ApiError> {
    let id: PluginId = caller.id("id")?;
    state.gateway.plugins.delete(&id).await?;
    Ok(done(format!("Plugin {id} deleted")))
}

/// The page on which a plugin is configured, where it brings one. It has no access to this API.
#[utoipa::path(
    get, path = "/api/plugins/{id}/config-ui", operation_id = "getPluginConfigPage", tag = "Plugins", params(PluginPath),
    responses((status = 200, description = "The page", body = String, content_type = "text/html")),
    security(("X-API-Key" = ["admin"])),
)]
async fn config_page(State(state): State<AppState>, caller: Keeper) -> Result<Response, ApiError> {
    let id: PluginId = caller.id("id")?;
    let page = state.gateway.plugins.config_page(&id).await?;
    let page =
        page.ok_or_else(|| ApiError::unknown_text("Configuration page of plugin", id.as_str()))?;
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        // A stranger's page: scripts may run in it, in an origin of its own and without a network.
        (
            header::CONTENT_SECURITY_POLICY,
            "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:",
        ),
    ];
    Ok((headers, page).into_response())
}

/// Asks a plugin how it is.
#[utoipa::path(
    get, path = "/api/plugins/{id}/health", operation_id = "getPluginHealth", tag = "Plugins", params(PluginPath),
    responses((status = 200, description = "`{healthy, message?}`", body = Value)),
    security(("X-API-Key" = ["admin"])),
)]
async fn health(State(state): State<AppState>, caller: Keeper) -> Result<Json<Value>, ApiError> {
    Ok(Json(state.gateway.plugins.health(&caller.id("id")?).await?))
}

/// Enables a plugin: it is started once to see that it works, and stays enabled over restarts.
#[utoipa::path(
    post, path = "/api/plugins/{id}/enable", operation_id = "enablePlugin", tag = "Plugins", params(PluginPath),
    responses((status = 200, description = "Enabled", body = Done)),
    security(("X-API-Key" = ["admin"])),
)]
async fn enable(State(state): State<AppState>, caller: Keeper) -> Result<Json<Done>, ApiError> {
    let id: PluginId = caller.id("id")?;
    state.gateway.plugins.enable(&id).await?;
    Ok(done(format!("Plugin {id} enabled")))
}

/// Disables a plugin.
#[utoipa::path(
    post, path = "/api/plugins/{id}/disable", operation_id = "disablePlugin", tag = "Plugins", params(PluginPath),
    responses((status = 200, description = "Disabled", body = Done)),
    security(("X-API-Key" = ["admin"])),
)]
async fn disable(State(state): State<AppState>, caller: Keeper) -> Result<Json<Done>, ApiError> {
    let id: PluginId = caller.id("id")?;
    state.gateway.plugins.disable(&id).await?;
    Ok(done(format!("Plugin {id} disabled")))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ConfigurePlugin, example = json!({"config": {"greeting": "hello", "apiToken": "***"}}))]
struct ConfigurePlugin {
    /// The whole configuration. `***` keeps a secret, `null` removes a field.
    config: Map<String, Value>,
}

/// Sets the configuration of all sessions.
#[utoipa::path(
    put, path = "/api/plugins/{id}/config", operation_id = "configurePlugin", tag = "Plugins", params(PluginPath),
    request_body = ConfigurePlugin,
    responses((status = 200, description = "The plugin", body = PluginBody)),
    security(("X-API-Key" = ["admin"])),
)]
async fn configure(
    State(state): State<AppState>,
    caller: Keeper,
    Body(new): Body<ConfigurePlugin>,
) -> Result<Json<PluginBody>, ApiError> {
    let plugin = state.gateway.plugins.configure(&caller.id("id")?, &new.config).await?;
    Ok(answer(&state, &plugin))
}

/// Sets what one session has instead, field by field; an empty configuration removes it.
#[utoipa::path(
    put, path = "/api/plugins/{id}/config/{sessionId}", operation_id = "configurePluginSession", tag = "Plugins",
    params(PluginSessionPath), request_body = ConfigurePlugin,
    responses((status = 200, description = "The plugin", body = PluginBody)),
    security(("X-API-Key" = ["admin"])),
)]
async fn configure_session(
    State(state): State<AppState>,
    caller: Caller<Admin>,
    Body(new): Body<ConfigurePlugin>,
) -> Result<Json<PluginBody>, ApiError> {
    let (id, session) = (caller.id("id")?, caller.id::<SessionId>("sessionId")?);
    let plugin = state.gateway.plugins.configure_session(&id, session, &new.config).await?;
    Ok(answer(&state, &plugin))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ActivatePlugin, example = json!({"sessions": ["3b0c6f52-0c1e-4a77-9d0e-5a1f2b3c4d5e"]}))]
struct ActivatePlugin {
    /// Ids of sessions, or `*` for every one.
    #[schema(max_items = 10000, value_type = Vec<String>)]
    sessions: Vec<String>,
}

/// Chooses the sessions that a plugin runs for.
#[utoipa::path(
    put, path = "/api/plugins/{id}/sessions", operation_id = "activatePlugin", tag = "Plugins", params(PluginPath),
    request_body = ActivatePlugin,
    responses((status = 200, description = "The plugin", body = PluginBody)),
    security(("X-API-Key" = ["admin"])),
)]
async fn activate(
    State(state): State<AppState>,
    caller: Keeper,
    Body(new): Body<ActivatePlugin>,
) -> Result<Json<PluginBody>, ApiError> {
    let sessions = match new.sessions.iter().any(|session| session == "*") {
        true => None,
        false => {
            let parsed = new.sessions.iter().map(|session| session.parse().map_err(|_| session));
            let parsed: Result<Vec<SessionId>, _> = parsed.collect();
            Some(parsed.map_err(|bad| {
                ApiError::problem(format!("sessions: {bad:?} is no id of a session, nor *"))
            })?)
        }
    };
    let plugin = state.gateway.plugins.activate(&caller.id("id")?, sessions).await?;
    Ok(answer(&state, &plugin))
}

const CREATED: StatusCode = StatusCode::CREATED;
