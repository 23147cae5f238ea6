//! Files that belong to stored messages: where they stand and how often their download is tried.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    backoff::Backoff,
    content::Media,
    ids::{MediaId, SessionId, WaMessageId},
    time::Timestamp,
};

/// Largest file in either direction, bytes (`MEDIA_DOWNLOAD_MAX_BYTES`).
pub const MEDIA_BYTES_MAX: u64 = 52_428_800;
/// Tries of a download before it has failed: about a day with the waits between them.
pub const DOWNLOAD_TRIES: u32 = 22;
/// The waits between them.
pub const DOWNLOAD_WAITS: Backoff =
    Backoff { base: Duration::from_secs(5), cap: Duration::from_secs(7200), jitter_percent: 20 };

/// Where a message's file stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "state")]
pub enum MediaState {
    /// It waits to be downloaded, from this time on.
    Pending {
        /// The earliest time of the next try.
        due_at: Timestamp,
    },
    /// It is in the media store.
    Ready {
        /// The name under which the store keeps it.
        id: MediaId,
        /// The length of the file in bytes.
        size_bytes: u64,
    },
    /// It will not be downloaded.
    Failed {
        /// One sentence for people.
        reason: String,
    },
}

impl MediaState {
    /// The word that the API uses.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Pending { .. } => "pending",
            Self::Ready { .. } => "ready",
            Self::Failed { .. } => "failed",
        }
    }
}

/// The file of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaRecord {
    /// The session it belongs to.
    pub session: SessionId,
    /// WhatsApp's id of the message that carries it.
    pub wa_id: WaMessageId,
    /// What the message says of it, and where WhatsApp keeps it.
    pub media: Media,
    /// How far its download has got.
    pub state: MediaState,
    /// Tries of the download so far.
    pub attempts: u32,
}
