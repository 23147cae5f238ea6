//! The shared queue: lanes handed out by Redis, through BullMQ.
//!
//! # The cast
//! - [`BullQueue`] is a [`DeliveryQueue`] over any [`LaneLedger`]. In the BullMQ queue `webhook` there is one job per
//!   lane
//!   ("drain this lane"), its id made of the lane's name, so never two. Jobs name lanes and hold nothing of a message.
//! - [`claim`] takes jobs, then their lanes from the ledger; [`throttled`] remembers those for which there was no room.
//! - [`link`] makes the calls, each with a time limit; [`held`] keeps the jobs of the lanes that are being worked on.
//! - [`sweep`] compares the queue with the ledger, and [`feeder`] is the task that does it, adds the jobs of lanes that
//!   commits opened, and looks for Redis while it is gone.
//!
//! # Guarantees
//! The rows are the truth. Redis says who looks at which lane; the ledger's claim with its epoch says who has it. So a
//! job that is lost, doubled or held by a dead worker costs latency, and losing all of Redis does. While Redis is gone
//! lanes are claimed from the ledger, in the same order and with the same fences.

mod claim;
mod feeder;
mod held;
mod job;
mod link;
mod look;
mod options;
mod status;
mod sweep;
mod throttled;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use domain::{
    Clock, Timestamp, WebhookId,
    delivery::{ClaimedLane, Delivery, LaneId},
    port::{
        DeliveryQueue, LaneLedger, QueueServer, QueueStats, Settled, Settlement, StoreResult,
        Verdict, WaitingLane,
    },
    webhook::Webhook,
};
use rand::RngExt as _;

pub use look::redis_answers;
pub use options::{InvalidRedisOptions, RedisOptions};

use claim::ClaimRequest;
use feeder::{FeederTask, OpenedLanes};
use held::{EndedJob, HeldJobs};
use link::{RedisGone, RedisLink};
use options::RedisAddress;
use status::RedisStatus;
use sweep::SweepMemory;
use throttled::ThrottledLanes;

struct QueueInner {
    ledger: Arc<dyn LaneLedger>,
    clock: Arc<dyn Clock>,
    options: RedisOptions,
    address: RedisAddress,
    /// Locks jobs in the name of this process.
    token: String,
    redis_status: RedisStatus,
    held: HeldJobs,
    opened: Arc<OpenedLanes>,
    sweeps: SweepMemory,
    /// The time of the last claim.
    now: AtomicI64,
    throttled: Mutex<ThrottledLanes>,
    /// The last claim gave up before the queue was empty, so the next one comes at once.
    claim_was_cut_short: AtomicBool,
}

/// A queue of lanes that processes share through Redis. Cheap to clone.
#[derive(Clone)]
pub struct BullQueue {
    inner: Arc<QueueInner>,
    feeder: Arc<FeederTask>,
    watcher: Arc<Mutex<Option<FeederTask>>>,
}

impl BullQueue {
    /// Starts it, whether Redis answers or not.
    ///
    /// # Errors
    /// [`InvalidRedisOptions`] when the options cannot be right.
    pub async fn start(
        ledger: Arc<dyn LaneLedger>,
        options: RedisOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, InvalidRedisOptions> {
        let address = RedisAddress::of(&options)?;
        let token = format!("{:032x}", rand::rng().random::<u128>());
        let now = clock.now();
        let redis_status = match RedisLink::open(&address, &options, token.clone()).await {
            Ok(link) => RedisStatus::up(now, link),
            Err(gone) => RedisStatus::down(now, gone),
        };
        let opened = Arc::<OpenedLanes>::default();
        let listener = opened.clone();
        ledger.on_opened(Arc::new(move |lanes| listener.add(lanes)));
        let inner = Arc::new(QueueInner {
            ledger,
            clock,
            options,
            address,
            token,
            redis_status,
            held: HeldJobs::default(),
            opened,
            sweeps: SweepMemory::default(),
            now: AtomicI64::new(now.millis()),
            throttled: Mutex::default(),
            claim_was_cut_short: AtomicBool::new(false),
        });
        let feeder = Arc::new(FeederTask::start(inner.clone()));
        Ok(Self { inner, feeder, watcher: Arc::default() })
    }

    /// Calls `wake` again and again while jobs wait for a worker, also those that other processes added: commits of
    /// this process are known without it. It replaces any earlier `wake`; it must not wait itself.
    pub fn watch(&self, wake: Arc<dyn Fn() + Send + Sync>) {
        let watcher = FeederTask::watch(self.inner.clone(), wake);
        *self.watcher.lock().unwrap_or_else(PoisonError::into_inner) = Some(watcher);
    }

    /// Ends what runs besides the claims, before the ledger is closed. Claims go on.
    pub fn close(&self) {
        self.feeder.end();
        self.watcher.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// How it stands with Redis.
    pub fn status(&self) -> QueueServer {
        self.inner.redis_status.status()
    }
}

impl QueueInner {
    /// Redis was lost on the way.
    fn lost(&self, link: &Arc<RedisLink>, gone: &RedisGone) {
        self.redis_status.lost(link, self.clock.now(), gone);
        self.throttled().clear();
    }

    /// Every time is that of the last claim: the ledger's own clock.
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now.load(Ordering::Relaxed))
    }

    /// Redis learns what became of a claim, if it is there. All that matters is recorded: a failure costs only latency.
    async fn ended(&self, lane: &LaneId, epoch: u64, verdict: Option<&Verdict>) {
        let link = self.redis_status.link();
        let job = self.held.end(lane, epoch, link.as_ref());
        let Some(link) = link else { return };
        let done = match (job, verdict) {
            (EndedJob::Job(job), Some(Verdict::RetryAt(at))) => {
                link.delay(&job, at.millis(), true).await
            }
            (EndedJob::Nothing, Some(Verdict::RetryAt(at))) => {
                let waiting =
                    WaitingLane { lane: lane.clone(), retry: true, not_before: Some(*at) };
                link.add(&[waiting], self.now()).await
            }
            // A claim from the ledger that settled everything has no job to end.
            (EndedJob::Nothing, Some(_)) => Ok(()),
            (job, _) => self.end_job(&link, lane, job).await,
        };
        if let Err(gone) = done {
            self.lost(&link, &gone);
        }
    }

    /// Ends the job of a lane that was given back or drained; a lane in which something waits gets a new one, behind
    /// the others.
    async fn end_job(
        &self,
        link: &RedisLink,
        lane: &LaneId,
        job: EndedJob,
    ) -> Result<(), RedisGone> {
        match job {
            EndedJob::Job(mut job) => link.finish(&mut job).await?,
            EndedJob::Stale(id) => link.free(&id).await?,
            EndedJob::Nothing => {}
        }
        // Only now: what is committed before this look is found by it, what is committed later adds its own job.
        match self.ledger.waiting(std::slice::from_ref(lane), self.now()).await {
            Ok(waiting) => link.add(&waiting, self.now()).await,
            // A sweep finds it.
            Err(_) => Ok(()),
        }
    }
}

#[async_trait]
impl DeliveryQueue for BullQueue {
    async fn claim_lanes(
        &self,
        worker: &str,
        lanes: u32,
        window: u32,
        now: Timestamp,
        until: Timestamp,
    ) -> StoreResult<Vec<ClaimedLane>> {
        self.inner.now.store(now.millis(), Ordering::Relaxed);
        self.inner.claim(ClaimRequest { worker, lanes, window, now, until }).await
    }

    async fn more_of_lane(
        &self,
        lane: &LaneId,
        epoch: u64,
        window: u32,
    ) -> StoreResult<Vec<Delivery>> {
        self.inner.ledger.more_of_lane(lane, epoch, window).await
    }

    async fn record_attempts(&self, settlement: Settlement) -> StoreResult<Settled> {
        let inner = &self.inner;
        let (lane, epoch, verdict) =
            (settlement.lane.clone(), settlement.epoch, settlement.verdict.clone());
        let settled = inner.ledger.record_attempts(settlement).await?;
        if settled == Settled::Done {
            inner.ended(&lane, epoch, Some(&verdict)).await;
        }
        Ok(settled)
    }

    async fn renew_lane(&self, lane: &LaneId, epoch: u64, until: Timestamp) -> StoreResult<bool> {
        let inner = &self.inner;
        let renewed = inner.ledger.renew_lane(lane, epoch, until).await?;
        let link = inner.redis_status.link();
        if !renewed {
            // Somebody else's by now, and with it the job.
            inner.held.end(lane, epoch, None);
        } else if let Some(link) = link
            && let Some(job) = inner.held.renew(lane, epoch, until, &link)
            && let Err(gone) = link.extend(&job).await
        {
            inner.lost(&link, &gone);
        }
        Ok(renewed)
    }

    async fn release_lane(&self, lane: &LaneId, epoch: u64) -> StoreResult<()> {
        self.inner.ledger.release_lane(lane, epoch).await?;
        self.inner.ended(lane, epoch, None).await;
        Ok(())
    }

    async fn hold_webhook(&self, webhook: WebhookId, until: Timestamp) -> StoreResult<()> {
        self.inner.ledger.hold_webhook(webhook, until).await
    }

    async fn opened_elsewhere(&self) {
        self.inner.ledger.opened_elsewhere().await;
    }

    async fn next_lane_due(&self, now: Timestamp) -> StoreResult<Option<Timestamp>> {
        let due = self.inner.ledger.next_lane_due(now).await?;
        let claim_was_cut_short = self.inner.claim_was_cut_short.load(Ordering::Relaxed)
            && self.inner.redis_status.link().is_some();
        let soon = claim_was_cut_short.then(|| now.plus(Duration::from_millis(1)));
        Ok(due.into_iter().chain(soon).min())
    }

    async fn receiver(&self, webhook: WebhookId) -> StoreResult<Option<Arc<Webhook>>> {
        self.inner.ledger.receiver(webhook).await
    }

    async fn queue_stats(&self) -> StoreResult<QueueStats> {
        self.inner.ledger.queue_stats().await
    }

    fn queue_server(&self) -> Option<QueueServer> {
        Some(self.status())
    }
}

/// With this interval every claim sweeps, and nothing is left to the passing of time.
fn at_every_claim(interval: Duration) -> bool {
    interval.is_zero()
}
