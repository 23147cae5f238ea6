//! Whether there is room for one more file of a stranger.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use domain::{SessionId, Timestamp, port::StoreResult};

use super::{Media, MediaOptions};

/// How long a count is believed; what is begun meanwhile is added to it.
const BELIEVED: Duration = Duration::from_secs(60);

/// What is kept, as far as it was counted.
#[derive(Default)]
pub(super) struct MediaRoom(Mutex<ByteCounts>);

#[derive(Default)]
struct ByteCounts {
    sessions: HashMap<SessionId, ByteCount>,
    whole: Option<ByteCount>,
}

/// So many bytes, at a time.
#[derive(Clone, Copy)]
struct ByteCount {
    bytes: u64,
    at: Timestamp,
}

impl Media {
    /// Takes room for a file of so many bytes. The reason when there is none.
    pub(crate) async fn take_room(
        &self,
        session: SessionId,
        bytes: u64,
    ) -> StoreResult<Result<(), &'static str>> {
        let options = &self.options;
        if let Some(free) = self.ports.media_files.free_bytes().await?
            && free < options.free_bytes_min.saturating_add(bytes)
        {
            return Ok(Err("no room: the disk is nearly full"));
        }
        if options.session_quota_bytes == 0 && options.quota_bytes == 0 {
            return Ok(Ok(()));
        }
        let now = self.ports.clock.now();
        let (of_session, whole) = {
            let mut counts = self.counts();
            counts.sessions.retain(|_, count| now.since(count.at) < BELIEVED);
            let whole = counts.whole.filter(|count| now.since(count.at) < BELIEVED);
            (counts.sessions.get(&session).copied(), whole)
        };
        let records = &self.ports.store;
        if of_session.is_none() && options.session_quota_bytes > 0 {
            let bytes = records.media_bytes(Some(session)).await?;
            self.counts().sessions.insert(session, ByteCount { bytes, at: now });
        }
        if whole.is_none() && options.quota_bytes > 0 {
            let bytes = records.media_bytes(None).await?;
            self.counts().whole = Some(ByteCount { bytes, at: now });
        }
        Ok(self.counts().take(session, bytes, options))
    }

    fn counts(&self) -> std::sync::MutexGuard<'_, ByteCounts> {
        self.room.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ByteCounts {
    fn take(
        &mut self,
        session: SessionId,
        bytes: u64,
        options: &MediaOptions,
    ) -> Result<(), &'static str> {
        let fits = |count: Option<&mut ByteCount>, quota: u64| {
            quota == 0 || count.is_none_or(|count| count.bytes.saturating_add(bytes) <= quota)
        };
        if !fits(self.sessions.get_mut(&session), options.session_quota_bytes) {
            return Err("no room: the files of this session have as many bytes as they may");
        }
        if !fits(self.whole.as_mut(), options.quota_bytes) {
            return Err("no room: all files together have as many bytes as they may");
        }
        for count in self.sessions.get_mut(&session).into_iter().chain(self.whole.as_mut()) {
            count.bytes = count.bytes.saturating_add(bytes);
        }
        Ok(())
    }
}
