//! Files of messages that came in are fetched here, later.
//!
//! The loop looks when it is woken (a message with a file, a session that connected, a download that ended) and on a
//! timer. Only files of connected sessions are looked for. What is being fetched is remembered here, so that a look
//! never begins a download twice; the ledger knows nothing of it, so that a download that dies is due again.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use domain::{
    SessionId, Timer, Timestamp, WaMessageId,
    event::{self, Change, EventDraft},
    media::{DOWNLOAD_TRIES, DOWNLOAD_WAITS, MediaRecord, MediaState},
    message::{Direction, Message},
    port::{Connection, EngineError, StoreError, StoreErrorKind, StoreResult, Write},
};

use serde_json::json;

use crate::{
    Media, Policy, Ports, Sessions, Supervisor,
    ledger::LedgerWriter,
    media::state::{failed, too_large},
};

/// Longest time between two looks.
const SWEEP: Duration = Duration::from_secs(25);
/// A download that could not begin because the link went down is left alone for this long.
const NOT_CONNECTED_WAIT: Duration = Duration::from_secs(10);
/// One that failed because of this machine (no room, no ledger) is left alone for this long.
const HERE_WAIT: Duration = Duration::from_secs(30);

/// More than the engine lets a file have beyond what its message says.
const SLACK: u64 = 64 * 1024;

type DownloadKey = (SessionId, WaMessageId);

#[derive(Clone, Copy)]
enum DownloadState {
    Running,
    Until(Timestamp),
}

#[derive(Clone)]
struct Downloader {
    ports: Ports,
    media: Media,
    sessions: Sessions,
    ledger: LedgerWriter,
    supervisor: Supervisor,
    busy: Arc<Mutex<HashMap<DownloadKey, DownloadState>>>,
}

/// Starts the loop; it ends with the supervisor.
pub(crate) fn spawn(
    ports: &Ports,
    media: &Media,
    sessions: &Sessions,
    ledger: &LedgerWriter,
    supervisor: &Supervisor,
) {
    let downloader = Downloader {
        ports: ports.clone(),
        media: media.clone(),
        sessions: sessions.clone(),
        ledger: ledger.clone(),
        supervisor: supervisor.clone(),
        busy: Arc::default(),
    };
    supervisor.spawn("media/downloader", Policy::Essential, downloader.run());
}

impl Downloader {
    async fn run(self) {
        let stopping = self.supervisor.stopping();
        let clock = self.ports.clock.clone();
        while !stopping.is_cancelled() {
            let next = match self.look().await {
                Ok(next) => next,
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "no look for downloads"
                    );
                    None
                }
            };
            let sweep = clock.now().plus(SWEEP);
            let next = next.map_or(sweep, |next| next.min(sweep));
            tokio::select! {
                () = self.media.woken() => {}
                () = clock.sleep_until(Timer::Downloads, next) => {}
                () = stopping.cancelled() => {}
            }
        }
    }

    /// Begins as many downloads as there are free places; when the next one is due.
    async fn look(&self) -> StoreResult<Option<Timestamp>> {
        let now = self.ports.clock.now();
        let taken = self.forget_waits(now);
        let most = self.media.options().concurrency.max(1);
        let connected = self.sessions.connected();
        let sessions: Vec<SessionId> = connected.keys().copied().collect();
        if sessions.is_empty() {
            return Ok(None);
        }
        let records = &self.ports.store;
        // The busy ones are due too: look past them.
        let limit = u32::try_from(most + taken).unwrap_or(u32::MAX);
        let mut open = sessions.clone();
        loop {
            // A session whose places are taken is not in the way of the others.
            open.retain(|session| self.has_place(*session));
            let due = match open.is_empty() {
                true => vec![],
                false => records.due_media(&open, now, limit).await?,
            };
            let mut full = due.len() < limit as usize;
            for record in due {
                let Some(connection) = connected.get(&record.session) else { continue };
                if self.has_place(record.session) && !self.begin(&record, connection, most) {
                    full = true;
                    break;
                }
            }
            if full || open.iter().all(|session| self.has_place(*session)) {
                break;
            }
        }
        // Everything due now is busy, or waits for a free place, which wakes this loop.
        let next = records.next_media_due(&sessions).await?;
        Ok(next.filter(|next| *next > now).into_iter().chain(self.next_wait()).min())
    }

    /// Whether a session may download one more file at once: a slow sender takes its own places only.
    fn has_place(&self, session: SessionId) -> bool {
        let busy = self.busy();
        let running = |(key, busy): &(&DownloadKey, &DownloadState)| {
            key.0 == session && matches!(busy, DownloadState::Running)
        };
        busy.iter().filter(running).count() < self.media.options().per_session.max(1)
    }

    /// False when no place is free.
    fn begin(&self, record: &MediaRecord, connection: &Arc<dyn Connection>, most: usize) -> bool {
        let key = (record.session, record.wa_id.clone());
        {
            let mut busy = self.busy();
            if busy.contains_key(&key) {
                return true;
            }
            if busy.values().filter(|busy| matches!(busy, DownloadState::Running)).count() >= most {
                return false;
            }
            busy.insert(key.clone(), DownloadState::Running);
        }
        let (this, record, connection) = (self.clone(), record.clone(), connection.clone());
        let place = DownloadSlot { downloader: self.clone(), key };
        let stopping = self.supervisor.stopping();
        self.supervisor.spawn(format!("media/{}", record.wa_id), Policy::Once, async move {
            tokio::select! {
                again_at = this.download(&record, &*connection) => place.leave(again_at),
                // It is due again after the start.
                () = stopping.cancelled() => {}
            }
        });
        true
    }

    /// Fetches one file and records how it went. A time when it should be left alone until then.
    async fn download(
        &self,
        record: &MediaRecord,
        connection: &dyn Connection,
    ) -> Option<Timestamp> {
        let now = || self.ports.clock.now();
        let state = match self.fetch(record, connection).await {
            Ok(state) => state,
            Err(DownloadTrouble::Refused(reason)) => failed(&reason),
            Err(DownloadTrouble::NotConnected) => return Some(now().plus(NOT_CONNECTED_WAIT)),
            Err(DownloadTrouble::Here(error)) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(session.id = %record.session, message.id = %record.wa_id, error,
                    "a file cannot be stored here now; this is no try");
                return Some(now().plus(HERE_WAIT));
            }
            Err(DownloadTrouble::Passing(reason)) => {
                tracing::warn!(session.id = %record.session, message.id = %record.wa_id,
                    attempt = record.attempts + 1, reason, "a file was not downloaded");
                // Whoever asks again after the last try asks for all of them.
                let tries = record.attempts % DOWNLOAD_TRIES + 1;
                if tries >= DOWNLOAD_TRIES {
                    failed(&format!("not downloaded in {DOWNLOAD_TRIES} tries: {reason}"))
                } else {
                    let wait = DOWNLOAD_WAITS.wait(tries, self.ports.entropy.fraction());
                    MediaState::Pending { due_at: now().plus(wait) }
                }
            }
        };
        match self.record_state(record, state).await {
            Ok(()) => None,
            Err(error) => {
                tracing::error!(session.id = %record.session, message.id = %record.wa_id,
                    error = &error as &dyn std::error::Error, "how a download went was not stored");
                Some(now().plus(NOT_CONNECTED_WAIT))
            }
        }
    }

    async fn fetch(
        &self,
        record: &MediaRecord,
        connection: &dyn Connection,
    ) -> Result<MediaState, DownloadTrouble> {
        let options = self.media.options();
        if !options.download {
            return Ok(failed("downloads are switched off"));
        }
        let Some(remote) = &record.media.remote else {
            return Ok(failed("the sender did not say where the file is"));
        };
        let declared = remote.length.min(options.bytes_max);
        if let Err(reason) =
            self.media.take_room(record.session, declared).await.map_err(DownloadTrouble::Here)?
        {
            return Ok(failed(reason));
        }
        let files = &self.ports.media_files;
        let scratch = files.scratch().await.map_err(DownloadTrouble::Here)?;
        let into = scratch.handle().map_err(DownloadTrouble::disk)?;
        let done = connection.download(record.media.kind, remote, into, options.bytes_max).await;
        match done {
            Err(EngineError::TooBig)
                if (1..options.bytes_max.saturating_sub(SLACK)).contains(&remote.length) =>
            {
                return Ok(failed("larger than its message says"));
            }
            Err(EngineError::TooBig) => return Ok(too_large(options.bytes_max)),
            done => done.map_err(DownloadTrouble::of)?,
        }
        let length = scratch.file.metadata().map(|metadata| metadata.len());
        if length.map_err(DownloadTrouble::disk)? > options.bytes_max {
            return Ok(too_large(options.bytes_max));
        }
        let kept = files.keep(scratch).await.map_err(DownloadTrouble::Here)?;
        Ok(MediaState::Ready { id: kept.id, size_bytes: kept.size_bytes })
    }

    async fn record_state(&self, record: &MediaRecord, state: MediaState) -> StoreResult<()> {
        let ports = &self.ports;
        let (session, wa_id) = (record.session, record.wa_id.clone());
        let message = ports.store.message(session, &wa_id).await?;
        let told = !matches!(state, MediaState::Pending { .. });
        let events = message.filter(|_| told).map(|message| self.event(&message, &state));
        let events = events.into_iter().collect();
        let write = Write::SettleMedia { session, wa_id, state, events };
        // Whoever runs it now looks for its files as well.
        let Some(lease) = self.sessions.lease(session) else { return Ok(()) };
        self.ledger.write_with_retry(Some(&lease), vec![write]).await.map(|_| ())
    }

    fn event(&self, message: &Message, state: &MediaState) -> EventDraft {
        let from_me = message.direction == Direction::Outgoing;
        let me = if from_me { &message.from } else { &message.to };
        let author = message.author.as_ref().map(ToString::to_string);
        let change = Change {
            id: self.ledger.event_id(),
            session: message.session,
            chat: &message.chat,
            sender: author.unwrap_or_else(|| message.from.clone()),
            sender_phone: None,
            from_me,
            me,
            target: &message.wa_id,
            at: self.ports.clock.now(),
            backfilled: false,
            source: None,
        };
        let mut media = message.metadata["media"].clone();
        if let MediaState::Ready { size_bytes, .. } = state {
            // The sender may have said something else.
            media["sizeBytes"] = json!(size_bytes);
        }
        event::message_media(&change, state, &media)
    }

    fn busy(&self) -> std::sync::MutexGuard<'_, HashMap<DownloadKey, DownloadState>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops waits that are over; how many are busy still.
    fn forget_waits(&self, now: Timestamp) -> usize {
        let mut busy = self.busy();
        busy.retain(|_, busy| match busy {
            DownloadState::Running => true,
            DownloadState::Until(until) => *until > now,
        });
        busy.len()
    }

    fn next_wait(&self) -> Option<Timestamp> {
        let until = |busy: &DownloadState| match busy {
            DownloadState::Running => None,
            DownloadState::Until(until) => Some(*until),
        };
        self.busy().values().filter_map(until).min()
    }
}

/// Why a file did not come.
enum DownloadTrouble {
    /// It will not come at all.
    Refused(String),
    /// The link is down; this is no try.
    NotConnected,
    /// The fault is here: the disk, the ledger. This is no try.
    Here(StoreError),
    /// It may come later.
    Passing(String),
}

impl DownloadTrouble {
    fn disk(error: std::io::Error) -> Self {
        Self::Here(StoreError {
            kind: StoreErrorKind::Unavailable,
            doing: "writing a file",
            source: Some(Arc::new(error)),
        })
    }

    fn of(error: EngineError) -> Self {
        match error {
            EngineError::NotConnected => Self::NotConnected,
            EngineError::Refused(reason) => {
                Self::Refused(format!("WhatsApp no longer has it: {reason}"))
            }
            EngineError::Store(error) => Self::Here(error),
            other => Self::Passing(other.to_string()),
        }
    }
}

/// A place among the downloads; given back however the download ends.
struct DownloadSlot {
    downloader: Downloader,
    key: DownloadKey,
}

impl DownloadSlot {
    fn leave(self, again_at: Option<Timestamp>) {
        if let Some(at) = again_at {
            self.downloader.busy().insert(self.key.clone(), DownloadState::Until(at));
        }
    }
}

impl Drop for DownloadSlot {
    fn drop(&mut self) {
        {
            let mut busy = self.downloader.busy();
            if matches!(busy.get(&self.key), Some(DownloadState::Running)) {
                busy.remove(&self.key);
            }
        }
        self.downloader.media.wake();
    }
}
