//! The deliveries of one claimed lane, one after another.

use std::time::Duration;

use domain::{
    Timestamp,
    delivery::{
        AfterFailure, Attempt, AttemptError, AttemptErrorKind, ClaimedLane, Delivery, RetryPolicy,
    },
    port::{Settlement, Verdict},
    webhook::Webhook,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Webhooks, request};
use crate::egress::{Answer, EgressError};

/// Between two tries to record a result.
const RECORD_AGAIN: Duration = Duration::from_millis(200);

/// Whether the lane goes on.
#[derive(PartialEq, Eq)]
enum Next {
    GoOn,
    LetGo,
}

/// Sends what was claimed; gives the lane back at the end, so that the rest of it can be claimed again.
pub(super) async fn run(
    webhooks: &Webhooks,
    claimed: ClaimedLane,
    until: Timestamp,
    stopping: &CancellationToken,
) {
    let mut until = until;
    for delivery in &claimed.deliveries {
        if stopping.is_cancelled() {
            break;
        }
        if !keep_lease(webhooks, &claimed, &mut until).await {
            return;
        }
        if deliver(webhooks, &claimed, delivery, until).await == Next::LetGo {
            return;
        }
    }
    if let Err(error) = webhooks.ports.queue.release(&claimed.lane, claimed.epoch).await {
        // The lease runs out by itself.
        tracing::warn!(webhook.id = %claimed.webhook, error = &error as &dyn std::error::Error, "lane not released");
    }
}

/// Renews a lease that is half gone; `false` when it is lost.
async fn keep_lease(webhooks: &Webhooks, claimed: &ClaimedLane, until: &mut Timestamp) -> bool {
    let now = webhooks.ports.clock.now();
    let lease = webhooks.options.lease;
    if until.since(now) > lease / 2 {
        return true;
    }
    *until = now.plus(lease);
    matches!(webhooks.ports.queue.renew(&claimed.lane, claimed.epoch, *until).await, Ok(true))
}

async fn deliver(
    webhooks: &Webhooks,
    claimed: &ClaimedLane,
    delivery: &Delivery,
    until: Timestamp,
) -> Next {
    // Read again for each try: a changed URL or secret applies at once.
    let webhook = match webhooks.ports.webhooks.get(delivery.webhook).await {
        Ok(Some(webhook)) => webhook,
        // Deleted with its lanes: nothing is left to record.
        Ok(None) => return Next::LetGo,
        Err(error) => {
            // Not given back: the lane is tried again when the lease ends, not at once and for ever.
            tracing::warn!(webhook.id = %delivery.webhook, error = &error as &dyn std::error::Error,
                "a webhook could not be read");
            return Next::LetGo;
        }
    };
    if !webhook.active {
        return release(webhooks, claimed).await;
    }
    let (verdict, attempt) = attempt(webhooks, &webhook, delivery).await;
    log(&webhook, delivery, &attempt, &verdict);
    webhooks.count(&webhook, delivery, &attempt, &verdict);
    let go_on = verdict == Verdict::Delivered || verdict == Verdict::Exhausted;
    let settlement = Settlement {
        lane: claimed.lane.clone(),
        epoch: claimed.epoch,
        delivery: delivery.id,
        verdict,
        attempt: Some(attempt),
    };
    if record(webhooks, settlement, until).await && go_on { Next::GoOn } else { Next::LetGo }
}

async fn release(webhooks: &Webhooks, claimed: &ClaimedLane) -> Next {
    let _ = webhooks.ports.queue.release(&claimed.lane, claimed.epoch).await;
    Next::LetGo
}

async fn attempt(
    webhooks: &Webhooks,
    webhook: &Webhook,
    delivery: &Delivery,
) -> (Verdict, Attempt) {
    let at = webhooks.ports.clock.now();
    let began = Instant::now();
    let draft = &delivery.event.draft;
    let call = request::Call {
        event: draft.kind.as_str(),
        key: &draft.idempotency_key,
        delivery: delivery.id,
        message_id: draft.id.to_string(),
        retries: delivery.attempts,
        at,
        body: delivery.event.body(delivery.id, webhooks.options.payload_bytes_max),
    };
    let outcome = request::send(&webhooks.egress, webhook, call, webhooks.options.timeout).await;
    let now = webhooks.ports.clock.now();
    let policy = RetryPolicy::of(webhook.retry_count, webhooks.options.retry_delay);
    let fraction = webhooks.ports.entropy.fraction();
    let verdict = decide(&outcome, policy, delivery.attempts + 1, now, fraction);
    (verdict, describe(outcome, at, began.elapsed()))
}

/// What follows an attempt: the one place where the delivery policy decides.
fn decide(
    outcome: &Result<Answer, EgressError>,
    policy: RetryPolicy,
    attempts: u32,
    now: Timestamp,
    fraction: f64,
) -> Verdict {
    if outcome.as_ref().is_ok_and(|answer| (200..300).contains(&answer.status)) {
        return Verdict::Delivered;
    }
    match policy.after_failure(attempts, now, fraction) {
        AfterFailure::Retry(at) => Verdict::RetryAt(at),
        AfterFailure::Exhaust => Verdict::Exhausted,
    }
}

fn describe(outcome: Result<Answer, EgressError>, at: Timestamp, duration: Duration) -> Attempt {
    match outcome {
        Ok(answer) => {
            let failed = !(200..300).contains(&answer.status);
            let error = failed.then(|| AttemptError {
                kind: AttemptErrorKind::Status,
                text: format!("the receiver answered {}", answer.status),
            });
            let excerpt = String::from_utf8_lossy(&answer.body).into_owned();
            let excerpt = Some(excerpt).filter(|text| !text.is_empty());
            Attempt { at, duration, status: Some(answer.status), error, excerpt }
        }
        Err(EgressError { kind, text }) => Attempt {
            at,
            duration,
            status: None,
            error: Some(AttemptError { kind, text }),
            excerpt: None,
        },
    }
}

/// Records a result before anything else of the lane leaves; tries while the lease lives. `false` when it is lost.
async fn record(webhooks: &Webhooks, settlement: Settlement, until: Timestamp) -> bool {
    loop {
        match webhooks.ports.queue.settle(settlement.clone()).await {
            Ok(recorded) => return recorded,
            Err(error) => {
                let now = webhooks.ports.clock.now();
                tracing::warn!(delivery.id = %settlement.delivery, error = &error as &dyn std::error::Error,
                    "a result was not recorded");
                if now >= until {
                    return false;
                }
                webhooks.ports.clock.sleep_until(now.plus(RECORD_AGAIN)).await;
            }
        }
    }
}

fn log(webhook: &Webhook, delivery: &Delivery, attempt: &Attempt, verdict: &Verdict) {
    let duration_ms = u64::try_from(attempt.duration.as_millis()).unwrap_or(u64::MAX);
    match &attempt.error {
        None => {
            tracing::debug!(webhook.id = %webhook.id, delivery.id = %delivery.id, duration_ms, "delivered");
        }
        Some(error) => {
            let exhausted = *verdict == Verdict::Exhausted;
            tracing::warn!(webhook.id = %webhook.id, delivery.id = %delivery.id, attempt = delivery.attempts + 1,
                duration_ms, exhausted, reason = error.text, "a delivery failed");
        }
    }
}
