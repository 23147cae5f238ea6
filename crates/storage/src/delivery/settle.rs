//! Recording what became of the heads of lanes: all results that wait, in one go.
//!
//! Successes, by far the most, are recorded many per statement; what failed takes its own way.

use std::collections::{BTreeMap, HashMap};

use rand::Rng as _;

use super::{postgres, push};
use crate::{
    audit,
    db::{self, Kind, Two},
    error::{Doing as _, corrupt},
    rows::Wide,
    webhook,
    writer::Unit,
};
use domain::{
    DeliveryId, Entropy, EventId, Timestamp, WebhookId,
    delivery::{Attempt, DeliveryState, HealthChange, PauseReason},
    event::EventType,
    log::{AuditEntry, Severity},
    port::{Settled, Settlement, StoreResult, Verdict},
    webhook::Webhook,
};

const DELIVERED: Two = Two {
    // Without `or fail` every page it changes is copied, to undo the statement alone should a row break a rule. Ours never is
    // undone alone: what fails takes its savepoint or its transaction with it.
    sqlite: "update or fail delivery set state = 'delivered', attempts = attempts + 1 where state = 'pending' and \
     id in ($1)",
    postgres: "update delivery set state = 'delivered', attempts = attempts + 1 where state = 'pending' and \
     id in ($1)",
};
const STILL_THERE: &str = "select id from delivery where state = 'delivered' and id in ($1)";
const ENDED_SO: &str = "select exists (select 1 from delivery where id = $1 and state = $2)";
const SETTLE: &str = "update delivery set state = $2, attempts = attempts + $3, first_tried_at = coalesce(first_tried_at, $4) \
     where id = $1 and state = 'pending'";
const ATTEMPT: &str = "insert into delivery_attempt (delivery_id, attempt, at, duration_ms, status, error_kind, error, \
     excerpt) values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (delivery_id, attempt) do nothing";
const TRIGGERED: &str = "update webhook set last_triggered_at = case when last_triggered_at > $2 then last_triggered_at else $2 end where id = $1";
const WAIT: Two = Two {
    sqlite: "update lane set due_at = $2, tried = 1 where id = $1",
    postgres: "update lane set due_at = $2, tried = 1, owner = null, lease_until = null where id = $1",
};
const GO_ON: &str = "update lane set due_at = $2, tried = 0 where id = $1";
const EMPTY: &str = "delete from lane where not exists (select 1 from delivery where delivery.lane = lane.id and \
     delivery.state = 'pending') and id in ($1) returning id";
const DISABLE: &str = "update webhook set active = 0 where id = $1 and active = 1";
const HEALTH: &str = "update webhook set health = $2, held_until = $3 where id = $1";

static DELIVERED_ALL: Wide = Wide::new(DELIVERED.postgres, 1);
static DELIVERED_ALL_SQLITE: Wide = Wide::new(DELIVERED.sqlite, 1);
static THERE_ALL: Wide = Wide::new(STILL_THERE, 1);
static ATTEMPTS: Wide = Wide::new(ATTEMPT, 8);
static EMPTY_ALL: Wide = Wide::new(EMPTY, 1);

const DOING: &str = "settling deliveries";

/// A settlement that fits a claim.
struct Fitting {
    /// Its place among the settlements.
    place: usize,
    webhook: WebhookId,
    /// The number of this attempt.
    attempt: u32,
    /// Whether the lane waited for this try.
    tried: bool,
    /// Deliveries that the worker was given behind this one.
    behind: usize,
}

/// What the claims become once it is committed.
pub(crate) struct Step {
    pub(crate) lane: String,
    pub(crate) epoch: u64,
    pub(crate) delivery: DeliveryId,
    pub(crate) settled: Settled,
    /// The delivery stays the head.
    pub(crate) stays: bool,
}

/// What became of each settlement, and what follows for the claims.
pub(crate) struct Outcome {
    pub(crate) settled: Vec<Settled>,
    pub(crate) steps: Vec<Step>,
}

/// Records them all.
pub(crate) async fn settle(unit: &mut Unit, settlements: &[Settlement]) -> StoreResult<Outcome> {
    let mut fitting = fitting(unit, settlements);
    if unit.conn.kind() == Kind::Postgres {
        let lanes: Vec<&str> =
            fitting.iter().map(|one| settlements[one.place].lane.as_str()).collect();
        let held = postgres::held(unit, &lanes).await?;
        fitting.retain(|one| {
            let settlement = &settlements[one.place];
            held.get(settlement.lane.as_str()) == Some(&settlement.epoch)
        });
    }
    let recorded = deliveries(unit, settlements, &fitting).await?;
    // Deleted with their webhook meanwhile.
    fitting.retain(|one| recorded.contains_key(&one.place));
    attempts(unit, settlements, &fitting).await?;
    let ended = lanes(unit, settlements, &fitting).await?;
    webhooks(unit, settlements, &fitting).await?;
    let mut outcome = Outcome { settled: vec![Settled::Lost; settlements.len()], steps: vec![] };
    for one in &fitting {
        let settlement = &settlements[one.place];
        let stays = matches!(settlement.verdict, Verdict::RetryAt(_) | Verdict::Disabled);
        let done = stays || ended.contains_key(settlement.lane.as_str());
        let settled = if done { Settled::Done } else { Settled::More };
        outcome.settled[one.place] = settled;
        let lane = settlement.lane.as_str().to_owned();
        let (epoch, delivery) = (settlement.epoch, settlement.delivery);
        outcome.steps.push(Step { lane, epoch, delivery, settled, stays });
    }
    Ok(outcome)
}

/// Those of claims that are still the worker's, and of the head of the lane.
fn fitting(unit: &Unit, settlements: &[Settlement]) -> Vec<Fitting> {
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut fitting = Vec::with_capacity(settlements.len());
    for (place, settlement) in settlements.iter().enumerate() {
        let lane = settlement.lane.as_str();
        let index = places.get(lane).copied().unwrap_or(0);
        let fit = unit.leases.with(lane, settlement.epoch, |lease| {
            let given = lease.window.get(index).filter(|given| given.id == settlement.delivery)?;
            Some(Fitting {
                place,
                webhook: lease.webhook,
                attempt: given.attempts + 1,
                tried: lease.tried && index == 0,
                behind: lease.window.len() - index - 1,
            })
        });
        let Some(fit) = fit.flatten() else { continue };
        let stays = matches!(settlement.verdict, Verdict::RetryAt(_) | Verdict::Disabled);
        // Behind a head that stays nothing can be settled.
        places.insert(lane, if stays { usize::MAX } else { index + 1 });
        fitting.push(fit);
    }
    fitting
}

/// The delivery rows; the places of those that were there.
async fn deliveries(
    unit: &mut Unit,
    settlements: &[Settlement],
    fitting: &[Fitting],
) -> StoreResult<HashMap<usize, ()>> {
    let (mut recorded, mut successes) = (HashMap::new(), HashMap::new());
    for one in fitting {
        let settlement = &settlements[one.place];
        let id = settlement.delivery.to_string();
        if settlement.verdict == Verdict::Delivered && settlement.attempt.is_some() {
            successes.insert(id, one.place);
            continue;
        }
        let state = match settlement.verdict {
            Verdict::Delivered => DeliveryState::Delivered,
            Verdict::RetryAt(_) | Verdict::Disabled => DeliveryState::Pending,
            Verdict::Exhausted => DeliveryState::Exhausted,
            Verdict::Dropped => DeliveryState::Dropped,
        };
        let done = db::query(SETTLE)
            .bind(id)
            .bind(state.as_str())
            .bind(i64::from(settlement.attempt.is_some()))
            .bind(settlement.attempt.as_ref().map(|attempt| attempt.at.millis()))
            .execute(&mut unit.conn)
            .await
            .doing(DOING)?;
        if done.rows_affected() == 1 || ended_so(unit, settlement.delivery, state).await? {
            recorded.insert(one.place, ());
        }
    }
    let ids: Vec<&String> = successes.keys().collect();
    let kind = unit.conn.kind();
    let delivered = match kind {
        Kind::Sqlite => &DELIVERED_ALL_SQLITE,
        Kind::Postgres => &DELIVERED_ALL,
    };
    for (sql, run) in delivered.runs_on(kind, &ids) {
        let mut query = db::query(sql);
        for id in run {
            query = query.bind(id.as_str());
        }
        let done = query.execute(&mut unit.conn).await.doing(DOING)?.rows_affected();
        if usize::try_from(done).is_ok_and(|done| done == run.len()) {
            recorded.extend(run.iter().map(|id| (successes[*id], ())));
        } else {
            recorded.extend(there(unit, run).await?.iter().map(|id| (successes[id], ())));
        }
    }
    Ok(recorded)
}

/// Whether a delivery has ended like this already: the answer to an earlier commit was lost.
async fn ended_so(unit: &mut Unit, id: DeliveryId, state: DeliveryState) -> StoreResult<bool> {
    if state == DeliveryState::Pending {
        return Ok(false);
    }
    let ended: bool = db::query_scalar(ENDED_SO)
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
    for (sql, run) in THERE_ALL.runs(ids) {
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
    fitting: &[Fitting],
) -> StoreResult<()> {
    let tried: Vec<(&Settlement, u32, &Attempt)> = fitting
        .iter()
        .filter_map(|one| {
            let settlement = &settlements[one.place];
            settlement.attempt.as_ref().map(|attempt| (settlement, one.attempt, attempt))
        })
        .collect();
    let kind = unit.conn.kind();
    for (sql, run) in ATTEMPTS.runs_on(kind, &tried) {
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
    fitting: &[Fitting],
) -> StoreResult<HashMap<String, ()>> {
    let (mut maybe_empty, mut going) = (Vec::new(), Vec::new());
    for one in fitting {
        let settlement = &settlements[one.place];
        let lane = settlement.lane.as_str();
        match settlement.verdict {
            Verdict::RetryAt(at) => {
                let wait = db::query(WAIT).bind(lane).bind(at.millis());
                wait.execute(&mut unit.conn).await.doing(DOING)?;
            }
            Verdict::Disabled if unit.conn.kind() == Kind::Postgres => {
                postgres::end(unit, lane, settlement.epoch).await?;
            }
            Verdict::Disabled => {}
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
    let kind = unit.conn.kind();
    let mut ended = HashMap::new();
    let ours: Vec<String> = match unit.conn.kind() {
        Kind::Postgres => postgres::ours(unit, &maybe_empty).await?,
        Kind::Sqlite => vec![],
    };
    if unit.conn.kind() == Kind::Postgres {
        maybe_empty = ours.iter().map(String::as_str).collect();
    }
    for (sql, run) in EMPTY_ALL.runs_on(kind, &maybe_empty) {
        let mut query = db::query_scalar::<String>(sql);
        for lane in run {
            query = query.bind(*lane);
        }
        let gone = query.fetch_all(&mut unit.conn).await.doing(DOING)?;
        ended.extend(gone.into_iter().map(|lane| (lane, ())));
    }
    for lane in going.into_iter().filter(|lane| !ended.contains_key(*lane)) {
        if unit.conn.kind() == Kind::Postgres {
            postgres::go_on(unit, lane).await?;
            continue;
        }
        let ticket = unit.ticket();
        let go = db::query(GO_ON).bind(lane).bind(ticket);
        go.execute(&mut unit.conn).await.doing(DOING)?;
    }
    Ok(ended)
}

/// The time of the last success, and what the outcomes do to the health.
async fn webhooks(
    unit: &mut Unit,
    settlements: &[Settlement],
    fitting: &[Fitting],
) -> StoreResult<()> {
    if unit.conn.kind() == Kind::Postgres {
        lock_changing(unit, settlements, fitting).await?;
    }
    let mut triggered: BTreeMap<WebhookId, Timestamp> = BTreeMap::new();
    let mut changed: BTreeMap<WebhookId, (Timestamp, Option<HealthChange>)> = BTreeMap::new();
    for one in fitting {
        let settlement = &settlements[one.place];
        // What a handler cancelled or failed at says nothing about the receiver.
        let attempt = settlement.attempt.as_ref().filter(|attempt| attempt.is_receivers());
        let Some(attempt) = attempt else { continue };
        let success = settlement.verdict == Verdict::Delivered;
        if success {
            let last = triggered.entry(one.webhook).or_default();
            *last = attempt.at.max(*last);
        }
        let doubtful = doubtful(unit).await?;
        if success && !doubtful.contains_key(&one.webhook) {
            continue;
        }
        let ended = attempt.at.plus(attempt.duration);
        let change = doubtful.entry(one.webhook).or_default().record(ended, success);
        let entry = changed.entry(one.webhook).or_insert((ended, None));
        *entry = (ended, change.or(entry.1));
        if settlement.verdict == Verdict::Disabled {
            disable(unit, one.webhook, ended).await?;
        }
    }
    for (webhook, at) in triggered {
        if unit.conn.kind() == Kind::Postgres {
            postgres::triggered(unit, webhook, at).await?;
            continue;
        }
        let query = db::query(TRIGGERED).bind(webhook.to_string()).bind(at.millis());
        query.execute(&mut unit.conn).await.doing(DOING)?;
    }
    for (webhook, (at, change)) in changed {
        store_health(unit, webhook).await?;
        if change == Some(HealthChange::Paused) {
            tell(unit, webhook, EventType::WebhookPaused, "no_success", at).await?;
        }
    }
    Ok(())
}

/// Locks the webhooks whose health will change, then reads it.
async fn lock_changing(
    unit: &mut Unit,
    settlements: &[Settlement],
    fitting: &[Fitting],
) -> StoreResult<()> {
    let receivers = |one: &&Fitting| {
        let attempt = settlements[one.place].attempt.as_ref();
        attempt.is_some_and(Attempt::is_receivers)
    };
    let mut told: Vec<&Fitting> = fitting.iter().filter(receivers).collect();
    if told.is_empty() {
        return Ok(());
    }
    let known = doubtful(unit).await?;
    told.retain(|one| {
        settlements[one.place].verdict != Verdict::Delivered || known.contains_key(&one.webhook)
    });
    let mut changing: Vec<String> = told.iter().map(|one| one.webhook.to_string()).collect();
    changing.sort_unstable();
    changing.dedup();
    if changing.is_empty() {
        return Ok(());
    }
    postgres::lock_webhooks(unit, &changing).await?;
    unit.doubtful = None;
    doubtful(unit).await.map(|_| ())
}

/// The health of every webhook that is not sound.
async fn doubtful(
    unit: &mut Unit,
) -> StoreResult<&mut HashMap<WebhookId, domain::delivery::Health>> {
    if unit.doubtful.is_none() {
        unit.doubtful = Some(webhook::doubtful(&mut unit.conn, &unit.unreadable).await?);
    }
    unit.doubtful.as_mut().ok_or_else(|| corrupt(DOING))
}

async fn store_health(unit: &mut Unit, id: WebhookId) -> StoreResult<()> {
    let doubtful = doubtful(unit).await?;
    let health = doubtful.get(&id).copied().unwrap_or_default();
    if health.is_sound() {
        doubtful.remove(&id);
    }
    unit.webhooks.changed();
    db::query(HEALTH)
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
    if unit.conn.kind() == Kind::Postgres {
        postgres::touch_of(unit, id).await?;
    }
    unit.webhooks.clear();
    let done = db::query(DISABLE).bind(id.to_string()).execute(&mut unit.conn).await;
    if done.doing(DOING)?.rows_affected() == 1 {
        tell(unit, id, EventType::WebhookDisabled, "gone", at).await?;
    }
    Ok(())
}

/// Tells the other webhooks of the session.
pub(crate) async fn tell(
    unit: &mut Unit,
    id: WebhookId,
    kind: EventType,
    reason: &str,
    at: Timestamp,
) -> StoreResult<()> {
    let webhook: Option<Webhook> = webhook::readable(unit, id).await?;
    let Some(webhook) = webhook else { return Ok(()) };
    let id = EventId::at(at, &Random);
    let notice = webhook.notice(id, kind, reason, at);
    if reason != PauseReason::Requested.as_str() {
        // Nobody asked for it: whoever asks is written down with the request.
        let action = kind.as_str().replace('.', "_");
        let mut entry = AuditEntry::new(id.uuid(), action, Severity::Warn, at);
        entry.session = Some(webhook.session);
        entry.metadata = notice.data.value();
        audit::insert(unit, entry).await?;
    }
    push::record(unit, vec![notice]).await.map(|_| ())
}

/// The system's randomness, for the ids of what the ledger itself tells.
struct Random;

impl Entropy for Random {
    fn fill(&self, bytes: &mut [u8]) {
        rand::rng().fill_bytes(bytes);
    }
}
