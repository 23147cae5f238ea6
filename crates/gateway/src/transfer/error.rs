//! Why nothing was imported.

use domain::{port::StoreError, transfer::TransferRefused};

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// One at a time.
    #[error("An import is already running")]
    AlreadyRunning,
    /// Somebody reads what would be replaced.
    #[error("An export is running; import when it has ended")]
    ExportRunning,
    /// Their engines would go on with rows that are replaced.
    #[error("{0} sessions run; stop them, or import with force")]
    SessionsRun(usize),
    /// The rows are wrong.
    #[error(transparent)]
    Refused(TransferRefused),
    /// The name leads out of the folder, or to nothing.
    #[error("filePath must name a file in the import folder of the data folder")]
    Path,
    /// It is no tar, or it is damaged.
    #[error("The archive cannot be read: {0}")]
    Archive(&'static str),
    /// It is larger than it may be.
    #[error("The archive holds more than STORAGE_IMPORT_MAX_TOTAL_BYTES ({0} bytes)")]
    TooBig(u64),
    /// The ledger or the media store failed.
    #[error("the store failed while data was on its way")]
    Store(#[from] StoreError),
}
