//! A plugin's process on trial: the real one, with a stand-in for the gateway.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, bail, ensure};
use domain::{
    hook::HookPoint,
    plugin::{BUDGET_MAX, Manifest},
    port::{
        CallError, Package, PluginCall, PluginConfigs, PluginEngine as _, PluginLogLine,
        PluginProcess, PluginProgram,
    },
};
use futures::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::{
    samples,
    stand_in::{StandIn, TrialRequest},
};

/// As in the gateway.
const START_LIMIT: Duration = Duration::from_secs(30);
const CALL_LIMIT: Duration = Duration::from_secs(5);
const MEMORY_BYTES: u64 = 64 << 20;
/// A plugin that asks for nothing for so long has come to rest: some go on after their answer.
const REST: Duration = Duration::from_millis(60);
/// The longest that is waited for that.
const REST_LIMIT: Duration = Duration::from_secs(2);

/// A package that was read from a folder or a zip.
pub struct TrialPackage {
    pub package: Package,
    pub manifest: Manifest,
    /// The zip as it would be uploaded.
    pub packed: Vec<u8>,
}

/// Reads a folder, or a zip.
pub fn read_package(path: &Path) -> anyhow::Result<TrialPackage> {
    let packed = match path.is_dir() {
        true => plugins::pack_folder(path)?,
        false => std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?,
    };
    let package = engine()?.unpack(&packed)?;
    let manifest = package.judged()?;
    Ok(TrialPackage { package, manifest, packed })
}

fn engine() -> anyhow::Result<plugins::Engine> {
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    Ok(plugins::Engine::new(program, vec![crate::PLUGIN_CHILD.into()]))
}

/// The configuration on trial: the defaults, and over them what the author gave, checked.
pub fn configured(
    manifest: &Manifest,
    given: Map<String, Value>,
) -> anyhow::Result<Map<String, Value>> {
    let schema = manifest.schema();
    let mut config = schema.defaults();
    config.extend(given);
    if let Err(faults) = schema.check(&config, &Map::new()) {
        bail!("the configuration is wrong: {}", faults.join("; "));
    }
    Ok(config)
}

/// What one call came to.
pub struct TrialAnswer {
    pub answer: Result<Value, CallError>,
    pub took: Duration,
    pub requests: Vec<TrialRequest>,
    pub lines: Vec<PluginLogLine>,
}

/// A plugin that runs.
pub struct Trial {
    process: Arc<dyn PluginProcess>,
    pub stand_in: Arc<StandIn>,
    /// Ends with the process, and says again why to everybody who asks later.
    driver: Shared<BoxFuture<'static, String>>,
    number: u32,
}

impl Trial {
    /// Starts its process: `onLoad`, `onEnable`.
    pub async fn start(
        read: &TrialPackage,
        config: Map<String, Value>,
        fetch: Option<Value>,
    ) -> anyhow::Result<Self> {
        let stand_in = Arc::new(StandIn::new(read.manifest.clone(), config.clone(), fetch));
        let program = PluginProgram {
            id: read.manifest.id.clone(),
            main: read.manifest.main.clone(),
            files: Arc::new(read.package.files.clone()),
            budget: read.manifest.budget.min(BUDGET_MAX),
            memory_bytes: MEMORY_BYTES,
        };
        let started = engine()?.start(program, stand_in.clone());
        let started = started.context("cannot start the plugin's process")?;
        let (process, driver) = (started.process, started.driver.shared());
        let mut trial = Self { process, stand_in, driver, number: 0 };
        let configs = PluginConfigs { base: config, sessions: Default::default() };
        for (name, call) in
            [("onLoad", PluginCall::Load(configs)), ("onEnable", PluginCall::Enable)]
        {
            let outcome = trial.ask(call, START_LIMIT).await.0;
            outcome.with_context(|| format!("{name} failed"))?;
        }
        Ok(trial)
    }

    /// One call, while the process's frames are moved.
    async fn ask(
        &mut self,
        call: PluginCall,
        limit: Duration,
    ) -> (Result<Value, CallError>, Duration) {
        self.number += 1;
        let begun = Instant::now();
        let answer = self.process.call(self.number, call, limit);
        let answer = tokio::select! {
            answer = answer => answer,
            why = self.driver.clone() => Err(CallError::Crashed(why)),
        };
        (answer, begun.elapsed())
    }

    /// Calls a handler or a route, and waits until what the plugin does behind its answer has come to rest.
    pub async fn call(&mut self, call: PluginCall) -> TrialAnswer {
        let (answer, took) = self.ask(call, CALL_LIMIT).await;
        let limit = Instant::now() + REST_LIMIT;
        let mut before = None;
        while answer.is_ok() && before != Some(self.stand_in.asked()) && Instant::now() < limit {
            before = Some(self.stand_in.asked());
            let rested = tokio::time::timeout(REST, self.driver.clone()).await;
            if rested.is_ok() {
                break;
            }
        }
        let (requests, lines) = self.stand_in.take();
        TrialAnswer { answer, took, requests, lines }
    }

    /// Ends its process.
    pub async fn end(mut self) {
        let _ = self.ask(PluginCall::Disable, CALL_LIMIT).await;
        self.process.kill();
        self.driver.await;
    }
}

/// The call of a handler about some data.
pub fn hook_call(handler: u32, point: HookPoint, data: &Value, at_millis: i64) -> PluginCall {
    let context = json!({
        "event": point.as_str(), "data": data, "sessionId": samples::session(), "timestamp": at_millis,
        "source": point.source(),
    });
    PluginCall::Hook { handler, session: Some(samples::session()), context }
}

/// A provider's call to one of the plugin's routes; `given` is its body, or `{ method, headers, query, body }`.
pub fn ingress_call(manifest: &Manifest, route: &str, given: &Value) -> anyhow::Result<PluginCall> {
    let known = manifest.ingress.iter().map(|known| known.route.as_str());
    let known: Vec<_> = known.collect();
    ensure!(
        known.contains(&route),
        "the manifest has no ingress route {route}; it has: {}",
        known.join(", ")
    );
    let is_whole = given.get("headers").is_some() || given.get("query").is_some();
    let body = if is_whole { &given["body"] } else { given };
    let body = match body {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    let part = |name: &str| given.get(name).filter(|_| is_whole).cloned();
    let request = json!({
        "instanceId": "main", "method": part("method").unwrap_or_else(|| json!("POST")),
        "headers": part("headers").unwrap_or_else(|| json!({ "content-type": "application/json" })),
        "query": part("query").unwrap_or_else(|| json!({})), "body": body, "rawBody": body, "verified": true,
        "deliveryId": "trial-1", "sessionId": samples::session(),
    });
    Ok(PluginCall::Ingress { route: route.to_owned(), session: Some(samples::session()), request })
}
