//! Why there is no backup, or no restore.

use std::{io, path::PathBuf};

use domain::port::StoreError;

use crate::open::OpenError;

/// Why a backup or a restore ended; each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The system refused something.
    #[error("{doing} {path}")]
    Io {
        /// What was being done, without its object.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file has the name already.
    #[error("{0} is there already: choose another name, or move that one away")]
    Exists(PathBuf),
    /// Another process writes the same file.
    #[error(
        "{0} is being written by another `waypost backup`: wait for it, or choose another name"
    )]
    Busy(PathBuf),
    /// There is nothing to copy.
    #[error(
        "there is no ledger at {0}: name the data folder of the gateway with data.dir (WAYPOST_DATA_DIR)"
    )]
    NoLedger(PathBuf),
    /// The ledger cannot be read.
    #[error("the ledger {path} cannot be read")]
    Ledger {
        /// The file that holds it.
        path: PathBuf,
        /// What the database said.
        #[source]
        source: StoreError,
    },
    /// SQLite finds faults in the ledger.
    #[error(
        "the ledger {path} is damaged ({said}): a copy of it would be of no use. Stop the gateway, keep a copy of the \
         folder, and restore the last good backup"
    )]
    DamagedLedger {
        /// The file that holds it.
        path: PathBuf,
        /// The first thing that is wrong.
        said: String,
    },
    /// The master key is another one than the ledger was made with.
    #[error(
        "the master key here (fingerprint {fingerprint}) does not open the ledger {path}: run this with the gateway's \
         WAYPOST_MASTER_KEY or key file. Only the key's fingerprint goes into the backup"
    )]
    WrongKey {
        /// The file that holds the ledger.
        path: PathBuf,
        /// Of the key that was tried.
        fingerprint: String,
    },
    /// Something else than a backup.
    #[error("{path} is no backup of Waypost: {why}")]
    NotABackup {
        /// The file that was read.
        path: PathBuf,
        /// What it is instead.
        why: &'static str,
    },
    /// Made by a later version of the program.
    #[error(
        "{path} was made by a newer version of the program ({what}): restore it with version {program} or later"
    )]
    Newer {
        /// The file that was read.
        path: PathBuf,
        /// What is too new.
        what: String,
        /// The version that made it.
        program: String,
    },
    /// What is in it is not what was written.
    #[error("{path} is damaged: {what}. Nothing was changed; use another backup")]
    Spoiled {
        /// The file that was read.
        path: PathBuf,
        /// The part that is wrong.
        what: String,
    },
    /// The backup belongs to another key.
    #[error(
        "the backup was made with the master key of fingerprint {theirs}, and the key here has {ours}: set the \
         WAYPOST_MASTER_KEY, or put the key file in place, that the backup was made with. Nothing was changed"
    )]
    OtherKey {
        /// The fingerprint in the backup.
        theirs: String,
        /// That of the key that was given.
        ours: String,
    },
    /// A ledger is there already.
    #[error(
        "there is a ledger at {0}: with --replace it is moved aside and the backup takes its place. Nothing was changed"
    )]
    Occupied(PathBuf),
    /// There is no room for it.
    #[error("{path} has {free} bytes free and {needed} are needed: make room. Nothing was changed")]
    NoRoom {
        /// The folder that is too full.
        path: PathBuf,
        /// What is free there.
        free: u64,
        /// What would be written there.
        needed: u64,
    },
    /// A gateway runs sessions of the ledger.
    #[error(
        "sessions of this ledger are held by a gateway: stop every gateway and worker. After a crash the last leases \
         end within a minute"
    )]
    Running,
    /// The ledger cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The work ended without a word.
    #[error("the work was cut off")]
    CutOff,
}

/// Names what was being done to which file.
pub(super) trait At<T> {
    fn at(self, doing: &'static str, path: &std::path::Path) -> Result<T, BackupError>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, doing: &'static str, path: &std::path::Path) -> Result<T, BackupError> {
        self.map_err(|source| BackupError::Io { doing, path: path.to_path_buf(), source })
    }
}
