//! Labels: changed here and on the phone, each change an event.

use domain::{
    Timestamp,
    label::{Label, LabelChange, LabelSignal},
    port::{EngineError, EngineSignal},
};
use serde_json::{Value, json};
use testkit::Asked;

use crate::{
    app::{App, next, refused},
    inbound::{MIA, chat, ready},
};

fn label(id: &str, name: &str, colour: u8) -> Label {
    Label { id: id.parse().unwrap(), name: name.into(), colour }
}

async fn of_phone(app: &App, session: &str, change: LabelChange, at: i64) {
    let at = Timestamp::from_millis(at);
    let signal = LabelSignal { change, at, backfilled: false };
    app.signal(session, EngineSignal::Label(signal)).await;
}

#[tokio::test]
async fn a_label_is_made_renamed_put_on_a_chat_and_deleted() {
    let (app, session, mut calls) = ready().await;
    app.whatsapp.make_business("Bread and cakes", None);
    let base = format!("/api/sessions/{session}/labels");
    let ok = json!({ "success": true });
    let put = |body: Value| app.ask("PUT", &format!("{base}/7")).admin().json(&body).send();
    assert_eq!(
        put(json!({ "color": 1 })).await.expect(400)["message"],
        json!(["name should not be empty"])
    );
    assert_eq!(put(json!({ "name": "New customer", "color": 1 })).await.expect(200), ok);
    let event = next(&mut calls).await;
    assert_eq!(event["event"], "label.upsert");
    let timestamp = event["data"]["timestamp"].clone();
    let said = json!({
        "sessionId": session, "labelId": "7", "name": "New customer", "color": 1, "hexColor": "#64C4FF",
        "source": "api", "timestamp": timestamp,
    });
    assert_eq!(event["data"], said);
    let shown = json!({ "id": "7", "name": "New customer", "hexColor": "#64C4FF", "color": 1 });
    assert_eq!(app.get(&base).await, json!([shown]));
    assert_eq!(app.get(&format!("{base}/7")).await, shown);
    assert_eq!(put(json!({ "name": "Regular" })).await.expect(200), ok);
    assert_eq!(next(&mut calls).await["data"]["color"], 1, "what is left out stays");

    let of_chat = format!("{base}/chat/{MIA}");
    assert_eq!(app.post(&of_chat, json!({ "labelId": "7" }), 200).await, ok);
    let event = next(&mut calls).await;
    assert_eq!(
        (&event["event"], &event["data"]["chatId"]),
        (&json!("label.chat.added"), &json!(MIA))
    );
    assert_eq!(app.get(&of_chat).await[0]["name"], "Regular");
    assert_eq!(app.get(&format!("{base}/7/chats")).await[0]["id"], MIA);
    let gone = format!("{of_chat}/7");
    assert_eq!(app.ask("DELETE", &gone).admin().send().await.expect(200), ok);
    assert_eq!(next(&mut calls).await["event"], "label.chat.deleted");
    assert_eq!(app.ask("DELETE", &format!("{base}/7")).admin().send().await.expect(200), ok);
    assert_eq!(next(&mut calls).await["event"], "label.deleted");
    let id = || "7".parse().unwrap();
    assert_eq!(
        app.whatsapp.asked(),
        [
            Asked::Label(LabelChange::Upsert(label("7", "New customer", 1))),
            Asked::Label(LabelChange::Upsert(label("7", "Regular", 1))),
            Asked::Label(LabelChange::Add(id(), chat(MIA))),
            Asked::Label(LabelChange::Remove(id(), chat(MIA))),
            Asked::Label(LabelChange::Delete(id())),
        ]
    );
}

#[tokio::test]
async fn labels_of_the_phone_are_told_once() {
    let (app, session, mut calls) = ready().await;
    let upsert = LabelChange::Upsert(label("7", "New customer", 1));
    of_phone(&app, &session, upsert.clone(), 1).await;
    let event = next(&mut calls).await;
    assert_eq!(
        (&event["event"], &event["data"]["source"]),
        (&json!("label.upsert"), &json!("phone"))
    );
    let key = event["idempotencyKey"].as_str().unwrap().to_owned();
    assert_eq!(key, format!("label_{session}_7_upsert_1"));
    // The state as a whole tells it again.
    of_phone(&app, &session, upsert, 1).await;
    of_phone(&app, &session, LabelChange::Add("7".parse().unwrap(), chat(MIA)), 2).await;
    let event = next(&mut calls).await;
    assert_eq!(event["event"], "label.chat.added");
    assert_eq!(
        (&event["data"]["chatId"], event["sequence"].as_u64()),
        (&json!(MIA), event["sequence"].as_u64())
    );
    let base = format!("/api/sessions/{session}/labels");
    assert_eq!(app.get(&format!("{base}/chat/{MIA}")).await[0]["id"], "7");
    of_phone(&app, &session, LabelChange::Delete("7".parse().unwrap()), 3).await;
    assert_eq!(next(&mut calls).await["event"], "label.deleted");
    assert_eq!(app.get(&base).await, json!([]));
}

#[tokio::test]
async fn labels_are_for_businesses() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let base = format!("/api/sessions/{session}/labels");
    let words = "Labels need a WhatsApp Business account";
    let body = json!({ "name": "New customer" });
    let answer = app.ask("PUT", &format!("{base}/7")).admin().json(&body).send().await.expect(422);
    assert_eq!(answer["message"], words);
    app.post(&format!("{base}/chat/{MIA}"), json!({ "labelId": "7" }), 422).await;
    assert_eq!(app.get(&base).await, json!([]));
    assert_eq!(app.whatsapp.asked(), []);
    app.whatsapp.make_business("Bread", None);
    for (method, path) in [
        ("GET", format!("{base}/7")),
        ("GET", format!("{base}/7/chats")),
        ("DELETE", format!("{base}/7")),
        ("DELETE", format!("{base}/chat/{MIA}/7")),
    ] {
        let answer = app.ask(method, &path).admin().send().await.expect(404);
        assert_eq!(answer, refused(404, "Not Found", "Label 7 not found"), "{method} {path}");
    }
    app.whatsapp.fail_ask(EngineError::Unanswered(None));
    app.ask("PUT", &format!("{base}/7")).admin().json(&body).send().await.expect(503);
    assert_eq!(app.get(&base).await, json!([]), "nothing is stored that may not be");
    for body in [json!({}), json!({ "name": "" }), json!({ "name": "x", "color": 20 })] {
        app.ask("PUT", &format!("{base}/7")).admin().json(&body).send().await.expect(400);
    }
    app.ask("PUT", &format!("{base}/a%20b")).admin().json(&body).send().await.expect(400);
}

#[tokio::test]
async fn a_key_that_is_limited_to_chats_sees_their_labels_alone() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    app.whatsapp.make_business("Bread", None);
    let base = format!("/api/sessions/{session}/labels");
    let body = json!({ "name": "New customer" });
    app.ask("PUT", &format!("{base}/7")).admin().json(&body).send().await.expect(200);
    for chat in [MIA, "49170222@c.us"] {
        app.post(&format!("{base}/chat/{chat}"), json!({ "labelId": "7" }), 200).await;
    }
    let key = json!({ "name": "one chat", "role": "operator", "allowedChats": ["49170222@c.us"] });
    let key = app.new_key(key).await;
    let chats = format!("{base}/7/chats?limit=1");
    let chats = app.ask("GET", &chats).key(&key.text).send().await.expect(200);
    assert_eq!((chats.as_array().unwrap().len(), &chats[0]["id"]), (1, &json!("49170222@c.us")));
    app.ask("GET", &format!("{base}/chat/49170222@c.us")).key(&key.text).send().await.expect(200);
    app.ask("GET", &format!("{base}/chat/{MIA}")).key(&key.text).send().await.expect(403);
    app.ask("GET", &base).key(&key.text).send().await.expect(403);
}
