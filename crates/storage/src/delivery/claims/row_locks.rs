//! Lanes' rows in a transaction, where several processes share the database.
//!
//! A lane's row goes when nothing waits in it, and something may be added to it at that moment. Whoever adds locks the
//! row for sharing (`key share`), which is in the way of nobody but of who removes it; whoever removes it locks it for
//! itself first, and only then looks whether anything waits. Claims and attempts that are recorded hold the row
//! against each other (`no key update`) and not against those who add. Nobody waits for a lane while holding one that
//! others may wait for.

use std::collections::{HashMap, HashSet};

use domain::{WebhookId, delivery::LaneId, port::StoreResult};

use crate::{
    db,
    error::{Doing as _, corrupt},
    writer::Unit,
};

db::statements! {
    // Locked until the commit: a claim by somebody else waits for it, or has been made and is seen.
    HELD = postgres("select id, epoch from lane where owner is not null and id in ($1) order by id for no key update");
    // Those to which somebody is adding now are not empty.
    OURS = postgres("select id from lane where id in ($1) order by id for update skip locked");
    REMOVE = postgres("delete from lane where id = $1 and owner is null and not exists \
         (select 1 from delivery where delivery.lane = lane.id and delivery.state = 'pending')");
    GO_ON = postgres("update lane set ticket = nextval('lane_ticket'), retry_at = null where id = $1");
    OPEN_LANE = postgres("insert into lane (id, webhook_id, ticket) select column1, column2, \
         nextval('lane_ticket') from (values ($1, $2)) as new \
         on conflict (id) do nothing returning id");
    OPEN_RETRY = postgres("insert into lane (id, webhook_id, ticket, retry_at) values ($1, $2, 0, 0) \
         on conflict (id) do nothing returning id");
    KEEP = postgres("select id from lane where id in ($1) order by id for key share");
    LANES_OF_WEBHOOK = postgres("select id from lane where webhook_id = $1 order by id for update");
    LANES_OF_SESSION = postgres("select lane.id from lane join webhook on webhook.id = lane.webhook_id \
         where webhook.session_id = $1 order by lane.id for update of lane");
}

/// The epochs under which lanes are held, as of this transaction and until its end.
pub(super) async fn held(unit: &mut Unit, lanes: &[&str]) -> StoreResult<HashMap<String, u64>> {
    const DOING: &str = "recording attempts";
    let mut held = HashMap::with_capacity(lanes.len());
    for (sql, run) in HELD.filled(lanes) {
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

/// Puts a lane whose first retry worked behind those that wait.
pub(super) async fn go_on(unit: &mut Unit, lane: &str) -> StoreResult<()> {
    let done = db::query(&GO_ON).bind(lane).execute(&mut unit.conn).await;
    done.doing("recording attempts").map(|_| ())
}

/// Those of some lanes that are now ours alone until the commit.
pub(super) async fn ours(unit: &mut Unit, lanes: &[&str]) -> StoreResult<Vec<String>> {
    let mut ours = Vec::with_capacity(lanes.len());
    for (sql, run) in OURS.filled(lanes) {
        let mut query = db::query_scalar::<String>(sql);
        for lane in run {
            query = query.bind(*lane);
        }
        ours.extend(query.fetch_all(&mut unit.conn).await.doing("recording attempts")?);
    }
    Ok(ours)
}

/// Removes a lane in which nothing waits, unless somebody has it or is adding to it.
pub(super) async fn remove_if_empty(unit: &mut Unit, lane: &str) -> StoreResult<()> {
    const DOING: &str = "removing an empty lane";
    if ours(unit, &[lane]).await?.is_empty() {
        return Ok(());
    }
    db::query(&REMOVE).bind(lane).execute(&mut unit.conn).await.doing(DOING).map(|_| ())
}

/// Makes lanes that are not there, and keeps all of them until the commit.
pub(super) async fn open(unit: &mut Unit, lanes: &[(&str, WebhookId)]) -> StoreResult<()> {
    const DOING: &str = "recording an event";
    let mut seen = HashSet::new();
    let mut missing: Vec<(&str, WebhookId)> =
        lanes.iter().copied().filter(|(lane, _)| seen.insert(*lane)).collect();
    while !missing.is_empty() {
        let mut there: HashSet<String> = HashSet::with_capacity(missing.len());
        for (sql, run) in OPEN_LANE.filled(&missing) {
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
        for (sql, run) in KEEP.filled(&names) {
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
        let made = db::query(&OPEN_RETRY).bind(lane).bind(webhook.to_string());
        let made = made.fetch_optional(&mut unit.conn).await.doing(DOING)?;
        if made.is_some() || !keep(unit, lane).await?.is_empty() {
            return Ok(());
        }
    }
}

async fn keep(unit: &mut Unit, lane: &str) -> StoreResult<Vec<String>> {
    let query = db::query_scalar::<String>(&KEEP).bind(lane);
    query.fetch_all(&mut unit.conn).await.doing("replaying deliveries")
}

pub(super) async fn lock_webhook(unit: &mut Unit, webhook: &str) -> StoreResult<()> {
    let lanes = db::query(&LANES_OF_WEBHOOK).bind(webhook).fetch_all(&mut unit.conn).await;
    lanes.doing("deleting a webhook").map(|_| ())
}

pub(super) async fn lock_session(unit: &mut Unit, session: &str) -> StoreResult<()> {
    let lanes = db::query(&LANES_OF_SESSION).bind(session).fetch_all(&mut unit.conn).await;
    lanes.doing("deleting a session").map(|_| ())
}
