//! What a backup says of itself.

use serde::{Deserialize, Serialize};

/// The first part of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupHeader {
    /// The version of the file's form.
    pub format: u32,
    /// The version of the program that made it.
    pub program: String,
    /// When it was made, as an ISO time.
    pub made_at: String,
    /// The version of the ledger's tables.
    pub schema: i64,
    /// The length of the ledger in bytes.
    pub ledger_bytes: u64,
    /// The SHA-256 of the ledger in hex.
    pub ledger_sha256: String,
    /// Of the master key that opens what is encrypted in the ledger.
    pub key_fingerprint: String,
    /// Whether the media files are in it.
    pub media: BackupMedia,
}

/// Whether the media files are in a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackupMedia {
    /// Every file is in it.
    Included,
    /// Only their sizes and hashes are.
    Listed,
}
