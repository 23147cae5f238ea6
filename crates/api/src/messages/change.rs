//! Changes of messages: react, edit, delete, pin, unpin, star, vote-poll.

use axum::{Json, extract::State};
use domain::{ChatId, WaMessageId};
use serde::Deserialize;
use utoipa::ToSchema;

use super::result::{ChangeErrors, SendResult, Success};
use crate::{
    AppState,
    access::ChatBody,
    error::{ApiError, ErrorBody},
    sessions::SessionPath,
    words::{ChatText, MentionText, OptionText},
};

/// How long a message may be pinned, seconds: a day, a week, thirty days.
const PIN_SECONDS: [u32; 3] = [86_400, 604_800, 2_592_000];

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = ReactToMessage, example = json!({
    "chatId": "49170111@c.us", "messageId": "3AF0C767D26B8A3F1A2B", "emoji": "👍"
}))]
pub struct React {
    #[schema(value_type = ChatText)]
    chat_id: ChatId,
    /// WhatsApp's id of the message.
    #[schema(min_length = 1, max_length = 256)]
    message_id: String,
    /// An empty text takes the reaction back.
    #[schema(max_length = 32, format = "visible-or-empty")]
    emoji: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = EditMessage, example = json!({
    "chatId": "49170111@c.us", "messageId": "3EB0C767D26B8A3F1A2B", "body": "Your cake is ready at six"
}))]
pub struct Edit {
    #[schema(value_type = ChatText)]
    chat_id: ChatId,
    /// WhatsApp's id of the message.
    #[schema(min_length = 1, max_length = 256)]
    message_id: String,
    /// The new text or caption.
    #[schema(min_length = 1, max_length = 4096, format = "visible")]
    body: String,
    /// Who is mentioned now. The text must contain `@<number>` for each.
    #[schema(value_type = Option<Vec<MentionText>>, max_items = 1024)]
    mentions: Option<Vec<ChatId>>,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = DeleteMessage, example = json!({
    "chatId": "49170111@c.us", "messageId": "3EB0C767D26B8A3F1A2B", "forEveryone": true
}))]
pub struct Delete {
    #[schema(value_type = ChatText)]
    chat_id: ChatId,
    /// WhatsApp's id of the message.
    #[schema(min_length = 1, max_length = 256)]
    message_id: String,
    /// Default true; false deletes it on this account's devices only.
    for_everyone: Option<bool>,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = PinMessage, example = json!({
    "chatId": "49170111@c.us", "messageId": "3EB0C767D26B8A3F1A2B", "durationSeconds": 604_800
}))]
pub struct Pin {
    #[schema(value_type = ChatText)]
    chat_id: ChatId,
    /// WhatsApp's id of the message.
    #[schema(min_length = 1, max_length = 256)]
    message_id: String,
    /// 86400 (default), 604800 or 2592000.
    duration_seconds: Option<u32>,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = UnpinMessage, example = json!({
    "chatId": "49170111@c.us", "messageId": "3EB0C767D26B8A3F1A2B"
}))]
pub struct Unpin {
    #[schema(value_type = ChatText)]
    chat_id: ChatId,
    /// WhatsApp's id of the message.
    #[schema(min_length = 1, max_length = 256)]
    message_id: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = StarMessage, example = json!({
    "chatId": "49170111@c.us", "messageId": "3EB0C767D26B8A3F1A2B", "star": true
}))]
pub struct Star {
    #[schema(value_type = ChatText)]
    chat_id: ChatId,
    /// WhatsApp's id of the message.
    #[schema(min_length = 1, max_length = 256)]
    message_id: String,
    star: bool,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = VotePoll, example = json!({
    "chatId": "49170111@c.us", "pollMessageId": "3AF0C767D26B8A3F1A2B", "options": ["Chocolate"]
}))]
pub struct VotePoll {
    #[schema(value_type = ChatText)]
    chat_id: ChatId,
    /// WhatsApp's id of the poll.
    #[schema(min_length = 1, max_length = 256)]
    poll_message_id: String,
    /// The texts of the chosen options; none takes the vote back.
    #[schema(value_type = Vec<OptionText>, max_items = 12)]
    options: Vec<String>,
}

/// A vote for an option that is not there.
#[derive(utoipa::IntoResponses)]
#[response(
    status = 400,
    description = "A wrong body, or a session that is not started; with code POLL_OPTION_NOT_FOUND an option that the poll does not have, `validOptions` lists those it has"
)]
#[expect(dead_code, reason = "describes the answer to the OpenAPI document")]
struct NoSuchOption(ErrorBody);

/// Puts an emoji on a message, or takes it back.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/messages/react", operation_id = "reactToMessage", tag = "Messages",
    params(SessionPath), request_body = React,
    responses((status = 200, description = "Done", body = Success), ChangeErrors),
    security(("X-API-Key" = ["operator", "chat"])),
)]
pub async fn react(
    State(state): State<AppState>,
    on: ChatBody<React>,
) -> Result<Json<Success>, ApiError> {
    let React { chat_id, message_id, emoji } = on.body;
    let id = WaMessageId::from_wire(message_id);
    state.gateway.messages.react(on.session, chat_id, id, emoji).await?;
    Ok(Success::yes())
}

/// Gives one of the account's own messages a new text or caption. Answers with the message's own id and time.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/messages/edit", operation_id = "editMessage", tag = "Messages",
    params(SessionPath), request_body = Edit,
    responses((status = 200, description = "Edited", body = SendResult), ChangeErrors),
    security(("X-API-Key" = ["operator", "chat"])),
)]
pub async fn edit(
    State(state): State<AppState>,
    on: ChatBody<Edit>,
) -> Result<Json<SendResult>, ApiError> {
    let Edit { chat_id, message_id, body, mentions } = on.body;
    let id = WaMessageId::from_wire(message_id);
    let mentions = mentions.unwrap_or_default();
    let edited = state.gateway.messages.edit(on.session, chat_id, id, body, mentions).await?;
    Ok(Json(edited.into()))
}

/// Takes a message back for everyone, or deletes it on this account's devices only.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/messages/delete", operation_id = "deleteMessage", tag = "Messages",
    params(SessionPath), request_body = Delete,
    responses((status = 200, description = "Done", body = Success), ChangeErrors),
    security(("X-API-Key" = ["operator", "chat"])),
)]
pub async fn delete(
    State(state): State<AppState>,
    on: ChatBody<Delete>,
) -> Result<Json<Success>, ApiError> {
    let Delete { chat_id, message_id, for_everyone } = on.body;
    let id = WaMessageId::from_wire(message_id);
    let everyone = for_everyone.unwrap_or(true);
    state.gateway.messages.delete(on.session, chat_id, id, everyone).await?;
    Ok(Success::yes())
}

/// Pins a message in its chat.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/messages/pin", operation_id = "pinMessage", tag = "Messages",
    params(SessionPath), request_body = Pin,
    responses((status = 200, description = "Done", body = Success), ChangeErrors),
    security(("X-API-Key" = ["operator", "chat"])),
)]
pub async fn pin(
    State(state): State<AppState>,
    on: ChatBody<Pin>,
) -> Result<Json<Success>, ApiError> {
    let Pin { chat_id, message_id, duration_seconds } = on.body;
    let seconds = duration_seconds.unwrap_or(PIN_SECONDS[0]);
    if !PIN_SECONDS.contains(&seconds) {
        let choices = PIN_SECONDS.map(|seconds| seconds.to_string()).join(", ");
        return Err(ApiError::problem(format!(
            "durationSeconds must be one of the following values: {choices}"
        )));
    }
    let id = WaMessageId::from_wire(message_id);
    state.gateway.messages.pin(on.session, chat_id, id, Some(seconds)).await?;
    Ok(Success::yes())
}

/// Unpins a message in its chat.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/messages/unpin", operation_id = "unpinMessage", tag = "Messages",
    params(SessionPath), request_body = Unpin,
    responses((status = 200, description = "Done", body = Success), ChangeErrors),
    security(("X-API-Key" = ["operator", "chat"])),
)]
pub async fn unpin(
    State(state): State<AppState>,
    on: ChatBody<Unpin>,
) -> Result<Json<Success>, ApiError> {
    let Unpin { chat_id, message_id } = on.body;
    let id = WaMessageId::from_wire(message_id);
    state.gateway.messages.pin(on.session, chat_id, id, None).await?;
    Ok(Success::yes())
}

/// Stars a message on this account's devices, or takes the star away.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/messages/star", operation_id = "starMessage", tag = "Messages",
    params(SessionPath), request_body = Star,
    responses((status = 200, description = "Done", body = Success), ChangeErrors),
    security(("X-API-Key" = ["operator", "chat"])),
)]
pub async fn star(
    State(state): State<AppState>,
    on: ChatBody<Star>,
) -> Result<Json<Success>, ApiError> {
    let Star { chat_id, message_id, star } = on.body;
    let id = WaMessageId::from_wire(message_id);
    state.gateway.messages.star(on.session, chat_id, id, star).await?;
    Ok(Success::yes())
}

/// Votes in a poll.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/messages/vote-poll", operation_id = "votePoll", tag = "Messages",
    params(SessionPath), request_body = VotePoll,
    responses((status = 200, description = "Done", body = Success), ChangeErrors, NoSuchOption),
    security(("X-API-Key" = ["operator", "chat"])),
)]
pub async fn vote_poll(
    State(state): State<AppState>,
    on: ChatBody<VotePoll>,
) -> Result<Json<Success>, ApiError> {
    let VotePoll { chat_id, poll_message_id, options } = on.body;
    let id = WaMessageId::from_wire(poll_message_id);
    state.gateway.messages.vote_poll(on.session, chat_id, id, options).await?;
    Ok(Success::yes())
}
