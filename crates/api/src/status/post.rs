//! Posting a status: send-text, send-image, send-video, send-voice.

use axum::{
    Json,
    extract::{FromRequest, FromRequestParts as _, Request, State},
    http::{HeaderValue, StatusCode},
    response::{IntoResponse as _, Response},
};
use domain::{
    ChatId, SessionId, Timestamp,
    content::MediaKind,
    message::MessageStatus,
    status::{STATUS_FONTS, STATUS_LIFE, TextStyle, parse_colour},
};
use gateway::messages::{Answered, IdempotencyKey, MediaInput, Preview, Say, StatusSay};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use utoipa::{IntoResponses, ToSchema};

use crate::{
    AppState,
    access::{OnSession, Operator},
    body::RawBody,
    error::{ApiError, ErrorBody, of_status},
    messages::{
        result::REPLAYED,
        send::{KeyHeader, key_text},
    },
    sessions::SessionPath,
    words::{ColourText, MentionText, MessageStatusWord},
};

/// A status that was handed to WhatsApp.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = StatusResult, example = json!({
    "statusId": "3EB0C767D26B8A3F1A2B", "timestamp": "2026-10-01T08:00:00.000Z",
    "expiresAt": "2026-10-02T08:00:00.000Z", "status": "sent"
}))]
pub struct StatusResult {
    /// WhatsApp's id of it.
    status_id: String,
    timestamp: String,
    expires_at: String,
    /// `pending` when WhatsApp did not answer in time: it goes out as soon as it can. An addition to OpenWA.
    #[schema(value_type = MessageStatusWord)]
    status: MessageStatus,
}

/// The answers of every route that posts a status.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes the answers to the OpenAPI document")]
enum StatusAnswers {
    #[response(
        status = 201,
        description = "Accepted: WhatsApp took it, or will get it",
        headers(("Idempotent-Replayed" = bool, description = "`true` when the same Idempotency-Key came before"))
    )]
    Created(StatusResult),
    #[response(
        status = 400,
        description = "A wrong body, nobody to see it, no such file, a plugin's no, or code IDEMPOTENCY_KEY_INVALID"
    )]
    Wrong(ErrorBody),
    #[response(status = 403, description = "The key is not allowed to, or WhatsApp refused")]
    Forbidden(ErrorBody),
    #[response(status = 404, description = "No such session, or one that is not started")]
    NotFound(ErrorBody),
    #[response(
        status = 409,
        description = "The session is not ready. With a code of IDEMPOTENCY_ the same request came before"
    )]
    Conflict(ErrorBody),
    #[response(status = 413, description = "The body or the file is too large")]
    TooLarge(ErrorBody),
    #[response(
        status = 422,
        description = "Code IDEMPOTENCY_KEY_REUSED: the key came before with another request"
    )]
    Reused(ErrorBody),
    #[response(
        status = 429,
        description = "Too fast: by this gateway's pacing (code SEND_PACING_LIMITED), or as WhatsApp says"
    )]
    TooMany(ErrorBody),
    #[response(
        status = 503,
        description = "The ledger did not answer; whether it went out is not known"
    )]
    Unavailable(ErrorBody),
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = SendTextStatus, example = json!({
    "text": "Open till six", "backgroundColor": "#1E6E4F", "font": 2, "recipients": ["49170111@c.us"]
}))]
pub struct SendTextStatus {
    #[schema(min_length = 1, max_length = 4096, format = "visible")]
    text: String,
    /// Who sees it. Without it: everybody in the account's address book.
    #[schema(value_type = Option<Vec<MentionText>>, min_items = 1, max_items = 256)]
    recipients: Option<Vec<ChatId>>,
    /// The colour behind it.
    #[schema(value_type = Option<ColourText>)]
    background_color: Option<String>,
    /// 0, 1, 2, 6, 7, 8, 9 or 10, as WhatsApp numbers its fonts.
    #[schema(minimum = 0, maximum = 10)]
    font: Option<u8>,
}

/// A file of a status: from a URL or as base64.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StatusFile {
    /// Fetched by this server; http or https, not in a private network. This or `base64`.
    #[schema(min_length = 1, max_length = 2048, format = "uri")]
    url: Option<String>,
    /// The file itself; wins over `url`. A `data:` prefix is fine.
    #[schema(min_length = 1)]
    base64: Option<String>,
    /// The file's type; needed with `base64`, but for a voice note.
    #[schema(min_length = 1, max_length = 255, format = "media-type")]
    mimetype: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = SendImageStatus, example = json!({
    "image": {"url": "https://shop.example/cake.jpg"}, "caption": "Fresh today"
}))]
pub struct SendImageStatus {
    image: StatusFile,
    /// Who sees it. Without it: everybody in the account's address book.
    #[schema(value_type = Option<Vec<MentionText>>, min_items = 1, max_items = 256)]
    recipients: Option<Vec<ChatId>>,
    /// The text under it.
    #[schema(max_length = 1024)]
    caption: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = SendVideoStatus, example = json!({
    "video": {"url": "https://shop.example/oven.mp4"}, "caption": "This morning"
}))]
pub struct SendVideoStatus {
    video: StatusFile,
    /// Who sees it. Without it: everybody in the account's address book.
    #[schema(value_type = Option<Vec<MentionText>>, min_items = 1, max_items = 256)]
    recipients: Option<Vec<ChatId>>,
    /// The text under it.
    #[schema(max_length = 1024)]
    caption: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = SendVoiceStatus, example = json!({
    "audio": {"url": "https://shop.example/hello.ogg"}, "backgroundColor": "#1E6E4F"
}))]
pub struct SendVoiceStatus {
    audio: StatusFile,
    /// Who sees it. Without it: everybody in the account's address book.
    #[schema(value_type = Option<Vec<MentionText>>, min_items = 1, max_items = 256)]
    recipients: Option<Vec<ChatId>>,
    /// The colour behind it.
    #[schema(value_type = Option<ColourText>)]
    background_color: Option<String>,
}

impl StatusFile {
    fn say(self, kind: MediaKind, caption: Option<String>) -> Result<Say, ApiError> {
        let Self { url, base64, mimetype } = self;
        let input = match (base64, url) {
            (Some(_), _) if mimetype.is_none() && kind != MediaKind::Voice => {
                return Err(ApiError::problem("mimetype must be given with base64"));
            }
            (Some(base64), _) => MediaInput::Base64(base64),
            (None, Some(url)) => MediaInput::Url(url),
            (None, None) => return Err(ApiError::problem("url or base64 must be given")),
        };
        // Voice notes from a web server are what their route says, whatever the server calls them.
        let voice = || (kind == MediaKind::Voice).then(|| "audio/ogg; codecs=opus".to_owned());
        let mimetype = mimetype.or_else(voice);
        let caption = caption.filter(|text| !text.is_empty());
        Ok(Say::Media { kind, input, mimetype, filename: None, caption })
    }
}

impl TryFrom<SendTextStatus> for StatusSay {
    type Error = ApiError;

    fn try_from(body: SendTextStatus) -> Result<Self, ApiError> {
        if body.font.is_some_and(|font| !STATUS_FONTS.contains(&font)) {
            let fonts = STATUS_FONTS.map(|font| font.to_string()).join(", ");
            let problem = format!("font must be one of the following values: {fonts}");
            return Err(ApiError::problem(problem));
        }
        let background = body.background_color.as_deref().and_then(parse_colour);
        Ok(Self {
            say: Say::Text { text: body.text, preview: Preview::Off },
            style: TextStyle { background, font: body.font },
            recipients: body.recipients,
        })
    }
}

impl TryFrom<SendImageStatus> for StatusSay {
    type Error = ApiError;

    fn try_from(body: SendImageStatus) -> Result<Self, ApiError> {
        let say = body.image.say(MediaKind::Image, body.caption)?;
        Ok(Self { say, style: TextStyle::default(), recipients: body.recipients })
    }
}

impl TryFrom<SendVideoStatus> for StatusSay {
    type Error = ApiError;

    fn try_from(body: SendVideoStatus) -> Result<Self, ApiError> {
        let say = body.video.say(MediaKind::Video, body.caption)?;
        Ok(Self { say, style: TextStyle::default(), recipients: body.recipients })
    }
}

impl TryFrom<SendVoiceStatus> for StatusSay {
    type Error = ApiError;

    fn try_from(body: SendVoiceStatus) -> Result<Self, ApiError> {
        let say = body.audio.say(MediaKind::Voice, None)?;
        let background = body.background_color.as_deref().and_then(parse_colour);
        let style = TextStyle { background, font: None };
        Ok(Self { say, style, recipients: body.recipients })
    }
}

/// A checked body of a status, with its idempotency key. Keys with a chat list may not post one.
pub struct PostBody<T> {
    session: SessionId,
    body: T,
    key: Option<IdempotencyKey>,
}

impl<T: DeserializeOwned + ToSchema> FromRequest<AppState> for PostBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, ApiError> {
        let (mut parts, body) = request.into_parts();
        let on = OnSession::<Operator>::from_request_parts(&mut parts, state).await?;
        let key = key_text(&parts.headers)?;
        let route = parts.uri.path().rsplit('/').next().unwrap_or_default().to_owned();
        let raw = RawBody::from_request(Request::from_parts(parts, body), state).await?;
        let word = format!("status/{route}");
        let key = key.map(|key| IdempotencyKey { key, fingerprint: raw.fingerprint(&word) });
        Ok(Self { session: on.session, body: raw.checked()?, key })
    }
}

impl<T: TryInto<StatusSay, Error = ApiError>> PostBody<T> {
    async fn post(self, State(state): State<AppState>) -> Result<Response, ApiError> {
        let post = self.body.try_into()?;
        let posted = state.gateway.messages.post_status(self.session, post, self.key).await;
        Ok(answer(posted.map_err(|error| of_status(self.session, error))?))
    }
}

fn answer(Answered { sent, replayed }: Answered) -> Response {
    let at = Timestamp::from_seconds(sent.timestamp);
    let result = StatusResult {
        status_id: sent.id.to_string(),
        timestamp: at.iso(),
        expires_at: at.plus(STATUS_LIFE).iso(),
        status: sent.status,
    };
    let mut response = (StatusCode::CREATED, Json(result)).into_response();
    if replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

/// Posts a text as a status.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/status/send-text", operation_id = "sendTextStatus", tag = "Status",
    params(SessionPath, KeyHeader), request_body = SendTextStatus, responses(StatusAnswers),
    security(("X-API-Key" = ["operator"])),
)]
pub async fn send_text(
    state: State<AppState>,
    on: PostBody<SendTextStatus>,
) -> Result<Response, ApiError> {
    on.post(state).await
}

/// Posts a picture as a status.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/status/send-image", operation_id = "sendImageStatus", tag = "Status",
    params(SessionPath, KeyHeader), request_body = SendImageStatus, responses(StatusAnswers),
    security(("X-API-Key" = ["operator"])),
)]
pub async fn send_image(
    state: State<AppState>,
    on: PostBody<SendImageStatus>,
) -> Result<Response, ApiError> {
    on.post(state).await
}

/// Posts a video as a status.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/status/send-video", operation_id = "sendVideoStatus", tag = "Status",
    params(SessionPath, KeyHeader), request_body = SendVideoStatus, responses(StatusAnswers),
    security(("X-API-Key" = ["operator"])),
)]
pub async fn send_video(
    state: State<AppState>,
    on: PostBody<SendVideoStatus>,
) -> Result<Response, ApiError> {
    on.post(state).await
}

/// Posts a voice note as a status.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/status/send-voice", operation_id = "sendVoiceStatus", tag = "Status",
    params(SessionPath, KeyHeader), request_body = SendVoiceStatus, responses(StatusAnswers),
    security(("X-API-Key" = ["operator"])),
)]
pub async fn send_voice(
    state: State<AppState>,
    on: PostBody<SendVoiceStatus>,
) -> Result<Response, ApiError> {
    on.post(state).await
}
