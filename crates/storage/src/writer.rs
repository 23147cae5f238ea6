//! Group commit: one task, one connection, one transaction for everything that waits.
//!
//! Most of what waits is one of two things, and those are done together: changes with their events ([`ledger::apply`])
//! and results of deliveries ([`settle::settle`]), many rows per statement. Everything else is a job of its own. A part
//! that fails is rolled back alone; changes that fail together are tried again one by one.

use std::{
    collections::HashMap,
    fs::File,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use domain::{
    WebhookId,
    delivery::{Health, LaneId},
    event::Event,
    log::{COMMIT_SIZE_CLASSES, WriterStats},
    port::{Settled, Settlement, StoreError, StoreResult, Write, WriteOutcome},
};
use futures::future::BoxFuture;
use sqlx::{Connection as _, SqliteConnection};
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::{
    crypt::Cipher,
    delivery::{
        leases::Leases,
        recent::Recent,
        settle::{self, Step},
    },
    error::{Doing as _, busy, unavailable},
    ledger,
    receivers::{OfSessions, Receivers},
};

/// Orders that may wait. When full, callers wait up to [`QUEUE_WAIT`], then are told the store is busy.
const QUEUE_MAX: usize = 4096;
/// Longest wait for a place in the queue.
const QUEUE_WAIT: Duration = Duration::from_secs(10);
/// Orders of one commit: bounds how long the first of them waits for its answer.
const BATCH_MAX: usize = 1024;

/// What a job works with.
pub(crate) struct Unit {
    pub(crate) conn: SqliteConnection,
    pub(crate) cipher: Arc<Cipher>,
    /// Webhooks by session, as of this transaction. Emptied whenever a webhook changes or a job is rolled back.
    pub(crate) webhooks: OfSessions,
    /// The health of every webhook that is not sound, as of this transaction. Emptied likewise.
    pub(crate) doubtful: Option<HashMap<WebhookId, Health>>,
    pub(crate) leases: Arc<Leases>,
    /// What others learn once it is committed.
    pub(crate) committing: Committing,
    /// The last ticket of a lane.
    last_ticket: i64,
    /// The file stays ours until the last job is done, also when the store was dropped before.
    lock: Arc<File>,
}

/// What others learn once a transaction is committed.
#[derive(Default)]
pub(crate) struct Committing {
    /// Events, with the size of their data.
    pub(crate) events: Vec<(Arc<Event>, usize)>,
    /// Lanes in which nothing waited before. Also those of a part that was rolled back: they are hints.
    pub(crate) opened: Vec<LaneId>,
    steps: Vec<Step>,
}

impl Unit {
    pub(crate) fn new(
        conn: SqliteConnection,
        cipher: Arc<Cipher>,
        lock: Arc<File>,
        leases: Arc<Leases>,
        last_ticket: i64,
    ) -> Self {
        Self {
            conn,
            cipher,
            webhooks: OfSessions::default(),
            doubtful: None,
            leases,
            committing: Committing::default(),
            last_ticket,
            lock,
        }
    }

    /// The next ticket: lanes that wait are served in the order of their tickets.
    pub(crate) fn ticket(&mut self) -> i64 {
        self.last_ticket += 1;
        self.last_ticket
    }

    /// What was done since is not so.
    fn forget(&mut self) {
        self.webhooks.clear();
        self.doubtful = None;
    }
}

trait Job: Send {
    /// Does the work inside a savepoint; `false` rolls it back.
    fn run<'a>(&'a mut self, unit: &'a mut Unit) -> BoxFuture<'a, bool>;
    /// Answers the caller.
    fn answer(self: Box<Self>, committed: bool);
}

type Reply<T> = oneshot::Sender<StoreResult<T>>;

enum Order {
    Job(Box<dyn Job>),
    Write(Vec<Write>, Reply<Vec<WriteOutcome>>),
    Settle(Settlement, Reply<Settled>),
    /// Finish what came before, then end.
    Stop,
}

struct Typed<T, F> {
    work: Option<F>,
    result: StoreResult<T>,
    reply: Reply<T>,
}

impl<T, F> Job for Typed<T, F>
where
    T: Send + 'static,
    F: for<'a> FnOnce(&'a mut Unit) -> BoxFuture<'a, StoreResult<T>> + Send + 'static,
{
    fn run<'a>(&'a mut self, unit: &'a mut Unit) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            if let Some(work) = self.work.take() {
                self.result = work(unit).await;
            }
            self.result.is_ok()
        })
    }

    fn answer(self: Box<Self>, committed: bool) {
        answer(self.reply, self.result, committed);
    }
}

/// A caller that is gone does not need the answer; its work was done all the same.
fn answer<T>(reply: Reply<T>, result: StoreResult<T>, committed: bool) {
    let result = if committed || result.is_err() { result } else { Err(unavailable("committing")) };
    let _ = reply.send(result);
}

/// The same failure for another caller.
fn again(error: &StoreError) -> StoreError {
    StoreError { kind: error.kind, doing: error.doing, source: error.source.clone() }
}

/// The way to the writer.
#[derive(Clone)]
pub(crate) struct Writer {
    orders: mpsc::Sender<Order>,
    ended: Arc<Mutex<Option<oneshot::Receiver<()>>>>,
    commits: Arc<AtomicU64>,
    sizes: Arc<Sizes>,
    queue_wait: Duration,
}

/// How many jobs the commits had.
#[derive(Default)]
struct Sizes {
    jobs: AtomicU64,
    classes: [AtomicU64; COMMIT_SIZE_CLASSES.len()],
}

impl Sizes {
    fn count(&self, jobs: usize) {
        let jobs = u64::try_from(jobs).unwrap_or(u64::MAX);
        self.jobs.fetch_add(jobs, Ordering::Relaxed);
        let class = COMMIT_SIZE_CLASSES.iter().position(|most| jobs <= *most);
        self.classes[class.unwrap_or(COMMIT_SIZE_CLASSES.len() - 1)]
            .fetch_add(1, Ordering::Relaxed);
    }
}

impl Writer {
    /// Starts the task.
    #[expect(
        clippy::disallowed_methods,
        reason = "the writer belongs to the store, which ends it in close()"
    )]
    pub(crate) fn start(unit: Unit, recent: Arc<Recent>, receivers: Arc<Receivers>) -> Self {
        let (orders, waiting) = mpsc::channel(QUEUE_MAX);
        let (end, ended) = oneshot::channel();
        let commits = Arc::new(AtomicU64::new(0));
        let sizes = Arc::<Sizes>::default();
        let (counted, measured) = (commits.clone(), sizes.clone());
        let outside = Outside { commits: counted, sizes: measured, recent, receivers };
        tokio::spawn(async move {
            run(unit, waiting, &outside).await;
            let _ = end.send(());
        });
        let ended = Arc::new(Mutex::new(Some(ended)));
        Self { orders, ended, commits, sizes, queue_wait: QUEUE_WAIT }
    }

    /// How it does.
    pub(crate) fn stats(&self) -> WriterStats {
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let mut classes = [0; COMMIT_SIZE_CLASSES.len()];
        for (class, counted) in classes.iter_mut().zip(&self.sizes.classes) {
            *class = read(counted);
        }
        let waiting = QUEUE_MAX.saturating_sub(self.orders.capacity());
        WriterStats {
            commits: read(&self.commits),
            jobs: read(&self.sizes.jobs),
            classes,
            waiting: u64::try_from(waiting).unwrap_or(u64::MAX),
        }
    }

    /// Transactions committed so far.
    pub(crate) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Runs a job and waits until it is durable.
    pub(crate) async fn run<T, F>(&self, doing: &'static str, work: F) -> StoreResult<T>
    where
        T: Send + 'static,
        F: for<'a> FnOnce(&'a mut Unit) -> BoxFuture<'a, StoreResult<T>> + Send + 'static,
    {
        self.order(doing, |reply| {
            Order::Job(Box::new(Typed { work: Some(work), result: Err(unavailable(doing)), reply }))
        })
        .await
    }

    /// Applies changes with their events as one unit, and waits until they are durable.
    pub(crate) async fn write(&self, writes: Vec<Write>) -> StoreResult<Vec<WriteOutcome>> {
        self.order("writing to the ledger", |reply| Order::Write(writes, reply)).await
    }

    /// Records a result, and waits until it is durable.
    pub(crate) async fn settle(&self, settlement: Settlement) -> StoreResult<Settled> {
        self.order("settling a delivery", |reply| Order::Settle(settlement, reply)).await
    }

    async fn order<T>(
        &self,
        doing: &'static str,
        order: impl FnOnce(Reply<T>) -> Order,
    ) -> StoreResult<T> {
        let (reply, answer) = oneshot::channel();
        match self.orders.send_timeout(order(reply), self.queue_wait).await {
            Ok(()) => answer.await.unwrap_or_else(|_| Err(unavailable(doing))),
            Err(mpsc::error::SendTimeoutError::Timeout(_)) => Err(busy(doing)),
            Err(mpsc::error::SendTimeoutError::Closed(_)) => Err(unavailable(doing)),
        }
    }

    /// Finishes what is queued and ends the task.
    pub(crate) async fn close(&self) {
        let _ = self.orders.send(Order::Stop).await;
        if let Some(ended) = self.ended.lock().await.take() {
            let _ = ended.await;
        }
    }
}

/// What the task tells of its commits.
struct Outside {
    commits: Arc<AtomicU64>,
    sizes: Arc<Sizes>,
    recent: Arc<Recent>,
    receivers: Arc<Receivers>,
}

/// What waits, sorted.
#[derive(Default)]
struct Batch {
    jobs: Vec<Box<dyn Job>>,
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

async fn run(mut unit: Unit, mut waiting: mpsc::Receiver<Order>, outside: &Outside) {
    loop {
        let (batch, last) = next_batch(&mut waiting).await;
        if batch.len() > 0 {
            outside.sizes.count(batch.len());
            commit(&mut unit, batch, outside).await;
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

/// Waits for an order, then takes what else is there; `true` when nothing more will come.
async fn next_batch(waiting: &mut mpsc::Receiver<Order>) -> (Batch, bool) {
    let mut batch = Batch::default();
    let mut next = waiting.recv().await;
    loop {
        match next {
            Some(Order::Job(job)) => batch.jobs.push(job),
            Some(Order::Write(writes, reply)) => {
                batch.writes.push(writes);
                batch.written.push(reply);
            }
            Some(Order::Settle(settlement, reply)) => {
                batch.settlements.push(settlement);
                batch.settled.push(reply);
            }
            Some(Order::Stop) | None => return (batch, true),
        }
        if batch.len() == BATCH_MAX {
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
    let outcome = transact(unit, &mut batch).await;
    let committing = std::mem::take(&mut unit.committing);
    match &outcome {
        Ok(_) => publish(unit, committing, outside),
        Err(error) => {
            tracing::error!(error = error as &dyn std::error::Error, "the ledger did not commit");
            unit.forget();
            // Harmless when the transaction is gone already.
            let _ = sqlx::query("rollback").execute(&mut unit.conn).await;
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
    outside.recent.keep(committing.events);
    outside.recent.tell_opened(&committing.opened);
    if unit.webhooks.take_changed() {
        outside.receivers.forget();
    }
    for step in committing.steps {
        if step.settled == Settled::Done {
            unit.leases.end(&step.lane, step.epoch);
        } else {
            unit.leases.with(&step.lane, step.epoch, |lease| {
                if !step.stays {
                    lease.window.pop_front();
                    lease.tried = false;
                }
            });
        }
    }
}

async fn transact(unit: &mut Unit, batch: &mut Batch) -> StoreResult<Results> {
    // IMMEDIATE: the write lock is taken now, never half-way.
    statement(unit, "begin immediate").await?;
    for job in &mut batch.jobs {
        let told = unit.committing.events.len();
        statement(unit, "savepoint job").await?;
        if !job.run(unit).await {
            roll_back(unit).await?;
            unit.committing.events.truncate(told);
        }
        statement(unit, "release job").await?;
    }
    let written = write(unit, &batch.writes).await?;
    let settled = settle(unit, &batch.settlements).await?;
    statement(unit, "commit").await?;
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
    let told = unit.committing.events.len();
    statement(unit, "savepoint job").await?;
    let all = ledger::apply(unit, units).await;
    if all.is_err() {
        roll_back(unit).await?;
        unit.committing.events.truncate(told);
    }
    statement(unit, "release job").await?;
    match all {
        Ok(outcomes) => Ok(outcomes.into_iter().map(Ok).collect()),
        Err(error) if units.len() == 1 => Ok(vec![Err(error)]),
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
    let told = unit.committing.events.len();
    statement(unit, "savepoint job").await?;
    let settled = settle::settle(unit, settlements).await;
    if settled.is_err() {
        roll_back(unit).await?;
        unit.committing.events.truncate(told);
    }
    statement(unit, "release job").await?;
    Ok(settled.map(|outcome| {
        unit.committing.steps.extend(outcome.steps);
        outcome.settled
    }))
}

async fn statement(unit: &mut Unit, sql: &'static str) -> StoreResult<()> {
    sqlx::query(sql).execute(&mut unit.conn).await.doing("committing").map(|_| ())
}

#[cfg(test)]
mod tests {
    use domain::port::StoreErrorKind;
    use futures::future::join_all;

    use super::*;
    use crate::crypt::MasterKey;

    async fn writer() -> Writer {
        let conn = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        let cipher = Arc::new(Cipher::new(&MasterKey::from_bytes([7; 32])));
        let lock = Arc::new(tempfile::tempfile().unwrap());
        let unit = Unit::new(conn, cipher, lock, Arc::default(), 0);
        Writer::start(unit, Arc::default(), Arc::default())
    }

    #[tokio::test]
    async fn a_full_queue_says_that_it_is_busy_and_forgets_no_job_it_took() {
        let mut writer = writer().await;
        writer.queue_wait = Duration::from_millis(1);
        let (go, wait) = oneshot::channel::<()>();
        let (started, running) = oneshot::channel();
        let slow = writer.run("waiting", |_| {
            Box::pin(async move {
                let _ = started.send(());
                let _ = wait.await;
                Ok(())
            })
        });
        let crowd = async {
            running.await.unwrap();
            let mut jobs: Vec<_> = (0..QUEUE_MAX)
                .map(|number| {
                    Box::pin(writer.run("queued", move |_| Box::pin(async move { Ok(number) })))
                })
                .collect();
            for job in &mut jobs {
                // The budget of a task would make a free queue look full.
                let polled =
                    tokio::task::coop::unconstrained(async { futures::poll!(job.as_mut()) });
                assert!(polled.await.is_pending());
            }
            let refused = writer.run("one too many", |_| Box::pin(async { Ok(()) })).await;
            let error = refused.unwrap_err();
            assert_eq!((error.kind, error.doing), (StoreErrorKind::Busy, "one too many"));
            go.send(()).unwrap();
            let answers: StoreResult<Vec<usize>> = join_all(jobs).await.into_iter().collect();
            assert_eq!(answers.unwrap(), (0..QUEUE_MAX).collect::<Vec<_>>());
        };
        let (slow, ()) = tokio::join!(slow, crowd);
        slow.unwrap();
        let least = u64::try_from(QUEUE_MAX / BATCH_MAX).unwrap();
        assert!((least..=least + 2).contains(&writer.commits()), "{} commits", writer.commits());
    }

    #[tokio::test]
    async fn a_closed_writer_refuses() {
        let writer = writer().await;
        writer.close().await;
        let refused = writer.run("late", |_| Box::pin(async { Ok(()) })).await;
        assert_eq!(refused.unwrap_err().kind, StoreErrorKind::Unavailable);
    }
}
