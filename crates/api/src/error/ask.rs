//! What a question to WhatsApp that was not answered means over HTTP: channels, labels, catalogue, files of statuses.

use axum::http::StatusCode;
use domain::{SessionId, port::EngineError};
use gateway::{
    labels::LabelError, media::MediaError, messages::SendError, sessions::AskError,
    statuses::StatusFileError,
};

use super::{
    ApiError, echo,
    gateway::{conflict, not_started, unavailable},
};

/// OpenWA's sentence for a file of a status that is not there.
pub const STATUS_FILE_GONE: &str = "Status media not found or expired";

impl From<AskError> for ApiError {
    fn from(error: AskError) -> Self {
        match error {
            AskError::SessionNotFound(session) => Self::unknown(&session),
            AskError::NotStarted => not_started(),
            AskError::NotReady(status) => {
                conflict(format!("Session is not ready (status: {})", status.as_str()))
            }
            AskError::Unanswered => {
                unavailable("WhatsApp did not answer; whether it was done is not known")
            }
            AskError::Engine(EngineError::Refused(why)) => {
                Self::new(StatusCode::FORBIDDEN, format!("WhatsApp refused: {why}"))
            }
            AskError::Engine(EngineError::WrongState(why)) => Self::bad_request(why),
            AskError::Engine(EngineError::Misconfigured(why)) => Self::bad_request(why),
            AskError::Engine(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the engine failed");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "The engine failed")
            }
            AskError::Store(error) => Self::store(error),
        }
    }
}

impl From<LabelError> for ApiError {
    fn from(error: LabelError) -> Self {
        match error {
            LabelError::NotFound(label) => no_such("Label", label.as_str()),
            LabelError::Nameless => Self::problem("name should not be empty"),
            LabelError::NotBusiness => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "Labels need a WhatsApp Business account",
            ),
            LabelError::Ask(error) => error.into(),
        }
    }
}

impl From<StatusFileError> for ApiError {
    fn from(error: StatusFileError) -> Self {
        match error {
            StatusFileError::Ask(error) => error.into(),
            StatusFileError::Media(MediaError::Store(error)) => Self::store(error),
            StatusFileError::Media(MediaError::Pending) => {
                unavailable("The file of this status is still being fetched").with_retry(5)
            }
            StatusFileError::Media(_) => Self::new(StatusCode::NOT_FOUND, STATUS_FILE_GONE),
        }
    }
}

/// 404 for a text that names nothing, in OpenWA's words.
pub fn no_such(kind: &str, id: &str) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, format!("{kind} {} not found", echo(id)))
}

/// OpenWA's statuses and catalogues answer 404 where other routes say that the session is not started.
fn not_connected(session: SessionId) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, format!("Session {session} not found or not connected"))
}

/// A refusal of something about statuses.
pub fn of_status(session: SessionId, error: SendError) -> ApiError {
    match error {
        SendError::NotStarted | SendError::SessionNotFound(_) => not_connected(session),
        SendError::MessageNotFound(id) => no_such("Status", id.as_str()),
        error => error.into(),
    }
}

/// A refusal of something about a catalogue.
pub fn of_catalogue(session: SessionId, error: AskError) -> ApiError {
    match error {
        AskError::NotStarted | AskError::SessionNotFound(_) => not_connected(session),
        error => error.into(),
    }
}
