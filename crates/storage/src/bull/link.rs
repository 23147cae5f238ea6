//! The way to Redis: every call has a time limit, and says either what came of it or that Redis is gone.

use std::{collections::HashSet, time::Duration};

use bullmq::{
    Job, Queue, QueueOptions, Worker, WorkerOptions, options::RedisConnectionOptions,
    redis_connection::RedisConnection,
};
use domain::{Timestamp, port::WaitingLane};
use futures::{FutureExt as _, future::join_all};
use redis::{AsyncConnectionConfig, Pipeline};
use serde_json::Value;

use super::{
    job,
    options::{RedisAddress, RedisOptions},
};

/// The queue's name, also in OpenWA.
pub(super) const QUEUE: &str = "webhook";
/// Calls under way at once: they share one connection.
const AT_ONCE: usize = 32;

/// Redis did not answer, or not as it should.
#[derive(Debug, Clone)]
pub(super) struct RedisGone(pub(super) String);

/// What Redis knows about the job of a lane that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JobState {
    Missing,
    /// Waiting, or being worked on.
    Queued,
    /// Until a time, in milliseconds.
    Delayed(i64),
    /// Completed or failed, and not removed.
    Finished,
}

/// A connection to Redis with the queue on it.
pub(super) struct RedisLink {
    queue: Queue,
    /// It never runs: jobs are taken from it one by one.
    worker: Worker,
    token: String,
    call_timeout: Duration,
    lock: Duration,
}

impl RedisLink {
    /// Connects, and looks whether Redis takes writes.
    pub(super) async fn open(
        address: &RedisAddress,
        options: &RedisOptions,
        token: String,
    ) -> Result<Self, RedisGone> {
        let opening = async {
            // First by itself: the connections below try again and again and do not say why.
            let config =
                AsyncConnectionConfig::new().set_connection_timeout(Some(options.connect_timeout));
            let client = &address.client;
            let mut first = client.get_multiplexed_async_connection_with_config(&config).await?;
            redis::cmd("PING").query_async::<()>(&mut first).await?;
            let connection = RedisConnection::new_managed_only(&address.bullmq).await?;
            let queue = QueueOptions { prefix: options.prefix.clone(), ..QueueOptions::default() };
            let queue = Queue::with_connection(QUEUE, connection, queue).await?;
            let worker = worker(&address.bullmq, options, &token).await?;
            Ok(Self {
                queue,
                worker,
                token,
                call_timeout: options.call_timeout,
                lock: options.lock,
            })
        };
        match tokio::time::timeout(options.connect_timeout, opening).await {
            Ok(opened) => opened.map_err(|error: bullmq::Error| RedisGone(error.to_string())),
            Err(_) => Err(RedisGone(format!("no connection within {:?}", options.connect_timeout))),
        }
    }

    /// What came of a call; `None` when the job is not there or not ours any more.
    async fn call<T>(
        &self,
        call: impl Future<Output = Result<T, bullmq::Error>>,
    ) -> Result<Option<T>, RedisGone> {
        match tokio::time::timeout(self.call_timeout, call).await {
            Ok(Ok(value)) => Ok(Some(value)),
            Ok(Err(bullmq::Error::Redis(error))) => Err(RedisGone(error.to_string())),
            Ok(Err(error)) => {
                tracing::debug!(%error, "a call about a lane's job came to nothing");
                Ok(None)
            }
            Err(_) => Err(RedisGone(format!("no answer within {:?}", self.call_timeout))),
        }
    }

    /// Fails when Redis does not answer in time.
    pub(super) async fn ping(&self) -> Result<(), RedisGone> {
        self.call(self.queue.connection().ping()).await.map(|_| ())
    }

    /// Adds the jobs of lanes, delayed if they wait for a time; those that have one keep it.
    pub(super) async fn add(&self, lanes: &[WaitingLane], now: Timestamp) -> Result<(), RedisGone> {
        for some in lanes.chunks(AT_ONCE * 8) {
            let jobs = some.iter().map(|lane| job::new(lane, now)).collect();
            self.call(self.queue.add_bulk(jobs)).await?;
        }
        Ok(())
    }

    /// Takes up to `most` jobs that wait; fewer when there are no more.
    pub(super) async fn take(&self, most: usize) -> Result<Vec<Job>, RedisGone> {
        let (mut taken, mut width) = (Vec::new(), 1);
        while taken.len() < most {
            let asked = width.min(AT_ONCE).min(most - taken.len());
            let calls =
                (0..asked).map(|_| self.call(self.worker.get_next_job_nonblocking(&self.token)));
            let before = taken.len();
            for got in join_all(calls).await {
                taken.extend(got?.flatten());
            }
            // It emits an event for every job it gives, without a bound.
            while self.worker.next_event().now_or_never().flatten().is_some() {}
            if taken.len() - before < asked {
                break;
            }
            width *= 2;
        }
        Ok(taken)
    }

    /// Ends a job and removes it, so that another of the same lane can be added.
    pub(super) async fn finish(&self, job: &mut Job) -> Result<(), RedisGone> {
        let id = job.id().to_owned();
        // Sent in this order on one connection: the second finds the lock gone.
        let done = self.call(job.move_to_completed(""));
        let (done, removed) = futures::join!(done, self.call(self.queue.remove(&id)));
        done?;
        if removed? == Some(false) {
            self.remove(&id).await?;
        }
        Ok(())
    }

    /// Removes a job that nobody holds.
    pub(super) async fn remove(&self, id: &str) -> Result<(), RedisGone> {
        self.call(self.queue.remove(id)).await.map(|_| ())
    }

    /// Sends a job that we hold to wait until a time, as a retry or as what it was.
    pub(super) async fn delay(&self, job: &Job, until: i64, retry: bool) -> Result<(), RedisGone> {
        let until = u64::try_from(until).unwrap_or(0);
        if retry && job.priority() != job::RETRY {
            self.call(job.change_priority(job::RETRY, false)).await?;
        }
        self.call(job.move_to_delayed(until)).await.map(|_| ())
    }

    /// Keeps the lock of a job.
    pub(super) async fn extend(&self, job: &Job) -> Result<(), RedisGone> {
        let lock = u64::try_from(self.lock.as_millis()).unwrap_or(u64::MAX);
        self.call(job.extend_lock(&self.token, lock)).await.map(|_| ())
    }

    /// A job that is not a lane's: shown as failed.
    pub(super) async fn refuse(&self, job: &mut Job) -> Result<(), RedisGone> {
        self.call(job.move_to_failed("this queue is for the lanes of Waypost")).await.map(|_| ())
    }

    /// Lets a delayed job wait for a worker now.
    pub(super) async fn promote(&self, id: &str) -> Result<(), RedisGone> {
        if let Some(Some(job)) = self.call(self.queue.get_job(id)).await? {
            self.call(job.promote()).await?;
        }
        Ok(())
    }

    /// Frees a job from whoever holds it: the ledger says that nobody does.
    pub(super) async fn free(&self, id: &str) -> Result<(), RedisGone> {
        let key = format!("{}:lock", self.queue.keys().job_key(id));
        let holder: Option<Option<String>> =
            self.pipe(redis::pipe().cmd("GET").arg(key)).await?.map(|(holder,)| holder);
        let Some(Some(holder)) = holder else { return Ok(()) };
        if let Some(Some(job)) = self.call(self.queue.get_job(id)).await? {
            self.call(job.move_to_wait(Some(&holder))).await?;
        }
        Ok(())
    }

    /// The ids of the jobs that are being worked on, each with whether its lock is there.
    pub(super) async fn active(&self) -> Result<Vec<(String, bool)>, RedisGone> {
        let active = self.call(self.queue.get_ranges(&["active"], 0, -1, true)).await?;
        let ids = active.unwrap_or_default();
        let mut found = Vec::with_capacity(ids.len());
        for some in ids.chunks(AT_ONCE * 8) {
            let mut pipe = redis::pipe();
            for id in some {
                pipe.cmd("EXISTS").arg(format!("{}:lock", self.queue.keys().job_key(id)));
            }
            let locked: Vec<bool> = self.pipe(&pipe).await?.unwrap_or_default();
            found.extend(some.iter().cloned().zip(locked));
        }
        Ok(found)
    }

    /// What Redis knows about some jobs.
    pub(super) async fn states(&self, ids: &[String]) -> Result<Vec<JobState>, RedisGone> {
        let keys = self.queue.keys();
        let (delayed, completed, failed) = (keys.delayed(), keys.completed(), keys.failed());
        let mut states = Vec::with_capacity(ids.len());
        for some in ids.chunks(AT_ONCE * 8) {
            let mut pipe = redis::pipe();
            for id in some {
                pipe.cmd("EXISTS").arg(keys.job_key(id));
                for set in [&delayed, &completed, &failed] {
                    pipe.cmd("ZSCORE").arg(set).arg(id);
                }
            }
            let answers: Vec<Option<f64>> = self.pipe(&pipe).await?.unwrap_or_default();
            states.extend(answers.chunks_exact(4).map(|answer| match answer {
                [_, Some(score), ..] => JobState::Delayed(delayed_until(*score)),
                [_, _, Some(_), _] | [.., Some(_)] => JobState::Finished,
                [Some(there), ..] if *there > 0.0 => JobState::Queued,
                _ => JobState::Missing,
            }));
        }
        Ok(states)
    }

    /// How many jobs wait for a worker, and how many while the queue is paused.
    pub(super) async fn waiting(&self) -> Result<(u64, u64), RedisGone> {
        let keys = self.queue.keys();
        let mut pipe = redis::pipe();
        for list in [keys.wait(), keys.paused()] {
            pipe.cmd("LLEN").arg(list);
        }
        pipe.cmd("ZCARD").arg(keys.prioritized());
        let counts: Option<(u64, u64, u64)> = self.pipe(&pipe).await?;
        let (first, paused, retries) = counts.unwrap_or_default();
        Ok((first + retries, paused))
    }

    async fn pipe<T: redis::FromRedisValue>(
        &self,
        pipe: &Pipeline,
    ) -> Result<Option<T>, RedisGone> {
        self.call(self.queue.connection().pipe(pipe)).await
    }
}

/// The score of a delayed job is its time, then twelve bits that keep the order.
#[expect(clippy::cast_possible_truncation, reason = "milliseconds since 1970 fit")]
fn delayed_until(score: f64) -> i64 {
    (score / 4096.0) as i64
}

async fn worker(
    connection: &RedisConnectionOptions,
    options: &RedisOptions,
    token: &str,
) -> Result<Worker, bullmq::Error> {
    let options = WorkerOptions {
        connection: connection.clone(),
        prefix: options.prefix.clone(),
        name: Some(format!("waypost-{}", &token[..token.len().min(8)])),
        lock_duration: u64::try_from(options.lock.as_millis()).unwrap_or(u64::MAX),
        autorun: false,
        ..WorkerOptions::default()
    };
    Worker::with_options(QUEUE, |_, _| async { Ok(Value::Null) }, options).await
}

/// Ids without those that are in a set.
pub(super) fn without(ids: Vec<(String, bool)>, known: &HashSet<String>) -> Vec<(String, bool)> {
    ids.into_iter().filter(|(id, _)| !known.contains(id)).collect()
}
