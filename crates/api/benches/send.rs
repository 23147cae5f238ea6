//! What the gateway adds to a send: from the HTTP request to the answer, on the real router and the real ledger, with a
//! WhatsApp that answers at once. The yardstick is one durable commit of the same ledger in the same run.
//!
//! `cargo xtask bench send`

#![expect(clippy::disallowed_methods, reason = "a benchmark measures on the real clock")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up should stop at once")]

#[path = "../tests/it/app.rs"]
#[expect(dead_code, reason = "the benchmark uses only the part that sends")]
mod app;

use std::time::{Duration, Instant};

use app::App;
use domain::port::Ledger as _;
use domain::port::{SessionPatch, Write};
use futures::{StreamExt as _, stream};
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
    println!("one durable commit                  {:>9.3} ms", millis(commit));
    println!(
        "a send, one after another           {:>9.3} ms   {:.2} commits",
        millis(alone),
        alone.as_secs_f64() / commit.as_secs_f64()
    );
    println!(
        "a send, {width} at once                {:>9.3} ms   {:.2} commits   {:.0} sends/s",
        millis(per_send),
        per_send.as_secs_f64() / commit.as_secs_f64(),
        1.0 / per_send.as_secs_f64()
    );
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
