//! The brake: all sends are paused, all keys but the caller's are revoked.

use std::time::Duration;

use domain::{Timer, session::LossCause};
use serde_json::{Value, json};
use testkit::files;

use crate::{
    app::{App, Key, refused},
    bulk::finish,
};

const CHAT: &str = "49170111@c.us";
const GROUP: &str = "120363000000000001@g.us";
const CHANNEL: &str = "120363000000000002@newsletter";
const PAUSED: &str = "All sends of this installation are paused, and nothing was sent: \
    an admin lets them go on with POST /api/sends/resume";

async fn pause(app: &App) -> Value {
    app.post("/api/sends/pause", json!({ "reason": "a loop" }), 200).await
}

async fn resume(app: &App) -> Value {
    app.post("/api/sends/resume", json!({}), 200).await
}

fn path(session: &str, rest: &str) -> String {
    format!("/api/sessions/{session}{rest}")
}

async fn send(app: &App, session: &str, status: u16) -> Value {
    let body = json!({ "chatId": CHAT, "text": "hi" });
    app.post(&path(session, "/messages/send-text"), body, status).await
}

async fn until_sent(app: &App, count: usize) {
    let wait = async {
        while app.whatsapp.sent().len() < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait).await.expect("it never goes out");
    assert_eq!(app.whatsapp.sent().len(), count);
}

/// Every route that makes a message, with a body that is right.
fn sends(template: &str, quoted: &str, poll: &str) -> Vec<(&'static str, Value)> {
    let file = |mimetype: &str, bytes: &[u8]| json!({ "chatId": CHAT, "base64": files::base64(bytes), "mimetype": mimetype });
    let to = |chat: &str| json!({ "chatId": chat, "text": "hi" });
    let own = json!({ "chatId": CHAT, "messageId": quoted });
    let with = |extra: Value| {
        let mut body = own.clone();
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        body
    };
    vec![
        ("/messages/send-text", to(CHAT)),
        ("/messages/send-text", to(GROUP)),
        ("/messages/send-text", to(CHANNEL)),
        ("/messages/send-image", file("image/png", files::PNG)),
        ("/messages/send-video", file("video/mp4", files::MP4)),
        ("/messages/send-audio", file("audio/mpeg", files::MP3)),
        ("/messages/send-document", file("application/pdf", files::PDF)),
        ("/messages/send-sticker", file("image/png", files::PNG)),
        ("/messages/send-location", json!({ "chatId": CHAT, "latitude": 52.5, "longitude": 13.4 })),
        (
            "/messages/send-contact",
            json!({ "chatId": CHAT, "contactName": "Mia", "contactNumber": "+49 170 222" }),
        ),
        (
            "/messages/send-poll",
            json!({ "chatId": CHAT, "name": "Which?", "options": ["Tea", "Cake"] }),
        ),
        ("/messages/send-template", json!({ "chatId": CHAT, "templateId": template })),
        ("/messages/reply", json!({ "chatId": CHAT, "quotedMessageId": quoted, "text": "hi" })),
        (
            "/messages/forward",
            json!({ "fromChatId": CHAT, "toChatId": GROUP, "messageId": quoted }),
        ),
        ("/messages/react", with(json!({ "emoji": "🙂" }))),
        ("/messages/edit", with(json!({ "body": "other" }))),
        ("/messages/delete", with(json!({ "forEveryone": true }))),
        ("/messages/pin", with(json!({ "durationSeconds": 86400 }))),
        ("/messages/unpin", own.clone()),
        (
            "/messages/vote-poll",
            json!({ "chatId": CHAT, "pollMessageId": poll, "options": ["Tea"] }),
        ),
        ("/status/send-text", json!({ "text": "open", "recipients": [CHAT] })),
    ]
}

#[tokio::test]
async fn every_send_is_refused_and_nothing_is_stored() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let template = json!({ "name": "hello", "body": "Hello" });
    let template = app.post(&path(&session, "/templates"), template, 201).await;
    let sent = send(&app, &session, 201).await;
    let poll = json!({ "chatId": CHAT, "name": "Which?", "options": ["Tea", "Cake"] });
    let poll = app.post(&path(&session, "/messages/send-poll"), poll, 201).await;
    let id = |value: &Value, name: &str| value[name].as_str().unwrap().to_owned();
    let sends = sends(&id(&template, "id"), &id(&sent, "messageId"), &id(&poll, "messageId"));
    let (before, frames) = (app.stored().await, app.whatsapp.sent().len());

    pause(&app).await;
    for (route, body) in &sends {
        let answer = app.ask("POST", &path(&session, route)).admin().json(body).send().await;
        let mut expected = refused(503, "Service Unavailable", PAUSED);
        expected["code"] = json!("SENDS_PAUSED");
        assert_eq!(answer.expect(503), expected, "{route}");
        assert!(!answer.headers.contains_key("retry-after"), "people decide how long it takes");
    }
    assert_eq!(app.stored().await, before);
    assert_eq!(app.whatsapp.sent().len(), frames, "nothing left this house");
    // What is no message goes on.
    app.get(&path(&session, "/messages")).await;

    resume(&app).await;
    send(&app, &session, 201).await;
    assert_eq!(app.whatsapp.sent().len(), frames + 1);
}

#[tokio::test]
async fn a_key_of_a_refused_send_is_free_for_the_next() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let body = json!({ "chatId": CHAT, "text": "hi" });
    let ask = || {
        let ask = app.ask("POST", &path(&session, "/messages/send-text")).admin();
        ask.header("idempotency-key", "order-1").json(&body).send()
    };
    let first = ask().await.expect(201);
    pause(&app).await;
    assert_eq!(ask().await.expect(201), first, "it went out before");
    let other = app.ask("POST", &path(&session, "/messages/send-text")).admin();
    let other = other.header("idempotency-key", "order-2").json(&body).send().await;
    other.expect(503);
    resume(&app).await;
    let other = app.ask("POST", &path(&session, "/messages/send-text")).admin();
    let other = other.header("idempotency-key", "order-2").json(&body).send().await;
    other.expect(201);
    assert_eq!(app.whatsapp.sent().len(), 2);
}

#[tokio::test]
async fn a_pause_is_shown_told_audited_and_kept_over_a_restart() {
    let mut app = App::start().await;
    let session = app.ready_session("bakery").await;
    let off = json!({ "paused": false, "since": null, "by": null, "reason": null });
    assert_eq!(app.get("/api/sends").await, off);
    let paused = pause(&app).await;
    assert_eq!((&paused["paused"], &paused["reason"]), (&json!(true), &json!("a loop")));
    assert_eq!(paused["by"], "First admin key");
    assert!(paused["since"].is_string());
    app.advance(Duration::from_secs(30));
    // The first one stays.
    assert_eq!(app.post("/api/sends/pause", json!({ "reason": "other" }), 200).await, paused);
    let viewer = app.new_key(json!({ "name": "eyes", "role": "viewer" })).await;
    let seen = app.ask("GET", "/api/sends").key(&viewer.text).send().await;
    assert_eq!(seen.expect(200), paused);

    let warnings = app.get("/api/health").await["warnings"].clone();
    assert_eq!(warnings[0]["code"], "SENDS_PAUSED");
    assert_eq!(warnings[0]["message"], "All sends are paused by First admin key: a loop");
    assert_eq!(warnings[0]["seconds"], 30);

    app.restart().await;
    app.wait_for(&session, "ready").await;
    assert_eq!(app.get("/api/sends").await, paused);
    send(&app, &session, 503).await;
    assert_eq!(resume(&app).await, off);
    assert_eq!(resume(&app).await, off);
    assert_eq!(app.get("/api/health").await.get("warnings"), None);
    send(&app, &session, 201).await;
    let audit = app.get("/api/audit?action=sends_paused").await;
    assert_eq!(audit["total"], 2);
    assert_eq!(audit["data"][1]["metadata"], json!({ "reason": "a loop" }));
    assert_eq!(app.get("/api/audit?action=sends_resumed").await["total"], 2);
}

#[tokio::test]
async fn only_an_admin_of_all_sessions_pauses() {
    let app = App::start().await;
    let session = app.new_session("bakery").await;
    let operator = app.new_key(json!({ "name": "operator", "role": "operator" })).await;
    let scoped = json!({ "name": "scoped", "role": "admin", "allowedSessions": [session] });
    let scoped = app.new_key(scoped).await;
    for key in [&operator, &scoped] {
        for path in ["/api/sends/pause", "/api/sends/resume", "/api/auth/api-keys/revoke-all"] {
            app.ask("POST", path).key(&key.text).send().await.expect(403);
        }
        app.ask("GET", "/api/processes").key(&key.text).send().await.expect(403);
    }
    let long = json!({ "reason": "x".repeat(201) });
    app.post("/api/sends/pause", long, 400).await;
    app.post("/api/sends/pause", json!({ "why": "no such field" }), 400).await;
    assert_eq!(app.get("/api/sends").await["paused"], false);
    app.post("/api/sends/pause", json!({ "reason": " " }), 200).await;
    assert_eq!(app.get("/api/sends").await["reason"], Value::Null);
}

#[tokio::test]
async fn a_batch_waits_and_goes_on_by_itself() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    pause(&app).await;
    let text = |number: u32| {
        let chat = format!("49170{number:05}@c.us");
        json!({ "chatId": chat, "type": "text", "content": { "text": "hi" } })
    };
    let body = json!({
        "batchId": "spring", "messages": [text(1), text(2), text(3)],
        "options": { "delayBetweenMessages": 2000, "randomizeDelay": false },
    });
    app.post(&path(&session, "/messages/send-bulk"), body, 202).await;
    let batch = path(&session, "/messages/batch/spring?all=true");
    let held = json!({ "reason": "sends_paused", "until": null });
    app.until(&batch, |batch| batch["paused"] == held).await;
    app.advance(Duration::from_secs(20));
    assert_eq!(app.get(&batch).await["progress"]["pending"], 3);
    assert_eq!(app.whatsapp.sent().len(), 0);

    resume(&app).await;
    until_sent(&app, 1).await;
    // And again, in the middle.
    pause(&app).await;
    app.until(&batch, |batch| batch["paused"] == held).await;
    app.advance(Duration::from_secs(20));
    assert_eq!(app.get(&batch).await["progress"]["sent"], 1);
    resume(&app).await;
    let done = finish(&app, &session, "spring").await;
    assert_eq!((&done["status"], &done["progress"]["sent"]), (&json!("completed"), &json!(3)));
    assert_eq!(app.whatsapp.sent().len(), 3);
}

#[tokio::test]
async fn what_a_person_released_waits_and_a_rule_is_silent() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let rule = json!({ "name": "hello", "replyText": "We open at nine", "cooldownSeconds": 3600 });
    app.post(&path(&session, "/automation-rules"), rule, 201).await;
    let agent = json!({ "name": "agent", "role": "operator", "approval": { "dailyBudget": 0 } });
    let agent = app.new_key(agent).await;
    pause(&app).await;
    let ask = app.ask("POST", &path(&session, "/messages/send-text")).key(&agent.text);
    let held = ask.json(&json!({ "chatId": CHAT, "text": "hi" })).send().await.expect(202);
    let approval = format!("/api/approvals/{}", held["id"].as_str().unwrap());
    app.post(&format!("{approval}/release"), json!({}), 200).await;
    app.hear_text(&session, 1, 1).await;
    for _ in 0..5 {
        app.advance(Duration::from_secs(5));
        assert_eq!(app.get(&approval).await["status"], "released");
    }
    assert_eq!(app.whatsapp.sent().len(), 0);
    resume(&app).await;
    app.until(&approval, |found| found["status"] == "sent").await;
    assert_eq!(app.whatsapp.sent().len(), 1);
    // The rule keeps its answer for a message that comes afterwards.
    app.hear_text(&session, 1, 2).await;
    until_sent(&app, 2).await;
}

#[tokio::test]
async fn what_a_reconnect_would_send_again_waits() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    app.whatsapp.on_send(testkit::OnSend::Silence);
    let body = json!({ "chatId": CHAT, "text": "hi" });
    let send_text = path(&session, "/messages/send-text");
    let sending = app.post(&send_text, body, 201);
    let passing = async {
        until_sent(&app, 1).await;
        app.clock.fire(Timer::SendAnswer).await;
    };
    let (sent, ()) = tokio::join!(sending, passing);
    assert_eq!(sent["status"], "pending");
    pause(&app).await;
    app.whatsapp.connection(session.parse().unwrap()).lose(LossCause::Link("reset".into())).await;
    let shown = path(&session, "");
    app.until(&shown, |shown| shown["status"] != "ready").await;
    let back = |shown: &Value| {
        app.advance(Duration::from_secs(1));
        shown["status"] == "ready"
    };
    app.until(&shown, back).await;
    for _ in 0..3 {
        app.clock.fire(Timer::Reconcile).await;
    }
    // It has looked once more.
    app.clock.awaited(Timer::Reconcile).await;
    assert_eq!(app.whatsapp.sent().len(), 1, "it waits");
    let id = sent["messageId"].as_str().unwrap();
    assert_eq!(app.row(&session, id).await["status"], "pending");
    resume(&app).await;
    let rows = path(&session, &format!("/messages?messageId={id}"));
    let settled = |found: &Value| {
        app.advance(Duration::from_secs(1));
        found["messages"][0]["status"] == "sent"
    };
    app.until(&rows, settled).await;
    let frames = app.whatsapp.sent();
    assert_eq!(frames.len(), 2);
    assert_eq!(frames[0].id, frames[1].id, "under its id");
}

#[tokio::test]
async fn another_process_learns_it() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let other = Box::pin(app.neighbour(|_| {})).await;
    let ask = app.ask_of(&other, "POST", "/api/sends/pause").admin();
    ask.json(&json!({ "reason": "there" })).send().await.expect(200);
    app.until("/api/sends", |shown| shown["reason"] == "there").await;
    send(&app, &session, 503).await;
    resume(&app).await;
    let wait = async {
        while other.gateway.brake.pause().is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait).await.expect("it never learns it");
    send(&app, &session, 201).await;
    other.gateway.shutdown().await;
}

async fn works(app: &App, key: &str) -> bool {
    app.ask("GET", "/api/sessions").key(key).send().await.status == 200
}

async fn log_in(app: &App, key: &str) -> String {
    let answer = app.ask("POST", "/api/auth/session").json(&json!({ "apiKey": key })).send().await;
    answer.expect(201);
    let set = answer.headers["set-cookie"].to_str().unwrap();
    set.split(';').next().unwrap().to_owned()
}

#[tokio::test]
async fn all_keys_but_the_callers_are_revoked() {
    let app = App::start().await;
    let keys: Vec<Key> = vec![
        app.new_key(json!({ "name": "till", "role": "viewer" })).await,
        app.new_key(json!({ "name": "boss", "role": "admin" })).await,
    ];
    let (own, other) =
        (log_in(&app, &app.admin.clone()).await, log_in(&app, &app.admin.clone()).await);
    let tills = log_in(&app, &keys[0].text).await;
    let link = app.post("/api/auth/session/link", json!({}), 201).await;
    let ask = app.ask("POST", "/api/auth/api-keys/revoke-all").header("cookie", &own);
    let done = ask.header("sec-fetch-site", "same-origin").send().await.expect(200);
    assert_eq!(done, json!({ "revoked": 2, "kept": ["First admin key"] }));
    for key in &keys {
        assert!(!works(&app, &key.text).await);
    }
    assert!(works(&app, &app.admin).await);
    let by = async |cookie: &str| {
        app.ask("GET", "/api/sessions").header("cookie", cookie).send().await.status
    };
    assert_eq!((by(&own).await, by(&other).await, by(&tills).await), (200, 401, 401));
    let opened = app.ask("POST", "/api/auth/session").json(&json!({ "token": link["token"] }));
    opened.send().await.expect(401);
    let audit = app.get("/api/audit?action=api_keys_revoked").await;
    assert_eq!(audit["data"][0]["metadata"], done);
    assert_eq!(audit["data"][0]["apiKeyName"], "First admin key");
    // By key: every login ends.
    let again = app.post("/api/auth/api-keys/revoke-all", json!({}), 200).await;
    assert_eq!(again, json!({ "revoked": 0, "kept": ["First admin key"] }));
    assert_eq!(by(&own).await, 401);
}

#[tokio::test]
async fn the_key_of_the_setting_stays_and_is_named() {
    let app = App::start().await;
    let master = "a master key of more than thirty-two characters";
    app.gateway.api_keys.ensure_admin(Some(master)).await.unwrap();
    let boss = app.new_key(json!({ "name": "boss", "role": "admin" })).await;
    let ask = app.ask("POST", "/api/auth/api-keys/revoke-all").key(&boss.text);
    let done = ask.send().await.expect(200);
    assert_eq!(done, json!({ "revoked": 1, "kept": ["boss", "API_MASTER_KEY"] }));
    assert!(works(&app, master).await && works(&app, &boss.text).await);
    assert!(!works(&app, &app.admin).await);
    let ask = app.ask("POST", "/api/auth/api-keys/revoke-all").key(master);
    let done = ask.send().await.expect(200);
    assert_eq!(done, json!({ "revoked": 1, "kept": ["API_MASTER_KEY"] }));
}

#[tokio::test]
async fn a_live_stream_of_a_revoked_key_ends() {
    use http_body_util::BodyExt as _;
    let app = App::start().await;
    let till = app.new_key(json!({ "name": "till", "role": "viewer" })).await;
    let mut stream = app.ask("GET", "/api/events").key(&till.text).open().await.into_body();
    let first = stream.frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(String::from_utf8_lossy(&first).contains("event: ready"));
    app.post("/api/auth/api-keys/revoke-all", json!({}), 200).await;
    let end = tokio::time::timeout(Duration::from_secs(10), stream.frame()).await;
    assert!(end.expect("the stream goes on").is_none());
}

#[tokio::test]
async fn processes_are_listed_with_what_they_hold() {
    let app = App::start().await;
    app.ready_session("bakery").await;
    let alone = app.get("/api/processes").await;
    let own = &alone[0];
    assert_eq!(alone.as_array().unwrap().len(), 1);
    assert_eq!((&own["id"], &own["self"]), (&json!("waypost"), &json!(true)));
    assert_eq!((&own["role"], &own["version"]), (&json!("all"), &json!("9.9.9-test")));
    assert_eq!((&own["sessions"], &own["lanes"]), (&json!(1), &json!(0)));
    assert_eq!(own["url"], Value::Null);
    assert!(own["leaseUntil"].is_string());

    let other = Box::pin(app.neighbour(|options| {
        let url = "http://127.0.0.1:9".parse().unwrap();
        let key = domain::hop::HopKey::derive(&[9; 32]);
        let answer_limit = Duration::from_secs(1);
        options.peers = Some(gateway::PeerOptions { url, key, answer_limit });
    }))
    .await;
    let seen = app.get("/api/processes").await;
    let expected = json!({
        "id": "neighbour", "url": "http://127.0.0.1:9/", "role": "all", "sessions": 0, "lanes": 0,
        "leaseUntil": null, "self": false,
    });
    assert_eq!(seen[1], expected);
    let there = app.ask_of(&other, "GET", "/api/processes").admin().send().await.expect(200);
    assert_eq!((&there[0]["id"], &there[0]["self"]), (&json!("neighbour"), &json!(true)));
    assert_eq!((&there[1]["id"], &there[1]["sessions"]), (&json!("waypost"), &json!(1)));
    // A process that fell silent and holds nothing is not there.
    other.gateway.shutdown().await;
    app.advance(Duration::from_secs(61));
    assert_eq!(app.get("/api/processes").await.as_array().unwrap().len(), 1);
}
