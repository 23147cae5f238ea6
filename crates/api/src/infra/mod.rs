//! The installation: how it does, its settings, its data on their way to another one.

mod config;
mod installation;
mod transfer;

use axum::{Json, extract::State, http::StatusCode};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    AppState,
    access::{Admin, Caller, Unscoped},
    error::ApiError,
};

pub use installation::{ConfigRefused, Installation, InstallationFacts, SavedConfig, ShownConfig};

/// OpenWA's word for an engine without a browser.
const ENGINE: &str = "baileys";

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(status))
        .routes(routes!(engines))
        .routes(routes!(current_engine))
        .routes(routes!(update_check))
        .merge(config::routes())
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
struct InstallationStatusBody {
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
    responses((status = 200, description = "The parts and how they do", body = InstallationStatusBody)),
    security(("X-API-Key" = ["admin", "unscoped"])),
)]
async fn status(
    State(state): State<AppState>,
    _caller: Caller<Unscoped<Admin>>,
) -> Result<Json<InstallationStatusBody>, ApiError> {
    let facts = facts(&state);
    let overview = state.gateway.sessions.overview(&|_| true).await;
    let connected = overview.is_ok();
    let overview = overview.unwrap_or_default();
    let queue = state.gateway.metrics.queue().await;
    Ok(Json(InstallationStatusBody {
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
