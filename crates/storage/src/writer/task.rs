//! The task: what waits, taken together, in one transaction.

use std::{
    collections::BTreeSet,
    future::Future,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use domain::{
    SessionId,
    port::{Settled, Settlement, StoreError, StoreResult, Write, WriteOutcome},
};
use futures::FutureExt as _;
use tokio::sync::mpsc;

use super::{
    Job, Order, Reply, Sizes, again,
    turn::{self, statement},
    unit::{Committing, Unit},
};
use crate::{
    db::Kind,
    delivery::{lines::Lines, recent::Recent, settle},
    error::{corrupt, is_crossed, is_taken, unavailable},
    ledger,
    receivers::Receivers,
    wishes::Wishes,
};

const DOING: &str = "writing to the ledger";
/// How often a transaction is tried that crossed another one's way.
const TRIES: u32 = 3;

/// What the task tells of its commits.
#[derive(Clone)]
pub(crate) struct Outside {
    /// Of all tasks.
    pub(super) commits: Arc<AtomicU64>,
    /// Of this task.
    pub(super) own: Arc<AtomicU64>,
    pub(super) sizes: Arc<Sizes>,
    pub(super) recent: Arc<Recent>,
    pub(super) receivers: Arc<Receivers>,
    pub(super) lines: Arc<Lines>,
    pub(super) wishes: Arc<Wishes>,
}

impl Outside {
    /// Tells these.
    pub(crate) fn new(
        recent: Arc<Recent>,
        receivers: Arc<Receivers>,
        lines: Arc<Lines>,
        wishes: Arc<Wishes>,
    ) -> Self {
        let (commits, own, sizes) = Default::default();
        Self { commits, own, sizes, recent, receivers, lines, wishes }
    }

    /// For another task.
    pub(super) fn for_another(&self) -> Self {
        Self { own: Arc::default(), ..self.clone() }
    }
}

/// What waits, sorted.
#[derive(Default)]
struct Batch {
    jobs: Vec<Box<dyn Job>>,
    /// Sessions for which something is to be written.
    sessions: BTreeSet<SessionId>,
    writes: Vec<Vec<Write>>,
    written: Vec<Reply<Vec<WriteOutcome>>>,
    settlements: Vec<Settlement>,
    settled: Vec<Reply<Settled>>,
}

impl Batch {
    fn len(&self) -> usize {
        self.jobs.len() + self.writes.len() + self.settlements.len()
    }
}

/// What became of the parts that are done together.
struct Results {
    written: Vec<StoreResult<Vec<WriteOutcome>>>,
    settled: StoreResult<Vec<Settled>>,
}

/// `most` orders go into a transaction.
pub(super) async fn run(
    mut unit: Unit,
    mut waiting: mpsc::Receiver<Order>,
    outside: &Outside,
    most: usize,
) {
    loop {
        let (batch, last) = next_batch(&mut waiting, most).await;
        if batch.len() > 0 {
            outside.sizes.count(batch.len());
            let done = Box::pin(commit(&mut unit, batch, outside).map(Ok));
            if caught(DOING, done).await.is_err() {
                // Their callers are answered by the end of their places.
                unit.committing = Committing::default();
                unit.forget();
                turn::give_up(&mut unit).await;
            }
        }
        if last {
            break;
        }
    }
    if let Err(error) = unit.conn.close().await {
        tracing::warn!(%error, "closing the ledger's writer");
    }
    drop(unit.lock);
}

/// A panic becomes the failure of what was done.
async fn caught<T>(
    doing: &'static str,
    work: impl Future<Output = StoreResult<T>>,
) -> StoreResult<T> {
    let done = AssertUnwindSafe(work).catch_unwind().await;
    done.unwrap_or_else(|_| {
        tracing::error!(doing, "a panic in the ledger's writer");
        Err(corrupt(doing))
    })
}

/// Waits for an order, then takes what else is there; `true` when nothing more will come.
async fn next_batch(waiting: &mut mpsc::Receiver<Order>, most: usize) -> (Batch, bool) {
    let mut batch = Batch::default();
    let mut next = waiting.recv().await;
    loop {
        match next {
            Some(Order::Job(job, session)) => {
                batch.jobs.push(job);
                batch.sessions.extend(session);
            }
            Some(Order::Write(writes, reply)) => {
                batch.sessions.extend(writes.iter().map(ledger::session_of));
                batch.writes.push(writes);
                batch.written.push(reply);
            }
            Some(Order::Settle(settlement, reply)) => {
                batch.settlements.push(settlement);
                batch.settled.push(reply);
            }
            Some(Order::Stop) | None => return (batch, true),
        }
        if batch.len() == most {
            return (batch, false);
        }
        next = match waiting.try_recv() {
            Ok(order) => Some(order),
            Err(mpsc::error::TryRecvError::Empty) => return (batch, false),
            Err(mpsc::error::TryRecvError::Disconnected) => None,
        };
    }
}

async fn commit(unit: &mut Unit, mut batch: Batch, outside: &Outside) {
    let outcome = transact(unit, &mut batch, outside).await;
    let committing = std::mem::take(&mut unit.committing);
    match &outcome {
        Ok(_) => publish(unit, committing, outside),
        Err(error) => {
            tracing::error!(error = error as &dyn std::error::Error, "the ledger did not commit");
            unit.forget();
            turn::give_up(unit).await;
        }
    }
    for job in batch.jobs {
        job.answer(outcome.is_ok());
    }
    match outcome {
        Ok(results) => {
            for (reply, result) in batch.written.into_iter().zip(results.written) {
                let _ = reply.send(result);
            }
            match results.settled {
                Ok(settled) => {
                    for (reply, settled) in batch.settled.into_iter().zip(settled) {
                        let _ = reply.send(Ok(settled));
                    }
                }
                Err(error) => refuse(batch.settled, &error),
            }
        }
        Err(_) => {
            refuse(batch.written, &unavailable("committing"));
            refuse(batch.settled, &unavailable("committing"));
        }
    }
}

fn refuse<T>(replies: Vec<Reply<T>>, error: &StoreError) {
    for reply in replies {
        let _ = reply.send(Err(again(error)));
    }
}

/// Before the answers: a caller that has its answer finds everything told.
fn publish(unit: &mut Unit, committing: Committing, outside: &Outside) {
    outside.commits.fetch_add(1, Ordering::Relaxed);
    outside.own.fetch_add(1, Ordering::Relaxed);
    outside.recent.keep(committing.events);
    if unit.conn.kind() == Kind::Sqlite {
        outside.lines.stored(&committing.opened, committing.pushed);
    }
    outside.recent.tell_opened(&committing.opened);
    outside.wishes.tell(&committing.wished);
    if unit.webhooks.take_changed() {
        outside.receivers.forget();
    }
    for step in committing.steps {
        outside.lines.settled(&step.lane, step.delivery, step.stays);
        let current = unit.leases.with(&step.lane, step.epoch, |lease| {
            if !step.stays {
                lease.window.pop_front();
                lease.tried = false;
            }
        });
        if current.is_none() {
            // Its lease ended on the way: whoever took the lane since has read it as it was before.
            unit.leases.revoke(&step.lane);
        } else if step.stays {
            unit.leases.put_back(&step.lane, step.epoch);
        } else if step.settled == Settled::Done {
            unit.leases.end(&step.lane, step.epoch);
        }
    }
}

async fn transact(unit: &mut Unit, batch: &mut Batch, outside: &Outside) -> StoreResult<Results> {
    if batch.jobs.is_empty()
        && let Some(results) =
            together(unit, &batch.sessions, (&batch.writes, &batch.settlements), outside).await?
    {
        return Ok(results);
    }
    one_by_one(unit, batch, outside).await
}

/// Everything without savepoints, which cost a copy of every page they see; `None` when a part failed and nothing is
/// done.
async fn together(
    unit: &mut Unit,
    sessions: &BTreeSet<SessionId>,
    (writes, settlements): (&[Vec<Write>], &[Settlement]),
    outside: &Outside,
) -> StoreResult<Option<Results>> {
    for _ in 0..TRIES {
        turn::begin(unit, sessions).await?;
        let crossed = match parts(unit, writes, settlements).await {
            Ok((written, settled)) => {
                turn::commit(unit, outside).await?;
                let written = written.into_iter().map(Ok).collect();
                return Ok(Some(Results { written, settled: Ok(settled) }));
            }
            Err(error) => is_crossed(&error),
        };
        unit.forget();
        unit.committing = Committing::default();
        turn::give_up(unit).await;
        if !crossed {
            break;
        }
    }
    Ok(None)
}

async fn parts(
    unit: &mut Unit,
    writes: &[Vec<Write>],
    settlements: &[Settlement],
) -> StoreResult<(Vec<Vec<WriteOutcome>>, Vec<Settled>)> {
    let written = match writes.is_empty() {
        true => vec![],
        false => caught(DOING, ledger::apply(unit, writes)).await?,
    };
    if settlements.is_empty() {
        return Ok((written, vec![]));
    }
    let outcome = caught(DOING, settle::settle(unit, settlements)).await?;
    unit.committing.steps.extend(outcome.steps);
    Ok((written, outcome.settled))
}

/// Each part in a savepoint, so that one that fails takes nothing else with it.
async fn one_by_one(unit: &mut Unit, batch: &mut Batch, outside: &Outside) -> StoreResult<Results> {
    turn::begin(unit, &batch.sessions).await?;
    for job in &mut batch.jobs {
        let mark = unit.committing.mark();
        statement(unit, "savepoint job").await?;
        turn::set_patient(unit, true);
        let done = caught(DOING, job.run(unit).map(Ok)).await;
        turn::set_patient(unit, false);
        if done.is_err() {
            job.panicked();
        }
        if !matches!(done, Ok(true)) {
            roll_back(unit).await?;
            unit.committing.back_to(mark);
        }
        statement(unit, "release job").await?;
    }
    let written = write(unit, &batch.writes).await?;
    let settled = settle(unit, &batch.settlements).await?;
    turn::commit(unit, outside).await?;
    Ok(Results { written, settled })
}

/// Takes back the part that failed.
async fn roll_back(unit: &mut Unit) -> StoreResult<()> {
    unit.forget();
    statement(unit, "rollback to job").await
}

async fn write(
    unit: &mut Unit,
    units: &[Vec<Write>],
) -> StoreResult<Vec<StoreResult<Vec<WriteOutcome>>>> {
    if units.is_empty() {
        return Ok(vec![]);
    }
    let mark = unit.committing.mark();
    statement(unit, "savepoint job").await?;
    let all = caught(DOING, ledger::apply(unit, units)).await;
    if all.is_err() {
        roll_back(unit).await?;
        unit.committing.back_to(mark);
    }
    statement(unit, "release job").await?;
    match all {
        Ok(outcomes) => Ok(outcomes.into_iter().map(Ok).collect()),
        Err(error) if units.len() == 1 => {
            let before = match is_taken(&error) {
                true => ledger::done_before(unit, &units[0]).await?,
                false => None,
            };
            Ok(vec![before.ok_or(error)])
        }
        Err(_) => {
            // One of them is to blame: each for itself.
            let mut results = Vec::with_capacity(units.len());
            for one in units {
                let one = Box::pin(write(unit, std::slice::from_ref(one))).await?;
                results.extend(one);
            }
            Ok(results)
        }
    }
}

async fn settle(
    unit: &mut Unit,
    settlements: &[Settlement],
) -> StoreResult<StoreResult<Vec<Settled>>> {
    if settlements.is_empty() {
        return Ok(Ok(vec![]));
    }
    let mark = unit.committing.mark();
    statement(unit, "savepoint job").await?;
    let settled = caught(DOING, settle::settle(unit, settlements)).await;
    if settled.is_err() {
        roll_back(unit).await?;
        unit.committing.back_to(mark);
    }
    statement(unit, "release job").await?;
    Ok(settled.map(|outcome| {
        unit.committing.steps.extend(outcome.steps);
        outcome.settled
    }))
}
