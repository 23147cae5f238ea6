//! Statuses: posted, read, their files, their end.

use std::time::Duration;

use domain::{
    chat::ContactPatch,
    content::Content,
    message::InboundMessage,
    port::EngineSignal,
    status::{TextStyle, status_chat},
};
use serde_json::{Value, json};
use testkit::{OnSend, files};

use crate::{
    app::{App, next, refused},
    inbound::{MIA, TIME, chat, from_mia, ready, target},
};

const ME: &str = "4915550001000@c.us";

fn post(id: &str, content: Content) -> InboundMessage {
    let style = TextStyle { background: Some(0x001e_6e4f), font: Some(2) };
    InboundMessage { chat: status_chat(), style, ..from_mia(id, content) }
}

async fn save(app: &App, session: &str, id: &str, name: &str) {
    let patch = ContactPatch { name: Some(Some(name.into())), ..ContactPatch::default() };
    app.signal(session, EngineSignal::Contact { id: chat(id), patch }).await;
    app.until(&format!("/api/sessions/{session}/contacts"), |contacts| {
        let mut all = contacts.as_array().unwrap().iter();
        all.any(|contact| contact["id"] == id && contact["name"] == name)
    })
    .await;
}

async fn ids(app: &App, path: &str) -> Vec<String> {
    let found = app.get(path).await;
    let all = found["statuses"].as_array().unwrap();
    all.iter().map(|status| status["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn statuses_of_others_are_listed_for_a_day() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    save(&app, &session, MIA, "Mia Baker").await;
    let picture = Content::Media(Box::new(testkit::build::media(1)));
    let by_ann = InboundMessage {
        sender: chat("49170222@c.us"),
        sender_phone: None,
        push_name: Some("Ann".into()),
        timestamp: TIME + 60,
        ..post("3AF1", picture)
    };
    app.hear(&session, vec![post("3AF0", Content::text("Open till six")), by_ann]).await;
    let base = format!("/api/sessions/{session}/status");
    let statuses = app.get(&base).await;
    let first = json!({
        "id": "3AF0", "contact": { "id": MIA, "name": "Mia Baker", "pushName": "Mia" }, "type": "text",
        "caption": "Open till six", "backgroundColor": "#1E6E4F", "font": 2, "fromMe": false,
        "timestamp": "2026-10-01T08:00:00.000Z", "expiresAt": "2026-10-02T08:00:00.000Z",
    });
    assert_eq!(statuses["statuses"][1], first);
    let second = &statuses["statuses"][0];
    assert_eq!(second["contact"], json!({ "id": "49170222@c.us", "pushName": "Ann" }));
    assert_eq!(second["mediaUrl"], format!("{base}/3AF1/media"));
    assert_eq!(ids(&app, &format!("{base}/{MIA}")).await, ["3AF0"]);
    assert_eq!(ids(&app, &format!("{base}/49170999@c.us")).await, [""; 0]);
    app.ask("GET", &format!("{base}/nobody")).admin().send().await.expect(400);
    // The chats know nothing of it.
    assert_eq!(app.get(&format!("/api/sessions/{session}/chats")).await, json!([]));
    let revoked = Content::Revoke { target: target("3AF0") };
    app.hear(&session, vec![post("3AF2", revoked)]).await;
    assert_eq!(ids(&app, &base).await, ["3AF1"]);
    app.advance(Duration::from_secs(24 * 3600 + 120));
    assert_eq!(ids(&app, &base).await, [""; 0]);
}

#[tokio::test]
async fn somebody_elses_status_is_not_taken_back_by_a_third() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    app.hear(&session, vec![post("3AF0", Content::text("Open till six"))]).await;
    let third = InboundMessage {
        sender: chat("49170222@c.us"),
        sender_phone: None,
        ..post("3AF1", Content::Revoke { target: target("3AF0") })
    };
    app.hear(&session, vec![third]).await;
    assert_eq!(ids(&app, &format!("/api/sessions/{session}/status")).await, ["3AF0"]);
}

#[tokio::test]
async fn a_file_is_fetched_when_it_is_asked_for() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let remote = app.whatsapp.keep_file(b"a picture");
    let mut media = testkit::build::media(1);
    media.size_bytes = remote.length;
    media.remote = Some(remote);
    app.hear(&session, vec![post("3AF0", Content::Media(Box::new(media)))]).await;
    app.hear(&session, vec![post("3AF1", Content::text("no file"))]).await;
    assert_eq!(app.whatsapp.downloads(), [""; 0]);
    let base = format!("/api/sessions/{session}/status");
    let asked = app.ask("GET", &format!("{base}/3AF0/media")).admin().send();
    // Whoever asked looks again after a while; the file is there by then.
    let ticks = async {
        let row = format!("/api/sessions/{session}/messages?messageId=3AF0");
        app.until(&row, |rows| rows["messages"][0]["metadata"]["media"]["state"] == "ready").await;
        loop {
            app.advance(Duration::from_millis(200));
            tokio::task::yield_now().await;
        }
    };
    let answer = tokio::select! {
        answer = asked => answer,
        () = ticks => unreachable!("it never ends"),
    };
    assert_eq!((answer.status, answer.bytes()), (200, &b"a picture"[..]));
    for id in ["3AF1", "3AFF"] {
        let answer = app.ask("GET", &format!("{base}/{id}/media")).admin().send().await.expect(404);
        assert_eq!(answer, refused(404, "Not Found", "Status media not found or expired"));
    }
    assert_eq!(app.whatsapp.downloads().len(), 1);
}

#[tokio::test]
async fn a_status_goes_to_the_address_book_unless_somebody_is_named() {
    let (app, session, mut calls) = ready().await;
    let text = format!("/api/sessions/{session}/status/send-text");
    let body = json!({ "text": "Open till six", "backgroundColor": "#123456", "font": 7 });
    let answer = app.ask("POST", &text).admin().json(&body).send().await.expect(400);
    assert!(answer["message"].as_str().unwrap().contains("Nobody would see this status"));
    save(&app, &session, MIA, "Mia Baker").await;
    app.hear(&session, vec![from_mia("3AF0", Content::text("hello"))]).await;
    assert_eq!(next(&mut calls).await["event"], "message.received");
    let answer = app.post(&text, body, 201).await;
    let id = answer["statusId"].as_str().unwrap();
    let posted = json!({
        "statusId": id, "timestamp": "2026-10-01T08:00:01.000Z",
        "expiresAt": "2026-10-02T08:00:01.000Z", "status": "sent",
    });
    assert_eq!(answer, posted);
    let sent = app.whatsapp.sent();
    let status = sent[0].status.as_deref().unwrap();
    assert_eq!((&sent[0].chat, &status.audience), (&status_chat(), &vec![chat(MIA)]));
    assert_eq!(status.style, TextStyle { background: Some(0x0012_3456), font: Some(7) });
    let event = next(&mut calls).await;
    assert_eq!((&event["event"], &event["data"]["id"]), (&json!("message.sent"), &json!(id)));
    assert_eq!(event["data"]["chatId"], "status@broadcast");
    assert_eq!(event["data"]["backgroundColor"], "#123456");
    let base = format!("/api/sessions/{session}/status");
    let own = &app.get(&format!("{base}/{ME}")).await["statuses"][0];
    assert_eq!((&own["id"], &own["fromMe"], &own["font"]), (&json!(id), &json!(true), &json!(7)));
    let named = json!({ "text": "For you two", "recipients": ["49170222@c.us", "9988@lid", "49170222@c.us"] });
    app.post(&text, named, 201).await;
    let sent = app.whatsapp.sent();
    let audience = &sent[1].status.as_deref().unwrap().audience;
    assert_eq!(audience, &[chat("49170222@c.us"), chat("9988@lid")]);
}

#[tokio::test]
async fn files_are_posted_and_a_repeat_posts_nothing() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let base = format!("/api/sessions/{session}/status");
    let body = json!({
        "image": { "base64": files::base64(files::PNG), "mimetype": "image/png" },
        "caption": "Fresh today",
        "recipients": [MIA],
    });
    let ask = || {
        let ask = app.ask("POST", &format!("{base}/send-image")).admin().json(&body);
        ask.header("idempotency-key", "once").send()
    };
    let first = ask().await.expect(201);
    assert_eq!(ask().await.expect(201), first);
    let sent = app.whatsapp.sent();
    assert_eq!(sent.len(), 1);
    let Content::Media(media) = &sent[0].content else { panic!("{sent:?}") };
    assert_eq!(media.caption.as_deref(), Some("Fresh today"));
    assert!(media.remote.is_some());
    let id = first["statusId"].as_str().unwrap();
    let file = app.ask("GET", &format!("{base}/{id}/media")).admin().send().await;
    assert_eq!(file.status, 200);
}

#[tokio::test]
async fn a_status_is_taken_back_from_whoever_got_it() {
    let (app, session, mut calls) = ready().await;
    let base = format!("/api/sessions/{session}/status");
    let body = json!({ "text": "Open till six", "recipients": [MIA] });
    let posted = app.post(&format!("{base}/send-text"), body, 201).await;
    let id = posted["statusId"].as_str().unwrap();
    for kind in ["message.sent", "message.ack"] {
        assert_eq!(next(&mut calls).await["event"], kind);
    }
    let answer = app.ask("DELETE", &format!("{base}/{id}")).admin().send().await.expect(200);
    assert_eq!(answer, json!({ "message": "Status deleted successfully" }));
    let sent = app.whatsapp.sent();
    assert!(matches!(&sent[1].content, Content::Revoke { target } if target.id.as_str() == id));
    assert_eq!(sent[1].status.as_deref().unwrap().audience, [chat(MIA)]);
    let event = next(&mut calls).await;
    assert_eq!((&event["event"], &event["data"]["id"]), (&json!("message.revoked"), &json!(id)));
    assert_eq!(ids(&app, &base).await, [""; 0]);
    // Asking again is fine.
    app.ask("DELETE", &format!("{base}/{id}")).admin().send().await.expect(200);
    assert_eq!(app.whatsapp.sent().len(), 2);
    app.hear(&session, vec![post("3AF0", Content::text("Mia's own"))]).await;
    app.ask("DELETE", &format!("{base}/3AF0")).admin().send().await.expect(403);
    let answer = app.ask("DELETE", &format!("{base}/3AFF")).admin().send().await.expect(404);
    assert_eq!(answer, refused(404, "Not Found", "Status 3AFF not found"));
}

#[tokio::test]
async fn what_makes_no_status_is_refused() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let base = format!("/api/sessions/{session}/status");
    let wrong: [(&str, Value); 10] = [
        ("send-text", json!({})),
        ("send-text", json!({ "text": " " })),
        ("send-text", json!({ "text": "x", "font": 3, "recipients": [MIA] })),
        ("send-text", json!({ "text": "x", "font": 11, "recipients": [MIA] })),
        ("send-text", json!({ "text": "x", "backgroundColor": "green", "recipients": [MIA] })),
        ("send-text", json!({ "text": "x", "recipients": [] })),
        ("send-text", json!({ "text": "x", "recipients": ["120363041@g.us"] })),
        ("send-text", json!({ "text": "x", "recipients": [MIA], "chatId": MIA })),
        ("send-image", json!({ "image": {}, "recipients": [MIA] })),
        ("send-image", json!({ "image": { "base64": "AAAA" }, "recipients": [MIA] })),
    ];
    for (route, body) in wrong {
        let path = format!("{base}/{route}");
        let answer = app.ask("POST", &path).admin().json(&body).send().await;
        assert_eq!(answer.status, 400, "{route} {body}: {}", answer.text());
    }
    assert_eq!(app.whatsapp.sent().len(), 0);
    app.whatsapp.on_send(OnSend::Refuse(479));
    let body = json!({ "text": "x", "recipients": [MIA] });
    app.post(&format!("{base}/send-text"), body.clone(), 403).await;
    assert_eq!(ids(&app, &base).await, [""; 0], "it never went out");
    let idle = app.new_session("idle").await;
    let path = format!("/api/sessions/{idle}/status/send-text");
    let answer = app.ask("POST", &path).admin().json(&body).send().await.expect(404);
    let words = format!("Session {idle} not found or not connected");
    assert_eq!(answer, refused(404, "Not Found", &words));
    let key = json!({ "name": "one chat", "role": "operator", "allowedChats": [MIA] });
    let key = app.new_key(key).await;
    let path = format!("{base}/send-text");
    app.ask("POST", &path).key(&key.text).json(&body).send().await.expect(403);
    app.ask("GET", &base).key(&key.text).send().await.expect(403);
}
