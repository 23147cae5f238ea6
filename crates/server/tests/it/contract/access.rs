//! Keys, and what the house says of itself.

use serde_json::{Value, json};

use super::{stage::Stage, walk::Payload};
use crate::support::METRICS_TOKEN;

pub const ROUTES: &[&str] = &[
    "POST /api/auth/api-keys",
    "GET /api/auth/api-keys",
    "GET /api/auth/api-keys/{id}",
    "PUT /api/auth/api-keys/{id}",
    "POST /api/auth/api-keys/{id}/revoke",
    "DELETE /api/auth/api-keys/{id}",
    "POST /api/auth/validate",
    "GET /api/health",
    "GET /api/health/live",
    "GET /api/health/ready",
    "GET /api/infra/health",
    "GET /api/metrics",
    "GET /api/stats/overview",
    "GET /api/stats/messages",
    "GET /api/stats/sessions/{sessionId}",
    "GET /api/settings",
    "GET /api/audit",
    "GET /api/search",
];

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_made_changed_and_taken_away() {
    let mut stage = Stage::new().await;
    let session = stage.walk.id("sessionId").to_owned();
    let walk = &mut stage.walk;
    let keys = "/api/auth/api-keys";
    let new = json!({
        "name": "till", "role": "operator", "allowedSessions": [session], "expiresAt": "2100-01-01T00:00:00.000Z",
    });
    let made = walk.call("POST", keys, new, 201).await;
    walk.set("id", &made["id"]);
    walk.get(keys).await;
    let one = "/api/auth/api-keys/{id}";
    let change = json!({ "name": "till two", "allowedIps": ["127.0.0.1"] });
    walk.call("PUT", one, change, 200).await;
    assert_eq!(walk.get(one).await["name"], "till two");
    let key = made["apiKey"].as_str().unwrap();
    let bearer = format!("Bearer {key}");
    let validate = ("POST", "/api/auth/validate");
    let own = [("authorization", bearer.as_str())];
    let valid = walk.ask(validate, Payload::Nothing, &own, 200).await.body;
    assert_eq!(valid["valid"], true);
    walk.bare("POST", "/api/auth/api-keys/{id}/revoke", 200).await;
    walk.ask(validate, Payload::Nothing, &own, 401).await;
    walk.bare("DELETE", one, 204).await;
    walk.bare("GET", one, 404).await;
    the_house(&mut stage).await;
    stage.end(ROUTES).await;
}

async fn the_house(stage: &mut Stage) {
    stage.mia_says("Is the plum cake ready?").await;
    stage.shop_says("Yes, the plum cake is ready").await;
    let walk = &mut stage.walk;
    for path in ["/api/health", "/api/health/live", "/api/health/ready", "/api/infra/health"] {
        assert_eq!(walk.get(path).await["status"], "ok", "{path}");
    }
    let bearer = format!("Bearer {METRICS_TOKEN}");
    let metrics = ("GET", "/api/metrics");
    walk.ask(metrics, Payload::Nothing, &[("authorization", &bearer)], 200).await;
    walk.get("/api/stats/overview").await;
    for period in ["24h", "7d", "30d"] {
        walk.get(&format!("/api/stats/messages?period={period}")).await;
    }
    walk.get("/api/stats/sessions/{sessionId}").await;
    walk.get("/api/settings").await;
    let audit = walk.get("/api/audit?limit=100").await;
    assert!(audit["total"].as_u64().unwrap() > 3, "{audit}");
    walk.get("/api/audit?action=api_key_created&limit=1&offset=0").await;
    let both = |found: &Value| found["total"] == 2;
    walk.until("/api/search?q=plum&limit=10", both).await;
    let narrow =
        format!("/api/search?q=plum&sessionId={}&direction=incoming", walk.id("sessionId"));
    assert_eq!(walk.get(&narrow).await["total"], 1);
}
