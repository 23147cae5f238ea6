//! Labels of business accounts, and the chats that have them.

use axum::{Json, extract::State};
use domain::{
    ChatId,
    label::{InvalidLabelId, Label, LabelId},
};
use gateway::labels::LabelPatch;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, IntoResponses, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    AppState,
    access::{Caller, ExistingChat, ExistingSession, InChat, OnSession, Operator, Viewer},
    body::Body,
    chats::ChatSummary,
    error::{ApiError, ErrorBody, no_such},
    messages::result::Success,
    people::{PageQuery, visible},
    query::Query,
    sessions::SessionPath,
};

pub fn routes() -> OpenApiRouter<AppState> {
    // Literal segments win over `{labelId}`.
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(of_chat, add))
        .routes(routes!(remove))
        .routes(routes!(get, put, delete))
        .routes(routes!(chats))
}

/// A label of a business account.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Label, example = json!({"id": "1", "name": "New customer", "hexColor": "#64C4FF", "color": 1}))]
struct LabelBody {
    id: String,
    name: String,
    hex_color: &'static str,
    /// The number of its colour. An addition to OpenWA.
    color: u8,
}

impl From<Label> for LabelBody {
    fn from(label: Label) -> Self {
        Self {
            id: label.id.to_string(),
            hex_color: label.hex_colour(),
            color: label.colour,
            name: label.name,
        }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = PutLabel, example = json!({"name": "New customer", "color": 1}))]
struct PutLabel {
    /// What it is called; needed for a new one.
    #[schema(min_length = 1, max_length = 100, format = "visible")]
    name: Option<String>,
    /// The number of its colour.
    #[schema(minimum = 0, maximum = 19)]
    color: Option<u8>,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = AddLabel, example = json!({"labelId": "1"}))]
struct AddLabel {
    #[schema(min_length = 1, max_length = 32)]
    label_id: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes the path to the OpenAPI document")]
struct LabelPath {
    /// The id of the session.
    #[param(rename = "sessionId", example = "3b0c6f52-0c1e-4a77-9d0e-5a1f2b3c4d5e")]
    session_id: String,
    /// WhatsApp's id of the label.
    #[param(rename = "labelId", example = "1")]
    label_id: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes the path to the OpenAPI document")]
struct LabelledChatPath {
    /// The id of the session.
    #[param(rename = "sessionId", example = "3b0c6f52-0c1e-4a77-9d0e-5a1f2b3c4d5e")]
    session_id: String,
    /// The chat, as it is or percent-encoded.
    #[param(rename = "chatId", example = "49170111@c.us")]
    chat_id: String,
    /// WhatsApp's id of the label.
    #[param(rename = "labelId", example = "1")]
    label_id: String,
}

/// What a change of labels may be refused with.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes the answers to the OpenAPI document")]
enum LabelErrors {
    #[response(
        status = 400,
        description = "A wrong body or id, a new label without a name, or a session that is not started"
    )]
    Wrong(ErrorBody),
    #[response(status = 403, description = "The key is not allowed to, or WhatsApp refused")]
    Refused(ErrorBody),
    #[response(status = 404, description = "No such session or label")]
    NotFound(ErrorBody),
    #[response(status = 409, description = "The session is not ready; try again later")]
    NotReady(ErrorBody),
    #[response(status = 422, description = "The account is no WhatsApp Business account")]
    NotBusiness(ErrorBody),
    #[response(status = 503, description = "WhatsApp did not answer")]
    Unanswered(ErrorBody),
}

/// The label of the path; a text that is no label's id names none.
fn label_of<A>(caller: &Caller<A>) -> Result<LabelId, ApiError> {
    let text = caller.text("labelId");
    text.parse().map_err(|_| no_such("Label", text))
}

fn read(text: &str) -> Result<LabelId, ApiError> {
    text.parse().map_err(|error: InvalidLabelId| ApiError::problem(error))
}

/// The chat of the path, that the key may see.
fn chat_of<A>(caller: &Caller<InChat<A>>) -> Result<ChatId, ApiError> {
    let chat = caller.chat_of_path("chatId")?;
    chat.ok_or_else(|| ApiError::problem(domain::address::InvalidChatId))
}

/// Lists the labels of the account.
#[utoipa::path(
    get, path = "/api/sessions/{sessionId}/labels", operation_id = "listLabels", tag = "Labels",
    params(SessionPath),
    responses((status = 200, description = "Labels", body = [LabelBody])),
    security(("X-API-Key" = ["viewer"])),
)]
async fn list(
    State(state): State<AppState>,
    on: ExistingSession<Viewer>,
) -> Result<Json<Vec<LabelBody>>, ApiError> {
    let labels = state.gateway.labels.list(on.session).await.map_err(ApiError::store)?;
    Ok(Json(labels.into_iter().map(LabelBody::from).collect()))
}

/// One label, by its id.
#[utoipa::path(
    get, path = "/api/sessions/{sessionId}/labels/{labelId}", operation_id = "getLabel", tag = "Labels",
    params(LabelPath),
    responses(
        (status = 200, description = "The label", body = LabelBody),
        (status = 404, description = "No such session or label", body = ErrorBody),
    ),
    security(("X-API-Key" = ["viewer"])),
)]
async fn get(
    State(state): State<AppState>,
    on: ExistingSession<Viewer>,
) -> Result<Json<LabelBody>, ApiError> {
    let id = label_of(&on.caller)?;
    let label = state.gateway.labels.get(on.session, &id).await.map_err(ApiError::store)?;
    let label = label.ok_or_else(|| no_such("Label", id.as_str()))?;
    Ok(Json(label.into()))
}

/// Lists the chats that have a label.
#[utoipa::path(
    get, path = "/api/sessions/{sessionId}/labels/{labelId}/chats", operation_id = "listChatsOfLabel", tag = "Labels",
    params(LabelPath, PageQuery),
    responses(
        (status = 200, description = "Chats; for a key that is limited to chats, only those", body = [ChatSummary]),
        (status = 404, description = "No such session or label", body = ErrorBody),
    ),
    security(("X-API-Key" = ["viewer", "chat"])),
)]
async fn chats(
    State(state): State<AppState>,
    on: ExistingSession<InChat<Viewer>>,
    query: Query,
) -> Result<Json<Vec<ChatSummary>>, ApiError> {
    let id = label_of(&on.caller)?;
    let labels = &state.gateway.labels;
    let known = labels.get(on.session, &id).await.map_err(ApiError::store)?;
    known.ok_or_else(|| no_such("Label", id.as_str()))?;
    let sees = visible(&on.caller);
    let chats = labels.chats(on.session, &id, query.page(), sees.as_deref()).await;
    let chats = chats.map_err(ApiError::store)?;
    Ok(Json(chats.into_iter().map(ChatSummary::from).collect()))
}

/// Lists the labels of a chat.
#[utoipa::path(
    get, path = "/api/sessions/{sessionId}/labels/chat/{chatId}", operation_id = "listLabelsOfChat", tag = "Labels",
    params(crate::chats::ChatPath),
    responses(
        (status = 200, description = "Labels", body = [LabelBody]),
        (status = 400, description = "Not a chat id", body = ErrorBody),
    ),
    security(("X-API-Key" = ["viewer", "chat"])),
)]
async fn of_chat(
    State(state): State<AppState>,
    on: ExistingChat<Viewer>,
) -> Result<Json<Vec<LabelBody>>, ApiError> {
    let chat = on.chat.ok_or_else(|| ApiError::problem(domain::address::InvalidChatId))?;
    let labels = state.gateway.labels.of_chat(on.session, &chat).await;
    let labels = labels.map_err(ApiError::store)?;
    Ok(Json(labels.into_iter().map(LabelBody::from).collect()))
}

/// Makes a label, or gives it another name or colour. What the body leaves out stays.
#[utoipa::path(
    put, path = "/api/sessions/{sessionId}/labels/{labelId}", operation_id = "putLabel", tag = "Labels",
    params(LabelPath), request_body = PutLabel,
    responses((status = 200, description = "Done", body = Success), LabelErrors),
    security(("X-API-Key" = ["operator"])),
)]
async fn put(
    State(state): State<AppState>,
    on: OnSession<Operator>,
    Body(body): Body<PutLabel>,
) -> Result<Json<Success>, ApiError> {
    let id = read(on.caller.text("labelId"))?;
    if body.name.is_none() && body.color.is_none() {
        return Err(ApiError::problem("name or color must be given"));
    }
    let patch = LabelPatch { name: body.name, colour: body.color };
    state.gateway.labels.put(on.session, id, patch).await?;
    Ok(Success::yes())
}

/// Deletes a label; its chats lose it.
#[utoipa::path(
    delete, path = "/api/sessions/{sessionId}/labels/{labelId}", operation_id = "deleteLabel", tag = "Labels",
    params(LabelPath),
    responses((status = 200, description = "Deleted", body = Success), LabelErrors),
    security(("X-API-Key" = ["operator"])),
)]
async fn delete(
    State(state): State<AppState>,
    on: OnSession<Operator>,
) -> Result<Json<Success>, ApiError> {
    let id = label_of(&on.caller)?;
    state.gateway.labels.delete(on.session, id).await?;
    Ok(Success::yes())
}

/// Puts a label on a chat.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/labels/chat/{chatId}", operation_id = "addLabelToChat", tag = "Labels",
    params(crate::chats::ChatPath), request_body = AddLabel,
    responses((status = 200, description = "Done", body = Success), LabelErrors),
    security(("X-API-Key" = ["operator", "chat"])),
)]
async fn add(
    State(state): State<AppState>,
    on: OnSession<InChat<Operator>>,
    Body(body): Body<AddLabel>,
) -> Result<Json<Success>, ApiError> {
    let chat = chat_of(&on.caller)?;
    let id = read(&body.label_id)?;
    state.gateway.labels.mark(on.session, &chat, id, true).await?;
    Ok(Success::yes())
}

/// Takes a label off a chat.
#[utoipa::path(
    delete, path = "/api/sessions/{sessionId}/labels/chat/{chatId}/{labelId}",
    operation_id = "removeLabelFromChat", tag = "Labels",
    params(LabelledChatPath),
    responses((status = 200, description = "Done", body = Success), LabelErrors),
    security(("X-API-Key" = ["operator", "chat"])),
)]
async fn remove(
    State(state): State<AppState>,
    on: OnSession<InChat<Operator>>,
) -> Result<Json<Success>, ApiError> {
    let chat = chat_of(&on.caller)?;
    let id = label_of(&on.caller)?;
    state.gateway.labels.mark(on.session, &chat, id, false).await?;
    Ok(Success::yes())
}
