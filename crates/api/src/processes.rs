//! The processes that share the ledger: `/api/processes`.

use axum::{Json, extract::State};
use domain::Timestamp;
use gateway::{Role, processes::ProcessView};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    AppState,
    access::{Admin, Caller, Unscoped},
    error::ApiError,
};

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list))
}

/// A process that works on the ledger.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Process)]
struct ProcessBody {
    /// The name under which it takes sessions and lanes: of one life of a process.
    #[schema(example = "waypost-0f3c2ab41d7e9a55")]
    id: String,
    /// Where the other processes ask it (`NODE_URL`).
    #[schema(required)]
    url: Option<String>,
    /// `all` runs sessions and answers the API, `worker` delivers alone. Read from what the process holds, where it is
    /// not the one that answers.
    #[schema(example = "all")]
    role: &'static str,
    /// Only of the process that answers.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'static str>,
    /// Sessions that it runs.
    sessions: u64,
    /// Lanes that it delivers just now.
    lanes: u64,
    /// Until when it may run the last of its sessions, unless it renews that.
    #[schema(required)]
    lease_until: Option<String>,
    /// Whether it is the one that answers.
    #[serde(rename = "self")]
    own: bool,
}

impl ProcessBody {
    fn of(view: ProcessView, version: &'static str) -> Self {
        let record = view.record;
        Self {
            id: record.id,
            url: record.url,
            role: match view.role {
                Role::All => "all",
                Role::Worker => "worker",
            },
            version: view.own.then_some(version),
            sessions: record.sessions,
            lanes: record.lanes,
            lease_until: record.lease_until.map(Timestamp::iso),
            own: view.own,
        }
    }
}

/// Lists the processes that share the ledger, this one first. On SQLite it is the only one. An addition to OpenWA.
#[utoipa::path(
    get, path = "/api/processes", operation_id = "listProcesses", tag = "Infrastructure",
    responses((status = 200, description = "The processes", body = [ProcessBody])),
    security(("X-API-Key" = ["admin", "unscoped"])),
)]
async fn list(
    State(state): State<AppState>,
    _: Caller<Unscoped<Admin>>,
) -> Result<Json<Vec<ProcessBody>>, ApiError> {
    let processes = state.gateway.processes.list().await?;
    let version = state.options.version;
    Ok(Json(processes.into_iter().map(|view| ProcessBody::of(view, version)).collect()))
}
