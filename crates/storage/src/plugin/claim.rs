//! Which call of a provider is whose turn, and how its try ended.
//!
//! Of the calls with one order key only the oldest that waits is claimed, and only while no other of them is. A look
//! for those costs the writer nothing; it then claims instance by instance, with the instance's row locked, where
//! nobody else claims or redrives meanwhile. A claim has a number, `epoch`: whoever has an earlier one records
//! nothing.

use std::collections::BTreeMap;

use domain::{
    Timestamp,
    plugin::IngressOutcome,
    port::{ClaimedIngress, StoreResult},
};
use uuid::Uuid;

use super::{calls, instance, plain};
use crate::{
    db::{self, Row},
    error::{Doing as _, corrupt},
    open::LedgerStore,
    writer::Unit,
};

db::statements! {
    // The calls of an order key are a run in the index of those that wait.
    DUE = both("with head as (select one.plugin, one.instance, min(one.position) as position, \
         max(one.claimed_until) as claimed_until from plugin \
         join plugin_instance on plugin_instance.plugin = plugin.id \
         join plugin_ingress one on one.plugin = plugin_instance.plugin and one.instance = plugin_instance.id \
         where plugin.enabled = 1 and plugin_instance.enabled = 1 and one.state = 'waiting' \
         group by one.plugin, one.instance, one.line) \
         select head.plugin, head.instance from head join plugin_ingress due on due.position = head.position \
         where due.due_at <= $1 and (head.claimed_until is null or head.claimed_until <= $1) \
         order by due.due_at, due.position limit $2");
    NEXT = both("with head as (select min(one.position) as position, max(one.claimed_until) as claimed_until \
         from plugin join plugin_instance on plugin_instance.plugin = plugin.id \
         join plugin_ingress one on one.plugin = plugin_instance.plugin and one.instance = plugin_instance.id \
         where plugin.enabled = 1 and plugin_instance.enabled = 1 and one.state = 'waiting' \
         group by one.plugin, one.instance, one.line) \
         select min(case when head.claimed_until > due.due_at then head.claimed_until else due.due_at end) \
         from head join plugin_ingress due on due.position = head.position");
    PLUGIN_ENABLED = both("select enabled from plugin where id = $1");
    CLAIM = both("update plugin_ingress set claimed_until = $4, epoch = epoch + 1 where position in \
         (select due.position from (select min(position) as position, max(claimed_until) as claimed_until \
         from plugin_ingress where plugin = $1 and instance = $2 and state = 'waiting' group by line) head \
         join plugin_ingress due on due.position = head.position \
         where due.due_at <= $3 and (head.claimed_until is null or head.claimed_until <= $3) \
         order by due.due_at, due.position limit $5) returning *");
    GIVE_UP = both("update plugin_ingress set state = 'dead', claimed_until = null, error = $2, ended_at = $3 \
         where position = $1");
    // What was not recorded under this claim yet.
    DONE = both("update plugin_ingress set state = 'done', claimed_until = null, error = null, ended_at = $3, \
         request = null where id = $1 and epoch = $2 and claimed_until is not null");
    RETRY = both("update plugin_ingress set attempts = attempts + 1, claimed_until = null, due_at = $3, error = $4 \
         where id = $1 and epoch = $2 and claimed_until is not null");
    DEAD = both("update plugin_ingress set state = 'dead', attempts = attempts + 1, claimed_until = null, \
         ended_at = $3, error = $4 where id = $1 and epoch = $2 and claimed_until is not null");
    EPOCH = both("select epoch from plugin_ingress where id = $1");
}

/// What a row of it is called where it cannot be read.
const CALL: &str = "provider's call";
/// Why a call that cannot be read is not tried.
const UNREADABLE: &str = "not handled: the call cannot be read";

/// A claimed call with what it is sorted by.
struct SortedClaim {
    due_at: Timestamp,
    position: i64,
    claimed: ClaimedIngress,
}

fn stored_epoch(epoch: u64) -> i64 {
    i64::try_from(epoch).unwrap_or(i64::MAX)
}

/// How many calls of which instances are due.
type DueCalls = BTreeMap<(String, String), u32>;

async fn claim(
    unit: &mut Unit,
    due: DueCalls,
    now: Timestamp,
    until: Timestamp,
) -> StoreResult<Vec<ClaimedIngress>> {
    let mut turns = Vec::new();
    // In the order of their keys, so that two who claim do not wait for each other.
    for ((plugin, id), count) in due {
        turns.extend(claim_of(unit, (&plugin, &id), count, (now, until)).await?);
    }
    turns.sort_by_key(|turn| (turn.due_at, turn.position));
    Ok(turns.into_iter().map(|turn| turn.claimed).collect())
}

async fn claim_of(
    unit: &mut Unit,
    (plugin, id): (&str, &str),
    count: u32,
    (now, until): (Timestamp, Timestamp),
) -> StoreResult<Vec<SortedClaim>> {
    const DOING: &str = "claiming calls of providers";
    if instance::lock(unit, plugin, id, DOING).await? != Some(true) {
        return Ok(vec![]);
    }
    let enabled = db::query_scalar(&PLUGIN_ENABLED).bind(plugin);
    if enabled.fetch_optional(&mut unit.conn).await.doing(DOING)? != Some(true) {
        return Ok(vec![]);
    }
    let claimed = db::query(&CLAIM)
        .bind(plugin)
        .bind(id)
        .bind(now.millis())
        .bind(until.millis())
        .bind(count)
        .fetch_all(&mut unit.conn)
        .await
        .doing(DOING)?;
    let mut turns = Vec::with_capacity(claimed.len());
    for row in &claimed {
        let position: i64 = row.try_get("position").doing(DOING)?;
        let read = turn(row, position, unit);
        match unit.unreadable.row(CALL, &["id"], row, read) {
            Some(turn) => turns.push(turn),
            // What is behind it goes on. It can be redriven as soon as it can be read.
            None => {
                let give_up = db::query(&GIVE_UP).bind(position).bind(UNREADABLE);
                let done = give_up.bind(now.millis()).execute(&mut unit.conn).await;
                done.doing(DOING)?;
            }
        }
    }
    Ok(turns)
}

fn turn(row: &Row, position: i64, unit: &Unit) -> StoreResult<SortedClaim> {
    const DOING: &str = "claiming calls of providers";
    let epoch: i64 = row.try_get("epoch").doing(DOING)?;
    let epoch = u64::try_from(epoch).map_err(|_| corrupt(DOING))?;
    let call = calls::read(row, &unit.cipher)?;
    Ok(SortedClaim { due_at: call.due_at, position, claimed: ClaimedIngress { call, epoch } })
}

async fn finish(
    unit: &mut Unit,
    (id, epoch): (Uuid, u64),
    outcome: &IngressOutcome,
    now: Timestamp,
) -> StoreResult<bool> {
    const DOING: &str = "recording how the call of a provider ended";
    let (id, epoch) = (id.to_string(), stored_epoch(epoch));
    let begin = |sql: &'static db::Statement| db::query(sql).bind(&id).bind(epoch);
    let query = match outcome {
        IngressOutcome::Done => begin(&DONE).bind(now.millis()),
        IngressOutcome::RetryAt(at, error) => begin(&RETRY).bind(at.millis()).bind(plain(error)),
        IngressOutcome::Dead(error) => begin(&DEAD).bind(now.millis()).bind(plain(error)),
    };
    if query.execute(&mut unit.conn).await.doing(DOING)?.rows_affected() == 1 {
        return Ok(true);
    }
    // Recorded before, and only the answer was lost; or somebody else has it by now.
    let found = db::query_scalar(&EPOCH).bind(&id).fetch_optional(&mut unit.conn).await;
    Ok(found.doing(DOING)? == Some(epoch))
}

impl LedgerStore {
    pub(super) async fn claim_calls(
        &self,
        now: Timestamp,
        until: Timestamp,
        limit: u32,
    ) -> StoreResult<Vec<ClaimedIngress>> {
        const DOING: &str = "claiming calls of providers";
        let rows = db::query(&DUE).bind(now.millis()).bind(limit).fetch_all(&self.couriers).await;
        let mut due = DueCalls::new();
        for row in rows.doing(DOING)? {
            let text = |name: &str| row.try_get::<String, _>(name).doing(DOING);
            *due.entry((text("plugin")?, text("instance")?)).or_default() += 1;
        }
        if due.is_empty() {
            return Ok(vec![]);
        }
        self.writer
            .run(DOING, move |unit| Box::pin(async move { claim(unit, due, now, until).await }))
            .await
    }

    pub(super) async fn next_call(&self) -> StoreResult<Option<Timestamp>> {
        let next: Option<i64> = db::query_scalar(&NEXT)
            .fetch_one(&self.couriers)
            .await
            .doing("looking for the next call of a provider")?;
        Ok(next.map(Timestamp::from_millis))
    }

    pub(super) async fn finish_call(
        &self,
        (id, epoch): (Uuid, u64),
        outcome: &IngressOutcome,
        now: Timestamp,
    ) -> StoreResult<bool> {
        let outcome = outcome.clone();
        self.writer
            .run("recording how the call of a provider ended", move |unit| {
                Box::pin(async move { finish(unit, (id, epoch), &outcome, now).await })
            })
            .await
    }
}
