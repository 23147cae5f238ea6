//! Plugins: installed, configured, enabled, updated, deleted.

use serde_json::json;

use super::{
    plugin_files::{example, orders, serve, upload},
    stage::{MIA, Stage, chat},
};

pub const ROUTES: &[&str] = &[
    "GET /api/plugins",
    "GET /api/plugins/catalog",
    "GET /api/plugins/{id}",
    "GET /api/plugins/{id}/config-ui",
    "GET /api/plugins/{id}/health",
    "POST /api/plugins/install",
    "POST /api/plugins/install-url",
    "POST /api/plugins/{id}/enable",
    "POST /api/plugins/{id}/disable",
    "PUT /api/plugins/{id}/config",
    "PUT /api/plugins/{id}/config/{sessionId}",
    "PUT /api/plugins/{id}/sessions",
    "POST /api/plugins/{id}/update",
    "DELETE /api/plugins/{id}",
];

#[tokio::test(flavor = "multi_thread")]
async fn plugins_come_work_and_go() {
    let mut stage = Stage::new().await;
    let url = serve(example("redact")).await;
    let walk = &mut stage.walk;
    walk.get("/api/plugins/catalog").await;
    let made = walk.call("POST", "/api/plugins/install-url", json!({ "url": url }), 201).await;
    let redact = walk.set("id", &made["id"]);
    walk.bare("POST", "/api/plugins/{id}/enable", 200).await;
    walk.get("/api/plugins").await;
    assert_eq!(walk.get("/api/plugins/{id}/health").await["healthy"], true);
    let patterns = json!({ "config": { "patterns": ["plum"] } });
    walk.call("PUT", "/api/plugins/{id}/config", patterns.clone(), 200).await;
    walk.call("PUT", "/api/plugins/{id}/config/{sessionId}", patterns, 200).await;
    let session = walk.id("sessionId").to_owned();
    walk.call("PUT", "/api/plugins/{id}/sessions", json!({ "sessions": [session] }), 200).await;
    let id = stage.shop_says("A plum cake").await;
    let inbox = stage.mia.inbox().await;
    let said = inbox.iter().find(|message| message.id == id).unwrap();
    assert!(!said.text.contains("plum"), "{}", said.text);

    let made = upload(&mut stage.walk, &orders(&chat(MIA))).await;
    let walk = &mut stage.walk;
    walk.set("id", &made["id"]);
    let page = walk.bytes("/api/plugins/{id}/config-ui").await;
    assert!(String::from_utf8(page.bytes).unwrap().contains("<title>Orders</title>"));
    walk.bare("DELETE", "/api/plugins/{id}", 200).await;
    walk.set("id", &json!(redact));
    walk.call("POST", "/api/plugins/{id}/update", json!({ "url": url }), 201).await;
    assert_eq!(walk.get("/api/plugins/{id}").await["status"], "enabled");
    walk.bare("POST", "/api/plugins/{id}/disable", 200).await;
    walk.bare("DELETE", "/api/plugins/{id}", 200).await;
    assert_eq!(walk.get("/api/plugins").await, json!([]));
    stage.end(ROUTES).await;
}
