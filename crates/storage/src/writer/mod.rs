//! Group commit: one task, one connection, one transaction for everything that waits.
//!
//! Most of what waits is one of two things, and those are done together: changes with their events ([`ledger::apply`])
//! and attempts of deliveries ([`attempts::record`]), many rows per statement. Everything else is a job of its own. A
//! part that fails is rolled back alone; changes that fail together are tried again one by one.

mod caches;
mod condition;
mod health;
mod task;
pub(crate) mod turn;
mod unit;

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use domain::{
    SessionId,
    log::{COMMIT_SIZE_CLASSES, WriterStats},
    port::{Settled, Settlement, StoreError, StoreResult, Write, WriteOutcome},
};
use futures::future::{BoxFuture, join_all, select_all};
use tokio::sync::{mpsc, oneshot};

use self::{
    health::{Life, Pulse, within},
    task::run,
};
use crate::{
    db::postgres::DatabaseLimits,
    error::{busy, corrupt, unavailable},
    failpoint::{self, Failpoint},
    ledger,
};

pub(crate) use caches::CommitCaches;
pub(crate) use condition::Condition;
pub(crate) use task::Outside;
pub(crate) use turn::{
    CHANNEL, SHARES, SharedTurn, SoleTurn, Turn, lock_api_keys, lock_due, lock_webhooks,
    plan_with_values, touch, touch_of,
};
pub(crate) use unit::{Seams, Unit};

/// Orders that may wait. When full, callers wait up to [`QUEUE_WAIT`], then are told the store is busy.
const QUEUE_MAX: usize = 4096;
/// Longest wait for a place in the queue.
const QUEUE_WAIT: Duration = Duration::from_secs(10);
/// Orders of one commit: bounds how long the first of them waits for its answer.
const BATCH_MAX: usize = 1024;

trait Job: Send {
    /// Does the work inside a savepoint; `false` rolls it back.
    fn run<'a>(&'a mut self, unit: &'a mut Unit) -> BoxFuture<'a, bool>;
    /// It panicked.
    fn panicked(&mut self);
    /// Answers the caller.
    fn answer(self: Box<Self>, committed: bool);
}

type Reply<T> = oneshot::Sender<StoreResult<T>>;

enum Order {
    /// With the session it is about, if it is about one.
    Job(Box<dyn Job>, Option<SessionId>),
    Write(Vec<Write>, Reply<Vec<WriteOutcome>>),
    Settle(Settlement, Reply<Settled>),
    /// Finish what came before, then end.
    Stop,
}

struct Typed<T, F> {
    doing: &'static str,
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

    fn panicked(&mut self) {
        self.result = Err(corrupt(self.doing));
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
    /// The ways to the tasks: one where the process has the database to itself, else several.
    lines: Arc<[Line]>,
    commits: Arc<AtomicU64>,
    sizes: Arc<Sizes>,
    condition: Arc<Condition>,
    queue_wait: Duration,
    limits: DatabaseLimits,
    failpoint: Option<Failpoint>,
}

/// The way to one task.
struct Line {
    orders: mpsc::Sender<Order>,
    life: Arc<Life>,
    pulse: Arc<Pulse>,
    commits: Arc<AtomicU64>,
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
    /// Starts a task for each unit. Of several the last takes what belongs to no session.
    ///
    /// # Errors
    /// No thread can be had.
    pub(crate) fn start(
        units: Vec<Unit>,
        outside: Outside,
        limits: DatabaseLimits,
    ) -> std::io::Result<Self> {
        let (commits, sizes) = (outside.commits.clone(), outside.sizes.clone());
        let condition = outside.condition.clone();
        let count = units.len();
        let mut lines = Vec::with_capacity(count);
        for (place, unit) in units.into_iter().enumerate() {
            let most = if count > 1 && place + 1 == count { 1 } else { BATCH_MAX };
            lines.push(Line::start(unit, outside.for_another(), most)?);
        }
        let lines = lines.into();
        Ok(Self {
            lines,
            commits,
            sizes,
            condition,
            queue_wait: QUEUE_WAIT,
            limits,
            failpoint: None,
        })
    }

    /// With a place at which the process ends itself.
    pub(crate) fn with_failpoint(self, failpoint: Option<Failpoint>) -> Self {
        Self { failpoint, ..self }
    }

    /// How it does.
    pub(crate) fn stats(&self) -> WriterStats {
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let mut classes = [0; COMMIT_SIZE_CLASSES.len()];
        for (class, counted) in classes.iter_mut().zip(&self.sizes.classes) {
            *class = read(counted);
        }
        let waiting = |line: &Line| QUEUE_MAX.saturating_sub(line.orders.capacity());
        let waiting: usize = self.lines.iter().map(waiting).sum();
        WriterStats {
            commits: read(&self.commits),
            jobs: read(&self.sizes.jobs),
            classes,
            waiting: u64::try_from(waiting).unwrap_or(u64::MAX),
        }
    }

    /// Whether writes are taken.
    pub(crate) fn condition(&self) -> &Condition {
        &self.condition
    }

    /// Transactions committed so far.
    pub(crate) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Runs a job that belongs to no session, or finds out to which, and waits until it is durable. The sessions'
    /// rows that it changes it has to lock itself, in the order of their ids.
    pub(crate) async fn run<T, F>(&self, doing: &'static str, work: F) -> StoreResult<T>
    where
        T: Send + 'static,
        F: for<'a> FnOnce(&'a mut Unit) -> BoxFuture<'a, StoreResult<T>> + Send + 'static,
    {
        let passing = failpoint::job(self.failpoint.as_ref(), doing);
        let result = self
            .order(self.lines.len() - 1, doing, |reply| {
                let result = Err(unavailable(doing));
                Order::Job(Box::new(Typed { doing, work: Some(work), result, reply }), None)
            })
            .await;
        passing.answered(result.is_ok());
        result
    }

    /// Runs a job of a session and waits until it is durable.
    pub(crate) async fn run_for<T, F>(
        &self,
        session: SessionId,
        doing: &'static str,
        work: F,
    ) -> StoreResult<T>
    where
        T: Send + 'static,
        F: for<'a> FnOnce(&'a mut Unit) -> BoxFuture<'a, StoreResult<T>> + Send + 'static,
    {
        let passing = failpoint::job(self.failpoint.as_ref(), doing);
        let result = self
            .order(self.place(session), doing, |reply| {
                let result = Err(unavailable(doing));
                let job = Typed { doing, work: Some(work), result, reply };
                Order::Job(Box::new(job), Some(session))
            })
            .await;
        passing.answered(result.is_ok());
        result
    }

    /// Which task takes what has this key.
    fn place(&self, key: impl std::hash::Hash) -> usize {
        if self.lines.len() == 1 { 0 } else { turn::share_of(key) }
    }

    /// Applies changes with their events as one unit, and waits until they are durable.
    pub(crate) async fn write(&self, writes: Vec<Write>) -> StoreResult<Vec<WriteOutcome>> {
        let passing = failpoint::writes(self.failpoint.as_ref(), &writes);
        let place = writes.first().map_or(0, |write| self.place(ledger::session_of(write)));
        let order = |reply| Order::Write(writes, reply);
        let result = self.order(place, "writing to the ledger", order).await;
        passing.answered(result.is_ok());
        result
    }

    /// Records a result, and waits until it is durable.
    pub(crate) async fn record_attempt(&self, settlement: Settlement) -> StoreResult<Settled> {
        let passing = failpoint::settlement(self.failpoint.as_ref(), &settlement);
        // Those of one webhook together: they change its row.
        let place = self.place(settlement.lane.webhook());
        let order = |reply| Order::Settle(settlement, reply);
        let result = self.order(place, "settling a delivery", order).await;
        passing.answered(result.is_ok());
        result
    }

    async fn order<T>(
        &self,
        place: usize,
        doing: &'static str,
        order: impl FnOnce(Reply<T>) -> Order,
    ) -> StoreResult<T> {
        let Some(line) = self.lines.get(place) else { return Err(unavailable(doing)) };
        let (reply, answer) = oneshot::channel();
        match line.orders.send_timeout(order(reply), self.queue_wait).await {
            // Later than the limit the order may still be done: every one is safe to repeat.
            Ok(()) => match within(self.limits.answer, answer).await {
                Some(Ok(answer)) => answer,
                Some(Err(_)) | None => Err(unavailable(doing)),
            },
            Err(mpsc::error::SendTimeoutError::Timeout(_)) => Err(busy(doing)),
            Err(mpsc::error::SendTimeoutError::Closed(_)) => Err(unavailable(doing)),
        }
    }

    /// Whether the writer commits: an empty transaction of each task, or another one meanwhile.
    pub(crate) async fn pulse(&self) -> StoreResult<()> {
        let ask = |line: &Line| line.pulse(self.limits.pulse);
        let answers = join_all(self.lines.iter().map(ask)).await;
        if answers.into_iter().all(|answer| answer) { Ok(()) } else { Err(unavailable(PULSE)) }
    }

    /// Completes when a task ended though nobody closed it.
    pub(crate) async fn failed(&self) {
        let lives = self.lines.iter().map(|line| Box::pin(line.life.failed()));
        let _ = select_all(lives).await;
    }

    /// Finishes what is queued and ends the tasks.
    pub(crate) async fn close(&self) {
        join_all(self.lines.iter().map(|line| line.close(self.limits.job))).await;
    }
}

impl Line {
    fn start(unit: Unit, outside: Outside, most: usize) -> std::io::Result<Self> {
        let (orders, waiting) = mpsc::channel(QUEUE_MAX);
        let life = Arc::<Life>::default();
        let commits = outside.own.clone();
        let turn = unit.seams.turn.clone();
        let running = life.begin();
        let task = async move {
            run(unit, waiting, &outside, most).await;
            running.closed();
        };
        if let Some(handle) = turn.start(Box::pin(task))? {
            life.can_be_cut(handle);
        }
        Ok(Self { orders, life, pulse: Arc::default(), commits })
    }

    /// Whether it works.
    fn pulse(&self, limit: Duration) -> impl Future<Output = bool> + use<> {
        let (pulse, orders, commits) =
            (self.pulse.clone(), self.orders.clone(), self.commits.clone());
        async move {
            let before = commits.load(Ordering::Relaxed);
            // It works too when much is waiting and something else was committed meanwhile.
            pulse.ask(&orders, limit).await || commits.load(Ordering::Relaxed) != before
        }
    }

    async fn close(&self, limit: Duration) {
        let end = async {
            let _ = self.orders.send(Order::Stop).await;
            self.life.ended().await;
        };
        if within(limit, end).await.is_none() {
            tracing::warn!("the ledger's writer does not end: what it is doing is left undone");
            self.life.cut();
        }
    }
}

const PULSE: &str = "asking the ledger's writer";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        crypt::{Cipher, MasterKey},
        db::{
            Conn, Readers,
            sqlite::{self, SqliteConnection},
        },
        delivery::claims::MemoryClaims,
        lease::MemoryLeases,
    };
    use domain::port::StoreErrorKind;

    async fn writer() -> Writer {
        let conn = Conn::Sqlite(SqliteConnection::in_memory().unwrap());
        let cipher = Arc::new(Cipher::new(&MasterKey::from_bytes([7; 32])));
        let lock = Arc::new(tempfile::tempfile().unwrap());
        let readers = Readers::Sqlite(sqlite::SqliteReaders::none());
        let claims = Arc::new(MemoryClaims::new(readers.clone(), 0));
        let outside = Outside::new(Arc::new(CommitCaches::new(claims.clone())));
        let seams = Seams {
            claims,
            leases: Arc::new(MemoryLeases::new(readers, Arc::default())),
            turn: Arc::new(SoleTurn),
        };
        let unit =
            Unit::new(conn, cipher, Arc::new(testkit::SeededEntropy::new(7)), seams).locking(lock);
        Writer::start(vec![unit], outside, DatabaseLimits::default()).unwrap()
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
    #[tokio::test]
    async fn a_job_that_panics_is_answered_and_takes_nobody_along() {
        let writer = writer().await;
        let bad = writer.run("panicking", |_| Box::pin(async { panic!("a bug, for the test") }));
        let good = writer.run("working", |_| Box::pin(async { Ok(7) }));
        let (bad, good): (StoreResult<()>, _) = tokio::join!(bad, good);
        let error = bad.unwrap_err();
        assert_eq!((error.kind, error.doing), (StoreErrorKind::Corrupt, "panicking"));
        assert_eq!(good.unwrap(), 7);
        writer.pulse().await.unwrap();
        assert!(futures::poll!(Box::pin(writer.failed())).is_pending());
    }

    #[tokio::test]
    async fn a_writer_that_hangs_says_nothing_and_its_callers_do_not_wait_for_ever() {
        let mut writer = writer().await;
        writer.limits.answer = Duration::from_millis(50);
        writer.limits.pulse = Duration::from_millis(20);
        writer.pulse().await.unwrap();
        let (go, wait) = oneshot::channel::<()>();
        let hangs = writer.run("hanging", |_| {
            Box::pin(async move {
                let _ = wait.await;
                Ok(())
            })
        });
        let (hung, behind) =
            tokio::join!(hangs, writer.run("behind it", |_| Box::pin(async { Ok(()) })));
        for refused in [hung, behind] {
            assert_eq!(refused.unwrap_err().kind, StoreErrorKind::Unavailable);
        }
        let before = writer.stats().waiting;
        for _ in 0..3 {
            assert_eq!(writer.pulse().await.unwrap_err().kind, StoreErrorKind::Unavailable);
        }
        assert_eq!(writer.stats().waiting, before + 1, "one question alone");
        go.send(()).unwrap();
        writer.limits.pulse = Duration::from_secs(10);
        writer.pulse().await.unwrap();
    }
}
