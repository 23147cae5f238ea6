//! Why a batch was not stored or changed.

use domain::{
    SessionId, Timestamp,
    batch::{BatchId, BatchState},
    port::StoreError,
};

use crate::media::MediaError;

/// Why a batch was not stored or changed.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// There is no session of this id.
    #[error("no session {0}")]
    SessionNotFound(SessionId),
    /// Its engine is not loaded.
    #[error("the session is not started")]
    NotStarted,
    /// The process stops: try again after its start.
    #[error("the server is shutting down")]
    ShuttingDown,
    /// The session has a batch of that name.
    #[error("the session has a batch of that name")]
    Taken,
    /// Its idempotency key came before with another request.
    #[error("the key was used with another request")]
    KeyReused,
    /// The session has too many batches that are not over.
    #[error("{0} batches of this session are not over")]
    TooMany(u32),
    /// It was to begin in the past.
    #[error("the batch was to begin at {at}, and it is {now} now")]
    Past {
        /// When it was to begin.
        at: Timestamp,
        /// The time of the refusal.
        now: Timestamp,
    },
    /// The file of an item cannot be used.
    #[error("the file of item {index} cannot be used")]
    Media {
        /// The place of the item in its batch, from 0.
        index: u32,
        /// What the media store said.
        #[source]
        source: MediaError,
    },
    /// The session has no batch of this name.
    #[error("no batch {0}")]
    NotFound(BatchId),
    /// The batch is over: nothing of it can be changed.
    #[error("the batch is {}", .0.as_str())]
    Over(BatchState),
    /// It is paused already.
    #[error("the batch is paused")]
    AlreadyPaused,
    /// It is not paused by its user.
    #[error("the batch is not paused")]
    NotPaused,
    /// The ledger failed; the same call may work later.
    #[error("the ledger failed")]
    Store(#[source] StoreError),
}
