//! Places, address cards, polls, and messages sent on.

use axum::{extract::State, response::Response};
use domain::{
    ChatId, WaMessageId,
    content::{Location, Poll},
    visible,
};
use gateway::messages::{Say, ToSend};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    result::{SendAnswers, answer},
    send::{KeyHeader, SendBody, quoted},
};
use crate::{
    AppState,
    error::ApiError,
    sessions::SessionPath,
    words::{ChatText, OptionText},
};

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = SendLocation, example = json!({
    "chatId": "49170111@c.us", "latitude": 52.5163, "longitude": 13.3777, "description": "Corner Bakery"
}))]
pub struct SendLocation {
    #[schema(value_type = ChatText)]
    chat_id: ChatId,
    #[schema(minimum = -90, maximum = 90)]
    latitude: f64,
    #[schema(minimum = -180, maximum = 180)]
    longitude: f64,
    /// The name of the place.
    #[schema(max_length = 1024)]
    description: Option<String>,
    #[schema(max_length = 1024)]
    address: Option<String>,
    /// The message being replied to, by its WhatsApp id.
    #[schema(min_length = 1, max_length = 256)]
    quoted_message_id: Option<String>,
}

impl From<SendLocation> for ToSend {
    fn from(body: SendLocation) -> Self {
        let SendLocation { latitude, longitude, description, address, .. } = body;
        let place = Location { latitude, longitude, description, address, url: None };
        let quoted = quoted(body.quoted_message_id);
        Self { chat: body.chat_id, say: Say::Location(place), mentions: Vec::new(), quoted }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = SendContact, example = json!({
    "chatId": "49170111@c.us", "contactName": "Corner Bakery", "contactNumber": "+4915550001000"
}))]
pub struct SendContact {
    #[schema(value_type = ChatText)]
    chat_id: ChatId,
    #[schema(min_length = 1, max_length = 255, format = "visible")]
    contact_name: String,
    #[schema(min_length = 1, max_length = 30, format = "phone")]
    contact_number: String,
    /// The message being replied to, by its WhatsApp id.
    #[schema(min_length = 1, max_length = 256)]
    quoted_message_id: Option<String>,
}

impl From<SendContact> for ToSend {
    fn from(body: SendContact) -> Self {
        let say = Say::Contact { name: body.contact_name, number: body.contact_number };
        let quoted = quoted(body.quoted_message_id);
        Self { chat: body.chat_id, say, mentions: Vec::new(), quoted }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = SendPoll, example = json!({
    "chatId": "49170111@c.us", "name": "Which cake?", "options": ["Cheese", "Chocolate"], "allowMultipleAnswers": false
}))]
pub struct SendPoll {
    #[schema(value_type = ChatText)]
    chat_id: ChatId,
    /// The question that is asked.
    #[schema(min_length = 1, max_length = 255, format = "visible")]
    name: String,
    /// They must differ, also after blanks around them are removed.
    #[schema(value_type = Vec<OptionText>, min_items = 2, max_items = 12)]
    options: Vec<String>,
    /// Whether more than one option may be chosen. Default false.
    allow_multiple_answers: Option<bool>,
    /// The message being replied to, by its WhatsApp id.
    #[schema(min_length = 1, max_length = 256)]
    quoted_message_id: Option<String>,
}

impl TryFrom<SendPoll> for ToSend {
    type Error = ApiError;

    fn try_from(body: SendPoll) -> Result<Self, ApiError> {
        let poll = Poll {
            name: body.name,
            options: body.options,
            allow_multiple_answers: body.allow_multiple_answers.unwrap_or_default(),
        };
        visible::check_poll(&poll).map_err(ApiError::problem)?;
        let quoted = quoted(body.quoted_message_id);
        Ok(Self { chat: body.chat_id, say: Say::Poll(poll), mentions: Vec::new(), quoted })
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = ForwardMessage, example = json!({
    "fromChatId": "49170111@c.us", "toChatId": "49170222@c.us", "messageId": "3AF0C767D26B8A3F1A2B"
}))]
pub struct Forward {
    #[schema(value_type = ChatText)]
    from_chat_id: ChatId,
    #[schema(value_type = ChatText)]
    to_chat_id: ChatId,
    /// WhatsApp's id of the message.
    #[schema(min_length = 1, max_length = 256)]
    message_id: String,
}

/// Sends a location.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/messages/send-location", operation_id = "sendLocation", tag = "Messages",
    params(SessionPath, KeyHeader), request_body = SendLocation, responses(SendAnswers),
    security(("X-API-Key" = ["operator", "chat"])),
)]
pub async fn send_location(
    state: State<AppState>,
    on: SendBody<SendLocation>,
) -> Result<Response, ApiError> {
    on.send(state).await
}

/// Sends a contact card.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/messages/send-contact", operation_id = "sendContact", tag = "Messages",
    params(SessionPath, KeyHeader), request_body = SendContact, responses(SendAnswers),
    security(("X-API-Key" = ["operator", "chat"])),
)]
pub async fn send_contact(
    state: State<AppState>,
    on: SendBody<SendContact>,
) -> Result<Response, ApiError> {
    on.send(state).await
}

/// Sends a poll with its options.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/messages/send-poll", operation_id = "sendPoll", tag = "Messages",
    params(SessionPath, KeyHeader), request_body = SendPoll, responses(SendAnswers),
    security(("X-API-Key" = ["operator", "chat"])),
)]
pub async fn send_poll(
    state: State<AppState>,
    on: SendBody<SendPoll>,
) -> Result<Response, ApiError> {
    on.send(state).await
}

/// Sends a stored message of one chat to another.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/messages/forward", operation_id = "forwardMessage", tag = "Messages",
    params(SessionPath, KeyHeader), request_body = Forward, responses(SendAnswers),
    security(("X-API-Key" = ["operator", "chat"])),
)]
pub async fn forward(
    State(state): State<AppState>,
    on: SendBody<Forward>,
) -> Result<Response, ApiError> {
    let Forward { from_chat_id, to_chat_id, message_id } = on.body;
    let id = WaMessageId::from_wire(message_id);
    let messages = &state.gateway.messages;
    Ok(answer(messages.forward(on.session, from_chat_id, to_chat_id, id, on.key).await?))
}
