//! Live events over Socket.IO, with clients that others wrote.

mod client;
mod raw;

use std::time::Duration;

use api::{FramePace, SocketOptions, Window};
use gateway::LiveOptions;
use serde_json::{Value, json};

use self::client::{StockClient, Transports};
use crate::app::{App, Key};

async fn served(app: &App) -> String {
    format!("http://{}", app.serve().await)
}

fn with_key(key: &str) -> Value {
    json!({ "apiKey": key })
}

fn from(key: &str, cursor: &Value) -> Value {
    json!({ "apiKey": key, "cursor": cursor })
}

fn javascript(url: &str, transports: Transports, auth: &Value) -> StockClient {
    StockClient::javascript(url, transports, auth, &json!({}))
}

/// A client of the simplest kind, connected.
async fn connected(url: &str, auth: &Value) -> StockClient {
    let mut client = javascript(url, Transports::WebSocket, auth);
    client.connected().await;
    client
}

fn texts(numbers: std::ops::RangeInclusive<u32>) -> Vec<String> {
    numbers.map(|number| format!("text {number}")).collect()
}

async fn a_stock_client_hears_events_in_order(transports: Transports) {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let url = served(&app).await;
    let mut client = javascript(&url, transports, &with_key(&app.admin));
    match transports {
        Transports::Polling => assert_eq!(client.connected().await, "polling"),
        Transports::WebSocket => assert_eq!(client.connected().await, "websocket"),
        Transports::Both => {
            // Both go on at the same time.
            let mut happened = [client.next().await.0, client.next().await.0];
            happened.sort();
            assert_eq!(happened, ["connect", "upgrade"]);
        }
    }
    client.send(json!({ "type": "ping", "requestId": "1" })).await;
    let pong = client.message().await;
    assert_eq!((&pong["type"], &pong["requestId"]), (&json!("pong"), &json!("1")));
    assert!(pong["timestamp"].as_str().unwrap().ends_with('Z'));
    let answer = client.subscribe(&session, &["message.received", "no.such"]).await;
    assert_eq!(answer["sessionId"], session.as_str());
    assert_eq!(answer["events"], json!(["message.received"]));
    for number in 1..=300 {
        app.hear_text(&session, number % 3, number).await;
    }
    let first = client.message().await;
    assert_eq!(first["type"], "event");
    let payload = &first["payload"];
    assert_eq!(
        (&payload["event"], &payload["sessionId"]),
        (&json!("message.received"), &json!(session))
    );
    assert_eq!(payload["data"]["body"], "text 1");
    let logged = app.get(&format!("/api/events/{}", payload["id"].as_str().unwrap())).await;
    for name in ["id", "event", "sessionId", "data", "sequence", "idempotencyKey"] {
        assert_eq!(payload[name], logged[name], "{name}");
    }
    assert_eq!((&first["cursor"], &first["timestamp"]), (&logged["cursor"], &logged["timestamp"]));
    assert_eq!(client.texts(299).await, texts(2..=300));
    client.send(json!({ "type": "unsubscribe", "sessionId": session })).await;
    assert_eq!(client.message().await["type"], "unsubscribed");
    app.hear_text(&session, 1, 301).await;
    client.send(json!({ "type": "ping" })).await;
    assert_eq!(client.message().await["type"], "pong", "nothing more comes");
    client.send(Value::Null).await;
    assert_eq!(client.next().await.0, "disconnect");
    all_gone(&app).await;
}

async fn all_gone(app: &App) {
    let wait = async {
        while app.gateway.live.clients() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.expect("a place was kept");
}

#[tokio::test]
async fn the_javascript_client_hears_events_by_polling() {
    a_stock_client_hears_events_in_order(Transports::Polling).await;
}

#[tokio::test]
async fn the_javascript_client_hears_events_over_a_websocket() {
    a_stock_client_hears_events_in_order(Transports::WebSocket).await;
}

#[tokio::test]
async fn the_javascript_client_hears_events_through_an_upgrade() {
    a_stock_client_hears_events_in_order(Transports::Both).await;
}

/// It hands messages to threads, so their order says nothing.
#[tokio::test]
async fn the_python_client_hears_every_event() {
    for transports in [Transports::Polling, Transports::WebSocket] {
        let app = App::start().await;
        let session = app.ready_session("bakery").await;
        let url = served(&app).await;
        let mut client = StockClient::python(&url, transports, &with_key(&app.admin));
        client.connected().await;
        client.subscribe("*", &["message.received"]).await;
        for number in 1..=20 {
            app.hear_text(&session, 1, number).await;
        }
        let (mut heard, mut expected) = (client.texts(20).await, texts(1..=20));
        heard.sort();
        expected.sort();
        assert_eq!(heard, expected);
        client.send(Value::Null).await;
        assert_eq!(client.next().await.0, "disconnect");
    }
}

#[tokio::test]
async fn a_cursor_brings_what_was_missed_and_nothing_twice() {
    let app = App::start().await;
    let (session, other) = (app.ready_session("bakery").await, app.ready_session("cafe").await);
    let url = served(&app).await;
    let mut client = connected(&url, &with_key(&app.admin)).await;
    client.subscribe(&session, &["message.received"]).await;
    app.hear_text(&session, 1, 1).await;
    let cursor = client.message().await["cursor"].clone();
    drop(client);
    for number in 2..=150 {
        app.hear_text(&session, 1, number).await;
    }
    app.hear_text(&other, 1, 151).await;
    let mut client = connected(&url, &from(&app.admin, &cursor)).await;
    let answer = client.subscribe(&session, &["message.received"]).await;
    assert_eq!(answer["cursor"], cursor);
    app.hear_text(&session, 1, 152).await;
    let mut expected = texts(2..=150);
    expected.push("text 152".into());
    assert_eq!(client.texts(150).await, expected);
    // A room that is entered later begins at the cursor too, and brings only what is new in it.
    client.subscribe("*", &["message.received"]).await;
    app.hear_text(&session, 1, 153).await;
    assert_eq!(client.texts(2).await, ["text 151", "text 153"]);
    client.send(json!({ "type": "unsubscribe", "sessionId": "*" })).await;
    client.message().await;
    client.subscribe("*", &["message.received"]).await;
    app.hear_text(&other, 1, 154).await;
    assert_eq!(client.texts(1).await, ["text 154"], "entered again, it begins now");
    for cursor in [json!("99999999"), json!("x"), json!(-1), json!({})] {
        let mut client = connected(&url, &from(&app.admin, &cursor)).await;
        client.shut_out("INVALID_CURSOR").await;
    }
}

#[tokio::test]
async fn keys_are_shown_in_the_handshake_and_never_in_the_url() {
    let app = App::start().await;
    let url = served(&app).await;
    for auth in
        [json!({}), with_key("wrong"), json!({ "apiKey": 7 }), json!({ "token": app.admin })]
    {
        let mut client = connected(&url, &auth).await;
        client.shut_out("UNAUTHORIZED").await;
    }
    let mut client = connected(&format!("{url}/events?apiKey={}", app.admin), &json!({})).await;
    client.shut_out("UNAUTHORIZED").await;
    let header = json!({ "x-api-key": app.admin });
    let mut client = StockClient::javascript(&url, Transports::Polling, &json!({}), &header);
    client.connected().await;
    client.subscribe("*", &["*"]).await;
    let refused = app.get("/api/audit?action=api_key_auth_failed").await;
    assert!(refused["data"][0]["path"] == "/socket.io", "{refused}");
}

#[tokio::test]
async fn keys_hear_only_what_they_may_see() {
    let app = App::start().await;
    let (one, two) = (app.ready_session("one").await, app.ready_session("two").await);
    let url = served(&app).await;
    let key = async |body: Value| -> Key { app.new_key(body).await };
    let scoped = key(json!({ "name": "one", "role": "viewer", "allowedSessions": [one] })).await;
    let mut client = connected(&url, &with_key(&scoped.text)).await;
    for session in ["*", two.as_str()] {
        let frame =
            json!({ "type": "subscribe", "sessionId": session, "events": ["*"], "requestId": "r" });
        client.send(frame).await;
        let refused = client.message().await;
        assert_eq!(
            (&refused["code"], &refused["requestId"]),
            (&json!("FORBIDDEN_SESSION"), &json!("r"))
        );
    }
    client.subscribe(&one, &["*"]).await;
    let fenced = json!({ "name": "chat", "role": "viewer", "allowedChats": ["49170000001@c.us"] });
    let fenced = key(fenced).await;
    let mut in_chat = connected(&url, &with_key(&fenced.text)).await;
    in_chat.subscribe("*", &["*"]).await;
    app.hear_text(&two, 2, 1).await;
    app.hear_text(&one, 2, 2).await;
    app.hear_text(&two, 1, 3).await;
    app.hear_text(&one, 1, 4).await;
    assert_eq!(client.texts(2).await, ["text 2", "text 4"]);
    assert_eq!(in_chat.texts(2).await, ["text 3", "text 4"]);
    let viewer = key(json!({ "name": "viewer", "role": "viewer" })).await;
    let mut viewer = connected(&url, &with_key(&viewer.text)).await;
    viewer.send(json!({ "type": "subscribe", "sessionId": "*", "events": ["session.qr"] })).await;
    assert_eq!(viewer.message().await["code"], "INVALID_EVENTS");
    viewer.subscribe("*", &["*"]).await;
    let mut admin = connected(&url, &with_key(&app.admin)).await;
    admin.subscribe("*", &["session.qr"]).await;
    let session = app.qr_session("three").await;
    assert_eq!(admin.message().await["payload"]["event"], "session.qr");
    app.post(&format!("/api/sessions/{session}/stop"), json!({}), 200).await;
    let mut seen = Vec::new();
    while seen.last().is_none_or(|last| last != "disconnected") {
        let event = viewer.message().await;
        assert_ne!(event["payload"]["event"], "session.qr");
        seen.push(event["payload"]["data"]["status"].as_str().unwrap_or_default().to_owned());
    }
}

#[tokio::test]
async fn wrong_frames_are_answered_and_the_socket_lives() {
    let app = App::start().await;
    let mut client = connected(&served(&app).await, &with_key(&app.admin)).await;
    let cases = [
        (json!("bare"), "INVALID_MESSAGE"),
        (json!([1, 2]), "INVALID_MESSAGE"),
        (json!({ "type": "unsubscribe" }), "INVALID_SESSION"),
        (json!({ "type": "subscribe", "sessionId": "*", "events": ["x"] }), "INVALID_EVENTS"),
    ];
    for (frame, code) in cases {
        client.send(frame).await;
        let answer = client.message().await;
        assert_eq!((&answer["type"], &answer["code"]), (&json!("error"), &json!(code)));
    }
    client.send(json!({ "type": "ping" })).await;
    assert_eq!(client.message().await["type"], "pong");
}

#[tokio::test]
async fn a_key_that_is_changed_or_revoked_ends_its_sockets() {
    let app = App::start().await;
    let url = served(&app).await;
    let one = app.new_key(json!({ "name": "one", "role": "viewer" })).await;
    let two = app.new_key(json!({ "name": "two", "role": "operator" })).await;
    let mut revoked = connected(&url, &with_key(&one.text)).await;
    let mut changed = connected(&url, &with_key(&two.text)).await;
    let mut admin = connected(&url, &with_key(&app.admin)).await;
    for client in [&mut revoked, &mut changed, &mut admin] {
        client.subscribe("*", &["*"]).await;
    }
    app.post(&format!("/api/auth/api-keys/{}/revoke", one.id), json!({}), 200).await;
    revoked.shut_out("UNAUTHORIZED").await;
    let path = format!("/api/auth/api-keys/{}", two.id);
    app.ask("PUT", &path).admin().json(&json!({ "role": "viewer" })).send().await.expect(200);
    changed.shut_out("UNAUTHORIZED").await;
    admin.send(json!({ "type": "ping" })).await;
    assert_eq!(admin.message().await["type"], "pong", "others stay");
    let mut again = connected(&url, &with_key(&two.text)).await;
    again.subscribe("*", &["*"]).await;
}

#[tokio::test]
async fn sockets_of_a_key_and_handshakes_of_an_address_are_bounded() {
    let app = App::tuned(|options| {
        options.live = LiveOptions { clients_per_key: 1, ..LiveOptions::default() };
    })
    .await;
    let url = served(&app).await;
    let first = connected(&url, &with_key(&app.admin)).await;
    connected(&url, &with_key(&app.admin)).await.shut_out("RATE_LIMITED").await;
    drop(first);
    all_gone(&app).await;
    for _ in 0..8 {
        drop(connected(&url, &with_key(&app.admin)).await);
        all_gone(&app).await;
    }
    connected(&url, &with_key(&app.admin)).await.shut_out("RATE_LIMITED").await;
    app.advance(Duration::from_secs(60));
    connected(&url, &with_key(&app.admin)).await.subscribe("*", &["*"]).await;
}

#[tokio::test]
async fn frames_of_a_key_are_paced_and_its_socket_stays() {
    let frames = FramePace { per_second: 1, burst: 3 };
    let app =
        App::with(|options| options.sockets = SocketOptions { frames, ..SocketOptions::default() })
            .await;
    let mut client = connected(&served(&app).await, &with_key(&app.admin)).await;
    for _ in 0..5 {
        client.send(json!({ "type": "ping" })).await;
    }
    for _ in 0..3 {
        assert_eq!(client.message().await["type"], "pong");
    }
    assert_eq!(client.message().await["code"], "RATE_LIMITED", "said once");
    // The fifth was dropped as well by the time that this one is read.
    client.send(json!({ "type": "ping" })).await;
    app.advance(Duration::from_secs(2));
    client.send(json!({ "type": "ping", "requestId": "later" })).await;
    loop {
        let answer = client.message().await;
        if answer["requestId"] == "later" {
            assert_eq!(answer["type"], "pong");
            return;
        }
    }
}

#[tokio::test]
async fn a_shutdown_closes_connections_so_that_clients_come_back() {
    let app = App::start().await;
    let mut client = connected(&served(&app).await, &with_key(&app.admin)).await;
    client.subscribe("*", &["*"]).await;
    app.gateway.shutdown().await;
    // Of another end a client does not come back by itself.
    assert_eq!(client.next().await, ("disconnect".to_owned(), json!("transport close")));
}

fn no_limit() -> SocketOptions {
    let handshakes = Window { length: Duration::from_secs(60), limit: 0 };
    SocketOptions { handshakes, ..SocketOptions::default() }
}
