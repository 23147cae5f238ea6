//! Plugins: which are installed and wanted, and the processes that run them.
//!
//! # The cast
//! - [`Plugins`] installs, configures, enables and removes; every change is a row first, and the processes follow the
//!   rows.
//! - A `Runner` has the process of one enabled plugin: starts it, starts it again when it ended, asks it at hook
//!   points.
//! - A `Backstage` answers what a plugin asks for, within its permissions.
//! - `ingress` takes the signed calls of providers, and hands them to the plugins in order.
//!
//! # Guarantees
//! What a plugin registered last is kept with it: from the start of the process on, before anything is sent or
//! delivered, its handlers are asked. While its process is not up, a handler that fails closed blocks, one that fails
//! open is left out. Other processes on the same ledger follow a change within [`SWEEP`].

mod backstage;
mod capabilities;
mod error;
mod ingress;
mod install;
mod lives;
mod lost;
mod manage;
mod runner;
mod scopes;
mod sends;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64},
    time::Duration,
};

use domain::{
    SessionId, Timer,
    event::EventDraft,
    log::Severity,
    plugin::{Plugin, PluginId},
    port::{SessionPatch, StoreResult},
};

use crate::{
    Audit, Media, Messages, People, Policy, Ports, Sessions, Supervisor,
    egress::Egress,
    hooks::{HandlerId, Hooks},
    ledger::LedgerWriter,
};

pub use error::{InstanceError, PluginError};
pub use ingress::{IngressAnswer, IngressRefusal, InstancePatch, NewInstance, ReceivedCall};
pub use manage::PluginState;
use runner::Runner;

/// Between two looks whether another process changed a plugin.
const SWEEP: Duration = Duration::from_secs(2);

/// How plugins are run. `Default` is for production.
#[derive(Debug, Clone)]
pub struct PluginOptions {
    /// The memory that the objects of one plugin may take, in bytes.
    pub memory_bytes: u64,
    /// The longest that a hook may last, with all that the plugin waits for.
    pub hook_limit: Duration,
    /// The longest that one step of a plugin's life may last.
    pub lifecycle_limit: Duration,
    /// Routes that anybody may call are taken.
    pub unsigned_ingress: bool,
    /// Where the outside reaches this gateway, without a slash at the end; for the URLs of ingress.
    pub base_url: String,
}

impl Default for PluginOptions {
    fn default() -> Self {
        Self {
            memory_bytes: 64 << 20,
            hook_limit: Duration::from_secs(5),
            lifecycle_limit: Duration::from_secs(30),
            unsigned_ingress: false,
            base_url: String::new(),
        }
    }
}

/// A handle to the plugins. Cheap to clone.
#[derive(Clone)]
pub struct Plugins {
    shared: Arc<SharedPlugins>,
}

struct SharedPlugins {
    options: PluginOptions,
    ports: Ports,
    hooks: Hooks,
    sessions: Sessions,
    messages: Messages,
    people: People,
    media: Media,
    audit: Audit,
    ledger: LedgerWriter,
    egress: Egress,
    supervisor: Supervisor,
    runners: Mutex<BTreeMap<PluginId, Arc<Runner>>>,
    /// Handlers that stand in for plugins whose rows cannot be read.
    lost: Mutex<BTreeMap<PluginId, Vec<HandlerId>>>,
    /// One change at a time, so that processes follow rows in their order.
    following: tokio::sync::Mutex<()>,
    /// The revision that the processes follow.
    revision: AtomicU64,
    /// Told when a call of a provider was stored.
    ingress: tokio::sync::Notify,
}

/// What the plugins are built of.
pub(crate) struct Parts<'a> {
    pub(crate) options: &'a PluginOptions,
    pub(crate) ports: &'a Ports,
    pub(crate) hooks: &'a Hooks,
    pub(crate) sessions: &'a Sessions,
    pub(crate) messages: &'a Messages,
    pub(crate) people: &'a People,
    pub(crate) media: &'a Media,
    pub(crate) audit: &'a Audit,
    pub(crate) ledger: &'a LedgerWriter,
    pub(crate) egress: Egress,
    pub(crate) supervisor: &'a Supervisor,
}

impl Plugins {
    pub(crate) fn build(parts: Parts<'_>) -> Self {
        lives::follow(parts.ledger, parts.hooks);
        Self {
            shared: Arc::new(SharedPlugins {
                options: parts.options.clone(),
                ports: parts.ports.clone(),
                hooks: parts.hooks.clone(),
                sessions: parts.sessions.clone(),
                messages: parts.messages.clone(),
                people: parts.people.clone(),
                media: parts.media.clone(),
                audit: parts.audit.clone(),
                ledger: parts.ledger.clone(),
                egress: parts.egress,
                supervisor: parts.supervisor.clone(),
                runners: Mutex::default(),
                lost: Mutex::default(),
                following: tokio::sync::Mutex::default(),
                revision: AtomicU64::default(),
                ingress: tokio::sync::Notify::default(),
            }),
        }
    }

    /// Registers the handlers of every enabled plugin, then lets sends and deliveries begin, and starts the processes.
    pub(crate) async fn start(&self, with_ingress: bool) -> StoreResult<()> {
        self.follow().await?;
        self.shared.hooks.open();
        let (this, supervisor) = (self.clone(), &self.shared.supervisor);
        supervisor.spawn("plugins/sweep", Policy::Essential, async move { this.sweep().await });
        if with_ingress {
            ingress::spawn(&self.shared);
        }
        Ok(())
    }

    async fn sweep(&self) {
        let (clock, stopping) = (&self.shared.ports.clock, self.shared.supervisor.stopping());
        loop {
            tokio::select! {
                () = clock.sleep_until(Timer::PluginSweep, clock.now().plus(SWEEP)) => {}
                () = stopping.cancelled() => return,
            }
            let known = self.shared.revision.load(std::sync::atomic::Ordering::Acquire);
            let followed = match self.shared.ports.store.plugin_revision().await {
                Ok(revision) if revision == known => Ok(()),
                Ok(_) => self.follow().await,
                Err(error) => Err(error),
            };
            if let Err(error) = followed {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "plugins could not be looked up"
                );
            }
        }
    }

    /// Starts, changes and stops runners, so that they are what the ledger says.
    pub(super) async fn follow(&self) -> StoreResult<()> {
        let _one_at_a_time = self.shared.following.lock().await;
        let store = &self.shared.ports.store;
        let revision = store.plugin_revision().await?;
        let wanted: BTreeMap<PluginId, Plugin> = store
            .plugins()
            .await?
            .into_iter()
            .filter(|plugin| plugin.enabled)
            .map(|plugin| (plugin.id.clone(), plugin))
            .collect();
        self.stand_in(store.enabled_plugins().await?, &wanted);
        let gone: Vec<PluginId> =
            self.runners().keys().filter(|id| !wanted.contains_key(id)).cloned().collect();
        for id in gone {
            // A row that cannot be read says nothing of what is wanted: a redaction is not taken away because of it.
            if store.plugin(&id).await.is_err() {
                tracing::error!(plugin = %id, "a plugin's row cannot be read: it goes on as it was");
                continue;
            }
            let runner = self.runners().remove(&id);
            if let Some(runner) = runner {
                runner.stop();
            }
        }
        for plugin in wanted.into_values() {
            let known = self.runners().get(&plugin.id).cloned();
            match known {
                Some(runner) if runner.is_same_code(&plugin) => runner.configure(plugin),
                known => {
                    let id = plugin.id.clone();
                    // Its handlers are registered before those of the old one go: nothing is to pass between.
                    let runner = Runner::start(&self.shared, plugin);
                    self.runners().insert(id, runner);
                    if let Some(old) = known {
                        old.stop();
                    }
                }
            }
        }
        self.shared.revision.store(revision, std::sync::atomic::Ordering::Release);
        Ok(())
    }

    fn runners(&self) -> std::sync::MutexGuard<'_, BTreeMap<PluginId, Arc<Runner>>> {
        self.shared.runners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn runner(&self, id: &PluginId) -> Option<Arc<Runner>> {
        self.runners().get(id).cloned()
    }
}

impl SharedPlugins {
    fn runner(&self, id: &PluginId) -> Option<Arc<Runner>> {
        self.runners.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// Notes what happened to a plugin by itself.
    fn note(&self, action: &str, plugin: &PluginId, why: &str) {
        let mut entry = self.audit.entry(action, Severity::Warn);
        entry.error_message = Some(format!("{plugin}: {why}"));
        self.audit.note(entry);
    }
    /// Emits an event of a session, in a task of its own: nobody waits for it.
    fn tell(&self, session: SessionId, event: EventDraft) {
        let ledger = self.ledger.clone();
        self.supervisor.spawn("plugins/event", Policy::Once, async move {
            let told = ledger.patch(None, session, SessionPatch::default(), vec![event]).await;
            if let Err(error) = told {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "an event of a plugin could not be stored"
                );
            }
        });
    }
}
