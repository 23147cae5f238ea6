//! Contacts: read from the ledger, numbers asked of WhatsApp.

use domain::{
    PhoneNumber,
    chat::{ContactPatch, Identity, Registration},
    content::Content,
    port::{EngineError, EngineSignal},
};
use serde_json::json;
use testkit::Asked;

use crate::{
    app::{App, refused},
    inbound::{MIA, chat, from_mia},
};

async fn known(app: &App, session: &str, id: &str, name: &str) {
    let patch = ContactPatch { name: Some(Some(name.into())), ..ContactPatch::default() };
    app.signal(session, EngineSignal::Contact { id: chat(id), patch }).await;
    let path = format!("/api/sessions/{session}/contacts/{id}");
    while app.ask("GET", &path).admin().send().await.status != 200 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn people_are_read_by_either_id() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let base = format!("/api/sessions/{session}/contacts");
    app.hear(&session, vec![from_mia("3AF0", Content::text("hello"))]).await;
    known(&app, &session, "49170222@c.us", "Ann").await;
    let mia = json!({ "id": MIA, "number": "49170111", "isMyContact": false, "isBlocked": false, "pushName": "Mia" });
    let ann = json!({
        "id": "49170222@c.us", "number": "49170222", "isMyContact": true, "isBlocked": false, "name": "Ann"
    });
    assert_eq!(app.get(&base).await, json!([mia, ann]));
    assert_eq!(app.get(&format!("{base}?limit=1&offset=1")).await, json!([ann]));
    for id in ["49170111@c.us", "49170111%40c.us", "49170111@s.whatsapp.net"] {
        assert_eq!(app.get(&format!("{base}/{id}")).await, mia, "{id}");
    }
    for id in ["49170999@c.us", "nobody"] {
        let answer = app.ask("GET", &format!("{base}/{id}")).admin().send().await.expect(404);
        assert_eq!(answer, refused(404, "Not Found", &format!("Contact {id} not found")));
    }
}

#[tokio::test]
async fn a_key_that_is_limited_to_chats_sees_those_people() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let base = format!("/api/sessions/{session}/contacts");
    app.hear(&session, vec![from_mia("3AF0", Content::text("hello"))]).await;
    known(&app, &session, "49170222@c.us", "Ann").await;
    let key = app
        .new_key(json!({ "name": "one chat", "role": "viewer", "allowedChats": ["49170222@c.us"] }))
        .await;
    let list = app.ask("GET", &format!("{base}?limit=1")).key(&key.text).send().await.expect(200);
    assert_eq!(list[0]["id"], "49170222@c.us");
    app.ask("GET", &format!("{base}/49170222@c.us")).key(&key.text).send().await.expect(200);
    app.ask("GET", &format!("{base}/{MIA}")).key(&key.text).send().await.expect(403);
    app.ask("GET", &format!("{base}/{MIA}/phone")).key(&key.text).send().await.expect(403);
}

#[tokio::test]
async fn a_number_is_checked_at_whatsapp() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let check = |number: &str| format!("/api/sessions/{session}/contacts/check/{number}");
    app.whatsapp.register(Registration {
        asked: chat("5511987654321@c.us"),
        registered: Some(chat("551187654321@c.us")),
        lid: Some(chat("99887766@lid")),
    });
    app.whatsapp.unregister(chat("49170999@c.us"));
    // The registered id lost its ninth digit.
    assert_eq!(
        app.get(&check("5511987654321")).await,
        json!({ "number": "5511987654321", "exists": true, "whatsappId": "551187654321@c.us" })
    );
    assert_eq!(
        app.get(&check("49170999")).await,
        json!({ "number": "49170999", "exists": false, "whatsappId": null })
    );
    // What the answer taught is kept.
    let phone = format!("/api/sessions/{session}/contacts/99887766@lid/phone");
    assert_eq!(app.get(&phone).await["phone"], "551187654321");
    for wrong in ["abc", "12", "49170111@c.us"] {
        app.ask("GET", &check(wrong)).admin().send().await.expect(400);
    }
    app.whatsapp.fail_ask(EngineError::Unanswered(None));
    app.ask("GET", &check("49170111")).admin().send().await.expect(503);
    let asked = app.whatsapp.asked();
    assert_eq!(
        asked[0],
        Asked::Lookup(vec![chat("5511987654321@c.us"), chat("551187654321@c.us")])
    );

    let idle = app.new_session("idle").await;
    let path = format!("/api/sessions/{idle}/contacts/check/49170111");
    let answer = app.ask("GET", &path).admin().send().await.expect(400);
    assert_eq!(answer["message"], "Session is not started");
    let waiting = app.qr_session("waiting").await;
    let path = format!("/api/sessions/{waiting}/contacts/check/49170111");
    app.ask("GET", &path).admin().send().await.expect(409);
}

#[tokio::test]
async fn the_number_of_a_privacy_id_is_shown_where_it_is_known() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let phone = |id: &str| format!("/api/sessions/{session}/contacts/{id}/phone");
    assert_eq!(app.get(&phone(MIA)).await, json!({ "contactId": MIA, "phone": "49170111" }));
    app.whatsapp.unregister(chat("1111111@lid"));
    assert_eq!(app.get(&phone("1111111@lid")).await["phone"], json!(null));
    let identity =
        Identity { lid: chat("2222222@lid"), phone: PhoneNumber::parse("49170222").unwrap() };
    app.signal(&session, EngineSignal::Identity(identity)).await;
    known(&app, &session, "49170222@c.us", "Ann").await;
    assert_eq!(app.get(&phone("2222222%40lid")).await["phone"], "49170222");
    app.ask("GET", &phone("120363041@g.us")).admin().send().await.expect(400);
}

#[tokio::test]
async fn a_person_is_erased_and_the_answer_says_what_is_gone() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let base = format!("/api/sessions/{session}/contacts");
    app.hear(&session, vec![from_mia("3AF0", Content::text("hello"))]).await;
    let erase = format!("{base}/{MIA}/data");
    let viewer = app.new_key(json!({ "name": "looks", "role": "viewer" })).await;
    app.ask("DELETE", &erase).key(&viewer.text).send().await.expect(403);
    let answer = app.ask("DELETE", &erase).admin().send().await.expect(200);
    let gone = json!({
        "contactId": MIA, "messages": 1, "chats": 1, "contacts": 1, "identities": 0, "heldChanges": 0
    });
    assert_eq!(answer, gone);
    assert_eq!(app.get(&base).await, json!([]));
    assert_eq!(app.get(&format!("/api/sessions/{session}/messages")).await["total"], 0);
    let again = app.ask("DELETE", &erase).admin().send().await.expect(200);
    assert_eq!((&again["messages"], &again["contacts"]), (&json!(0), &json!(0)));
    let group = format!("{base}/1234-5@g.us/data");
    app.ask("DELETE", &group).admin().send().await.expect(400);
}
