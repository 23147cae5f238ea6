//! Presences: whose is watched, what was seen last, and what the account shows of itself.

use axum::{Json, extract::State};
use domain::{ChatId, presence::PresenceOf};
use gateway::presence::LastPresence;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    AppState,
    access::{ChatBody, ExistingChat, OnSession, Operator, Viewer},
    body::Body,
    chats::ChatPath,
    error::ApiError,
    messages::result::Success,
    people::{ActionErrors, DoneAnswer},
    sessions::SessionPath,
    words::{ChatText, PresenceWord},
};

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(subscribe)).routes(routes!(get)).routes(routes!(set))
}

/// Whose presence is watched.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = SubscribePresence, example = json!({"chatId": "49170111@c.us"}))]
struct SubscribePresenceBody {
    #[schema(value_type = ChatText)]
    chat_id: ChatId,
}

/// What the account shows of itself.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SetPresence, example = json!({"available": true}))]
struct SetPresenceBody {
    available: bool,
}

/// What a person was seen doing.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PresenceParticipant)]
struct ParticipantBody {
    id: String,
    #[schema(value_type = PresenceWord)]
    state: &'static str,
    /// When they were online last, epoch seconds, where they show it.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    last_seen: Option<i64>,
}

/// What was seen in a chat last.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Presence, example = json!({
    "chatId": "49170111@c.us", "participants": [{"id": "49170111@c.us", "state": "composing"}],
    "observedAt": "2026-10-01T08:00:00.000Z"
}))]
struct PresenceBody {
    chat_id: String,
    participants: Vec<ParticipantBody>,
    /// When the last of it was heard, ISO 8601.
    observed_at: String,
}

impl From<PresenceOf> for ParticipantBody {
    fn from(of: PresenceOf) -> Self {
        Self { id: of.person.to_string(), state: of.state.as_str(), last_seen: of.last_seen }
    }
}

/// Asks WhatsApp to tell the presence of a chat: as `presence.update`, and on request. It holds over every reconnect.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/presence/subscribe", operation_id = "subscribePresence", tag = "Presence",
    params(SessionPath), request_body = SubscribePresenceBody, responses(DoneAnswer, ActionErrors),
    security(("X-API-Key" = ["operator", "chat"])),
)]
async fn subscribe(
    State(state): State<AppState>,
    on: ChatBody<SubscribePresenceBody>,
) -> Result<Json<Success>, ApiError> {
    state.gateway.people.watch_presence(on.session, &on.body.chat_id).await?;
    Ok(Success::yes())
}

/// Reads what was seen in a chat last; `null` when nothing was.
#[utoipa::path(
    get, path = "/api/sessions/{sessionId}/presence/{chatId}", operation_id = "getPresence", tag = "Presence",
    params(ChatPath),
    responses(
        (status = 200, description = "The last presence, or null", body = Option<PresenceBody>),
        (status = 400, description = "Not the id of a chat", body = crate::error::ErrorBody),
    ),
    security(("X-API-Key" = ["viewer", "chat"])),
)]
async fn get(
    State(state): State<AppState>,
    on: ExistingChat<Viewer>,
) -> Result<Json<Option<PresenceBody>>, ApiError> {
    let sentence = "chatId must look like <phone>@c.us, <id>@g.us or <id>@lid";
    let chat = on.chat.ok_or_else(|| ApiError::problem(sentence))?;
    let last = state.gateway.people.last_presence(on.session, &chat).await?;
    Ok(Json(last.map(|LastPresence { people, observed_at }| PresenceBody {
        chat_id: chat.to_string(),
        participants: people.into_iter().map(ParticipantBody::from).collect(),
        observed_at: observed_at.iso(),
    })))
}

/// Shows the account as online, or not. It holds over every reconnect.
#[utoipa::path(
    put, path = "/api/sessions/{sessionId}/presence", operation_id = "setPresence", tag = "Presence",
    params(SessionPath), request_body = SetPresenceBody, responses(DoneAnswer, ActionErrors),
    security(("X-API-Key" = ["operator"])),
)]
async fn set(
    State(state): State<AppState>,
    on: OnSession<Operator>,
    Body(body): Body<SetPresenceBody>,
) -> Result<Json<Success>, ApiError> {
    state.gateway.people.set_available(on.session, body.available).await?;
    Ok(Success::yes())
}
