//! Chats: the list from the ledger, and the marks one sets on a chat.

use axum::{Json, extract::State};
use domain::{
    ChatId, SessionId, Timestamp, WaMessageId,
    chat::{Chat, ChatMark, MutedUntil, Typing},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, IntoResponses, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    AppState,
    access::{ChatBody, ExistingSession, InChat, OnSession, Operator, RawChatBody, Viewer},
    body::nullable,
    error::{ApiError, ErrorBody},
    people::{PageQuery, visible},
    query::Query,
    sessions::SessionPath,
    words::{ChatKindWord, ChatText, MessageTypeWord, TypingWord},
};

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(read))
        .routes(routes!(unread))
        .routes(routes!(archive))
        .routes(routes!(mute))
        .routes(routes!(pin))
        .routes(routes!(delete))
        .routes(routes!(typing))
        .routes(routes!(clear))
}

/// A conversation with a person or a group.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "id": "49170111@c.us", "name": "Mia", "isGroup": false, "kind": "individual", "phone": "49170111",
    "unreadCount": 2, "timestamp": 1_790_841_600, "archived": false, "pinned": true, "muted": true, "lastMessage": "Are you open today?",
    "lastMessageType": "text", "muteExpiration": 1_790_928_000_000_i64
}))]
pub struct ChatSummary {
    id: String,
    /// The group's or person's name; without one, the part before the `@`.
    name: String,
    is_group: bool,
    #[schema(value_type = ChatKindWord)]
    kind: &'static str,
    /// The number of a person's chat, digits only; absent while it is not known which number a privacy id has.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    phone: Option<String>,
    unread_count: u32,
    /// WhatsApp's time of the newest message, epoch seconds.
    timestamp: i64,
    archived: bool,
    pinned: bool,
    muted: bool,
    /// The text of the newest message.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    last_message: Option<String>,
    #[schema(nullable = false, value_type = Option<MessageTypeWord>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    last_message_type: Option<&'static str>,
    /// Epoch milliseconds; 0 means forever. Only when muted.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    mute_expiration: Option<i64>,
}

impl From<Chat> for ChatSummary {
    fn from(chat: Chat) -> Self {
        let kind = chat.last_message.as_ref().map(|last| last.kind.as_str());
        Self {
            name: chat.name.unwrap_or_else(|| chat.id.user().to_owned()),
            is_group: chat.id.is_group(),
            kind: chat.id.kind().as_str(),
            phone: chat.id.phone().map(|phone| phone.digits().to_owned()),
            id: chat.id.to_string(),
            unread_count: chat.unread_count,
            timestamp: chat.timestamp,
            archived: chat.archived,
            pinned: chat.pinned,
            muted: chat.muted.is_some(),
            last_message: chat.last_message.and_then(|last| last.body),
            last_message_type: kind,
            mute_expiration: chat.muted.map(|until| match until {
                MutedUntil::Forever => 0,
                MutedUntil::Time(at) => at.millis(),
            }),
        }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = MarkRead, example = json!({"chatId": "49170111@c.us", "messageIds": ["3AF0"]}))]
struct MarkRead {
    #[schema(value_type = ChatText)]
    chat_id: ChatId,
    /// The messages that were read; without them the newest unread ones.
    #[schema(min_items = 1, max_items = 100)]
    message_ids: Option<Vec<MessageIdText>>,
}

/// WhatsApp's id of a message.
#[derive(Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(as = MessageId, min_length = 1, max_length = 256)]
struct MessageIdText(String);

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = InChat, example = json!({"chatId": "49170111@c.us"}))]
struct OneChat {
    #[schema(value_type = ChatText)]
    chat_id: ChatId,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = ArchiveChat, example = json!({"chatId": "49170111@c.us", "archive": true}))]
struct Archive {
    #[schema(value_type = ChatText)]
    chat_id: ChatId,
    archive: bool,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = MuteChat, example = json!({"chatId": "49170111@c.us", "muteUntil": 1_790_928_000_000_i64}))]
struct Mute {
    #[schema(value_type = ChatText)]
    chat_id: ChatId,
    /// Epoch milliseconds; `null` unmutes.
    #[serde(deserialize_with = "nullable")]
    #[schema(required, value_type = Option<i64>, minimum = 1)]
    mute_until: Option<Option<i64>>,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = PinChat, example = json!({"chatId": "49170111@c.us", "pin": true}))]
struct Pin {
    #[schema(value_type = ChatText)]
    chat_id: ChatId,
    pin: bool,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = ShowTyping, example = json!({"chatId": "49170111@c.us", "state": "typing"}))]
struct ShowTyping {
    #[schema(value_type = ChatText)]
    chat_id: ChatId,
    #[schema(value_type = TypingWord)]
    state: TypingState,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum TypingState {
    Typing,
    Recording,
    Paused,
}

/// Whether it was done.
#[derive(Serialize, ToSchema)]
#[schema(as = Done, example = json!({"success": true}))]
struct Done {
    /// `false` when WhatsApp declined.
    success: bool,
}

/// The answers of every route that marks a chat.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes the answers to the OpenAPI document")]
enum MarkAnswers {
    #[response(status = 200, description = "Done, or declined by WhatsApp")]
    Done(Done),
    #[response(status = 409, description = "The session is not ready; try again later")]
    NotReady(ErrorBody),
    #[response(status = 503, description = "WhatsApp did not answer")]
    Unanswered(ErrorBody),
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes the path to the OpenAPI document")]
pub struct ChatPath {
    /// The id of the session.
    #[param(rename = "sessionId", example = "3b0c6f52-0c1e-4a77-9d0e-5a1f2b3c4d5e")]
    session_id: String,
    /// The chat, as it is or percent-encoded.
    #[param(rename = "chatId", example = "49170111@c.us")]
    chat_id: String,
}

/// Lists chats, newest message first.
#[utoipa::path(
    get, path = "/api/sessions/{sessionId}/chats", operation_id = "listChats", tag = "Chats",
    params(SessionPath, PageQuery),
    responses((status = 200, description = "Chats; for a key that is limited to chats, only those", body = [ChatSummary])),
    security(("X-API-Key" = ["viewer", "chat"])),
)]
async fn list(
    State(state): State<AppState>,
    on: ExistingSession<InChat<Viewer>>,
    query: Query,
) -> Result<Json<Vec<ChatSummary>>, ApiError> {
    let sees = visible(&on.caller);
    let people = &state.gateway.people;
    let chats = people.chats(on.session, query.page(), sees.as_deref()).await?;
    Ok(Json(chats.into_iter().map(ChatSummary::from).collect()))
}

/// Sends read receipts and clears the unread count.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/chats/read", operation_id = "markChatRead", tag = "Chats",
    params(SessionPath), request_body = MarkRead,
    responses(MarkAnswers),
    security(("X-API-Key" = ["operator", "chat"])),
)]
async fn read(
    State(state): State<AppState>,
    on: ChatBody<MarkRead>,
) -> Result<Json<Done>, ApiError> {
    let body = on.body;
    let ids = body
        .message_ids
        .map(|ids| ids.into_iter().map(|id| WaMessageId::from_wire(id.0)).collect());
    let done = state.gateway.people.mark_read(on.session, &body.chat_id, ids).await?;
    Ok(answer(done))
}

/// Marks a chat as unread.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/chats/unread", operation_id = "markChatUnread", tag = "Chats",
    params(SessionPath), request_body = OneChat,
    responses(MarkAnswers),
    security(("X-API-Key" = ["operator", "chat"])),
)]
async fn unread(
    State(state): State<AppState>,
    on: ChatBody<OneChat>,
) -> Result<Json<Done>, ApiError> {
    mark(&state, on.session, &on.body.chat_id, ChatMark::Read(false)).await
}

/// Archives a chat, or brings it back.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/chats/archive", operation_id = "archiveChat", tag = "Chats",
    params(SessionPath), request_body = Archive,
    responses(MarkAnswers),
    security(("X-API-Key" = ["operator", "chat"])),
)]
async fn archive(
    State(state): State<AppState>,
    on: ChatBody<Archive>,
) -> Result<Json<Done>, ApiError> {
    mark(&state, on.session, &on.body.chat_id, ChatMark::Archived(on.body.archive)).await
}

/// Mutes a chat until a time, or unmutes it.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/chats/mute", operation_id = "muteChat", tag = "Chats",
    params(SessionPath), request_body = Mute,
    responses(MarkAnswers),
    security(("X-API-Key" = ["operator", "chat"])),
)]
async fn mute(State(state): State<AppState>, on: RawChatBody) -> Result<Json<Done>, ApiError> {
    if !on.body.names("muteUntil") {
        return Err(ApiError::problem("muteUntil must be an integer number or null"));
    }
    let on: ChatBody<Mute> = on.checked()?;
    let body = on.body;
    let until = body.mute_until.flatten().map(|at| MutedUntil::Time(Timestamp::from_millis(at)));
    mark(&state, on.session, &body.chat_id, ChatMark::Muted(until)).await
}

/// Pins a chat to the top of the list, or unpins it.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/chats/pin", operation_id = "pinChat", tag = "Chats",
    params(SessionPath), request_body = Pin,
    responses(MarkAnswers),
    security(("X-API-Key" = ["operator", "chat"])),
)]
async fn pin(State(state): State<AppState>, on: ChatBody<Pin>) -> Result<Json<Done>, ApiError> {
    mark(&state, on.session, &on.body.chat_id, ChatMark::Pinned(on.body.pin)).await
}

/// Removes a chat with its messages, on all devices of the account.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/chats/delete", operation_id = "deleteChat", tag = "Chats",
    params(SessionPath), request_body = OneChat,
    responses(MarkAnswers),
    security(("X-API-Key" = ["operator", "chat"])),
)]
async fn delete(
    State(state): State<AppState>,
    on: ChatBody<OneChat>,
) -> Result<Json<Done>, ApiError> {
    mark(&state, on.session, &on.body.chat_id, ChatMark::Deleted).await
}

/// Shows in a chat that somebody is typing or recording, or has stopped.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/chats/typing", operation_id = "showTyping", tag = "Chats",
    params(SessionPath), request_body = ShowTyping,
    responses(
        (status = 200, description = "Shown", body = Done),
        (status = 409, description = "The session is not ready; try again later", body = ErrorBody),
    ),
    security(("X-API-Key" = ["operator", "chat"])),
)]
async fn typing(
    State(state): State<AppState>,
    on: ChatBody<ShowTyping>,
) -> Result<Json<Done>, ApiError> {
    let body = on.body;
    let shown = match body.state {
        TypingState::Typing => Typing::Typing,
        TypingState::Recording => Typing::Recording,
        TypingState::Paused => Typing::Paused,
    };
    state.gateway.people.typing(on.session, &body.chat_id, shown).await?;
    Ok(answer(true))
}

/// Removes the messages of a chat, on all devices of the account; the chat stays.
#[utoipa::path(
    delete, path = "/api/sessions/{sessionId}/chats/{chatId}/messages", operation_id = "clearChat", tag = "Chats",
    params(ChatPath),
    responses(
        MarkAnswers,
        (status = 400, description = "Not a chat id, or the session is not started", body = ErrorBody),
    ),
    security(("X-API-Key" = ["operator", "chat"])),
)]
async fn clear(
    State(state): State<AppState>,
    on: OnSession<InChat<Operator>>,
) -> Result<Json<Done>, ApiError> {
    let chat = on.caller.chat_of_path("chatId")?;
    let chat = chat.ok_or_else(|| ApiError::problem(domain::address::InvalidChatId))?;
    mark(&state, on.session, &chat, ChatMark::Cleared).await
}

async fn mark(
    state: &AppState,
    session: SessionId,
    chat: &ChatId,
    mark: ChatMark,
) -> Result<Json<Done>, ApiError> {
    Ok(answer(state.gateway.people.mark(session, chat, mark).await?))
}

const fn answer(success: bool) -> Json<Done> {
    Json(Done { success })
}
