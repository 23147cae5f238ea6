//! Claims that hold between processes: the lease is in the lane's row, with an epoch that is never given twice.
//!
//! What a worker was given is remembered in memory as on SQLite; the row decides whether it still counts.
//!
//! A lane's row goes when nothing waits in it, and something may be added to it at that moment. Whoever adds locks the
//! row for sharing (`key share`), which is in the way of nobody but of who removes it; whoever removes it locks it for itself first, and only
//! then looks whether anything waits. Claims and settlements hold the row against each other (`no key update`) and not
//! against those who add. Nobody waits for a lane while holding one that others may wait for.

use std::collections::{HashMap, HashSet};

use domain::{SessionId, Timestamp, WebhookId, delivery::LaneId, port::StoreResult};

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
     and (lease_until is null or lease_until <= $3) order by due_at limit $4 for no key update skip locked) \
     update lane set owner = $5, lease_until = $6, doubtful = $7, epoch = nextval('lane_epoch') from due \
     where lane.id = due.id returning lane.id, lane.epoch, lane.due_at";
const TAKE_THESE: &str = "with due as (select id from lane where id in (select json_array_elements_text($1::json)) \
     and (lease_until is null or lease_until <= $2) for no key update skip locked) \
     update lane set owner = $3, lease_until = $4, doubtful = $5, epoch = nextval('lane_epoch') from due \
     where lane.id = due.id returning lane.id, lane.epoch";
pub(super) const NAMED: &str = "select id, tried, due_at, lease_until from lane where id in ($1)";
const RENEW: &str =
    "update lane set lease_until = $3 where id = $1 and epoch = $2 and owner is not null";
const RELEASE: &str = "update lane set owner = null, lease_until = null, \
     due_at = case when tried = 0 then nextval('lane_ticket') else due_at end where id = $1 and epoch = $2";
const LET_GO: &str =
    "update lane set owner = null, lease_until = null where id = $1 and epoch = $2";
// Locked until the commit: a claim by somebody else waits for it, or has been made and is seen.
const HELD: &str = "select id, epoch from lane where owner is not null and id in ($1) order by id for no key update";
// Those to which somebody is adding now are not empty.
const OURS: &str = "select id from lane where id in ($1) order by id for update skip locked";
const REMOVE: &str = "delete from lane where id = $1 and owner is null and not exists \
     (select 1 from delivery where delivery.lane = lane.id and delivery.state = 'pending')";
const GO_ON: &str = "update lane set due_at = nextval('lane_ticket'), tried = 0 where id = $1";
const INSERT_EVENT: &str = "insert into event (id, session_id, sequence, kind, occurred_at, chat, idempotency_key, data, \
     position) select column1, column2, column3::bigint, column4, column5::bigint, column6, column7, column8, \
     nextval('event_position') from (values ($1, $2, $3, $4, $5, $6, $7, $8)) as new";
const OPEN_LANE: &str = "insert into lane (id, webhook_id, due_at) select column1, column2, nextval('lane_ticket') from (values ($1, $2)) as new \
     on conflict (id) do nothing returning id";
const OPEN_RETRY: &str = "insert into lane (id, webhook_id, due_at, tried) values ($1, $2, 0, 1) \
     on conflict (id) do nothing returning id";
const KEEP: &str = "select id from lane where id in ($1) order by id for key share";
const LANES_OF_WEBHOOK: &str = "select id from lane where webhook_id = $1 order by id for update";
const LANES_OF_SESSION: &str = "select lane.id from lane join webhook on webhook.id = lane.webhook_id \
     where webhook.session_id = $1 order by lane.id for update of lane";
const LOCK_WEBHOOKS: &str = "select id from webhook where id in ($1) order by id for no key update";
// Whoever else changes a webhook now writes nearly the same time.
const TRIGGERED: &str = "update webhook set last_triggered_at = $2 where id in (select id from webhook where id = $1 \
     and (last_triggered_at is null or last_triggered_at < $2) for no key update skip locked)";
const TOUCH: &str = "update session set webhook_version = webhook_version + 1 where id = $1";
const TOUCH_OF: &str = "update session set webhook_version = webhook_version + 1 \
     where id = (select session_id from webhook where id = $1)";
const NEXT_END: &str = "select min(lease_until) from lane where lease_until > $1";

static HELD_ALL: Wide = Wide::new(HELD, 1);
static OURS_ALL: Wide = Wide::new(OURS, 1);
static KEEP_ALL: Wide = Wide::new(KEEP, 1);
static LANES: Wide = Wide::new(OPEN_LANE, 2);
static WEBHOOKS_ALL: Wide = Wide::new(LOCK_WEBHOOKS, 1);
pub(super) static EVENTS: Wide = Wide::new(INSERT_EVENT, 8);

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
    let rows = db::query(ON_THE_WAY).bind(now.millis()).fetch_all(&store.couriers).await;
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
        .fetch_all(&store.couriers)
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
            .fetch_all(&store.couriers)
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
    let done = db::query(LET_GO).bind(lane).bind(stored(epoch)).execute(&store.couriers).await;
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
        .execute(&store.couriers)
        .await
        .doing("renewing a lease")?;
    Ok(done.rows_affected() == 1 && store.leases.renew(lane, epoch, until))
}

/// Gives a lane back, behind the lanes that wait by now.
pub(super) async fn release(store: &LedgerStore, lane: &str, epoch: u64) -> StoreResult<()> {
    let done = db::query(RELEASE).bind(lane).bind(stored(epoch)).execute(&store.readers).await;
    done.doing("releasing a lane").map(|_| ())
}

/// The epochs under which lanes are held, as of this transaction and until its end.
pub(super) async fn held(unit: &mut Unit, lanes: &[&str]) -> StoreResult<HashMap<String, u64>> {
    const DOING: &str = "settling deliveries";
    let mut held = HashMap::with_capacity(lanes.len());
    for (sql, run) in HELD_ALL.filled(lanes) {
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
    let end = db::query_scalar(NEXT_END).bind(now.millis()).fetch_one(&store.couriers).await;
    end.doing("looking for the next due lane")
}

fn stored(epoch: u64) -> i64 {
    i64::try_from(epoch).unwrap_or(i64::MAX)
}

/// Puts a lane whose first retry worked behind those that wait.
pub(super) async fn go_on(unit: &mut Unit, lane: &str) -> StoreResult<()> {
    let done = db::query(GO_ON).bind(lane).execute(&mut unit.conn).await;
    done.doing("settling deliveries").map(|_| ())
}

/// Those of some lanes that are now ours alone until the commit.
pub(super) async fn ours(unit: &mut Unit, lanes: &[&str]) -> StoreResult<Vec<String>> {
    let mut ours = Vec::with_capacity(lanes.len());
    for (sql, run) in OURS_ALL.filled(lanes) {
        let mut query = db::query_scalar::<String>(sql);
        for lane in run {
            query = query.bind(*lane);
        }
        ours.extend(query.fetch_all(&mut unit.conn).await.doing("settling deliveries")?);
    }
    Ok(ours)
}

/// Removes a lane in which nothing waits, unless somebody has it or is adding to it.
pub(super) async fn remove_if_empty(unit: &mut Unit, lane: String) -> StoreResult<()> {
    const DOING: &str = "removing an empty lane";
    if ours(unit, &[&lane]).await?.is_empty() {
        return Ok(());
    }
    db::query(REMOVE).bind(lane).execute(&mut unit.conn).await.doing(DOING).map(|_| ())
}

/// Makes lanes that are not there, and keeps all of them until the commit.
pub(super) async fn open<'a>(
    unit: &mut Unit,
    lanes: impl Iterator<Item = (&'a str, WebhookId)>,
) -> StoreResult<()> {
    const DOING: &str = "recording an event";
    let mut seen = HashSet::new();
    let mut missing: Vec<(&str, WebhookId)> =
        lanes.filter(|(lane, _)| seen.insert(*lane)).collect();
    while !missing.is_empty() {
        let mut there: HashSet<String> = HashSet::with_capacity(missing.len());
        for (sql, run) in LANES.filled(&missing) {
            let mut query = db::query_scalar::<String>(sql);
            for (lane, webhook) in run {
                query = query.bind(*lane).bind(webhook.to_string());
            }
            let opened = query.fetch_all(&mut unit.conn).await.doing(DOING)?;
            there.extend(opened.iter().cloned());
            unit.committing.opened.extend(opened.into_iter().map(LaneId::from_stored));
        }
        missing.retain(|(lane, _)| !there.contains(*lane));
        there.clear();
        let names: Vec<&str> = missing.iter().map(|(lane, _)| *lane).collect();
        for (sql, run) in KEEP_ALL.filled(&names) {
            let mut query = db::query_scalar::<String>(sql);
            for lane in run {
                query = query.bind(*lane);
            }
            there.extend(query.fetch_all(&mut unit.conn).await.doing(DOING)?);
        }
        // One that was removed meanwhile is made.
        missing.retain(|(lane, _)| !there.contains(*lane));
    }
    Ok(())
}

/// The lane of a second try: it waits among the retries. It is there until the commit.
pub(super) async fn open_retry(unit: &mut Unit, lane: &str, webhook: WebhookId) -> StoreResult<()> {
    const DOING: &str = "replaying deliveries";
    loop {
        let made = db::query(OPEN_RETRY).bind(lane).bind(webhook.to_string());
        let made = made.fetch_optional(&mut unit.conn).await.doing(DOING)?;
        if made.is_some() || !keep(unit, lane).await?.is_empty() {
            return Ok(());
        }
    }
}

async fn keep(unit: &mut Unit, lane: &str) -> StoreResult<Vec<String>> {
    let query = db::query_scalar::<String>(KEEP).bind(lane);
    query.fetch_all(&mut unit.conn).await.doing("replaying deliveries")
}

/// Before the webhook itself goes: everybody locks lanes before webhooks.
pub(crate) async fn lock_lanes_of_webhook(unit: &mut Unit, webhook: WebhookId) -> StoreResult<()> {
    let query = db::query(LANES_OF_WEBHOOK).bind(webhook.to_string());
    query.fetch_all(&mut unit.conn).await.doing("deleting a webhook").map(|_| ())
}

/// Before a session goes with all that belongs to it.
pub(crate) async fn lock_lanes_of_session(unit: &mut Unit, session: SessionId) -> StoreResult<()> {
    let query = db::query(LANES_OF_SESSION).bind(session.to_string());
    query.fetch_all(&mut unit.conn).await.doing("deleting a session").map(|_| ())
}

/// Locks webhooks whose health is about to be read and changed.
pub(crate) async fn lock_webhooks(unit: &mut Unit, webhooks: &[String]) -> StoreResult<()> {
    for (sql, run) in WEBHOOKS_ALL.filled(webhooks) {
        let mut query = db::query(sql);
        for webhook in run {
            query = query.bind(webhook);
        }
        query.fetch_all(&mut unit.conn).await.doing("settling deliveries")?;
    }
    Ok(())
}

/// The time of a webhook's last success, unless somebody else is writing it.
pub(super) async fn triggered(
    unit: &mut Unit,
    webhook: WebhookId,
    at: Timestamp,
) -> StoreResult<()> {
    let query = db::query(TRIGGERED).bind(webhook.to_string()).bind(at.millis());
    query.execute(&mut unit.conn).await.doing("settling deliveries").map(|_| ())
}

/// The webhooks of a session change: before they do, so that events that are being recorded are before or behind it.
pub(crate) async fn touch(unit: &mut Unit, session: SessionId) -> StoreResult<()> {
    let done = db::query(TOUCH).bind(session.to_string()).execute(&mut unit.conn).await;
    done.doing("changing a webhook").map(|_| ())
}

/// The same, for the session of a webhook.
pub(crate) async fn touch_of(unit: &mut Unit, webhook: WebhookId) -> StoreResult<()> {
    let done = db::query(TOUCH_OF).bind(webhook.to_string()).execute(&mut unit.conn).await;
    done.doing("changing a webhook").map(|_| ())
}
