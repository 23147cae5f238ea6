//! What the routes that make a message share: a body whose chats the key may see, with its idempotency key.

use axum::{
    extract::{FromRequest, MatchedPath, Request, State},
    http::{HeaderMap, HeaderName},
    response::{IntoResponse, Response},
};
use domain::{SessionId, WaMessageId, idempotency::is_valid_key};
use gateway::{
    approvals::NewApproval,
    messages::{IdempotencyKey, QuoteRef, ToSend},
};
use serde::de::DeserializeOwned;
use utoipa::{IntoParams, ToSchema};

use super::result::answer;
use crate::{
    AppState,
    access::{Access, Caller, ChatBody, InChat, Operator, RawChatBody},
    approvals::{Released, hold_unless_in_budget},
    error::ApiError,
};

const KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The header of an idempotent send.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes the header to the OpenAPI document")]
pub struct KeyHeader {
    /// 1 to 255 visible ASCII characters, unique per session, kept for 24 hours: a repeated request with it does not
    /// send again.
    #[param(rename = "Idempotency-Key", required = false, nullable = false)]
    idempotency_key: Option<String>,
}

/// A checked body of a request that makes a message, whose chats the key may see.
pub struct SendBody<T, A = Operator> {
    /// The session of the path. It may not exist.
    pub session: SessionId,
    /// What the request says.
    pub body: T,
    pub caller: Caller<InChat<A>>,
    /// Under which a repeated request does not send again.
    pub key: Option<IdempotencyKey>,
}

impl<T, A> FromRequest<AppState> for SendBody<T, A>
where
    T: DeserializeOwned + ToSchema + Send,
    A: Access,
{
    /// A refusal, or the answer that it waits for a person.
    type Rejection = Response;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Response> {
        let headers = request.headers().clone();
        let route = request.extensions().get::<MatchedPath>().cloned();
        let route = route.as_ref().map_or("", MatchedPath::as_str);
        let released = request.extensions().get::<Released>().is_some();
        let raw = RawChatBody::<A>::from_request(request, state).await;
        let raw = raw.map_err(IntoResponse::into_response)?;
        let fingerprint = raw.body.fingerprint(word_of(route));
        let key = key_text(&headers).map_err(IntoResponse::into_response)?;
        let key = key.map(|key| IdempotencyKey { key, fingerprint });
        let rule = raw.caller.key().approval.filter(|_| !released);
        let text = rule.map(|_| (raw.body.json(), raw.body.recipient()));
        let checked = raw.checked().map_err(IntoResponse::into_response)?;
        let ChatBody { session, body, caller } = checked;
        if let (Some(rule), Some((request, chat))) = (rule, text) {
            let route = route.rsplit('/').next().unwrap_or_default().to_owned();
            let request_key = key.as_ref().map(|key| key.key.clone());
            let new = NewApproval { session, chat, request_key, route, request };
            if let Some(answer) = hold_unless_in_budget(state, caller.key(), rule, new).await {
                return Err(answer);
            }
        }
        Ok(Self { session, body, caller, key })
    }
}

impl<T, A> SendBody<T, A> {
    /// Sends what the body says and answers.
    ///
    /// # Errors
    /// 400 when no message can be made of it; what the gateway says.
    pub async fn send(self, State(state): State<AppState>) -> Result<Response, ApiError>
    where
        T: TryInto<ToSend, Error: Into<ApiError>>,
    {
        let to_send = self.body.try_into().map_err(Into::into)?;
        Ok(answer(state.gateway.messages.send(self.session, to_send, self.key).await?))
    }

    /// The same request, saying something else.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> SendBody<U, A> {
        let Self { session, body, caller, key } = self;
        SendBody { session, body: change(body), caller, key }
    }
}

/// The name of a route in a fingerprint. Fingerprints are stored, so these words stay.
fn word_of(route: &str) -> &str {
    match route.rsplit('/').next().unwrap_or_default() {
        "send-image" => "image",
        "send-video" => "video",
        "send-document" => "document",
        "send-sticker" => "sticker",
        other => other,
    }
}

/// The key of a request.
///
/// # Errors
/// 400 with code `IDEMPOTENCY_KEY_INVALID`.
pub fn key_text(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let mut given = headers.get_all(KEY).iter();
    let key = match (given.next(), given.next()) {
        (None, _) => return Ok(None),
        (Some(key), None) => key.to_str().ok().filter(|key| is_valid_key(key)),
        _ => None,
    };
    let key = key.ok_or_else(|| {
        ApiError::bad_request(
            "Idempotency-Key must be given once, with 1 to 255 visible ASCII characters",
        )
        .with_code("IDEMPOTENCY_KEY_INVALID")
    })?;
    Ok(Some(key.to_owned()))
}

/// The message that is answered, of any chat.
pub fn quoted(id: Option<String>) -> Option<QuoteRef> {
    id.map(|id| QuoteRef { id: WaMessageId::from_wire(id), in_chat: false })
}
