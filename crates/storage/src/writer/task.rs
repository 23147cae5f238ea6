//! The task: what waits, taken together, in one transaction.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use domain::{
    SessionId,
    log::AuditEntry,
    port::{Settled, Settlement, StoreError, StoreResult, Trouble, Write, WriteOutcome},
};
use futures::FutureExt as _;
use tokio::sync::mpsc;

use super::{
    CommitCaches, Condition, Job, Order, Reply, Sizes, again,
    turn::{self, statement},
    unit::{Committing, Unit},
};
use crate::{
    audit,
    delivery::attempts,
    error::{self, corrupt, is_crossed, is_taken, unavailable},
    ledger,
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
    pub(super) condition: Arc<Condition>,
    pub(super) caches: Arc<CommitCaches>,
}

impl Outside {
    /// Tells these.
    pub(crate) fn new(caches: Arc<CommitCaches>) -> Self {
        let (commits, own, sizes, condition) = Default::default();
        Self { commits, own, sizes, condition, caches }
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
    audits: Vec<Vec<AuditEntry>>,
    audited: Vec<Reply<()>>,
}

impl Batch {
    fn parts(&self) -> Parts<'_> {
        let Self { writes, settlements, audits, .. } = self;
        Parts { writes, settlements, audits }
    }

    fn len(&self) -> usize {
        self.jobs.len() + self.writes.len() + self.settlements.len() + self.audits.len()
    }
}

/// What is done together, many rows per statement.
#[derive(Clone, Copy)]
struct Parts<'a> {
    writes: &'a [Vec<Write>],
    settlements: &'a [Settlement],
    audits: &'a [Vec<AuditEntry>],
}

/// What became of the parts that are done together.
struct Results {
    written: Vec<StoreResult<Vec<WriteOutcome>>>,
    settled: Vec<StoreResult<Settled>>,
    audited: Vec<StoreResult<()>>,
}

impl Results {
    fn errors(&self) -> impl Iterator<Item = &StoreError> {
        let written = self.written.iter().filter_map(|one| one.as_ref().err());
        let settled = self.settled.iter().filter_map(|one| one.as_ref().err());
        written.chain(settled).chain(self.audited.iter().filter_map(|one| one.as_ref().err()))
    }
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
            Some(Order::Audit(entries, reply)) => {
                batch.audits.push(entries);
                batch.audited.push(reply);
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
        Ok(results) => {
            outside.commits.fetch_add(1, Ordering::Relaxed);
            outside.own.fetch_add(1, Ordering::Relaxed);
            outside.caches.apply(committing, unit.webhooks.take_changed());
            results.errors().for_each(|error| outside.condition.look_at(error));
        }
        Err(error) => {
            if !is_crossed(error) {
                outside.condition.fails(trouble(unit, error), error);
            }
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
            for (reply, settled) in batch.settled.into_iter().zip(results.settled) {
                let _ = reply.send(settled);
            }
            for (reply, audited) in batch.audited.into_iter().zip(results.audited) {
                let _ = reply.send(audited);
            }
        }
        Err(_) => {
            refuse(batch.written, &unavailable("committing"));
            refuse(batch.settled, &unavailable("committing"));
            refuse(batch.audited, &unavailable("committing"));
        }
    }
}

/// Why nothing was committed.
fn trouble(unit: &Unit, error: &StoreError) -> Trouble {
    let known = error::trouble(error).unwrap_or(Trouble::Away);
    match known {
        // The database says only that it could not write.
        Trouble::Disk => unit.conn.fault_of_the_disk().unwrap_or(known),
        _ => known,
    }
}

fn refuse<T>(replies: Vec<Reply<T>>, error: &StoreError) {
    for reply in replies {
        let _ = reply.send(Err(again(error)));
    }
}

async fn transact(unit: &mut Unit, batch: &mut Batch, outside: &Outside) -> StoreResult<Results> {
    if batch.jobs.is_empty()
        && let Some(results) = together(unit, &batch.sessions, batch.parts(), outside).await?
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
    all: Parts<'_>,
    outside: &Outside,
) -> StoreResult<Option<Results>> {
    for _ in 0..TRIES {
        turn::begin(unit, sessions).await?;
        let crossed = match parts(unit, all).await {
            Ok((written, settled)) => {
                turn::commit(unit, outside).await?;
                let written = written.into_iter().map(Ok).collect();
                let settled = settled.into_iter().map(Ok).collect();
                let audited = all.audits.iter().map(|_| Ok(())).collect();
                return Ok(Some(Results { written, settled, audited }));
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
    Parts { writes, settlements, audits }: Parts<'_>,
) -> StoreResult<(Vec<Vec<WriteOutcome>>, Vec<Settled>)> {
    for entries in audits {
        caught(DOING, audit::insert_all(unit, entries)).await?;
    }
    let written = match writes.is_empty() {
        true => vec![],
        false => caught(DOING, ledger::apply(unit, writes)).await?,
    };
    if settlements.is_empty() {
        return Ok((written, vec![]));
    }
    let outcome = caught(DOING, attempts::record(unit, settlements)).await?;
    unit.committing.steps.extend(outcome.steps);
    Ok((written, outcome.settled))
}

/// Each part in a savepoint, so that one that fails takes nothing else with it.
async fn one_by_one(unit: &mut Unit, batch: &mut Batch, outside: &Outside) -> StoreResult<Results> {
    turn::begin(unit, &batch.sessions).await?;
    for job in &mut batch.jobs {
        let mark = unit.committing.mark();
        statement(unit, "savepoint job").await?;
        unit.conn.set_patient(true);
        let done = caught(DOING, job.run(unit).map(Ok)).await;
        unit.conn.set_patient(false);
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
    let mut audited = Vec::with_capacity(batch.audits.len());
    for entries in &batch.audits {
        audited.push(note(unit, entries).await?);
    }
    turn::commit(unit, outside).await?;
    Ok(Results { written, settled, audited })
}

/// Entries of the audit, in a savepoint.
async fn note(unit: &mut Unit, entries: &[AuditEntry]) -> StoreResult<StoreResult<()>> {
    statement(unit, "savepoint job").await?;
    let noted = caught(DOING, audit::insert_all(unit, entries)).await;
    if noted.is_err() {
        roll_back(unit).await?;
    }
    statement(unit, "release job").await?;
    Ok(noted)
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
) -> StoreResult<Vec<StoreResult<Settled>>> {
    if settlements.is_empty() {
        return Ok(vec![]);
    }
    match settle_together(unit, settlements).await? {
        Ok(settled) => Ok(settled.into_iter().map(Ok).collect()),
        Err(error) if settlements.len() == 1 => Ok(vec![Err(error)]),
        Err(_) => lane_by_lane(unit, settlements).await,
    }
}

/// One of them is to blame: each lane for itself. Those of one lane build on each other.
async fn lane_by_lane(
    unit: &mut Unit,
    settlements: &[Settlement],
) -> StoreResult<Vec<StoreResult<Settled>>> {
    let mut lanes: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (place, settlement) in settlements.iter().enumerate() {
        lanes.entry(settlement.lane.as_str()).or_default().push(place);
    }
    let mut results: Vec<Option<StoreResult<Settled>>> = settlements.iter().map(|_| None).collect();
    for places in lanes.values() {
        let of_lane: Vec<Settlement> =
            places.iter().map(|place| settlements[*place].clone()).collect();
        match settle_together(unit, &of_lane).await? {
            Ok(settled) => {
                for (place, settled) in places.iter().zip(settled) {
                    results[*place] = Some(Ok(settled));
                }
            }
            Err(error) => {
                places.iter().for_each(|place| results[*place] = Some(Err(again(&error))));
            }
        }
    }
    let missing = || Err(unavailable("settling a delivery"));
    Ok(results.into_iter().map(|result| result.unwrap_or_else(missing)).collect())
}

async fn settle_together(
    unit: &mut Unit,
    settlements: &[Settlement],
) -> StoreResult<StoreResult<Vec<Settled>>> {
    let mark = unit.committing.mark();
    statement(unit, "savepoint job").await?;
    let settled = caught(DOING, attempts::record(unit, settlements)).await;
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
