//! The queue and the ledger compared: the rows are the truth.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use domain::{
    Timestamp,
    port::{StoreResult, WaitingLane},
};
use tokio::sync::{Mutex, Notify};

use super::{
    QueueInner, at_every_claim,
    claim::ClaimFailure,
    job,
    link::{self, JobState, RedisGone, RedisLink},
};

/// Lanes that one sweep looks at, those that wait longest. When all of them are there and the queue runs dry, the next
/// sweep comes at once.
pub(super) const LANES_MAX: u32 = 512;

/// Jobs that are delayed no longer than this are left alone.
const SOON: Duration = Duration::from_secs(30);

/// What a sweep remembers for the next one.
#[derive(Default)]
pub(super) struct SweepMemory {
    /// Jobs that somebody held although nobody has the lane.
    suspects: Mutex<HashSet<String>>,
    /// The last sweep did not see the end.
    full: AtomicBool,
    /// It is time for the next one.
    again: Notify,
}

impl SweepMemory {
    /// A claim found the queue empty.
    pub(super) fn ran_dry(&self) {
        if self.full.swap(false, Ordering::Relaxed) {
            self.again.notify_one();
        }
    }

    /// Waits until a claim ran dry after a sweep that did not see the end.
    pub(super) async fn wanted(&self) {
        self.again.notified().await;
    }
}

impl QueueInner {
    /// Adds the jobs that are missing, lets go those that should not wait any more, and frees those of dead workers.
    pub(super) async fn sweep(&self, link: &RedisLink, now: Timestamp) -> Result<(), ClaimFailure> {
        // One after another: the second would find the first one's work half done.
        let mut suspects = self.sweeps.suspects.lock().await;
        let active = link.active().await?;
        let due = self.ledger.due(now, LANES_MAX).await?;
        let full = u32::try_from(due.len()).is_ok_and(|count| count >= LANES_MAX);
        self.sweeps.full.store(full, Ordering::Relaxed);
        let ids: Vec<String> = due.iter().map(|one| job::id_of(&one.lane)).collect();
        let known: HashSet<String> = ids.iter().cloned().collect();
        let held = active.iter().filter(|(id, _)| known.contains(id));
        let held: Vec<(String, bool)> = held.cloned().collect();
        self.drop_dead(link, link::without(active, &known)).await?;
        let before = std::mem::take(&mut *suspects);
        for (id, locked) in &held {
            // Between taking the job and the lane a worker is suspect too: it is given until the next sweep.
            if !locked || before.contains(id) || at_every_claim(self.options.sweep_interval) {
                free(link, id, *locked).await?;
            } else {
                suspects.insert(id.clone());
            }
        }
        self.put_right(link, now, due, &ids).await?;
        Ok(())
    }

    /// Jobs whose worker is dead and whose lane is not due: nothing is to be done about them.
    async fn drop_dead(
        &self,
        link: &RedisLink,
        active: Vec<(String, bool)>,
    ) -> Result<(), RedisGone> {
        let ours = self.held.ids();
        for (id, locked) in active {
            if !locked && !ours.contains(&id) {
                link.remove(&id).await?;
            }
        }
        Ok(())
    }

    /// Every lane that is due has a job that waits, or one that is worked on.
    async fn put_right(
        &self,
        link: &RedisLink,
        now: Timestamp,
        due: Vec<WaitingLane>,
        ids: &[String],
    ) -> Result<(), RedisGone> {
        let states = link.states(ids).await?;
        let (soon, every) = (now.plus(SOON), at_every_claim(self.options.sweep_interval));
        let mut missing = Vec::new();
        let mut queued = Vec::new();
        for ((lane, id), state) in due.into_iter().zip(ids).zip(states) {
            match state {
                JobState::Missing => missing.push(lane),
                // What comes by itself soon may have found no room.
                JobState::Delayed(until) if until <= soon.millis() && !every => {}
                JobState::Delayed(_) => link.promote(id).await?,
                JobState::Finished => {
                    link.remove(id).await?;
                    missing.push(lane);
                }
                JobState::Queued => queued.push((lane, id)),
            }
        }
        // Half-lost jobs: their names are taken, and no list has them.
        if !queued.is_empty() && link.waiting().await? == (0, 0) {
            let active: HashSet<String> =
                link.active().await?.into_iter().map(|(id, _)| id).collect();
            for (lane, id) in queued {
                if !active.contains(id) {
                    link.remove(id).await?;
                    missing.push(lane);
                }
            }
        }
        link.add(&missing, now).await
    }

    /// Adds the jobs of lanes that commits opened.
    pub(super) async fn feed(&self, link: &RedisLink) -> Result<(), RedisGone> {
        // A claim waits here for what the feeder is adding.
        let _one = self.opened.feeding.lock().await;
        loop {
            let lanes = self.opened.take();
            if lanes.is_empty() {
                return Ok(());
            }
            let opened: Vec<WaitingLane> = lanes
                .into_iter()
                .map(|lane| WaitingLane { lane, retry: false, not_before: None })
                .collect();
            link.add(&opened, self.now()).await?;
        }
    }

    /// Redis came back: first everything that is due, then the claims.
    pub(super) async fn welcome(&self, link: Arc<RedisLink>) -> StoreResult<()> {
        self.opened.take();
        let swept = if at_every_claim(self.options.sweep_interval) {
            link.ping().await.map_err(ClaimFailure::from)
        } else {
            self.sweep(&link, self.clock.now()).await
        };
        match swept {
            Ok(()) => self.redis_status.back(self.clock.now(), link),
            Err(ClaimFailure::Redis(gone)) => self.redis_status.still_down(gone),
            Err(ClaimFailure::Ledger(error)) => return Err(error),
        }
        Ok(())
    }
}

async fn free(link: &RedisLink, id: &str, locked: bool) -> Result<(), RedisGone> {
    if locked { link.free(id).await } else { link.remove(id).await }
}
