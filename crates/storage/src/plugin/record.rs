//! A plugin's row, read and written.

use domain::{
    SessionId, Timestamp,
    hook::{HookPoint, OnFailure},
    plugin::{HookRegistration, Manifest, Plugin},
    port::StoreResult,
};
use serde_json::{Map, Value};

use super::{json, open_config, plain, sealed_config};
use crate::{
    crypt::Cipher,
    db::{Query, Row},
    error::{Doing as _, corrupt},
};

const DOING: &str = "reading a plugin";

/// A handler as it is stored.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredHook {
    point: String,
    priority: i32,
    on_failure: String,
}

/// Where the configuration of a plugin belongs.
fn config_place(plugin: &str) -> [&str; 3] {
    ["plugin", plugin, "config"]
}

/// Where the configuration of a plugin for one session belongs.
fn session_config_place<'a>(plugin: &'a str, session: &'a str) -> [&'a str; 4] {
    ["plugin_session_config", plugin, session, "config"]
}

/// A revision as its column has it.
pub(super) fn stored_revision(revision: u64) -> i64 {
    i64::try_from(revision).unwrap_or(i64::MAX)
}

/// The columns that hold more than one value, as stored.
pub(super) struct StoredPlugin {
    manifest: String,
    config: Vec<u8>,
    sessions: Option<String>,
    hooks: String,
}

impl StoredPlugin {
    pub(super) fn of(plugin: &Plugin, cipher: &Cipher) -> Self {
        let hooks = plugin.hooks.iter().map(|hook| StoredHook {
            point: hook.point.as_str().into(),
            priority: hook.priority,
            on_failure: hook.on_failure.as_str().into(),
        });
        let ids = |sessions: &Vec<SessionId>| {
            json(&sessions.iter().map(SessionId::to_string).collect::<Vec<_>>())
        };
        Self {
            manifest: plugin.manifest.raw.to_string(),
            config: sealed_config(cipher, &config_place(plugin.id.as_str()), &plugin.config),
            sessions: plugin.sessions.as_ref().map(ids),
            hooks: json(&hooks.collect::<Vec<_>>()),
        }
    }

    /// The values of a row, in the order of its columns.
    pub(super) fn bind<'q>(
        self,
        query: Query<'q, Row>,
        plugin: &'q Plugin,
        revision: u64,
    ) -> Query<'q, Row> {
        query
            .bind(plugin.id.as_str())
            .bind(self.manifest)
            .bind(i64::from(plugin.enabled))
            .bind(self.config)
            .bind(self.sessions)
            .bind(self.hooks)
            .bind(plugin.error.as_deref().map(plain))
            .bind(plugin.installed_at.millis())
            .bind(plugin.updated_at.millis())
            .bind(plugin.enabled_at.map(Timestamp::millis))
            .bind(stored_revision(revision))
    }
}

/// The configurations for single sessions, as stored.
pub(super) fn session_configs(plugin: &Plugin, cipher: &Cipher) -> Vec<(String, Vec<u8>)> {
    let id = plugin.id.as_str();
    let sealed = |(session, config): (&SessionId, &Map<String, Value>)| {
        let session = session.to_string();
        let config = sealed_config(cipher, &session_config_place(id, &session), config);
        (session, config)
    };
    plugin.session_configs.iter().map(sealed).collect()
}

/// A plugin from its rows: it comes once for each of the sessions that have a configuration of their own.
pub(super) fn read(rows: &[Row], cipher: &Cipher) -> StoreResult<Plugin> {
    let bad = || corrupt(DOING);
    let row = rows.first().ok_or_else(bad)?;
    let mut plugin = read_row(row, cipher)?;
    for row in rows {
        let session: Option<String> = row.try_get("config_session").doing(DOING)?;
        let Some(session) = session else { continue };
        let stored: Vec<u8> = row.try_get("session_config").doing(DOING)?;
        let place = session_config_place(plugin.id.as_str(), &session);
        let config = open_config(cipher, &place, &stored)?;
        plugin.session_configs.insert(session.parse().map_err(|_| bad())?, config);
    }
    Ok(plugin)
}

fn read_row(row: &Row, cipher: &Cipher) -> StoreResult<Plugin> {
    let bad = || corrupt(DOING);
    let text = |name: &str| row.try_get::<String, _>(name).doing(DOING);
    let time = |name: &str| row.try_get::<i64, _>(name).doing(DOING).map(Timestamp::from_millis);
    let enabled_at: Option<i64> = row.try_get("enabled_at").doing(DOING)?;
    let sessions: Option<String> = row.try_get("sessions").doing(DOING)?;
    let stored: Vec<u8> = row.try_get("config").doing(DOING)?;
    let id = text("id")?;
    let raw: Value = serde_json::from_str(&text("manifest")?).map_err(|_| bad())?;
    Ok(Plugin {
        config: open_config(cipher, &config_place(&id), &stored)?,
        id: id.parse().map_err(|_| bad())?,
        manifest: Manifest::read(&raw).map_err(|_| bad())?,
        enabled: row.try_get("enabled").doing(DOING)?,
        session_configs: std::collections::BTreeMap::new(),
        sessions: sessions.as_deref().map(read_sessions).transpose()?,
        hooks: read_hooks(&text("hooks")?)?,
        error: row.try_get("error").doing(DOING)?,
        installed_at: time("installed_at")?,
        updated_at: time("updated_at")?,
        enabled_at: enabled_at.map(Timestamp::from_millis),
        revision: row.try_get::<i64, _>("revision").doing(DOING)?.try_into().map_err(|_| bad())?,
    })
}

fn read_sessions(text: &str) -> StoreResult<Vec<SessionId>> {
    let bad = || corrupt(DOING);
    let ids: Vec<String> = serde_json::from_str(text).map_err(|_| bad())?;
    ids.iter().map(|id| id.parse().map_err(|_| bad())).collect()
}

/// Handlers as they are stored.
pub(super) fn read_hooks(text: &str) -> StoreResult<Vec<HookRegistration>> {
    let bad = || corrupt(DOING);
    let hooks: Vec<StoredHook> = serde_json::from_str(text).map_err(|_| bad())?;
    let read = |hook: StoredHook| {
        Ok(HookRegistration {
            point: HookPoint::parse(&hook.point).ok_or_else(bad)?,
            priority: hook.priority,
            on_failure: OnFailure::parse(&hook.on_failure).ok_or_else(bad)?,
        })
    };
    hooks.into_iter().map(read).collect()
}
