//! What is wrong with the ledger, in words for those who run it.

/// Why the ledger takes no writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// No room is left.
    DiskFull,
    /// The database, or the disk under it, lets nobody write.
    ReadOnly,
    /// The disk fails.
    Disk,
    /// The database does not answer.
    Away,
    /// A newer version brought the database along while this process ran.
    Newer,
}

impl Trouble {
    /// Its word, for logs and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DiskFull => "disk_full",
            Self::ReadOnly => "read_only",
            Self::Disk => "disk_error",
            Self::Away => "database_away",
            Self::Newer => "newer_version",
        }
    }

    /// What is wrong, and what to do about it.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::DiskFull => "the disk of the database is full: free some space",
            Self::ReadOnly => {
                "the database, or the disk it is on, is read-only: make it writable again"
            }
            Self::Disk => "the disk of the database cannot be written: look into the system's log",
            Self::Away => "the database does not answer: see whether it runs and can be reached",
            Self::Newer => {
                "a newer version of the program changed the database: stop this process and start the newer version"
            }
        }
    }
}

/// A row that cannot be read. Everything else goes on without it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnreadableRow {
    /// What it should be: `webhook`, `session`, `event`, …
    pub what: &'static str,
    /// Which, as far as can be told.
    pub id: String,
}
