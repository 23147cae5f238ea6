//! What the routes of people and of chats share.

use axum::http::StatusCode;
use domain::{ChatId, SessionId, port::EngineError};
use gateway::people::PeopleError;
use utoipa::IntoParams;

use crate::{access::Caller, error::ApiError};

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query to the OpenAPI document")]
pub struct PageQuery {
    /// 1 to 1000; anything else counts as 1000.
    #[param(nullable = false)]
    limit: Option<u32>,
    /// Rows to skip; anything that is no number counts as 0.
    #[param(nullable = false)]
    offset: Option<u32>,
}

/// Whether a caller may see a chat.
pub type Sees = dyn Fn(&ChatId) -> bool + Send + Sync;

/// What a key that is limited to chats may see; `None` for the others.
pub fn visible<A>(caller: &Caller<A>) -> Option<Box<Sees>> {
    let key = caller.key().clone();
    (!key.allowed_chats.is_empty())
        .then(|| Box::new(move |chat: &ChatId| key.check_chat(chat).is_ok()) as Box<Sees>)
}

/// What each refusal means over HTTP.
pub fn people_error(error: PeopleError, session: SessionId) -> ApiError {
    match error {
        PeopleError::SessionNotFound => ApiError::unknown(&session),
        PeopleError::NotStarted => ApiError::bad_request("Session is not started"),
        PeopleError::NotReady(status) => ApiError::new(
            StatusCode::CONFLICT,
            format!("Session is not ready (status: {})", status.as_str()),
        ),
        PeopleError::Unanswered => ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "WhatsApp did not answer; whether it was done is not known",
        ),
        PeopleError::Engine(EngineError::Refused(why)) => {
            ApiError::new(StatusCode::FORBIDDEN, format!("WhatsApp refused: {why}"))
        }
        PeopleError::Engine(EngineError::WrongState(why)) => ApiError::bad_request(why),
        PeopleError::Engine(EngineError::Misconfigured(why)) => ApiError::bad_request(why),
        PeopleError::Engine(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "the engine failed");
            ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "The engine failed")
        }
        PeopleError::Store(error) => ApiError::store(error),
    }
}
