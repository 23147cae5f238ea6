//! The newest messages of a chat in the form of the events, oldest first. The ledger answers: what WhatsApp handed over
//! is there, whether or not the session runs.

use axum::{Json, extract::State};
use domain::{
    event,
    message::Message,
    port::{MessageQuery, Page},
};
use gateway::media::MediaError;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::{
    AppState,
    access::{ExistingChat, Viewer},
    error::ApiError,
    query::Query,
    words::{ChatKindWord, MessageTypeWord},
};

/// Messages without `limit`.
const LIMIT_DEFAULT: u32 = 50;
/// Most messages, with files or without.
const LIMIT_MAX: u32 = 100;
/// Most messages of a deep look.
const DEEP_MAX: u32 = 2000;

/// A message as the events tell it.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = LiveMessage, example = json!({
    "id": "3AF0C767D26B8A3F1A2B", "from": "49170111@c.us", "to": "49155500@c.us", "chatId": "49170111@c.us",
    "body": "Are you open today?", "type": "text", "timestamp": 1_790_841_600, "fromMe": false, "isGroup": false,
    "kind": "individual", "contact": {"pushName": "Mia"}
}))]
pub struct LiveMessageBody {
    /// WhatsApp's id of the message.
    id: String,
    from: String,
    to: String,
    chat_id: String,
    body: String,
    #[serde(rename = "type")]
    #[schema(value_type = MessageTypeWord)]
    kind: String,
    /// WhatsApp's own time, epoch seconds.
    timestamp: i64,
    from_me: bool,
    is_group: bool,
    #[serde(rename = "kind")]
    #[schema(value_type = ChatKindWord)]
    chat_kind: String,
    /// Who wrote it, in groups.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    author: Option<String>,
    /// What else the message says: `media`, `quotedMessage`, `location`, `poll`, `contact` and more, where it has any.
    #[serde(flatten)]
    #[schema(value_type = std::collections::BTreeMap<String, Value>)]
    more: serde_json::Map<String, Value>,
}

impl LiveMessageBody {
    fn of(message: &Message) -> Result<Self, ApiError> {
        serde_json::from_value(event::live_message(message)).map_err(|error| {
            tracing::error!(message.id = %message.id, %error, "a stored message has no live form");
            ApiError::internal()
        })
    }
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes the path to the OpenAPI document")]
struct HistoryPath {
    /// The id of the session.
    #[param(rename = "sessionId", example = "3b0c6f52-0c1e-4a77-9d0e-5a1f2b3c4d5e")]
    session_id: String,
    /// The chat, as it is or percent-encoded.
    #[param(rename = "chatId", example = "49170111@c.us")]
    chat_id: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
#[expect(dead_code, reason = "describes the query to the OpenAPI document")]
struct HistoryQuery {
    /// 1 to 100, default 50; with `deep` up to 2000. More counts as the most.
    #[param(nullable = false)]
    limit: Option<u32>,
    /// Whether files stand in the answer as base64 (`media.data`), newest first, up to 8 MiB together. Not with `deep`.
    /// Whether to go back further; default false.
    #[param(nullable = false)]
    include_media: Option<bool>,
    /// Further back, and without files. Default false.
    #[param(nullable = false)]
    deep: Option<bool>,
}

/// Lists the newest messages of a chat, oldest first.
#[utoipa::path(
    get, path = "/api/sessions/{sessionId}/messages/{chatId}/history", operation_id = "getChatHistory",
    tag = "Messages", params(HistoryPath, HistoryQuery),
    responses(
        (status = 200, description = "Messages, oldest first", body = [LiveMessageBody]),
        (status = 400, description = "A flag that is none", body = crate::error::ErrorBody),
    ),
    security(("X-API-Key" = ["viewer", "chat"])),
)]
pub async fn history(
    State(state): State<AppState>,
    on: ExistingChat<Viewer>,
    query: Query,
) -> Result<Json<Vec<LiveMessageBody>>, ApiError> {
    let deep = query.flag("deep")?.unwrap_or(false);
    let with_media = query.flag("includeMedia")?.unwrap_or(false) && !deep;
    let most = if deep { DEEP_MAX } else { LIMIT_MAX };
    let limit = query.number("limit").filter(|limit| *limit > 0).unwrap_or(LIMIT_DEFAULT);
    let Some(chat) = on.chat else { return Ok(Json(vec![])) };
    let filter = MessageQuery { chat: Some(chat), ..MessageQuery::default() };
    let page = Page { limit: limit.min(most), offset: 0 };
    let found = state.gateway.messages.list(on.session, &filter, page).await?;
    let mut messages = found.map(|page| page.messages).unwrap_or_default();
    if with_media {
        state.gateway.media.inline(&mut messages).await.map_err(|error| match error {
            MediaError::Store(error) => ApiError::store(error),
            other => ApiError::bad_request(other.to_string()),
        })?;
    }
    messages.iter().rev().map(LiveMessageBody::of).collect::<Result<_, _>>().map(Json)
}
