//! The plugins that the documentation offers to start from.

use serde_json::json;
use testkit::Receiver;

use super::{installed, put, send, texts, until_sent, zipped};
use crate::app::App;

/// One of the plugins that the documentation offers to start from.
fn example(name: &str) -> Vec<u8> {
    let folder =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/plugins").join(name);
    let read = |file: &str| std::fs::read_to_string(folder.join(file)).unwrap();
    zipped(&[("manifest.json", &read("manifest.json")), ("index.js", &read("index.js"))])
}

#[tokio::test]
async fn the_example_that_redacts_masks_cards_and_secrets_on_both_ways() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let receiver = Receiver::start().await;
    installed(&app, &example("redact"), "redact").await;
    app.webhook(&session, &receiver.url(), 3).await;
    let text = "card 4111 1111 1111 1111, order 1234567890123, key sk_live_abcdefgh1234";
    send(&app, &session, text, 201).await;
    assert_eq!(texts(&app), ["card [redacted], order 1234567890123, key [redacted]"]);
    let mut message = testkit::build::inbound(1, &testkit::build::chat(1));
    message.content = domain::content::Content::text("pay 5500-0000-0000-0004");
    app.hear(&session, vec![message]).await;
    let got = receiver.wait_for(1).await;
    assert_eq!(got[0].json()["data"]["body"], "pay [redacted]");
    let bad =
        put(&app, "/api/plugins/redact/config", json!({ "config": { "patterns": [7] } }), 400)
            .await;
    assert!(bad["message"].to_string().contains("patterns[0]"), "{bad}");
}

#[tokio::test]
async fn the_example_that_answers_keywords_does_so_once_per_cooldown() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    installed(&app, &example("keyword-reply"), "keyword-reply").await;
    let rules = json!({ "config": { "rules": [{ "keyword": "TEXT", "reply": "9 to 5" }] } });
    put(&app, "/api/plugins/keyword-reply/config", rules, 200).await;
    app.hear_text(&session, 1, 1).await;
    assert_eq!(until_sent(&app, 1).await, ["9 to 5"]);
    app.hear_text(&session, 1, 2).await;
    app.hear_text(&session, 2, 3).await;
    until_sent(&app, 2).await;
    app.advance(std::time::Duration::from_secs(61));
    app.hear_text(&session, 1, 4).await;
    assert_eq!(until_sent(&app, 3).await, ["9 to 5"; 3], "one each, and one after the cooldown");
}

#[tokio::test]
async fn the_example_of_business_hours_answers_or_blocks_in_its_time_zone() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    installed(&app, &example("business-hours"), "business-hours").await;
    // The tests begin on a Thursday at 08:00 UTC: 15:00 in Jakarta, 10:00 in Berlin.
    let hours = |zone: &str, mode: &str| json!({ "config": { "timeZone": zone, "mode": mode, "hours": { "thu": "09:00-12:00" }, "reply": "closed" } });
    let path = "/api/plugins/business-hours/config";
    put(&app, path, hours("Asia/Jakarta", "answer"), 200).await;
    app.hear_text(&session, 1, 1).await;
    assert_eq!(until_sent(&app, 1).await, ["closed"]);
    put(&app, path, hours("Asia/Jakarta", "block"), 200).await;
    send(&app, &session, "hello", 400).await;
    put(&app, path, hours("Europe/Berlin", "block"), 200).await;
    send(&app, &session, "hello", 201).await;
}

#[tokio::test]
async fn the_example_of_actions_calls_only_where_it_may() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    installed(&app, &example("http-action"), "http-action-example").await;
    let action = json!({ "command": "text", "path": "/orders/{rest}", "reply": "{status}", "error": "not reached" });
    let config = json!({ "config": { "baseUrl": "https://127.0.0.1:1", "actions": [action] } });
    put(&app, "/api/plugins/http-action-example/config", config, 200).await;
    app.hear_text(&session, 1, 1).await;
    assert_eq!(until_sent(&app, 1).await, ["not reached"]);
}
