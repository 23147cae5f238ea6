//! Calls of providers: each is stored once, and waits.

use domain::{
    Timestamp,
    plugin::{IngressCall, IngressRequest, IngressState, IngressStored, PluginId},
    port::StoreResult,
};
use sha2::{Digest as _, Sha256};

use super::{instance, json, plain};
use crate::{
    crypt::Cipher,
    db::{self, Row},
    error::{Doing as _, corrupt, gone},
    open::LedgerStore,
    writer::Unit,
};

db::statements! {
    KNOWN = both("select digest from plugin_ingress where plugin = $1 and instance = $2 and route = $3 \
         and delivery_key = $4");
    WAITING = both("select count(*) from plugin_ingress where plugin = $1 and instance = $2 and state = 'waiting'");
    INSERT = both("insert into plugin_ingress (id, plugin, instance, route, delivery_key, digest, line, state, \
         attempts, due_at, error, received_at, ended_at, request) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)");
    REDRIVE = both("update plugin_ingress set state = 'waiting', attempts = 0, due_at = $3, ended_at = null \
         where position in (select position from plugin_ingress where plugin = $1 and instance = $2 \
         and state = 'dead' order by position limit $4)");
    DEAD = both("select count(*) from plugin_ingress where plugin = $1 and instance = $2 and state = 'dead'");
    FORGET_DONE = both("delete from plugin_ingress where position in (select position from plugin_ingress \
         where state = 'done' and ended_at < $1 order by ended_at limit $2)");
    FORGET_DEAD = both("delete from plugin_ingress where position in (select position from plugin_ingress \
         where state = 'dead' and ended_at < $1 order by ended_at limit $2)");
}

/// What of a call is encrypted.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct SealedCall {
    delivery_id: String,
    order_key: String,
    request: IngressRequest,
}

fn place(id: &str) -> [&str; 3] {
    ["plugin_ingress", id, "request"]
}

/// Of any length: an index holds the hash.
fn key(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}

const fn word(state: IngressState) -> &'static str {
    match state {
        IngressState::Waiting => "waiting",
        IngressState::Done => "done",
        IngressState::Dead => "dead",
    }
}

/// A call that waits, from its row.
pub(super) fn read(row: &Row, cipher: &Cipher) -> StoreResult<IngressCall> {
    const DOING: &str = "reading a call of a provider";
    let bad = || corrupt(DOING);
    let text = |name: &str| row.try_get::<String, _>(name).doing(DOING);
    let time = |name: &str| row.try_get::<i64, _>(name).doing(DOING).map(Timestamp::from_millis);
    let id = text("id")?;
    let stored: Vec<u8> = row.try_get("request").doing(DOING)?;
    let sealed: SealedCall =
        serde_json::from_str(&cipher.open_text(&place(&id), &stored)?).map_err(|_| bad())?;
    let state = [IngressState::Waiting, IngressState::Dead];
    let named = text("state")?;
    Ok(IngressCall {
        id: id.parse().map_err(|_| bad())?,
        plugin: text("plugin")?.parse().map_err(|_| bad())?,
        instance: text("instance")?,
        route: text("route")?,
        delivery_id: sealed.delivery_id,
        digest: text("digest")?,
        order_key: sealed.order_key,
        request: sealed.request,
        state: state.into_iter().find(|state| word(*state) == named).ok_or_else(bad)?,
        attempts: row.try_get("attempts").doing(DOING)?,
        due_at: time("due_at")?,
        error: row.try_get("error").doing(DOING)?,
        received_at: time("received_at")?,
    })
}

async fn insert(unit: &mut Unit, call: &IngressCall) -> StoreResult<()> {
    let id = call.id.to_string();
    let sealed = SealedCall {
        delivery_id: call.delivery_id.clone(),
        order_key: call.order_key.clone(),
        request: call.request.clone(),
    };
    let request = unit.cipher.seal_text(&place(&id), &json(&sealed));
    let ended = (call.state != IngressState::Waiting).then_some(call.received_at.millis());
    let done = db::query(&INSERT)
        .bind(id)
        .bind(call.plugin.as_str())
        .bind(&call.instance)
        .bind(&call.route)
        .bind(key(&call.delivery_id))
        .bind(&call.digest)
        .bind(key(&call.order_key))
        .bind(word(call.state))
        .bind(call.attempts)
        .bind(call.due_at.millis())
        .bind(call.error.as_deref().map(plain))
        .bind(call.received_at.millis())
        .bind(ended)
        .bind(Some(request).filter(|_| call.state != IngressState::Done))
        .execute(&mut unit.conn)
        .await;
    done.doing("storing a call of a provider").map(|_| ())
}

async fn store(
    unit: &mut Unit,
    call: &IngressCall,
    by_digest: bool,
    waiting_max: u32,
) -> StoreResult<IngressStored> {
    const DOING: &str = "storing a call of a provider";
    let (plugin, instance) = (call.plugin.as_str(), call.instance.as_str());
    // Calls of an instance are stored one after another: their positions are in the order of their commits.
    instance::lock(unit, plugin, instance, DOING).await?.ok_or_else(|| gone(DOING))?;
    let known: Vec<String> = db::query_scalar(&KNOWN)
        .bind(plugin)
        .bind(instance)
        .bind(&call.route)
        .bind(key(&call.delivery_id))
        .fetch_all(&mut unit.conn)
        .await
        .doing(DOING)?;
    if known.contains(&call.digest) {
        return Ok(IngressStored::Again);
    }
    if !known.is_empty() && !by_digest {
        return Ok(IngressStored::OtherBody);
    }
    let waiting = db::query_scalar(&WAITING).bind(plugin).bind(instance);
    let waiting: i64 = waiting.fetch_one(&mut unit.conn).await.doing(DOING)?;
    if waiting >= i64::from(waiting_max) {
        return Ok(IngressStored::Full);
    }
    insert(unit, call).await?;
    Ok(IngressStored::New)
}

async fn redrive(
    unit: &mut Unit,
    (plugin, instance): (&str, &str),
    now: Timestamp,
    limit: u32,
) -> StoreResult<(u32, u32)> {
    const DOING: &str = "redriving calls of a provider";
    // Claims of the instance wait: a call that waits again may be in front of one that is about to be claimed.
    if instance::lock(unit, plugin, instance, DOING).await?.is_none() {
        return Ok((0, 0));
    }
    let redrive = db::query(&REDRIVE).bind(plugin).bind(instance).bind(now.millis()).bind(limit);
    let done = redrive.execute(&mut unit.conn).await.doing(DOING)?;
    let dead = db::query_scalar(&DEAD).bind(plugin).bind(instance);
    let dead: u32 = dead.fetch_one(&mut unit.conn).await.doing(DOING)?;
    Ok((u32::try_from(done.rows_affected()).unwrap_or(u32::MAX), dead))
}

async fn forget(
    unit: &mut Unit,
    (done, dead): (Timestamp, Timestamp),
    limit: u32,
) -> StoreResult<u32> {
    let mut gone = 0;
    for (sql, before) in [(&FORGET_DONE, done), (&FORGET_DEAD, dead)] {
        let query = db::query(sql).bind(before.millis()).bind(limit.saturating_sub(gone));
        let some = query.execute(&mut unit.conn).await.doing("forgetting calls of providers")?;
        gone += u32::try_from(some.rows_affected()).unwrap_or(u32::MAX);
    }
    Ok(gone)
}

impl LedgerStore {
    pub(super) async fn store_call(
        &self,
        call: &IngressCall,
        by_digest: bool,
        waiting_max: u32,
    ) -> StoreResult<IngressStored> {
        let call = call.clone();
        let work = self.writer.run("storing a call of a provider", move |unit| {
            Box::pin(async move { store(unit, &call, by_digest, waiting_max).await })
        });
        work.await
    }

    pub(super) async fn redrive_calls(
        &self,
        plugin: &PluginId,
        instance: &str,
        now: Timestamp,
        limit: u32,
    ) -> StoreResult<(u32, u32)> {
        let (plugin, instance) = (plugin.clone(), instance.to_owned());
        let work = self.writer.run("redriving calls of a provider", move |unit| {
            Box::pin(async move { redrive(unit, (plugin.as_str(), &instance), now, limit).await })
        });
        work.await
    }

    pub(super) async fn forget_calls(
        &self,
        done_before: Timestamp,
        dead_before: Timestamp,
        limit: u32,
    ) -> StoreResult<u32> {
        let work = self.writer.run("forgetting calls of providers", move |unit| {
            Box::pin(async move { forget(unit, (done_before, dead_before), limit).await })
        });
        work.await
    }
}
