//! What a refused question or change about groups means over HTTP.

use axum::http::StatusCode;
use domain::{failure::COLD_RESTRICTED, port::EngineError};
use gateway::groups::GroupError;

use super::{
    ApiError, echo,
    gateway::{conflict, not_started, unavailable},
};

impl From<GroupError> for ApiError {
    fn from(error: GroupError) -> Self {
        match error {
            GroupError::SessionNotFound(session) => Self::unknown(&session),
            GroupError::NotStarted => not_started(),
            GroupError::NotReady(status) => {
                conflict(format!("Session is not ready (status: {})", status.as_str()))
            }
            GroupError::NotFound(group) => Self::new(
                StatusCode::NOT_FOUND,
                format!("Group {} not found", echo(group.as_str())),
            ),
            GroupError::Refused { code, text } => {
                refused(code, &format!("WhatsApp refused: {text}"))
            }
            GroupError::RefusedForAll(code) => {
                refused(code, &format!("WhatsApp refused it for every participant ({code})"))
            }
            GroupError::Paced { retry_after_seconds } => Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "Sending is paced: too many new people for today",
            )
            .with_code("SEND_PACING_LIMITED")
            .with_retry_in_body(retry_after_seconds),
            GroupError::TooManyStrangers { most } => Self::bad_request(format!(
                "Sending is paced: at most {most} new people can be added in one day"
            ))
            .with_code("SEND_PACING_LIMITED"),
            GroupError::Unanswered => {
                unavailable("WhatsApp did not answer; whether it was done is not known")
            }
            GroupError::Media(error) => error.into(),
            GroupError::Engine(EngineError::Refused(why)) => {
                Self::new(StatusCode::FORBIDDEN, format!("WhatsApp refused: {why}"))
            }
            GroupError::Engine(EngineError::WrongState(why)) => Self::bad_request(why),
            GroupError::Engine(EngineError::Misconfigured(why)) => Self::bad_request(why),
            GroupError::Engine(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the engine failed");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "The engine failed")
            }
            GroupError::Store(error) => Self::store(error),
        }
    }
}

fn refused(code: u16, sentence: &str) -> ApiError {
    match code {
        COLD_RESTRICTED => ApiError::new(
            StatusCode::FORBIDDEN,
            "WhatsApp does not let this account turn to people first who do not know it now",
        )
        .with_code("RECIPIENT_COLD_RESTRICTED"),
        429 => {
            ApiError::new(StatusCode::TOO_MANY_REQUESTS, "WhatsApp says this is too much at once")
                .with_code("WHATSAPP_RATE_LIMITED")
        }
        409 => conflict(sentence),
        _ => ApiError::new(StatusCode::FORBIDDEN, sentence),
    }
}
