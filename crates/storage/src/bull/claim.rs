//! Taking lanes: jobs from Redis, then the lanes of those jobs from the ledger.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bullmq::Job;
use domain::{
    Timestamp,
    delivery::{ClaimedLane, LaneId},
    port::{Offer, StoreError, StoreResult},
};
use futures::future::join_all;
use tokio::time::Instant;

use super::{
    QueueInner, at_every_claim, job,
    link::{RedisGone, RedisLink},
};

/// Jobs that are looked at together at first, and at most: among them the ledger's order counts.
const ROUND: u32 = 64;
const ROUND_MAX: u32 = 256;
/// After so many jobs that had to be put back a claim ends with what it has, and the next one goes on.
const PUT_BACK_MAX: usize = 64;
/// A claim that takes longer, because Redis is slow, likewise.
const CLAIM_MAX: Duration = Duration::from_secs(1);
/// What a worker asks for.
#[derive(Clone, Copy)]
pub(super) struct ClaimRequest<'a> {
    pub(super) worker: &'a str,
    pub(super) lanes: u32,
    pub(super) window: u32,
    pub(super) now: Timestamp,
    pub(super) until: Timestamp,
}

/// Why a claim through Redis ended early.
pub(super) enum ClaimFailure {
    Redis(RedisGone),
    Ledger(StoreError),
}

impl From<RedisGone> for ClaimFailure {
    fn from(gone: RedisGone) -> Self {
        Self::Redis(gone)
    }
}

impl From<StoreError> for ClaimFailure {
    fn from(error: StoreError) -> Self {
        Self::Ledger(error)
    }
}

/// What becomes of a job whose lane was not given.
enum PutBack {
    /// It has nothing to do.
    Drop,
    /// Its lane has to wait until this time.
    Until(Timestamp),
    /// Its lane found no room.
    Throttled(LaneId),
    /// It is no lane's.
    Refuse,
}

impl QueueInner {
    pub(super) async fn claim(&self, ask: ClaimRequest<'_>) -> StoreResult<Vec<ClaimedLane>> {
        if ask.lanes == 0 {
            return Ok(vec![]);
        }
        let mut claimed = Vec::new();
        if let Some(link) = self.redis_status.link() {
            self.held.forget_ended(ask.now);
            match self.claim_shared(&link, ask, &mut claimed).await {
                Ok(()) => return Ok(claimed),
                Err(ClaimFailure::Redis(gone)) => self.lost(&link, &gone),
                // What was claimed is claimed.
                Err(ClaimFailure::Ledger(_)) if !claimed.is_empty() => return Ok(claimed),
                Err(ClaimFailure::Ledger(error)) => return Err(error),
            }
        }
        let rest = ask.lanes.saturating_sub(count(claimed.len()));
        let direct =
            self.ledger.claim_lanes(ask.worker, rest, ask.window, ask.now, ask.until).await;
        match direct {
            Ok(direct) => claimed.extend(direct),
            Err(error) if claimed.is_empty() => return Err(error),
            Err(_) => {}
        }
        Ok(claimed)
    }

    async fn claim_shared(
        &self,
        link: &Arc<RedisLink>,
        ask: ClaimRequest<'_>,
        claimed: &mut Vec<ClaimedLane>,
    ) -> Result<(), ClaimFailure> {
        self.feed(link).await?;
        if at_every_claim(self.options.sweep_interval) {
            self.sweep(link, ask.now).await?;
        } else {
            self.claim_throttled(link, ask, claimed).await?;
        }
        self.claim_was_cut_short.store(false, Ordering::Relaxed);
        let mut back = Vec::new();
        let found = self.take_rounds(link, ask, claimed, &mut back).await;
        self.put_back(link, ask.now, back).await?;
        if !found? {
            self.sweeps.ran_dry();
        }
        Ok(())
    }

    /// Rounds until there is enough; `false` when Redis had no more.
    async fn take_rounds(
        &self,
        link: &Arc<RedisLink>,
        ask: ClaimRequest<'_>,
        claimed: &mut Vec<ClaimedLane>,
        back: &mut Vec<(Job, PutBack)>,
    ) -> Result<bool, ClaimFailure> {
        let (mut round, begun) = (ROUND, Instant::now());
        loop {
            let slots = ask.lanes.saturating_sub(count(claimed.len()));
            let wanted = slots.min(round);
            if wanted == 0 {
                return Ok(true);
            }
            let jobs = link.take(usize::try_from(wanted).unwrap_or(1)).await?;
            let taken = count(jobs.len());
            if taken > 0 {
                self.offer(link, jobs, ClaimRequest { lanes: slots, ..ask }, claimed, back).await?;
            }
            if taken < wanted {
                return Ok(false);
            }
            if back.len() >= PUT_BACK_MAX || begun.elapsed() > CLAIM_MAX {
                self.claim_was_cut_short.store(true, Ordering::Relaxed);
                return Ok(true);
            }
            round = (round * 2).min(ROUND_MAX);
        }
    }

    /// Asks the ledger for the lanes of some jobs.
    async fn offer(
        &self,
        link: &Arc<RedisLink>,
        jobs: Vec<Job>,
        ask: ClaimRequest<'_>,
        claimed: &mut Vec<ClaimedLane>,
        back: &mut Vec<(Job, PutBack)>,
    ) -> Result<(), ClaimFailure> {
        let mut of_lanes: Vec<(LaneId, Job)> = Vec::with_capacity(jobs.len());
        for one in jobs {
            match job::lane_of(&one) {
                Some(lane) => of_lanes.push((lane, one)),
                None => back.push((one, PutBack::Refuse)),
            }
        }
        let lanes: Vec<LaneId> = of_lanes.iter().map(|(lane, _)| lane.clone()).collect();
        let ClaimRequest { worker, lanes: slots, window, now, until } = ask;
        let offers = match self.ledger.claim_these(worker, slots, &lanes, window, now, until).await
        {
            Ok(offers) => offers,
            Err(error) => {
                back.extend(
                    of_lanes.into_iter().map(|(lane, job)| (job, PutBack::Throttled(lane))),
                );
                return Err(error.into());
            }
        };
        for ((lane, job), offer) in of_lanes.into_iter().zip(offers) {
            let what = match offer {
                Offer::Claimed(given) => {
                    self.held.keep(&given, until, job, link);
                    claimed.push(given);
                    continue;
                }
                Offer::Later(at) => PutBack::Until(at),
                Offer::Crowded => PutBack::Throttled(lane),
                Offer::Nothing => PutBack::Drop,
            };
            back.push((job, what));
        }
        Ok(())
    }

    /// At the end of a claim, so that it does not meet the same job twice.
    async fn put_back(
        &self,
        link: &RedisLink,
        now: Timestamp,
        back: Vec<(Job, PutBack)>,
    ) -> Result<(), RedisGone> {
        let mut calls = Vec::with_capacity(back.len());
        for (mut job, what) in back {
            let crowded = match &what {
                PutBack::Throttled(lane) => self.throttled().keep(lane.clone(), now),
                _ => now,
            };
            calls.push(async move {
                match what {
                    PutBack::Drop => link.finish(&mut job).await,
                    PutBack::Until(at) => link.delay(&job, at.millis(), true).await,
                    PutBack::Throttled(_) => link.delay(&job, crowded.millis(), false).await,
                    PutBack::Refuse => link.refuse(&mut job).await,
                }
            });
        }
        join_all(calls).await.into_iter().collect()
    }
}

pub(super) fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
