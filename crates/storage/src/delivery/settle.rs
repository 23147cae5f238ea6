//! Recording what became of the head of a lane.

use domain::{
    Timestamp,
    delivery::{Attempt, DeliveryState},
    port::{Settlement, StoreResult, Verdict},
};

use super::stored_epoch;
use crate::{error::Doing as _, writer::Unit};

const HELD: &str = "select webhook_id from lane where id = $1 and epoch = $2 and owner is not null";
const HEAD: &str =
    "select id from delivery where lane = $1 and state = 'pending' order by sequence limit 1";
const SETTLE: &str =
    "update delivery set state = $2, attempts = attempts + $3 where id = $1 returning attempts";
const ATTEMPT: &str = "insert into delivery_attempt (delivery_id, attempt, at, duration_ms, status, error_kind, error, \
     excerpt) values ($1, $2, $3, $4, $5, $6, $7, $8)";
const TRIGGERED: &str =
    "update webhook set last_triggered_at = max(coalesce(last_triggered_at, 0), $2) where id = $1";
const WAIT: &str =
    "update lane set due_at = $2, tried = 1, owner = null, lease_until = null where id = $1";
const GO_ON: &str = "update lane set due_at = 0, tried = 0 where id = $1";
const EMPTY: &str = "delete from lane where id = $1";

const DOING: &str = "settling a delivery";

/// `false` when the claim is not the worker's any more, or the delivery is not the head of its lane.
pub(crate) async fn settle(unit: &mut Unit, settlement: Settlement) -> StoreResult<bool> {
    let lane = settlement.lane.as_str();
    let webhook: Option<String> = sqlx::query_scalar(HELD)
        .bind(lane)
        .bind(stored_epoch(settlement.epoch)?)
        .fetch_optional(&mut unit.conn)
        .await
        .doing(DOING)?;
    let Some(webhook) = webhook else { return Ok(false) };
    let head = head(unit, lane).await?;
    let id = settlement.delivery.to_string();
    if head.as_deref() != Some(id.as_str()) {
        return Ok(false);
    }
    record(unit, &id, &settlement).await?;
    if settlement.verdict == Verdict::Delivered {
        let at = settlement.attempt.as_ref().map_or(Timestamp::default(), |attempt| attempt.at);
        sqlx::query(TRIGGERED)
            .bind(webhook)
            .bind(at.millis())
            .execute(&mut unit.conn)
            .await
            .doing(DOING)?;
    }
    move_on(unit, lane, &settlement.verdict).await?;
    Ok(true)
}

async fn head(unit: &mut Unit, lane: &str) -> StoreResult<Option<String>> {
    sqlx::query_scalar(HEAD).bind(lane).fetch_optional(&mut unit.conn).await.doing(DOING)
}

async fn record(unit: &mut Unit, id: &str, settlement: &Settlement) -> StoreResult<()> {
    let state = match settlement.verdict {
        Verdict::Delivered => DeliveryState::Delivered,
        Verdict::RetryAt(_) => DeliveryState::Pending,
        Verdict::Exhausted => DeliveryState::Exhausted,
        Verdict::Dropped => DeliveryState::Dropped,
    };
    let tries = i64::from(settlement.attempt.is_some());
    let number: i64 = sqlx::query_scalar(SETTLE)
        .bind(id)
        .bind(state.as_str())
        .bind(tries)
        .fetch_one(&mut unit.conn)
        .await
        .doing(DOING)?;
    if let Some(attempt) = &settlement.attempt {
        store_attempt(unit, id, number, attempt).await?;
    }
    Ok(())
}

async fn store_attempt(
    unit: &mut Unit,
    id: &str,
    number: i64,
    attempt: &Attempt,
) -> StoreResult<()> {
    sqlx::query(ATTEMPT)
        .bind(id)
        .bind(number)
        .bind(attempt.at.millis())
        .bind(i64::try_from(attempt.duration.as_millis()).unwrap_or(i64::MAX))
        .bind(attempt.status.map(i64::from))
        .bind(attempt.error.as_ref().map(|error| error.kind.as_str()))
        .bind(attempt.error.as_ref().map(|error| error.text.clone()))
        .bind(attempt.excerpt.as_deref())
        .execute(&mut unit.conn)
        .await
        .doing(DOING)
        .map(|_| ())
}

/// The lane waits, goes on with its next delivery, or is empty and ends.
async fn move_on(unit: &mut Unit, lane: &str, verdict: &Verdict) -> StoreResult<()> {
    if let Verdict::RetryAt(at) = verdict {
        let done = sqlx::query(WAIT).bind(lane).bind(at.millis()).execute(&mut unit.conn).await;
        return done.doing(DOING).map(|_| ());
    }
    let sql = if head(unit, lane).await?.is_some() { GO_ON } else { EMPTY };
    sqlx::query(sql).bind(lane).execute(&mut unit.conn).await.doing(DOING).map(|_| ())
}
