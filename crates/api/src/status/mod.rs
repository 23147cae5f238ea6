//! Statuses: WhatsApp's 24-hour posts, of the account and of others.

mod post;

pub use post::StatusResult;

use axum::{Json, extract::State, http::StatusCode, response::Response};
use domain::{
    ChatId, SessionId, WaMessageId,
    message::MessageType,
    status::{STATUS_LIFE, parse_colour},
};
use gateway::statuses::PostedStatus;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    AppState,
    access::{ExistingSession, OnSession, Operator, Viewer},
    error::{ApiError, ErrorBody, STATUS_FILE_GONE, of_status},
    media,
    sessions::SessionPath,
    words::{FileBytes, StatusKindWord},
};

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(of_person, delete))
        .routes(routes!(file))
        .routes(routes!(post::send_text))
        .routes(routes!(post::send_image))
        .routes(routes!(post::send_video))
        .routes(routes!(post::send_voice))
}

/// Who posted a status.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct StatusContact {
    id: String,
    /// As saved in the address book.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// As they call themselves.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    push_name: Option<String>,
}

/// A status of the last day.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Status, example = json!({
    "id": "3AF9C767D26B8A3F1A2B", "contact": {"id": "49170111@c.us", "pushName": "Mia"}, "type": "text",
    "caption": "Open till six", "backgroundColor": "#1E6E4F", "font": 2, "fromMe": false,
    "timestamp": "2026-10-01T08:00:00.000Z", "expiresAt": "2026-10-02T08:00:00.000Z"
}))]
struct StatusBody {
    /// WhatsApp's id of the message that it is.
    id: String,
    contact: StatusContact,
    #[schema(value_type = StatusKindWord)]
    r#type: &'static str,
    /// The text, or the text under the file.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    caption: Option<String>,
    /// Where its file is given in this API. It may have to be fetched then.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    media_url: Option<String>,
    /// The colour behind a text.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    background_color: Option<String>,
    /// The font of a text, as WhatsApp numbers them.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    font: Option<u8>,
    /// Posted by this account. An addition to OpenWA.
    from_me: bool,
    timestamp: String,
    expires_at: String,
}

/// Statuses, newest first.
#[derive(Serialize, ToSchema)]
#[schema(as = Statuses)]
struct StatusList {
    statuses: Vec<StatusBody>,
}

/// A sentence about what was done.
#[derive(Serialize, ToSchema)]
#[schema(as = StatusDeleted, example = json!({"message": "Status deleted successfully"}))]
struct StatusDeleted {
    message: &'static str,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes the path to the OpenAPI document")]
struct StatusPersonPath {
    /// The id of the session.
    #[param(rename = "sessionId", example = "3b0c6f52-0c1e-4a77-9d0e-5a1f2b3c4d5e")]
    session_id: String,
    /// Whose statuses, by number or privacy id; to delete one: WhatsApp's id of it.
    #[param(example = "49170111@c.us")]
    id: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes the path to the OpenAPI document")]
struct StatusPath {
    /// The id of the session.
    #[param(rename = "sessionId", example = "3b0c6f52-0c1e-4a77-9d0e-5a1f2b3c4d5e")]
    session_id: String,
    /// WhatsApp's id of the status.
    #[param(example = "3AF9C767D26B8A3F1A2B")]
    id: String,
}

fn shown(session: SessionId, posted: PostedStatus) -> StatusBody {
    let PostedStatus { message, by, contact, at } = posted;
    let kind = match message.kind {
        MessageType::Audio => MessageType::Voice,
        kind => kind,
    };
    let style = &message.metadata;
    let font = style["font"].as_u64().and_then(|font| u8::try_from(font).ok());
    let colour = style["backgroundColor"].as_str().filter(|text| parse_colour(text).is_some());
    let (name, push_name) =
        contact.map_or((None, None), |contact| (contact.name, contact.push_name));
    StatusBody {
        id: message.wa_id.to_string(),
        contact: StatusContact { id: by.to_string(), name, push_name },
        r#type: kind.as_str(),
        caption: message.body.filter(|body| !body.is_empty()),
        media_url: (message.kind != MessageType::Text)
            .then(|| format!("/api/sessions/{session}/status/{}/media", message.wa_id)),
        background_color: colour.map(str::to_owned),
        font,
        from_me: message.direction == domain::message::Direction::Outgoing,
        timestamp: at.iso(),
        expires_at: at.plus(STATUS_LIFE).iso(),
    }
}

async fn listed(
    state: &AppState,
    session: SessionId,
    by: Option<&ChatId>,
) -> Result<Json<StatusList>, ApiError> {
    let found = state.gateway.statuses.list(session, by).await.map_err(ApiError::store)?;
    let statuses = found.into_iter().map(|posted| shown(session, posted)).collect();
    Ok(Json(StatusList { statuses }))
}

/// Lists the statuses of the last day, of the account and of others, newest first.
#[utoipa::path(
    get, path = "/api/sessions/{sessionId}/status", operation_id = "listStatuses", tag = "Status",
    params(SessionPath),
    responses((status = 200, description = "Statuses", body = StatusList)),
    security(("X-API-Key" = ["viewer"])),
)]
async fn list(
    State(state): State<AppState>,
    on: ExistingSession<Viewer>,
) -> Result<Json<StatusList>, ApiError> {
    listed(&state, on.session, None).await
}

/// Lists the statuses that one person posted during the last day.
#[utoipa::path(
    get, path = "/api/sessions/{sessionId}/status/{id}", operation_id = "listStatusesOfPerson", tag = "Status",
    params(StatusPersonPath),
    responses(
        (status = 200, description = "Statuses", body = StatusList),
        (status = 400, description = "Not a person's id", body = ErrorBody),
    ),
    security(("X-API-Key" = ["viewer"])),
)]
async fn of_person(
    State(state): State<AppState>,
    on: ExistingSession<Viewer>,
) -> Result<Json<StatusList>, ApiError> {
    let person = on.caller.text("id").parse::<ChatId>();
    let person = person.map_err(|_| ApiError::problem("contactId must be a person's id"))?;
    listed(&state, on.session, Some(&person)).await
}

/// The file of a status. One of somebody else is fetched from WhatsApp when it is asked for the first time.
#[utoipa::path(
    get, path = "/api/sessions/{sessionId}/status/{id}/media", operation_id = "getStatusMedia", tag = "Status",
    params(StatusPath),
    responses(
        (status = 200, description = "The bytes, as what the file is", body = FileBytes, content_type = "*/*"),
        (status = 400, description = "It has to be fetched, and the session is not started", body = ErrorBody),
        (status = 404, description = "No such status any more, or no file in it", body = ErrorBody),
        (status = 409, description = "It has to be fetched, and the session is not ready", body = ErrorBody),
        (status = 503, description = "WhatsApp has not given it in time", body = ErrorBody),
    ),
    security(("X-API-Key" = ["viewer"])),
)]
async fn file(
    State(state): State<AppState>,
    on: ExistingSession<Viewer>,
) -> Result<Response, ApiError> {
    let id = WaMessageId::from_wire(on.caller.text("id"));
    let found = state.gateway.statuses.file(on.session, &id).await?;
    let gone = || ApiError::new(StatusCode::NOT_FOUND, STATUS_FILE_GONE);
    media::present(found.ok_or_else(gone)?, &id)
}

/// Takes a status of this account back, from everybody who got it.
#[utoipa::path(
    delete, path = "/api/sessions/{sessionId}/status/{id}", operation_id = "deleteStatus", tag = "Status",
    params(StatusPersonPath),
    responses(
        (status = 200, description = "Deleted", body = StatusDeleted),
        (status = 403, description = "Somebody else's status, or WhatsApp refused", body = ErrorBody),
        (status = 404, description = "No such status, or a session that is not started", body = ErrorBody),
        (status = 409, description = "The session is not ready; try again later", body = ErrorBody),
        (status = 429, description = "Too much at once", body = ErrorBody),
        (status = 503, description = "WhatsApp did not answer; whether it was deleted is not known", body = ErrorBody),
    ),
    security(("X-API-Key" = ["operator"])),
)]
async fn delete(
    State(state): State<AppState>,
    on: OnSession<Operator>,
) -> Result<Json<StatusDeleted>, ApiError> {
    let id = WaMessageId::from_wire(on.caller.text("id"));
    let done = state.gateway.messages.delete_status(on.session, id).await;
    done.map_err(|error| of_status(on.session, error))?;
    Ok(Json(StatusDeleted { message: "Status deleted successfully" }))
}
