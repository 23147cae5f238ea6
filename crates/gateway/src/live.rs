//! Readers of the event log who want to know at once.
//!
//! One *tail* follows the log for all of them and keeps the newest events in memory; it wakes on each commit of this
//! process and sweeps on a timer, so that a lost wake-up, or another process, costs latency and never an event. A
//! [`Reader`] has a position of its own: what the memory still has comes from there, everything else from the log. A
//! slow reader falls back to the log and holds nobody up; nothing is queued for it.

mod places;
mod tail;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use domain::{
    ChatId, Clock, EventId, SessionId, Timer, Timestamp,
    event::{Event, EventType},
    log::{LoggedEvent, PrunedSession},
    port::{LogStore, StoreError, StoreResult},
};
pub use places::Who;
use places::{ReaderPlace, ReaderPlaces};
use tail::EventRing;
use tokio::sync::{Notify, watch};

use crate::{
    Policy, Ports, Supervisor,
    ledger::{Committed, LedgerWriter},
};

/// Events read from the log at once.
const PAGE: u32 = 50;
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
        let ring = EventRing::default();
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

    /// The last position of the log.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn end(&self) -> StoreResult<u64> {
        Ok(self.inner.log.log_bounds().await?.last)
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
        let (cursor, missed) = self.inner.begin(&filter, after).await?;
        // The tail may have been asleep.
        let head = self.inner.head.subscribe();
        self.inner.news.notify_one();
        Ok(Reader { inner: self.inner.clone(), _place: place, filter, cursor, missed, head })
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
        let (mut cursor, missed) = self.inner.begin(&filter, after).await?;
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

    /// Sees something else from here on.
    pub fn refilter(&mut self, filter: LiveFilter) {
        self.filter = filter;
    }

    /// Goes on behind another position, and says what is gone there.
    ///
    /// # Errors
    /// [`LiveError::Cursor`] or [`LiveError::Store`]; the position stays where it is.
    pub async fn seek(&mut self, after: u64) -> Result<Option<Missed>, LiveError> {
        let (cursor, missed) = self.inner.begin(&self.filter, Some(after)).await?;
        self.cursor = cursor;
        Ok(missed)
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
