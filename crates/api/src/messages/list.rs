//! What is stored.

use axum::{Json, extract::State};
use domain::{
    MessageRowId, Timestamp, WaMessageId,
    message::{Direction, Message, MessageStatus, MessageType},
    port::{MessageQuery, Page},
};
use gateway::media::MediaError;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use crate::{
    AppState,
    access::{InChat, OnSession, Viewer},
    error::ApiError,
    query::Query,
    sessions::SessionPath,
    words::{ChatText, DirectionWord, MessageStatusWord, MessageTypeWord, OrderByWord},
};

/// Rows of a page without `limit`.
const LIMIT_DEFAULT: u32 = 50;
/// Most rows of a page.
const LIMIT_MAX: u32 = 100;

/// A message as stored.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Message, example = json!({
    "id": "0b8f5c0e-9a3e-4f0a-8a66-2f1f6a5c7d10", "sessionId": "3b0c6f52-0c1e-4a77-9d0e-5a1f2b3c4d5e",
    "waMessageId": "3EB0C767D26B8A3F1A2B", "chatId": "49170111@c.us", "from": "49155500@c.us", "to": "49170111@c.us",
    "chatName": null, "author": null, "body": "Your cake is ready", "type": "text", "direction": "outgoing",
    "timestamp": 1_790_841_600, "metadata": null, "mediaPath": null, "mediaMimetype": null, "status": "delivered",
    "createdAt": "2026-10-01T08:00:00.000Z"
}))]
pub struct MessageBody {
    /// The row's id; a cursor for `after`.
    id: String,
    session_id: String,
    #[schema(required)]
    wa_message_id: Option<String>,
    chat_id: String,
    from: String,
    to: String,
    #[schema(required)]
    chat_name: Option<String>,
    /// Who wrote it, in groups.
    #[schema(required)]
    author: Option<String>,
    #[schema(required)]
    body: Option<String>,
    #[serde(rename = "type")]
    #[schema(value_type = MessageTypeWord)]
    kind: MessageType,
    #[schema(value_type = DirectionWord)]
    direction: Direction,
    /// WhatsApp's own time, epoch seconds.
    #[schema(required)]
    timestamp: Option<i64>,
    /// `quotedMessage`, `media` and more, where there is any.
    #[schema(required, value_type = Option<serde_json::Map<String, serde_json::Value>>)]
    metadata: serde_json::Value,
    /// Where this API serves its file, once it is there.
    #[schema(required)]
    media_path: Option<String>,
    #[schema(required)]
    media_mimetype: Option<String>,
    #[schema(value_type = MessageStatusWord)]
    status: MessageStatus,
    created_at: String,
}

impl From<Message> for MessageBody {
    fn from(message: Message) -> Self {
        Self {
            id: message.id.to_string(),
            session_id: message.session.to_string(),
            wa_message_id: Some(message.wa_id.to_string()),
            chat_id: message.chat.to_string(),
            from: message.from,
            to: message.to,
            chat_name: message.chat_name,
            author: message.author.map(String::from),
            body: message.body,
            kind: message.kind,
            direction: message.direction,
            timestamp: message.timestamp,
            metadata: message.metadata,
            media_path: message.media_path,
            media_mimetype: message.media_mimetype,
            status: message.status,
            created_at: message.created_at.iso(),
        }
    }
}

/// A page of messages, newest first.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = MessageList)]
pub struct MessageList {
    messages: Vec<MessageBody>,
    /// Rows that match, on all pages.
    total: u64,
    /// Rows that match but have no time of WhatsApp. Only when sorting or comparing by that time.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown_timestamp_total: Option<u64>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
#[expect(dead_code, reason = "describes the query to the OpenAPI document")]
struct ListQuery {
    /// In this chat. A key that is limited to chats has to name one.
    #[param(nullable = false, value_type = Option<ChatText>)]
    chat_id: Option<String>,
    /// From this id, exactly.
    #[param(nullable = false)]
    from: Option<String>,
    /// 1 to 100, default 50. More counts as 100.
    #[param(nullable = false)]
    limit: Option<u32>,
    #[param(nullable = false)]
    offset: Option<u32>,
    /// Rows after the row with this id, in the order of the list. Beats `offset`.
    #[param(nullable = false)]
    after: Option<String>,
    /// Whether files stand in the answer as base64 (`metadata.media.data`), newest first, up to 8 MiB together. Default
    /// true.
    #[param(nullable = false)]
    inline_media: Option<bool>,
    /// Only the message with this WhatsApp id.
    #[param(nullable = false)]
    message_id: Option<String>,
    /// Epoch milliseconds, inclusive. Epoch seconds and an ISO 8601 time are taken, too.
    #[param(nullable = false)]
    since: Option<i64>,
    /// Epoch milliseconds, exclusive. Epoch seconds and an ISO 8601 time are taken, too.
    #[param(nullable = false)]
    until: Option<i64>,
    #[param(nullable = false, value_type = Option<DirectionWord>)]
    direction: Option<String>,
    #[param(nullable = false, value_type = Option<MessageTypeWord>)]
    r#type: Option<String>,
    #[param(nullable = false, value_type = Option<OrderByWord>)]
    order_by: Option<String>,
}

/// Lists stored messages, newest first. Every given condition must hold.
#[utoipa::path(
    get, path = "/api/sessions/{sessionId}/messages", operation_id = "listMessages", tag = "Messages",
    params(SessionPath, ListQuery),
    responses(
        (status = 200, description = "A page of messages", body = MessageList),
        (status = 400, description = "A wrong filter or an unknown cursor", body = crate::error::ErrorBody),
    ),
    security(("X-API-Key" = ["viewer", "chat"])),
)]
pub async fn list(
    State(state): State<AppState>,
    on: OnSession<InChat<Viewer>>,
    query: Query,
) -> Result<Json<MessageList>, ApiError> {
    on.caller.check_chat_filter(query.one("chatId").unwrap_or_default())?;
    let (filter, page, inline) = read_filter(&query)?;
    on.view(&state).await?;
    let found = state.gateway.messages.list(on.session, &filter, page).await?;
    let mut found =
        found.ok_or_else(|| ApiError::problem("after names no message of this session"))?;
    if inline {
        state.gateway.media.inline(&mut found.messages).await.map_err(|error| match error {
            MediaError::Store(error) => ApiError::store(error),
            other => ApiError::bad_request(other.to_string()),
        })?;
    }
    let by_time = filter.by_timestamp || filter.since.is_some() || filter.until.is_some();
    Ok(Json(MessageList {
        messages: found.messages.into_iter().map(MessageBody::from).collect(),
        total: found.total,
        unknown_timestamp_total: by_time.then_some(found.unknown_timestamp_total),
    }))
}

/// Reads all filters and says everything that is wrong with them.
fn read_filter(query: &Query) -> Result<(MessageQuery, Page, bool), ApiError> {
    let mut reader = Reader { query, problems: Vec::new() };
    let filter = MessageQuery {
        chat: reader.read("chatId", "must look like <phone>@c.us, <id>@g.us or <id>@lid", |text| {
            text.parse().ok()
        }),
        from: reader.read("from", "should not be empty", non_empty),
        wa_id: reader
            .read("messageId", "should not be empty", non_empty)
            .map(WaMessageId::from_wire),
        since: reader.read("since", TIME, Timestamp::parse_filter),
        until: reader.read("until", TIME, Timestamp::parse_filter),
        direction: reader.read("direction", "must be incoming or outgoing", Direction::parse),
        kind: reader.read("type", "must be a message type", MessageType::parse),
        by_timestamp: reader
            .read("orderBy", "must be createdAt or timestamp", |text| match text {
                "createdAt" => Some(false),
                "timestamp" => Some(true),
                _ => None,
            })
            .unwrap_or_default(),
        after: reader
            .read("after", "must be the id of a message", |text| text.parse::<MessageRowId>().ok()),
    };
    let inline =
        reader.read("inlineMedia", "must be a boolean value", |text| text.parse::<bool>().ok());
    if !reader.problems.is_empty() {
        return Err(ApiError::invalid(reader.problems));
    }
    Ok((filter, read_page(query), inline.unwrap_or(true)))
}

struct Reader<'a> {
    query: &'a Query,
    problems: Vec<String>,
}

impl Reader<'_> {
    fn read<T>(
        &mut self,
        name: &str,
        otherwise: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        match self.query.one(name) {
            Ok(None) => None,
            Ok(Some(text)) => {
                let value = parse(text);
                if value.is_none() {
                    self.problems.push(format!("{name} {otherwise}"));
                }
                value
            }
            Err(_) => {
                self.problems.push(format!("{name} must be given once"));
                None
            }
        }
    }
}

fn non_empty(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

const TIME: &str = "must be epoch milliseconds, epoch seconds or an ISO 8601 time";

/// A limit that makes no sense falls back to the default, one that is too high to the highest.
fn read_page(query: &Query) -> Page {
    let number =
        |name| query.one(name).ok().flatten().and_then(|text| text.trim().parse::<u32>().ok());
    let limit = number("limit").filter(|limit| *limit > 0).unwrap_or(LIMIT_DEFAULT);
    Page { limit: limit.min(LIMIT_MAX), offset: number("offset").unwrap_or(0) }
}
