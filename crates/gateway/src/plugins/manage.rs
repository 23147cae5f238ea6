//! What is asked and changed of installed plugins.

use domain::{
    SessionId,
    plugin::{Manifest, Plugin, PluginId, breaker::State},
    port::{PluginCall, StoreErrorKind},
};
use serde_json::{Map, Value, json};

use super::{PluginError, Plugins, runner::ProcessState};

/// Tries of a change that somebody else's change got in the way of.
const TRIES: u32 = 5;

/// How an installed plugin is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PluginState {
    /// It was never enabled.
    Installed,
    /// Wanted, and its process is up or on its way.
    Enabled,
    /// Its operator does not want it to run.
    Disabled,
    /// Wanted, and does not run.
    Error,
}

impl PluginState {
    /// OpenWA's word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Installed => "installed",
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
            Self::Error => "error",
        }
    }
}

type Config = Map<String, Value>;

impl Plugins {
    /// All installed plugins, by id.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn list(&self) -> Result<Vec<Plugin>, PluginError> {
        Ok(self.shared.ports.store.plugins().await?)
    }

    /// One of them.
    ///
    /// # Errors
    /// [`PluginError::NotFound`]; the ledger failed.
    pub async fn found(&self, id: &PluginId) -> Result<Plugin, PluginError> {
        let found = self.shared.ports.store.plugin(id).await?;
        found.ok_or_else(|| PluginError::NotFound(id.to_string()))
    }

    /// How a plugin is, and what is wrong with it.
    pub fn state(&self, plugin: &Plugin) -> (PluginState, Option<String>) {
        if !plugin.enabled {
            let never = plugin.enabled_at.is_none();
            return (
                if never { PluginState::Installed } else { PluginState::Disabled },
                plugin.error.clone(),
            );
        }
        let Some(runner) = self.runner(&plugin.id) else { return (PluginState::Enabled, None) };
        match runner.condition() {
            (ProcessState::Down(why), ..) => (PluginState::Error, Some(why)),
            (_, State::Closed, _) => (PluginState::Enabled, None),
            (_, State::Suspended { until } | State::Probing { until }, reason) => {
                let why = reason.unwrap_or_default();
                (PluginState::Error, Some(format!("suspended until {until}: {why}")))
            }
        }
    }

    /// What `healthCheck` says: `{ healthy, message? }`.
    ///
    /// # Errors
    /// [`PluginError::NotFound`]; the ledger failed.
    pub async fn health(&self, id: &PluginId) -> Result<Value, PluginError> {
        let plugin = self.found(id).await?;
        let sick = |why: &str| Ok(json!({ "healthy": false, "message": why }));
        match self.state(&plugin) {
            (PluginState::Error, why) => return sick(&why.unwrap_or_default()),
            (PluginState::Enabled, _) => {}
            _ => return sick("the plugin is not enabled"),
        }
        let Some(runner) = self.runner(id) else { return sick("the plugin is starting") };
        let missing = plugin.manifest.schema().missing(&plugin.config);
        match runner.ask(PluginCall::Health, self.shared.options.hook_limit).await {
            Err(error) => sick(&error.to_string()),
            Ok(mut answer) => {
                if answer["message"].is_null() {
                    if let Some(answer) = answer.as_object_mut() {
                        answer.remove("message");
                    }
                    if !missing.is_empty() {
                        answer["message"] =
                            json!(format!("not configured yet: {}", missing.join(", ")));
                    }
                }
                Ok(answer)
            }
        }
    }

    /// The page on which a plugin is configured, if it brings one.
    ///
    /// # Errors
    /// [`PluginError::NotFound`]; the ledger failed.
    pub async fn config_page(&self, id: &PluginId) -> Result<Option<String>, PluginError> {
        let plugin = self.found(id).await?;
        let Some(entry) = &plugin.manifest.config_ui else { return Ok(None) };
        let bytes = self.package(id).await?;
        let package = self.shared.ports.plugins.unpack(&bytes).map_err(PluginError::refused)?;
        Ok(package.files.get(entry.trim_start_matches("./")).cloned())
    }

    /// Starts it once to see that it works, then it is wanted, also after a restart.
    ///
    /// # Errors
    /// [`PluginError`].
    pub async fn enable(&self, id: &PluginId) -> Result<(), PluginError> {
        let mut plugin = self.found(id).await?;
        if plugin.enabled {
            return Ok(());
        }
        let package = self.package(id).await?;
        match self.probe(&plugin, &package).await {
            Ok(hooks) => (plugin.hooks, plugin.error) = (hooks, None),
            Err(error) => {
                plugin.error = Some(error.to_string());
                let _ = self.store(plugin, None).await;
                return Err(error);
            }
        }
        (plugin.enabled, plugin.enabled_at) = (true, Some(self.shared.ports.clock.now()));
        self.store(plugin, None).await.map(drop)
    }

    /// It is not wanted any more.
    ///
    /// # Errors
    /// [`PluginError`].
    pub async fn disable(&self, id: &PluginId) -> Result<(), PluginError> {
        self.change(id, |plugin| {
            plugin.enabled = false;
            Ok(())
        })
        .await
        .map(drop)
    }

    /// Removes it with everything filed under it.
    ///
    /// # Errors
    /// [`PluginError::NotFound`]; the ledger failed.
    pub async fn delete(&self, id: &PluginId) -> Result<(), PluginError> {
        if !self.shared.ports.store.delete_plugin(id).await? {
            return Err(PluginError::NotFound(id.to_string()));
        }
        Ok(self.follow().await?)
    }

    /// Sets the configuration of all sessions; `***` keeps a secret, `null` removes a field.
    ///
    /// # Errors
    /// [`PluginError`].
    pub async fn configure(&self, id: &PluginId, config: &Config) -> Result<Plugin, PluginError> {
        self.change(id, |plugin| {
            plugin.config = checked(&plugin.manifest, config, &plugin.config)?;
            Ok(())
        })
        .await
    }

    /// Sets what one session has instead; an empty configuration removes it.
    ///
    /// # Errors
    /// [`PluginError`].
    pub async fn configure_session(
        &self,
        id: &PluginId,
        session: SessionId,
        config: &Config,
    ) -> Result<Plugin, PluginError> {
        if self.shared.sessions.get(session).await?.is_none() {
            return Err(PluginError::NotFound(session.to_string()));
        }
        self.change(id, |plugin| {
            if !plugin.manifest.session_scoped {
                return Err(PluginError::refused(
                    "the plugin has one configuration for all sessions",
                ));
            }
            let old = plugin.session_configs.get(&session).cloned().unwrap_or_default();
            let own = checked(&plugin.manifest, config, &old)?;
            match own.is_empty() {
                true => drop(plugin.session_configs.remove(&session)),
                false => drop(plugin.session_configs.insert(session, own)),
            }
            Ok(())
        })
        .await
    }

    /// Chooses the sessions it runs for; `None`: every one.
    ///
    /// # Errors
    /// [`PluginError`].
    pub async fn activate(
        &self,
        id: &PluginId,
        sessions: Option<Vec<SessionId>>,
    ) -> Result<Plugin, PluginError> {
        for session in sessions.iter().flatten() {
            if self.shared.sessions.get(*session).await?.is_none() {
                return Err(PluginError::refused(format!("there is no session {session}")));
            }
        }
        self.change(id, |plugin| {
            plugin.sessions = sessions.clone();
            Ok(())
        })
        .await
    }

    async fn package(&self, id: &PluginId) -> Result<Vec<u8>, PluginError> {
        let package = self.shared.ports.store.plugin_package(id).await?;
        package.ok_or_else(|| PluginError::NotFound(id.to_string()))
    }

    /// Changes a plugin, whatever others change at the same time.
    async fn change(
        &self,
        id: &PluginId,
        change: impl Fn(&mut Plugin) -> Result<(), PluginError>,
    ) -> Result<Plugin, PluginError> {
        for _ in 1..TRIES {
            let mut plugin = self.found(id).await?;
            change(&mut plugin)?;
            match self.store(plugin, None).await {
                Err(PluginError::Raced(_)) => {}
                done => return done,
            }
        }
        Err(PluginError::Raced(id.to_string()))
    }

    /// Stores a plugin that was read before, and lets the processes follow.
    pub(super) async fn store(
        &self,
        mut plugin: Plugin,
        package: Option<&[u8]>,
    ) -> Result<Plugin, PluginError> {
        plugin.updated_at = self.shared.ports.clock.now();
        let stored = match self.shared.ports.store.update_plugin(&plugin, package).await {
            Err(error) if error.kind == StoreErrorKind::Gone => {
                return Err(PluginError::refused(
                    "a session that has a configuration of its own is gone",
                ));
            }
            done => done?,
        };
        let revision = stored.ok_or_else(|| PluginError::Raced(plugin.id.to_string()))?;
        self.follow().await?;
        Ok(Plugin { revision, ..plugin })
    }
}

/// A configuration as it is stored.
fn checked(manifest: &Manifest, new: &Config, old: &Config) -> Result<Config, PluginError> {
    let schema = manifest.schema();
    let config = schema.unmask(new.clone(), old);
    schema.check(&config, old).map_err(PluginError::Refused)?;
    Ok(config)
}
