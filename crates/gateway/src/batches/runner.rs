//! The runner of a session: one task that sends what the session's batches have, at one pace.
//!
//! A turn: settle what is open → is the session ready? → look at every batch → choose ([`domain::batch::next`]) → begin
//! one item, hand it over, record its outcome. Every wait ends at once when something changes: a cancel, a pause, a new
//! connection, the shutdown.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use domain::{
    SessionId, Timer, Timestamp, WaMessageId,
    batch::{
        self, Batch, BatchChange, BatchId, BatchItem, COLD_PROBE, HoldReason, ItemContent, Next,
    },
    brake::SendsPause,
    port::{Connection, Lease, RecipientScope, StoreError, StoreErrorKind},
    session::SessionStatus,
};

use super::{RunnerHandle, RunnerRest, SharedBatches, sight::BatchSurvey};
use crate::{
    messages::{BatchUploads, SendError},
    outbox::acks,
};

/// The wait after a failure of the ledger, and after a session that was not ready after all.
const RETRY: Duration = Duration::from_secs(1);
/// A session that begins to run here connects within this time, or its batches are said to be held.
const FIRST_CONNECT: Duration = Duration::from_secs(30);

/// Strangers may not be written to.
#[derive(Clone, Copy)]
pub(super) struct ColdHold {
    pub(super) until: Timestamp,
    pub(super) whom: RecipientScope,
    pub(super) reason: HoldReason,
}

pub(super) struct BatchRunner {
    pub(super) shared: Arc<SharedBatches>,
    pub(super) session: SessionId,
    /// The right to run the session: the runner ends with it.
    pub(super) lease: Lease,
    /// A runner under this lease panicked: a send of it may still be under way.
    pub(super) after_panic: bool,
    /// Not before this time.
    pub(super) pace: Timestamp,
    /// The session's cap or breaker.
    pub(super) capped: Option<(HoldReason, Timestamp)>,
    pub(super) cold: Option<ColdHold>,
    handle: Arc<RunnerHandle>,
    pub(super) last: Option<BatchId>,
    connection: Option<Weak<dyn Connection>>,
    /// Whether it had one.
    was_connected: bool,
    began: Timestamp,
    /// Told when a connection becomes free for new sends, and when it is lost.
    opened: tokio::sync::watch::Receiver<u64>,
    /// Told when a pause of all sends begins or ends.
    braked: tokio::sync::watch::Receiver<Option<SendsPause>>,
    pub(super) uploads: HashMap<BatchId, BatchUploads>,
    pub(super) comebacks: HashMap<(BatchId, u32), u32>,
    /// What is sent at the end of the wait, if nothing changes until then: what has to be looked up for it is looked up
    /// before, so that the message is not late by that.
    prepared: Option<PreparedItem>,
    /// On which connection each open item was handed over.
    pub(super) handed: HashMap<WaMessageId, Weak<dyn Connection>>,
}

/// An item that will be due.
struct PreparedItem {
    batch: Batch,
    item: BatchItem,
    content: ItemContent,
    link: Weak<dyn Connection>,
}

/// What a turn came to.
pub(super) enum RunnerTurn {
    /// Look again at once.
    Again,
    /// Nothing to do before this time, or before something changes.
    Wait(Option<Timestamp>),
    Done,
}

/// Runs until the session has nothing left, or does not run here any more, or the process stops.
pub(super) async fn run(shared: Arc<SharedBatches>, lease: Lease, after_panic: bool) {
    let session = lease.session;
    let stopping = shared.supervisor.stopping();
    let handle = shared.handle(session);
    let mut alive = AliveGuard { shared: shared.clone(), lease: lease.clone(), clean: false };
    let opened = shared.messages.watch_link(session);
    let began = shared.ports.clock.now();
    let mut runner = BatchRunner {
        opened,
        braked: shared.brake.watch(),
        pace: began,
        shared,
        session,
        lease,
        after_panic,
        capped: None,
        cold: None,
        handle,
        last: None,
        connection: None,
        was_connected: false,
        began,
        uploads: HashMap::new(),
        comebacks: HashMap::new(),
        prepared: None,
        handed: HashMap::new(),
    };
    let mut known = false;
    if after_panic {
        // The runner before this one panicked: not at once again.
        let soon = runner.soon();
        runner.rest(Some(soon)).await;
    }
    while !stopping.is_cancelled() && runner.is_owner() {
        if !known {
            known = runner.remember().await.is_ok();
        }
        let turn =
            if known { runner.turn().await } else { Ok(RunnerTurn::Wait(Some(runner.soon()))) };
        match turn {
            Ok(RunnerTurn::Again) => {}
            Ok(RunnerTurn::Wait(until)) => runner.rest(until).await,
            Ok(RunnerTurn::Done) | Err(StoreError { kind: StoreErrorKind::NotOwner, .. }) => break,
            Err(error) => {
                tracing::warn!(session.id = %session, error = &error as &dyn std::error::Error,
                    "a batch waits for the ledger");
                let soon = runner.soon();
                runner.rest(Some(soon)).await;
            }
        }
    }
    alive.clean = true;
}

/// Tells the caretaker when a runner ends, and how.
struct AliveGuard {
    shared: Arc<SharedBatches>,
    lease: Lease,
    clean: bool,
}

impl Drop for AliveGuard {
    fn drop(&mut self) {
        self.shared.ended(&self.lease, self.clean);
    }
}

impl BatchRunner {
    pub(super) fn now(&self) -> Timestamp {
        self.shared.ports.clock.now()
    }

    /// Whether the session runs here under the lease of this runner.
    fn is_owner(&self) -> bool {
        self.shared.sessions.lease(self.session).as_ref() == Some(&self.lease)
    }

    /// Changes a batch as the owner of its session.
    pub(super) async fn write(
        &self,
        batch: &BatchId,
        change: BatchChange,
    ) -> Result<bool, StoreError> {
        self.shared.write(Some(&self.lease), self.session, batch, change).await
    }

    pub(super) fn soon(&self) -> Timestamp {
        self.now().plus(RETRY)
    }

    /// Takes up what an earlier life left.
    async fn remember(&mut self) -> Result<(), StoreError> {
        let facts = self.shared.ports.store.bulk_facts(self.session, &[]).await?;
        self.pace = facts.pace.unwrap_or_else(|| self.now());
        for batch in self.shared.ports.store.unfinished_batches(self.session).await? {
            let Some(hold) = batch.hold else { continue };
            let Some(until) = hold.until.filter(|until| *until > self.now()) else { continue };
            let whom = match hold.reason {
                HoldReason::DailyCap | HoldReason::BreakerOpen => {
                    self.capped = Some((hold.reason, until));
                    continue;
                }
                HoldReason::ColdDailyCap => RecipientScope::HasHistory,
                HoldReason::RecipientColdRestricted => RecipientScope::HasWrittenToUs,
                _ => continue,
            };
            self.cold = Some(ColdHold { until, whom, reason: hold.reason });
        }
        Ok(())
    }

    async fn turn(&mut self) -> Result<RunnerTurn, StoreError> {
        if let Some(PreparedItem { batch, item, content, link }) = self.prepared.take()
            && let Some(link) = link.upgrade()
        {
            return self.step(batch, item, content, link).await;
        }
        let open = self.settle_open().await?;
        let batches = self.shared.ports.store.unfinished_batches(self.session).await?;
        self.uploads.retain(|id, _| batches.iter().any(|batch| batch.id == *id));
        self.comebacks.retain(|(id, _), _| batches.iter().any(|batch| batch.id == *id));
        if batches.is_empty() && open.count == 0 {
            return Ok(RunnerTurn::Done);
        }
        let mut connects = false;
        // What was open goes out again only after a pause of all sends, and so nothing else may on a new connection.
        let link = match self.link_unless_braked(open.delay).await {
            // What was open was settled before the connection became free, and perhaps ends its batch.
            Ok((_, true)) if open.count > 0 => return Ok(RunnerTurn::Again),
            Ok((link, _)) => Some(link),
            Err(SendError::SendsPaused) => None,
            Err(SendError::SessionNotFound(_)) => return Ok(RunnerTurn::Done),
            Err(SendError::Store(error)) => return Err(error),
            Err(refused) => {
                connects = self.connects(&refused);
                None
            }
        };
        self.know_restriction().await?;
        let mut seen = Vec::with_capacity(batches.len());
        for batch in batches {
            let sight = self.look(batch, link.is_some()).await?;
            if !connects {
                self.note(&sight).await?;
            }
            seen.push(sight);
        }
        let lanes: Vec<_> = seen.iter().map(|sight| sight.lane).collect();
        let last = self.last_place(&seen);
        let pace = open.wait.map_or(self.pace, |wait| wait.max(self.pace));
        match (batch::next(&lanes, last, pace, self.now()), link) {
            (Next::Send(place), Some(link)) => {
                let BatchSurvey { batch, next, .. } = seen.swap_remove(place);
                match next {
                    Some((item, content)) => self.step(batch, item, content, link).await,
                    None => Ok(RunnerTurn::Again),
                }
            }
            (Next::Wait(until), Some(link)) => {
                if open.count == 0 && self.cold.is_none() {
                    self.prepare(seen, &lanes, until, &link);
                }
                Ok(RunnerTurn::Wait(Some(until)))
            }
            (Next::Wait(until), None) => Ok(RunnerTurn::Wait(Some(until))),
            _ => Ok(RunnerTurn::Wait(None)),
        }
    }

    /// Whether the session only just began to run here and connects: its batches go on in a moment and are not paused.
    fn connects(&self, refused: &SendError) -> bool {
        let connecting = matches!(refused, SendError::NotReady(SessionStatus::Initializing));
        connecting && !self.was_connected && self.now().since(self.began) < FIRST_CONNECT
    }

    /// Remembers what will be due at a time. Not where the hour decides whether it may be sent then.
    fn prepare(
        &mut self,
        mut seen: Vec<BatchSurvey>,
        lanes: &[batch::Lane],
        at: Timestamp,
        link: &Arc<dyn Connection>,
    ) {
        let Next::Send(place) = batch::next(lanes, self.last_place(&seen), at, at) else { return };
        let BatchSurvey { batch, next, .. } = seen.swap_remove(place);
        if let Some((item, content)) = next
            && batch.options.quiet_hours.is_none()
        {
            let link = Arc::downgrade(link);
            self.prepared = Some(PreparedItem { batch, item, content, link });
        }
    }

    /// Where the batch stands that sent last, or the last one before it that is still there.
    fn last_place(&self, seen: &[BatchSurvey]) -> Option<usize> {
        seen.iter().position(|sight| Some(&sight.batch.id) == self.last.as_ref())
    }

    pub(super) fn is_connected(&self) -> bool {
        self.connection.as_ref().is_some_and(|known| known.strong_count() > 0)
    }

    async fn link_unless_braked(
        &mut self,
        longest: Option<Duration>,
    ) -> Result<(Arc<dyn Connection>, bool), SendError> {
        if self.shared.brake.is_on() {
            return Err(SendError::SendsPaused);
        }
        self.link(longest).await
    }

    /// The session's connection, and whether it is a new one. Then what was open may just have gone out again: its
    /// delay begins now.
    async fn link(
        &mut self,
        longest: Option<Duration>,
    ) -> Result<(Arc<dyn Connection>, bool), SendError> {
        let link = self.shared.messages.reconciled_link(self.session).await.inspect_err(|_| {
            self.connection = None;
        })?;
        let same = self
            .connection
            .as_ref()
            .is_some_and(|known| std::ptr::addr_eq(known.as_ptr(), Arc::as_ptr(&link)));
        if !same {
            self.connection = Some(Arc::downgrade(&link));
            self.was_connected = true;
            self.comebacks.clear();
            if let Some(delay) = longest {
                self.pace = self.pace.max(self.now().plus(delay));
            }
        }
        Ok((link, !same))
    }

    /// WhatsApp's lock on messages to strangers may have been met, or lifted, by single sends.
    async fn know_restriction(&mut self) -> Result<(), StoreError> {
        let Some(session) = self.shared.ports.store.session(self.session).await? else {
            return Ok(());
        };
        let told = self.shared.messages.cold_until(self.session);
        let locked = acks::is_cold_restricted(session.restriction.as_ref()) || told.is_some();
        let known =
            self.cold.is_some_and(|cold| cold.reason == HoldReason::RecipientColdRestricted);
        match (locked, known) {
            (true, false) => {
                let until = session.restriction.and_then(|restriction| restriction.expires_at);
                self.cold_refused(told.max(until)).await;
            }
            (false, true) => self.cold = None,
            _ => {}
        }
        Ok(())
    }

    /// Strangers wait; one is tried when that may be over.
    pub(super) async fn cold_refused(&mut self, until: Option<Timestamp>) {
        let until = until.filter(|until| *until > self.now());
        let until = until.unwrap_or_else(|| self.now().plus(COLD_PROBE));
        let reason = HoldReason::RecipientColdRestricted;
        self.cold = Some(ColdHold { until, whom: RecipientScope::HasWrittenToUs, reason });
    }

    /// Waits until a time, or until something changes.
    async fn rest(&mut self, until: Option<Timestamp>) {
        let clock = self.shared.ports.clock.clone();
        let sweep = clock.now().plus(self.shared.options.sweep_interval);
        let wake = until.map_or(sweep, |until| until.min(sweep));
        let stopping = self.shared.supervisor.stopping();
        let rest = |resting| {
            move |rest: &mut RunnerRest| {
                let number = rest.number + u64::from(resting);
                *rest = RunnerRest { until, number, resting };
            }
        };
        let sleep = clock.sleep_until(Timer::BatchRunner, wake);
        self.handle.rest.send_modify(rest(true));
        let undisturbed = tokio::select! {
            biased;
            () = stopping.cancelled() => false,
            () = self.handle.wake.notified() => false,
            _ = self.opened.changed() => false,
            _ = self.braked.changed() => false,
            () = sleep => until == Some(wake),
        };
        if !undisturbed {
            self.prepared = None;
        }
        self.handle.rest.send_modify(rest(false));
    }
}
