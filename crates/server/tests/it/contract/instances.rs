//! Instances of a plugin, and the calls of their providers.

use serde_json::json;

use super::{
    plugin_files::{orders, upload},
    stage::{MIA, Stage, chat},
    walk::Payload,
};
use crate::support::LIMIT;

pub const ROUTES: &[&str] = &[
    "POST /api/integration/plugins/{pluginId}/instances",
    "GET /api/integration/plugins/{pluginId}/instances",
    "GET /api/integration/plugins/{pluginId}/instances/{instanceId}",
    "PATCH /api/integration/plugins/{pluginId}/instances/{instanceId}",
    "DELETE /api/integration/plugins/{pluginId}/instances/{instanceId}",
    "POST /api/integration/plugins/{pluginId}/instances/{instanceId}/regenerate-secret",
    "POST /api/integration/instances/{pluginId}/{instanceId}/redrive",
    "GET /api/ingress/{pluginId}/{instanceId}/{path}",
    "POST /api/ingress/{pluginId}/{instanceId}/{path}",
    "PUT /api/ingress/{pluginId}/{instanceId}/{path}",
    "PATCH /api/ingress/{pluginId}/{instanceId}/{path}",
    "DELETE /api/ingress/{pluginId}/{instanceId}/{path}",
];

const ALL: &str = "/api/integration/plugins/{pluginId}/instances";
const ONE: &str = "/api/integration/plugins/{pluginId}/instances/{instanceId}";

#[tokio::test(flavor = "multi_thread")]
async fn providers_call_an_instance() {
    let mut stage = Stage::new().await;
    upload(&mut stage.walk, &orders(&chat(MIA))).await;
    let walk = &mut stage.walk;
    for (name, value) in
        [("id", "orders"), ("pluginId", "orders"), ("instanceId", "shop"), ("path", "orders")]
    {
        walk.set(name, &json!(value));
    }
    walk.bare("POST", "/api/plugins/{id}/enable", 200).await;
    let session = walk.id("sessionId").to_owned();
    let new =
        json!({ "instanceId": "shop", "sessionScope": session, "config": { "word": "parcel" } });
    walk.call("POST", ALL, new, 201).await;
    assert_eq!(walk.get(ALL).await[0]["instanceId"], "shop");
    let renewed = walk.bare("POST", &format!("{ONE}/regenerate-secret"), 200).await;
    let secret = renewed["secret"].as_str().unwrap();
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
        let delivery = format!("{method}-1");
        let call = (method, "/api/ingress/{pluginId}/{instanceId}/{path}");
        let headers =
            [("authorization", "none"), ("x-token", secret), ("x-delivery", delivery.as_str())];
        let body = match method {
            "GET" | "DELETE" => Payload::Nothing,
            _ => Payload::Bytes("application/json", br#"{"order":1}"#.to_vec()),
        };
        walk.ask(call, body, &headers, 202).await;
        let told = format!("{method} {delivery}");
        stage.mia.wait_for(LIMIT, |message| message.text == told).await.unwrap();
    }
    let again = "/api/integration/instances/{pluginId}/{instanceId}/redrive";
    assert_eq!(walk.bare("POST", again, 201).await["redriven"], 0);
    walk.call("PATCH", ONE, json!({ "enabled": false }), 200).await;
    assert_eq!(walk.get(ONE).await["enabled"], false);
    walk.bare("DELETE", ONE, 204).await;
    stage.end(ROUTES).await;
}
