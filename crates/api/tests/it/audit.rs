//! What was done is written down before it is answered.

use serde_json::{Value, json};
use testkit::{Receiver, Reply};

use crate::app::{App, refused};

fn actions(page: &Value) -> Vec<&str> {
    page["data"].as_array().unwrap().iter().map(|row| row["action"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn actions_are_recorded_with_who_and_what() {
    let app = App::start().await;
    let session = app.new_session("bakery").await;
    let webhook = app.webhook(&session, &app.hook_url(), 1).await;
    let path = format!("/api/sessions/{session}/webhooks/{webhook}");
    app.ask("PUT", &path).admin().json(&json!({ "active": false })).send().await.expect(200);
    app.ask("DELETE", &path).admin().header("user-agent", "till/1").send().await.expect(204);
    let key = app.new_key(json!({ "name": "till", "role": "viewer" })).await;
    app.ask("DELETE", &format!("/api/sessions/{session}")).admin().send().await.expect(204);
    // What is refused or only read is no action.
    app.ask("DELETE", &format!("/api/sessions/{session}")).admin().send().await.expect(404);
    app.get("/api/sessions").await;
    let page = app.get("/api/audit").await;
    assert_eq!(
        actions(&page),
        [
            "session_deleted",
            "api_key_created",
            "webhook_deleted",
            "webhook_updated",
            "webhook_created",
            "session_created"
        ]
    );
    assert_eq!(page["total"], 6);
    let deleted = &page["data"][2];
    assert_eq!(
        *deleted,
        json!({
            "id": deleted["id"], "action": "webhook_deleted", "severity": "info",
            "apiKeyId": deleted["apiKeyId"], "apiKeyName": "First admin key", "sessionId": session,
            "sessionName": "bakery", "ipAddress": "192.0.2.200", "userAgent": "till/1",
            "method": "DELETE", "path": path, "statusCode": 204, "metadata": null,
            "errorMessage": null, "createdAt": deleted["createdAt"]
        })
    );
    assert_eq!(page["data"][0]["sessionName"], "bakery");
    assert_eq!(page["data"][5]["sessionName"], "bakery");
    assert_eq!(page["data"][1]["metadata"], json!({ "id": key.id, "name": "till" }));
    assert!(!page.to_string().contains(&key.text), "a secret in the audit");
    let some = app.get(&format!("/api/audit?sessionId={session}&limit=2&offset=1")).await;
    assert_eq!((some["total"].as_u64(), actions(&some).len()), (Some(5), 2));
    assert_eq!(actions(&app.get("/api/audit?action=api_key_created").await), ["api_key_created"]);
}

/// Who turned the events to somebody else.
#[tokio::test]
async fn a_webhook_that_moves_leaves_both_hosts() {
    let app = App::start().await;
    let session = app.new_session("bakery").await;
    let webhook = app.webhook(&session, "https://old.example/hook?token=1", 1).await;
    let path = format!("/api/sessions/{session}/webhooks/{webhook}");
    let put = async |url: &str| {
        let body = json!({ "url": url });
        app.ask("PUT", &path).admin().json(&body).send().await.expect(200);
        app.get("/api/audit?action=webhook_updated").await["data"][0]["metadata"].clone()
    };
    assert_eq!(put("https://old.example/other?token=2").await, Value::Null);
    assert_eq!(
        put("https://new.example:8443/hook?token=3").await,
        json!({ "id": webhook, "from": "https://old.example", "to": "https://new.example:8443" })
    );
}

#[tokio::test]
async fn refused_keys_and_dead_letters_are_noted() {
    let app = App::start().await;
    app.ask("GET", "/api/sessions").key("owa_k1_wrong").send().await.expect(401);
    let refusals = "/api/audit?action=api_key_auth_failed&severity=warn";
    let page = app.until(refusals, |page| page["total"] == 1).await;
    assert_eq!(page["data"][0]["statusCode"], 401);
    let session = app.ready_session("bakery").await;
    app.until("/api/audit?action=session_connected", |page| page["total"] == 1).await;
    let receiver = Receiver::start().await;
    receiver.answer([Reply::Status(500)]);
    let webhook = app.webhook(&session, &receiver.url(), 1).await;
    app.hear_text(&session, 1, 1).await;
    let page = app.until("/api/audit?action=webhook_failed", |page| page["total"] == 1).await;
    let failed = &page["data"][0];
    assert_eq!((&failed["severity"], &failed["sessionId"]), (&json!("error"), &json!(session)));
    assert_eq!(failed["metadata"]["webhookId"], webhook.as_str());
    assert_eq!(failed["errorMessage"], "the receiver answered 500");
}

#[tokio::test]
async fn a_webhook_that_is_switched_off_by_its_receiver_is_audited() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let receiver = Receiver::start().await;
    receiver.answer([Reply::Status(410)]);
    let webhook = app.webhook(&session, &receiver.url(), 1).await;
    app.hear_text(&session, 1, 1).await;
    let page = app.until("/api/audit?action=webhook_disabled", |page| page["total"] == 1).await;
    let entry = &page["data"][0];
    assert_eq!((&entry["severity"], &entry["sessionId"]), (&json!("warn"), &json!(session)));
    assert_eq!(entry["metadata"]["webhookId"], webhook.as_str());
}

#[tokio::test]
async fn scopes_and_wrong_questions() {
    let app = App::start().await;
    let (one, two) = (app.new_session("one").await, app.new_session("two").await);
    let scoped = json!({ "name": "one", "role": "admin", "allowedSessions": [one] });
    let key = app.new_key(scoped).await;
    let ask = async |path: String| app.ask("GET", &path).key(&key.text).send().await;
    assert_eq!(
        ask("/api/audit".into()).await.expect(403),
        refused(403, "Forbidden", "Session-scoped API keys are not permitted on this route")
    );
    ask(format!("/api/audit?sessionId={two}")).await.expect(403);
    assert_eq!(ask(format!("/api/audit?sessionId={one}")).await.expect(200)["total"], 1);
    for query in ["severity=loud", "sessionId=x", "apiKeyId=x"] {
        app.ask("GET", &format!("/api/audit?{query}")).admin().send().await.expect(400);
    }
}

#[tokio::test]
async fn sends_deletions_batches_and_templates_are_recorded_with_their_key() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let till = app.new_key(json!({ "name": "till", "role": "operator" })).await;
    let base = format!("/api/sessions/{session}");
    let chat = "4917012345678@c.us";
    let ask = async |method: &str, path: &str, body: Value, status: u16| {
        let ask = app.ask(method, &format!("{base}{path}")).key(&till.text).json(&body);
        ask.send().await.expect(status)
    };
    let text = json!({ "chatId": chat, "text": "hello" });
    let sent = ask("POST", "/messages/send-text", text, 201).await;
    let delete = json!({ "chatId": chat, "messageId": sent["messageId"] });
    ask("POST", "/messages/delete", delete, 200).await;
    ask("POST", "/templates", json!({ "name": "hi", "body": "Hi" }), 201).await;
    let message = json!({ "chatId": chat, "type": "text", "content": { "text": "hello" } });
    let batch = ask("POST", "/messages/send-bulk", json!({ "messages": [message] }), 202).await;
    for (action, about) in [
        ("message_sent", json!({ "messageId": sent["messageId"] })),
        ("message_deleted", Value::Null),
        ("template_created", Value::Null),
        ("batch_created", json!({ "batchId": batch["batchId"] })),
    ] {
        let found = format!("/api/audit?action={action}&apiKeyId={}", till.id);
        let page = app.until(&found, |page| page["total"] == 1).await;
        assert_eq!(page["data"][0]["apiKeyName"], "till");
        assert_eq!(page["data"][0]["sessionId"], session);
        if !about.is_null() {
            assert_eq!(page["data"][0]["metadata"], about, "{action}");
        }
    }
    assert!(!app.get("/api/audit").await.to_string().contains("hello"), "a text in the audit");
}

#[tokio::test]
async fn a_key_that_was_refused_is_named() {
    let app = App::start().await;
    let elsewhere = json!({ "name": "elsewhere", "role": "admin", "allowedIps": ["203.0.113.7"] });
    let elsewhere = app.new_key(elsewhere).await;
    let viewer = app.new_key(json!({ "name": "viewer", "role": "viewer" })).await;
    let gone = app.new_key(json!({ "name": "gone", "role": "viewer" })).await;
    app.post(&format!("/api/auth/api-keys/{}/revoke", gone.id), json!({}), 200).await;
    for (key, status, why) in [
        (&elsewhere, 403, "IP address not allowed"),
        (&viewer, 403, "Insufficient permissions. Required: admin"),
        (&gone, 401, "API key is revoked"),
    ] {
        app.ask("GET", "/api/audit").key(&key.text).send().await.expect(status);
        let found = format!("/api/audit?action=api_key_auth_failed&apiKeyId={}", key.id);
        let page = app.until(&found, |page| page["total"] == 1).await;
        assert_eq!(page["data"][0]["errorMessage"], why);
        assert_eq!(page["data"][0]["statusCode"], status);
    }
    // Health tells whether a key is good: who tries keys there is seen as well.
    app.ask("GET", "/api/health").key(&gone.text).send().await.expect(200);
    let found = format!("/api/audit?action=api_key_auth_failed&apiKeyId={}", gone.id);
    app.until(&found, |page| page["total"] == 2).await;
}

#[tokio::test]
async fn a_flood_from_one_address_does_not_hide_what_another_tries() {
    let app = App::start().await;
    for _ in 0..100 {
        app.ask("GET", "/api/sessions").key("wrong").send().await.expect(401);
    }
    let other = app.ask("GET", "/api/sessions").key("wrong").peer(Some("192.0.2.9"));
    other.send().await.expect(401);
    let found = "/api/audit?action=api_key_auth_failed&limit=200";
    let page = app.until(found, |page| page["data"][0]["ipAddress"] == "192.0.2.9").await;
    assert_eq!(page["total"], 21);
}
