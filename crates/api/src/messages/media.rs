//! Files: send-image, send-video, send-audio, send-document, send-sticker.

use axum::{extract::State, http::HeaderMap, response::Response};
use domain::{ChatId, content::MediaKind};
use gateway::messages::{MediaInput, Say};
use serde::Deserialize;
use utoipa::ToSchema;

use super::result::{KeyHeader, SendAnswers, Sending, key_of};
use crate::{
    AppState,
    access::{InChat, OnSession, Operator},
    body::RawBody,
    error::{ApiError, ErrorBody},
    sessions::SessionPath,
    words::{ChatText, MentionText},
};

/// A file to send: from a URL or as base64.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = SendMedia, example = json!({
    "chatId": "49170111@c.us", "url": "https://shop.example/cake.jpg", "caption": "Your cake"
}))]
struct SendMedia {
    #[schema(value_type = ChatText)]
    chat_id: ChatId,
    /// Fetched by this server; http or https, not in a private network. This or `base64`.
    #[schema(min_length = 1, max_length = 2048, format = "uri")]
    url: Option<String>,
    /// The file itself; wins over `url`. A `data:` prefix is fine.
    #[schema(min_length = 1)]
    base64: Option<String>,
    /// The file's type; needed with `base64`.
    #[schema(min_length = 1, max_length = 255, format = "media-type")]
    mimetype: Option<String>,
    /// The file's name.
    #[schema(min_length = 1, max_length = 255)]
    filename: Option<String>,
    /// The text under it.
    #[schema(max_length = 1024)]
    caption: Option<String>,
    /// Who is mentioned. The caption must contain `@<number>` for each.
    #[schema(value_type = Option<Vec<MentionText>>, max_items = 1024)]
    mentions: Option<Vec<ChatId>>,
    /// The message that is answered, by WhatsApp's id.
    #[schema(min_length = 1, max_length = 256)]
    quoted_message_id: Option<String>,
}

/// A sound to send: from a URL or as base64.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = SendAudio, example = json!({
    "chatId": "49170111@c.us", "url": "https://shop.example/hello.ogg", "ptt": true
}))]
struct SendAudio {
    #[schema(value_type = ChatText)]
    chat_id: ChatId,
    /// Fetched by this server; http or https, not in a private network. This or `base64`.
    #[schema(min_length = 1, max_length = 2048, format = "uri")]
    url: Option<String>,
    /// The file itself; wins over `url`. A `data:` prefix is fine.
    #[schema(min_length = 1)]
    base64: Option<String>,
    /// The file's type; needed with `base64` unless `ptt` is set, which means `audio/ogg; codecs=opus`.
    #[schema(min_length = 1, max_length = 255, format = "media-type")]
    mimetype: Option<String>,
    /// The file's name.
    #[schema(min_length = 1, max_length = 255)]
    filename: Option<String>,
    /// Accepted; WhatsApp shows no text under sounds.
    #[schema(max_length = 1024)]
    caption: Option<String>,
    /// Who is mentioned.
    #[schema(value_type = Option<Vec<MentionText>>, max_items = 1024)]
    mentions: Option<Vec<ChatId>>,
    /// The message that is answered, by WhatsApp's id.
    #[schema(min_length = 1, max_length = 256)]
    quoted_message_id: Option<String>,
    /// A voice note.
    ptt: Option<bool>,
}

impl From<SendAudio> for SendMedia {
    fn from(audio: SendAudio) -> Self {
        Self {
            chat_id: audio.chat_id,
            url: audio.url,
            base64: audio.base64,
            mimetype: audio.mimetype,
            filename: audio.filename,
            caption: audio.caption,
            mentions: audio.mentions,
            quoted_message_id: audio.quoted_message_id,
        }
    }
}

impl SendMedia {
    fn sending(self, kind: MediaKind) -> Result<Sending, ApiError> {
        let input = match (self.base64, self.url) {
            (Some(_), _) if self.mimetype.is_none() && kind != MediaKind::Voice => {
                return Err(ApiError::invalid(vec![
                    "mimetype should not be empty".to_owned(),
                    "mimetype must be a string".to_owned(),
                ]));
            }
            (Some(base64), _) => MediaInput::Base64(base64),
            (None, Some(url)) => MediaInput::Url(url),
            (None, None) => return Err(ApiError::problem("url or base64 must be given")),
        };
        // Voice notes from a web server are what their route says, whatever the server calls them.
        let voice = || (kind == MediaKind::Voice).then(|| "audio/ogg; codecs=opus".to_owned());
        let say = Say::Media {
            kind,
            input,
            mimetype: self.mimetype.or_else(voice),
            filename: self.filename,
            caption: self.caption.filter(|text| !text.is_empty()),
        };
        let (mentions, quoted) = (self.mentions, self.quoted_message_id);
        Ok(Sending { chat: self.chat_id, say, mentions, quoted })
    }
}

/// The file alone is too large.
#[derive(utoipa::IntoResponses)]
#[response(status = 413, description = "The body or the file is too large")]
#[expect(dead_code, reason = "describes the answer to the OpenAPI document")]
struct TooLarge(ErrorBody);

async fn send(
    state: &AppState,
    on: OnSession<InChat<Operator>>,
    headers: &HeaderMap,
    body: RawBody,
    kind: MediaKind,
) -> Result<Response, ApiError> {
    on.caller.check_chat_of(&body)?;
    let key = key_of(headers, kind.as_str(), &body)?;
    let body: SendMedia = body.checked()?;
    body.sending(kind)?.send(state, on.session, key).await
}

/// Sends a picture.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/messages/send-image", operation_id = "sendImage", tag = "Messages",
    params(SessionPath, KeyHeader), request_body = SendMedia, responses(SendAnswers, TooLarge),
    security(("X-API-Key" = ["operator", "chat"])),
)]
pub async fn send_image(
    State(state): State<AppState>,
    on: OnSession<InChat<Operator>>,
    headers: HeaderMap,
    body: RawBody,
) -> Result<Response, ApiError> {
    send(&state, on, &headers, body, MediaKind::Image).await
}

/// Sends a video.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/messages/send-video", operation_id = "sendVideo", tag = "Messages",
    params(SessionPath, KeyHeader), request_body = SendMedia, responses(SendAnswers, TooLarge),
    security(("X-API-Key" = ["operator", "chat"])),
)]
pub async fn send_video(
    State(state): State<AppState>,
    on: OnSession<InChat<Operator>>,
    headers: HeaderMap,
    body: RawBody,
) -> Result<Response, ApiError> {
    send(&state, on, &headers, body, MediaKind::Video).await
}

/// Sends a sound, with `ptt` a voice note.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/messages/send-audio", operation_id = "sendAudio", tag = "Messages",
    params(SessionPath, KeyHeader), request_body = SendAudio, responses(SendAnswers, TooLarge),
    security(("X-API-Key" = ["operator", "chat"])),
)]
pub async fn send_audio(
    State(state): State<AppState>,
    on: OnSession<InChat<Operator>>,
    headers: HeaderMap,
    body: RawBody,
) -> Result<Response, ApiError> {
    on.caller.check_chat_of(&body)?;
    let key = key_of(&headers, "send-audio", &body)?;
    let body: SendAudio = body.checked()?;
    let kind = if body.ptt == Some(true) { MediaKind::Voice } else { MediaKind::Audio };
    SendMedia::from(body).sending(kind)?.send(&state, on.session, key).await
}

/// Sends a file as a document.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/messages/send-document", operation_id = "sendDocument", tag = "Messages",
    params(SessionPath, KeyHeader), request_body = SendMedia, responses(SendAnswers, TooLarge),
    security(("X-API-Key" = ["operator", "chat"])),
)]
pub async fn send_document(
    State(state): State<AppState>,
    on: OnSession<InChat<Operator>>,
    headers: HeaderMap,
    body: RawBody,
) -> Result<Response, ApiError> {
    send(&state, on, &headers, body, MediaKind::Document).await
}

/// Sends a sticker (WebP).
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/messages/send-sticker", operation_id = "sendSticker", tag = "Messages",
    params(SessionPath, KeyHeader), request_body = SendMedia, responses(SendAnswers, TooLarge),
    security(("X-API-Key" = ["operator", "chat"])),
)]
pub async fn send_sticker(
    State(state): State<AppState>,
    on: OnSession<InChat<Operator>>,
    headers: HeaderMap,
    body: RawBody,
) -> Result<Response, ApiError> {
    send(&state, on, &headers, body, MediaKind::Sticker).await
}
