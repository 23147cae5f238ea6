//! What one process of a plugin is answered.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use async_trait::async_trait;
use domain::{
    plugin::HookRegistration,
    port::{NewHandler, PluginBackstage, PluginLogLine},
};
use serde_json::Value;

use super::{SharedPlugins, capabilities, runner::Runner};

pub(super) struct Backstage {
    shared: Weak<SharedPlugins>,
    runner: Weak<Runner>,
    registered: Mutex<Vec<HookRegistration>>,
}

impl Backstage {
    pub(super) fn new(shared: &Arc<SharedPlugins>, runner: &Arc<Runner>) -> Self {
        Self {
            shared: Arc::downgrade(shared),
            runner: Arc::downgrade(runner),
            registered: Mutex::default(),
        }
    }

    /// The handlers so far, each at the place of its number.
    pub(super) fn registered(&self) -> Vec<HookRegistration> {
        self.registered.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl PluginBackstage for Backstage {
    async fn ask(
        &self,
        call: u32,
        capability: String,
        arguments: Vec<Value>,
    ) -> Result<Value, String> {
        match (self.shared.upgrade(), self.runner.upgrade()) {
            (Some(shared), Some(runner)) => {
                capabilities::answer(&shared, &runner, call, (&capability, &arguments)).await
            }
            _ => Err("the gateway is stopping".into()),
        }
    }

    fn register(&self, handler: NewHandler) -> Result<(), String> {
        let runner = self.runner.upgrade().ok_or("the gateway is stopping")?;
        let mut registered = self.registered.lock().unwrap_or_else(PoisonError::into_inner);
        if usize::try_from(handler.handler) != Ok(registered.len()) {
            return Err("it registered handlers out of their order".into());
        }
        registered.push(runner.registration(&handler));
        Ok(())
    }

    fn register_route(&self, route: String) -> Result<(), String> {
        let runner = self.runner.upgrade().ok_or("the gateway is stopping")?;
        let known = runner.plugin().manifest.ingress.iter().any(|known| known.route == route);
        if !known {
            return Err(format!("registerWebhook: the manifest has no ingress route {route}"));
        }
        runner.routes.lock().unwrap_or_else(PoisonError::into_inner).push(route);
        Ok(())
    }

    fn log(&self, line: PluginLogLine) {
        let Some(runner) = self.runner.upgrade() else { return };
        let plugin = runner.plugin();
        let (plugin, about) = (plugin.id.as_str(), line.about.as_deref().unwrap_or_default());
        match line.level.as_str() {
            "error" => tracing::error!(plugin, about, "{}", line.message),
            "warn" => tracing::warn!(plugin, about, "{}", line.message),
            "debug" => tracing::debug!(plugin, about, "{}", line.message),
            _ => tracing::info!(plugin, about, "{}", line.message),
        }
    }
}
