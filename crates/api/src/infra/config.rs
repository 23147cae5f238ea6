//! The settings, as far as the API shows and changes them, and the restart that makes changes count.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
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

use super::installation;
use crate::{
    AppState,
    access::{Admin, Caller, Unscoped},
    body::RawBody,
    error::ApiError,
};

/// Seconds until the program answers again, as a rule.
const RESTART_SECONDS: u32 = 10;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(config, save_config)).routes(routes!(restart))
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
struct InfraConfigBody {
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
        (status = 200, description = "The settings", body = InfraConfigBody),
        (status = 501, description = "This process does not manage its settings", body = crate::error::ErrorBody),
    ),
    security(("X-API-Key" = ["admin", "unscoped"])),
)]
async fn config(
    State(state): State<AppState>,
    _caller: Caller<Unscoped<Admin>>,
) -> Result<Json<InfraConfigBody>, ApiError> {
    let program = installation(&state)?;
    let shown = program.config()?;
    let masked = |is_set: bool| is_set.then_some("***");
    Ok(Json(InfraConfigBody {
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
        (status = 400, description = "An unknown setting, or a wrong value", body = crate::error::ErrorBody),
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
