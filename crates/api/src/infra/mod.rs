//! The installation: how it does, its settings, its data on their way to another one.

mod installation;
mod transfer;

use std::collections::BTreeMap;

use axum::{Json, extract::State, http::StatusCode};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ObjectBuilder, RefOr,
        schema::{AdditionalProperties, Schema},
    },
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    AppState,
    access::{Admin, Caller, Unscoped},
    body::RawBody,
    error::ApiError,
};

pub use installation::{ConfigRefused, Installation, InstallationFacts, SavedConfig, ShownConfig};

/// OpenWA's word for an engine without a browser.
const ENGINE: &str = "baileys";
/// Seconds until the program answers again, as a rule.
const RESTART_SECONDS: u32 = 10;

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(status))
        .routes(routes!(engines))
        .routes(routes!(current_engine))
        .routes(routes!(update_check))
        .routes(routes!(config, save_config))
        .routes(routes!(restart))
        .merge(transfer::routes())
}

/// The program, where there is one around this API.
fn installation(state: &AppState) -> Result<&dyn Installation, ApiError> {
    state.options.installation.as_deref().ok_or_else(|| {
        ApiError::new(
            StatusCode::NOT_IMPLEMENTED,
            "This process does not manage its own installation",
        )
    })
}

impl From<ConfigRefused> for ApiError {
    fn from(error: ConfigRefused) -> Self {
        match error {
            ConfigRefused::Wrong(why) => Self::problem(why),
            ConfigRefused::Unwritten(_) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "settings were not handled"
                );
                Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "The file of changed settings cannot be used",
                )
            }
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = InfraDatabase)]
struct DatabaseBody {
    /// `sqlite` or `postgres`.
    r#type: &'static str,
    connected: bool,
}

#[derive(Serialize, ToSchema)]
#[schema(as = InfraQueue)]
struct QueueBody {
    /// Whether deliveries are handed out through Redis; without it they are claimed from the database.
    enabled: bool,
    /// Whether Redis answers; `null` without it.
    #[schema(required)]
    connected: Option<bool>,
    /// Deliveries that wait.
    pending: u64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = InfraStorage)]
struct StorageBody {
    r#type: &'static str,
    path: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = InfraSessions)]
struct SessionsBody {
    total: u64,
    active: u64,
    ready: u64,
}

/// How the installation does.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = InfraStatus)]
struct StatusBody {
    /// `ok`, or `degraded` when the database does not answer.
    status: &'static str,
    version: &'static str,
    database: DatabaseBody,
    queue: QueueBody,
    storage: StorageBody,
    sessions: SessionsBody,
    engine: EngineBody,
    /// Settings that the environment decides, by the names of their variables.
    env_pinned: Vec<String>,
}

/// Says how the installation does.
#[utoipa::path(
    get, path = "/api/infra/status", operation_id = "getInfraStatus", tag = "Infrastructure",
    responses((status = 200, description = "The parts and how they do", body = StatusBody)),
    security(("X-API-Key" = ["admin", "unscoped"])),
)]
async fn status(
    State(state): State<AppState>,
    _caller: Caller<Unscoped<Admin>>,
) -> Result<Json<StatusBody>, ApiError> {
    let facts = facts(&state);
    let overview = state.gateway.sessions.overview(&|_| true).await;
    let connected = overview.is_ok();
    let overview = overview.unwrap_or_default();
    let queue = state.gateway.metrics.queue().await;
    Ok(Json(StatusBody {
        status: if connected { "ok" } else { "degraded" },
        version: state.options.version,
        database: DatabaseBody { r#type: state.gateway.transfer.database_kind(), connected },
        queue: QueueBody {
            enabled: facts.queue,
            connected: queue.redis_up,
            pending: queue.pending,
        },
        storage: StorageBody { r#type: "local", path: facts.storage_path.clone() },
        sessions: SessionsBody {
            total: overview.total,
            active: overview.active,
            ready: overview.ready,
        },
        engine: EngineBody::of(&facts),
        env_pinned: facts.env_pinned,
    }))
}

fn facts(state: &AppState) -> InstallationFacts {
    state.options.installation.as_ref().map(|program| program.facts()).unwrap_or_default()
}

#[derive(Serialize, ToSchema)]
#[schema(as = EngineLibrary)]
struct LibraryBody {
    name: &'static str,
    version: &'static str,
}

/// A WhatsApp client that this gateway has.
#[derive(Serialize, ToSchema)]
#[schema(as = Engine)]
struct EngineBody {
    /// OpenWA's word for an engine without a browser, which this one is.
    id: &'static str,
    name: &'static str,
    enabled: bool,
    features: Vec<&'static str>,
    library: LibraryBody,
}

impl EngineBody {
    fn of(facts: &InstallationFacts) -> Self {
        let (name, version) = match facts.library {
            ("", _) => ("whatsapp-rust", ""),
            library => library,
        };
        Self {
            id: ENGINE,
            name: "Multi-device protocol, without a browser",
            enabled: true,
            features: vec!["qr", "pairing-code", "media", "groups", "polls", "history", "receipts"],
            library: LibraryBody { name, version },
        }
    }
}

/// Lists the engines: there is one.
#[utoipa::path(
    get, path = "/api/infra/engines", operation_id = "listEngines", tag = "Infrastructure",
    responses((status = 200, description = "The engine", body = [EngineBody])),
    security(("X-API-Key" = ["admin", "unscoped"])),
)]
async fn engines(
    State(state): State<AppState>,
    _caller: Caller<Unscoped<Admin>>,
) -> Result<Json<Vec<EngineBody>>, ApiError> {
    Ok(Json(vec![EngineBody::of(&facts(&state))]))
}

/// The engine that sessions run on.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = CurrentEngine)]
struct CurrentEngineBody {
    #[schema(example = "baileys")]
    engine_type: &'static str,
}

/// Names the engine that sessions run on.
#[utoipa::path(
    get, path = "/api/infra/engines/current", operation_id = "getCurrentEngine", tag = "Infrastructure",
    responses((status = 200, description = "The engine", body = CurrentEngineBody)),
    security(("X-API-Key" = ["admin", "unscoped"])),
)]
async fn current_engine(
    _caller: Caller<Unscoped<Admin>>,
) -> Result<Json<CurrentEngineBody>, ApiError> {
    Ok(Json(CurrentEngineBody { engine_type: ENGINE }))
}

/// Whether a newer version is known.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UpdateCheck)]
struct UpdateBody {
    current: &'static str,
    /// Always `null`: this gateway asks nobody about versions.
    #[schema(required)]
    latest: Option<String>,
    update_available: bool,
    #[schema(required)]
    release_url: Option<String>,
}

/// Says which version runs. Nobody outside is asked for a newer one.
#[utoipa::path(
    get, path = "/api/infra/update-check", operation_id = "checkForUpdate", tag = "Infrastructure",
    responses((status = 200, description = "The version", body = UpdateBody)),
    security(("X-API-Key" = ["admin", "unscoped"])),
)]
async fn update_check(
    State(state): State<AppState>,
    _caller: Caller<Unscoped<Admin>>,
) -> Result<Json<UpdateBody>, ApiError> {
    Ok(Json(UpdateBody {
        current: state.options.version,
        latest: None,
        update_available: false,
        release_url: None,
    }))
}

/// Settings by section and name.
pub enum ConfigChanges {}

impl PartialSchema for ConfigChanges {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .description(Some(
                "Settings by section and name, as `config` of the answer to GET shows them; or by the names of their \
                 environment variables. `null` takes an earlier change back.",
            ))
            .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(true)))
            .examples([serde_json::json!({"webhooks": {"timeout_ms": 5000}, "LOG_LEVEL": "debug"})])
            .into()
    }
}

impl ToSchema for ConfigChanges {
    fn name() -> std::borrow::Cow<'static, str> {
        "ConfigChanges".into()
    }
}

/// The settings as they are.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = InfraConfig)]
struct ConfigBody {
    /// Settings by section and name, as the configuration file writes them.
    #[schema(value_type = ConfigChanges)]
    config: Map<String, Value>,
    /// Secrets by the names of their variables: `***` where one is set.
    secrets: BTreeMap<&'static str, Option<&'static str>>,
    /// Settings that the environment decides, by the names of their variables: a change has no effect on them.
    env_pinned: Vec<String>,
    /// The file that changes are written to; the next start reads it.
    env_path: String,
    /// Settings that are other ones after the next start.
    restart_required: Vec<String>,
    /// OpenWA's container profiles; there are none.
    profiles: Vec<String>,
}

/// Reads the settings. Secrets are masked.
#[utoipa::path(
    get, path = "/api/infra/config", operation_id = "getInfraConfig", tag = "Infrastructure",
    responses(
        (status = 200, description = "The settings", body = ConfigBody),
        (status = 501, description = "This process does not manage its settings", body = crate::error::ErrorBody),
    ),
    security(("X-API-Key" = ["admin", "unscoped"])),
)]
async fn config(
    State(state): State<AppState>,
    _caller: Caller<Unscoped<Admin>>,
) -> Result<Json<ConfigBody>, ApiError> {
    let program = installation(&state)?;
    let shown = program.config()?;
    let masked = |is_set: bool| is_set.then_some("***");
    Ok(Json(ConfigBody {
        config: shown.settings,
        secrets: shown.secrets.into_iter().map(|(name, set)| (name, masked(set))).collect(),
        env_pinned: program.facts().env_pinned,
        env_path: shown.path,
        restart_required: shown.waiting,
        profiles: vec![],
    }))
}

/// What became of changed settings.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SavedInfraConfig)]
struct SavedBody {
    message: String,
    saved: bool,
    /// The file that they were written to.
    env_path: String,
    profiles: Vec<String>,
    /// Settings that are other ones after the next start.
    restart_required: Vec<String>,
    /// Changes that have no effect, because a variable of the environment wins.
    pinned: Vec<String>,
}

/// Writes changed settings down for the next start. They are checked as a whole before anything is written.
#[utoipa::path(
    put, path = "/api/infra/config", operation_id = "saveInfraConfig", tag = "Infrastructure",
    request_body = ConfigChanges,
    responses(
        (status = 200, description = "Written down", body = SavedBody),
        (status = 400, description = "An unknown setting, a value that it cannot have, or settings that do not go together", body = crate::error::ErrorBody),
        (status = 501, description = "This process does not manage its settings", body = crate::error::ErrorBody),
    ),
    security(("X-API-Key" = ["admin", "unscoped"])),
)]
async fn save_config(
    State(state): State<AppState>,
    _caller: Caller<Unscoped<Admin>>,
    body: RawBody,
) -> Result<Json<SavedBody>, ApiError> {
    let program = installation(&state)?;
    let saved = program.save(body.fields())?;
    let message = match saved.waiting.is_empty() {
        true => "Saved; nothing changes with the next start",
        false => "Saved; the changes count from the next start on",
    };
    Ok(Json(SavedBody {
        message: message.to_owned(),
        saved: true,
        env_path: program.config()?.path,
        profiles: vec![],
        restart_required: saved.waiting,
        pinned: saved.pinned,
    }))
}

/// OpenWA's container profiles; none are known here.
#[derive(serde::Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = RestartRequest)]
#[expect(dead_code, reason = "OpenWA's clients send them; there are no containers to start here")]
struct RestartRequest {
    #[schema(max_items = 100, nullable = false)]
    profiles: Option<Vec<String>>,
    #[schema(max_items = 100, nullable = false)]
    profiles_to_remove: Option<Vec<String>>,
}

/// A restart that has begun.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Restarting)]
struct RestartBody {
    message: &'static str,
    restarting: bool,
    profiles: Vec<String>,
    profiles_to_remove: Vec<String>,
    /// Seconds until it answers again, as a rule.
    estimated_time: u32,
}

/// Ends this process in order and starts it again, with the settings that are then.
#[utoipa::path(
    post, path = "/api/infra/restart", operation_id = "restart", tag = "Infrastructure",
    request_body = RestartRequest,
    responses(
        (status = 200, description = "It has begun", body = RestartBody),
        (status = 501, description = "This process does not restart itself", body = crate::error::ErrorBody),
    ),
    security(("X-API-Key" = ["admin", "unscoped"])),
)]
async fn restart(
    State(state): State<AppState>,
    _caller: Caller<Unscoped<Admin>>,
    body: RawBody,
) -> Result<Json<RestartBody>, ApiError> {
    body.checked::<RestartRequest>()?;
    installation(&state)?.restart();
    Ok(Json(RestartBody {
        message: "Restarting: what is under way is finished first",
        restarting: true,
        profiles: vec![],
        profiles_to_remove: vec![],
        estimated_time: RESTART_SECONDS,
    }))
}
