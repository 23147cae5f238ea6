//! Files: send-image, send-video, send-audio, send-document, send-sticker.

use axum::{extract::State, response::Response};
use domain::{ChatId, content::MediaKind};
use gateway::messages::{MediaInput, Say, ToSend};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    result::SendAnswers,
    send::{KeyHeader, SendBody, quoted},
};
use crate::{
    AppState,
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
pub struct SendMedia {
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
    /// The name under which the recipient sees the file.
    #[schema(min_length = 1, max_length = 255)]
    filename: Option<String>,
    /// The text under it.
    #[schema(max_length = 1024)]
    caption: Option<String>,
    /// Who is mentioned. The caption must contain `@<number>` for each.
    #[schema(value_type = Option<Vec<MentionText>>, max_items = 1024)]
    mentions: Option<Vec<ChatId>>,
    /// The message being replied to, by its WhatsApp id.
    #[schema(min_length = 1, max_length = 256)]
    quoted_message_id: Option<String>,
}

/// A sound to send: from a URL or as base64.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = SendAudio, example = json!({
    "chatId": "49170111@c.us", "url": "https://shop.example/hello.ogg", "ptt": true
}))]
pub struct SendAudio {
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
    /// The name under which the recipient sees the file.
    #[schema(min_length = 1, max_length = 255)]
    filename: Option<String>,
    /// Accepted; WhatsApp shows no text under sounds.
    #[schema(max_length = 1024)]
    caption: Option<String>,
    /// The people who are mentioned.
    #[schema(value_type = Option<Vec<MentionText>>, max_items = 1024)]
    mentions: Option<Vec<ChatId>>,
    /// The message being replied to, by its WhatsApp id.
    #[schema(min_length = 1, max_length = 256)]
    quoted_message_id: Option<String>,
    /// Whether it is a voice note.
    ptt: Option<bool>,
}

/// A file to send, with what its route says it is.
struct FileToSend {
    kind: MediaKind,
    file: SendMedia,
}

impl SendMedia {
    const fn of_kind(self, kind: MediaKind) -> FileToSend {
        FileToSend { kind, file: self }
    }
}

impl From<SendAudio> for FileToSend {
    fn from(audio: SendAudio) -> Self {
        let kind = if audio.ptt == Some(true) { MediaKind::Voice } else { MediaKind::Audio };
        let file = SendMedia {
            chat_id: audio.chat_id,
            url: audio.url,
            base64: audio.base64,
            mimetype: audio.mimetype,
            filename: audio.filename,
            caption: audio.caption,
            mentions: audio.mentions,
            quoted_message_id: audio.quoted_message_id,
        };
        Self { kind, file }
    }
}

impl TryFrom<FileToSend> for ToSend {
    type Error = ApiError;

    fn try_from(FileToSend { kind, file }: FileToSend) -> Result<Self, ApiError> {
        let input = match (file.base64, file.url) {
            (Some(_), _) if file.mimetype.is_none() && kind != MediaKind::Voice => {
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
            mimetype: file.mimetype.or_else(voice),
            filename: file.filename,
            caption: file.caption.filter(|text| !text.is_empty()),
        };
        Ok(Self {
            chat: file.chat_id,
            say,
            mentions: file.mentions.unwrap_or_default(),
            quoted: quoted(file.quoted_message_id),
        })
    }
}

/// The file is too large, whatever the body is.
#[derive(utoipa::IntoResponses)]
#[response(status = 413, description = "The body or the file is too large")]
#[expect(dead_code, reason = "describes the answer to the OpenAPI document")]
struct TooLarge(ErrorBody);

/// Sends an image file.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/messages/send-image", operation_id = "sendImage", tag = "Messages",
    params(SessionPath, KeyHeader), request_body = SendMedia, responses(SendAnswers, TooLarge),
    security(("X-API-Key" = ["operator", "chat"])),
)]
pub async fn send_image(
    state: State<AppState>,
    on: SendBody<SendMedia>,
) -> Result<Response, ApiError> {
    on.map(|media| media.of_kind(MediaKind::Image)).send(state).await
}

/// Sends a video file.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/messages/send-video", operation_id = "sendVideo", tag = "Messages",
    params(SessionPath, KeyHeader), request_body = SendMedia, responses(SendAnswers, TooLarge),
    security(("X-API-Key" = ["operator", "chat"])),
)]
pub async fn send_video(
    state: State<AppState>,
    on: SendBody<SendMedia>,
) -> Result<Response, ApiError> {
    on.map(|media| media.of_kind(MediaKind::Video)).send(state).await
}

/// Sends an audio file; with `ptt`, a voice note.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/messages/send-audio", operation_id = "sendAudio", tag = "Messages",
    params(SessionPath, KeyHeader), request_body = SendAudio, responses(SendAnswers, TooLarge),
    security(("X-API-Key" = ["operator", "chat"])),
)]
pub async fn send_audio(
    state: State<AppState>,
    on: SendBody<SendAudio>,
) -> Result<Response, ApiError> {
    on.map(FileToSend::from).send(state).await
}

/// Sends a file as a document.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/messages/send-document", operation_id = "sendDocument", tag = "Messages",
    params(SessionPath, KeyHeader), request_body = SendMedia, responses(SendAnswers, TooLarge),
    security(("X-API-Key" = ["operator", "chat"])),
)]
pub async fn send_document(
    state: State<AppState>,
    on: SendBody<SendMedia>,
) -> Result<Response, ApiError> {
    on.map(|media| media.of_kind(MediaKind::Document)).send(state).await
}

/// Sends a sticker (WebP).
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/messages/send-sticker", operation_id = "sendSticker", tag = "Messages",
    params(SessionPath, KeyHeader), request_body = SendMedia, responses(SendAnswers, TooLarge),
    security(("X-API-Key" = ["operator", "chat"])),
)]
pub async fn send_sticker(
    state: State<AppState>,
    on: SendBody<SendMedia>,
) -> Result<Response, ApiError> {
    on.map(|media| media.of_kind(MediaKind::Sticker)).send(state).await
}
