//! The deliveries of one claimed lane, one after another.

use std::{
    borrow::Cow,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use domain::{
    Timer, Timestamp,
    delivery::{Attempt, AttemptError, AttemptErrorKind, ClaimedLane, Delivery, Policy},
    port::{Settled, Settlement, Verdict},
    webhook::Webhook,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::{Webhooks, dispatcher::WINDOW, handlers::HeldBack, outcome, request, spans::CallSpans};
use crate::egress::{Answer, EgressError};

/// Between two tries to record a result, or to renew a lease.
const RECORD_AGAIN: Duration = Duration::from_millis(200);
/// Tries to record a result whose lease is over already: the ledger was away for longer.
const TRIES_MIN: u32 = 5;
/// How long a delivery waits for a handler that cannot be asked, half of it more or less by chance.
const HANDLER_WAIT: Duration = Duration::from_secs(2);
/// Deliveries of one lane before it stands behind the others that wait.
const TURN: usize = 256;

/// Whether the lane goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LaneStep {
    /// With the deliveries behind so many.
    GoOn(usize),
    /// The lane is given back.
    GiveBack,
    /// The claim is over or lost.
    LetGo,
}

/// What a call came to, and for how many deliveries.
struct TriedHead {
    outcome: Result<Answer, EgressError>,
    at: Timestamp,
    duration: Duration,
    count: usize,
}

/// One claim and what is known of its lane.
struct LaneRun<'a> {
    webhooks: &'a Webhooks,
    claimed: ClaimedLane,
    /// The end of the lease, in milliseconds.
    until: AtomicI64,
}

/// Sends what waits in a lane; gives it back at the end of its turn, so that the rest of it can be claimed again.
pub(super) async fn run(
    webhooks: &Webhooks,
    claimed: ClaimedLane,
    until: Timestamp,
    stopping: &CancellationToken,
) {
    let mut run = LaneRun { webhooks, claimed, until: AtomicI64::new(until.millis()) };
    if run.turn(stopping).await == LaneStep::GiveBack {
        run.release().await;
    }
}

impl LaneRun<'_> {
    async fn turn(&mut self, stopping: &CancellationToken) -> LaneStep {
        let mut waiting = std::mem::take(&mut self.claimed.deliveries);
        let (mut from, mut sent) = (0, 0);
        loop {
            // What cannot be recorded does not leave.
            if stopping.is_cancelled() || sent >= TURN || !self.webhooks.valve.is_open() {
                return LaneStep::GiveBack;
            }
            if !self.keep_lease().await {
                return LaneStep::LetGo;
            }
            if from >= waiting.len() {
                match self.more().await {
                    Some(more) => (waiting, from) = (more, 0),
                    None => return LaneStep::GiveBack,
                }
            }
            match self.deliver(&waiting[from..]).await {
                LaneStep::GoOn(count) => (from, sent) = (from + count, sent + count),
                end => return end,
            }
        }
    }

    async fn more(&self) -> Option<Vec<Delivery>> {
        let queue = &self.webhooks.ports.queue;
        let more = queue.more_of_lane(&self.claimed.lane, self.claimed.epoch, WINDOW).await;
        match more {
            Ok(more) => Some(more).filter(|more| !more.is_empty()),
            Err(error) => {
                tracing::warn!(webhook.id = %self.claimed.webhook, error = &error as &dyn std::error::Error,
                    "the rest of a lane could not be read");
                None
            }
        }
    }

    async fn release(&self) {
        let queue = &self.webhooks.ports.queue;
        if let Err(error) = queue.release_lane(&self.claimed.lane, self.claimed.epoch).await {
            // The lease runs out by itself. What keeps all of them from being released is told once.
            if self.webhooks.valve.is_open() {
                tracing::warn!(webhook.id = %self.claimed.webhook, error = &error as &dyn std::error::Error, "lane not released");
            }
        }
    }

    /// Renews a lease that is half gone; `false` when it is lost.
    async fn keep_lease(&self) -> bool {
        let now = self.webhooks.ports.clock.now();
        self.until().since(now) > self.webhooks.options.lease / 2 || self.renew().await
    }

    fn until(&self) -> Timestamp {
        Timestamp::from_millis(self.until.load(Ordering::Relaxed))
    }

    /// Tries to renew while the lease lives; `false` when it is lost.
    async fn renew(&self) -> bool {
        let (clock, queue) = (&self.webhooks.ports.clock, &self.webhooks.ports.queue);
        loop {
            let now = clock.now();
            let until = now.plus(self.webhooks.options.lease);
            match queue.renew_lane(&self.claimed.lane, self.claimed.epoch, until).await {
                Ok(renewed) => {
                    self.until.store(until.millis(), Ordering::Relaxed);
                    return renewed;
                }
                Err(error) => {
                    if self.webhooks.valve.is_open() {
                        tracing::warn!(webhook.id = %self.claimed.webhook, error = &error as &dyn std::error::Error,
                            "the lease of a lane was not renewed");
                    }
                    let again = now.plus(RECORD_AGAIN);
                    if again >= self.until() {
                        return false;
                    }
                    clock.sleep_until(Timer::ResultRetry, again).await;
                }
            }
        }
    }

    async fn deliver(&self, waiting: &[Delivery]) -> LaneStep {
        if let Some((verdict, attempt)) = self.webhooks.known.take(&waiting[0]) {
            return self.record(&waiting[..1], &verdict, &attempt).await;
        }
        let (mut webhook, mut policy) = match self.receiver().await {
            Ok(receiver) => receiver,
            Err(end) => return end,
        };
        let batch = |policy: &Policy| usize::try_from(policy.batch_size).unwrap_or(1);
        let mut leaving = Cow::Borrowed(&waiting[..batch(&policy).min(waiting.len())]);
        if self.webhooks.asks_before() {
            let (at, began) = (self.webhooks.ports.clock.now(), Instant::now());
            // Before there is a place for the call: a handler that takes long keeps nobody else from his.
            leaving = match self.holding(self.webhooks.ask_before(&waiting[..leaving.len()])).await
            {
                Ok(Ok(leaving)) => leaving,
                Ok(Err(HeldBack::Waits(why))) => {
                    return self.wait_for_handler(&waiting[0], &why).await;
                }
                Ok(Err(HeldBack::Tried(stop))) => {
                    let tried =
                        TriedHead { outcome: Err(stop), at, duration: began.elapsed(), count: 1 };
                    return self.conclude(&webhook, &policy, waiting, tried).await;
                }
                Err(end) => return end,
            };
            // And what holds for the webhook may be something else by now.
            (webhook, policy) = match self.receiver().await {
                Ok(receiver) => receiver,
                Err(end) => return end,
            };
        }
        if !self.in_pace(&policy, self.webhooks.ports.clock.now()).await {
            return LaneStep::GiveBack;
        }
        let most = batch(&policy).min(leaving.len());
        self.attempt(&webhook, &policy, &leaving[..most]).await
    }

    /// A plugin that has to be asked cannot be: the lane waits a while. It is no attempt, and costs none.
    async fn wait_for_handler(&self, head: &Delivery, why: &str) -> LaneStep {
        let (clock, entropy) = (&self.webhooks.ports.clock, &self.webhooks.ports.entropy);
        let wait = HANDLER_WAIT.mul_f64(0.5 + entropy.fraction());
        tracing::debug!(delivery.id = %head.id, reason = why, "a delivery waits for a handler");
        let settlement = Settlement {
            lane: self.claimed.lane.clone(),
            epoch: self.claimed.epoch,
            delivery: head.id,
            verdict: Verdict::RetryAt(clock.now().plus(wait)),
            attempt: None,
        };
        self.settle(settlement).await;
        LaneStep::LetGo
    }

    /// The webhook and its policy, if it may be called now. Read again for each try: a changed URL or secret applies at
    /// once.
    async fn receiver(&self) -> Result<(Arc<Webhook>, Policy), LaneStep> {
        let webhook = match self.webhooks.ports.queue.receiver(self.claimed.webhook).await {
            Ok(Some(webhook)) => webhook,
            // Deleted with its lanes: nothing is left to record.
            Ok(None) => return Err(LaneStep::LetGo),
            Err(error) => {
                // Not given back: the lane is tried again when the lease ends, not at once and for ever.
                tracing::warn!(webhook.id = %self.claimed.webhook, error = &error as &dyn std::error::Error,
                    "a webhook could not be read");
                return Err(LaneStep::LetGo);
            }
        };
        let now = self.webhooks.ports.clock.now();
        // Another lane may have opened the breaker meanwhile.
        if !webhook.active || webhook.health.lanes_max(now) == Some(0) {
            return Err(LaneStep::GiveBack);
        }
        let policy = webhook.policy(self.webhooks.policy_defaults());
        Ok((webhook, policy))
    }

    /// `false` when the webhook's rate is used up: nothing of it is claimed until there is room again.
    async fn in_pace(&self, policy: &Policy, now: Timestamp) -> bool {
        let Some(rate) = policy.rate_per_second else { return true };
        match self.webhooks.pace.take(self.claimed.webhook, rate, now) {
            Ok(()) => true,
            Err(next) => {
                let _ = self.webhooks.ports.queue.hold_webhook(self.claimed.webhook, next).await;
                false
            }
        }
    }

    async fn attempt(
        &self,
        webhook: &Arc<Webhook>,
        policy: &Policy,
        deliveries: &[Delivery],
    ) -> LaneStep {
        let head = &deliveries[0];
        let doubtful = head.attempts > 0 || webhook.health.is_failing();
        // Pinned here, so that those who wait for it need not store it once more each.
        let call = pin!(self.call(webhook, policy, deliveries));
        let called = pin!(self.webhooks.slots.run(webhook.id, doubtful, call));
        match self.holding(called).await {
            Ok(Some(tried)) => self.conclude(webhook, policy, deliveries, tried).await,
            Ok(None) => LaneStep::GiveBack,
            Err(end) => end,
        }
    }

    /// Decides what follows a try, and records it.
    async fn conclude(
        &self,
        webhook: &Webhook,
        policy: &Policy,
        deliveries: &[Delivery],
        tried: TriedHead,
    ) -> LaneStep {
        let head = &deliveries[0];
        let TriedHead { outcome, at, duration, count } = tried;
        let now = self.webhooks.ports.clock.now();
        let fraction = self.webhooks.ports.entropy.fraction();
        let verdict = outcome::decide(&outcome, policy, head, at, now, fraction);
        let attempt = outcome::describe(outcome, at, duration);
        log(webhook, head, &attempt, &verdict);
        self.webhooks.count(webhook, head, &attempt, &verdict);
        // A call that failed counts for the first delivery in it; the others were not to blame.
        let count = if verdict == Verdict::Delivered { count } else { 1 };
        self.record(&deliveries[..count], &verdict, &attempt).await
    }

    /// Waits for a call, and for its place, without losing the lease meanwhile.
    async fn holding<T>(&self, wait: impl Future<Output = T>) -> Result<T, LaneStep> {
        let clock = &self.webhooks.ports.clock;
        let half = self.webhooks.options.lease / 2;
        let mut wait = pin!(wait);
        loop {
            // Counted from what is left: the call may begin long after the last renewal.
            let left = self.until().since(clock.now());
            let renewal = clock.now().plus(left.saturating_sub(half).min(half));
            tokio::select! {
                biased;
                done = &mut wait => return Ok(done),
                () = clock.sleep_until(Timer::LaneRenewal, renewal) => {}
            }
            // Beside the call: what it comes to while the ledger does not answer is worth waiting for.
            tokio::select! {
                biased;
                done = &mut wait => return Ok(done),
                renewed = self.renew() => if !renewed {
                    return Err(LaneStep::LetGo);
                },
            }
        }
    }

    async fn call(
        &self,
        webhook: &Arc<Webhook>,
        policy: &Policy,
        deliveries: &[Delivery],
    ) -> TriedHead {
        let (at, began) = (self.webhooks.ports.clock.now(), Instant::now());
        let most = self.webhooks.options.max_payload_bytes;
        let Some((mut call, count)) = request::Call::of(deliveries, most, at) else {
            let outcome = Err(EgressError::blocked());
            return TriedHead { outcome, at, duration: Duration::ZERO, count: 1 };
        };
        let transport = &*self.webhooks.transport;
        let spans = CallSpans::of(&deliveries[..count]);
        call.trace = self.webhooks.options.traces.of(spans.call());
        let outcome = match self.webhooks.prepared.of(webhook) {
            Ok(prepared) => {
                let sent = request::send(transport, webhook, &prepared, call, policy.timeout);
                sent.instrument(spans.call().clone()).await
            }
            Err(error) => Err(error),
        };
        spans.end(&outcome);
        TriedHead { outcome, at, duration: began.elapsed(), count }
    }

    /// Records the results before anything else of the lane leaves.
    async fn record(
        &self,
        deliveries: &[Delivery],
        verdict: &Verdict,
        attempt: &Attempt,
    ) -> LaneStep {
        let settlements = deliveries.iter().map(|delivery| {
            let settlement = Settlement {
                lane: self.claimed.lane.clone(),
                epoch: self.claimed.epoch,
                delivery: delivery.id,
                verdict: verdict.clone(),
                attempt: Some(attempt.clone()),
            };
            async {
                let settled = self.settle(settlement).await;
                if settled.is_none() {
                    self.webhooks.known.keep(delivery, verdict, attempt);
                }
                settled.unwrap_or(Settled::Lost)
            }
        });
        // All of a batch in one commit.
        let settled = futures::future::join_all(settlements).await;
        for (delivery, settled) in deliveries.iter().zip(&settled) {
            if settled.is_recorded() {
                self.webhooks.tell_recorded(delivery, attempt, verdict);
            }
        }
        if settled.contains(&Settled::Lost) {
            return LaneStep::LetGo;
        }
        match settled.last() {
            Some(Settled::More) => LaneStep::GoOn(deliveries.len()),
            _ => LaneStep::LetGo,
        }
    }

    /// Tries to record while the lease lives, and for as long as the ledger takes no writes; `None` when that is over.
    async fn settle(&self, settlement: Settlement) -> Option<Settled> {
        let (queue, clock) = (&self.webhooks.ports.queue, &self.webhooks.ports.clock);
        let (mut tries, mut in_line) = (0, None);
        loop {
            let error = match queue.record_attempts(settlement.clone()).await {
                Ok(settled) => return Some(settled),
                Err(error) => error,
            };
            if self.in_trouble() {
                in_line.get_or_insert_with(|| self.webhooks.valve.wait_in_line());
                self.until_written().await;
                tries = 0;
                continue;
            }
            // It is this result alone: nobody else has to wait for it.
            in_line = None;
            tries += 1;
            if tries == 1 {
                tracing::warn!(delivery.id = %settlement.delivery, error = &error as &dyn std::error::Error,
                    "a result was not recorded");
            }
            let now = clock.now();
            if now >= self.until() && tries >= TRIES_MIN {
                return None;
            }
            clock.sleep_until(Timer::ResultRetry, now.plus(RECORD_AGAIN)).await;
        }
    }

    fn in_trouble(&self) -> bool {
        self.webhooks.ports.store.trouble().is_some()
    }

    /// Waits until the ledger takes writes again. The lane stays ours as far as that can be had; where it cannot, the
    /// result is recorded all the same unless somebody else took the lane meanwhile.
    async fn until_written(&self) {
        let (queue, clock) = (&self.webhooks.ports.queue, &self.webhooks.ports.clock);
        while self.in_trouble() {
            let now = clock.now();
            let until = now.plus(self.webhooks.options.lease);
            let renewal = queue.renew_lane(&self.claimed.lane, self.claimed.epoch, until);
            if let Ok(true) = renewal.await {
                self.until.store(until.millis(), Ordering::Relaxed);
            }
            self.webhooks.valve.again(now.plus(self.webhooks.options.lease / 3)).await;
        }
    }
}

fn log(webhook: &Webhook, delivery: &Delivery, attempt: &Attempt, verdict: &Verdict) {
    let duration_ms = u64::try_from(attempt.duration.as_millis()).unwrap_or(u64::MAX);
    match &attempt.error {
        None => {
            tracing::debug!(webhook.id = %webhook.id, delivery.id = %delivery.id, duration_ms, "delivered");
        }
        Some(AttemptError { kind: AttemptErrorKind::Cancelled, text }) => {
            tracing::info!(webhook.id = %webhook.id, delivery.id = %delivery.id, reason = text, "a delivery was cancelled");
        }
        Some(error) => {
            let exhausted = *verdict == Verdict::Exhausted;
            tracing::warn!(webhook.id = %webhook.id, delivery.id = %delivery.id, attempt = delivery.attempts + 1,
                duration_ms, exhausted, reason = error.text, "a delivery failed");
        }
    }
}
