//! What the gateway adds to a send: from the HTTP request to the answer, on the real router and the real ledger, with a
//! WhatsApp that answers at once. The yardstick is one durable commit of the same ledger in the same run.
//!
//! `cargo xtask bench send [--json]`

#![expect(clippy::disallowed_methods, reason = "a benchmark measures on the real clock")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up should stop at once")]

#[path = "../tests/it/app.rs"]
#[expect(dead_code, reason = "the benchmark uses only the part that sends")]
mod app;
#[path = "../../gateway/benches/parts/report.rs"]
mod report;

use std::time::{Duration, Instant};

use app::App;
use domain::port::Ledger as _;
use domain::port::{SessionPatch, Write};
use futures::{StreamExt as _, stream};
use report::Report;
use serde_json::json;

/// Sends one after another.
const ALONE: usize = 500;
/// Sends at once, and how many of them.
const TOGETHER: (usize, usize) = (64, 4000);

async fn commits(app: &App, session: &str, count: usize) -> Duration {
    let began = Instant::now();
    for _ in 0..count {
        let patch = SessionPatch { last_error: Some(None), ..SessionPatch::default() };
        let session = session.parse().unwrap();
        let write = Write::PatchSession { session, patch: Box::new(patch), events: vec![] };
        app.store.write(vec![write]).await.unwrap();
    }
    began.elapsed()
}

async fn send(app: &App, session: &str, number: usize) {
    let path = format!("/api/sessions/{session}/messages/send-text");
    let chat = format!("49170{:06}@c.us", number % 200);
    app.post(&path, json!({ "chatId": chat, "text": format!("number {number}") }), 201).await;
}

#[tokio::main]
async fn main() {
    let app = App::start().await;
    let session = app.ready_session("bench").await;
    for number in 0..50 {
        send(&app, &session, number).await;
    }
    let commit = commits(&app, &session, ALONE).await / ALONE as u32;
    let began = Instant::now();
    for number in 0..ALONE {
        send(&app, &session, number).await;
    }
    let alone = began.elapsed() / ALONE as u32;
    let (width, count) = TOGETHER;
    let began = Instant::now();
    stream::iter(0..count).for_each_concurrent(width, |number| send(&app, &session, number)).await;
    let together = began.elapsed();
    let per_send = together / count as u32;
    let report = Report { json: std::env::args().any(|argument| argument == "--json") };
    let (commit, alone, per_send) = (millis(commit), millis(alone), millis(per_send));
    report.tell("send.commit", "ms", &[commit]);
    report.tell("send.alone", "ms", &[alone]);
    report.tell("send.alone_commits", "1", &[alone / commit]);
    report.tell("send.together", "ms", &[per_send]);
    report.tell("send.together_commits", "1", &[per_send / commit]);
    report.tell("send.together_rate", "1/s", &[1000.0 / per_send]);
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
