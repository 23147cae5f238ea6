//! Recording attempts: what became of the heads of lanes, all results that wait in one go.
//!
//! Successes, by far the most, are recorded many per statement; what failed takes its own way.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{
    claims::{HeldLanes, Step},
    push,
};
use crate::{
    audit, db,
    error::{Doing as _, corrupt},
    webhook,
    writer::{Unit, lock_webhooks, touch_of},
};
use domain::{
    DeliveryId, EventId, Timestamp, WebhookId,
    delivery::{Attempt, DeliveryState, HealthChange, PauseReason},
    log::AuditEntry,
    port::{Settled, Settlement, StoreResult, Verdict},
    webhook::WebhookStop,
};

db::statements! {
    DELIVERED = DialectPair {
        // Without `or fail` every page it changes is copied, to undo the statement alone should a row break a rule.
        // Ours never is undone alone: what fails takes its savepoint or its transaction with it.
        sqlite: "update or fail delivery set state = 'delivered', attempts = attempts + 1 where state = 'pending' \
             and \
             id in ($1)",
        postgres: "update delivery set state = 'delivered', attempts = attempts + 1 where state = 'pending' and \
             id in ($1)",
    };
    STILL_THERE = both("select id from delivery where state = 'delivered' and id in ($1)");
    ENDED_SO = both("select exists (select 1 from delivery where id = $1 and state = $2)");
    SETTLE = both("update delivery set state = $2, attempts = attempts + $3, first_tried_at = \
         coalesce(first_tried_at, $4) \
         where id = $1 and state = 'pending'");
    ATTEMPT = both("insert into delivery_attempt (delivery_id, attempt, at, duration_ms, status, error_kind, error, \
         excerpt) values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (delivery_id, attempt) do nothing");
    TRIGGERED = DialectPair {
        sqlite: "update webhook set last_triggered_at = case when last_triggered_at > $2 then last_triggered_at \
             else $2 end \
             where id = $1",
        // Whoever else changes a webhook now writes nearly the same time.
        postgres: "update webhook set last_triggered_at = $2 where id in (select id from webhook where id = $1 \
             and (last_triggered_at is null or last_triggered_at < $2) for no key update skip locked)",
    };
    WAIT = DialectPair {
        sqlite: "update lane set ticket = 0, retry_at = $2 where id = $1",
        postgres: "update lane set ticket = 0, retry_at = $2, owner = null, lease_until = null where id = $1",
    };
    EMPTY = both("delete from lane where not exists (select 1 from delivery where delivery.lane = lane.id and \
         delivery.state = 'pending') and id in ($1) returning id");
    DISABLE = both("update webhook set active = 0 where id = $1 and active = 1");
    HEALTH = both("update webhook set health = $2, held_until = $3 where id = $1");
}

const DOING: &str = "recording attempts";

/// A settlement under a claim that still counts.
struct ValidSettlement {
    /// Its index among the settlements.
    index: usize,
    webhook: WebhookId,
    /// The number of this attempt.
    attempt: u32,
    /// Whether the lane waited for this try.
    tried: bool,
    /// Deliveries that the worker was given behind this one.
    behind: usize,
}

/// What became of each settlement, and what follows for the claims.
pub(crate) struct Outcome {
    pub(crate) settled: Vec<Settled>,
    pub(crate) steps: Vec<Step>,
}

/// Records them all.
pub(crate) async fn record(unit: &mut Unit, settlements: &[Settlement]) -> StoreResult<Outcome> {
    let mut valid = confirmed(unit, settlements).await?;
    let recorded = deliveries(unit, settlements, &valid).await?;
    // Deleted with their webhook meanwhile.
    valid.retain(|one| recorded.contains(&one.index));
    attempts(unit, settlements, &valid).await?;
    let ended = lanes(unit, settlements, &valid).await?;
    webhooks(unit, settlements, &valid).await?;
    let mut outcome = Outcome { settled: vec![Settled::Lost; settlements.len()], steps: vec![] };
    for one in &valid {
        let settlement = &settlements[one.index];
        let stays = stays(settlement);
        let done = stays || ended.contains(settlement.lane.as_str());
        let settled = if done { Settled::Done } else { Settled::More };
        outcome.settled[one.index] = settled;
        let lane = settlement.lane.as_str().to_owned();
        let (epoch, delivery) = (settlement.epoch, settlement.delivery);
        outcome.steps.push(Step { lane, epoch, delivery, settled, stays });
    }
    Ok(outcome)
}

/// The delivery stays the head of its lane.
fn stays(settlement: &Settlement) -> bool {
    matches!(settlement.verdict, Verdict::RetryAt(_) | Verdict::Disabled)
}

/// Those under claims that still count, in this transaction and until its end.
async fn confirmed(
    unit: &mut Unit,
    settlements: &[Settlement],
) -> StoreResult<Vec<ValidSettlement>> {
    let claims = unit.seams.claims.clone();
    let known = known(claims.held(), settlements);
    let named = |one: &ValidSettlement| {
        let settlement = &settlements[one.index];
        (settlement.lane.as_str(), settlement.epoch)
    };
    let named: Vec<(&str, u64)> = known.iter().map(named).collect();
    let confirmed = claims.confirm(unit, &named).await?;
    let valid = known.into_iter().zip(confirmed).filter(|(_, confirmed)| *confirmed);
    Ok(valid.map(|(one, _)| one).collect())
}

/// Those under claims of this process, and of the head of the lane.
fn known(held: &HeldLanes, settlements: &[Settlement]) -> Vec<ValidSettlement> {
    // How many of a lane's deliveries were tried before, in this transaction.
    let mut tried_before: HashMap<&str, usize> = HashMap::new();
    let mut known = Vec::with_capacity(settlements.len());
    for (index, settlement) in settlements.iter().enumerate() {
        let lane = settlement.lane.as_str();
        let before = tried_before.get(lane).copied().unwrap_or(0);
        let valid = held.with(lane, settlement.epoch, |lease| {
            let given = lease.window.get(before).filter(|given| given.id == settlement.delivery)?;
            Some(ValidSettlement {
                index,
                webhook: lease.webhook,
                attempt: given.attempts + 1,
                tried: lease.class.tried && before == 0,
                behind: lease.window.len() - before - 1,
            })
        });
        let Some(valid) = valid.flatten() else { continue };
        // Behind a head that stays nothing can be recorded.
        tried_before.insert(lane, if stays(settlement) { usize::MAX } else { before + 1 });
        known.push(valid);
    }
    known
}

/// The delivery rows; the indexes of those that were there.
async fn deliveries(
    unit: &mut Unit,
    settlements: &[Settlement],
    valid: &[ValidSettlement],
) -> StoreResult<HashSet<usize>> {
    let (mut recorded, mut successes) = (HashSet::new(), HashMap::new());
    for one in valid {
        let settlement = &settlements[one.index];
        let id = settlement.delivery.to_string();
        if settlement.verdict == Verdict::Delivered && settlement.attempt.is_some() {
            successes.insert(id, one.index);
            continue;
        }
        let state = match settlement.verdict {
            Verdict::Delivered => DeliveryState::Delivered,
            Verdict::RetryAt(_) | Verdict::Disabled => DeliveryState::Pending,
            Verdict::Exhausted => DeliveryState::Exhausted,
            Verdict::Dropped => DeliveryState::Dropped,
        };
        let done = db::query(&SETTLE)
            .bind(id)
            .bind(state.as_str())
            .bind(i64::from(settlement.attempt.is_some()))
            .bind(settlement.attempt.as_ref().map(|attempt| attempt.at.millis()))
            .execute(&mut unit.conn)
            .await
            .doing(DOING)?;
        if done.rows_affected() == 1 || ended_so(unit, settlement.delivery, state).await? {
            recorded.insert(one.index);
        }
    }
    let ids: Vec<&String> = successes.keys().collect();
    for (sql, run) in DELIVERED.runs(unit.conn.dialect(), &ids) {
        let mut query = db::query(sql);
        for id in run {
            query = query.bind(id.as_str());
        }
        let done = query.execute(&mut unit.conn).await.doing(DOING)?.rows_affected();
        if usize::try_from(done).is_ok_and(|done| done == run.len()) {
            recorded.extend(run.iter().map(|id| successes[*id]));
        } else {
            recorded.extend(there(unit, run).await?.iter().map(|id| successes[id]));
        }
    }
    Ok(recorded)
}

/// Whether a delivery has ended like this already: the answer to an earlier commit was lost.
async fn ended_so(unit: &mut Unit, id: DeliveryId, state: DeliveryState) -> StoreResult<bool> {
    if state == DeliveryState::Pending {
        return Ok(false);
    }
    let ended: bool = db::query_scalar(&ENDED_SO)
        .bind(id.to_string())
        .bind(state.as_str())
        .fetch_one(&mut unit.conn)
        .await
        .doing(DOING)?;
    Ok(ended)
}

/// Those of some deliveries that were there to be recorded.
async fn there(unit: &mut Unit, ids: &[&String]) -> StoreResult<Vec<String>> {
    let mut found = Vec::new();
    for (sql, run) in STILL_THERE.runs(unit.conn.dialect(), ids) {
        let mut query = db::query_scalar::<String>(sql);
        for id in run {
            query = query.bind(id.as_str());
        }
        found.extend(query.fetch_all(&mut unit.conn).await.doing(DOING)?);
    }
    Ok(found)
}

async fn attempts(
    unit: &mut Unit,
    settlements: &[Settlement],
    valid: &[ValidSettlement],
) -> StoreResult<()> {
    let tried: Vec<(&Settlement, u32, &Attempt)> = valid
        .iter()
        .filter_map(|one| {
            let settlement = &settlements[one.index];
            settlement.attempt.as_ref().map(|attempt| (settlement, one.attempt, attempt))
        })
        .collect();
    for (sql, run) in ATTEMPT.runs(unit.conn.dialect(), &tried) {
        let mut query = db::query(sql);
        for (settlement, number, attempt) in run {
            query = query
                .bind(settlement.delivery.to_string())
                .bind(i64::from(*number))
                .bind(attempt.at.millis())
                .bind(i64::try_from(attempt.duration.as_millis()).unwrap_or(i64::MAX))
                .bind(attempt.status.map(i64::from))
                .bind(attempt.error.as_ref().map(|error| error.kind.as_str()))
                .bind(attempt.error.as_ref().map(|error| error.text.as_str()))
                .bind(attempt.excerpt.as_deref());
        }
        query.execute(&mut unit.conn).await.doing(DOING)?;
    }
    Ok(())
}

/// Lanes wait, go on with their next delivery, or are empty and end; the names of those that ended.
async fn lanes(
    unit: &mut Unit,
    settlements: &[Settlement],
    valid: &[ValidSettlement],
) -> StoreResult<HashSet<String>> {
    let claims = unit.seams.claims.clone();
    let (mut maybe_empty, mut going) = (Vec::new(), Vec::new());
    for one in valid {
        let settlement = &settlements[one.index];
        let lane = settlement.lane.as_str();
        match settlement.verdict {
            Verdict::RetryAt(at) => {
                let wait = db::query(&WAIT).bind(lane).bind(at.millis());
                wait.execute(&mut unit.conn).await.doing(DOING)?;
            }
            Verdict::Disabled => claims.end(unit, lane, settlement.epoch).await?,
            _ => {
                if one.behind == 0 {
                    maybe_empty.push(lane);
                }
                if one.tried {
                    going.push(lane);
                }
            }
        }
    }
    let closable = claims.closable(unit, maybe_empty).await?;
    let mut ended = HashSet::new();
    for (sql, run) in EMPTY.runs(unit.conn.dialect(), &closable) {
        let mut query = db::query_scalar::<String>(sql);
        for lane in run {
            query = query.bind(lane);
        }
        ended.extend(query.fetch_all(&mut unit.conn).await.doing(DOING)?);
    }
    for lane in going.into_iter().filter(|lane| !ended.contains(*lane)) {
        claims.go_on(unit, lane).await?;
    }
    Ok(ended)
}

/// The time of the last success, and what the outcomes do to the health.
async fn webhooks(
    unit: &mut Unit,
    settlements: &[Settlement],
    valid: &[ValidSettlement],
) -> StoreResult<()> {
    lock_changing(unit, settlements, valid).await?;
    let mut triggered: BTreeMap<WebhookId, Timestamp> = BTreeMap::new();
    let mut changed: BTreeMap<WebhookId, (Timestamp, Option<HealthChange>)> = BTreeMap::new();
    for one in valid {
        let settlement = &settlements[one.index];
        // What a handler cancelled or failed at says nothing about the receiver.
        let attempt = settlement.attempt.as_ref().filter(|attempt| attempt.is_receivers());
        let Some(attempt) = attempt else { continue };
        let success = settlement.verdict == Verdict::Delivered;
        if success {
            let last = triggered.entry(one.webhook).or_default();
            *last = attempt.at.max(*last);
        }
        let degraded = degraded(unit).await?;
        if success && !degraded.contains_key(&one.webhook) {
            continue;
        }
        let ended = attempt.at.plus(attempt.duration);
        let change = degraded.entry(one.webhook).or_default().record(ended, success);
        let entry = changed.entry(one.webhook).or_insert((ended, None));
        *entry = (ended, change.or(entry.1));
        if settlement.verdict == Verdict::Disabled {
            disable(unit, one.webhook, ended).await?;
        }
    }
    for (webhook, at) in triggered {
        let query = db::query(&TRIGGERED).bind(webhook.to_string()).bind(at.millis());
        query.execute(&mut unit.conn).await.doing(DOING)?;
    }
    for (webhook, (at, change)) in changed {
        store_health(unit, webhook).await?;
        if change == Some(HealthChange::Paused) {
            let stop = WebhookStop::Paused(PauseReason::NoSuccess);
            notice_stop(unit, webhook, stop, at).await?;
        }
    }
    Ok(())
}

/// Locks the webhooks whose health will change. What is known of it is read after that.
async fn lock_changing(
    unit: &mut Unit,
    settlements: &[Settlement],
    valid: &[ValidSettlement],
) -> StoreResult<()> {
    let receivers = |one: &&ValidSettlement| {
        let attempt = settlements[one.index].attempt.as_ref();
        attempt.is_some_and(Attempt::is_receivers)
    };
    let mut heard: Vec<&ValidSettlement> = valid.iter().filter(receivers).collect();
    if heard.is_empty() {
        return Ok(());
    }
    let known = degraded(unit).await?;
    heard.retain(|one| {
        settlements[one.index].verdict != Verdict::Delivered || known.contains_key(&one.webhook)
    });
    let mut changing: Vec<String> = heard.iter().map(|one| one.webhook.to_string()).collect();
    changing.sort_unstable();
    changing.dedup();
    if changing.is_empty() {
        return Ok(());
    }
    lock_webhooks(unit, &changing).await
}

/// The health of every webhook that is not healthy.
async fn degraded(
    unit: &mut Unit,
) -> StoreResult<&mut HashMap<WebhookId, domain::delivery::Health>> {
    if unit.degraded.is_none() {
        unit.degraded = Some(webhook::degraded(&mut unit.conn, &unit.unreadable).await?);
    }
    unit.degraded.as_mut().ok_or_else(|| corrupt(DOING))
}

async fn store_health(unit: &mut Unit, id: WebhookId) -> StoreResult<()> {
    let degraded = degraded(unit).await?;
    let health = degraded.get(&id).copied().unwrap_or_default();
    if health.is_sound() {
        degraded.remove(&id);
    }
    unit.webhooks.changed();
    db::query(&HEALTH)
        .bind(id.to_string())
        .bind(webhook::stored_health(&health))
        .bind(health.held_until().map_or(0, Timestamp::millis))
        .execute(&mut unit.conn)
        .await
        .doing(DOING)
        .map(|_| ())
}

/// Switches a webhook off whose receiver is gone for good.
async fn disable(unit: &mut Unit, id: WebhookId, at: Timestamp) -> StoreResult<()> {
    touch_of(unit, id).await?;
    unit.webhooks.clear();
    let done = db::query(&DISABLE).bind(id.to_string()).execute(&mut unit.conn).await;
    if done.doing(DOING)?.rows_affected() == 1 {
        notice_stop(unit, id, WebhookStop::Gone, at).await?;
    }
    Ok(())
}

/// Emits the event for the session's other webhooks when one stops, with its entry in the audit.
pub(crate) async fn notice_stop(
    unit: &mut Unit,
    id: WebhookId,
    stop: WebhookStop,
    at: Timestamp,
) -> StoreResult<()> {
    let Some(webhook) = webhook::readable(unit, id).await? else { return Ok(()) };
    let notice = webhook.stop_notice(EventId::at(at, &*unit.entropy), stop, at);
    if let Some(entry) = AuditEntry::of_webhook_stop(&notice, stop) {
        audit::insert(unit, &entry).await?;
    }
    push::record(unit, vec![notice]).await.map(|_| ())
}
