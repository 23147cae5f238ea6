//! What a refused batch means over HTTP.

use axum::http::StatusCode;
use gateway::batches::BatchError;

use super::{
    ApiError,
    gateway::{not_started, unavailable},
    sends::key_reused,
};

impl From<BatchError> for ApiError {
    fn from(error: BatchError) -> Self {
        match error {
            BatchError::SessionNotFound(session) => Self::unknown(&session),
            BatchError::NotStarted => not_started(),
            BatchError::ShuttingDown => unavailable("The server is shutting down"),
            BatchError::Taken => {
                Self::bad_request("A batch with this batchId already exists in this session")
            }
            BatchError::KeyReused => key_reused(),
            BatchError::TooMany(most) => Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                format!("Maximum concurrent batches reached ({most})"),
            ),
            BatchError::Past { at, now } => Self::problem(format!(
                "options.scheduledAt must not be in the past: it means {at}, and it is {now} now"
            )),
            BatchError::Media { source, .. } => source.into(),
            BatchError::NotFound(id) => Self::unknown_text("Batch", id.as_str()),
            BatchError::Over(state) => {
                Self::bad_request(format!("Batch is already {}", state.as_str()))
            }
            BatchError::AlreadyPaused => Self::bad_request("Batch is already paused"),
            BatchError::NotPaused => Self::bad_request("Batch is not paused"),
            BatchError::Store(error) => Self::store(error),
        }
    }
}
