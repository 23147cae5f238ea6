//! A session's life: start, stop, logout, force-kill, and the two ways to link a phone.

use axum::{Json, extract::State, http::StatusCode};
use domain::{PhoneNumber, session::SessionStatus};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{SessionBody, SessionPath};
use crate::{
    AppState,
    access::{OnSession, Operator},
    body::Body,
    error::ApiError,
    words::SessionStatusWord,
};

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(start))
        .routes(routes!(stop))
        .routes(routes!(logout))
        .routes(routes!(force_kill))
        .routes(routes!(qr))
        .routes(routes!(pairing_code))
}

/// A QR code to scan with the phone.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = QrCode)]
struct QrBody {
    /// A PNG picture as a data URL.
    #[schema(example = "data:image/png;base64,iVBORw0…")]
    qr_code: String,
    #[schema(value_type = SessionStatusWord)]
    status: SessionStatus,
    /// The text behind the picture, to draw it otherwise. An addition to OpenWA.
    code: String,
    /// When the next code takes its place. An addition to OpenWA.
    expires_at: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = RequestPairingCode, example = json!({"phoneNumber": "49170111"}))]
struct RequestPairingCode {
    /// The number of the phone that will be linked, digits only.
    #[schema(pattern = "^[0-9]{6,15}$")]
    phone_number: String,
}

/// A code to type into the phone.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PairingCode)]
struct PairingBody {
    #[schema(example = "ABCD1234")]
    pairing_code: String,
    #[schema(value_type = SessionStatusWord)]
    status: SessionStatus,
}

/// Starts a session: with keys it logs in, without it shows QR codes.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/start", operation_id = "startSession", tag = "Sessions",
    params(SessionPath),
    responses(
        (status = 200, description = "Starting", body = SessionBody),
        (status = 400, description = "Already started, or too many sessions run", body = crate::error::ErrorBody),
        (status = 409, description = "Another process runs it", body = crate::error::ErrorBody),
    ),
    security(("X-API-Key" = ["operator"])),
)]
async fn start(
    State(state): State<AppState>,
    on: OnSession<Operator>,
) -> Result<Json<SessionBody>, ApiError> {
    let view = state.gateway.sessions.start(on.session).await?;
    Ok(Json(view.into()))
}

/// Stops a session and keeps its keys. It stays stopped, over restarts too.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/stop", operation_id = "stopSession", tag = "Sessions",
    params(SessionPath),
    responses((status = 200, description = "Stopped", body = SessionBody)),
    security(("X-API-Key" = ["operator"])),
)]
async fn stop(
    State(state): State<AppState>,
    on: OnSession<Operator>,
) -> Result<Json<SessionBody>, ApiError> {
    let view = state.gateway.sessions.stop(on.session).await?;
    Ok(Json(view.into()))
}

/// Unlinks the device at WhatsApp and deletes its keys.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/logout", operation_id = "logoutSession", tag = "Sessions",
    params(SessionPath),
    responses(
        (status = 200, description = "Unlinked", body = SessionBody),
        (status = 400, description = "Not started", body = crate::error::ErrorBody),
        (status = 502, description = "Keys are deleted here, but WhatsApp did not confirm the unlinking", body = crate::error::ErrorBody),
    ),
    security(("X-API-Key" = ["operator"])),
)]
async fn logout(
    State(state): State<AppState>,
    on: OnSession<Operator>,
) -> Result<Json<SessionBody>, ApiError> {
    let view = state.gateway.sessions.logout(on.session).await?;
    Ok(Json(view.into()))
}

/// Ends a stuck session without waiting for anything.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/force-kill", operation_id = "forceKillSession", tag = "Sessions",
    params(SessionPath),
    responses(
        (status = 200, description = "Ended", body = SessionBody),
        (status = 400, description = "Not started", body = crate::error::ErrorBody),
    ),
    security(("X-API-Key" = ["operator"])),
)]
async fn force_kill(
    State(state): State<AppState>,
    on: OnSession<Operator>,
) -> Result<Json<SessionBody>, ApiError> {
    let view = state.gateway.sessions.force_kill(on.session).await?;
    Ok(Json(view.into()))
}

/// The QR code that links a phone, while the session waits for one.
#[utoipa::path(
    get, path = "/api/sessions/{sessionId}/qr", operation_id = "getQrCode", tag = "Sessions",
    params(SessionPath),
    responses(
        (status = 200, description = "The picture", body = QrBody),
        (status = 400, description = "Not started, not ready yet, or linked already", body = crate::error::ErrorBody),
    ),
    security(("X-API-Key" = ["operator"])),
)]
async fn qr(
    State(state): State<AppState>,
    on: OnSession<Operator>,
) -> Result<Json<QrBody>, ApiError> {
    let view = state.gateway.sessions.qr(on.session).await?;
    Ok(Json(QrBody {
        qr_code: view.png_data_url,
        status: view.status,
        code: view.code,
        expires_at: view.expires_at.iso(),
    }))
}

/// Asks WhatsApp for a code to type into a phone, instead of scanning a picture.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/pairing-code", operation_id = "requestPairingCode", tag = "Sessions",
    params(SessionPath), request_body = RequestPairingCode,
    responses(
        (status = 201, description = "The code", body = PairingBody),
        (status = 409, description = "Not waiting for a phone yet", body = crate::error::ErrorBody),
    ),
    security(("X-API-Key" = ["operator"])),
)]
async fn pairing_code(
    State(state): State<AppState>,
    on: OnSession<Operator>,
    Body(request): Body<RequestPairingCode>,
) -> Result<(StatusCode, Json<PairingBody>), ApiError> {
    let phone = PhoneNumber::parse(&request.phone_number)
        .ok_or_else(|| ApiError::problem("phoneNumber must be a phone number"))?;
    let sessions = &state.gateway.sessions;
    let view = sessions.pairing_code(on.session, &phone).await?;
    let body = PairingBody { pairing_code: view.code, status: view.status };
    Ok((StatusCode::CREATED, Json(body)))
}
