//! Claims that hold between processes: the lease is in the lane's row, with an epoch that is never given twice.
//!
//! What a worker was given is remembered in memory as on SQLite; the row decides whether it still counts.

use std::collections::HashMap;

use domain::{Timestamp, WebhookId, delivery::LaneId, port::StoreResult};

use super::{
    claim::Taken,
    leases::{OnTheWay, Taker},
    shared::Chosen,
};
use crate::{
    db,
    error::{Doing as _, corrupt},
    open::LedgerStore,
    rows::Wide,
    writer::Unit,
};

const ON_THE_WAY: &str = "select webhook_id, owner, doubtful, count(*) as lanes from lane where lease_until > $1 \
     group by webhook_id, owner, doubtful";
const TAKE: &str = "with due as (select id from lane where webhook_id = $1 and tried = $2 and due_at <= $3 \
     and (lease_until is null or lease_until <= $3) order by due_at limit $4 for update skip locked) \
     update lane set owner = $5, lease_until = $6, doubtful = $7, epoch = nextval('lane_epoch') from due \
     where lane.id = due.id returning lane.id, lane.epoch, lane.due_at";
const TAKE_THESE: &str = "with due as (select id from lane where id in (select json_array_elements_text($1::json)) \
     and (lease_until is null or lease_until <= $2) for update skip locked) \
     update lane set owner = $3, lease_until = $4, doubtful = $5, epoch = nextval('lane_epoch') from due \
     where lane.id = due.id returning lane.id, lane.epoch";
pub(super) const NAMED: &str = "select id, tried, due_at, lease_until from lane where id in ($1)";
const RENEW: &str =
    "update lane set lease_until = $3 where id = $1 and epoch = $2 and owner is not null";
const RELEASE: &str = "update lane set owner = null, lease_until = null, \
     due_at = case when tried = 0 then $3 else due_at end where id = $1 and epoch = $2";
const LET_GO: &str =
    "update lane set owner = null, lease_until = null where id = $1 and epoch = $2";
// Locked until the commit: a claim by somebody else waits for it, or has been made and is seen.
const HELD: &str = "select id, epoch from lane where owner is not null and id in ($1) for update";
const NEXT_END: &str = "select min(lease_until) from lane where lease_until > $1";

static HELD_ALL: Wide = Wide::new(HELD, 1);

/// What is on the way in all processes.
pub(super) async fn survey(
    store: &LedgerStore,
    owner: &str,
    now: Timestamp,
) -> StoreResult<OnTheWay> {
    const DOING: &str = "claiming lanes";
    let mut survey = store.leases.survey(owner, now);
    (survey.own, survey.doubtful) = (0, 0);
    survey.by_webhook = HashMap::new();
    let rows = db::query(ON_THE_WAY).bind(now.millis()).fetch_all(&store.readers).await;
    for row in rows.doing(DOING)? {
        let webhook: String = row.try_get("webhook_id").doing(DOING)?;
        let webhook: WebhookId = webhook.parse().map_err(|_| corrupt(DOING))?;
        let holder: String = row.try_get("owner").doing(DOING)?;
        let lanes: u32 = row.try_get("lanes").doing(DOING)?;
        let own = holder == owner;
        let counts = if own { &mut survey.by_webhook } else { &mut survey.elsewhere };
        *counts.entry(webhook).or_default() += lanes;
        if own {
            survey.own += lanes;
            if row.try_get::<bool, _>("doubtful").doing(DOING)? {
                survey.doubtful += lanes;
            }
        }
    }
    Ok(survey)
}

/// Takes up to `most` due lanes of a webhook that nobody holds: the longest due first.
pub(super) async fn take(
    store: &LedgerStore,
    webhook: WebhookId,
    (tried, doubtful): (bool, bool),
    most: u32,
    taker: &Taker<'_>,
) -> StoreResult<Vec<Taken>> {
    const DOING: &str = "claiming lanes";
    let rows = db::query(TAKE)
        .bind(webhook.to_string())
        .bind(tried)
        .bind(taker.now.millis())
        .bind(most)
        .bind(taker.owner)
        .bind(taker.until.millis())
        .bind(doubtful)
        .fetch_all(&store.readers)
        .await
        .doing(DOING)?;
    let mut taken = Vec::with_capacity(rows.len());
    for row in rows {
        let lane: String = row.try_get("id").doing(DOING)?;
        let epoch: i64 = row.try_get("epoch").doing(DOING)?;
        let due: i64 = row.try_get("due_at").doing(DOING)?;
        taken.push((due, lane, u64::try_from(epoch).map_err(|_| corrupt(DOING))?));
    }
    taken.sort_unstable();
    for (_, lane, epoch) in &taken {
        store.leases.put(lane, *epoch, webhook, (tried, doubtful), taker);
    }
    Ok(taken.into_iter().map(|(_, lane, epoch)| Taken { lane, webhook, epoch }).collect())
}

/// Takes those of some lanes that nobody holds.
pub(super) async fn take_these(
    store: &LedgerStore,
    chosen: &[Chosen<'_>],
    taker: &Taker<'_>,
) -> StoreResult<Vec<Taken>> {
    const DOING: &str = "claiming lanes";
    let by_name: HashMap<&str, &Chosen<'_>> = chosen.iter().map(|one| (one.lane, one)).collect();
    let mut taken = Vec::with_capacity(chosen.len());
    for doubtful in [false, true] {
        let names: Vec<&str> =
            chosen.iter().filter(|one| one.doubtful == doubtful).map(|one| one.lane).collect();
        if names.is_empty() {
            continue;
        }
        let names = serde_json::to_string(&names).map_err(|_| corrupt(DOING))?;
        let rows = db::query(TAKE_THESE)
            .bind(names)
            .bind(taker.now.millis())
            .bind(taker.owner)
            .bind(taker.until.millis())
            .bind(doubtful)
            .fetch_all(&store.readers)
            .await
            .doing(DOING)?;
        for row in rows {
            let lane: String = row.try_get("id").doing(DOING)?;
            let epoch: i64 = row.try_get("epoch").doing(DOING)?;
            let epoch = u64::try_from(epoch).map_err(|_| corrupt(DOING))?;
            let Some(one) = by_name.get(lane.as_str()) else { continue };
            store.leases.put(&lane, epoch, one.webhook, (one.tried, doubtful), taker);
            taken.push(Taken { webhook: one.webhook, lane, epoch });
        }
    }
    Ok(taken)
}

/// Gives lanes back that turned out to have nothing to give.
pub(super) async fn let_go(store: &LedgerStore, lane: &str, epoch: u64) -> StoreResult<()> {
    let done = db::query(LET_GO).bind(lane).bind(stored(epoch)).execute(&store.readers).await;
    done.doing("releasing a lane").map(|_| ())
}

/// Extends a lease; `false` when it is somebody else's or over.
pub(super) async fn renew(
    store: &LedgerStore,
    lane: &LaneId,
    epoch: u64,
    until: Timestamp,
) -> StoreResult<bool> {
    // A claim of an earlier life of this process is nobody's.
    if store.leases.with(lane.as_str(), epoch, |_| ()).is_none() {
        return Ok(false);
    }
    let done = db::query(RENEW)
        .bind(lane.as_str())
        .bind(stored(epoch))
        .bind(until.millis())
        .execute(&store.readers)
        .await
        .doing("renewing a lease")?;
    Ok(done.rows_affected() == 1 && store.leases.renew(lane, epoch, until))
}

/// Gives a lane back, behind the lanes that wait by now.
pub(super) async fn release(unit: &mut Unit, lane: &str, epoch: u64) -> StoreResult<()> {
    let ticket = unit.ticket();
    let done = db::query(RELEASE)
        .bind(lane)
        .bind(stored(epoch))
        .bind(ticket)
        .execute(&mut unit.conn)
        .await;
    done.doing("releasing a lane").map(|_| ())
}

/// The epochs under which lanes are held, as of this transaction and until its end.
pub(super) async fn held(unit: &mut Unit, lanes: &[&str]) -> StoreResult<HashMap<String, u64>> {
    const DOING: &str = "settling deliveries";
    let mut held = HashMap::with_capacity(lanes.len());
    for (sql, run) in HELD_ALL.runs(lanes) {
        let mut query = db::query(sql);
        for lane in run {
            query = query.bind(*lane);
        }
        for row in query.fetch_all(&mut unit.conn).await.doing(DOING)? {
            let epoch: i64 = row.try_get("epoch").doing(DOING)?;
            let lane: String = row.try_get("id").doing(DOING)?;
            held.insert(lane, u64::try_from(epoch).map_err(|_| corrupt(DOING))?);
        }
    }
    Ok(held)
}

/// Ends a claim whose lane stays.
pub(super) async fn end(unit: &mut Unit, lane: &str, epoch: u64) -> StoreResult<()> {
    let done = db::query(LET_GO).bind(lane).bind(stored(epoch)).execute(&mut unit.conn).await;
    done.doing("settling deliveries").map(|_| ())
}

/// When the next lease of any process ends.
pub(super) async fn next_end(store: &LedgerStore, now: Timestamp) -> StoreResult<Option<i64>> {
    let end = db::query_scalar(NEXT_END).bind(now.millis()).fetch_one(&store.readers).await;
    end.doing("looking for the next due lane")
}

fn stored(epoch: u64) -> i64 {
    i64::try_from(epoch).unwrap_or(i64::MAX)
}
