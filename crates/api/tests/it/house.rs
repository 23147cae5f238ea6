//! What the gateway knows itself: history, receipts, numbers, the search, automation rules, the installation.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use api::{ConfigRefused, Installation, InstallationFacts, SavedConfig, ShownConfig};
use domain::{
    content::Content,
    event::ChangeSource,
    message::InboundMessage,
    port::{EngineSignal, ReceiptKind},
};
use serde_json::{Map, Value, json};

use crate::{
    app::{App, next, refused},
    inbound::{GROUP, MIA, TIME, chat, from_mia, wa_id},
};

const BEN: &str = "49170222@c.us";

async fn ready() -> (App, String) {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    (app, session)
}

fn text(id: &str, body: &str) -> InboundMessage {
    from_mia(id, Content::text(body))
}

#[tokio::test]
async fn the_history_of_a_chat_is_told_oldest_first() {
    let (app, session) = ready().await;
    let messages = (1..=60).map(|number| InboundMessage {
        timestamp: TIME + number,
        ..text(&format!("3AF{number:03}"), &format!("text {number}"))
    });
    app.hear(&session, messages.collect()).await;
    let elsewhere = InboundMessage { chat: chat(BEN), sender: chat(BEN), ..text("3BF0", "other") };
    app.hear(&session, vec![elsewhere]).await;
    let path = format!("/api/sessions/{session}/messages/{MIA}/history");
    let bodies = |list: &Value| -> Vec<String> {
        let list = list.as_array().unwrap().iter();
        list.map(|one| one["body"].as_str().unwrap().to_owned()).collect()
    };
    let told = app.get(&path).await;
    let last_fifty: Vec<String> = (11..=60).map(|number| format!("text {number}")).collect();
    assert_eq!(bodies(&told), last_fifty);
    assert_eq!(
        told[49],
        json!({
            "id": "3AF060", "from": MIA, "to": "4915550001000@c.us", "chatId": MIA, "body": "text 60", "type": "text",
            "timestamp": TIME + 60, "fromMe": false, "isGroup": false, "kind": "individual",
            "contact": { "pushName": "Mia" },
        })
    );
    assert_eq!(bodies(&app.get(&format!("{path}?limit=2")).await), ["text 59", "text 60"]);
    assert_eq!(bodies(&app.get(&format!("{path}?limit=5000")).await).len(), 60);
    assert_eq!(bodies(&app.get(&format!("{path}?deep=true&limit=55")).await).len(), 55);
    app.ask("GET", &format!("{path}?deep=yes")).admin().send().await.expect(400);
    // The ledger answers, whether or not the session runs.
    app.ask("POST", &format!("/api/sessions/{session}/stop")).admin().send().await.expect(200);
    assert_eq!(bodies(&app.get(&path).await), last_fifty);
    let unknown = "/api/sessions/00000000-0000-4000-8000-000000000001/messages/1@c.us/history";
    app.ask("GET", unknown).admin().send().await.expect(404);
}

#[tokio::test]
async fn a_key_of_one_chat_reads_the_history_of_that_chat_alone() {
    let (app, session) = ready().await;
    app.hear(&session, vec![text("3AF0", "hi")]).await;
    let key = app.new_key(json!({ "name": "mia", "role": "viewer", "allowedChats": [MIA] })).await;
    let path = |chat: &str| format!("/api/sessions/{session}/messages/{chat}/history");
    let told = app.ask("GET", &path(MIA)).key(&key.text).send().await.expect(200);
    assert_eq!(told.as_array().unwrap().len(), 1);
    app.ask("GET", &path(BEN)).key(&key.text).send().await.expect(403);
}

fn receipt(participant: &str, kind: ReceiptKind, timestamp: i64) -> EngineSignal {
    EngineSignal::Receipt {
        chat: chat(GROUP),
        participant: Some(chat(participant)),
        ids: vec![wa_id("3AF1")],
        kind,
        timestamp,
    }
}

#[tokio::test]
async fn receipts_are_told_by_recipient_with_both_ids() {
    let (app, session) = ready().await;
    let lid = "99887766@lid";
    let known = InboundMessage { sender_lid: Some(chat(lid)), ..text("3AF0", "hi") };
    let known = InboundMessage { sender_phone: chat(MIA).phone(), ..known };
    let typed = InboundMessage {
        from_me: true,
        chat: chat(GROUP),
        sender: chat("4915550001000@c.us"),
        ..text("3AF1", "Open till six")
    };
    // One overtakes the message, as after a reconnect.
    app.signal(&session, receipt(BEN, ReceiptKind::Delivered, TIME + 1)).await;
    app.hear(&session, vec![known, typed]).await;
    app.signal(&session, receipt(lid, ReceiptKind::Delivered, TIME + 2)).await;
    app.signal(&session, receipt(MIA, ReceiptKind::Read, TIME + 3)).await;
    app.signal(&session, receipt(MIA, ReceiptKind::Played, TIME + 4)).await;
    let path =
        |chat: &str, id: &str| format!("/api/sessions/{session}/messages/{chat}/{id}/receipts");
    let played = |told: &Value| told["played"].as_array().is_some_and(|list| !list.is_empty());
    let told = app.until(&path(GROUP, "3AF1"), played).await;
    assert_eq!(
        told,
        json!({
            "messageId": "3AF1",
            "delivered": [{ "id": BEN, "timestamp": TIME + 1 }, { "id": MIA, "timestamp": TIME + 2 }],
            "read": [{ "id": MIA, "timestamp": TIME + 3 }],
            "played": [{ "id": MIA, "timestamp": TIME + 4 }],
            "recipients": [
                { "id": MIA, "phone": "49170111", "lid": lid, "deliveredAt": TIME + 2, "readAt": TIME + 3,
                  "playedAt": TIME + 4 },
                { "id": BEN, "phone": "49170222", "lid": null, "deliveredAt": TIME + 1, "readAt": null,
                  "playedAt": null },
            ],
        })
    );
    // Of what somebody else wrote, of nothing, and of the message under another chat.
    app.ask("GET", &path(MIA, "3AF0")).admin().send().await.expect(400);
    let missing = refused(404, "Not Found", "Message 3AF9 not found");
    assert_eq!(app.ask("GET", &path(GROUP, "3AF9")).admin().send().await.expect(404), missing);
    app.ask("GET", &path(MIA, "3AF1")).admin().send().await.expect(404);
}

#[tokio::test]
async fn changes_of_the_account_say_where_they_were_made() {
    let (app, session) = ready().await;
    let mut calls = app.hook(&session).await;
    let target = || domain::content::Target { id: wa_id("3AF0"), from_me: false, author: None };
    let reaction = |emoji: &str| Content::Reaction { target: target(), emoji: emoji.into() };
    let own = |id: &str, source| InboundMessage {
        from_me: true,
        source: Some(source),
        ..from_mia(id, reaction("👍"))
    };
    app.hear(
        &session,
        vec![
            text("3AF0", "hi"),
            from_mia("3B00", reaction("🎉")),
            own("3B01", ChangeSource::Phone),
            own("3B02", ChangeSource::OtherDevice),
        ],
    )
    .await;
    assert_eq!(next(&mut calls).await["event"], "message.received");
    for source in [Value::Null, json!("phone"), json!("other_device")] {
        let call = next(&mut calls).await;
        assert_eq!(
            (&call["event"], &call["data"]["source"]),
            (&json!("message.reaction"), &source)
        );
    }
    let react = json!({ "chatId": MIA, "messageId": "3AF0", "emoji": "❤" });
    app.post(&format!("/api/sessions/{session}/messages/react"), react, 200).await;
    let call = next(&mut calls).await;
    assert_eq!(
        (&call["event"], &call["data"]["source"]),
        (&json!("message.reaction"), &json!("api"))
    );
}

#[tokio::test]
async fn numbers_are_counted_as_messages_come() {
    let (app, session) = ready().await;
    app.hear(&session, vec![text("3AF0", "one"), text("3AF1", "two")]).await;
    let send = json!({ "chatId": BEN, "text": "hello" });
    app.post(&format!("/api/sessions/{session}/messages/send-text"), send, 201).await;
    let overview = app.get("/api/stats/overview").await;
    assert_eq!(
        overview,
        json!({
            "sessions": { "active": 1, "total": 1, "byStatus": { "ready": 1 } },
            "messages": { "sent": 1, "received": 2, "failed": 0, "today": { "sent": 1, "received": 2 } },
        })
    );
    let day = app.get("/api/stats/messages").await;
    assert_eq!(day["timeSeries"].as_array().unwrap().len(), 24);
    let last = &day["timeSeries"][23];
    assert_eq!((&last["sent"], &last["received"]), (&json!(1), &json!(2)));
    assert!(last["timestamp"].as_str().unwrap().ends_with(":00:00"), "{last}");
    assert_eq!(day["byType"], json!({ "text": 3 }));
    let of_session = json!([{ "sessionId": session, "name": "bakery", "sent": 1, "received": 2 }]);
    assert_eq!(day["bySession"], of_session);
    let top = json!({ "chatId": MIA, "chatName": "Mia", "messageCount": 2, "sessionId": session });
    assert_eq!(day["topChats"][0], top);
    let month = app.get("/api/stats/messages?period=30d").await;
    assert_eq!(month["timeSeries"].as_array().unwrap().len(), 30);
    assert_eq!(month["timeSeries"][29]["timestamp"].as_str().unwrap().len(), "2026-10-01".len());
    app.ask("GET", "/api/stats/messages?period=1y").admin().send().await.expect(400);

    let one = app.get(&format!("/api/stats/sessions/{session}")).await;
    assert_eq!(one["session"], json!({ "id": session, "name": "bakery", "status": "ready" }));
    assert_eq!(one["messages"], json!({ "sent": 1, "received": 2, "today": 3, "failed": 0 }));
    assert_eq!(
        (&one["topChats"][0]["chatId"], &one["topChats"][0]["count"]),
        (&json!(MIA), &json!(2))
    );
    let hours = one["hourlyActivity"].as_array().unwrap();
    let sum: u64 = hours.iter().map(|hour| hour["received"].as_u64().unwrap()).sum();
    assert_eq!((hours.len(), sum), (24, 2));
    let stranger = "/api/stats/sessions/00000000-0000-4000-8000-000000000001";
    let missing = refused(404, "Not Found", "Session not found");
    assert_eq!(app.ask("GET", stranger).admin().send().await.expect(404), missing);

    // The same for whoever asks soon after; anew when that is over.
    app.hear(&session, vec![text("3AF2", "three")]).await;
    assert_eq!(app.get("/api/stats/overview").await, overview);
    app.advance(Duration::from_secs(31));
    assert_eq!(app.get("/api/stats/overview").await["messages"]["received"], 3);
}

#[tokio::test]
async fn settings_are_shown() {
    let app = App::start().await;
    let settings = app.get("/api/settings").await;
    assert_eq!(settings["general"]["apiBaseUrl"], "http://localhost:2785");
    assert_eq!(settings["api"]["enableDocs"], true);
    assert_eq!(settings["notifications"]["emailEnabled"], false);
}

#[tokio::test]
async fn messages_are_found_within_what_the_key_may_see() {
    let (app, session) = ready().await;
    let other = app.ready_session("florist").await;
    let from_ben = InboundMessage {
        chat: chat(BEN),
        sender: chat(BEN),
        ..text("3AF1", "A <b>cake</b> & more")
    };
    app.hear(&session, vec![text("3AF0", "Is the Cake ready?"), from_ben]).await;
    app.hear(&other, vec![text("3AF2", "no cake here")]).await;
    let found = app.get("/api/search?q=cake").await;
    assert_eq!((&found["total"], &found["provider"]), (&json!(3), &json!("builtin-fts")));
    let ids = |found: &Value| -> Vec<String> {
        let hits = found["hits"].as_array().unwrap().iter();
        hits.map(|hit| hit["waMessageId"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&found), ["3AF2", "3AF1", "3AF0"]);
    let hit = &found["hits"][1];
    assert_eq!(hit["snippet"], "A &lt;b&gt;<mark>cake</mark>&lt;/b&gt; &amp; more");
    assert_eq!((&hit["sessionId"], &hit["chatId"]), (&json!(session), &json!(BEN)));
    assert_eq!(hit["timestamp"], TIME);
    let page = app.get("/api/search?q=cake&limit=1&offset=1").await;
    assert_eq!((ids(&page), &page["total"]), (vec!["3AF1".to_owned()], &json!(3)));
    let narrow = format!("/api/search?q=cake&sessionId={session}&from={MIA}&direction=incoming");
    assert_eq!(ids(&app.get(&narrow).await), ["3AF0"]);

    let key = app.new_key(json!({ "name": "ben", "allowedChats": [BEN] })).await;
    let ask =
        async |path: &str, status| app.ask("GET", path).key(&key.text).send().await.expect(status);
    let seen = ask("/api/search?q=cake", 200).await;
    assert_eq!((ids(&seen), &seen["total"]), (vec!["3AF1".to_owned()], &json!(1)));
    ask(&format!("/api/search?q=cake&chatId={MIA}"), 403).await;
    let key = app.new_key(json!({ "name": "one", "allowedSessions": [other] })).await;
    let seen = app.ask("GET", "/api/search?q=cake").key(&key.text).send().await.expect(200);
    assert_eq!(ids(&seen), ["3AF2"]);
    let path = format!("/api/search?q=cake&sessionId={session}");
    app.ask("GET", &path).key(&key.text).send().await.expect(403);
    let viewer = app.new_key(json!({ "name": "viewer", "role": "viewer" })).await;
    app.ask("GET", "/api/search?q=cake").key(&viewer.text).send().await.expect(403);
}

#[tokio::test]
async fn wrong_questions_are_refused() {
    let (app, _) = ready().await;
    for wrong in [
        "",
        "q=",
        "q=%21",
        "q=cake&limit=0",
        "q=cake&limit=101",
        "q=cake&limit=x",
        "q=cake&offset=100001",
        "q=cake&offset=-1",
        "q=cake&sessionId=7",
        "q=cake&chatId=%20",
        "q=cake&direction=up",
        "q=cake&type=tea",
        "q=cake&dateFrom=soon",
        "q=cake&match=like",
        "q=cake&q=tea",
        "q=cake&match=contains",
    ] {
        let path = format!("/api/search?{wrong}");
        let answer = app.ask("GET", &path).admin().send().await.expect(400);
        assert!(answer["message"].is_array(), "{wrong}: {answer}");
    }
    let off = App::tuned(|options| options.search.enabled = false).await;
    off.ask("GET", "/api/search?q=cake").admin().send().await.expect(501);
}

#[tokio::test]
async fn parts_of_words_are_found_where_that_is_on() {
    let app = App::tuned(|options| options.search.contains = true).await;
    let session = app.ready_session("bakery").await;
    app.hear(&session, vec![text("3AF0", "Caféteria"), text("3AF1", "cafe")]).await;
    let found = |total: u64| move |found: &Value| found["total"] == total;
    // The index is switched on beside the start.
    let found = app.until("/api/search?q=FETE&match=contains", found(1)).await;
    assert_eq!(found["hits"][0]["snippet"], "Ca<mark>féte</mark>ria");
    app.ask("GET", "/api/search?q=fe&match=contains").admin().send().await.expect(400);
    assert_eq!(app.get("/api/search?q=fete").await["total"], 0);
}

async fn rule(app: &App, session: &str, body: Value) -> Value {
    app.post(&format!("/api/sessions/{session}/automation-rules"), body, 201).await
}

/// The texts that went out, as soon as there are so many.
async fn answers(app: &App, count: usize) -> Vec<String> {
    let wait = async {
        loop {
            let sent = app.whatsapp.sent();
            if sent.len() >= count {
                return sent.iter().filter_map(|one| one.content.body()).collect();
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait).await.unwrap()
}

#[tokio::test]
async fn rules_are_kept() {
    let (app, session) = ready().await;
    let path = format!("/api/sessions/{session}/automation-rules");
    let conditions =
        json!({ "conditions": [{ "field": "body", "operator": "contains", "value": "open" }] });
    let new =
        json!({ "name": "hours", "replyText": "From nine to six.", "conditions": conditions });
    let made = rule(&app, &session, new).await;
    assert_eq!(made.as_object().unwrap().len(), 9);
    assert_eq!((&made["cooldownSeconds"], &made["enabled"]), (&json!(60), &json!(true)));
    assert_eq!(made["conditions"], conditions);
    let one = format!("{path}/{}", made["id"].as_str().unwrap());
    assert_eq!(app.get(&one).await, made);
    assert_eq!(app.get(&path).await, json!([made]));
    let put = async |body: Value, status| {
        app.ask("PUT", &one).admin().json(&body).send().await.expect(status)
    };
    let changed =
        put(json!({ "conditions": null, "cooldownSeconds": 0, "enabled": false }), 200).await;
    assert_eq!((&changed["conditions"], &changed["cooldownSeconds"]), (&Value::Null, &json!(0)));
    assert_eq!(changed["replyText"], made["replyText"]);
    let bad = json!({ "conditions": [{ "field": "body", "operator": "is", "value": "x" }] });
    for wrong in [
        json!({ "name": "" }),
        json!({ "name": null }),
        json!({ "replyText": " " }),
        json!({ "cooldownSeconds": 86_401 }),
        json!({ "conditions": bad }),
        json!({ "colour": "red" }),
    ] {
        put(wrong, 400).await;
    }
    app.ask("DELETE", &one).admin().send().await.expect(204);
    app.ask("GET", &one).admin().send().await.expect(404);
    app.ask("DELETE", &one).admin().send().await.expect(404);
    for number in 0..32 {
        rule(&app, &session, json!({ "name": format!("rule {number}"), "replyText": "x" })).await;
    }
    let more = json!({ "name": "one more", "replyText": "x" });
    app.post(&path, more, 400).await;
    assert_eq!(app.get(&path).await.as_array().unwrap().len(), 32);
}

#[tokio::test]
async fn a_rule_answers_what_fits_once_per_cooldown() {
    let (app, session) = ready().await;
    let conditions =
        json!({ "conditions": [{ "field": "body", "operator": "contains", "value": "open" }] });
    rule(
        &app,
        &session,
        json!({ "name": "hours", "replyText": "From nine.", "conditions": conditions }),
    )
    .await;
    rule(&app, &session, json!({ "name": "all", "replyText": "Thank you.", "cooldownSeconds": 0 }))
        .await;
    let at = |app: &App, id: &str, body: &str| InboundMessage {
        timestamp: app.gateway.live.now().seconds(),
        ..text(id, body)
    };
    let typed = InboundMessage { from_me: true, ..at(&app, "3AF0", "we open") };
    let in_group = InboundMessage { chat: chat(GROUP), ..at(&app, "3AF1", "open?") };
    app.hear(&session, vec![typed, in_group, at(&app, "3AF2", "Are you OPEN?")]).await;
    assert_eq!(answers(&app, 1).await, ["From nine."], "the oldest rule that fits");
    // Its cooldown holds, also over a restart; the other rule does not step in.
    app.hear(&session, vec![at(&app, "3AF3", "open now?"), at(&app, "3AF4", "hello")]).await;
    assert_eq!(answers(&app, 2).await, ["From nine.", "Thank you."]);
    app.advance(Duration::from_secs(61));
    app.hear(&session, vec![at(&app, "3AF5", "open today?")]).await;
    assert_eq!(answers(&app, 3).await[2], "From nine.");
    // Told again, a message is no new one.
    app.hear(&session, vec![at(&app, "3AF5", "open today?"), at(&app, "3AF6", "bye")]).await;
    assert_eq!(answers(&app, 4).await[3], "Thank you.");
}

#[tokio::test]
async fn two_bots_come_to_an_end() {
    let (app, session) = ready().await;
    rule(&app, &session, json!({ "name": "all", "replyText": "Thank you.", "cooldownSeconds": 0 }))
        .await;
    for number in 0..20 {
        let timestamp = app.gateway.live.now().seconds();
        let bot = InboundMessage { timestamp, ..text(&format!("3AF{number}"), "I am a bot") };
        app.hear(&session, vec![bot]).await;
    }
    let timestamp = app.gateway.live.now().seconds();
    let person =
        InboundMessage { timestamp, chat: chat(BEN), sender: chat(BEN), ..text("3BF0", "hi") };
    app.hear(&session, vec![person]).await;
    // Messages are looked at in their order: when the person is answered, the bot has had its answers.
    let sent = answers(&app, 7).await;
    assert_eq!(sent.len(), 7);
    assert_eq!(app.whatsapp.sent().iter().filter(|one| one.chat == chat(BEN)).count(), 1);
}

#[tokio::test]
async fn conversion_says_how_to_get_it_where_it_is_not_there() {
    let app = App::tuned(|options| options.media.convert.ffmpeg = "/nowhere/ffmpeg".into()).await;
    let session = app.new_session("bakery").await;
    let path = format!("/api/sessions/{session}/media/convert");
    assert_eq!(app.get(&path).await, json!({ "available": false }));
    let refused = app.post(&format!("{path}/voice"), json!({ "base64": "T2dnUw==" }), 503).await;
    assert!(refused["message"].as_str().unwrap().contains("FFMPEG_PATH"), "{refused}");
    app.post(&format!("{path}/video"), json!({}), 400).await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_is_converted_by_the_program() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("convert");
    std::fs::write(&program, "#!/bin/sh\n[ \"$1\" = -version ] && exit 0\ncat\n").unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
    let app = App::tuned(|options| options.media.convert.ffmpeg = program.into()).await;
    let session = app.new_session("bakery").await;
    let path = format!("/api/sessions/{session}/media/convert");
    assert_eq!(app.get(&path).await, json!({ "available": true }));
    // The head of a WAV file.
    let wav = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA=";
    let made = app.post(&format!("{path}/voice"), json!({ "base64": wav }), 200).await;
    assert_eq!(made["base64"], wav);
    assert_eq!((&made["mimetype"], &made["bytes"]), (&json!("audio/ogg; codecs=opus"), &json!(44)));
    let words =
        app.post(&format!("{path}/video"), json!({ "base64": "aGVsbG8gd29ybGQ=" }), 400).await;
    assert_eq!(words["error"], "Bad Request");
}

/// A program that remembers what it was told.
#[derive(Default)]
struct Program {
    saved: Mutex<Map<String, Value>>,
    restarts: Mutex<u32>,
}

impl Installation for Program {
    fn facts(&self) -> InstallationFacts {
        InstallationFacts { env_pinned: vec!["PORT".into()], ..InstallationFacts::default() }
    }

    fn config(&self) -> Result<ShownConfig, ConfigRefused> {
        let settings = json!({ "log": { "level": "info" } }).as_object().cloned().unwrap();
        let secrets = [("API_MASTER_KEY", true), ("METRICS_TOKEN", false)].into();
        Ok(ShownConfig { settings, secrets, path: "x.toml".into(), waiting: vec![] })
    }

    fn save(&self, changes: &Map<String, Value>) -> Result<SavedConfig, ConfigRefused> {
        if changes.contains_key("nonsense") {
            return Err(ConfigRefused::Wrong("nonsense: there is no such setting".into()));
        }
        *self.saved.lock().unwrap() = changes.clone();
        Ok(SavedConfig { waiting: vec!["log.level".into()], pinned: vec![] })
    }

    fn restart(&self) {
        *self.restarts.lock().unwrap() += 1;
    }
}

#[tokio::test]
async fn the_installation_is_shown_changed_and_restarted() {
    let program = Arc::new(Program::default());
    let given = program.clone();
    let app = App::with(move |options| options.installation = Some(given)).await;
    let status = app.get("/api/infra/status").await;
    assert_eq!(
        (&status["status"], &status["database"]),
        (&json!("ok"), &json!({ "type": "sqlite", "connected": true }))
    );
    assert_eq!(status["envPinned"], json!(["PORT"]));
    assert_eq!(app.get("/api/infra/engines").await[0]["library"]["name"], "whatsapp-rust");
    assert_eq!(app.get("/api/infra/engines/current").await, json!({ "engineType": "baileys" }));
    assert_eq!(
        app.get("/api/infra/update-check").await,
        json!({ "current": "9.9.9-test", "latest": null, "updateAvailable": false, "releaseUrl": null })
    );
    let config = app.get("/api/infra/config").await;
    assert_eq!(config["secrets"], json!({ "API_MASTER_KEY": "***", "METRICS_TOKEN": null }));
    let put = async |body: Value, status| {
        app.ask("PUT", "/api/infra/config").admin().json(&body).send().await.expect(status)
    };
    let saved = put(json!({ "log": { "level": "debug" } }), 200).await;
    assert_eq!((&saved["saved"], &saved["restartRequired"]), (&json!(true), &json!(["log.level"])));
    assert_eq!(
        *program.saved.lock().unwrap(),
        *json!({ "log": { "level": "debug" } }).as_object().unwrap()
    );
    put(json!({ "nonsense": 1 }), 400).await;
    let restarting = app.post("/api/infra/restart", json!({ "profiles": [] }), 200).await;
    assert_eq!(restarting["restarting"], true);
    app.post("/api/infra/restart", json!({ "colour": "red" }), 400).await;
    assert_eq!(*program.restarts.lock().unwrap(), 1);
    let scoped = app.new_key(json!({ "name": "scoped", "role": "admin", "allowedSessions": ["00000000-0000-4000-8000-000000000001"] })).await;
    for path in
        ["/api/infra/status", "/api/infra/config", "/api/infra/export-data", "/api/stats/overview"]
    {
        app.ask("GET", path).key(&scoped.text).send().await.expect(403);
    }
    let alone = App::start().await;
    alone.ask("GET", "/api/infra/config").admin().send().await.expect(501);
    alone.post("/api/infra/restart", json!({}), 501).await;
}

#[tokio::test]
async fn an_export_goes_into_another_installation() {
    let (app, session) = ready().await;
    let (url, _calls) = app.receiver(200).await;
    let hook = json!({ "url": url, "secret": "a-secret-of-the-hook" });
    app.post(&format!("/api/sessions/{session}/webhooks"), hook, 201).await;
    app.hear(&session, (0..450).map(|n| text(&format!("3AF{n}"), "Is the cake ready?")).collect())
        .await;
    let answer = app.ask("GET", "/api/infra/export-data").admin().send().await;
    assert!(!answer.text().contains("a-secret-of-the-hook"));
    let export = answer.expect(200);
    assert_eq!(
        (&export["dataDbType"], &export["counts"]["message"]),
        (&json!("sqlite"), &json!(450))
    );
    assert_eq!(export["tables"]["message"].as_array().unwrap().len(), 450);
    assert!(export["skippedTables"].as_array().unwrap().contains(&json!("device_key")));

    let other = App::start().await;
    let done = other.post("/api/infra/import-data", export.clone(), 200).await;
    assert_eq!((&done["imported"], &done["counts"]["message"]), (&json!(true), &json!(450)));
    assert_eq!(done["warnings"].as_array().unwrap().len(), 1);
    let there = other.get(&format!("/api/sessions/{session}")).await;
    assert_eq!((&there["name"], &there["status"]), (&json!("bakery"), &json!("created")));
    assert_eq!(other.get("/api/search?q=cake").await["total"], 450);
    let webhooks = other.get(&format!("/api/sessions/{session}/webhooks")).await;
    assert_eq!(webhooks[0]["active"], false);

    // Where it came from the session runs.
    let refused = app.post("/api/infra/import-data", export.clone(), 409).await;
    assert_eq!(refused["code"], "IMPORT_WOULD_ORPHAN_ENGINES");
    let mut forced = export.clone();
    forced["force"] = json!(true);
    let done = app.post("/api/infra/import-data", forced, 200).await;
    assert_eq!(done["orphanedEngines"], json!([]));
    let mut wrong = export;
    wrong["tables"]["message"][7]["direction"] = json!("sideways");
    other.post("/api/infra/import-data", wrong, 400).await;
    other.post("/api/infra/import-data", json!({ "tables": { "device_key": [] } }), 400).await;
    other.post("/api/infra/import-data", json!({ "tabels": {} }), 400).await;
    assert_eq!(other.get("/api/search?q=cake").await["total"], 450);
}

#[tokio::test]
async fn the_files_go_into_another_installation() {
    use domain::port::MediaFiles as _;
    use std::io::Write as _;
    let app = App::start().await;
    let store = storage::FolderMedia::open(&app.dir.path().join("media")).unwrap();
    for bytes in [vec![7_u8; 100_000], b"small".to_vec(), vec![]] {
        let mut scratch = store.scratch().await.unwrap();
        scratch.file.write_all(&bytes).unwrap();
        store.keep(scratch).await.unwrap();
    }
    let count = app.get("/api/infra/storage/files/count").await;
    assert_eq!((&count["count"], &count["sizeBytes"]), (&json!(3), &json!(100_005)));
    let export = app.get("/api/infra/storage/export").await;
    let archive = app.ask("GET", export["download"].as_str().unwrap()).admin().send().await;
    assert_eq!((archive.status, archive.bytes().len() % 512), (200, 0));

    let import = tempfile::tempdir().unwrap();
    let folder = import.path().to_path_buf();
    let other = App::tuned(|options| {
        options.transfer.folder = folder;
        options.transfer.bytes_max = 200_000;
    })
    .await;
    std::fs::write(import.path().join("media.tar"), archive.bytes()).unwrap();
    let take = async |path: &str, status| {
        other.post("/api/infra/storage/import", json!({ "filePath": path }), status).await
    };
    let done = take("media.tar", 200).await;
    assert_eq!((&done["count"], &done["failed"]), (&json!(3), &json!(0)));
    assert_eq!(other.get("/api/infra/storage/files/count").await["sizeBytes"], 100_005);
    // A file whose bytes are not those that its name says, one that is cut off, and ways out of the folder.
    let mut changed = archive.bytes().to_vec();
    let at = changed.iter().position(|byte| *byte == 7).unwrap();
    changed[at] = 8;
    std::fs::write(import.path().join("changed.tar"), &changed).unwrap();
    assert_eq!(take("changed.tar", 200).await["failed"], 1);
    std::fs::write(import.path().join("cut.tar"), &changed[..2000]).unwrap();
    take("cut.tar", 400).await;
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("x.tar"), archive.bytes()).unwrap();
    std::os::unix::fs::symlink(outside.path(), import.path().join("link")).unwrap();
    for path in ["nothing.tar", "../x.tar", "link/x.tar", "/etc/hostname", ".", "media.tar/x"] {
        take(path, 400).await;
    }
    other.post("/api/infra/storage/import", json!({ "filePath": "" }), 400).await;
}
