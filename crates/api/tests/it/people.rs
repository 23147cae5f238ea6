//! Blocking, the address book, pictures, privacy ids; and the event when a pair of ids is learned.

use std::time::Duration;

use domain::{
    PhoneNumber,
    chat::{ContactName, ContactPatch, Identity, Registration},
    content::Content,
    port::{EngineError, EngineSignal, PeopleSignal, ReceiptKind},
};
use serde_json::{Value, json};
use testkit::AskedAboutPeople as Ask;

use crate::{
    app::{App, next, refused},
    inbound::{GROUP, MIA, chat, from_mia, wa_id},
};

const LID: &str = "99887766@lid";

fn identity(lid: &str, phone: &str) -> Identity {
    Identity { lid: chat(lid), phone: PhoneNumber::parse(phone).unwrap() }
}

/// A session that knows Mia.
async fn with_mia() -> (App, String, String) {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    app.hear(&session, vec![from_mia("3AF0", Content::text("hello"))]).await;
    let base = format!("/api/sessions/{session}/contacts");
    (app, session, base)
}

fn acknowledged(sentence: &str) -> Value {
    json!({ "success": true, "message": sentence })
}

#[tokio::test]
async fn a_person_is_blocked_and_let_in_again() {
    let (app, _, base) = with_mia().await;
    let block = format!("{base}/{MIA}/block");
    let answer = app.ask("POST", &block).admin().send().await.expect(200);
    assert_eq!(answer, acknowledged("Contact blocked"));
    assert_eq!(app.get(&format!("{base}/{MIA}")).await["isBlocked"], true);
    assert_eq!(app.get(&format!("{base}/blocked")).await, json!([MIA]));
    // OpenWA's clients send an empty object.
    app.post(&block, json!({}), 200).await;
    app.post(&block, json!({ "reason": "spam" }), 400).await;
    let answer = app.ask("DELETE", &block).admin().send().await.expect(200);
    assert_eq!(answer, acknowledged("Contact unblocked"));
    assert_eq!(app.get(&format!("{base}/{MIA}")).await["isBlocked"], false);
    assert_eq!(app.get(&format!("{base}/blocked")).await, json!([]));
    app.ask("POST", &format!("{base}/{GROUP}/block")).admin().send().await.expect(400);
    let asked = app.whatsapp.asked_about_people();
    let did = |asked: &&Ask| matches!(asked, Ask::Block(..));
    let did: Vec<_> = asked.iter().filter(did).cloned().collect();
    let (on, off) = (Ask::Block(chat(MIA), true), Ask::Block(chat(MIA), false));
    assert_eq!(did, [on.clone(), on, off]);
}

#[tokio::test]
async fn what_other_devices_block_is_learned() {
    let (app, session, base) = with_mia().await;
    let list = PeopleSignal::BlockList(vec![chat(MIA), chat("49170222@c.us")]);
    app.signal(&session, EngineSignal::People(list)).await;
    app.until(&format!("{base}/{MIA}"), |mia| mia["isBlocked"] == true).await;
    let list = PeopleSignal::BlockList(vec![chat("49170222@c.us")]);
    app.signal(&session, EngineSignal::People(list)).await;
    app.until(&format!("{base}/{MIA}"), |mia| mia["isBlocked"] == false).await;
    assert_eq!(app.get(&format!("{base}/49170222@c.us")).await["isBlocked"], true);
    // What the list of the moment says is learned too.
    app.whatsapp.set_block_list(vec![chat(MIA)]);
    assert_eq!(app.get(&format!("{base}/blocked")).await, json!([MIA]));
    assert_eq!(app.get(&format!("{base}/49170222@c.us")).await["isBlocked"], false);
}

#[tokio::test]
async fn a_refused_block_changes_nothing() {
    let (app, _, base) = with_mia().await;
    let block = format!("{base}/{MIA}/block");
    let no = EngineError::Refused("not-acceptable (code 406)".into());
    for (error, status) in
        [(no, 403), (EngineError::Unanswered(None), 503), (EngineError::NotConnected, 409)]
    {
        app.whatsapp.fail_ask(error);
        app.ask("POST", &block).admin().send().await.expect(status);
        assert_eq!(app.get(&format!("{base}/{MIA}")).await["isBlocked"], false);
    }
    let idle = app.new_session("idle").await;
    let path = format!("/api/sessions/{idle}/contacts/{MIA}/block");
    let answer = app.ask("POST", &path).admin().send().await.expect(400);
    assert_eq!(answer["message"], "Session is not started");
}

#[tokio::test]
async fn the_address_book_follows() {
    let (app, session, base) = with_mia().await;
    let mia = format!("{base}/{MIA}");
    let put = async |path: &str, body: Value| app.ask("PUT", path).admin().json(&body).send().await;
    let name = json!({ "firstName": "Mia", "lastName": "Baker" });
    let answer = put(&mia, name.clone()).await.expect(200);
    assert_eq!(answer, acknowledged("Contact saved"));
    let shown = app.get(&mia).await;
    assert_eq!((&shown["name"], &shown["isMyContact"]), (&json!("Mia Baker"), &json!(true)));
    let answer = app.ask("DELETE", &mia).admin().send().await.expect(200);
    assert_eq!(answer, acknowledged("Contact deleted"));
    let shown = app.get(&mia).await;
    assert_eq!((&shown["name"], &shown["isMyContact"]), (&Value::Null, &json!(false)));
    for wrong in [
        json!({}),
        json!({ "firstName": "" }),
        json!({ "firstName": "x".repeat(101) }),
        json!({ "firstName": "Mia", "lastName": "x".repeat(101) }),
        json!({ "firstName": "Mia", "nickname": "M" }),
    ] {
        put(&mia, wrong).await.expect(400);
    }
    // Only numbers are in the address book.
    put(&format!("{base}/{LID}"), name.clone()).await.expect(400);
    put(&format!("{base}/{GROUP}"), name).await.expect(400);
    app.ask("DELETE", &format!("{base}/{LID}")).admin().send().await.expect(400);
    // Of a privacy id whose number is known the number is taken out.
    app.signal(&session, EngineSignal::Identity(identity(LID, "49170111"))).await;
    app.until(&format!("{base}/{LID}/phone"), |phone| phone["phone"] == "49170111").await;
    app.ask("DELETE", &format!("{base}/{LID}")).admin().send().await.expect(200);
    let phone = PhoneNumber::parse("49170111").unwrap();
    let saved = ContactName { first: "Mia".into(), last: Some("Baker".into()) };
    let asked = app.whatsapp.asked_about_people();
    let removed = Ask::Remove(phone.clone());
    assert_eq!(asked, [Ask::Save(phone, saved), removed.clone(), removed]);
}

#[tokio::test]
async fn pictures_are_asked_for_once_and_believed_for_a_while() {
    let (app, session, base) = with_mia().await;
    let url = "https://pps.example/mia.jpg";
    app.whatsapp.set_picture(chat(MIA), url);
    let one = format!("{base}/{MIA}/profile-picture");
    for _ in 0..3 {
        assert_eq!(app.get(&one).await, json!({ "url": url }));
    }
    let many = format!("{base}/profile-pictures?ids={MIA},49170222@c.us,{GROUP}");
    let expected = json!({ "pictures": { MIA: url, "49170222@c.us": null, GROUP: null } });
    assert_eq!(app.get(&many).await, expected);
    assert_eq!(app.whatsapp.asked_about_people().len(), 3);
    // Somebody has another picture: that is told.
    app.whatsapp.set_picture(chat(MIA), "https://pps.example/new.jpg");
    app.signal(&session, EngineSignal::People(PeopleSignal::Picture(chat(MIA)))).await;
    assert_eq!(app.get(&one).await, json!({ "url": "https://pps.example/new.jpg" }));
    app.advance(Duration::from_secs(600));
    app.get(&many).await;
    assert_eq!(app.whatsapp.asked_about_people().len(), 7);
    app.whatsapp.fail_ask(EngineError::Unanswered(None));
    app.ask("GET", &format!("{base}/49170333@c.us/profile-picture"))
        .admin()
        .send()
        .await
        .expect(503);
}

#[tokio::test]
async fn a_picture_of_nobody_is_not_asked_for() {
    let (app, _, base) = with_mia().await;
    let ids = |count: usize| {
        let ids: Vec<String> = (0..count).map(|number| format!("4917{number:06}@c.us")).collect();
        format!("{base}/profile-pictures?ids={}", ids.join(","))
    };
    app.get(&ids(50)).await;
    let before = app.whatsapp.asked_about_people().len();
    let nothing = format!("{base}/profile-pictures");
    let status = format!("{base}/profile-pictures?ids=status@broadcast");
    let junk = format!("{base}/profile-pictures?ids={MIA},junk");
    for path in [&nothing, &status, &junk, &ids(51), &format!("{base}/junk/profile-picture")] {
        app.ask("GET", path).admin().send().await.expect(400);
    }
    assert_eq!(app.whatsapp.asked_about_people().len(), before);
    let key = app
        .new_key(json!({ "name": "one", "role": "viewer", "allowedChats": ["49170222@c.us"] }))
        .await;
    let both = format!("{base}/profile-pictures?ids=49170222@c.us,{MIA}");
    app.ask("GET", &both).key(&key.text).send().await.expect(403);
    let own = format!("{base}/profile-pictures?ids=49170222@c.us");
    app.ask("GET", &own).key(&key.text).send().await.expect(200);
}

#[tokio::test]
async fn the_privacy_id_of_a_number_is_told() {
    let (app, session, base) = with_mia().await;
    let lid = |number: &str| format!("{base}/{number}/lid");
    app.whatsapp.register(Registration {
        asked: chat(MIA),
        registered: Some(chat(MIA)),
        lid: Some(chat(LID)),
    });
    let expected = json!({ "number": "49170111", "lid": LID });
    assert_eq!(app.get(&lid("49170111")).await, expected);
    let asked = app.whatsapp.asked().len();
    // From now on it is known, also without a connection.
    for number in ["49170111", "+49170111", MIA] {
        assert_eq!(app.get(&lid(number)).await, expected, "{number}");
    }
    assert_eq!(app.whatsapp.asked().len(), asked);
    assert_eq!(app.get(&lid("49170222")).await, json!({ "number": "49170222", "lid": null }));
    for wrong in ["junk", "12", LID, GROUP] {
        app.ask("GET", &lid(wrong)).admin().send().await.expect(400);
    }
    let viewer = app.new_key(json!({ "name": "looks", "role": "viewer" })).await;
    app.ask("GET", &lid("49170111")).key(&viewer.text).send().await.expect(403);
    let gone = "/api/sessions/00000000-0000-4000-8000-000000000001/contacts/49170111/lid";
    app.ask("GET", gone).admin().send().await.expect(404);
    let stored = app.get(&format!("/api/sessions/{session}/contacts/{MIA}")).await;
    assert_eq!(stored["lid"], LID, "contacts show both ids");
}

#[tokio::test]
async fn a_pair_of_ids_is_an_event_once_however_it_is_learned() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let mut calls = app.hook_of(&session, &["contact.resolved"]).await;
    // By a message that names both, again and again.
    let mut message = from_mia("3AF0", Content::text("hello"));
    message.sender_lid = Some(chat(LID));
    message.sender_phone = PhoneNumber::parse("49170111");
    app.hear(&session, vec![message.clone()]).await;
    message.id = wa_id("3AF1");
    app.hear(&session, vec![message]).await;
    // By what the engine stored, a known pair among them.
    let pairs = vec![identity(LID, "49170111"), identity("1111111@lid", "49170222")];
    app.signal(&session, EngineSignal::People(PeopleSignal::Identities(pairs.clone()))).await;
    app.signal(&session, EngineSignal::People(PeopleSignal::Identities(pairs))).await;
    let phone = format!("/api/sessions/{session}/contacts/1111111@lid/phone");
    app.until(&phone, |phone| phone["phone"] == "49170222").await;
    // By a look-up.
    app.whatsapp.register(Registration {
        asked: chat("49170333@c.us"),
        registered: Some(chat("49170333@c.us")),
        lid: Some(chat("3333333@lid")),
    });
    app.get(&format!("/api/sessions/{session}/contacts/check/49170333")).await;
    let expected = [(LID, "49170111"), ("1111111@lid", "49170222"), ("3333333@lid", "49170333")];
    for (number, (lid, phone)) in expected.into_iter().enumerate() {
        let told = next(&mut calls).await;
        assert_eq!(told["event"], "contact.resolved");
        let data = &told["data"];
        assert_eq!(
            (&data["sessionId"], &data["contactId"]),
            (&json!(session), &json!(format!("{phone}@c.us")))
        );
        assert_eq!((&data["lid"], &data["phone"]), (&json!(lid), &json!(phone)), "{number}");
        let user = lid.split('@').next().unwrap();
        assert_eq!(told["idempotencyKey"], format!("resolved_{session}_{user}_{phone}"));
    }
    // Nothing else: the next event is of another pair.
    app.signal(&session, EngineSignal::Identity(identity("4444444@lid", "49170444"))).await;
    assert_eq!(next(&mut calls).await["data"]["phone"], "49170444");
}

#[tokio::test]
async fn a_receipt_shows_both_ids_of_its_recipient() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let mut calls = app.hook_of(&session, &["message.receipt"]).await;
    app.signal(&session, EngineSignal::Identity(identity(LID, "49170111"))).await;
    let body = json!({ "chatId": GROUP, "text": "hello" });
    let path = format!("/api/sessions/{session}/messages/send-text");
    let sent = app.post(&path, body, 201).await;
    let receipt = EngineSignal::Receipt {
        chat: chat(GROUP),
        participant: Some(chat(LID)),
        ids: vec![wa_id(sent["messageId"].as_str().unwrap())],
        kind: ReceiptKind::Read,
        timestamp: 1_790_841_700,
    };
    app.signal(&session, receipt).await;
    let told = next(&mut calls).await;
    assert_eq!(told["data"]["participantId"], MIA);
    assert_eq!(told["data"]["participantLid"], LID);
}

#[tokio::test]
async fn a_limited_key_blocks_nobody_else() {
    let (app, session, base) = with_mia().await;
    let patch = ContactPatch { blocked: Some(true), ..ContactPatch::default() };
    app.signal(&session, EngineSignal::Contact { id: chat("49170222@c.us"), patch }).await;
    app.whatsapp.set_block_list(vec![chat(MIA), chat("49170222@c.us")]);
    let key = app
        .new_key(json!({ "name": "one", "role": "operator", "allowedChats": ["49170222@c.us"] }))
        .await;
    let see = app.ask("GET", &format!("{base}/blocked")).key(&key.text).send().await;
    assert_eq!(see.expect(200), json!(["49170222@c.us"]));
    let answer = app.ask("POST", &format!("{base}/{MIA}/block")).key(&key.text).send().await;
    let sentence = "API key not authorized for this chat";
    assert_eq!(answer.expect(403), refused(403, "Forbidden", sentence));
    let own = format!("{base}/49170222@c.us/block");
    app.ask("DELETE", &own).key(&key.text).send().await.expect(200);
    let viewer = app.new_key(json!({ "name": "looks", "role": "viewer" })).await;
    app.ask("DELETE", &own).key(&viewer.text).send().await.expect(403);
}
