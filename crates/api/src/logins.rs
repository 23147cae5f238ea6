//! Logins of browsers: `/api/auth/session…`. A key, or a link's text, becomes a cookie.

use axum::{
    Json,
    extract::{FromRequest as _, Request, State},
    http::{HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse as _, Response},
};
use domain::{
    ChatId, SessionId, Timestamp,
    api_key::{ApiKey, Role},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    AppState,
    access::{
        Caller, InChat, Shown, Viewer, check_origin, let_in, login_of, presented_key, set_cookie,
    },
    body::Body,
    error::ApiError,
    words::{AllowedChatText, RoleWord, SessionIdText},
};

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(open, current, close)).routes(routes!(link))
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = OpenLogin, example = json!({"apiKey": "owa_k1_0f3c2ab4…"}))]
struct LoginOpenBody {
    /// A key. One in a header goes before it.
    #[schema(max_length = 1024)]
    api_key: Option<String>,
    /// The text of a login link. It works once, and not together with a key.
    #[schema(max_length = 1024)]
    token: Option<String>,
}

impl LoginOpenBody {
    /// A link that is not what logs in would be lost, or left for somebody else.
    fn check(&self, with_key: bool) -> Result<(), ApiError> {
        if with_key && self.token.is_some() {
            return Err(ApiError::problem("token cannot be combined with a key"));
        }
        Ok(())
    }
}

/// Who is logged in, and what that is good for: the rights that the key has at this moment.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Login)]
struct LoginBody {
    /// The id of the key.
    api_key_id: String,
    /// The name of the key.
    name: String,
    #[schema(value_type = RoleWord)]
    role: Role,
    /// The sessions that it sees; empty means all.
    #[schema(value_type = Vec<SessionIdText>)]
    allowed_sessions: Vec<SessionId>,
    /// The chats that it sees; empty means all.
    #[schema(value_type = Vec<AllowedChatText>)]
    allowed_chats: Vec<ChatId>,
    /// When the login ends by itself; `null` for a caller that shows its key.
    #[schema(required)]
    expires_at: Option<String>,
    /// The gateway's version.
    version: &'static str,
}

/// A link that lets one browser in, once.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = LoginLink)]
struct LoginLinkBody {
    /// What the dashboard's address takes behind `#login=`.
    token: String,
    /// When it stops working.
    expires_at: String,
}

fn present(key: &ApiKey, until: Option<Timestamp>, state: &AppState) -> LoginBody {
    LoginBody {
        api_key_id: key.id.to_string(),
        name: key.name.clone(),
        role: key.role,
        allowed_sessions: key.allowed_sessions.clone(),
        allowed_chats: key.allowed_chats.clone(),
        expires_at: until.map(Timestamp::iso),
        version: state.options.version,
    }
}

/// Logs a browser in: the answer sets a cookie, which then does what the key does. Changes by cookie are taken from
/// pages of this gateway alone.
#[utoipa::path(
    post, path = "/api/auth/session", operation_id = "openLogin", tag = "API keys",
    request_body = LoginOpenBody,
    responses((status = 201, description = "Logged in, with a cookie", body = LoginBody)),
    security(("X-API-Key" = ["viewer", "chat"])),
)]
async fn open(State(state): State<AppState>, request: Request) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let key = match presented_key(&parts.headers) {
        Some(text) => {
            let key = let_in(Shown::Key(text), &parts, &state).await?;
            read_body(&parts, body, &state).await?.check(true)?;
            key
        }
        None => {
            let body = read_body(&parts, body, &state).await?;
            body.check(body.api_key.is_some())?;
            // Another site must not log a browser in as somebody else.
            if parts.headers.contains_key(header::ORIGIN) {
                check_origin(&parts)?;
            }
            let shown = match (&body.token, &body.api_key) {
                (Some(token), _) => Shown::Link(token),
                (None, Some(key)) => Shown::Key(key),
                (None, None) => return Err(ApiError::key_missing()),
            };
            let_in(shown, &parts, &state).await?
        }
    };
    let login = state.gateway.api_keys.open_login(key.id).await?;
    state.rates.opened(&login.text);
    let lasts = login.expires_at.millis().saturating_sub(state.gateway.live.now().millis());
    let seconds = u64::try_from(lasts / 1000).unwrap_or(0);
    let cookie = set_cookie(&login.text, &parts, &state.options, seconds);
    let body = Json(present(&key, Some(login.expires_at), &state));
    Ok((StatusCode::CREATED, [(header::SET_COOKIE, cookie)], body).into_response())
}

async fn read_body(
    parts: &Parts,
    body: axum::body::Body,
    state: &AppState,
) -> Result<LoginOpenBody, ApiError> {
    let request = Request::from_parts(parts.clone(), body);
    let Body(body) = Body::<LoginOpenBody>::from_request(request, state).await?;
    Ok(body)
}

/// Says who the caller is: by cookie, or by key.
#[utoipa::path(
    get, path = "/api/auth/session", operation_id = "getLogin", tag = "API keys",
    responses((status = 200, description = "Who is logged in", body = LoginBody)),
    security(("X-API-Key" = ["viewer", "chat"])),
)]
async fn current(
    State(state): State<AppState>,
    caller: Caller<InChat<Viewer>>,
    parts: Parts,
) -> Result<Json<LoginBody>, ApiError> {
    let until = match login_of(&parts) {
        Some(text) => state.gateway.api_keys.login_until(text).await?,
        None => None,
    };
    Ok(Json(present(caller.key(), until, &state)))
}

/// Logs the browser out: its login ends, and the cookie goes.
#[utoipa::path(
    delete, path = "/api/auth/session", operation_id = "closeLogin", tag = "API keys",
    responses((status = 204, description = "Logged out")),
    security(("X-API-Key" = ["viewer", "chat"])),
)]
async fn close(
    State(state): State<AppState>,
    _: Caller<InChat<Viewer>>,
    parts: Parts,
) -> Result<(StatusCode, [(header::HeaderName, HeaderValue); 1]), ApiError> {
    if let Some(text) = login_of(&parts) {
        state.gateway.api_keys.close_login(text).await?;
    }
    let gone = set_cookie("", &parts, &state.options, 0);
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, gone)]))
}

/// Makes a link that logs one browser in as the caller, once, within ten minutes.
#[utoipa::path(
    post, path = "/api/auth/session/link", operation_id = "createLoginLink", tag = "API keys",
    responses((status = 201, description = "Created", body = LoginLinkBody)),
    security(("X-API-Key" = ["viewer", "chat"])),
)]
async fn link(
    State(state): State<AppState>,
    caller: Caller<InChat<Viewer>>,
) -> Result<(StatusCode, Json<LoginLinkBody>), ApiError> {
    let link = state.gateway.api_keys.login_link(caller.key().id).await?;
    let body = LoginLinkBody { token: link.text, expires_at: link.expires_at.iso() };
    Ok((StatusCode::CREATED, Json(body)))
}
