//! Webhooks: made, tried, failing, and redriven.

use serde_json::{Value, json};
use testkit::{Receiver, Reply};

use super::stage::Stage;

pub const ROUTES: &[&str] = &[
    "POST ./webhooks",
    "GET ./webhooks",
    "GET ./webhooks/{id}",
    "PUT ./webhooks/{id}",
    "DELETE ./webhooks/{id}",
    "POST ./webhooks/{id}/test",
    "GET /api/webhooks",
    "GET /api/webhooks/delivery-failures",
    "POST /api/webhooks/delivery-failures/redrive",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_made_tried_and_redriven() {
    let mut stage = Stage::new().await;
    let receiver = Receiver::start().await;
    let new = json!({
        "url": receiver.url(), "events": ["message.received"], "secret": "a-secret-of-the-hook",
        "headers": { "X-Shop": "bakery" }, "policy": { "attempts": 1 },
        "filters": { "conditions": [{ "field": "body", "operator": "contains", "value": "cake" }] },
    });
    let made = stage.walk.call("POST", "./webhooks", new, 201).await;
    stage.walk.set("id", &made["id"]);
    assert_eq!(stage.walk.get("./webhooks").await[0]["id"], made["id"]);
    stage.walk.get("/api/webhooks?limit=10").await;
    let change = json!({ "filters": null, "events": ["*"] });
    stage.walk.call("PUT", "./webhooks/{id}", change, 200).await;
    let change = json!({ "events": ["message.received"] });
    stage.walk.call("PUT", "./webhooks/{id}", change, 200).await;
    assert_eq!(stage.walk.get("./webhooks/{id}").await["events"], json!(["message.received"]));
    let tried = stage.walk.bare("POST", "./webhooks/{id}/test", 200).await;
    assert_eq!(tried["success"], true);
    receiver.answer([Reply::Body(500, "broken".into())]);
    stage.mia_says("Is the cake ready?").await;
    let failures = "/api/webhooks/delivery-failures";
    let one = |rows: &Value| rows.as_array().unwrap().len() == 1;
    let rows = stage.walk.until(failures, one).await;
    assert_eq!(rows[0]["webhookId"], made["id"]);
    let before = receiver.received().len();
    let all = json!({ "limit": 10, "webhookId": made["id"] });
    let redriven = "/api/webhooks/delivery-failures/redrive";
    stage.walk.call("POST", redriven, all, 200).await;
    receiver.wait_for(before + 1).await;
    stage.walk.until(failures, |rows| rows.as_array().unwrap().is_empty()).await;
    stage.walk.bare("DELETE", "./webhooks/{id}", 204).await;
    stage.walk.bare("GET", "./webhooks/{id}", 404).await;
    stage.end(ROUTES).await;
}
