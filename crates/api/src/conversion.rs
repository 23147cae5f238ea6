//! Media conversion: a voice note or a video that every phone plays, made of what the caller has.

use axum::{Json, extract::State, http::StatusCode};
use gateway::{
    media::{ConversionError, ConvertTarget},
    messages::{ConvertFileError, MediaInput},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    AppState,
    access::{ExistingSession, OnSession, Operator, Viewer},
    body::Body,
    error::ApiError,
    sessions::SessionPath,
};

/// When a caller that found no place may come back.
const RETRY_SECONDS: u64 = 5;

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(available)).routes(routes!(voice)).routes(routes!(video))
}

/// Whether files can be converted.
#[derive(Serialize, ToSchema)]
#[schema(as = ConversionAvailable)]
struct AvailableBody {
    available: bool,
}

/// A file to convert: from a URL or as base64.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = ConvertMedia, example = json!({"url": "https://shop.example/hello.mp3"}))]
struct ConvertMedia {
    /// Fetched by this server; http or https, not in a private network. This or `base64`.
    #[schema(min_length = 1, max_length = 2048, format = "uri")]
    url: Option<String>,
    /// The file itself; wins over `url`. A `data:` prefix is fine.
    #[schema(min_length = 1)]
    base64: Option<String>,
}

/// The file that was made.
#[derive(Serialize, ToSchema)]
#[schema(as = ConvertedMedia, example = json!({"base64": "T2dnUw…", "mimetype": "audio/ogg", "bytes": 4012}))]
struct ConvertedBody {
    base64: String,
    mimetype: &'static str,
    /// Its length before it was written as base64.
    bytes: u64,
}

impl From<ConvertFileError> for ApiError {
    fn from(error: ConvertFileError) -> Self {
        match error {
            ConvertFileError::Session(error) => error.into(),
            ConvertFileError::Conversion(error) => error.into(),
        }
    }
}

impl From<ConversionError> for ApiError {
    fn from(error: ConversionError) -> Self {
        let unavailable =
            |error: ConversionError| Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string());
        match error {
            ConversionError::Absent | ConversionError::Late => unavailable(error),
            ConversionError::Busy => unavailable(error).with_retry(RETRY_SECONDS),
            ConversionError::Unknown | ConversionError::Failed => {
                Self::bad_request(error.to_string())
            }
            ConversionError::Media(error) => error.into(),
        }
    }
}

async fn convert(
    state: &AppState,
    on: &OnSession<Operator>,
    body: ConvertMedia,
    target: ConvertTarget,
) -> Result<Json<ConvertedBody>, ApiError> {
    let input = match (body.base64, body.url) {
        (Some(base64), _) => MediaInput::Base64(base64),
        (None, Some(url)) => MediaInput::Url(url),
        (None, None) => return Err(ApiError::problem("Either url or base64 must be provided")),
    };
    let made = state.gateway.messages.convert(on.session, &input, target).await?;
    Ok(Json(ConvertedBody { base64: made.base64, mimetype: made.mimetype, bytes: made.size_bytes }))
}

/// Whether files can be converted here: ffmpeg is there, and conversion is switched on.
#[utoipa::path(
    get, path = "/api/sessions/{sessionId}/media/convert", operation_id = "canConvertMedia", tag = "Media",
    params(SessionPath),
    responses((status = 200, description = "Whether it is available", body = AvailableBody)),
    security(("X-API-Key" = ["viewer"])),
)]
async fn available(
    State(state): State<AppState>,
    _on: ExistingSession<Viewer>,
) -> Result<Json<AvailableBody>, ApiError> {
    Ok(Json(AvailableBody { available: state.gateway.media.can_convert().await }))
}

/// Makes a voice note: Ogg Opus in one channel.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/media/convert/voice", operation_id = "convertToVoice", tag = "Media",
    params(SessionPath), request_body = ConvertMedia,
    responses(
        (status = 200, description = "The voice note", body = ConvertedBody),
        (status = 400, description = "A wrong body, or a file that is no sound", body = crate::error::ErrorBody),
        (status = 413, description = "The file, or the result, is too large", body = crate::error::ErrorBody),
        (status = 503, description = "No ffmpeg, too many at once, or too slow", body = crate::error::ErrorBody),
    ),
    security(("X-API-Key" = ["operator"])),
)]
async fn voice(
    State(state): State<AppState>,
    on: OnSession<Operator>,
    Body(body): Body<ConvertMedia>,
) -> Result<Json<ConvertedBody>, ApiError> {
    convert(&state, &on, body, ConvertTarget::Voice).await
}

/// Makes a video that every phone plays: H.264 and AAC in an MP4.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/media/convert/video", operation_id = "convertToVideo", tag = "Media",
    params(SessionPath), request_body = ConvertMedia,
    responses(
        (status = 200, description = "The video", body = ConvertedBody),
        (status = 400, description = "A wrong body, or a file that is no video", body = crate::error::ErrorBody),
        (status = 413, description = "The file, or the result, is too large", body = crate::error::ErrorBody),
        (status = 503, description = "No ffmpeg, too many at once, or too slow", body = crate::error::ErrorBody),
    ),
    security(("X-API-Key" = ["operator"])),
)]
async fn video(
    State(state): State<AppState>,
    on: OnSession<Operator>,
    Body(body): Body<ConvertMedia>,
) -> Result<Json<ConvertedBody>, ApiError> {
    convert(&state, &on, body, ConvertTarget::Video).await
}
