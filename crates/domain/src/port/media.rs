//! The media store: files by the hash of their bytes.

use std::{fs::File, path::PathBuf};

use async_trait::async_trait;

use super::StoreResult;
use crate::{ids::MediaId, time::Timestamp};

/// A nameless file to write into. Removed when dropped before it was kept.
#[derive(Debug)]
pub struct Scratch {
    /// Open for reading and writing, at its beginning.
    pub file: File,
    /// Where it lies; removed on drop.
    pub path: PathBuf,
}

impl Scratch {
    /// Another handle of the same file, with its own position only where the system gives one.
    ///
    /// # Errors
    /// The system's.
    pub fn handle(&self) -> std::io::Result<File> {
        self.file.try_clone()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Kept files were moved away: there is nothing to remove then.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A file in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptMedia {
    /// The hash under which the file is kept.
    pub id: MediaId,
    /// The length of the file in bytes.
    pub size_bytes: u64,
}

/// Files by the hash of their bytes. What was kept is durable; the same bytes are kept once.
#[async_trait]
pub trait MediaFiles: Send + Sync + 'static {
    /// A file to write into.
    async fn scratch(&self) -> StoreResult<Scratch>;
    /// Keeps what was written, under the hash of its bytes.
    async fn keep(&self, scratch: Scratch) -> StoreResult<KeptMedia>;
    /// Opens a file for reading; `None` when it is not there.
    async fn open(&self, id: &MediaId) -> StoreResult<Option<(File, u64)>>;
    /// Removes a file that was last kept before a time; fine when it is not there. `false` when it was kept later:
    /// somebody may be about to refer to it.
    async fn remove(&self, id: &MediaId, kept_before: Timestamp) -> StoreResult<bool>;
    /// Room that is left where files are kept, bytes; `None` when nobody knows.
    async fn free_bytes(&self) -> StoreResult<Option<u64>>;
    /// How many files there are, and their bytes.
    async fn census(&self) -> StoreResult<(u64, u64)>;
    /// The files of one shelf (there are 256) that were last kept before a time.
    async fn on_shelf(&self, shelf: u8, kept_before: Timestamp) -> StoreResult<Vec<MediaId>>;
}
