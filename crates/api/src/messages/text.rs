//! Texts: send-text, reply, send-template.

use std::collections::BTreeMap;

use axum::{extract::State, response::Response};
use domain::{ChatId, TemplateId, WaMessageId, content::LinkPreview};
use gateway::messages::{
    Card, MediaInput, Preview, QuoteRef, Say, SendError, TemplateRef, TemplateSend, ToSend,
};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    result::{SendAnswers, answer},
    send::{KeyHeader, SendBody, quoted},
};
use crate::{
    AppState,
    access::{Operator, QuotesInChat},
    error::{ApiError, echo},
    sessions::SessionPath,
    words::{ChatText, MentionText},
};

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = SendText, example = json!({
    "chatId": "49170111@c.us", "text": "Your cake is ready, @49170222", "mentions": ["49170222@c.us"]
}))]
pub struct SendText {
    #[schema(value_type = ChatText)]
    chat_id: ChatId,
    #[schema(min_length = 1, max_length = 4096, format = "visible")]
    text: String,
    /// Who is mentioned. The text must contain `@<number>` for each.
    #[schema(value_type = Option<Vec<MentionText>>, max_items = 1024)]
    mentions: Option<Vec<ChatId>>,
    /// `true` makes a card of the page at the first link, if it can be fetched within 5 seconds. Default: what the
    /// session's `linkPreview` says.
    link_preview: Option<bool>,
    /// The card above the text. Together with `linkPreview: false`: 400.
    custom_link_preview: Option<CustomLinkPreview>,
    /// The message being replied to, by its WhatsApp id.
    #[schema(min_length = 1, max_length = 256)]
    quoted_message_id: Option<String>,
}

impl TryFrom<SendText> for ToSend {
    type Error = ApiError;

    fn try_from(body: SendText) -> Result<Self, ApiError> {
        let preview = preview(body.custom_link_preview, body.link_preview)?;
        Ok(Self {
            chat: body.chat_id,
            say: Say::Text { text: body.text, preview },
            mentions: body.mentions.unwrap_or_default(),
            quoted: quoted(body.quoted_message_id),
        })
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CustomLinkPreview {
    #[schema(max_length = 2048, format = "uri")]
    url: String,
    #[schema(min_length = 1, max_length = 256, format = "visible")]
    title: String,
    #[schema(max_length = 1024)]
    description: Option<String>,
    /// A picture of up to 5 MiB, fetched by the server. This or `thumbnailBase64`.
    #[schema(max_length = 2048, format = "uri")]
    thumbnail_url: Option<String>,
    /// A picture of up to 5 MiB.
    #[schema(min_length = 1, max_length = 7_000_000)]
    thumbnail_base64: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = Reply, example = json!({
    "chatId": "49170111@c.us", "quotedMessageId": "3AF0C767D26B8A3F1A2B", "text": "Yes, until six"
}))]
pub struct Reply {
    #[schema(value_type = ChatText)]
    chat_id: ChatId,
    /// The message being replied to, by its WhatsApp id. It must be of this chat.
    #[schema(min_length = 1, max_length = 256)]
    quoted_message_id: String,
    #[schema(min_length = 1, max_length = 4096, format = "visible")]
    text: String,
    /// Who is mentioned. The text must contain `@<number>` for each.
    #[schema(value_type = Option<Vec<MentionText>>, max_items = 1024)]
    mentions: Option<Vec<ChatId>>,
}

impl From<Reply> for ToSend {
    fn from(body: Reply) -> Self {
        let id = WaMessageId::from_wire(body.quoted_message_id);
        Self {
            chat: body.chat_id,
            say: Say::Text { text: body.text, preview: Preview::Off },
            mentions: body.mentions.unwrap_or_default(),
            quoted: Some(QuoteRef { id, in_chat: true }),
        }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = SendTemplate, example = json!({
    "chatId": "49170111@c.us", "templateName": "ready", "vars": {"name": "Mia", "what": "cake"}
}))]
pub struct SendTemplate {
    #[schema(value_type = ChatText)]
    chat_id: ChatId,
    /// The template, by its id; or give `templateName`.
    #[schema(min_length = 1, max_length = 64)]
    template_id: Option<String>,
    /// The template, by its name; or give `templateId`.
    #[schema(min_length = 1, max_length = 100)]
    template_name: Option<String>,
    /// The values of the placeholders. A placeholder without a value: 400, which names it.
    vars: Option<BTreeMap<String, String>>,
    /// Who is mentioned. The text must contain `@<number>` for each.
    #[schema(value_type = Option<Vec<MentionText>>, max_items = 1024)]
    mentions: Option<Vec<ChatId>>,
    /// `true` makes a card of the page at the first link, if it can be fetched within 5 seconds. Default: what the
    /// session's `linkPreview` says.
    link_preview: Option<bool>,
}

/// Sends a text. 201 means that WhatsApp took it, not that it arrived.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/messages/send-text", operation_id = "sendText", tag = "Messages",
    params(SessionPath, KeyHeader), request_body = SendText, responses(SendAnswers),
    security(("X-API-Key" = ["operator", "chat"])),
)]
pub async fn send_text(
    state: State<AppState>,
    on: SendBody<SendText>,
) -> Result<Response, ApiError> {
    on.send(state).await
}

fn preview(card: Option<CustomLinkPreview>, wanted: Option<bool>) -> Result<Preview, ApiError> {
    match (card, wanted) {
        (None, Some(true)) => Ok(Preview::Fetch),
        (None, Some(false)) => Ok(Preview::Off),
        (None, None) => Ok(Preview::Usual),
        (Some(_), Some(false)) => Err(ApiError::bad_request(
            "customLinkPreview cannot be combined with linkPreview: false",
        )),
        (Some(card), _) => {
            let CustomLinkPreview { url, title, description, .. } = card;
            let preview = LinkPreview { url, title, description, thumbnail: vec![] };
            let picture = match (card.thumbnail_url, card.thumbnail_base64) {
                (Some(_), Some(_)) => {
                    return Err(ApiError::problem(
                        "customLinkPreview takes thumbnailUrl or thumbnailBase64, not both",
                    ));
                }
                (url, base64) => url.map(MediaInput::Url).or(base64.map(MediaInput::Base64)),
            };
            Ok(Preview::Card(Box::new(Card { preview, picture })))
        }
    }
}

/// Answers a message of the same chat with a text.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/messages/reply", operation_id = "reply", tag = "Messages",
    params(SessionPath, KeyHeader), request_body = Reply, responses(SendAnswers),
    security(("X-API-Key" = ["operator", "chat"])),
)]
pub async fn reply(
    state: State<AppState>,
    on: SendBody<Reply, QuotesInChat<Operator>>,
) -> Result<Response, ApiError> {
    on.send(state).await
}

/// Fills a template and sends it as a text.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/messages/send-template", operation_id = "sendTemplate", tag = "Messages",
    params(SessionPath, KeyHeader), request_body = SendTemplate, responses(SendAnswers),
    security(("X-API-Key" = ["operator", "chat"])),
)]
pub async fn send_template(
    State(state): State<AppState>,
    on: SendBody<SendTemplate>,
) -> Result<Response, ApiError> {
    let SendBody { session, body, caller, key } = on;
    let unknown = |name: &str| ApiError::unknown_text("Template", name);
    let (template, named) = match (body.template_id, body.template_name) {
        (Some(id), _) => {
            let known: TemplateId = id.parse().map_err(|_| unknown(&id))?;
            (TemplateRef::Id(known), id)
        }
        (None, Some(name)) => (TemplateRef::Name(name.clone()), name),
        (None, None) => {
            return Err(ApiError::problem("templateId or templateName must be given"));
        }
    };
    let to_send = TemplateSend {
        chat: body.chat_id,
        template,
        variables: body.vars.unwrap_or_default(),
        mentions: body.mentions.unwrap_or_default(),
        preview: preview(None, body.link_preview)?,
    };
    match state.gateway.messages.send_template(session, to_send, key).await {
        Err(SendError::TemplateNotFound) => Err(unknown(&echo(&named))),
        // A key for chats may not read templates: an error does not say either what stands in one.
        Err(SendError::Render(_)) if !caller.key().allowed_chats.is_empty() => {
            Err(ApiError::bad_request("The template cannot be filled with these variables"))
        }
        result => Ok(answer(result?)),
    }
}
