//! Providers: the instances of plugins.

use domain::{
    Timestamp,
    plugin::{Instance, PluginId},
    port::StoreResult,
    webhook::Secret,
};

use super::{next_revision, open_config, sealed_config};
use crate::{
    crypt::Cipher,
    db::{self, Query, Row},
    error::Doing as _,
    error::corrupt,
    open::LedgerStore,
    removal,
    writer::Unit,
};

db::statements! {
    LIST = both("select * from plugin_instance where plugin = $1 order by created_at, id");
    GET = both("select * from plugin_instance where plugin = $1 and id = $2");
    /// The row of an instance, ours until the commit.
    pub(super) LOCK = DialectPair {
        sqlite: "select enabled from plugin_instance where plugin = $1 and id = $2",
        postgres: "select enabled from plugin_instance where plugin = $1 and id = $2 for no key update",
    };
    INSERT = both("insert into plugin_instance (plugin, id, session_id, secret, verify_token, config, enabled, \
         created_at, updated_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict (plugin, id) do nothing");
    UPDATE = both("update plugin_instance set session_id = $3, secret = $4, verify_token = $5, config = $6, \
         enabled = $7, created_at = $8, updated_at = $9 where plugin = $1 and id = $2");
    DISABLE = both("update plugin_instance set enabled = 0 where plugin = $1 and id = $2");
    DELETE = both("delete from plugin_instance where plugin = $1 and id = $2");
    SOME_CALLS = both("delete from plugin_ingress where position in (select position from plugin_ingress \
         where plugin = $1 and instance = $2 limit $3)");
    SOME_MAPPINGS = both("delete from plugin_mapping where (session_id, plugin, instance, chat) in \
         (select session_id, plugin, instance, chat from plugin_mapping where plugin = $1 and instance = $2 limit $3)");
}

/// What a row of it is called where it cannot be read.
const INSTANCE: &str = "plugin instance";

/// Where the value of a column belongs.
fn place<'a>(plugin: &'a str, id: &'a str, column: &'a str) -> [&'a str; 4] {
    ["plugin_instance", plugin, id, column]
}

fn read(row: &Row, cipher: &Cipher) -> StoreResult<Instance> {
    const DOING: &str = "reading an instance of a plugin";
    let bad = || corrupt(DOING);
    let text = |name: &str| row.try_get::<String, _>(name).doing(DOING);
    let time = |name: &str| row.try_get::<i64, _>(name).doing(DOING).map(Timestamp::from_millis);
    let (plugin, id) = (text("plugin")?, text("id")?);
    let secret: Vec<u8> = row.try_get("secret").doing(DOING)?;
    let secret = cipher.open_text(&place(&plugin, &id, "secret"), &secret)?;
    let token: Option<Vec<u8>> = row.try_get("verify_token").doing(DOING)?;
    let open = |stored: Vec<u8>| cipher.open_text(&place(&plugin, &id, "verify_token"), &stored);
    let token = token.map(open).transpose()?;
    let config: Option<Vec<u8>> = row.try_get("config").doing(DOING)?;
    let open = |stored: Vec<u8>| open_config(cipher, &place(&plugin, &id, "config"), &stored);
    let config = config.map(open).transpose()?;
    let session: Option<String> = row.try_get("session_id").doing(DOING)?;
    Ok(Instance {
        plugin: plugin.parse().map_err(|_| bad())?,
        session: session.map(|session| session.parse().map_err(|_| bad())).transpose()?,
        secret: Secret::new(secret),
        verify_token: token.map(Secret::new),
        config,
        enabled: row.try_get("enabled").doing(DOING)?,
        created_at: time("created_at")?,
        updated_at: time("updated_at")?,
        id,
    })
}

/// The values of a row, in the order of its columns.
fn bind<'q>(query: Query<'q, Row>, one: &'q Instance, cipher: &Cipher) -> Query<'q, Row> {
    let (plugin, id) = (one.plugin.as_str(), one.id.as_str());
    let seal = |column: &str, secret: &Secret| {
        cipher.seal_text(&place(plugin, id, column), secret.expose())
    };
    let config = one.config.as_ref();
    query
        .bind(plugin)
        .bind(id)
        .bind(one.session.map(|session| session.to_string()))
        .bind(seal("secret", &one.secret))
        .bind(one.verify_token.as_ref().map(|token| seal("verify_token", token)))
        .bind(config.map(|config| sealed_config(cipher, &place(plugin, id, "config"), config)))
        .bind(i64::from(one.enabled))
        .bind(one.created_at.millis())
        .bind(one.updated_at.millis())
}

/// Locks an instance; whether it is enabled, if it is there.
pub(super) async fn lock(
    unit: &mut Unit,
    plugin: &str,
    id: &str,
    doing: &'static str,
) -> StoreResult<Option<bool>> {
    let found = db::query_scalar(&LOCK).bind(plugin).bind(id);
    found.fetch_optional(&mut unit.conn).await.doing(doing)
}

/// Writes a row, and counts the change if there was one.
async fn write(unit: &mut Unit, sql: &'static db::Statement, one: &Instance) -> StoreResult<bool> {
    const DOING: &str = "storing an instance of a plugin";
    let query = bind(db::query(sql), one, &unit.cipher);
    let written = query.execute(&mut unit.conn).await.doing(DOING)?.rows_affected() == 1;
    if written {
        next_revision(unit).await?;
    }
    Ok(written)
}

/// A portion of an instance that goes. `None`: more is left; otherwise whether it was there.
async fn delete_portion(unit: &mut Unit, plugin: &str, id: &str) -> StoreResult<Option<bool>> {
    const DOING: &str = "deleting an instance of a plugin";
    if lock(unit, plugin, id, DOING).await?.is_none() {
        return Ok(Some(false));
    }
    let most = u64::from(removal::PORTION);
    let mut gone = 0;
    for sql in [&SOME_CALLS, &SOME_MAPPINGS] {
        let left = i64::try_from(most - gone).unwrap_or(i64::MAX);
        let done = db::query(sql).bind(plugin).bind(id).bind(left).execute(&mut unit.conn).await;
        gone += done.doing(DOING)?.rows_affected();
        if gone >= most {
            let disable = db::query(&DISABLE).bind(plugin).bind(id);
            disable.execute(&mut unit.conn).await.doing(DOING)?;
            return Ok(None);
        }
    }
    db::query(&DELETE).bind(plugin).bind(id).execute(&mut unit.conn).await.doing(DOING)?;
    next_revision(unit).await?;
    Ok(Some(true))
}

impl LedgerStore {
    pub(super) async fn instances_of(&self, plugin: &PluginId) -> StoreResult<Vec<Instance>> {
        let rows = db::query(&LIST).bind(plugin.as_str()).fetch_all(&self.readers).await;
        let rows = rows.doing("listing the instances of a plugin")?;
        let columns = ["plugin", "id"];
        Ok(self.unreadable.rows(INSTANCE, &columns, &rows, |row| read(row, &self.cipher)))
    }

    pub(super) async fn one_instance(
        &self,
        plugin: &PluginId,
        id: &str,
    ) -> StoreResult<Option<Instance>> {
        // A call that comes in needs it.
        let row = db::query(&GET).bind(plugin.as_str()).bind(id).fetch_optional(&self.couriers);
        let row = row.await.doing("reading an instance of a plugin")?;
        row.map(|row| read(&row, &self.cipher)).transpose()
    }

    pub(super) async fn add_instance(&self, one: &Instance) -> StoreResult<bool> {
        let one = one.clone();
        let work = self.writer.run("storing an instance of a plugin", move |unit| {
            Box::pin(async move { write(unit, &INSERT, &one).await })
        });
        work.await
    }

    pub(super) async fn replace_instance(&self, one: &Instance) -> StoreResult<bool> {
        let one = one.clone();
        let work = self.writer.run("changing an instance of a plugin", move |unit| {
            Box::pin(async move { write(unit, &UPDATE, &one).await })
        });
        work.await
    }

    pub(super) async fn remove_instance(&self, plugin: &PluginId, id: &str) -> StoreResult<bool> {
        let mut begun = false;
        loop {
            let (plugin, id) = (plugin.clone(), id.to_owned());
            let portion = self.writer.run("deleting an instance of a plugin", move |unit| {
                Box::pin(async move { delete_portion(unit, plugin.as_str(), &id).await })
            });
            match portion.await? {
                Some(there) => return Ok(there || begun),
                None => begun = true,
            }
        }
    }
}
