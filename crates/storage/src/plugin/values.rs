//! What plugins remember, and how much of it there may be.
//!
//! What the values and keys of a plugin take is counted as they change, for each session: nothing adds up all values.

use async_trait::async_trait;
use domain::{
    SessionId,
    plugin::{PluginId, SESSION_STORAGE_BYTES_MAX, STORAGE_BYTES_MAX},
    port::{PluginValues, StoreResult, ValueStored},
};

use super::store::lock;
use crate::{
    db,
    device_key::behind,
    error::{Doing as _, gone},
    open::LedgerStore,
    writer::Unit,
};

db::statements! {
    GET = both("select value from plugin_value where session_id = $1 and plugin = $2 and key = $3");
    BYTES = both("select bytes from plugin_value where session_id = $1 and plugin = $2 and key = $3");
    // A range instead of `like`: keys may hold any character, and the primary key serves it.
    LIST = both("select key from plugin_value where session_id = $1 and plugin = $2 and key >= $3 and key < $4 \
         order by key limit $5");
    LIST_ALL = both("select key from plugin_value where session_id = $1 and plugin = $2 and key >= $3 \
         order by key limit $4");
    USED_BY_SESSION = both("select bytes from plugin_usage where session_id = $1 and plugin = $2");
    USED_BY_PLUGIN = both("select cast(coalesce(sum(bytes), 0) as bigint) from plugin_usage where plugin = $1");
    COUNT = both("insert into plugin_usage (session_id, plugin, owner, bytes) values ($1, $2, $3, $4) \
         on conflict (session_id, plugin) do update set bytes = excluded.bytes");
    PUT = both("insert into plugin_value (session_id, plugin, key, bytes, value) values ($1, $2, $3, $4, $5) \
         on conflict (session_id, plugin, key) do update set bytes = excluded.bytes, value = excluded.value");
    DELETE = both("delete from plugin_value where session_id = $1 and plugin = $2 and key = $3 returning bytes");
    GIVE_BACK = both("update plugin_usage set bytes = bytes - $3 where session_id = $1 and plugin = $2");
}

/// Whose a key is: of one session, or of the plugin, which is the empty session.
fn owner(session: Option<SessionId>) -> String {
    session.map(|session| session.to_string()).unwrap_or_default()
}

/// Where a value belongs.
struct ValuePlace {
    plugin: String,
    session: String,
    key: String,
}

impl ValuePlace {
    fn new(plugin: &PluginId, session: Option<SessionId>, key: &str) -> Self {
        Self { plugin: plugin.to_string(), session: owner(session), key: key.to_owned() }
    }
}

/// The bytes of a text, as the database counts.
fn length(text: &str) -> i64 {
    i64::try_from(text.len()).unwrap_or(i64::MAX)
}

fn exceeds(bytes: i64, most: u64) -> bool {
    u64::try_from(bytes).is_ok_and(|bytes| bytes > most)
}

async fn set(unit: &mut Unit, place: &ValuePlace, value: &str) -> StoreResult<ValueStored> {
    const DOING: &str = "storing a value of a plugin";
    let ValuePlace { plugin, session, key } = place;
    // Nobody else counts meanwhile.
    lock(unit, plugin, DOING).await?.ok_or_else(|| gone(DOING))?;
    let conn = &mut unit.conn;
    let before: Option<i64> = db::query_scalar(&BYTES)
        .bind(session)
        .bind(plugin)
        .bind(key)
        .fetch_optional(&mut *conn)
        .await
        .doing(DOING)?;
    let used = db::query_scalar(&USED_BY_SESSION).bind(session).bind(plugin);
    let used: i64 = used.fetch_optional(&mut *conn).await.doing(DOING)?.unwrap_or(0);
    let all = db::query_scalar(&USED_BY_PLUGIN).bind(plugin);
    let all: i64 = all.fetch_one(&mut *conn).await.doing(DOING)?;
    let bytes = length(key).saturating_add(length(value));
    let more = bytes.saturating_sub(before.unwrap_or(0));
    let full = exceeds(all.saturating_add(more), STORAGE_BYTES_MAX);
    let session_full =
        !session.is_empty() && exceeds(used.saturating_add(more), SESSION_STORAGE_BYTES_MAX);
    // What takes no more room than before always fits.
    if more > 0 && (full || session_full) {
        return Ok(ValueStored::OverQuota);
    }
    let count = db::query(&COUNT)
        .bind(session)
        .bind(plugin)
        .bind(Some(session).filter(|session| !session.is_empty()))
        .bind(used.saturating_add(more));
    count.execute(&mut *conn).await.doing(DOING)?;
    let put = db::query(&PUT).bind(session).bind(plugin).bind(key).bind(bytes).bind(value);
    put.execute(conn).await.doing(DOING)?;
    Ok(ValueStored::Stored)
}

async fn delete(unit: &mut Unit, place: &ValuePlace) -> StoreResult<()> {
    const DOING: &str = "deleting a value of a plugin";
    let ValuePlace { plugin, session, key } = place;
    if lock(unit, plugin, DOING).await?.is_none() {
        return Ok(());
    }
    let delete = db::query_scalar(&DELETE).bind(session).bind(plugin).bind(key);
    let freed: Option<i64> = delete.fetch_optional(&mut unit.conn).await.doing(DOING)?;
    if let Some(freed) = freed {
        let back = db::query(&GIVE_BACK).bind(session).bind(plugin).bind(freed);
        back.execute(&mut unit.conn).await.doing(DOING)?;
    }
    Ok(())
}

#[async_trait]
impl PluginValues for LedgerStore {
    async fn plugin_value(
        &self,
        plugin: &PluginId,
        session: Option<SessionId>,
        key: &str,
    ) -> StoreResult<Option<String>> {
        let value = db::query_scalar(&GET).bind(owner(session)).bind(plugin.as_str()).bind(key);
        value.fetch_optional(&self.readers).await.doing("reading a value of a plugin")
    }

    async fn set_plugin_value(
        &self,
        plugin: &PluginId,
        session: Option<SessionId>,
        key: &str,
        value: &str,
    ) -> StoreResult<ValueStored> {
        let (place, value) = (ValuePlace::new(plugin, session, key), value.to_owned());
        self.writer
            .run("storing a value of a plugin", move |unit| {
                Box::pin(async move { set(unit, &place, &value).await })
            })
            .await
    }

    async fn delete_plugin_value(
        &self,
        plugin: &PluginId,
        session: Option<SessionId>,
        key: &str,
    ) -> StoreResult<()> {
        let place = ValuePlace::new(plugin, session, key);
        self.writer
            .run("deleting a value of a plugin", move |unit| {
                Box::pin(async move { delete(unit, &place).await })
            })
            .await
    }

    async fn plugin_keys(
        &self,
        plugin: &PluginId,
        session: Option<SessionId>,
        prefix: &str,
        limit: u32,
    ) -> StoreResult<Vec<String>> {
        let behind = behind(prefix);
        let list = if behind.is_some() { &LIST } else { &LIST_ALL };
        let mut query =
            db::query_scalar(list).bind(owner(session)).bind(plugin.as_str()).bind(prefix);
        if let Some(behind) = behind {
            query = query.bind(behind);
        }
        query.bind(limit).fetch_all(&self.readers).await.doing("listing the keys of a plugin")
    }
}
