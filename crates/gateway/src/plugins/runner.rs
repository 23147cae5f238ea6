//! The process of one enabled plugin.

mod handlers;

use std::{
    sync::{
        Arc, Mutex, PoisonError, RwLock, Weak,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use domain::{
    SessionId, Timer,
    hook::HookPoint,
    plugin::{
        HookRegistration, Plugin,
        breaker::{Breaker, State},
    },
    port::{
        CallError, NewHandler, Package, PluginCall, PluginConfigs, PluginProcess, PluginProgram,
    },
    time::BoxFuture,
};
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{SharedPlugins, backstage::Backstage, scopes::CallScopes};
use crate::{
    Policy,
    hooks::{HandlerId, HookScope},
};

/// The wait before a process that ended again is started again; doubles up to the longest. After its first end, and
/// after a steady life, it is started at once, and who asks waits for it.
const RESTART_FIRST: Duration = Duration::from_millis(100);
const RESTART_LONGEST: Duration = Duration::from_secs(60);
/// A process that ran so long has not failed at its start.
const STEADY: Duration = Duration::from_secs(60);
/// How long a plugin may take to let go when it is stopped.
const DISABLE_LIMIT: Duration = Duration::from_secs(5);

/// Whether the process can be asked.
#[derive(Clone)]
pub(super) enum ProcessState {
    /// It is on its way.
    Starting,
    /// It is there.
    Up(Arc<dyn PluginProcess>),
    /// It could not be started, or has ended; it is tried again later.
    Down(String),
    /// It is not wanted any more.
    Stopped,
}

/// A process, who answers it, and the work that runs for it.
type Launched = (Arc<dyn PluginProcess>, Arc<Backstage>, BoxFuture<String>);

pub(super) struct Runner {
    shared: Weak<SharedPlugins>,
    plugin: RwLock<Arc<Plugin>>,
    state: watch::Sender<ProcessState>,
    breaker: Mutex<Breaker>,
    /// The plugin's handlers with the hooks: by the number of the registration.
    handlers: Mutex<Vec<(HookRegistration, HandlerId)>>,
    pub(super) routes: Mutex<Vec<String>>,
    scopes: Mutex<CallScopes>,
    numbers: AtomicU32,
    stop: CancellationToken,
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Runner {
    /// With the handlers that the plugin registered last; its process comes up behind.
    pub(super) fn start(shared: &Arc<SharedPlugins>, plugin: Plugin) -> Arc<Self> {
        let this = Self::build(shared, plugin);
        this.take_handlers(this.plugin().hooks.clone());
        let runner = this.clone();
        let name = format!("plugins/{}", this.plugin().id);
        shared.supervisor.spawn(name, Policy::Once, async move { runner.run().await });
        this
    }

    fn build(shared: &Arc<SharedPlugins>, plugin: Plugin) -> Arc<Self> {
        Arc::new(Self {
            shared: Arc::downgrade(shared),
            plugin: RwLock::new(Arc::new(plugin)),
            state: watch::Sender::new(ProcessState::Starting),
            breaker: Mutex::default(),
            handlers: Mutex::default(),
            routes: Mutex::default(),
            scopes: Mutex::default(),
            numbers: AtomicU32::new(1),
            stop: CancellationToken::new(),
        })
    }

    /// Runs a plugin once, to see whether it can be enabled: its handlers, or why not. Nothing of it is asked at a
    /// hook.
    pub(super) async fn probe(
        shared: &Arc<SharedPlugins>,
        plugin: Plugin,
        package: Package,
    ) -> Result<Vec<HookRegistration>, String> {
        let this = Self::build(shared, plugin);
        let (process, backstage, driver) = this.launch_package(shared, package)?;
        let stop = this.stop.clone();
        shared.supervisor.spawn("plugins/probe", Policy::Once, async move {
            tokio::select! {
                _ = driver => {}
                () = stop.cancelled() => {}
            }
        });
        let begun = this.begin(shared, &process, &this.plugin()).await;
        let registered = backstage.registered();
        let _ = this.call(&*process, PluginCall::Disable, DISABLE_LIMIT).await;
        process.kill();
        this.stop.cancel();
        begun.map(|()| registered)
    }

    pub(super) fn plugin(&self) -> Arc<Plugin> {
        self.plugin.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the plugin can stay as it runs: only its configuration is another.
    pub(super) fn is_same_code(&self, plugin: &Plugin) -> bool {
        let mine = self.plugin();
        mine.manifest == plugin.manifest
            && mine.installed_at == plugin.installed_at
            && mine.enabled_at == plugin.enabled_at
    }

    /// Another configuration, or other sessions.
    pub(super) fn configure(&self, plugin: Plugin) {
        let before = self.plugin();
        if before.revision == plugin.revision {
            return;
        }
        *self.plugin.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(plugin);
        let state = self.state.borrow().clone();
        if let ProcessState::Up(process) = state {
            self.tell_configs(&process, &before, &self.plugin());
        }
    }

    /// Hands a process another configuration than the one of `before`, which it has. It stands in the process's line
    /// before whatever is asked from now on.
    fn tell_configs(&self, process: &Arc<dyn PluginProcess>, before: &Plugin, now: &Plugin) {
        let Some(shared) = self.shared.upgrade() else { return };
        if before.config == now.config && before.session_configs == now.session_configs {
            return;
        }
        let call = PluginCall::Configure(configs(now));
        let answer = process.call(self.number(), call, shared.options.lifecycle_limit);
        let id = now.id.clone();
        shared.supervisor.spawn("plugins/configure", Policy::Once, async move {
            if let Err(error) = answer.await {
                tracing::warn!(plugin = %id, %error, "onConfigChange failed");
            }
        });
    }

    /// The process can be asked from now on, with the configuration that is in force by now.
    fn publish(&self, process: &Arc<dyn PluginProcess>, loaded: &Plugin) {
        // Whoever changes the plugin after this finds the process there.
        let plugin = self.plugin.write().unwrap_or_else(PoisonError::into_inner);
        self.tell_configs(process, loaded, &plugin);
        self.state.send_replace(ProcessState::Up(process.clone()));
        drop(plugin);
    }

    /// No more of it: its handlers are not asked any more, its process ends.
    pub(super) fn stop(&self) {
        self.stop.cancel();
        self.state.send_replace(ProcessState::Stopped);
        self.take_handlers_away();
    }

    fn take_handlers_away(&self) {
        let Some(shared) = self.shared.upgrade() else { return };
        for (_, id) in locked(&self.handlers).drain(..) {
            shared.hooks.unregister(id);
        }
    }

    /// What the process is, and whether the plugin is left alone for a while.
    pub(super) fn condition(&self) -> (ProcessState, State, Option<String>) {
        let now = self.shared.upgrade().map(|shared| shared.ports.clock.now());
        let breaker = locked(&self.breaker);
        let state = now.map_or_else(State::default, |now| breaker.state(now));
        (self.state.borrow().clone(), state, breaker.reason().map(str::to_owned))
    }

    /// Until it is not wanted any more.
    async fn run(self: Arc<Self>) {
        let mut wait = Duration::ZERO;
        while let Some(shared) = self.shared.upgrade() {
            let stopping = shared.supervisor.stopping();
            let began = shared.ports.clock.now();
            self.state.send_replace(ProcessState::Starting);
            let why = match self.launch(&shared).await {
                Ok((process, backstage, mut driver)) => {
                    let running = async {
                        let loaded = self.plugin();
                        if let Err(why) = self.begin(&shared, &process, &loaded).await {
                            process.kill();
                            return why;
                        }
                        self.take_handlers(backstage.registered());
                        self.publish(&process, &loaded);
                        std::future::pending::<String>().await
                    };
                    let ended = tokio::select! {
                        why = &mut driver => why,
                        why = running => why,
                        () = self.stop.cancelled() => return self.let_go(process, driver).await,
                        () = stopping.cancelled() => return self.let_go(process, driver).await,
                    };
                    if ended.is_empty() { "its process ended".to_owned() } else { ended }
                }
                Err(why) => why,
            };
            if self.stop.is_cancelled() || stopping.is_cancelled() {
                return;
            }
            let id = self.plugin().id.clone();
            tracing::warn!(plugin = %id, %why, "a plugin's process has ended; it is started again");
            let now = shared.ports.clock.now();
            if now.since(began) > STEADY {
                wait = Duration::ZERO;
            }
            let rest = wait;
            wait = (wait * 2).clamp(RESTART_FIRST, RESTART_LONGEST);
            if rest.is_zero() {
                continue;
            }
            self.state.send_replace(ProcessState::Down(why));
            tokio::select! {
                () = shared.ports.clock.sleep_until(Timer::PluginRestart, now.plus(rest)) => {}
                () = self.stop.cancelled() => return,
                () = stopping.cancelled() => return,
            }
        }
    }

    /// What waits is worked off, then the plugin may let go of what it holds, for a moment; then its process ends.
    async fn let_go(&self, process: Arc<dyn PluginProcess>, driver: BoxFuture<String>) {
        let disabled = self.call(&*process, PluginCall::Disable, DISABLE_LIMIT);
        tokio::select! {
            _ = driver => {}
            _ = disabled => {}
        }
        process.kill();
    }

    /// A process that has run nothing yet.
    async fn launch(self: &Arc<Self>, shared: &Arc<SharedPlugins>) -> Result<Launched, String> {
        let plugin = self.plugin();
        let package = shared.ports.store.plugin_package(&plugin.id).await;
        let package = package.map_err(|error| error.to_string())?.ok_or("its package is gone")?;
        let package = shared.ports.plugins.unpack(&package).map_err(|error| error.to_string())?;
        self.launch_package(shared, package)
    }

    fn launch_package(
        self: &Arc<Self>,
        shared: &Arc<SharedPlugins>,
        package: Package,
    ) -> Result<Launched, String> {
        let plugin = self.plugin();
        let program = PluginProgram {
            id: plugin.id.clone(),
            main: plugin.manifest.main.clone(),
            files: Arc::new(package.files),
            budget: plugin.manifest.budget,
            memory_bytes: shared.options.memory_bytes,
        };
        let backstage = Arc::new(Backstage::new(shared, self));
        let started = shared.ports.plugins.start(program, backstage.clone());
        let started =
            started.map_err(|error| format!("its process could not be started: {error}"))?;
        Ok((started.process, backstage, started.driver))
    }

    async fn begin(
        &self,
        shared: &SharedPlugins,
        process: &Arc<dyn PluginProcess>,
        plugin: &Plugin,
    ) -> Result<(), String> {
        let limit = shared.options.lifecycle_limit;
        for call in [PluginCall::Load(configs(plugin)), PluginCall::Enable] {
            self.call(&**process, call, limit).await.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// A fresh number of a call; 0 is none.
    fn number(&self) -> u32 {
        loop {
            match self.numbers.fetch_add(1, Ordering::Relaxed) {
                0 => {}
                number => return number,
            }
        }
    }

    async fn call(
        &self,
        process: &dyn PluginProcess,
        call: PluginCall,
        limit: Duration,
    ) -> Result<Value, CallError> {
        let number = self.number();
        locked(&self.scopes).begin(number, HookScope::here());
        let answer = process.call(number, call, limit).await;
        locked(&self.scopes).end(number);
        answer
    }

    pub(super) fn scope_of(&self, call: u32) -> HookScope {
        locked(&self.scopes).of(call)
    }

    /// The handlers of `message:sending`, which are not asked about the plugin's own sends.
    pub(super) fn sending_handlers(&self) -> Vec<HandlerId> {
        let handlers = locked(&self.handlers);
        let sending = handlers.iter().filter(|(known, _)| known.point == HookPoint::MessageSending);
        sending.map(|(_, id)| *id).collect()
    }

    /// Calls into the plugin, on whatever process is up by then.
    pub(super) async fn ask(&self, call: PluginCall, limit: Duration) -> Result<Value, CallError> {
        let shared = self.shared.upgrade().ok_or(CallError::NotBegun)?;
        let clock = &shared.ports.clock;
        let over = clock.sleep_until(Timer::PluginAnswer, clock.now().plus(limit));
        let asked = async {
            loop {
                let process = self.up().await?;
                match self.call(&*process, call.clone(), limit).await {
                    // Its successor is asked.
                    Err(CallError::NotBegun) => self.gone(&process).await,
                    done => return done,
                }
            }
        };
        tokio::select! {
            done = asked => done,
            () = over => Err(CallError::TooLong(limit)),
        }
    }

    /// Waits while it starts.
    async fn up(&self) -> Result<Arc<dyn PluginProcess>, CallError> {
        let mut state = self.state.subscribe();
        let settled = state.wait_for(|state| !matches!(state, ProcessState::Starting)).await;
        match settled.as_deref() {
            Ok(ProcessState::Up(process)) => Ok(process.clone()),
            Ok(ProcessState::Down(why)) => Err(CallError::NotUp(why.clone())),
            _ => Err(CallError::NotUp("it is not enabled any more".into())),
        }
    }

    /// Waits until a process that has ended is not the one to ask any more.
    async fn gone(&self, process: &Arc<dyn PluginProcess>) {
        let mut state = self.state.subscribe();
        let is_other = |state: &ProcessState| match state {
            ProcessState::Up(other) => !Arc::ptr_eq(other, process),
            ProcessState::Starting | ProcessState::Down(_) | ProcessState::Stopped => true,
        };
        let _ = state.wait_for(is_other).await;
    }

    /// What a handler's registration comes to, with what the manifest says of failures.
    pub(super) fn registration(&self, new: &NewHandler) -> HookRegistration {
        let on_failure =
            new.on_failure.unwrap_or_else(|| self.plugin().manifest.on_failure(new.point));
        HookRegistration { point: new.point, priority: new.priority, on_failure }
    }

    /// Whether the plugin may act for a session.
    pub(super) fn may_see(&self, session: SessionId) -> bool {
        self.plugin().runs_for(session)
    }
}

fn configs(plugin: &Plugin) -> PluginConfigs {
    let own = plugin.session_configs.keys();
    PluginConfigs {
        base: plugin.config.clone(),
        sessions: own.map(|session| (*session, plugin.config_for(Some(*session)))).collect(),
    }
}
