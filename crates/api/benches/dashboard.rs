//! What the views of the dashboard load first, on the real router over a ledger of some size: 1,000 sessions, 100,000
//! messages, 50,000 deliveries, of which 5,000 wait in 1,000 lanes of paused webhooks. Then how long each view takes in
//! Chromium until it can be used, where Node and Chromium are there.
//!
//! `cargo xtask bench dashboard [--json]`

#![expect(clippy::disallowed_methods, reason = "a benchmark measures on the real clock")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up should stop at once")]

#[path = "../tests/it/app.rs"]
#[expect(dead_code, reason = "the benchmark uses only the part that reads")]
mod app;

use std::{
    collections::HashSet,
    path::Path,
    time::{Duration, Instant},
};

use app::App;
use domain::{
    SessionId, Timestamp, WebhookId,
    delivery::{Attempt, ClaimedLane},
    log::{AuditEntry, Severity},
    port::{
        AuditLog as _, DeliveryQueue as _, Ledger as _, NewMessage, SessionStore as _, Settlement,
        Verdict, WebhookStore as _, Write,
    },
};
use futures::{StreamExt as _, stream};
use serde_json::json;
use storage::LedgerStore;
use testkit::{START, build};

const SESSIONS: u32 = 1_000;
/// Of each session, ten each with ten messages.
const CHATS: u32 = 10;
const OF_A_CHAT: u32 = 10;
/// Sessions with a webhook: so half of the messages have a delivery.
const HOOKED: u32 = 500;
/// Of these, those whose webhooks are paused when half of each lane has left.
const PAUSED: u32 = 100;
const AUDITED: u32 = 10_000;
/// Requests of each route, after one that does not count.
const REQUESTS: usize = 20;
/// Longer than the filling takes, by the clock of the ledger, which stands still.
const LEASE: Duration = Duration::from_secs(3600);

fn session(number: u32) -> SessionId {
    build::session(number).id
}

fn webhook(number: u32) -> WebhookId {
    build::webhook(number, session(number)).id
}

async fn fill(store: &LedgerStore) {
    for number in 1..=SESSIONS {
        assert!(store.insert_session(&build::session(number)).await.unwrap());
        if number <= HOOKED {
            let webhook = build::webhook(number, session(number));
            assert!(store.insert_webhook(&webhook, 0).await.unwrap());
        }
    }
    stream::iter(1..=SESSIONS).for_each_concurrent(64, |number| messages(store, number)).await;
    deliver(store).await;
    audit(store).await;
}

/// The messages of a session, with their events.
async fn messages(store: &LedgerStore, of: u32) {
    let per_session = CHATS * OF_A_CHAT;
    let write = |place: u32| {
        let (number, chat) = ((of - 1) * per_session + place, build::chat(place % CHATS));
        let message = build::received(number, session(of), &chat);
        let event = build::event(number, session(of), &chat);
        Write::InsertMessage { message: Box::new(NewMessage::row(message)), events: vec![event] }
    };
    store.write((1..=per_session).map(write).collect()).await.unwrap();
}

/// Everything leaves but half of the lanes of the first webhooks.
async fn deliver(store: &LedgerStore) {
    let paused: HashSet<WebhookId> = (1..=PAUSED).map(webhook).collect();
    let mut stay = Vec::new();
    loop {
        let until = START.plus(LEASE);
        let lanes = store.claim_lanes("bench", 6400, OF_A_CHAT, START, until).await.unwrap();
        if lanes.is_empty() {
            break;
        }
        let count = |lane: &ClaimedLane| {
            let all = lane.deliveries.len();
            if paused.contains(&lane.webhook) { all / 2 } else { all }
        };
        stream::iter(&lanes)
            .for_each_concurrent(256, |lane| settle(store, lane, count(lane)))
            .await;
        stay.extend(lanes.into_iter().filter(|lane| paused.contains(&lane.webhook)));
    }
    for number in 1..=PAUSED {
        assert!(store.pause_webhook(webhook(number), START).await.unwrap());
    }
    for lane in stay {
        store.release_lane(&lane.lane, lane.epoch).await.unwrap();
    }
    // Of each pause the webhook is told too.
    let waiting = PAUSED * CHATS * OF_A_CHAT / 2 + PAUSED;
    assert_eq!(store.queue_stats().await.unwrap().pending, u64::from(waiting));
}

async fn settle(store: &LedgerStore, lane: &ClaimedLane, count: usize) {
    for delivery in &lane.deliveries[..count] {
        let attempt = Attempt {
            at: START,
            duration: Duration::from_millis(12),
            status: Some(200),
            error: None,
            excerpt: Some("ok".into()),
        };
        let settlement = Settlement {
            lane: lane.lane.clone(),
            epoch: lane.epoch,
            delivery: delivery.id,
            verdict: Verdict::Delivered,
            attempt: Some(attempt),
        };
        assert!(store.record_attempts(settlement).await.unwrap().is_recorded());
    }
}

async fn audit(store: &LedgerStore) {
    let entry = |number: u32| AuditEntry {
        id: uuid::Uuid::from_u128(number.into()),
        action: "message_sent".into(),
        severity: Severity::Info,
        api_key: None,
        api_key_name: Some("till".into()),
        session: Some(session(1 + number % SESSIONS)),
        session_name: Some("bakery".into()),
        ip: Some("192.0.2.1".into()),
        user_agent: None,
        method: Some("POST".into()),
        path: Some("/api/sessions".into()),
        status_code: Some(201),
        metadata: json!({ "number": number }),
        error_message: None,
        created_at: Timestamp::from_millis(START.millis() + i64::from(number)),
    };
    store.append_audit((1..=AUDITED).map(entry).collect()).await.unwrap();
}

/// The views, with what each asks for first.
fn routes() -> Vec<(&'static str, String)> {
    let (one, other) = (session(1), session(SESSIONS));
    let (waiting, quiet) = (webhook(1), webhook(HOOKED));
    let chat = build::chat(1);
    vec![
        ("all", "/api/auth/session".into()),
        ("numbers", "/api/sessions".into()),
        ("numbers", "/api/sessions?limit=50".into()),
        ("numbers", "/api/sessions/stats/overview".into()),
        ("a number", format!("/api/sessions/{one}")),
        ("inbox", format!("/api/sessions/{one}/chats")),
        ("thread", format!("/api/sessions/{one}/messages?chatId={chat}")),
        ("thread", format!("/api/sessions/{one}/templates")),
        ("webhooks", "/api/webhooks".into()),
        ("webhooks", format!("/api/sessions/{other}/webhooks")),
        ("deliveries", format!("/api/webhooks/{quiet}/deliveries")),
        ("deliveries", format!("/api/webhooks/{waiting}/deliveries?state=pending")),
        ("deliveries", format!("/api/webhooks/{waiting}/deliveries?state=exhausted")),
        ("lanes", "/api/lanes".into()),
        ("lanes", "/api/lanes?why=paused&limit=200".into()),
        ("lanes", format!("/api/lanes?sessionId={one}")),
        ("lanes", "/api/lanes/rates?minutes=360".into()),
        ("campaigns", format!("/api/sessions/{one}/messages/batches")),
        ("statistics", "/api/stats/overview".into()),
        ("statistics", "/api/stats/messages?period=30d".into()),
        ("statistics", format!("/api/stats/sessions/{one}")),
        ("audit", "/api/audit".into()),
        ("keys", "/api/auth/api-keys".into()),
        ("plugins", "/api/plugins".into()),
        ("health", "/api/health".into()),
    ]
}

fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 100_000.0).round() / 100.0
}

#[tokio::main]
async fn main() {
    let as_json = std::env::args().any(|arg| arg == "--json");
    let ledger = App::ledger().await;
    fill(&ledger.1).await;
    let app = Box::pin(App::assemble(ledger, |_| {}, 0, |_| {})).await;
    if !as_json {
        println!(
            "{:<12} {:<72} {:>9} {:>9} {:>9}",
            "view", "route", "median ms", "worst ms", "bytes"
        );
    }
    for (view, path) in routes() {
        let bytes = app.get(&path).await.to_string().len();
        let mut times = Vec::with_capacity(REQUESTS);
        for _ in 0..REQUESTS {
            let began = Instant::now();
            app.get(&path).await;
            times.push(began.elapsed());
        }
        times.sort();
        let (median, worst) = (millis(times[REQUESTS / 2]), millis(times[REQUESTS - 1]));
        if as_json {
            let line = json!({ "view": view, "route": path, "medianMs": median, "worstMs": worst, "bytes": bytes });
            println!("{line}");
        } else {
            println!("{view:<12} {path:<72} {median:>9.2} {worst:>9.2} {bytes:>9}");
        }
    }
    in_the_browser(&app, as_json).await;
    app.gateway.shutdown().await;
}

/// Opens each view in a browser (`web/test/usable.mjs`).
async fn in_the_browser(app: &App, as_json: bool) {
    let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../web");
    if !web.join("node_modules").exists() || !Path::new("/usr/bin/chromium").exists() {
        eprintln!(
            "not opened in a browser: `cd web && npm ci --ignore-scripts`, and Debian's chromium"
        );
        return;
    }
    let mut node = tokio::process::Command::new("node");
    node.arg("test/usable.mjs").current_dir(web).kill_on_drop(true);
    node.env("BASE", format!("http://{}", app.serve().await)).env("KEY", &app.admin);
    node.env("SESSION", session(1).to_string()).env("WEBHOOK", webhook(HOOKED).to_string());
    node.env("CHAT", build::chat(1).to_string());
    node.envs(as_json.then_some(("JSON_LINES", "1")));
    assert!(node.status().await.unwrap().success());
}
