//! The delivery log, dead letters and replays.

use serde_json::{Value, json};
use testkit::{Receiver, Reply};

use crate::app::{App, refused};

const FAILURES: &str = "/api/webhooks/delivery-failures";
const REDRIVE: &str = "/api/webhooks/delivery-failures/redrive";

/// A dead letter and, behind it in the same chat, a delivery that arrived.
async fn house(app: &App) -> (String, String, Receiver) {
    let session = app.ready_session("bakery").await;
    let receiver = Receiver::start().await;
    receiver.answer([Reply::Body(500, "broken".into())]);
    let webhook = app.webhook(&session, &receiver.url(), 1).await;
    app.hear_text(&session, 1, 1).await;
    app.until(FAILURES, |rows| rows.as_array().unwrap().len() == 1).await;
    app.hear_text(&session, 1, 2).await;
    receiver.wait_for(2).await;
    let path = format!("/api/webhooks/{webhook}/deliveries?state=delivered");
    app.until(&path, |page| page["deliveries"].as_array().unwrap().len() == 1).await;
    (session, webhook, receiver)
}

#[tokio::test]
async fn the_log_shows_every_attempt() {
    let app = App::start().await;
    let (session, webhook, receiver) = house(&app).await;
    let path = format!("/api/webhooks/{webhook}/deliveries");
    let page = app.get(&path).await;
    assert_eq!(page["nextCursor"], Value::Null);
    let rows = page["deliveries"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!((&rows[0]["state"], &rows[1]["state"]), (&json!("delivered"), &json!("exhausted")));
    let call = receiver.received()[0].json();
    assert_eq!(
        rows[1],
        json!({
            "id": call["deliveryId"], "webhookId": webhook, "sessionId": session,
            "eventId": receiver.received()[0].header("webhook-id"), "event": "message.received",
            "sequence": call["sequence"], "chatId": "49170000001@c.us",
            "idempotencyKey": call["idempotencyKey"], "state": "exhausted", "replayOf": null,
            "occurredAt": call["timestamp"],
            "attempts": [{ "at": rows[1]["attempts"][0]["at"], "durationMs": rows[1]["attempts"][0]["durationMs"],
                "statusCode": 500, "errorKind": "status", "error": "the receiver answered 500" }]
        })
    );
    let id = call["deliveryId"].as_str().unwrap();
    let one = app.get(&format!("/api/deliveries/{id}")).await;
    assert_eq!(one["attempts"][0]["excerpt"], "broken");
    assert_eq!(one["data"], call["data"]);
    let first = app.get(&format!("{path}?limit=1")).await;
    let cursor = first["nextCursor"].as_str().unwrap();
    let second = app.get(&format!("{path}?limit=1&cursor={cursor}")).await;
    assert_eq!((&first["deliveries"][0], &second["deliveries"][0]), (&rows[0], &rows[1]));
    let none = app.get(&format!("{path}?event=message.ack")).await;
    assert_eq!(none["deliveries"], json!([]));
}

#[tokio::test]
async fn dead_letters_have_the_contracts_shape_and_a_redrive_delivers_them() {
    let app = App::start().await;
    let (session, webhook, receiver) = house(&app).await;
    let rows = app.get(&format!("{FAILURES}?sessionId={session}")).await;
    let call = receiver.received()[0].json();
    let id = call["deliveryId"].as_str().unwrap();
    assert_eq!(
        rows,
        json!([{
            "id": id.strip_prefix("dlv_").unwrap(), "webhookId": webhook, "sessionId": session,
            "event": "message.received", "url": receiver.url(), "idempotencyKey": call["idempotencyKey"],
            "deliveryId": id, "attempts": 1, "lastStatusCode": 500, "lastError": "the receiver answered 500",
            "createdAt": rows[0]["createdAt"], "replayable": true
        }])
    );
    let done = app.post(REDRIVE, json!({ "ids": [rows[0]["id"]] }), 200).await;
    let told = |delivered: u32, failed: u32, skipped: u32, remaining: u32| {
        json!({ "redriven": delivered + failed, "delivered": delivered, "enqueued": 0, "failed": failed,
            "skipped": skipped, "remaining": remaining })
    };
    assert_eq!(done, told(1, 0, 0, 0));
    assert_eq!(app.get(FAILURES).await, json!([]));
    let again = receiver.received()[2].json();
    for same in ["idempotencyKey", "sequence", "timestamp", "data", "event"] {
        assert_eq!(again[same], call[same], "{same}");
    }
    assert_ne!(again["deliveryId"], call["deliveryId"]);
    assert_eq!(receiver.received()[2].header("x-openwa-retry-count"), "0");
    let path = format!("/api/deliveries/{}", again["deliveryId"].as_str().unwrap());
    assert_eq!(app.get(&path).await["replayOf"], call["deliveryId"]);
    assert_eq!(app.post(REDRIVE, json!({}), 200).await, told(0, 0, 0, 0));
}

#[tokio::test]
async fn a_redrive_that_fails_leaves_a_dead_letter() {
    let app = App::start().await;
    let (session, webhook, receiver) = house(&app).await;
    receiver.answer([Reply::Status(503)]);
    let done = app.post(REDRIVE, json!({ "webhookId": webhook }), 200).await;
    assert_eq!((&done["failed"], &done["remaining"]), (&json!(1), &json!(1)));
    assert_eq!(app.get(FAILURES).await[0]["lastStatusCode"], 503);
    // Switched off, it is skipped and not replayable.
    let path = format!("/api/sessions/{session}/webhooks/{webhook}");
    app.ask("PUT", &path).admin().json(&json!({ "active": false })).send().await.expect(200);
    assert_eq!(app.get(FAILURES).await[0]["replayable"], false);
    let done = app.post(REDRIVE, json!({ "sessionId": session }), 200).await;
    assert_eq!((&done["redriven"], &done["skipped"]), (&json!(0), &json!(1)));
    assert_eq!(receiver.received().len(), 3);
}

#[tokio::test]
async fn replays_go_by_id_by_range_and_by_filter() {
    let app = App::start().await;
    let (_, webhook, receiver) = house(&app).await;
    let path = format!("/api/webhooks/{webhook}/replay");
    let calls = receiver.received();
    let (dead, arrived) = (calls[0].json(), calls[1].json());
    let told = |enqueued: u32, skipped: u32, next: Value| json!({ "enqueued": enqueued, "skipped": skipped, "nextFrom": next });
    let ids = json!({ "deliveryIds": [arrived["deliveryId"], "dlv_nonsense"] });
    assert_eq!(app.post(&path, ids, 202).await, told(1, 1, Value::Null));
    assert_eq!(receiver.wait_for(3).await[2].json()["data"], arrived["data"]);
    let settled = format!("/api/webhooks/{webhook}/deliveries?state=pending");
    let empty = |page: &Value| page["deliveries"] == json!([]);
    app.until(&settled, empty).await;
    let range = json!({ "from": dead["sequence"], "to": arrived["sequence"], "limit": 1 });
    assert_eq!(app.post(&path, range, 202).await, told(1, 0, arrived["sequence"].clone()));
    assert_eq!(receiver.wait_for(4).await[3].json()["data"], dead["data"]);
    app.until(&settled, empty).await;
    let delivered = json!({ "filter": { "state": "delivered", "chatId": "49170000001@c.us" } });
    assert_eq!(app.post(&path, delivered, 202).await, told(2, 0, Value::Null));
    let keys: Vec<Value> =
        receiver.wait_for(6).await[4..].iter().map(|call| call.json()["data"].clone()).collect();
    assert_eq!(keys, [dead["data"].clone(), arrived["data"].clone()]);
}

#[tokio::test]
async fn what_happened_before_the_webhook_can_be_replayed() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    app.hear_text(&session, 1, 1).await;
    app.hear_text(&session, 2, 2).await;
    let receiver = Receiver::start().await;
    let webhook = app.webhook(&session, &receiver.url(), 1).await;
    let path = format!("/api/webhooks/{webhook}/replay");
    let done = app.post(&path, json!({ "neverAttempted": true }), 202).await;
    assert_eq!(done["enqueued"], 2);
    receiver.wait_for(2).await;
    let log = format!("/api/webhooks/{webhook}/deliveries?state=delivered");
    app.until(&log, |page| page["deliveries"].as_array().unwrap().len() == 2).await;
    let done = app.post(&path, json!({ "neverAttempted": true }), 202).await;
    assert_eq!(done["enqueued"], 0);
}

#[tokio::test]
async fn wrong_questions_are_refused() {
    let app = App::start().await;
    let session = app.new_session("bakery").await;
    let webhook = app.webhook(&session, &app.hook_url(), 1).await;
    let log = format!("/api/webhooks/{webhook}/deliveries");
    for query in ["state=lost", "event=message.recieved", "since=soon", "chatId=x", "cursor=7"] {
        app.ask("GET", &format!("{log}?{query}")).admin().send().await.expect(400);
    }
    let replay = format!("/api/webhooks/{webhook}/replay");
    for body in [
        json!({}),
        json!({ "from": 0 }),
        json!({ "from": 3, "to": 2 }),
        json!({ "deliveryIds": [], "from": 1 }),
        json!({ "neverAttempted": true, "limit": 0 }),
        json!({ "filter": { "state": "lost" } }),
        json!({ "everything": true }),
    ] {
        app.ask("POST", &replay).admin().json(&body).send().await.expect(400);
    }
    for body in [json!({ "limit": 501 }), json!({ "ids": vec!["x"; 501] }), json!({ "all": true })]
    {
        app.ask("POST", REDRIVE).admin().json(&body).send().await.expect(400);
    }
    let unknown = "00000000-0000-4000-8000-000000000000";
    assert_eq!(
        app.ask("GET", &format!("/api/deliveries/dlv_{unknown}")).admin().send().await.expect(404),
        refused(404, "Not Found", &format!("Delivery with id 'dlv_{unknown}' not found"))
    );
}

#[tokio::test]
async fn scoped_keys_see_their_own() {
    let app = App::start().await;
    let (session, webhook, receiver) = house(&app).await;
    let other = app.new_session("other").await;
    let body = json!({ "name": "other", "role": "admin", "allowedSessions": [other] });
    let key = app.new_key(body).await;
    let id = receiver.received()[0].json()["deliveryId"].as_str().unwrap().to_owned();
    for path in [
        format!("/api/webhooks/{webhook}/deliveries"),
        format!("/api/deliveries/{id}"),
        format!("{FAILURES}?sessionId={session}"),
    ] {
        app.ask("GET", &path).key(&key.text).send().await.expect(403);
    }
    let rows = app.ask("GET", FAILURES).key(&key.text).send().await.expect(200);
    assert_eq!(rows, json!([]));
    let done = app.ask("POST", REDRIVE).key(&key.text).json(&json!({})).send().await.expect(200);
    assert_eq!(done["redriven"], 0);
    let own = json!({ "name": "own", "role": "admin", "allowedSessions": [session, other] });
    let key = app.new_key(own).await;
    let rows = app.ask("GET", FAILURES).key(&key.text).send().await.expect(200);
    assert_eq!(rows.as_array().unwrap().len(), 1);
}
