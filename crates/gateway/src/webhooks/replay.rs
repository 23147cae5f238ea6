//! Events of the past, on their way again.
//!
//! A *replay* stores new deliveries in lanes beside the lanes of their events: in order among themselves, behind first
//! tries, without touching the schedule of what waits. A *redrive* is the contract's: one try now for each dead letter,
//! and the answer tells how it went.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

use domain::{
    DeliveryId, WebhookId,
    delivery::{Delivery, LaneId},
    log::{
        DeliveryRecord, FailureQuery, NewReplay, REPLAY_BATCH_MAX, ReplayCandidate, ReplayChoice,
        ReplaySelection, replay_lane,
    },
    port::{StoreError, StoreResult, Verdict},
    webhook::Webhook,
};
use futures::StreamExt as _;
use tokio::{
    sync::{Mutex, oneshot},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{Webhooks, outcome, request};
use crate::{Policy, Supervisor, hooks::HookPoint};

/// Lanes that a redrive tries at once.
const REDRIVE_AT_ONCE: usize = 4;
/// Most events that one call of a replay looks at; the answer says where the next call goes on.
const LOOKED_AT_MAX: u32 = 50_000;

/// What one redrive at a time needs.
#[derive(Clone)]
pub(super) struct RedriveTurns {
    supervisor: Supervisor,
    redrive: Arc<Mutex<()>>,
}

impl RedriveTurns {
    pub(super) fn new(supervisor: &Supervisor) -> Self {
        Self { supervisor: supervisor.clone(), redrive: Arc::default() }
    }
}

/// What a replay did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Deliveries that were stored.
    pub enqueued: u64,
    /// Events that were meant, but wait already or are gone.
    pub skipped: u64,
    /// The sequence where the next call goes on; `None` when everything that was meant was looked at.
    pub next: Option<u64>,
}

/// What a redrive did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Redriven {
    /// Dead letters that were tried.
    pub redriven: u64,
    /// Of those: taken by the receiver.
    pub delivered: u64,
    /// Of those: dead letters again.
    pub failed: u64,
    /// Not tried: the webhook is switched off or no longer subscribed.
    pub skipped: u64,
    /// Dead letters that fit and are left.
    pub remaining: u64,
}

/// Why nothing was redriven.
#[derive(Debug, thiserror::Error)]
pub enum RedriveError {
    /// Another redrive is not done yet.
    #[error("another redrive is running")]
    Busy,
    /// The process stops: try again after its start.
    #[error("the gateway is shutting down")]
    ShuttingDown,
    /// The ledger could not be asked.
    #[error("the ledger failed while redriving")]
    Store(#[source] StoreError),
}

/// How one dead letter fared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum RedriveFate {
    Delivered,
    Failed,
    Skipped,
}

impl Webhooks {
    /// Puts events of the webhook's session on their way again, oldest first, at most `limit`.
    ///
    /// # Errors
    /// The ledger failed; what was stored until then stays.
    pub async fn replay(
        &self,
        webhook: &Webhook,
        selection: &ReplaySelection,
        limit: u32,
    ) -> StoreResult<Replayed> {
        let mut done = Replayed::default();
        let mut after = selection.from.unwrap_or(1).saturating_sub(1);
        let mut looked_at = 0;
        loop {
            let page = self.ports.store.replay_candidates(webhook, after, REPLAY_BATCH_MAX).await?;
            let ended = page.len() < REPLAY_BATCH_MAX as usize;
            let mut meant = Vec::new();
            for candidate in page {
                let sequence = candidate.event.sequence;
                if selection.to.is_some_and(|to| sequence > to) {
                    self.store(webhook, meant, &mut done).await?;
                    return Ok(done);
                }
                match selection.choose(webhook, &candidate) {
                    ReplayChoice::Replay if done.enqueued + meant.len() as u64 >= limit.into() => {
                        self.store(webhook, meant, &mut done).await?;
                        done.next = Some(sequence);
                        return Ok(done);
                    }
                    ReplayChoice::Replay => meant.push(candidate),
                    ReplayChoice::Waiting => done.skipped += 1,
                    ReplayChoice::Leave => {}
                }
                after = sequence;
                looked_at += 1;
            }
            self.store(webhook, meant, &mut done).await?;
            if ended {
                return Ok(done);
            }
            if looked_at >= LOOKED_AT_MAX {
                done.next = Some(after + 1);
                return Ok(done);
            }
        }
    }

    /// Puts the events of these deliveries on their way again, in the order of their sequences.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn replay_deliveries(
        &self,
        webhook: &Webhook,
        ids: &[DeliveryId],
    ) -> StoreResult<Replayed> {
        let mut done = Replayed::default();
        let mut sequences = std::collections::BTreeSet::new();
        for id in ids {
            match self.ports.store.delivery_sequence(webhook.id, *id).await? {
                Some(sequence) => {
                    sequences.insert(sequence);
                }
                None => done.skipped += 1,
            }
        }
        let mut meant = Vec::new();
        for sequence in sequences {
            let found = self.ports.store.replay_candidates(webhook, sequence - 1, 1).await?;
            match found.into_iter().next() {
                Some(candidate) if !candidate.waiting && candidate.event.sequence == sequence => {
                    meant.push(candidate);
                }
                _ => done.skipped += 1,
            }
        }
        self.store(webhook, meant, &mut done).await?;
        Ok(done)
    }

    async fn store(
        &self,
        webhook: &Webhook,
        meant: Vec<ReplayCandidate>,
        done: &mut Replayed,
    ) -> StoreResult<()> {
        if meant.is_empty() {
            return Ok(());
        }
        let count = meant.len() as u64;
        let listens = self.hooks.listens(HookPoint::WebhookQueued);
        let mut told = Vec::new();
        let replay = |candidate: ReplayCandidate| {
            let id = DeliveryId::new(&*self.ports.entropy);
            let lane = replay_lane(webhook, &candidate.event.draft, id);
            if listens {
                told.push((id, candidate.event.clone()));
            }
            NewReplay { id, event: candidate.event.draft.id, lane }
        };
        let replays = meant.into_iter().map(replay).collect();
        let stored = self.ports.store.insert_replays(webhook.id, replays).await?;
        for (id, event) in told {
            if stored == count || self.ports.store.delivery(id).await?.is_some() {
                self.tell_replayed(&event.draft, webhook.id, id);
            }
        }
        done.enqueued += stored;
        done.skipped += count.saturating_sub(stored);
        self.wake();
        Ok(())
    }

    /// Tries dead letters once each, least tried first, then oldest; in order where they share a lane. Goes on to its
    /// end also when the caller goes away.
    ///
    /// # Errors
    /// [`RedriveError`].
    pub async fn redrive(&self, query: FailureQuery, limit: u32) -> Result<Redriven, RedriveError> {
        let turn = self.turns.redrive.clone().try_lock_owned().map_err(|_| RedriveError::Busy)?;
        let (tell, told) = oneshot::channel();
        let this = self.clone();
        self.turns.supervisor.spawn("webhooks/redrive", Policy::Once, async move {
            let done = this.redrive_now(&query, limit).await;
            drop(turn);
            let _ = tell.send(done);
        });
        let done = told.await.map_err(|_| RedriveError::ShuttingDown)?;
        done.map_err(RedriveError::Store)
    }

    async fn redrive_now(&self, query: &FailureQuery, limit: u32) -> StoreResult<Redriven> {
        let mut done = Redriven::default();
        let stopping = self.turns.supervisor.stopping();
        let mut lanes: BTreeMap<String, Vec<(Arc<Webhook>, DeliveryRecord)>> = BTreeMap::new();
        let mut known: BTreeMap<WebhookId, Option<Arc<Webhook>>> = BTreeMap::new();
        for dead in self.ports.store.to_redrive(query, limit).await? {
            let known = match known.entry(dead.webhook) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(place) => {
                    let webhook = self.ports.store.webhook(dead.webhook).await?;
                    place.insert(webhook.map(Arc::new))
                }
            };
            let kind = dead.event.draft.kind;
            let webhook = known.clone().filter(|webhook| {
                webhook.active && webhook.events.iter().any(|events| events.covers(kind))
            });
            match webhook {
                Some(webhook) => {
                    let lane = webhook.lane(&dead.event.draft).to_string();
                    lanes.entry(lane).or_default().push((webhook, dead));
                }
                None => done.skipped += 1,
            }
        }
        let fates = futures::stream::iter(lanes.into_values())
            .map(|lane| self.redrive_lane(lane, &stopping))
            .buffer_unordered(REDRIVE_AT_ONCE)
            .concat()
            .await;
        let count = |fate| fates.iter().filter(|one| **one == fate).count() as u64;
        done.delivered = count(RedriveFate::Delivered);
        done.failed = count(RedriveFate::Failed);
        done.redriven = done.delivered + done.failed;
        done.skipped += count(RedriveFate::Skipped);
        done.remaining = self.ports.store.failure_count(query).await?;
        Ok(done)
    }

    async fn redrive_lane(
        &self,
        mut lane: Vec<(Arc<Webhook>, DeliveryRecord)>,
        stopping: &CancellationToken,
    ) -> Vec<RedriveFate> {
        lane.sort_by_key(|(_, dead)| dead.event.sequence);
        let mut fates = Vec::with_capacity(lane.len());
        for (webhook, dead) in lane {
            if stopping.is_cancelled() {
                fates.push(RedriveFate::Skipped);
                continue;
            }
            fates.push(self.redrive_one(&webhook, &dead).await.unwrap_or_else(|error| {
                tracing::warn!(delivery.id = %dead.id, error = &error as &dyn std::error::Error,
                    "a dead letter was not redriven");
                RedriveFate::Failed
            }));
        }
        fates
    }

    /// One try outside the lanes, recorded with its result: what is not recorded stays a dead letter.
    async fn redrive_one(
        &self,
        webhook: &Webhook,
        dead: &DeliveryRecord,
    ) -> StoreResult<RedriveFate> {
        let id = DeliveryId::new(&*self.ports.entropy);
        let lane = LaneId::from_stored(format!("{}/redrive/{id}", webhook.id));
        let replay = NewReplay { id, event: dead.event.draft.id, lane };
        let delivery = Delivery {
            id,
            webhook: webhook.id,
            event: Arc::new(dead.event.clone()),
            attempts: 0,
            first_tried_at: None,
        };
        let (at, began) = (self.ports.clock.now(), Instant::now());
        let most = self.options.max_payload_bytes;
        let answer = match self.ask_before(std::slice::from_ref(&delivery)).await {
            Err(stop) => Err(stop.into()),
            Ok(leaving) => {
                let Some((call, _)) = request::Call::of(&leaving, most, at) else {
                    return Ok(RedriveFate::Skipped);
                };
                let limit = webhook.policy(self.policy_defaults()).timeout;
                let call = async {
                    let prepared = request::PreparedRequest::of(webhook)?;
                    request::send(&*self.transport, webhook, &prepared, call, limit).await
                };
                // It failed before: it stands among the doubtful ones.
                let Some(answer) = self.slots.run(webhook.id, true, call).await else {
                    return Ok(RedriveFate::Skipped);
                };
                answer
            }
        };
        let attempt = outcome::describe(answer, at, began.elapsed());
        self.meter.attempt(&attempt);
        let delivered = attempt.error.is_none();
        if !self.ports.store.record_redrives(webhook.id, replay, attempt.clone()).await? {
            return Ok(RedriveFate::Skipped);
        }
        let verdict = if delivered { Verdict::Delivered } else { Verdict::Exhausted };
        self.tell_recorded(&delivery, &attempt, &verdict);
        Ok(if delivered { RedriveFate::Delivered } else { RedriveFate::Failed })
    }
}
