//! Why a file is not there.

use std::sync::Arc;

use domain::port::{StoreError, StoreErrorKind};

/// Why a file was not kept, fetched or opened.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    /// Not an http or https URL, or one with a name and password in it.
    #[error("the URL of a file must be http or https, without a name or password")]
    NotHttp,
    /// It leads into a private or special network; one sentence for people.
    #[error("{0}")]
    Blocked(String),
    /// The other side could not be reached; one sentence for people.
    #[error("{0}")]
    Unreachable(String),
    /// The other side answered with another status than 2xx.
    #[error("the URL answered with status {0}")]
    Status(u16),
    /// It took too long.
    #[error("the file did not come in time")]
    Timeout,
    /// Larger than the limit.
    #[error("the file is too large")]
    TooBig,
    /// Not base64, or empty.
    #[error("base64 must be the base64 text of a file")]
    BadBase64,
    /// The bytes are not what they are sent as; one sentence for people.
    #[error("{0}")]
    Unfit(String),
    /// The file of this message is not in the store.
    #[error("no file is stored for this message")]
    NotStored,
    /// It is still being downloaded.
    #[error("the file of this message is still being fetched")]
    Pending,
    /// It will not come; the reason.
    #[error("the file of this message is not there: {0}")]
    Failed(String),
    /// The ledger or the media store.
    #[error("the store failed while handling a file")]
    Store(#[source] StoreError),
}

/// A file of the media store could not be written.
pub(super) fn write(error: std::io::Error) -> MediaError {
    store("writing a file", error)
}

/// A file of the media store could not be read.
pub(super) fn read(error: std::io::Error) -> MediaError {
    store("reading a file", error)
}

fn store(doing: &'static str, error: std::io::Error) -> MediaError {
    let source = Some(Arc::new(error) as Arc<dyn std::error::Error + Send + Sync>);
    MediaError::Store(StoreError { kind: StoreErrorKind::Unavailable, doing, source })
}
