//! SIGKILL of the gateway and of its plugins' processes, in the middle of every hook: nothing is lost, doubled, or
//! leaves the house unmasked.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use domain::SessionId;
use serde_json::json;
use tokio::time::Instant;

use crate::{
    collector::Collector,
    counting::{ids, lanes_in_order, nothing_missing, phone, register_with, repeats_say_so},
    dice::Dice,
    sends::shown,
    support::{Api, KEY, Prepared, Running, free_port},
};

const SHOP: &str = "4915550001000";
const BUYER: &str = "4917099999999";
const CARD: &str = "4111 1111 1111 1111";
const CHATS: usize = 6;
const SENDS_MIN: usize = 12;
const DRAIN_LIMIT: Duration = Duration::from_secs(120);

/// Asked at every point, and busy for a while at each: a kill finds it in the middle of any.
const WITNESS: &str = r"
const POINTS = ['session:created', 'session:starting', 'session:ready', 'session:qr', 'session:disconnected',
  'session:error', 'session:deleted', 'message:received', 'message:sending', 'message:sent', 'message:failed',
  'message:ack', 'message:persisted', 'webhook:before', 'webhook:queued', 'webhook:delivered', 'webhook:error',
  'webhook:after', 'ingress:error'];
module.exports = class {
  async onEnable(ctx) {
    for (const point of POINTS) {
      ctx.registerHook(point, async () => {
        await ctx.storage.set(point, ((await ctx.storage.get(point)) ?? 0) + 1);
        await new Promise((done) => setTimeout(done, 5));
        return { continue: true };
      }, 50);
    }
  }
};
";

async fn install(api: &Api, base: &str, package: Vec<u8>, id: &str) {
    let answer = reqwest::Client::new()
        .post(format!("{base}/plugins/install"))
        .header("X-API-Key", KEY)
        .header("Content-Type", "application/zip")
        .body(package)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 201, "{}", answer.text().await.unwrap());
    let (status, body) = api.post(&format!("/plugins/{id}/enable"), &json!({})).await;
    assert_eq!(status, 200, "{body}");
}

async fn install_both(api: &Api, base: &str) {
    let redact = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/plugins/redact");
    install(api, base, plugins::pack_folder(&redact).unwrap(), "redact").await;
    let manifest = json!({
        "id": "witness", "name": "Witness", "version": "1.0.0", "type": "extension", "main": "index.js",
        "permissions": ["storage:use"], "sessions": ["*"], "onFailure": "closed",
    });
    let manifest = manifest.to_string();
    let files = [("manifest.json", manifest.as_bytes()), ("index.js", WITNESS.as_bytes())];
    install(api, base, plugins::pack_files(files).unwrap(), "witness").await;
}

/// The processes of the plugins of a gateway.
fn children(gateway: u32) -> Vec<u32> {
    let mut found = vec![];
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let read = |name: &str| std::fs::read(entry.path().join(name)).unwrap_or_default();
        let status = String::from_utf8_lossy(&read("status")).into_owned();
        let is_child = status.lines().any(|line| line == format!("PPid:\t{gateway}"));
        if is_child && String::from_utf8_lossy(&read("cmdline")).contains("plugin-child") {
            found.push(pid);
        }
    }
    found.sort_unstable();
    found
}

/// Sends one text after another, each under its key until it is taken.
async fn send_all(api: Api, session: SessionId, over: Arc<AtomicBool>) -> Vec<String> {
    let path = format!("/sessions/{session}/messages/send-text");
    let mut masked = vec![];
    // However long a plugin was suspended meanwhile.
    while !over.load(Ordering::SeqCst) || masked.len() < SENDS_MIN {
        let number = masked.len();
        let body = json!({ "chatId": format!("{BUYER}@c.us"), "text": format!("{number} paid with {CARD}") });
        let deadline = Instant::now() + DRAIN_LIMIT;
        loop {
            match api.try_post_with(&path, &body, &format!("key-{number}")).await {
                Some((201, _)) => break,
                other => assert!(Instant::now() < deadline, "{number} is never taken: {other:?}"),
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        masked.push(format!("{number} paid with [redacted]"));
    }
    masked
}

async fn talk(
    house: &Prepared,
    chat: usize,
    over: Arc<AtomicBool>,
) -> tokio::task::JoinHandle<Vec<String>> {
    let contact = house.network.add_account(&phone(chat), &format!("Guest {chat}")).await;
    tokio::spawn(async move {
        let mut ids = vec![];
        while !over.load(Ordering::SeqCst) {
            let text = format!("{} is mine: {CARD}", ids.len());
            ids.push(contact.send_text(SHOP, &text).await.unwrap());
            tokio::time::sleep(Duration::from_millis(120)).await;
        }
        ids
    })
}

/// Kills, in turns, the gateway and one of its plugins' processes; the gateway as it runs at the end.
async fn kills(
    house: &Prepared,
    mut running: Running,
    env: &[(&str, &str)],
    dice: &mut Dice,
) -> Running {
    for round in 0..9 {
        tokio::time::sleep(Duration::from_millis(dice.between(400, 1500))).await;
        if round % 3 == 0 {
            running.kill();
            running = house.start_with(env);
            continue;
        }
        let children = children(running.pid());
        let chosen = dice.between(0, children.len().max(1) as u64 - 1) as usize;
        if let Some(pid) = children.get(chosen) {
            let killed = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status();
            assert!(killed.unwrap().success());
        }
    }
    running
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_in_every_hook_lose_double_and_leak_nothing() {
    let mut dice = Dice::part(0x5eed_2029, 0);
    let house = Prepared::new().await;
    let session = house.link(&[SHOP]).await[0];
    let buyer = house.network.add_account(BUYER, "Buyer").await;
    let collector = Collector::with(Default::default()).await;
    let port = free_port();
    let env = [("PORT", port.as_str())];
    let running = house.start_with(&env);
    let api = house.api(&port);
    api.ready(session).await;
    install_both(&api, &format!("http://127.0.0.1:{port}/api")).await;
    let policy = json!({ "schedule": [1, 1, 1, 1] });
    register_with(&api, session, &collector.url("/messages"), &["message.received"], policy).await;

    let over = Arc::new(AtomicBool::new(false));
    let mut talks = vec![];
    for chat in 0..CHATS {
        talks.push(talk(&house, chat, over.clone()).await);
    }
    let sending = tokio::spawn(send_all(api.clone(), session, over.clone()));
    let running = kills(&house, running, &env, &mut dice).await;
    over.store(true, Ordering::SeqCst);
    let masked = sending.await.unwrap();
    let mut said: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (chat, talk) in talks.into_iter().enumerate() {
        said.insert(format!("{}@c.us", phone(chat)), talk.await.unwrap());
    }
    let wanted: usize = said.values().map(Vec::len).sum();
    let deadline = Instant::now() + DRAIN_LIMIT;
    let is_open = async || {
        ids(&collector.taken("/messages")).len() < wanted
            || shown(&buyer, SHOP).await.len() < masked.len()
    };
    while Instant::now() < deadline && is_open().await {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let (received, came) =
        (collector.received("/messages"), ids(&collector.taken("/messages")).len());
    assert_eq!(came, wanted, "lost\n{}\n{}", api.get("/plugins").await, running.log());
    nothing_missing(&collector.taken("/messages"), &said, "/messages");
    repeats_say_so(&received, "/messages");
    lanes_in_order(&received, &said, "/messages");
    for event in &received {
        let body = event["data"]["body"].as_str().unwrap();
        assert!(body.ends_with("is mine: [redacted]"), "it left unmasked: {body}");
    }
    assert_eq!(shown(&buyer, SHOP).await, masked, "each once, masked, in order");
    assert!(wanted > 100, "{wanted} came in");
    assert!(running.terminate().success());
}
