//! The jobs of the lanes that this process holds.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use bullmq::Job;
use domain::{Timestamp, delivery::LaneId};

/// A job and the claim it was taken for.
struct Held {
    epoch: u64,
    until: Timestamp,
    job: Job,
}

/// All of them; as many as there are claims that came through Redis.
#[derive(Default)]
pub(super) struct HeldJobs(Mutex<HashMap<LaneId, Held>>);

impl HeldJobs {
    fn lock(&self) -> MutexGuard<'_, HashMap<LaneId, Held>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn keep(&self, lane: LaneId, epoch: u64, until: Timestamp, job: Job) {
        self.lock().insert(lane, Held { epoch, until, job });
    }

    /// The job of a claim that ended.
    pub(super) fn end(&self, lane: &LaneId, epoch: u64) -> Option<Job> {
        let mut held = self.lock();
        if held.get(lane).is_none_or(|one| one.epoch != epoch) {
            return None;
        }
        held.remove(lane).map(|one| one.job)
    }

    /// The job of a claim that goes on.
    pub(super) fn renew(&self, lane: &LaneId, epoch: u64, until: Timestamp) -> Option<Job> {
        let mut held = self.lock();
        let one = held.get_mut(lane).filter(|one| one.epoch == epoch)?;
        one.until = until;
        Some(one.job.clone())
    }

    /// Forgets the claims that ran out: their workers said nothing any more.
    pub(super) fn forget_ended(&self, now: Timestamp) {
        self.lock().retain(|_, one| one.until > now);
    }

    /// The ids of the jobs.
    pub(super) fn ids(&self) -> HashSet<String> {
        self.lock().values().map(|one| one.job.id().to_owned()).collect()
    }
}
