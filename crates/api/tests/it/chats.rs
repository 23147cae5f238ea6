//! Chats: the list, and marks set at WhatsApp and here.

use std::time::Duration;

use domain::{
    chat::{ChatMark, Identity, MutedUntil, Typing},
    content::Content,
    message::InboundMessage,
    port::{EngineError, EngineSignal},
};
use serde_json::{Value, json};
use testkit::{Asked, START};

use crate::{
    app::App,
    inbound::{MIA, chat, from_mia, wa_id},
};

const GROUP: &str = "120363041@g.us";

async fn bakery() -> (App, String) {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let in_group = InboundMessage {
        chat: chat(GROUP),
        timestamp: 1_790_841_700,
        ..from_mia("3AF1", Content::text("hi all"))
    };
    app.hear(&session, vec![from_mia("3AF0", Content::text("hello")), in_group]).await;
    (app, session)
}

async fn chats(app: &App, session: &str) -> Value {
    app.get(&format!("/api/sessions/{session}/chats")).await
}

async fn one(app: &App, session: &str, id: &str) -> Value {
    let chats = chats(app, session).await;
    chats.as_array().unwrap().iter().find(|chat| chat["id"] == id).cloned().unwrap_or_default()
}

#[tokio::test]
async fn chats_are_listed_newest_first() {
    let (app, session) = bakery().await;
    let name = EngineSignal::ChatName { chat: chat(GROUP), name: "Bakery team".into() };
    app.signal(&session, name).await;
    while one(&app, &session, GROUP).await["name"] != "Bakery team" {
        tokio::task::yield_now().await;
    }
    let group = json!({
        "id": GROUP, "name": "Bakery team", "isGroup": true, "kind": "group", "unreadCount": 1, "timestamp": 1_790_841_700,
        "archived": false, "pinned": false, "muted": false, "lastMessage": "hi all", "lastMessageType": "text"
    });
    let mia = json!({
        "id": MIA, "name": "Mia", "isGroup": false, "kind": "individual", "phone": "49170111", "unreadCount": 1,
        "timestamp": 1_790_841_600, "archived": false, "pinned": false, "muted": false, "lastMessage": "hello", "lastMessageType": "text"
    });
    assert_eq!(chats(&app, &session).await, json!([group, mia]));
    let path = format!("/api/sessions/{session}/chats");
    assert_eq!(app.get(&format!("{path}?limit=1&offset=1")).await, json!([mia]));
    let key = json!({ "name": "one chat", "role": "viewer", "allowedChats": ["49170111"] });
    let key = app.new_key(key).await;
    let seen = app.ask("GET", &format!("{path}?limit=1")).key(&key.text).send().await.expect(200);
    assert_eq!(seen, json!([mia]));
}

#[tokio::test]
async fn a_chat_under_a_privacy_id_has_a_phone_once_its_number_is_known() {
    const LID: &str = "99887766@lid";
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let hidden = InboundMessage {
        chat: chat(LID),
        sender: chat(LID),
        ..from_mia("3AF0", Content::text("hello"))
    };
    app.hear(&session, vec![hidden]).await;
    assert_eq!(one(&app, &session, LID).await.get("phone"), None);
    let phone = chat(MIA).phone().unwrap();
    let pair = EngineSignal::Identity(Identity { lid: chat(LID), phone });
    app.signal(&session, pair).await;
    while one(&app, &session, MIA).await["phone"] != "49170111" {
        tokio::task::yield_now().await;
    }
    assert_eq!(chats(&app, &session).await.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn reading_sends_receipts_and_clears_the_count() {
    let (app, session) = bakery().await;
    let read = format!("/api/sessions/{session}/chats/read");
    let done = json!({ "success": true });
    let ask = |body: Value| app.ask("POST", &read).admin().json(&body).send();
    assert_eq!(ask(json!({ "chatId": GROUP })).await.expect(200), done);
    let receipts = vec![(wa_id("3AF1"), Some(chat(MIA)))];
    assert_eq!(app.whatsapp.asked(), [Asked::Read(chat(GROUP), receipts)]);
    assert_eq!(one(&app, &session, GROUP).await["unreadCount"], 0);
    let body = json!({ "chatId": MIA, "messageIds": ["3AF0"] });
    assert_eq!(ask(body).await.expect(200), done);
    assert_eq!(app.whatsapp.asked()[1], Asked::Read(chat(MIA), vec![(wa_id("3AF0"), None)]));
    assert_eq!(one(&app, &session, MIA).await["unreadCount"], 0);
    for wrong in [
        json!({ "chatId": MIA, "messageIds": [] }),
        json!({ "chatId": MIA, "messageIds": [""] }),
        json!({}),
    ] {
        ask(wrong).await.expect(400);
    }
    assert_eq!(app.whatsapp.asked().len(), 2);
}

#[tokio::test]
async fn marks_are_set_at_whatsapp_and_here() {
    let (app, session) = bakery().await;
    let base = format!("/api/sessions/{session}/chats");
    let until = START.millis() + 60_000;
    let cases = [
        ("unread", json!({}), ChatMark::Read(false), "unreadCount", json!(1)),
        ("archive", json!({ "archive": true }), ChatMark::Archived(true), "archived", json!(true)),
        (
            "archive",
            json!({ "archive": false }),
            ChatMark::Archived(false),
            "archived",
            json!(false),
        ),
        ("pin", json!({ "pin": true }), ChatMark::Pinned(true), "pinned", json!(true)),
        (
            "mute",
            json!({ "muteUntil": until }),
            ChatMark::Muted(Some(MutedUntil::Time(domain::Timestamp::from_millis(until)))),
            "muteExpiration",
            json!(until),
        ),
    ];
    for (route, fields, mark, field, value) in cases {
        let mut body = fields;
        body["chatId"] = json!(MIA);
        let done = app.post(&format!("{base}/{route}"), body, 200).await;
        assert_eq!(done, json!({ "success": true }), "{route}");
        let Some(Asked::Mark(asked, set, last)) = app.whatsapp.asked().last().cloned() else {
            panic!("{route}")
        };
        assert_eq!((asked, set), (chat(MIA), mark), "{route}");
        assert_eq!(last.unwrap().id, wa_id("3AF0"));
        assert_eq!(one(&app, &session, MIA).await[field], value, "{route}");
    }
    // A mute ends by itself.
    app.clock.advance(Duration::from_secs(120));
    assert_eq!(one(&app, &session, MIA).await["muted"], false);
    app.post(&format!("{base}/mute"), json!({ "chatId": MIA, "muteUntil": null }), 200).await;
    assert!(matches!(app.whatsapp.asked().last(), Some(Asked::Mark(_, ChatMark::Muted(None), _))));
    let answer = app.post(&format!("{base}/mute"), json!({ "chatId": MIA }), 400).await;
    assert_eq!(answer["message"], json!(["muteUntil must be an integer number or null"]));

    app.post(&format!("{base}/delete"), json!({ "chatId": MIA }), 200).await;
    assert_eq!(one(&app, &session, MIA).await, Value::Null);
    let clear = format!("{base}/120363041%40g.us/messages");
    app.ask("DELETE", &clear).admin().send().await.expect(200);
    assert_eq!(one(&app, &session, GROUP).await["unreadCount"], 0);
    assert_eq!(app.row(&session, "3AF1").await, Value::Null);
}

#[tokio::test]
async fn what_whatsapp_declines_changes_nothing() {
    let (app, session) = bakery().await;
    let pin = format!("/api/sessions/{session}/chats/pin");
    app.whatsapp.fail_ask(EngineError::Refused("three are pinned".into()));
    let done = app.post(&pin, json!({ "chatId": MIA, "pin": true }), 200).await;
    assert_eq!(done, json!({ "success": false }));
    app.whatsapp.fail_ask(EngineError::Unanswered(None));
    app.post(&pin, json!({ "chatId": MIA, "pin": true }), 503).await;
    assert_eq!(one(&app, &session, MIA).await["pinned"], false);
}

#[tokio::test]
async fn typing_is_shown() {
    let (app, session) = bakery().await;
    let typing = format!("/api/sessions/{session}/chats/typing");
    for (word, state) in
        [("typing", Typing::Typing), ("recording", Typing::Recording), ("paused", Typing::Paused)]
    {
        app.post(&typing, json!({ "chatId": MIA, "state": word }), 200).await;
        assert_eq!(app.whatsapp.asked().last(), Some(&Asked::Typing(chat(MIA), state)));
    }
    app.post(&typing, json!({ "chatId": MIA, "state": "singing" }), 400).await;
    let idle = app.new_session("idle").await;
    let path = format!("/api/sessions/{idle}/chats/typing");
    app.post(&path, json!({ "chatId": MIA, "state": "typing" }), 400).await;
}

#[tokio::test]
async fn marks_of_other_devices_are_taken_over() {
    let (app, session) = bakery().await;
    let mark = EngineSignal::ChatMark { chat: chat(MIA), mark: ChatMark::Archived(true) };
    app.signal(&session, mark).await;
    let read = EngineSignal::ChatMark { chat: chat(MIA), mark: ChatMark::Read(true) };
    app.signal(&session, read).await;
    loop {
        let mia = one(&app, &session, MIA).await;
        if mia["archived"] == true && mia["unreadCount"] == 0 {
            break;
        }
        tokio::task::yield_now().await;
    }
}
