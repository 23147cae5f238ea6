//! What a plugin registered with the hooks, and what its answers come to.

use std::{sync::Arc, time::Duration};

use domain::{
    SessionId, event,
    plugin::{HookRegistration, breaker::Ask},
    port::{CallError, PluginCall},
};
use serde_json::{Value, json};

use super::{Runner, locked};
use crate::{
    hooks::{Handler, HandlerId, HookContext, HookResult},
    plugins::SharedPlugins,
};

/// What the hooks allow beside the limit of the call itself.
const LIMIT_BESIDE: Duration = Duration::from_secs(1);

impl Runner {
    /// What a handler says about something.
    async fn hook(&self, handler: u32, context: HookContext) -> HookResult {
        if !self.plugin().runs_for(context.session) {
            return HookResult::Continue;
        }
        let Some(shared) = self.shared.upgrade() else { return HookResult::Continue };
        let now = shared.ports.clock.now();
        if let Ask::Suspended { reason, .. } = locked(&self.breaker).ask(now) {
            return HookResult::Unavailable(format!("it is suspended: {reason}"));
        }
        let session = context.session;
        let call = PluginCall::Hook {
            handler,
            session: Some(session),
            context: shared.shown(context).await,
        };
        let answer = self.ask(call, shared.options.hook_limit).await;
        let failed = match &answer {
            Err(error) => Some(error.to_string()),
            Ok(answer) => answer["error"].as_str().map(str::to_owned),
        };
        self.judge(&shared, session, failed.as_deref());
        match (answer, failed) {
            (Err(CallError::NotUp(_) | CallError::NotBegun | CallError::Busy), Some(why)) => {
                HookResult::Unavailable(why)
            }
            (_, Some(why)) => HookResult::Failed(why),
            (Ok(answer), None) if answer["continue"] == json!(false) => {
                HookResult::Block(self.plugin().id.to_string())
            }
            (Ok(mut answer), None) => match answer.get_mut("data").map(Value::take) {
                Some(data) => HookResult::Replace(data),
                None => HookResult::Continue,
            },
            (Err(_), None) => HookResult::Continue,
        }
    }

    /// Counts how a call ended, and tells when the plugin is suspended or works again.
    fn judge(&self, shared: &SharedPlugins, session: SessionId, failed: Option<&str>) {
        let now = shared.ports.clock.now();
        let plugin = self.plugin();
        let (about, id) = ((session, &plugin.id), shared.ledger.event_id());
        let Some(why) = failed else {
            if locked(&self.breaker).succeeded(now) {
                tracing::info!(plugin = %plugin.id, "a suspended plugin works again");
                shared.note("plugin_resumed", &plugin.id, "it works again");
                shared.tell(session, event::plugin_resumed(id, about, now));
            }
            return;
        };
        let suspension = locked(&self.breaker).failed(now, why);
        if let Some(suspension) = suspension {
            let until = suspension.until;
            tracing::error!(plugin = %plugin.id, %until, %why, "a plugin failed again and again: it is suspended");
            let note = format!("suspended until {until}: {why}");
            shared.note("plugin_suspended", &plugin.id, &note);
            shared.tell(session, event::plugin_suspended(id, about, (until, why), now));
        }
    }

    /// Registers what the process registered, in the place of what is known.
    pub(super) fn take_handlers(self: &Arc<Self>, registered: Vec<HookRegistration>) {
        let Some(shared) = self.shared.upgrade() else { return };
        let mut handlers = locked(&self.handlers);
        if self.stop.is_cancelled() || handlers.iter().map(|(known, _)| known).eq(&registered) {
            return;
        }
        let old: Vec<HandlerId> = handlers.drain(..).map(|(_, id)| id).collect();
        // The new ones first: nothing is to pass between.
        for (number, registration) in (0..).zip(registered) {
            let handler = self.handler(&shared, number, &registration);
            handlers.push((registration, shared.hooks.register(handler)));
        }
        for id in old {
            shared.hooks.unregister(id);
        }
    }

    fn handler(
        self: &Arc<Self>,
        shared: &SharedPlugins,
        number: u32,
        registration: &HookRegistration,
    ) -> Handler {
        let runner = Arc::downgrade(self);
        Handler {
            name: format!("plugin {}", self.plugin().id),
            point: registration.point,
            priority: registration.priority,
            limit: shared.options.hook_limit + LIMIT_BESIDE,
            on_failure: registration.on_failure,
            run: Arc::new(move |context| {
                let runner = runner.upgrade();
                Box::pin(async move {
                    match runner {
                        Some(runner) => runner.hook(number, context).await,
                        None => HookResult::Continue,
                    }
                })
            }),
        }
    }
}
