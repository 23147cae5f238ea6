//! Readers of the event log who want to know at once.
//!
//! One *tail* follows the log for all of them and keeps the newest events in memory; it wakes on each commit of this
//! process and sweeps on a timer, so that a lost wake-up, or another process, costs latency and never an event. A
//! [`Reader`] has a position of its own: what the memory still has comes from there, everything else from the log. A
//! slow reader falls back to the log and holds nobody up; nothing is queued for it.

mod places;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use domain::{
    ChatId, Clock, EventId, SessionId, Timer, Timestamp,
    event::{Event, EventType},
    log::{LogBounds, LoggedEvent, PrunedSession},
    port::{LogStore, StoreError, StoreResult},
};
pub use places::Who;
use places::{ReaderPlace, ReaderPlaces};
use tokio::sync::{Notify, watch};

use crate::{
    Policy, Ports, Supervisor,
    ledger::{Committed, LedgerWriter},
};

/// Events read from the log at once.
const PAGE: u32 = 50;
/// Events in memory, and bytes of their data.
const RING_EVENTS_MAX: usize = 1024;
const RING_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Sessions that a notice of pruning lists.
const PRUNED_SESSIONS_MAX: u32 = 1000;
/// Events that one pull looks at without a match before it answers with where it got to.
const LOOKED_AT_MAX: u32 = 5000;

/// How live events are served.
#[derive(Debug, Clone)]
pub struct LiveOptions {
    /// Readers that wait at the same time; further ones are refused.
    pub clients_max: usize,
    /// The same with one key.
    pub clients_per_key: usize,
    /// The same from one address.
    pub clients_per_address: usize,
    /// Longest time between two looks at the log while somebody reads.
    pub sweep_interval: Duration,
}

impl Default for LiveOptions {
    fn default() -> Self {
        let (clients_max, clients_per_key, clients_per_address) = (100, 16, 50);
        let sweep_interval = Duration::from_secs(1);
        Self { clients_max, clients_per_key, clients_per_address, sweep_interval }
    }
}

/// What a reader may and wants to see; empty lists mean everything.
#[derive(Debug, Clone, Default)]
pub struct LiveFilter {
    /// Events of this session only.
    pub session: Option<SessionId>,
    /// Events of these sessions only; empty: of all.
    pub sessions: Vec<SessionId>,
    /// Only events of these chats.
    pub chats: Vec<ChatId>,
    /// Events of these kinds only; empty: of all.
    pub kinds: Vec<EventType>,
    /// Also `session.qr`: who scans it takes the session over.
    pub qr: bool,
}

impl LiveFilter {
    fn sees_session(&self, session: SessionId) -> bool {
        self.session.is_none_or(|only| only == session)
            && (self.sessions.is_empty() || self.sessions.contains(&session))
    }

    /// Whether an event is meant.
    pub fn matches(&self, event: &Event) -> bool {
        let draft = &event.draft;
        let in_chat = |chats: &[ChatId]| draft.chat.as_ref().is_some_and(|at| chats.contains(at));
        self.sees_session(draft.session)
            && (self.chats.is_empty() || in_chat(&self.chats))
            && (self.kinds.is_empty() || self.kinds.contains(&draft.kind))
            && (self.qr || !draft.kind.links_a_phone())
    }
}

/// Why a reader was not let in, or fell out.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// So many read already.
    #[error("{0} live readers are connected already")]
    Full(usize),
    /// So many read already with the same key.
    #[error("{0} live readers are connected with this key already")]
    KeyFull(usize),
    /// So many read already from the same address.
    #[error("{0} live readers are connected from this address already")]
    AddressFull(usize),
    /// The position is beyond the end of the log: it belongs to another ledger.
    #[error("the cursor is beyond the end of the event log")]
    Cursor,
    /// The ledger could not be asked.
    #[error("the ledger failed while reading events")]
    Store(#[from] StoreError),
}

/// What a reader that comes from before has missed for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missed {
    /// Up to here events may be gone.
    pub through: u64,
    /// The sessions that it concerns.
    pub sessions: Vec<PrunedSession>,
}

/// What happened while a reader waited.
#[derive(Debug)]
pub enum News {
    /// Events, in order; never empty.
    Events(Vec<Arc<LoggedEvent>>),
    /// Nothing until the time.
    Quiet,
    /// The gateway stops: no more events come.
    Ended,
}

/// A page of a pull.
#[derive(Debug)]
pub struct Pulled {
    /// The events, in order.
    pub events: Vec<Arc<LoggedEvent>>,
    /// Where the next pull goes on.
    pub cursor: u64,
    /// What the reader missed before the first event, if anything.
    pub missed: Option<Missed>,
}

/// The newest events: all behind `start`, up to `end`.
struct EventRing {
    events: VecDeque<Arc<LoggedEvent>>,
    bytes: usize,
    start: u64,
    end: u64,
    /// Whether the tail follows the log now.
    awake: bool,
}

fn size(event: &LoggedEvent) -> usize {
    // A rough measure is enough to bound memory.
    event.event.draft.data.text().len() + 512
}

impl EventRing {
    fn push(&mut self, event: LoggedEvent) {
        self.end = event.position;
        self.bytes += size(&event);
        self.events.push_back(Arc::new(event));
        while self.events.len() > RING_EVENTS_MAX || self.bytes > RING_BYTES_MAX {
            let Some(oldest) = self.events.pop_front() else { break };
            self.bytes -= size(&oldest);
            self.start = oldest.position;
        }
    }
}

/// A handle to the live events. Cheap to clone.
#[derive(Clone)]
pub struct Live {
    inner: Arc<LiveInner>,
}

struct LiveInner {
    options: LiveOptions,
    log: Arc<dyn LogStore>,
    clock: Arc<dyn Clock>,
    supervisor: Supervisor,
    places: ReaderPlaces,
    ring: Mutex<EventRing>,
    /// The last position that the tail has.
    head: watch::Sender<u64>,
    news: Arc<Notify>,
}

impl Live {
    pub(crate) fn build(
        options: LiveOptions,
        ports: &Ports,
        supervisor: &Supervisor,
        ledger: &LedgerWriter,
    ) -> Self {
        let news = Arc::new(Notify::new());
        let told = Arc::clone(&news);
        ledger.subscribe(move |committed| {
            if !matches!(committed, Committed::Quarantined { .. }) {
                told.notify_one();
            }
        });
        let ring = EventRing { events: VecDeque::new(), bytes: 0, start: 0, end: 0, awake: false };
        let inner = Arc::new(LiveInner {
            places: ReaderPlaces::default(),
            options,
            log: ports.store.clone(),
            clock: ports.clock.clone(),
            supervisor: supervisor.clone(),
            ring: Mutex::new(ring),
            head: watch::Sender::new(0),
            news,
        });
        let tail = inner.clone();
        supervisor.spawn("live/tail", Policy::Essential, async move { tail.follow().await });
        Self { inner }
    }

    /// Readers that are connected.
    pub fn clients(&self) -> usize {
        self.inner.places.taken()
    }

    /// The gateway's time, for what readers wait for.
    pub fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    /// One event of the log.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn event(&self, id: EventId) -> StoreResult<Option<LoggedEvent>> {
        self.inner.log.event(id).await
    }

    /// Reads from behind a position, or from now on.
    ///
    /// # Errors
    /// [`LiveError`].
    pub async fn reader(
        &self,
        who: Who,
        filter: LiveFilter,
        after: Option<u64>,
    ) -> Result<Reader, LiveError> {
        let place = self.inner.places.take(who, &self.inner.options)?;
        let (cursor, missed) = self.begin(&filter, after).await?;
        // The tail may have been asleep.
        let head = self.inner.head.subscribe();
        self.inner.news.notify_one();
        Ok(Reader { inner: self.inner.clone(), _place: place, filter, cursor, missed, head })
    }

    async fn begin(
        &self,
        filter: &LiveFilter,
        after: Option<u64>,
    ) -> Result<(u64, Option<Missed>), LiveError> {
        let LogBounds { last, pruned } = self.inner.log.log_bounds().await?;
        let Some(after) = after else { return Ok((last, None)) };
        if after > last {
            return Err(LiveError::Cursor);
        }
        if after >= pruned {
            return Ok((after, None));
        }
        let mut sessions = self.inner.log.pruned_sessions(PRUNED_SESSIONS_MAX).await?;
        sessions.retain(|one| filter.sees_session(one.session));
        Ok((after, Some(Missed { through: pruned, sessions })))
    }

    /// Up to `limit` events behind a position; without any, waits for the first until a time.
    ///
    /// # Errors
    /// [`LiveError`].
    pub async fn pull(
        &self,
        who: Who,
        filter: LiveFilter,
        after: Option<u64>,
        limit: usize,
        wait: Duration,
    ) -> Result<Pulled, LiveError> {
        let until = self.inner.clock.now().plus(wait);
        if wait > Duration::ZERO {
            let mut reader = self.reader(who, filter, after).await?;
            let missed = reader.missed.take();
            let events = match reader.next(limit, until).await? {
                News::Events(events) => events,
                News::Quiet | News::Ended => vec![],
            };
            return Ok(Pulled { events, cursor: reader.cursor, missed });
        }
        let (mut cursor, missed) = self.begin(&filter, after).await?;
        let mut looked_at = 0;
        loop {
            let (events, more) = self.inner.page(&filter, &mut cursor, limit).await?;
            looked_at += PAGE;
            if !events.is_empty() || !more || looked_at >= LOOKED_AT_MAX {
                return Ok(Pulled { events, cursor, missed });
            }
        }
    }
}

/// A reader with a place of its own; it goes with it.
pub struct Reader {
    inner: Arc<LiveInner>,
    _place: ReaderPlace,
    filter: LiveFilter,
    cursor: u64,
    head: watch::Receiver<u64>,
    /// What it has missed for good when it began.
    pub missed: Option<Missed>,
}

impl Reader {
    /// Everything that it may see up to here was told.
    pub fn cursor(&self) -> u64 {
        self.cursor
    }

    /// The next events, at most `limit`, or what else happened until a time.
    ///
    /// # Errors
    /// The ledger failed; the position stays where it is.
    ///
    /// # Cancel safety
    /// Nothing is lost: the position moves when events are returned.
    pub async fn next(&mut self, limit: usize, until: Timestamp) -> StoreResult<News> {
        let inner = self.inner.clone();
        let stopping = inner.supervisor.stopping();
        loop {
            if stopping.is_cancelled() {
                return Ok(News::Ended);
            }
            // Before the look: what comes after it wakes us.
            self.head.mark_unchanged();
            let (events, more) = inner.page(&self.filter, &mut self.cursor, limit).await?;
            if !events.is_empty() {
                return Ok(News::Events(events));
            }
            if more {
                continue;
            }
            tokio::select! {
                // The sender lives as long as we do.
                _ = self.head.changed() => {}
                () = inner.clock.sleep_until(Timer::LiveReader, until) => return Ok(News::Quiet),
                () = stopping.cancelled() => return Ok(News::Ended),
            }
        }
    }
}

impl LiveInner {
    fn lock(&self) -> std::sync::MutexGuard<'_, EventRing> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What fits among the next events behind the cursor, and whether there may be more; moves the cursor.
    async fn page(
        &self,
        filter: &LiveFilter,
        cursor: &mut u64,
        limit: usize,
    ) -> StoreResult<(Vec<Arc<LoggedEvent>>, bool)> {
        if let Some(found) = self.remembered(filter, cursor, limit) {
            return Ok((found, false));
        }
        // Before the read: everything up to here is in it.
        let last = self.log.log_bounds().await?.last;
        let rows = self.log.read_events(*cursor, filter.session, PAGE).await?;
        let full = rows.len() == PAGE as usize;
        let mut found = Vec::new();
        for row in rows {
            *cursor = row.position;
            if filter.matches(&row.event) {
                found.push(Arc::new(row));
                if found.len() == limit {
                    return Ok((found, true));
                }
            }
        }
        if !full {
            *cursor = last.max(*cursor);
        }
        Ok((found, full))
    }

    /// `None` when the memory does not reach back to the cursor.
    fn remembered(
        &self,
        filter: &LiveFilter,
        cursor: &mut u64,
        limit: usize,
    ) -> Option<Vec<Arc<LoggedEvent>>> {
        let ring = self.lock();
        if !ring.awake || *cursor < ring.start {
            return None;
        }
        let first = ring.events.partition_point(|event| event.position <= *cursor);
        let mut found = Vec::new();
        for event in ring.events.range(first..) {
            *cursor = event.position;
            if filter.matches(&event.event) {
                found.push(event.clone());
                if found.len() == limit {
                    break;
                }
            }
        }
        Some(found)
    }

    async fn follow(&self) {
        let stopping = self.supervisor.stopping();
        while !stopping.is_cancelled() {
            let watched = self.places.taken() > 0;
            if watched {
                if let Err(error) = self.catch_up().await {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "the event log could not be followed");
                }
            } else {
                let mut ring = self.lock();
                (ring.awake, ring.bytes) = (false, 0);
                ring.events.clear();
            }
            let sweep = async {
                if watched {
                    let at = self.clock.now().plus(self.options.sweep_interval);
                    self.clock.sleep_until(Timer::LiveSweep, at).await;
                } else {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = self.news.notified() => {}
                () = sweep => {}
                () = stopping.cancelled() => {}
            }
        }
    }

    async fn catch_up(&self) -> StoreResult<()> {
        if !self.lock().awake {
            let last = self.log.log_bounds().await?.last;
            let mut ring = self.lock();
            (ring.start, ring.end, ring.awake) = (last, last, true);
            drop(ring);
            self.head.send_replace(last);
        }
        loop {
            let end = self.lock().end;
            let rows = self.log.read_events(end, None, PAGE).await?;
            let full = rows.len() == PAGE as usize;
            if rows.is_empty() {
                return Ok(());
            }
            let end = {
                let mut ring = self.lock();
                rows.into_iter().for_each(|row| ring.push(row));
                ring.end
            };
            self.head.send_replace(end);
            if !full {
                return Ok(());
            }
        }
    }
}
