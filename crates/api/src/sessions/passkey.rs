//! Linking an account that asks for its passkey. Not part of OpenWA's contract.

use axum::{Json, extract::State, http::StatusCode};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::{Timestamp, port::PasskeyAssertion};
use gateway::sessions::PasskeyView;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::SessionPath;
use crate::{
    AppState,
    access::{OnSession, Operator},
    body::Body,
    error::ApiError,
};

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(passkey)).routes(routes!(answer)).routes(routes!(confirm))
}

/// How far the linking with a passkey is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Passkey)]
struct PasskeyBody {
    /// What is waited for: `assertion` (the browser), `exchange` (the phone), `confirmation` (somebody compares the
    /// codes), `completion` (WhatsApp).
    phase: &'static str,
    /// For `navigator.credentials.get({publicKey: …})` on a page of whatsapp.com; binary fields are base64url.
    #[schema(required, value_type = Option<Object>)]
    options: Option<Value>,
    /// The code that the phone must show too.
    #[schema(required, example = "7QK2-M9PX")]
    code: Option<String>,
    /// When the step is over.
    #[schema(required)]
    expires_at: Option<String>,
    /// Why it failed; a new start of the session begins anew.
    #[schema(required)]
    error: Option<String>,
}

impl From<PasskeyView> for PasskeyBody {
    fn from(view: PasskeyView) -> Self {
        Self {
            phase: view.phase.as_str(),
            options: view.options,
            code: view.code,
            expires_at: view.expires_at.map(Timestamp::iso),
            error: view.error,
        }
    }
}

/// What the browser answered: a `PublicKeyCredential`, binary fields as base64url without padding.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = PasskeyAnswer)]
struct PasskeyAnswerBody {
    /// The id of the credential; the same as `rawId`.
    #[schema(min_length = 1, max_length = 2048)]
    id: String,
    #[schema(min_length = 1, max_length = 2048)]
    raw_id: String,
    r#type: PasskeyCredentialType,
    response: PasskeyAnswerResponse,
    /// Where the authenticator is, as the browser says; not handed on.
    #[schema(nullable = false, max_length = 64)]
    #[serde(default)]
    #[expect(dead_code, reason = "browsers send it, nothing here asks for it")]
    authenticator_attachment: Option<String>,
    /// What extensions said; not handed on.
    #[schema(nullable = false, value_type = Object)]
    #[serde(default)]
    #[expect(dead_code, reason = "browsers send it, nothing here asks for it")]
    client_extension_results: Option<serde_json::Map<String, Value>>,
}

/// The one type of credential there is.
#[derive(Serialize, Deserialize, ToSchema)]
enum PasskeyCredentialType {
    #[serde(rename = "public-key")]
    PublicKey,
}

/// The signed part of a browser's answer.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PasskeyAnswerResponse {
    #[serde(rename = "clientDataJSON")]
    #[schema(min_length = 1, max_length = 8192)]
    client_data_json: String,
    #[serde(rename = "authenticatorData")]
    #[schema(min_length = 1, max_length = 8192)]
    authenticator_data: String,
    #[schema(min_length = 1, max_length = 8192)]
    signature: String,
    #[serde(rename = "userHandle", default)]
    #[schema(max_length = 2048)]
    user_handle: Option<String>,
}

impl PasskeyAnswerBody {
    /// As WhatsApp takes it. What is no base64url is refused before anything is sent.
    fn assertion(&self) -> Result<PasskeyAssertion, ApiError> {
        let response = &self.response;
        let decode = |field: &str, text: &str| {
            let bytes = URL_SAFE_NO_PAD.decode(text.trim_end_matches('='));
            bytes.map_err(|_| ApiError::problem(format!("{field} must be base64url")))
        };
        let credential = decode("rawId", &self.raw_id)?;
        decode("id", &self.id)?;
        decode("response.clientDataJSON", &response.client_data_json)?;
        decode("response.authenticatorData", &response.authenticator_data)?;
        decode("response.signature", &response.signature)?;
        if let Some(handle) = &response.user_handle {
            decode("response.userHandle", handle)?;
        }
        let json = json!({
            "id": self.id,
            "rawId": self.raw_id,
            "type": self.r#type,
            "response": {
                "clientDataJSON": response.client_data_json,
                "authenticatorData": response.authenticator_data,
                "signature": response.signature,
                "userHandle": response.user_handle,
            },
        });
        Ok(PasskeyAssertion { json: json.to_string(), credential })
    }
}

/// What is waited for while the account asks for its passkey.
#[utoipa::path(
    get, path = "/api/sessions/{sessionId}/passkey", operation_id = "getPasskey", tag = "Sessions",
    params(SessionPath),
    responses(
        (status = 200, description = "What is waited for", body = PasskeyBody),
        (status = 400, description = "Not started, or the account asks for no passkey", body = crate::error::ErrorBody),
    ),
    security(("X-API-Key" = ["operator"])),
)]
async fn passkey(
    State(state): State<AppState>,
    on: OnSession<Operator>,
) -> Result<Json<PasskeyBody>, ApiError> {
    Ok(Json(state.gateway.sessions.passkey(on.session).await?.into()))
}

/// Hands the browser's answer to WhatsApp.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/passkey/response", operation_id = "answerPasskey", tag = "Sessions",
    params(SessionPath), request_body = PasskeyAnswerBody,
    responses(
        (status = 202, description = "Handed on", body = PasskeyBody),
        (status = 409, description = "No answer is waited for", body = crate::error::ErrorBody),
        (status = 502, description = "WhatsApp refused it: the linking is over", body = crate::error::ErrorBody),
    ),
    security(("X-API-Key" = ["operator"])),
)]
async fn answer(
    State(state): State<AppState>,
    on: OnSession<Operator>,
    Body(request): Body<PasskeyAnswerBody>,
) -> Result<(StatusCode, Json<PasskeyBody>), ApiError> {
    let assertion = request.assertion()?;
    let sessions = &state.gateway.sessions;
    sessions.answer_passkey(on.session, assertion).await?;
    Ok((StatusCode::ACCEPTED, Json(sessions.passkey(on.session).await?.into())))
}

/// Says that the code is the one that the phone shows.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/passkey/confirm", operation_id = "confirmPasskey", tag = "Sessions",
    params(SessionPath),
    responses(
        (status = 202, description = "Handed on; the device is linked in a moment", body = PasskeyBody),
        (status = 409, description = "No code is waited for", body = crate::error::ErrorBody),
        (status = 502, description = "WhatsApp refused it: the linking is over", body = crate::error::ErrorBody),
    ),
    security(("X-API-Key" = ["operator"])),
)]
async fn confirm(
    State(state): State<AppState>,
    on: OnSession<Operator>,
) -> Result<(StatusCode, Json<PasskeyBody>), ApiError> {
    let sessions = &state.gateway.sessions;
    let before = sessions.passkey(on.session).await?;
    sessions.confirm_passkey(on.session).await?;
    // It may be over already.
    let now = sessions.passkey(on.session).await.unwrap_or(before);
    Ok((StatusCode::ACCEPTED, Json(now.into())))
}
