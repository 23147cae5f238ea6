//! Database errors become the domain's [`StoreError`].

use std::sync::Arc;

use domain::port::{StoreError, StoreErrorKind, Trouble};

use crate::db::DbError;

/// Names the operation of a failed statement.
pub(crate) trait Doing<T> {
    /// Adds what was being done.
    fn doing(self, doing: &'static str) -> Result<T, StoreError>;
}

impl<T> Doing<T> for Result<T, DbError> {
    fn doing(self, doing: &'static str) -> Result<T, StoreError> {
        self.map_err(|error| {
            let kind = if error.is_corrupt() {
                StoreErrorKind::Corrupt
            } else if error.is_foreign_key_violation() {
                // The row it belongs to is not there: only sessions and webhooks are referred to by callers.
                StoreErrorKind::Gone
            } else if error.is_refusal() {
                StoreErrorKind::Refused
            } else {
                StoreErrorKind::Unavailable
            };
            StoreError { kind, doing, source: Some(Arc::new(error)) }
        })
    }
}

/// Whether two transactions waited for each other and this one was ended.
pub(crate) fn is_crossed(error: &StoreError) -> bool {
    let cause = error.source.as_ref().and_then(|cause| cause.downcast_ref::<DbError>());
    cause.is_some_and(DbError::is_crossed)
}

/// Whether a failure is that of a row whose key is taken.
pub(crate) fn is_taken(error: &StoreError) -> bool {
    let cause = error.source.as_ref().and_then(|cause| cause.downcast_ref::<DbError>());
    cause.is_some_and(DbError::is_unique_violation)
}

/// What the database, or the disk under it, suffers from, if that is why something failed.
pub(crate) fn trouble(error: &StoreError) -> Option<Trouble> {
    let source = error.source.as_deref()?;
    source.downcast_ref::<DbError>().and_then(DbError::trouble)
}

/// A stored value that makes no sense.
pub(crate) fn corrupt(doing: &'static str) -> StoreError {
    StoreError { kind: StoreErrorKind::Corrupt, doing, source: None }
}

/// The session is not there.
pub(crate) fn gone(doing: &'static str) -> StoreError {
    StoreError { kind: StoreErrorKind::Gone, doing, source: None }
}

/// The database is closed or does not answer.
pub(crate) fn unavailable(doing: &'static str) -> StoreError {
    StoreError { kind: StoreErrorKind::Unavailable, doing, source: None }
}

/// The writer has more waiting than it can hold.
pub(crate) fn busy(doing: &'static str) -> StoreError {
    StoreError { kind: StoreErrorKind::Busy, doing, source: None }
}

/// Another one runs the session.
pub(crate) fn not_owner(doing: &'static str) -> StoreError {
    StoreError { kind: StoreErrorKind::NotOwner, doing, source: None }
}
