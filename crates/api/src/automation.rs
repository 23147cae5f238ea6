//! Automation rules: answers that a session gives by itself.

use std::time::Duration;

use axum::{Json, extract::State, http::StatusCode};
use domain::{
    AutomationRuleId,
    automation::{AutomationRule, COOLDOWN_DEFAULT},
    filter::Filters,
};
use gateway::automation::{AutomationError, NewRule, RulePatch};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    AppState,
    access::{OnSession, Operator},
    body::{Body, nullable},
    error::ApiError,
    sessions::SessionPath,
    webhooks::WebhookFilters,
};

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(get, update, delete))
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = CreateAutomationRule, example = json!({
    "name": "opening hours", "replyText": "We are open from nine to six.", "cooldownSeconds": 3600,
    "conditions": {"conditions": [{"field": "body", "operator": "contains", "value": ["open", "hours"]}]}
}))]
struct CreateAutomationRule {
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// What the rule answers with.
    #[schema(min_length = 1, max_length = 4096, format = "visible")]
    reply_text: String,
    /// Which messages are answered; without it every message of a chat with one person. A group is answered only when
    /// a condition asks for groups: `isGroup`, `kind`, or `chatId` with a group's id.
    #[serde(default)]
    #[schema(value_type = Option<WebhookFilters>)]
    conditions: Option<Filters>,
    /// Seconds between two answers of the rule in one chat. Default 60.
    #[schema(maximum = 86_400, nullable = false)]
    cooldown_seconds: Option<u32>,
    /// Whether it answers; default true.
    #[schema(nullable = false)]
    enabled: Option<bool>,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = UpdateAutomationRule, example = json!({"enabled": false}))]
struct UpdateAutomationRule {
    #[schema(min_length = 1, max_length = 100, nullable = false)]
    name: Option<String>,
    #[schema(min_length = 1, max_length = 4096, format = "visible", nullable = false)]
    reply_text: Option<String>,
    /// `null`, or an empty list, answers every message again.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<WebhookFilters>)]
    conditions: Option<Option<Filters>>,
    #[schema(maximum = 86_400, nullable = false)]
    cooldown_seconds: Option<u32>,
    #[schema(nullable = false)]
    enabled: Option<bool>,
}

/// An answer that a session gives by itself.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AutomationRule)]
struct RuleBody {
    id: String,
    session_id: String,
    name: String,
    enabled: bool,
    #[schema(required, value_type = Option<WebhookFilters>)]
    conditions: Option<Filters>,
    reply_text: String,
    cooldown_seconds: u64,
    created_at: String,
    updated_at: String,
}

impl From<AutomationRule> for RuleBody {
    fn from(rule: AutomationRule) -> Self {
        Self {
            id: rule.id.to_string(),
            session_id: rule.session.to_string(),
            name: rule.name,
            enabled: rule.enabled,
            conditions: rule.conditions,
            reply_text: rule.reply_text,
            cooldown_seconds: rule.cooldown.as_secs(),
            created_at: rule.created_at.iso(),
            updated_at: rule.updated_at.iso(),
        }
    }
}

impl From<AutomationError> for ApiError {
    fn from(error: AutomationError) -> Self {
        match error {
            AutomationError::SessionNotFound(session) => Self::unknown(&session),
            AutomationError::NotFound(rule) => Self::unknown(&rule),
            AutomationError::TooMany(_) => Self::bad_request(error.to_string()),
            AutomationError::Conditions(why) => {
                Self::problem(why.to_string().replace("filters.", "conditions."))
            }
            AutomationError::Unshown(why) => Self::problem(why),
            AutomationError::Store(error) => Self::store(error),
        }
    }
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes the path to the OpenAPI document")]
struct RulePath {
    /// The id of the session.
    #[param(rename = "sessionId", example = "3b0c6f52-0c1e-4a77-9d0e-5a1f2b3c4d5e")]
    session_id: String,
    /// The id of the rule.
    #[param(rename = "ruleId", example = "7f1f6a5c-0b8f-4c0e-9a3e-4f0a8a662f10")]
    rule_id: String,
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}

/// Stores an automation rule.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/automation-rules", operation_id = "createAutomationRule",
    tag = "Automation", params(SessionPath), request_body = CreateAutomationRule,
    responses(
        (status = 201, description = "Stored", body = RuleBody),
        (status = 400, description = "A wrong body, or too many rules", body = crate::error::ErrorBody),
    ),
    security(("X-API-Key" = ["operator"])),
)]
async fn create(
    State(state): State<AppState>,
    on: OnSession<Operator>,
    Body(new): Body<CreateAutomationRule>,
) -> Result<(StatusCode, Json<RuleBody>), ApiError> {
    let new = NewRule {
        name: new.name,
        enabled: new.enabled.unwrap_or(true),
        conditions: new.conditions,
        reply_text: new.reply_text,
        cooldown: seconds(new.cooldown_seconds.unwrap_or(COOLDOWN_DEFAULT)),
    };
    let rule = state.gateway.automation.create(on.session, new).await?;
    Ok((StatusCode::CREATED, Json(rule.into())))
}

/// Lists the automation rules of a session, newest first.
#[utoipa::path(
    get, path = "/api/sessions/{sessionId}/automation-rules", operation_id = "listAutomationRules", tag = "Automation",
    params(SessionPath),
    responses((status = 200, description = "Rules", body = [RuleBody])),
    security(("X-API-Key" = ["operator"])),
)]
async fn list(
    State(state): State<AppState>,
    on: OnSession<Operator>,
) -> Result<Json<Vec<RuleBody>>, ApiError> {
    let rules = state.gateway.automation.list(on.session).await?;
    Ok(Json(rules.into_iter().map(RuleBody::from).collect()))
}

/// Reads one automation rule.
#[utoipa::path(
    get, path = "/api/sessions/{sessionId}/automation-rules/{ruleId}", operation_id = "getAutomationRule",
    tag = "Automation", params(RulePath),
    responses((status = 200, description = "The rule", body = RuleBody)),
    security(("X-API-Key" = ["operator"])),
)]
async fn get(
    State(state): State<AppState>,
    on: OnSession<Operator>,
) -> Result<Json<RuleBody>, ApiError> {
    let id: AutomationRuleId = on.caller.id("ruleId")?;
    Ok(Json(state.gateway.automation.get(on.session, id).await?.into()))
}

/// Changes an automation rule. Fields that are absent stay.
#[utoipa::path(
    put, path = "/api/sessions/{sessionId}/automation-rules/{ruleId}", operation_id = "updateAutomationRule",
    tag = "Automation", params(RulePath), request_body = UpdateAutomationRule,
    responses((status = 200, description = "The rule after the change", body = RuleBody)),
    security(("X-API-Key" = ["operator"])),
)]
async fn update(
    State(state): State<AppState>,
    on: OnSession<Operator>,
    Body(change): Body<UpdateAutomationRule>,
) -> Result<Json<RuleBody>, ApiError> {
    let id: AutomationRuleId = on.caller.id("ruleId")?;
    let patch = RulePatch {
        name: change.name,
        enabled: change.enabled,
        conditions: change.conditions,
        reply_text: change.reply_text,
        cooldown: change.cooldown_seconds.map(seconds),
    };
    Ok(Json(state.gateway.automation.update(on.session, id, patch).await?.into()))
}

/// Deletes an automation rule.
#[utoipa::path(
    delete, path = "/api/sessions/{sessionId}/automation-rules/{ruleId}", operation_id = "deleteAutomationRule",
    tag = "Automation", params(RulePath),
    responses((status = 204, description = "Gone")),
    security(("X-API-Key" = ["operator"])),
)]
async fn delete(
    State(state): State<AppState>,
    on: OnSession<Operator>,
) -> Result<StatusCode, ApiError> {
    let id: AutomationRuleId = on.caller.id("ruleId")?;
    state.gateway.automation.delete(on.session, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
