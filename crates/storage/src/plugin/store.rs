//! Plugins with their packages and configurations.

use async_trait::async_trait;
use domain::{
    plugin::{Plugin, PluginId},
    port::{EnabledPlugin, PluginStore, StoreResult},
};

use super::{
    next_revision,
    record::{self, StoredPlugin, stored_revision},
};
use crate::{
    db::{self, Row},
    error::{Doing as _, corrupt},
    open::LedgerStore,
    removal,
    writer::Unit,
};

db::statements! {
    // With the configurations of single sessions in one statement: both are of one moment.
    LIST = both("select plugin.*, own.session_id as config_session, own.config as session_config from plugin \
         left join plugin_session_config own on own.plugin = plugin.id order by plugin.id, own.session_id");
    GET = both("select plugin.*, own.session_id as config_session, own.config as session_config from plugin \
         left join plugin_session_config own on own.plugin = plugin.id where plugin.id = $1 order by own.session_id");
    ENABLED = both("select id, hooks from plugin where enabled = 1 order by id");
    REVISION = both("select value from plugin_revision");
    /// The row of a plugin, ours until the commit.
    pub(super) LOCK = DialectPair {
        sqlite: "select revision from plugin where id = $1",
        postgres: "select revision from plugin where id = $1 for no key update",
    };
    INSERT = both("insert into plugin (id, manifest, enabled, config, sessions, hooks, error, installed_at, updated_at, \
         enabled_at, revision) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) on conflict (id) do nothing");
    UPDATE = both("update plugin set manifest = $2, enabled = $3, config = $4, sessions = $5, hooks = $6, error = $7, \
         installed_at = $8, updated_at = $9, enabled_at = $10, revision = $11 where id = $1");
    SET_REVISION = both("update plugin set revision = $2 where id = $1");
    PUT_PACKAGE = both("insert into plugin_package (plugin, bytes) values ($1, $2) \
         on conflict (plugin) do update set bytes = excluded.bytes");
    PACKAGE = both("select bytes from plugin_package where plugin = $1");
    CLEAR_CONFIGS = both("delete from plugin_session_config where plugin = $1");
    PUT_CONFIG = both("insert into plugin_session_config (plugin, session_id, config) values ($1, $2, $3)");
    DISABLE = both("update plugin set enabled = 0 where id = $1");
    DELETE = both("delete from plugin where id = $1");
    SOME_VALUES = both("delete from plugin_value where (session_id, plugin, key) in (select one.session_id, one.plugin, \
         one.key from plugin_usage used join plugin_value one on one.session_id = used.session_id \
         and one.plugin = used.plugin where used.plugin = $1 limit $2)");
    SOME_CALLS = both("delete from plugin_ingress where position in (select position from plugin_ingress \
         where plugin = $1 limit $2)");
    SOME_MAPPINGS = both("delete from plugin_mapping where (session_id, plugin, instance, chat) in \
         (select session_id, plugin, instance, chat from plugin_mapping where plugin = $1 limit $2)");
}

/// What a row of it is called where it cannot be read.
const PLUGIN: &str = "plugin";

/// Locks a plugin; its revision, if it is there.
pub(super) async fn lock(
    unit: &mut Unit,
    id: &str,
    doing: &'static str,
) -> StoreResult<Option<u64>> {
    let found: Option<i64> =
        db::query_scalar(&LOCK).bind(id).fetch_optional(&mut unit.conn).await.doing(doing)?;
    found.map(|revision| u64::try_from(revision).map_err(|_| corrupt(doing))).transpose()
}

async fn put_package(unit: &mut Unit, id: &str, package: Vec<u8>) -> StoreResult<()> {
    let done = db::query(&PUT_PACKAGE).bind(id).bind(package).execute(&mut unit.conn).await;
    done.doing("storing the package of a plugin").map(|_| ())
}

async fn put_configs(unit: &mut Unit, plugin: &Plugin) -> StoreResult<()> {
    for (session, config) in record::session_configs(plugin, &unit.cipher) {
        let query = db::query(&PUT_CONFIG).bind(plugin.id.as_str()).bind(session).bind(config);
        query.execute(&mut unit.conn).await.doing("configuring a plugin for a session")?;
    }
    Ok(())
}

async fn insert(unit: &mut Unit, plugin: &Plugin, package: Vec<u8>) -> StoreResult<Option<u64>> {
    const DOING: &str = "storing a plugin";
    // Two at once: the second waits here, and then finds it.
    let stored = StoredPlugin::of(plugin, &unit.cipher);
    let done = stored.bind(db::query(&INSERT), plugin, 0).execute(&mut unit.conn).await;
    if done.doing(DOING)?.rows_affected() == 0 {
        return Ok(None);
    }
    let id = plugin.id.as_str();
    put_package(unit, id, package).await?;
    put_configs(unit, plugin).await?;
    let revision = next_revision(unit).await?;
    let done = db::query(&SET_REVISION).bind(id).bind(stored_revision(revision));
    done.execute(&mut unit.conn).await.doing(DOING)?;
    Ok(Some(revision))
}

async fn update(
    unit: &mut Unit,
    plugin: &Plugin,
    package: Option<Vec<u8>>,
) -> StoreResult<Option<u64>> {
    const DOING: &str = "changing a plugin";
    let id = plugin.id.as_str();
    if lock(unit, id, DOING).await? != Some(plugin.revision) {
        return Ok(None);
    }
    if let Some(package) = package {
        put_package(unit, id, package).await?;
    }
    db::query(&CLEAR_CONFIGS).bind(id).execute(&mut unit.conn).await.doing(DOING)?;
    put_configs(unit, plugin).await?;
    let revision = next_revision(unit).await?;
    let stored = StoredPlugin::of(plugin, &unit.cipher);
    let done = stored.bind(db::query(&UPDATE), plugin, revision).execute(&mut unit.conn).await;
    done.doing(DOING)?;
    Ok(Some(revision))
}

/// What became of a portion of a plugin that goes.
enum Portion {
    /// There is no such plugin.
    Unknown,
    /// More is left.
    More,
    /// It is gone.
    Gone,
}

async fn delete_portion(unit: &mut Unit, id: &str) -> StoreResult<Portion> {
    const DOING: &str = "deleting a plugin";
    if lock(unit, id, DOING).await?.is_none() {
        return Ok(Portion::Unknown);
    }
    let most = u64::from(removal::PORTION);
    let mut gone = 0;
    for sql in [&SOME_VALUES, &SOME_CALLS, &SOME_MAPPINGS] {
        let left = i64::try_from(most - gone).unwrap_or(i64::MAX);
        let done = db::query(sql).bind(id).bind(left).execute(&mut unit.conn).await;
        gone += done.doing(DOING)?.rows_affected();
        if gone >= most {
            db::query(&DISABLE).bind(id).execute(&mut unit.conn).await.doing(DOING)?;
            return Ok(Portion::More);
        }
    }
    db::query(&DELETE).bind(id).execute(&mut unit.conn).await.doing(DOING)?;
    next_revision(unit).await?;
    Ok(Portion::Gone)
}

impl LedgerStore {
    /// Those that can be read, of rows that are in the order of their plugins.
    fn readable_plugins(&self, rows: &[Row]) -> Vec<Plugin> {
        let id = |row: &Row| row.try_get::<String, _>("id").unwrap_or_default();
        let of_one = rows.chunk_by(|one, next| id(one) == id(next));
        of_one
            .filter_map(|rows| {
                let read = record::read(rows, &self.cipher);
                self.unreadable.row(PLUGIN, &["id"], rows.first()?, read)
            })
            .collect()
    }
}

#[async_trait]
impl PluginStore for LedgerStore {
    async fn enabled_plugins(&self) -> StoreResult<Vec<EnabledPlugin>> {
        const DOING: &str = "reading what plugins registered";
        let rows = db::query(&ENABLED).fetch_all(&self.readers).await.doing(DOING)?;
        let read = |row: &Row| {
            let text = |name: &str| row.try_get::<String, _>(name).doing(DOING);
            Ok(EnabledPlugin {
                id: text("id")?.parse().map_err(|_| corrupt(DOING))?,
                hooks: text("hooks").and_then(|text| record::read_hooks(&text)).ok(),
            })
        };
        rows.iter().map(read).collect()
    }

    async fn plugins(&self) -> StoreResult<Vec<Plugin>> {
        let rows = db::query(&LIST).fetch_all(&self.readers).await.doing("listing plugins")?;
        Ok(self.readable_plugins(&rows))
    }

    async fn plugin(&self, id: &PluginId) -> StoreResult<Option<Plugin>> {
        let rows = db::query(&GET).bind(id.as_str()).fetch_all(&self.readers).await;
        let rows = rows.doing("reading a plugin")?;
        if rows.is_empty() { Ok(None) } else { record::read(&rows, &self.cipher).map(Some) }
    }

    async fn plugin_revision(&self) -> StoreResult<u64> {
        const DOING: &str = "reading the revision of plugins";
        let value: i64 = db::query_scalar(&REVISION).fetch_one(&self.readers).await.doing(DOING)?;
        u64::try_from(value).map_err(|_| corrupt(DOING))
    }

    async fn insert_plugin(&self, plugin: &Plugin, package: &[u8]) -> StoreResult<Option<u64>> {
        let (plugin, package) = (plugin.clone(), package.to_vec());
        self.writer
            .run("storing a plugin", move |unit| {
                Box::pin(async move { insert(unit, &plugin, package).await })
            })
            .await
    }

    async fn update_plugin(
        &self,
        plugin: &Plugin,
        package: Option<&[u8]>,
    ) -> StoreResult<Option<u64>> {
        let (plugin, package) = (plugin.clone(), package.map(<[u8]>::to_vec));
        self.writer
            .run("changing a plugin", move |unit| {
                Box::pin(async move { update(unit, &plugin, package).await })
            })
            .await
    }

    async fn plugin_package(&self, id: &PluginId) -> StoreResult<Option<Vec<u8>>> {
        let bytes = db::query_scalar(&PACKAGE).bind(id.as_str()).fetch_optional(&self.readers);
        bytes.await.doing("reading the package of a plugin")
    }

    async fn delete_plugin(&self, id: &PluginId) -> StoreResult<bool> {
        let mut begun = false;
        loop {
            let id = id.clone();
            let portion = self.writer.run("deleting a plugin", move |unit| {
                Box::pin(async move { delete_portion(unit, id.as_str()).await })
            });
            match portion.await? {
                Portion::Gone => return Ok(true),
                Portion::Unknown => return Ok(begun),
                Portion::More => begun = true,
            }
        }
    }
}
