//! What a session has to store and nobody outside will say again: its record with the events of its life, acks,
//! receipts, calls, and what is learned of people and chats.
//!
//! Each session has a line. It is worked off in order, many entries in one commit, and an entry leaves it when it is
//! in the ledger, however long that takes, or when its lease is over: then it is the next owner's. The connection is
//! held back while the line is full. A line outlives its connection, its task and the unloading of its session; it
//! ends when nothing waits.

mod acks;
mod work;

use std::{
    collections::{HashMap, VecDeque},
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::{
    ChatId, SessionId, Timer, Timestamp, WaMessageId,
    event::EventDraft,
    port::{Lease, ReceiptKind, SessionPatch, StoreError, StoreErrorKind, StoreResult, Write},
    session::LimitNews,
};
use futures::FutureExt as _;
use tokio::sync::watch;

use super::{SessionsInner, facts::SessionFact, inner::ANSWER_LIMIT};
use crate::Policy;

pub(super) use acks::{HELD, taken, tell_ack, tell_late};

/// How long somebody waits for an entry before going on without it.
const SOON: Duration = Duration::from_millis(1_500);

/// Entries of a session that may wait. When full, the connection is held back.
const WAITING_MAX: u64 = 1024;
/// Changes of the record among them, after which nothing more happens to the session by itself.
const RECORDS_MAX: usize = 256;

/// Something that waits in a session's line to be stored.
pub(super) enum LineEntry {
    /// A change of the session's record, with its events.
    Record(Box<SessionPatch>, Vec<EventDraft>),
    /// The engine's keys are to be deleted.
    Purge,
    /// WhatsApp's server took or refused a message.
    Ack(Ack),
    /// Somebody's device answered.
    Receipt(Receipt),
    /// Something about people, chats or calls.
    Fact(SessionFact),
    /// What WhatsApp said about limits.
    Limits(LimitNews),
    /// What WhatsApp took already.
    Took(Vec<Write>),
}

/// An ack of WhatsApp's server.
pub(super) struct Ack {
    pub(super) id: WaMessageId,
    pub(super) refused: Option<u16>,
    /// WhatsApp's time, epoch seconds.
    pub(super) timestamp: i64,
    pub(super) heard: Timestamp,
}

/// An answer of somebody's device.
pub(super) struct Receipt {
    pub(super) chat: ChatId,
    /// Whose, in a group or of a status.
    pub(super) participant: Option<ChatId>,
    pub(super) ids: Vec<WaMessageId>,
    pub(super) kind: ReceiptKind,
    /// WhatsApp's time, epoch seconds.
    pub(super) timestamp: i64,
    pub(super) heard: Timestamp,
    /// The account's own chat id, or `me`.
    pub(super) me: String,
}

impl LineEntry {
    /// Whether it is of the session itself.
    const fn is_record(&self) -> bool {
        matches!(self, Self::Record(..) | Self::Purge)
    }
}

/// The lines of all sessions.
#[derive(Default)]
pub(crate) struct SessionLines {
    by_session: Mutex<HashMap<SessionId, SessionLine>>,
}

struct SessionLine {
    /// Each under the lease of its time.
    waiting: VecDeque<(Lease, LineEntry)>,
    /// Taken out by the worker, not stored yet.
    in_hand: usize,
    /// Of the session itself, waiting or in hand.
    records: usize,
    /// Entries that ever joined.
    joined: u64,
    /// How far it is.
    progress: watch::Sender<LineProgress>,
}

/// How far a line is.
#[derive(Default)]
struct LineProgress {
    /// Entries that left it.
    done: u64,
    /// Why nothing leaves it.
    error: Option<StoreError>,
    /// Somebody waited in vain since an entry left it.
    late: bool,
}

/// An entry on its way.
pub(crate) struct LineTicket {
    session: SessionId,
    number: u64,
    progress: watch::Receiver<LineProgress>,
}

impl LineTicket {
    /// Completes when the entry has left the line.
    pub(super) async fn stored(&mut self) {
        let number = self.number;
        // A line that is gone has stored everything.
        let _ = self.progress.wait_for(|progress| progress.done >= number).await;
    }

    /// Completes when the entry has left the line, or soon, or at once when it is known that the ledger does not
    /// answer. Whether it is stored.
    pub(super) async fn stored_soon(&mut self, inner: &SessionsInner) -> bool {
        let (number, clock) = (self.number, &inner.ports.clock);
        let over = self.progress.wait_for(|progress| {
            progress.done >= number || progress.error.is_some() || progress.late
        });
        tokio::select! {
            biased;
            known = over => match known {
                Ok(progress) => progress.done >= number,
                Err(_) => true,
            },
            () = clock.sleep_until(Timer::RecordAnswer, clock.now().plus(SOON)) => {
                inner.lines.mark_late(self.session);
                false
            }
        }
    }

    /// Waits until the entry has left the line.
    ///
    /// # Errors
    /// The ledger did not take it within the limit. It goes on waiting in its line.
    pub(super) async fn stored_within(
        &mut self,
        inner: &SessionsInner,
        limit: Duration,
    ) -> StoreResult<()> {
        let clock = inner.ports.clock.clone();
        tokio::select! {
            biased;
            () = self.stored() => Ok(()),
            () = clock.sleep_until(Timer::RecordLimit, clock.now().plus(limit)) => Err(self.why_not()),
        }
    }

    /// Why it is not stored yet.
    fn why_not(&self) -> StoreError {
        let told = self.progress.borrow().error.as_ref().map(same);
        let (kind, doing) = (StoreErrorKind::Unavailable, "storing what became of a session");
        told.unwrap_or(StoreError { kind, doing, source: None })
    }
}

/// The same error for another one who asks.
fn same(error: &StoreError) -> StoreError {
    StoreError { kind: error.kind, doing: error.doing, source: error.source.clone() }
}

impl SessionLines {
    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, SessionLine>> {
        self.by_session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether something of the session itself is not stored yet.
    pub(super) fn is_behind(&self, session: SessionId) -> bool {
        self.lock().get(&session).is_some_and(|line| line.records > 0)
    }

    /// Whether so much of the session itself is not stored yet that nothing more should happen to it.
    pub(super) fn is_full_of_records(&self, session: SessionId) -> bool {
        self.lock().get(&session).is_some_and(|line| line.records >= RECORDS_MAX)
    }

    /// Completes when something left the line, or at once when there is none.
    pub(super) async fn moved(&self, session: SessionId) {
        let progress = self.lock().get(&session).map(|line| line.progress.subscribe());
        if let Some(mut progress) = progress {
            let _ = progress.changed().await;
        }
    }

    fn mark_late(&self, session: SessionId) {
        if let Some(line) = self.lock().get(&session) {
            line.progress.send_modify(|progress| progress.late = true);
        }
    }

    /// Completes when everything that waits now is stored.
    pub(crate) async fn drained(&self, session: SessionId) {
        let waiting =
            self.lock().get(&session).map(|line| (line.joined, line.progress.subscribe()));
        if let Some((number, progress)) = waiting {
            LineTicket { session, number, progress }.stored().await;
        }
    }
}

impl SessionsInner {
    /// Puts an entry at the end of its session's line, however long that is.
    pub(super) fn line_up(self: &Arc<Self>, lease: &Lease, entry: LineEntry) -> LineTicket {
        let session = lease.session;
        let mut lines = self.lines.lock();
        let is_new = !lines.contains_key(&session);
        let line = lines.entry(session).or_insert_with(|| SessionLine {
            waiting: VecDeque::new(),
            in_hand: 0,
            records: 0,
            joined: 0,
            progress: watch::Sender::default(),
        });
        line.joined += 1;
        line.records += usize::from(entry.is_record());
        line.waiting.push_back((lease.clone(), entry));
        let (number, progress) = (line.joined, line.progress.subscribe());
        drop(lines);
        if is_new {
            self.work_on(session);
        }
        LineTicket { session, number, progress }
    }

    /// The same, as soon as there is room.
    pub(super) async fn line_up_in_turn(
        self: &Arc<Self>,
        lease: &Lease,
        entry: LineEntry,
    ) -> LineTicket {
        let session = lease.session;
        loop {
            let full = {
                let lines = self.lines.lock();
                lines.get(&session).and_then(|line| {
                    let progress = line.progress.subscribe();
                    let full = line.joined - progress.borrow().done >= WAITING_MAX;
                    full.then(|| (line.joined - WAITING_MAX + 1, progress))
                })
            };
            let Some((number, progress)) = full else { break };
            LineTicket { session, number, progress }.stored().await;
        }
        self.line_up(lease, entry)
    }

    /// Stores what WhatsApp took already.
    ///
    /// # Errors
    /// It is not stored yet. It is as soon as that works, unless this process ends before.
    pub(crate) async fn took(
        self: &Arc<Self>,
        lease: &Lease,
        writes: Vec<Write>,
    ) -> StoreResult<()> {
        let mut ticket = self.line_up_in_turn(lease, LineEntry::Took(writes)).await;
        ticket.stored_within(self, ANSWER_LIMIT).await
    }

    /// The line's worker; again after a panic, without what it had in hand.
    fn work_on(self: &Arc<Self>, session: SessionId) {
        let inner = self.clone();
        self.supervisor.spawn(format!("session/{session}/line"), Policy::Once, async move {
            loop {
                let work = AssertUnwindSafe(Box::pin(work::run(&inner, session))).catch_unwind();
                if work.await.is_ok() {
                    return;
                }
                tracing::error!(session.id = %session, "what a session told was dropped: storing it panicked");
                if let Some(line) = inner.lines.lock().get_mut(&session) {
                    line.leave(line.in_hand, 0);
                    let records = line.waiting.iter().filter(|(_, entry)| entry.is_record());
                    line.records = records.count();
                }
            }
        });
    }
}

impl SessionLine {
    /// Entries in hand are done.
    fn leave(&mut self, entries: usize, records: usize) {
        self.in_hand -= entries;
        self.records = self.records.saturating_sub(records);
        self.progress.send_modify(|progress| {
            progress.done += entries as u64;
            progress.error = None;
            progress.late = false;
        });
    }
}
