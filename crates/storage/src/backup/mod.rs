//! Copies of a whole installation in one file, and the way back.
//!
//! # The cast
//! - [`back_up`] writes a file while a gateway may run; [`check`] reads one from its first byte to its last.
//! - [`restore`] puts one in the place of a ledger that nobody has open.
//! - [`BackupHeader`] is what a file says of itself.
//!
//! # The file
//! A tar without compression: `backup.json` (the header), `waypost.sqlite` (the ledger as of one moment),
//! `media/<two digits>/<hash>` (the files, read after that moment, so that none of them is missing), `files.txt` (a
//! line for each: SHA-256, size, name; with media that was left out also a line for each file that is needed), and
//! `end.json`, which holds the SHA-256 of `files.txt`. A file that ends in the middle has no end, and is refused.
//!
//! # Guarantees
//! A backup has its name only once it is whole, on the disk, and read again without a fault. A restore changes nothing
//! before every byte is checked; the ledger it replaces is kept beside it. The master key is in no backup, only its
//! fingerprint.

mod archive;
mod error;
mod header;
mod paths;
mod read;
mod restore;
mod write;

use std::sync::Arc;

pub use error::BackupError;
pub use header::{BackupHeader, BackupMedia};
pub use read::{CheckedBackup, check};
pub use restore::{RestoreOptions, RestoredBackup, restore, revive_in_place};
pub use write::{BackupOptions, WrittenBackup, back_up};

/// Versions of the file's form that this program reads: only this one.
pub const BACKUP_FORMAT: u32 = 1;

/// What is being done, in the order in which it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackupStep {
    /// The ledger is copied as of one moment.
    CopyLedger,
    /// The copy is checked.
    CheckLedger,
    /// The parts are written into one file.
    Pack,
    /// The file is read again from its first byte to its last.
    Check,
    /// The parts are written to where they belong.
    Unpack,
    /// What must not be used again is dropped.
    Revive,
}

/// How far a step is: of so many bytes, or pages; 0 of 0 where nobody can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackupProgress {
    /// The step that is under way.
    pub step: BackupStep,
    /// So much of it is done.
    pub done: u64,
    /// So much there is to do.
    pub all: u64,
}

/// Hears how far it is.
pub type ProgressListener = Arc<dyn Fn(BackupProgress) + Send + Sync>;

/// Bytes that are read and written at once.
const PIECE_BYTES: usize = 256 * 1024;
