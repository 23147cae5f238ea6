//! Enabled plugins whose rows cannot be read: nothing passes those that fail closed.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError},
};

use domain::{
    hook::{HookPoint, OnFailure},
    plugin::{HookRegistration, Plugin, PluginId},
    port::EnabledPlugin,
};

use super::Plugins;
use crate::hooks::{Handler, HookResult, LIMIT_DEFAULT};

/// Of a plugin whose handlers cannot be read either: it may have been there to take secrets away.
const WORST: [HookPoint; 2] = [HookPoint::MessageSending, HookPoint::WebhookBefore];

/// What it registered that fails closed; of what cannot be read, the worst.
fn closed(hooks: Option<Vec<HookRegistration>>) -> Vec<HookRegistration> {
    match hooks {
        Some(hooks) => {
            hooks.into_iter().filter(|hook| hook.on_failure == OnFailure::Closed).collect()
        }
        None => WORST
            .map(|point| HookRegistration { point, priority: 0, on_failure: OnFailure::Closed })
            .into(),
    }
}

fn handler(plugin: &PluginId, hook: &HookRegistration) -> Handler {
    Handler {
        name: format!("plugin {plugin}"),
        point: hook.point,
        priority: hook.priority,
        limit: LIMIT_DEFAULT,
        on_failure: hook.on_failure,
        run: Arc::new(|_| {
            Box::pin(async { HookResult::Unavailable("its row cannot be read".into()) })
        }),
    }
}

impl Plugins {
    /// Registers handlers in the place of enabled plugins that could not be read, and takes away those of plugins that
    /// can be read again, or are gone. A plugin that runs already goes on as it was.
    pub(super) fn stand_in(
        &self,
        enabled: Vec<EnabledPlugin>,
        readable: &BTreeMap<PluginId, Plugin>,
    ) {
        let mut lost = self.shared.lost.lock().unwrap_or_else(PoisonError::into_inner);
        let is_lost =
            |id: &PluginId| !readable.contains_key(id) && !self.runners().contains_key(id);
        let enabled: BTreeMap<PluginId, _> =
            enabled.into_iter().map(|plugin| (plugin.id, plugin.hooks)).collect();
        lost.retain(|id, handlers| {
            let stays = enabled.contains_key(id) && is_lost(id);
            if !stays {
                handlers.drain(..).for_each(|id| self.shared.hooks.unregister(id));
            }
            stays
        });
        for (id, hooks) in enabled {
            if !is_lost(&id) || lost.contains_key(&id) {
                continue;
            }
            tracing::error!(plugin = %id, "an enabled plugin cannot be read: nothing passes its handlers that fail \
                closed; install it again, or delete it");
            let register = |hook: &HookRegistration| self.shared.hooks.register(handler(&id, hook));
            let handlers = closed(hooks).iter().map(register).collect();
            lost.insert(id, handlers);
        }
    }
}
