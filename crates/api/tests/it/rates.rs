//! What one client may ask, and what becomes of wrong keys.

use std::time::Duration;

use api::RateOptions;
use serde_json::{Value, json};

use crate::app::App;

async fn app() -> App {
    // The fixture made its session-less house within the windows of nobody: it asked nothing over HTTP.
    App::with(|options| {
        options.rates = RateOptions::default();
        options.metrics_token = Some("numbers".into());
    })
    .await
}

async fn entries(app: &App, action: &str) -> Vec<Value> {
    app.advance(Duration::from_secs(3600));
    app.until(&format!("/api/audit?action={action}"), |page| page["total"] != 0).await["data"]
        .as_array()
        .unwrap()
        .clone()
}

#[tokio::test]
async fn the_windows_of_the_contract_are_kept_and_shown() {
    let app = app().await;
    let ask = || app.ask("GET", "/api/sessions").admin().send();
    for count in 1..=10u32 {
        let answer = ask().await;
        assert_eq!(answer.headers["x-ratelimit-limit-short"], "10");
        assert_eq!(answer.headers["x-ratelimit-remaining-short"], (10 - count).to_string());
        assert_eq!(answer.headers["x-ratelimit-remaining-medium"], (100 - count).to_string());
        assert_eq!(answer.headers["x-ratelimit-limit-long"], "1000");
        assert_eq!(answer.headers["x-ratelimit-reset-medium"], "60");
        answer.expect(200);
    }
    let refused = ask().await;
    assert_eq!(
        (&refused.headers["retry-after"], &refused.headers["retry-after-short"]),
        (&"1".parse().unwrap(), &"1".parse().unwrap())
    );
    assert_eq!(refused.headers["x-ratelimit-remaining-short"], "0");
    assert_eq!(refused.expect(429), json!({ "statusCode": 429, "message": "Too Many Requests" }));
    // Others are not concerned, nor is who asks whether the process lives.
    app.ask("GET", "/api/sessions").admin().peer(Some("192.0.2.9")).send().await.expect(200);
    for path in ["/api/health", "/api/health/live", "/api/health/ready", "/api/infra/health"] {
        let health = app.ask("GET", path).send().await;
        assert!(!health.headers.contains_key("x-ratelimit-limit-short"));
        health.expect(200);
    }
    app.advance(Duration::from_secs(1));
    ask().await.expect(200);
    let told = entries(&app, "rate_limit_exceeded").await;
    assert_eq!((told.len(), &told[0]["metadata"]["window"]), (1, &json!("short")));
    let numbers = app.ask("GET", "/api/metrics").header("authorization", "Bearer numbers");
    let numbers = numbers.peer(Some("192.0.2.9")).send().await.text();
    assert!(numbers.contains("waypost_rate_limited_total{window=\"short\"} 1\n"), "{numbers}");
}

#[tokio::test]
async fn a_minute_has_a_hundred_requests() {
    let app = app().await;
    for _ in 0..10 {
        for _ in 0..10 {
            app.ask("GET", "/api/nothing").send().await.expect(404);
        }
        app.advance(Duration::from_secs(1));
    }
    let refused = app.ask("GET", "/api/sessions").admin().send().await;
    assert_eq!(refused.headers["retry-after-medium"], "50");
    refused.expect(429);
}

#[tokio::test]
async fn wrong_keys_are_refused_unseen_and_a_right_one_is_not() {
    let app = App::with(|options| {
        options.rates = RateOptions { wrong_keys: 5, ..RateOptions::off() };
    })
    .await;
    let ask = |key: &str| app.ask("GET", "/api/sessions").key(key).send();
    let admin = app.admin.clone();
    ask(&admin).await.expect(200);
    for number in 0..5 {
        ask(&format!("wrong-{number}")).await.expect(401);
    }
    let refused = ask("wrong-6").await;
    assert_eq!(refused.headers["retry-after"], "60");
    refused.expect(429);
    // Health with a key is no way around it.
    let health = app.ask("GET", "/api/health").key("wrong-7").send().await.expect(200);
    assert_eq!(health.get("version"), None);
    ask(&admin).await.expect(200);
    app.ask("GET", "/api/sessions").key("wrong").peer(Some("192.0.2.9")).send().await.expect(401);
    app.advance(Duration::from_secs(60));
    ask("wrong-8").await.expect(401);
}
