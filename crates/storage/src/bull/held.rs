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

use super::link::Link;

/// A job and the claim it was taken for.
struct Held {
    epoch: u64,
    until: Timestamp,
    job: Box<Job>,
    /// The way it came.
    link: Weak<Link>,
}

impl Held {
    fn is_of(&self, link: &Arc<Link>) -> bool {
        std::ptr::eq(self.link.as_ptr(), Arc::as_ptr(link))
    }
}

/// What is left of a claim's job.
pub(super) enum Ended {
    /// It can be moved.
    Job(Box<Job>),
    /// Redis was lost meanwhile; the job of this id may be there, locked.
    Stale(String),
    /// The claim did not come through Redis.
    Nothing,
}

/// All of them; as many as there are claims that came through Redis.
#[derive(Default)]
pub(super) struct HeldJobs(Mutex<HashMap<LaneId, Held>>);

impl HeldJobs {
    fn lock(&self) -> MutexGuard<'_, HashMap<LaneId, Held>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn keep(&self, claimed: &ClaimedLane, until: Timestamp, job: Job, link: &Arc<Link>) {
        let held =
            Held { epoch: claimed.epoch, until, job: Box::new(job), link: Arc::downgrade(link) };
        self.lock().insert(claimed.lane.clone(), held);
    }

    /// A claim ended.
    pub(super) fn end(&self, lane: &LaneId, epoch: u64, link: Option<&Arc<Link>>) -> Ended {
        let mut held = self.lock();
        if held.get(lane).is_none_or(|one| one.epoch != epoch) {
            return Ended::Nothing;
        }
        match held.remove(lane) {
            Some(one) if link.is_some_and(|link| one.is_of(link)) => Ended::Job(one.job),
            Some(one) => Ended::Stale(one.job.id().to_owned()),
            None => Ended::Nothing,
        }
    }

    /// The job of a claim that goes on.
    pub(super) fn renew(
        &self,
        lane: &LaneId,
        epoch: u64,
        until: Timestamp,
        link: &Arc<Link>,
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
