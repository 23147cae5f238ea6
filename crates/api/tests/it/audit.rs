//! What was done is written down before it is answered.

use serde_json::{Value, json};
use testkit::{Receiver, Reply};

use crate::app::{App, refused};

fn actions(page: &Value) -> Vec<&str> {
    page["data"].as_array().unwrap().iter().map(|row| row["action"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn actions_are_told_with_who_and_what() {
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
