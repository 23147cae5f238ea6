//! What goes to and from businesses: send-product, click-button.

use axum::{extract::State, response::Response};
use domain::{ChatId, WaMessageId};
use gateway::messages::{Say, ToSend};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    result::SendAnswers,
    send::{KeyHeader, SendBody},
};
use crate::{AppState, error::ApiError, sessions::SessionPath, words::ChatText};

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = SendProduct, example = json!({
    "chatId": "49170111@c.us", "productId": "7234567890123456", "body": "Fresh today"
}))]
pub struct SendProduct {
    #[schema(value_type = ChatText)]
    chat_id: ChatId,
    /// A product of the account's own catalogue.
    #[schema(min_length = 1, max_length = 255)]
    product_id: String,
    /// What is written about it.
    #[schema(max_length = 4096)]
    body: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = ClickButton, example = json!({
    "chatId": "49170111@c.us", "messageId": "3AF0C767D26B8A3F1A2B", "buttonId": "confirm"
}))]
pub struct ClickButton {
    #[schema(value_type = ChatText)]
    chat_id: ChatId,
    /// WhatsApp's id of the message with the buttons.
    #[schema(min_length = 1, max_length = 256)]
    message_id: String,
    /// The button, as the message's `buttons` name it.
    #[schema(min_length = 1, max_length = 256)]
    button_id: String,
    /// What the answer shows; default: what stands on the button.
    #[schema(min_length = 1, max_length = 4096, format = "visible")]
    text: Option<String>,
}

impl TryFrom<SendProduct> for ToSend {
    type Error = ApiError;

    fn try_from(body: SendProduct) -> Result<Self, ApiError> {
        let say = Say::Product { id: body.product_id, body: body.body };
        Ok(Self { chat: body.chat_id, say, mentions: vec![], quoted: None })
    }
}

impl TryFrom<ClickButton> for ToSend {
    type Error = ApiError;

    fn try_from(body: ClickButton) -> Result<Self, ApiError> {
        let message = WaMessageId::from_wire(body.message_id);
        let say = Say::ButtonReply { message, button: body.button_id, text: body.text };
        Ok(Self { chat: body.chat_id, say, mentions: vec![], quoted: None })
    }
}

/// Sends a product of the account's own catalogue.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/messages/send-product", operation_id = "sendProduct", tag = "Messages",
    params(SessionPath, KeyHeader), request_body = SendProduct, responses(SendAnswers),
    security(("X-API-Key" = ["operator", "chat"])),
)]
pub async fn send_product(
    state: State<AppState>,
    on: SendBody<SendProduct>,
) -> Result<Response, ApiError> {
    on.send(state).await
}

/// Presses a button under a message.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/messages/click-button", operation_id = "clickButton", tag = "Messages",
    params(SessionPath, KeyHeader), request_body = ClickButton, responses(SendAnswers),
    security(("X-API-Key" = ["operator", "chat"])),
)]
pub async fn click_button(
    state: State<AppState>,
    on: SendBody<ClickButton>,
) -> Result<Response, ApiError> {
    on.send(state).await
}
