//! Wrong input against the built program: OpenWA's status and shape, and nothing stored.

use domain::SessionId;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Api, Prepared};

async fn refused(api: &Api, path: &str, body: Vec<u8>, status: u16) -> Value {
    let (got, answer) = api.raw(Method::POST, path, Some(body)).await;
    assert_eq!(got, status, "{path}: {answer}");
    assert_eq!(answer["statusCode"], status, "{answer}");
    assert!(answer["message"].is_string() || answer["message"].is_array(), "{answer}");
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn each_mistake_gets_its_status_and_stores_nothing() {
    let house = Prepared::new().await;
    let sessions = house.link(&["4915550001000", "4915550002000"]).await;
    let (session, stopped) = (sessions[0], sessions[1]);
    let running = house.start();
    let api = running.api();
    api.ready(session).await;
    api.ready(stopped).await;
    api.post(&format!("/sessions/{stopped}/stop"), &json!({})).await;
    let weak = api.post("/auth/api-keys", &json!({ "name": "screen", "role": "viewer" })).await.1;
    let weak = api.with_key(weak["apiKey"].as_str());

    let send = format!("/sessions/{session}/messages/send-text");
    let good = json!({ "chatId": "4917012345678@c.us", "text": "hello" });
    let with = |key: &str, value: Value| {
        let mut body = good.clone();
        body[key] = value;
        body.to_string().into_bytes()
    };
    refused(&api, &send, with("colour", json!("red")), 400).await;
    refused(&api, &send, with("text", json!({ "de": "Hallo" })), 400).await;
    refused(&api, &send, with("chatId", json!("")), 400).await;
    refused(&api, &send, with("chatId", json!("nobody")), 400).await;
    refused(&api, &send, with("text", json!("a\u{0}b")), 400).await;
    refused(&api, &send, b"{\"chatId\":".to_vec(), 400).await;
    refused(&api, &send, vec![b' '; 30 * 1024 * 1024], 413).await;
    let unknown = SessionId::from_uuid(uuid::Uuid::from_u128(77));
    let path = |id: SessionId| format!("/sessions/{id}/messages/send-text");
    refused(&api, &path(unknown), good.to_string().into_bytes(), 404).await;
    refused(&api, &path(stopped), good.to_string().into_bytes(), 400).await;
    refused(&weak, &send, good.to_string().into_bytes(), 403).await;
    refused(&api.with_key(None), &send, good.to_string().into_bytes(), 401).await;
    refused(&api.with_key(Some("owa_k1_wrong")), &send, good.to_string().into_bytes(), 401).await;

    for id in [session, stopped] {
        assert_eq!(api.get(&format!("/sessions/{id}/messages")).await["total"], 0);
    }
    assert!(house.network.record().messages.is_empty(), "nothing reached the network");
}
