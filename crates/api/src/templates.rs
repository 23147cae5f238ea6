//! Templates: stored texts with placeholders.

use axum::{Json, extract::State, http::StatusCode};
use domain::{TemplateId, template::Template};
use gateway::templates::{NewTemplate, TemplatePatch};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    AppState,
    access::{OnSession, Operator},
    body::{Body, nullable},
    error::{ApiError, ErrorBody},
    sessions::SessionPath,
};

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(get, update, delete))
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = CreateTemplate, example = json!({
    "name": "ready", "header": "Hello {{name}}", "body": "Your {{what}} is ready.", "footer": "Corner Bakery"
}))]
struct CreateTemplate {
    /// Unique in the session.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// The text. What stands in `{{double braces}}` is a placeholder, and `{name}` where there is such a variable;
    /// `\{` is a plain brace.
    #[schema(min_length = 1, max_length = 4096, format = "visible")]
    body: String,
    /// The line above the text.
    #[schema(max_length = 1024)]
    header: Option<String>,
    /// The line below the text.
    #[schema(max_length = 1024)]
    footer: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = UpdateTemplate, example = json!({"body": "Your {{what}} waits for you.", "footer": null}))]
struct UpdateTemplate {
    /// Unique in the session.
    #[schema(min_length = 1, max_length = 100, nullable = false)]
    name: Option<String>,
    #[schema(min_length = 1, max_length = 4096, format = "visible", nullable = false)]
    body: Option<String>,
    /// The line above the text; `null` removes it.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, max_length = 1024)]
    header: Option<Option<String>>,
    /// The line below the text; `null` removes it.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, max_length = 1024)]
    footer: Option<Option<String>>,
}

/// A stored text with placeholders. It is sent as header, body and footer with blank lines between them.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Template, example = json!({
    "id": "7f1f6a5c-0b8f-4c0e-9a3e-4f0a8a662f10", "sessionId": "3b0c6f52-0c1e-4a77-9d0e-5a1f2b3c4d5e", "name": "ready",
    "body": "Your {{what}} is ready.", "header": "Hello {{name}}", "footer": null,
    "createdAt": "2026-10-01T08:00:00.000Z", "updatedAt": "2026-10-01T08:00:00.000Z"
}))]
struct TemplateBody {
    id: String,
    session_id: String,
    name: String,
    body: String,
    #[schema(required)]
    header: Option<String>,
    #[schema(required)]
    footer: Option<String>,
    created_at: String,
    updated_at: String,
}

impl From<Template> for TemplateBody {
    fn from(template: Template) -> Self {
        Self {
            id: template.id.to_string(),
            session_id: template.session.to_string(),
            name: template.name,
            body: template.body,
            header: template.header,
            footer: template.footer,
            created_at: template.created_at.iso(),
            updated_at: template.updated_at.iso(),
        }
    }
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes the path to the OpenAPI document")]
struct TemplatePath {
    /// The id of the session.
    #[param(rename = "sessionId", example = "3b0c6f52-0c1e-4a77-9d0e-5a1f2b3c4d5e")]
    session_id: String,
    /// The id of the template.
    #[param(example = "7f1f6a5c-0b8f-4c0e-9a3e-4f0a8a662f10")]
    id: String,
}

/// Another template has the name.
#[derive(utoipa::IntoResponses)]
#[response(status = 409, description = "Another template of the session has this name")]
#[expect(dead_code, reason = "describes the answer to the OpenAPI document")]
struct NameTaken(ErrorBody);

fn kept(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// Stores a template in the session.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/templates", operation_id = "createTemplate", tag = "Templates",
    params(SessionPath), request_body = CreateTemplate,
    responses((status = 201, description = "Stored", body = TemplateBody), NameTaken),
    security(("X-API-Key" = ["operator"])),
)]
async fn create(
    State(state): State<AppState>,
    on: OnSession<Operator>,
    Body(new): Body<CreateTemplate>,
) -> Result<(StatusCode, Json<TemplateBody>), ApiError> {
    let new = NewTemplate {
        name: new.name,
        body: new.body,
        header: kept(new.header),
        footer: kept(new.footer),
    };
    let template = state.gateway.templates.create(on.session, new).await?;
    Ok((StatusCode::CREATED, Json(template.into())))
}

/// Lists the templates of a session, newest first.
#[utoipa::path(
    get, path = "/api/sessions/{sessionId}/templates", operation_id = "listTemplates", tag = "Templates",
    params(SessionPath),
    responses((status = 200, description = "Templates", body = [TemplateBody])),
    security(("X-API-Key" = ["operator"])),
)]
async fn list(
    State(state): State<AppState>,
    on: OnSession<Operator>,
) -> Result<Json<Vec<TemplateBody>>, ApiError> {
    let templates = state.gateway.templates.list(on.session).await?;
    Ok(Json(templates.into_iter().map(TemplateBody::from).collect()))
}

/// Reads one template of the session.
#[utoipa::path(
    get, path = "/api/sessions/{sessionId}/templates/{id}", operation_id = "getTemplate", tag = "Templates",
    params(TemplatePath),
    responses((status = 200, description = "The template", body = TemplateBody)),
    security(("X-API-Key" = ["operator"])),
)]
async fn get(
    State(state): State<AppState>,
    on: OnSession<Operator>,
) -> Result<Json<TemplateBody>, ApiError> {
    let id: TemplateId = on.caller.id("id")?;
    let template = state.gateway.templates.get(on.session, id).await?;
    Ok(Json(template.into()))
}

/// Changes a template. Fields that are absent stay.
#[utoipa::path(
    put, path = "/api/sessions/{sessionId}/templates/{id}", operation_id = "updateTemplate", tag = "Templates",
    params(TemplatePath), request_body = UpdateTemplate,
    responses((status = 200, description = "The template after the change", body = TemplateBody), NameTaken),
    security(("X-API-Key" = ["operator"])),
)]
async fn update(
    State(state): State<AppState>,
    on: OnSession<Operator>,
    Body(change): Body<UpdateTemplate>,
) -> Result<Json<TemplateBody>, ApiError> {
    let id: TemplateId = on.caller.id("id")?;
    let patch = TemplatePatch {
        name: change.name,
        body: change.body,
        header: change.header.map(kept),
        footer: change.footer.map(kept),
    };
    let template = state.gateway.templates.update(on.session, id, patch).await?;
    Ok(Json(template.into()))
}

/// Deletes a template of the session.
#[utoipa::path(
    delete, path = "/api/sessions/{sessionId}/templates/{id}", operation_id = "deleteTemplate", tag = "Templates",
    params(TemplatePath),
    responses((status = 204, description = "Gone")),
    security(("X-API-Key" = ["operator"])),
)]
async fn delete(
    State(state): State<AppState>,
    on: OnSession<Operator>,
) -> Result<StatusCode, ApiError> {
    let id: TemplateId = on.caller.id("id")?;
    state.gateway.templates.delete(on.session, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
