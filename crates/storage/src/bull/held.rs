//! The jobs of the lanes that this process holds.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use bullmq::Job;
use domain::{
    Timestamp,
    delivery::{ClaimedLane, LaneId},
};

use super::link::RedisLink;

/// A job and the claim it was taken for.
struct HeldJob {
    epoch: u64,
    until: Timestamp,
    job: Box<Job>,
    /// The way it came.
    link: Weak<RedisLink>,
}

impl HeldJob {
    fn is_of(&self, link: &Arc<RedisLink>) -> bool {
        std::ptr::eq(self.link.as_ptr(), Arc::as_ptr(link))
    }
}

/// What is left of a claim's job.
pub(super) enum EndedJob {
    /// It can be moved.
    Job(Box<Job>),
    /// Redis was lost meanwhile; the job of this id may be there, locked.
    Stale(String),
    /// The claim did not come through Redis.
    Nothing,
}

/// All of them; as many as there are claims that came through Redis.
#[derive(Default)]
pub(super) struct HeldJobs(Mutex<HashMap<LaneId, HeldJob>>);

impl HeldJobs {
    fn lock(&self) -> MutexGuard<'_, HashMap<LaneId, HeldJob>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn keep(
        &self,
        claimed: &ClaimedLane,
        until: Timestamp,
        job: Job,
        link: &Arc<RedisLink>,
    ) {
        let held =
            HeldJob { epoch: claimed.epoch, until, job: Box::new(job), link: Arc::downgrade(link) };
        self.lock().insert(claimed.lane.clone(), held);
    }

    /// Takes out the job of a claim that ended.
    pub(super) fn end(&self, lane: &LaneId, epoch: u64, link: Option<&Arc<RedisLink>>) -> EndedJob {
        let mut held = self.lock();
        if held.get(lane).is_none_or(|one| one.epoch != epoch) {
            return EndedJob::Nothing;
        }
        match held.remove(lane) {
            Some(one) if link.is_some_and(|link| one.is_of(link)) => EndedJob::Job(one.job),
            Some(one) => EndedJob::Stale(one.job.id().to_owned()),
            None => EndedJob::Nothing,
        }
    }

    /// The job of a claim that goes on.
    pub(super) fn renew(
        &self,
        lane: &LaneId,
        epoch: u64,
        until: Timestamp,
        link: &Arc<RedisLink>,
    ) -> Option<Job> {
        let mut held = self.lock();
        let one = held.get_mut(lane).filter(|one| one.epoch == epoch)?;
        one.until = until;
        one.is_of(link).then(|| Job::clone(&one.job))
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
