//! Bodies that name chats: whose key may not see one of them learns nothing else about the body.

use axum::extract::{FromRequest, FromRequestParts as _, Request};
use domain::{SessionId, api_key::KeyRefused};
use serde::de::DeserializeOwned;
use utoipa::ToSchema;

use super::{Access, Caller, InChat, OnSession, Operator};
use crate::{AppState, body::RawBody, error::ApiError};

/// Fields of bodies that name a chat.
const CHAT_FIELDS: [&str; 3] = ["chatId", "fromChatId", "toChatId"];

/// A checked body of a request on a session, whose chats the key may see.
pub struct ChatBody<T, A = Operator> {
    /// The session of the path. It may not exist.
    pub session: SessionId,
    /// What the request says.
    pub body: T,
    pub caller: Caller<InChat<A>>,
}

/// A [`ChatBody`] that was not checked against a schema yet.
pub struct RawChatBody<A = Operator> {
    /// The session of the path. It may not exist.
    pub session: SessionId,
    /// What the request says.
    pub body: RawBody,
    pub caller: Caller<InChat<A>>,
}

impl<A: Access> FromRequest<AppState> for RawChatBody<A> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, ApiError> {
        let (mut parts, body) = request.into_parts();
        let on = OnSession::<InChat<A>>::from_request_parts(&mut parts, state).await?;
        let body = RawBody::from_request(Request::from_parts(parts, body), state).await?;
        on.caller.check_chats(&body)?;
        Ok(Self { session: on.session, body, caller: on.caller })
    }
}

impl<A: Access> RawChatBody<A> {
    /// The body as its type, if the schema of that type takes it.
    ///
    /// # Errors
    /// 400 with everything that is wrong.
    pub fn checked<T: DeserializeOwned + ToSchema>(self) -> Result<ChatBody<T, A>, ApiError> {
        Ok(ChatBody { session: self.session, body: self.body.checked()?, caller: self.caller })
    }
}

impl<T: DeserializeOwned + ToSchema, A: Access> FromRequest<AppState> for ChatBody<T, A> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, ApiError> {
        RawChatBody::<A>::from_request(request, state).await?.checked()
    }
}

impl<A: Access> Caller<InChat<A>> {
    /// Checks the chats that a body names, before the body is checked itself.
    fn check_chats(&self, body: &RawBody) -> Result<(), ApiError> {
        if self.key.allowed_chats.is_empty() {
            return Ok(());
        }
        for field in CHAT_FIELDS {
            if let Some(chat) = body.text(field) {
                self.check_chat(&chat)?;
            }
        }
        if !A::QUOTES_IN_CHAT && body.has("quotedMessageId") {
            // The quoted text could come from a chat that the key may not see.
            return Err(KeyRefused::ChatRestricted.into());
        }
        Ok(())
    }
}
