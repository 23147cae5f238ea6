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
pub(super) struct Room(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    sessions: HashMap<SessionId, (u64, Timestamp)>,
    whole: u64,
}

impl Media {
    /// Takes room for a file of so many bytes. The reason when there is none.
    pub(super) async fn take_room(
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
        if !self.counts().is_known(session, now) {
            let (of_session, whole) = self.ports.media_records.media_bytes(session).await?;
            let mut counts = self.counts();
            counts.sessions.retain(|_, (_, at)| now.since(*at) < BELIEVED);
            counts.sessions.insert(session, (of_session, now));
            counts.whole = whole;
        }
        Ok(self.counts().take(session, bytes, options))
    }

    fn counts(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.room.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn is_known(&self, session: SessionId, now: Timestamp) -> bool {
        self.sessions.get(&session).is_some_and(|(_, at)| now.since(*at) < BELIEVED)
    }

    fn take(
        &mut self,
        session: SessionId,
        bytes: u64,
        options: &MediaOptions,
    ) -> Result<(), &'static str> {
        let fits = |used: u64, quota: u64| quota == 0 || used.saturating_add(bytes) <= quota;
        let of_session = self.sessions.get(&session).map_or(0, |(used, _)| *used);
        if !fits(of_session, options.session_quota_bytes) {
            return Err("no room: the files of this session have as many bytes as they may");
        }
        if !fits(self.whole, options.quota_bytes) {
            return Err("no room: all files together have as many bytes as they may");
        }
        if let Some((used, _)) = self.sessions.get_mut(&session) {
            *used = used.saturating_add(bytes);
        }
        self.whole = self.whole.saturating_add(bytes);
        Ok(())
    }
}
