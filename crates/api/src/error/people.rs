//! What a refused question about people or a refused mark on a chat means over HTTP.

use axum::http::StatusCode;
use domain::port::EngineError;
use gateway::people::PeopleError;

use super::{ApiError, echo, gateway::not_started};

impl From<PeopleError> for ApiError {
    fn from(error: PeopleError) -> Self {
        match error {
            PeopleError::SessionNotFound(session) => Self::unknown(&session),
            PeopleError::NotStarted => not_started(),
            PeopleError::NotReady(status) => Self::new(
                StatusCode::CONFLICT,
                format!("Session is not ready (status: {})", status.as_str()),
            ),
            PeopleError::NoName => Self::new(
                StatusCode::CONFLICT,
                "The account has no name yet, and cannot show as online; try again later",
            ),
            PeopleError::NumberUnknown(_) => {
                Self::problem("contactId must be of a person whose number is known")
            }
            PeopleError::NotRinging(id) => {
                Self::new(StatusCode::NOT_FOUND, format!("Call {} is not ringing", echo(&id)))
            }
            PeopleError::Media(error) => error.into(),
            PeopleError::Unanswered => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "WhatsApp did not answer; whether it was done is not known",
            ),
            PeopleError::Engine(EngineError::Refused(why)) => {
                Self::new(StatusCode::FORBIDDEN, format!("WhatsApp refused: {why}"))
            }
            PeopleError::Engine(EngineError::WrongState(why)) => Self::bad_request(why),
            PeopleError::Engine(EngineError::Misconfigured(why)) => Self::bad_request(why),
            PeopleError::Engine(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the engine failed");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "The engine failed")
            }
            PeopleError::Store(error) => Self::store(error),
        }
    }
}
