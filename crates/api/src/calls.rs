//! Calls: links to them, and refusing one that rings.

use axum::{Json, extract::State};
use domain::{Timestamp, port::CallMedia};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    AppState,
    access::{OnSession, Operator},
    body::Body,
    error::{ApiError, echo},
    messages::result::Success,
    people::{ActionErrors, DoneAnswer},
    sessions::SessionPath,
    words::CallMediaWord,
};

/// Longest id of a call; WhatsApp's have 32 characters.
const CALL_ID_CHARS_MAX: usize = 128;

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(link)).routes(routes!(reject))
}

/// A call that people join by a link.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = CreateCallLink, example = json!({"type": "video", "startTime": 1_790_841_600_000_i64}))]
struct CallLinkBody {
    #[schema(value_type = CallMediaWord)]
    r#type: CallType,
    /// When it begins, in epoch milliseconds.
    #[schema(minimum = 1, maximum = 8_640_000_000_000_000_i64)]
    start_time: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum CallType {
    Audio,
    Video,
}

/// The link to a call.
#[derive(Serialize, ToSchema)]
#[schema(as = CallLink, example = json!({"link": "https://call.whatsapp.com/video/AbCdEf123"}))]
struct CallLinkAnswer {
    link: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes the path to the OpenAPI document")]
struct CallPath {
    /// The id of the session.
    #[param(rename = "sessionId", example = "3b0c6f52-0c1e-4a77-9d0e-5a1f2b3c4d5e")]
    session_id: String,
    /// The id of the call, from `call.received`.
    #[param(rename = "callId", example = "A1B2C3D4E5F60718293A4B5C6D7E8F90")]
    call_id: String,
}

/// Makes a link to a call that people join.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/calls/link", operation_id = "createCallLink", tag = "Calls",
    params(SessionPath), request_body = CallLinkBody,
    responses((status = 200, description = "The link", body = CallLinkAnswer), ActionErrors),
    security(("X-API-Key" = ["operator"])),
)]
async fn link(
    State(state): State<AppState>,
    on: OnSession<Operator>,
    Body(body): Body<CallLinkBody>,
) -> Result<Json<CallLinkAnswer>, ApiError> {
    let media = match body.r#type {
        CallType::Audio => CallMedia::Audio,
        CallType::Video => CallMedia::Video,
    };
    let start = Timestamp::from_millis(body.start_time);
    let link = state.gateway.people.call_link(on.session, media, start).await?;
    Ok(Json(CallLinkAnswer { link }))
}

/// Refuses a call that rings.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/calls/{callId}/reject", operation_id = "rejectCall", tag = "Calls",
    params(CallPath), responses(DoneAnswer, ActionErrors),
    security(("X-API-Key" = ["operator"])),
)]
async fn reject(
    State(state): State<AppState>,
    on: OnSession<Operator>,
) -> Result<Json<Success>, ApiError> {
    let call = on.caller.text("callId");
    if call.chars().count() > CALL_ID_CHARS_MAX {
        let sentence = format!("Call {} is not ringing", echo(call));
        return Err(ApiError::new(axum::http::StatusCode::NOT_FOUND, sentence));
    }
    state.gateway.people.reject_call(on.session, call).await?;
    Ok(Success::yes())
}
