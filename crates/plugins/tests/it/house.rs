//! A plugin's process with a gateway that writes down what it is asked for.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use domain::port::{
    CallError, NewHandler, PluginBackstage, PluginCall, PluginConfigs, PluginEngine as _,
    PluginLogLine, PluginProcess, PluginProgram,
};
use plugins::Engine;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

pub const LIMIT: Duration = Duration::from_secs(5);

#[derive(Default)]
pub struct Backstage {
    pub asked: Mutex<Vec<(u32, String, Vec<Value>)>>,
    pub handlers: Mutex<Vec<NewHandler>>,
    pub routes: Mutex<Vec<String>>,
    pub lines: Mutex<Vec<PluginLogLine>>,
}

#[async_trait]
impl PluginBackstage for Backstage {
    /// Says what was asked; `storage.get` never answers for the key `never`, and refuses `no`.
    async fn ask(&self, call: u32, name: String, args: Vec<Value>) -> Result<Value, String> {
        self.asked.lock().unwrap().push((call, name.clone(), args.clone()));
        match args.get(1).and_then(Value::as_str) {
            Some("never") => std::future::pending().await,
            Some("no") => Err("no such thing".into()),
            _ => Ok(json!({ "asked": name, "with": args })),
        }
    }

    fn register(&self, handler: NewHandler) -> Result<(), String> {
        self.handlers.lock().unwrap().push(handler);
        Ok(())
    }

    fn register_route(&self, route: String) -> Result<(), String> {
        self.routes.lock().unwrap().push(route);
        Ok(())
    }

    fn log(&self, line: PluginLogLine) {
        self.lines.lock().unwrap().push(line);
    }
}

pub struct House {
    pub backstage: Arc<Backstage>,
    pub process: Arc<dyn PluginProcess>,
    pub driver: JoinHandle<String>,
    next: AtomicU32,
}

pub struct Setup {
    pub main: &'static str,
    pub budget: Duration,
    pub memory_bytes: u64,
}

impl Default for Setup {
    fn default() -> Self {
        Self { main: "index.js", budget: Duration::from_millis(250), memory_bytes: 64 << 20 }
    }
}

impl House {
    #[expect(clippy::disallowed_methods, reason = "the test's runtime ends it")]
    pub fn start(setup: Setup, files: &[(&str, &str)]) -> Self {
        let engine = Engine::new(env!("CARGO_BIN_EXE_plugin-child").into(), vec![]);
        let files: BTreeMap<_, _> =
            files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        let program = PluginProgram {
            id: "tried".parse().unwrap(),
            main: setup.main.into(),
            files: Arc::new(files),
            budget: setup.budget,
            memory_bytes: setup.memory_bytes,
        };
        let backstage = Arc::new(Backstage::default());
        let started = engine.start(program, backstage.clone()).unwrap();
        let driver = tokio::spawn(started.driver);
        Self { backstage, process: started.process, driver, next: AtomicU32::new(1) }
    }

    pub async fn call(&self, call: PluginCall) -> Result<Value, CallError> {
        self.call_within(call, LIMIT).await
    }

    pub async fn call_within(&self, call: PluginCall, limit: Duration) -> Result<Value, CallError> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.process.call(number, call, limit).await
    }

    pub async fn load(&self, config: Value) -> Result<Value, CallError> {
        let base = config.as_object().cloned().unwrap_or_default();
        let configs = PluginConfigs { base, sessions: BTreeMap::new() };
        self.call(PluginCall::Load(configs)).await?;
        self.call(PluginCall::Enable).await
    }

    /// The first handler, about some data.
    pub async fn hook(&self, data: Value) -> Result<Value, CallError> {
        self.call(hook(data)).await
    }

    pub fn logged(&self) -> Vec<String> {
        self.backstage.lines.lock().unwrap().iter().map(|line| line.message.clone()).collect()
    }
}

pub fn hook(data: Value) -> PluginCall {
    let context = json!({
        "event": "message:sending", "data": data, "sessionId": null, "timestamp": 1_790_841_600_000_i64,
        "source": "Gateway",
    });
    PluginCall::Hook { handler: 0, session: None, context }
}

/// A CommonJS plugin whose only handler has this body, with `hook` as the hook's context and `ctx` as the plugin's.
pub fn with_handler(body: &str) -> String {
    format!(
        "module.exports = class {{ async onEnable(ctx) {{ ctx.registerHook('message:sending', (hook) => {{ {body} }}); }} }};"
    )
}
