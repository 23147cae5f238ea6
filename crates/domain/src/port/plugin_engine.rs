//! What runs plugins: an engine starts a process per plugin, and asks the gateway for what the plugin asks for.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use serde_json::{Map, Value};

use crate::{
    SessionId,
    hook::{HookPoint, OnFailure},
    plugin::{Manifest, PluginId},
    time::BoxFuture,
};

/// A package, unpacked and checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Package {
    /// Its `manifest.json`, not judged yet.
    pub manifest: Value,
    /// Its files by path, scripts as text that can be run: types are stripped.
    pub files: BTreeMap<String, String>,
}

impl Package {
    /// The manifest, judged; the files that it names are there.
    ///
    /// # Errors
    /// [`PackageError`]: what its author has to change.
    pub fn judged(&self) -> Result<Manifest, PackageError> {
        let manifest =
            Manifest::read(&self.manifest).map_err(|error| PackageError(error.to_string()))?;
        let has = |path: &str| self.files.contains_key(path.trim_start_matches("./"));
        let missing = |path: &str, field: &str| {
            PackageError(format!(
                "the package has no file {path}: manifest.json names it as {field}"
            ))
        };
        if !has(&manifest.main) {
            return Err(missing(&manifest.main, "main"));
        }
        match manifest.config_ui.as_deref().filter(|entry| !has(entry)) {
            Some(entry) => Err(missing(entry, "configUi.entry")),
            None => Ok(manifest),
        }
    }
}

/// Why a package cannot be used, in a sentence for its author.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PackageError(pub String);

/// What a process runs.
#[derive(Debug, Clone)]
pub struct PluginProgram {
    /// The plugin's name.
    pub id: PluginId,
    /// The file that is run first.
    pub main: String,
    /// All files of the package.
    pub files: Arc<BTreeMap<String, String>>,
    /// How long the plugin's own code may run in one call; a process past it is killed.
    pub budget: Duration,
    /// The memory that its objects may take, in bytes.
    pub memory_bytes: u64,
}

/// One call into a plugin.
#[derive(Debug, Clone, PartialEq)]
pub enum PluginCall {
    /// `onLoad`, once, with the configuration in force.
    Load(PluginConfigs),
    /// `onEnable`: it registers its handlers.
    Enable,
    /// `onDisable`: it lets go.
    Disable,
    /// `onUnload`, the last call of all.
    Unload,
    /// Another configuration, and `onConfigChange`.
    Configure(PluginConfigs),
    /// `healthCheck`: `{ healthy, message? }`.
    Health,
    /// A handler: `{ continue, data? }`.
    Hook {
        /// The handler's number, from its registration.
        handler: u32,
        /// The session that the call is about.
        session: Option<SessionId>,
        /// What the handler sees: `{ event, data, sessionId, timestamp (ms), source }`.
        context: Value,
    },
    /// A provider's call.
    Ingress {
        /// Which of the plugin's routes.
        route: String,
        /// The only session it is for, if there is one.
        session: Option<SessionId>,
        /// What the handler sees.
        request: Value,
    },
}

/// The configuration of all sessions, and the whole one of each session that has its own.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PluginConfigs {
    /// For all sessions.
    pub base: Map<String, Value>,
    /// For single ones, already laid over the base.
    pub sessions: BTreeMap<SessionId, Map<String, Value>>,
}

/// Why a call into a plugin did not end well.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The plugin threw, or what it answered cannot be used.
    #[error("{0}")]
    Threw(String),
    /// Its code ran longer than its budget; its process was killed.
    #[error("it ran longer than its {} ms and was stopped", .0.as_millis())]
    OverBudget(Duration),
    /// It waited longer than a call may last.
    #[error("it did not answer within {} ms", .0.as_millis())]
    TooLong(Duration),
    /// Its process ended while it worked on the call.
    #[error("its process ended: {0}")]
    Crashed(String),
    /// No process of it is up.
    #[error("its process is not up: {0}")]
    NotUp(String),
    /// Its process had ended before the call began: it can be asked again elsewhere.
    #[error("its process has ended")]
    NotBegun,
    /// So many calls wait that no more are taken.
    #[error("too many calls wait for it")]
    Busy,
}

/// A handler that a plugin registers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewHandler {
    /// The number by which it is called.
    pub handler: u32,
    /// Where it is asked.
    pub point: HookPoint,
    /// Lower ones are asked first.
    pub priority: i32,
    /// What its failure means, if the handler itself says so.
    pub on_failure: Option<OnFailure>,
}

/// A line of a plugin's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginLogLine {
    /// `debug`, `log`, `warn` or `error`.
    pub level: String,
    /// What it says.
    pub message: String,
    /// What it says about, as JSON text.
    pub about: Option<String>,
}

/// The gateway, as one plugin's process sees it. What the process says is a stranger's word: everything is checked
/// here.
#[async_trait]
pub trait PluginBackstage: Send + Sync {
    /// A capability: `messages.sendText` and the like, with its arguments. `call` is the number of the call in which
    /// the plugin asked, 0 outside of any.
    ///
    /// # Errors
    /// A sentence, thrown at the plugin.
    async fn ask(
        &self,
        call: u32,
        capability: String,
        arguments: Vec<Value>,
    ) -> Result<Value, String>;

    /// It registers a handler. An error ends its process.
    fn register(&self, handler: NewHandler) -> Result<(), String>;

    /// It registers a route for providers.
    fn register_route(&self, route: String) -> Result<(), String>;

    /// It logs a line.
    fn log(&self, line: PluginLogLine);
}

/// A plugin's process.
pub trait PluginProcess: Send + Sync {
    /// Calls into it; `limit` is the longest that the call may last, with all that it waits for. `number` names the
    /// call in what the plugin asks for, and is not 0.
    fn call(
        &self,
        number: u32,
        call: PluginCall,
        limit: Duration,
    ) -> BoxFuture<Result<Value, CallError>>;

    /// Its id, as the operating system has it; `None`: it has ended.
    fn pid(&self) -> Option<u32>;

    /// Kills it, whatever it does.
    fn kill(&self);
}

/// A process that was started, and the work that has to run for it.
pub struct StartedPlugin {
    /// The way in.
    pub process: Arc<dyn PluginProcess>,
    /// Moves calls and answers; ends with the process, and says why.
    pub driver: BoxFuture<String>,
}

/// What runs plugins.
pub trait PluginEngine: Send + Sync {
    /// Unpacks a package: a zip, or the files it is made of.
    ///
    /// # Errors
    /// [`PackageError`]: what its author has to change.
    fn unpack(&self, bytes: &[u8]) -> Result<Package, PackageError>;

    /// Starts a process, which has run nothing of the plugin yet.
    ///
    /// # Errors
    /// What the operating system said.
    fn start(
        &self,
        program: PluginProgram,
        backstage: Arc<dyn PluginBackstage>,
    ) -> std::io::Result<StartedPlugin>;
}
