//! Automation rules, and the conversion of files.

use std::time::Duration;

use domain::message::InboundMessage;
use serde_json::{Value, json};

use crate::{
    app::App,
    history::{BEN, ready, text},
    inbound::{GROUP, chat},
};

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
