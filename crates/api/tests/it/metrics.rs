//! Numbers behind their token, activity and warnings.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Receiver, Reply};

use crate::app::App;

const TOKEN: &str = "metrics-token-of-a-test";

async fn with_token() -> App {
    App::with(|options| options.metrics_token = Some(TOKEN.into())).await
}

async fn scrape(app: &App, token: &str) -> (u16, String) {
    let header = format!("Bearer {token}");
    let answer = app.ask("GET", "/api/metrics").header("authorization", &header).send().await;
    (answer.status, answer.text())
}

/// The value of a series.
fn value(text: &str, series: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{series} is missing in\n{text}")).parse().unwrap()
}

#[tokio::test]
async fn without_a_token_there_are_no_metrics() {
    let app = App::start().await;
    app.ask("GET", "/api/metrics").admin().send().await.expect(404);
}

#[tokio::test]
async fn ten_wrong_tokens_a_minute_are_too_many() {
    let app = with_token().await;
    assert_eq!(scrape(&app, &app.admin).await.0, 401);
    app.ask("GET", "/api/metrics").send().await.expect(401);
    for _ in 2..10 {
        assert_eq!(scrape(&app, "wrong").await.0, 401);
    }
    assert_eq!(scrape(&app, "wrong").await.0, 429);
    // A neighbour at the same address does not lock the right one out.
    assert_eq!(scrape(&app, TOKEN).await.0, 200);
    let other = app.ask("GET", "/api/metrics").peer(Some("192.0.2.7"));
    let header = format!("Bearer {TOKEN}");
    assert_eq!(other.header("authorization", &header).send().await.status, 200);
    app.advance(Duration::from_secs(60));
    assert_eq!(scrape(&app, "wrong").await.0, 401);
}

#[tokio::test]
async fn the_numbers_have_openwas_names_and_ours() {
    let app = with_token().await;
    let session = app.ready_session("bakery").await;
    let receiver = Receiver::start().await;
    receiver.answer([Reply::Status(200), Reply::Status(500)]);
    let webhook = app.webhook(&session, &receiver.url(), 3).await;
    app.hear_text(&session, 1, 1).await;
    let log = format!("/api/webhooks/{webhook}/deliveries?state=delivered");
    app.until(&log, |page| page["deliveries"].as_array().unwrap().len() == 1).await;
    app.hear_text(&session, 1, 2).await;
    let log = format!("/api/webhooks/{webhook}/deliveries?state=pending");
    app.until(&log, |page| {
        page["deliveries"][0]["attempts"].as_array().is_some_and(|tries| tries.len() == 1)
    })
    .await;
    let (status, text) = scrape(&app, TOKEN).await;
    assert_eq!(status, 200);
    for (series, expected) in [
        ("openwa_up", 1.0),
        ("openwa_process_resident_memory_bytes", 7.0 * 1024.0 * 1024.0),
        ("openwa_stats_available", 1.0),
        ("openwa_sessions_total", 1.0),
        ("openwa_sessions_active", 1.0),
        ("openwa_sessions{status=\"ready\"}", 1.0),
        ("openwa_sessions{status=\"failed\"}", 0.0),
        ("openwa_messages_total{direction=\"incoming\"}", 2.0),
        ("openwa_messages_total{direction=\"outgoing\"}", 0.0),
        ("openwa_messages_failed_total", 0.0),
        ("waypost_deliveries_pending", 1.0),
        (&format!("waypost_webhook_pending{{webhook=\"{webhook}\"}}"), 1.0),
        (&format!("waypost_webhook_lanes_blocked{{webhook=\"{webhook}\"}}"), 1.0),
        ("waypost_delivery_attempts_total{outcome=\"delivered\"}", 1.0),
        ("waypost_delivery_attempts_total{outcome=\"status\"}", 1.0),
        ("waypost_breakers{state=\"open\"}", 0.0),
        ("waypost_live_clients", 0.0),
    ] {
        assert_eq!(value(&text, series), expected, "{series}");
    }
    assert!(value(&text, "waypost_ledger_commit_jobs_count") > 0.0);
    assert!(value(&text, "waypost_events_total") >= 2.0);
    assert!(!text.contains("@c.us") && !text.contains("4915550001000"), "a person in\n{text}");
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (_, number) = line.rsplit_once(' ').unwrap();
        number.parse::<f64>().unwrap();
    }
}

#[tokio::test]
async fn activity_and_warnings_show_when_deliveries_stall() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let receiver = Receiver::start().await;
    let webhook = app.webhook(&session, &receiver.url(), 5).await;
    app.hear_text(&session, 1, 1).await;
    let path = format!("/api/sessions/{session}");
    let view = app.until(&path, |view| view["activity"]["lastDeliveredAt"].is_string()).await;
    assert!(view["activity"]["lastEngineEventAt"].is_string());
    assert!(view["activity"]["lastStoredAt"].is_string());
    assert_eq!(app.get("/api/sessions").await[0]["activity"], view["activity"]);
    assert_eq!(app.get("/api/health").await.get("warnings"), None);
    receiver.answer([500, 500, 500, 500].map(Reply::Status));
    app.hear_text(&session, 1, 2).await;
    receiver.wait_for(2).await;
    app.advance(Duration::from_secs(1000));
    let warned = app.until("/api/health", |health| health.get("warnings").is_some()).await;
    let warning = &warned["warnings"][0];
    assert_eq!(
        (&warning["code"], &warning["webhookId"], &warning["sessionId"], &warning["pending"]),
        (&json!("DELIVERY_STALLED"), &json!(webhook), &json!(session), &json!(1))
    );
    assert!(warning["seconds"].as_u64().unwrap() >= 990);
    let open = app.ask("GET", "/api/health").send().await.expect(200);
    assert_eq!(open.get("warnings"), None);
    let other = app.new_session("other").await;
    let scoped = json!({ "name": "other", "role": "viewer", "allowedSessions": [other] });
    let scoped = app.new_key(scoped).await;
    let health = app.ask("GET", "/api/health").key(&scoped.text).send().await.expect(200);
    assert_eq!(health["warnings"], Value::Null);
}
