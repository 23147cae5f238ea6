//! What the gateway writes, and the one announcement of what was committed.
//!
//! Whoever has to know of commits subscribes when the house is built: the dispatcher of deliveries, live readers, the
//! activities of sessions. A subscriber is called after the commit, in the task that wrote, so it only takes note: it
//! wakes its own task and returns. An announcement that is lost with the process costs nothing, because everybody who
//! waits for one also looks by a timer or reads from where they stopped.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use domain::{
    Clock, Entropy, EventId, SessionId, Timer, Timestamp, WaMessageId,
    chat::Identity,
    event::{self, Event, EventDraft},
    port::{
        Lease, Quarantined, SessionPatch, Store, StoreError, StoreErrorKind, StoreResult, Write,
        WriteOutcome,
    },
    session::Session,
};
use tracing::Instrument as _;

use crate::{Ports, spans};

/// Tries of a write that nobody outside will repeat.
const TRIES: u32 = 5;
/// The wait before the second try; doubles with each.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// What a commit left behind.
#[derive(Clone, Copy)]
pub(crate) enum Committed<'a> {
    /// Events with their deliveries, in the order of the log.
    Events(&'a [Arc<Event>]),
    /// Events or deliveries that are read back where they are needed: replays, a batch, changes that were held.
    Deliveries,
    /// Something that cannot be stored was put aside.
    Quarantined { session: SessionId, kind: &'static str, reason: &'a str },
}

type Subscriber = Box<dyn Fn(Committed<'_>) + Send + Sync>;

/// Writes to the ledger and announces what was committed. Cheap to clone.
#[derive(Clone)]
pub(crate) struct LedgerWriter {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    subscribers: Arc<RwLock<Vec<Subscriber>>>,
}

impl LedgerWriter {
    pub(crate) fn new(ports: &Ports) -> Self {
        Self {
            store: ports.store.clone(),
            clock: ports.clock.clone(),
            entropy: ports.entropy.clone(),
            subscribers: Arc::default(),
        }
    }

    /// Calls `subscriber` after each commit from now on. It must not block.
    pub(crate) fn subscribe(&self, subscriber: impl Fn(Committed<'_>) + Send + Sync + 'static) {
        let mut subscribers = self.subscribers.write().unwrap_or_else(PoisonError::into_inner);
        subscribers.push(Box::new(subscriber));
    }

    /// Says what was committed, also for a store that writes by a method of its own.
    pub(crate) fn announce(&self, committed: Committed<'_>) {
        let subscribers = self.subscribers.read().unwrap_or_else(PoisonError::into_inner);
        subscribers.iter().for_each(|subscriber| subscriber(committed));
    }

    /// The record of a session, as the ledger has it.
    pub(crate) async fn session(&self, id: SessionId) -> StoreResult<Option<Session>> {
        self.store.session(id).await
    }

    /// Remembers who is behind a privacy id, and tells it where that is new.
    pub(crate) fn learn_identity(&self, session: SessionId, identity: Identity) -> Write {
        let event = event::contact_resolved(self.event_id(), session, &identity, self.now());
        Write::LearnIdentity { session, identity, events: vec![event] }
    }

    /// Writes once; whoever asked decides what a failure means. With the lease of the session that the writes are made
    /// for: nothing is written when it is over. Without one they are what anybody may write.
    pub(crate) async fn write(
        &self,
        lease: Option<&Lease>,
        mut writes: Vec<Write>,
    ) -> StoreResult<Vec<WriteOutcome>> {
        if let Some(lease) = lease {
            writes.insert(0, Write::Held { lease: lease.clone() });
        }
        let commit = spans::commit();
        let written = self.store.write(writes).instrument(commit.clone()).await;
        let mut outcomes = written.inspect_err(|_| spans::failed(&commit, "ledger"))?;
        if lease.is_some() {
            outcomes.remove(0);
        }
        let recorded = outcomes.iter().filter_map(|outcome| match outcome {
            WriteOutcome::Applied(events) if !events.is_empty() => Some(events),
            _ => None,
        });
        for events in recorded {
            spans::events(&commit, events);
            self.announce(Committed::Events(events));
        }
        Ok(outcomes)
    }

    /// Retries failures that may pass: WhatsApp will not say this again.
    pub(crate) async fn write_with_retry(
        &self,
        lease: Option<&Lease>,
        writes: Vec<Write>,
    ) -> StoreResult<Vec<WriteOutcome>> {
        let mut wait = FIRST_WAIT;
        for _ in 1..TRIES {
            match self.write(lease, writes.clone()).await {
                Err(StoreError {
                    kind: StoreErrorKind::Busy | StoreErrorKind::Unavailable,
                    ..
                }) => {
                    self.clock.sleep_until(Timer::CommitRetry, self.clock.now().plus(wait)).await;
                    wait *= 2;
                }
                done => return done,
            }
        }
        self.write(lease, writes).await
    }

    /// Emits the events of changes whose message never came.
    pub(crate) async fn release_held(&self) -> StoreResult<()> {
        if self.store.release_held(self.clock.now()).await? > 0 {
            self.announce(Committed::Deliveries);
        }
        Ok(())
    }

    /// Puts aside what cannot be stored; `false` when it was put aside before.
    pub(crate) async fn quarantine(&self, put_aside: Quarantined) -> StoreResult<bool> {
        let (session, kind) = (put_aside.session, put_aside.kind);
        let reason = put_aside.reason.clone();
        let fresh = self.store.quarantine(put_aside).await?;
        if fresh {
            self.announce(Committed::Quarantined { session, kind, reason: &reason });
        }
        Ok(fresh)
    }

    /// Changes a session's record; `false` when it does not exist.
    pub(crate) async fn patch(
        &self,
        lease: Option<&Lease>,
        session: SessionId,
        patch: SessionPatch,
        events: Vec<EventDraft>,
    ) -> StoreResult<bool> {
        let write = Write::PatchSession { session, patch: Box::new(patch), events };
        let outcomes = self.write_with_retry(lease, vec![write]).await?;
        Ok(matches!(outcomes.first(), Some(WriteOutcome::Applied(_))))
    }

    /// The time of what is written now.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A fresh event id.
    pub(crate) fn event_id(&self) -> EventId {
        EventId::at(self.clock.now(), &*self.entropy)
    }

    /// WhatsApp proved that a message went out: the item that failed with it, if it is one of a batch.
    pub(crate) fn confirm(
        &self,
        session: SessionId,
        wa_id: &WaMessageId,
        sent_at: Timestamp,
    ) -> Write {
        let (wa_id, at, event) = (wa_id.clone(), self.clock.now(), self.event_id());
        Write::ConfirmItem { session, wa_id, sent_at, at, event }
    }
}
