//! What a call into a plugin costs, and what an idle plugin's process holds. `cargo bench -p plugins`.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::port::{
    NewHandler, PluginBackstage, PluginCall, PluginConfigs, PluginEngine as _, PluginLogLine,
    PluginProgram,
};
use plugins::Engine;
use serde_json::{Value, json};
use tokio::time::Instant;

const CALLS: usize = 20_000;

struct Nobody;

#[async_trait]
impl PluginBackstage for Nobody {
    async fn ask(&self, _: u32, _: String, _: Vec<Value>) -> Result<Value, String> {
        Err("nothing is to be had here".into())
    }

    fn register(&self, _: NewHandler) -> Result<(), String> {
        Ok(())
    }

    fn register_route(&self, _: String) -> Result<(), String> {
        Ok(())
    }

    fn log(&self, _: PluginLogLine) {}
}

/// A number of `/proc/<pid>/smaps_rollup`, in KiB.
fn held(pid: u32, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

#[expect(clippy::disallowed_methods, reason = "a bench has no supervisor")]
#[expect(clippy::unwrap_used, reason = "a bench that fails has failed")]
#[tokio::main]
async fn main() {
    // As a task: who waits in `main` is on a thread of its own, and a call would wake one thread more than in the product.
    tokio::spawn(measure()).await.unwrap();
}

#[expect(clippy::disallowed_methods, reason = "a bench has no supervisor")]
#[expect(clippy::unwrap_used, reason = "a bench that fails has failed")]
async fn measure() {
    let source =
        "module.exports = { onEnable(ctx) { ctx.registerHook('message:sending', (hook) => {
        hook.data.input.text += '!'; return { continue: true, data: hook.data }; }); } };";
    let program = PluginProgram {
        id: "trivial".parse().unwrap(),
        main: "index.js".into(),
        files: Arc::new(BTreeMap::from([("index.js".to_owned(), source.to_owned())])),
        budget: Duration::from_millis(250),
        memory_bytes: 64 << 20,
    };
    let engine = Engine::new(env!("CARGO_BIN_EXE_plugin-child").into(), vec![]);
    let started = engine.start(program, Arc::new(Nobody)).unwrap();
    tokio::spawn(started.driver);
    let process = started.process;
    let limit = Duration::from_secs(5);
    process.call(1, PluginCall::Load(PluginConfigs::default()), limit).await.unwrap();
    process.call(2, PluginCall::Enable, limit).await.unwrap();
    let pid = process.pid().unwrap();
    println!(
        "idle: {} KiB of its own, {} KiB with its share, {} KiB in all",
        held(pid, "Private_Dirty:"),
        held(pid, "Pss:"),
        held(pid, "Rss:")
    );
    let data = json!({
        "sessionId": "3b0c6f52-0c1e-4a77-9d0e-5a1f2b3c4d5e", "type": "text",
        "input": { "chatId": "49170111@c.us", "text": "x".repeat(300) },
    });
    let context = json!({ "event": "message:sending", "data": data, "sessionId": null, "timestamp": 0, "source": "Api" });
    let mut took = Vec::with_capacity(CALLS);
    for number in 0..CALLS {
        let call = PluginCall::Hook { handler: 0, session: None, context: context.clone() };
        let began = Instant::now();
        process.call(3 + number as u32, call, limit).await.unwrap();
        took.push(began.elapsed());
    }
    took.sort();
    println!(
        "a call: {:?} at the median, {:?} for 99 of 100",
        took[CALLS / 2],
        took[CALLS * 99 / 100]
    );
}
