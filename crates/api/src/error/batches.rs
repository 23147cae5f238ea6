//! What a refused batch means over HTTP.

use axum::http::StatusCode;
use domain::{SessionId, batch::BatchId};
use gateway::batches::BatchError;

use super::{
    ApiError,
    gateway::{not_started, unavailable},
    sends::{key_reused, media_error},
};

/// The answer to a batch that was not stored or changed; `id` is the path's.
pub fn batch_error(error: BatchError, session: SessionId, id: Option<&BatchId>) -> ApiError {
    match error {
        BatchError::SessionNotFound => ApiError::unknown(&session),
        BatchError::NotStarted => not_started(),
        BatchError::ShuttingDown => unavailable("The server is shutting down"),
        BatchError::Taken => {
            ApiError::bad_request("A batch with this batchId already exists in this session")
        }
        BatchError::KeyReused => key_reused(),
        BatchError::TooMany(most) => ApiError::new(
            StatusCode::TOO_MANY_REQUESTS,
            format!("Maximum concurrent batches reached ({most})"),
        ),
        BatchError::Past { at, now } => ApiError::problem(format!(
            "options.scheduledAt must not be in the past: it means {at}, and it is {now} now"
        )),
        BatchError::Media { source, .. } => media_error(source),
        BatchError::NotFound => ApiError::unknown_text("Batch", id.map_or("", BatchId::as_str)),
        BatchError::Over(state) => {
            ApiError::bad_request(format!("Batch is already {}", state.as_str()))
        }
        BatchError::AlreadyPaused => ApiError::bad_request("Batch is already paused"),
        BatchError::NotPaused => ApiError::bad_request("Batch is not paused"),
        BatchError::Store(error) => ApiError::store(error),
    }
}
