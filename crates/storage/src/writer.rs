//! Group commit: one task, one connection, one transaction for everything that waits.

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
    SessionId,
    log::{COMMIT_SIZE_CLASSES, WriterStats},
    port::StoreResult,
    webhook::Webhook,
};
use futures::future::BoxFuture;
use sqlx::{Connection as _, SqliteConnection};
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::{
    crypt::Cipher,
    error::{Doing as _, busy, unavailable},
};

/// Jobs that may wait. When full, callers wait up to [`QUEUE_WAIT`], then are told the store is busy.
const QUEUE_MAX: usize = 4096;
/// Longest wait for a place in the queue.
const QUEUE_WAIT: Duration = Duration::from_secs(10);
/// Jobs of one commit: bounds how long the first of them waits for its answer.
const BATCH_MAX: usize = 256;
/// Sessions whose webhooks are remembered; when full all are forgotten.
const CACHE_MAX: usize = 4096;

/// What a job works with.
pub(crate) struct Unit {
    pub(crate) conn: SqliteConnection,
    pub(crate) cipher: Arc<Cipher>,
    /// Webhooks by session, as of this transaction. Emptied whenever a webhook changes or a job is rolled back.
    pub(crate) webhooks: HashMap<SessionId, Arc<Vec<Webhook>>>,
    /// The file stays ours until the last job is done, also when the store was dropped before.
    pub(crate) lock: Arc<File>,
}

impl Unit {
    /// Remembers the webhooks of a session.
    pub(crate) fn remember(&mut self, session: SessionId, webhooks: Arc<Vec<Webhook>>) {
        if self.webhooks.len() >= CACHE_MAX {
            self.webhooks.clear();
        }
        self.webhooks.insert(session, webhooks);
    }
}

trait Job: Send {
    /// Does the work inside a savepoint; `false` rolls it back.
    fn run<'a>(&'a mut self, unit: &'a mut Unit) -> BoxFuture<'a, bool>;
    /// Answers the caller.
    fn answer(self: Box<Self>, committed: bool);
}

enum Order {
    Job(Box<dyn Job>),
    /// Finish what came before, then end.
    Stop,
}

struct Typed<T, F> {
    work: Option<F>,
    result: StoreResult<T>,
    reply: oneshot::Sender<StoreResult<T>>,
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
        let result = if committed || self.result.is_err() {
            self.result
        } else {
            Err(unavailable("committing"))
        };
        // A caller that is gone does not need the answer; its job was done all the same.
        let _ = self.reply.send(result);
    }
}

/// The way to the writer.
#[derive(Clone)]
pub(crate) struct Writer {
    jobs: mpsc::Sender<Order>,
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
    pub(crate) fn start(unit: Unit) -> Self {
        let (jobs, waiting) = mpsc::channel(QUEUE_MAX);
        let (end, ended) = oneshot::channel();
        let commits = Arc::new(AtomicU64::new(0));
        let sizes = Arc::<Sizes>::default();
        let (counter, measured) = (commits.clone(), sizes.clone());
        tokio::spawn(async move {
            run(unit, waiting, &counter, &measured).await;
            let _ = end.send(());
        });
        let ended = Arc::new(Mutex::new(Some(ended)));
        Self { jobs, ended, commits, sizes, queue_wait: QUEUE_WAIT }
    }

    /// Transactions committed so far.
    pub(crate) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// How it does.
    pub(crate) fn stats(&self) -> WriterStats {
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let mut classes = [0; COMMIT_SIZE_CLASSES.len()];
        for (class, counted) in classes.iter_mut().zip(&self.sizes.classes) {
            *class = read(counted);
        }
        let waiting = QUEUE_MAX.saturating_sub(self.jobs.capacity());
        WriterStats {
            commits: read(&self.commits),
            jobs: read(&self.sizes.jobs),
            classes,
            waiting: u64::try_from(waiting).unwrap_or(u64::MAX),
        }
    }

    /// Runs a job and waits until it is durable.
    pub(crate) async fn run<T, F>(&self, doing: &'static str, work: F) -> StoreResult<T>
    where
        T: Send + 'static,
        F: for<'a> FnOnce(&'a mut Unit) -> BoxFuture<'a, StoreResult<T>> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Typed { work: Some(work), result: Err(unavailable(doing)), reply };
        match self.jobs.send_timeout(Order::Job(Box::new(job)), self.queue_wait).await {
            Ok(()) => answer.await.unwrap_or_else(|_| Err(unavailable(doing))),
            Err(mpsc::error::SendTimeoutError::Timeout(_)) => Err(busy(doing)),
            Err(mpsc::error::SendTimeoutError::Closed(_)) => Err(unavailable(doing)),
        }
    }

    /// Finishes what is queued and ends the task.
    pub(crate) async fn close(&self) {
        let _ = self.jobs.send(Order::Stop).await;
        if let Some(ended) = self.ended.lock().await.take() {
            let _ = ended.await;
        }
    }
}

async fn run(
    mut unit: Unit,
    mut waiting: mpsc::Receiver<Order>,
    commits: &AtomicU64,
    sizes: &Sizes,
) {
    loop {
        let (batch, last) = next_batch(&mut waiting).await;
        if !batch.is_empty() {
            sizes.count(batch.len());
            commit(&mut unit, batch, commits).await;
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

/// Waits for a job, then takes what else is there; `true` when nothing more will come.
async fn next_batch(waiting: &mut mpsc::Receiver<Order>) -> (Vec<Box<dyn Job>>, bool) {
    let mut batch = Vec::new();
    let mut next = waiting.recv().await;
    loop {
        match next {
            Some(Order::Job(job)) => batch.push(job),
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

async fn commit(unit: &mut Unit, mut batch: Vec<Box<dyn Job>>, commits: &AtomicU64) {
    let outcome = transact(unit, &mut batch).await;
    if outcome.is_ok() {
        // Before the answers: a caller that has its answer finds its commit counted.
        commits.fetch_add(1, Ordering::Relaxed);
    }
    if let Err(error) = &outcome {
        tracing::error!(error = error as &dyn std::error::Error, "the ledger did not commit");
        unit.webhooks.clear();
        // Harmless when the transaction is gone already.
        let _ = sqlx::query("rollback").execute(&mut unit.conn).await;
    }
    for job in batch {
        job.answer(outcome.is_ok());
    }
}

async fn transact(unit: &mut Unit, batch: &mut [Box<dyn Job>]) -> StoreResult<()> {
    // IMMEDIATE: the write lock is taken now, never half-way.
    statement(unit, "begin immediate").await?;
    for job in batch {
        statement(unit, "savepoint job").await?;
        if !job.run(unit).await {
            unit.webhooks.clear();
            statement(unit, "rollback to job").await?;
        }
        statement(unit, "release job").await?;
    }
    statement(unit, "commit").await
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
        Writer::start(Unit {
            conn,
            cipher: Arc::new(Cipher::new(&MasterKey::from_bytes([7; 32]))),
            webhooks: HashMap::new(),
            lock: Arc::new(tempfile::tempfile().unwrap()),
        })
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
    async fn the_memory_of_webhooks_is_bounded() {
        let conn = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        let cipher = Arc::new(Cipher::new(&MasterKey::from_bytes([7; 32])));
        let lock = Arc::new(tempfile::tempfile().unwrap());
        let mut unit = Unit { conn, cipher, webhooks: HashMap::new(), lock };
        for number in 0..=CACHE_MAX {
            let id = uuid::Uuid::from_u128(u128::try_from(number).unwrap());
            unit.remember(SessionId::from_uuid(id), Arc::default());
            assert!(unit.webhooks.len() <= CACHE_MAX);
        }
        assert_eq!(unit.webhooks.len(), 1);
    }
}
