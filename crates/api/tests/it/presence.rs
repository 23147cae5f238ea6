//! Presences: watched, seen, told; and what the account shows of itself.

use std::time::Duration;

use domain::{
    ChatId, Clock as _, PhoneNumber,
    chat::Identity,
    port::{EngineSignal, PeopleSignal},
    presence::{PresenceChange, PresenceOf, PresenceState},
    session::LossCause,
};
use serde_json::{Value, json};
use testkit::AskedAboutPeople as Ask;

use crate::{
    app::{App, next},
    inbound::{GROUP, MIA, chat},
};

fn seen(chat: &ChatId, person: &str, state: PresenceState, last_seen: Option<i64>) -> EngineSignal {
    let of = PresenceOf { person: person.parse().unwrap(), state, last_seen };
    EngineSignal::People(PeopleSignal::Presence(PresenceChange { chat: chat.clone(), of }))
}

fn watched(app: &App) -> Vec<ChatId> {
    let asked = app.whatsapp.asked_about_people().into_iter();
    asked
        .filter_map(|asked| match asked {
            Ask::Watch(chat) => Some(chat),
            _ => None,
        })
        .collect()
}

fn shown(app: &App) -> Vec<bool> {
    let asked = app.whatsapp.asked_about_people().into_iter();
    asked
        .filter_map(|asked| match asked {
            Ask::Available(available) => Some(available),
            _ => None,
        })
        .collect()
}

/// Waits until something was asked often enough.
async fn until(holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait).await.expect("it never came true");
}

#[tokio::test]
async fn what_was_seen_is_told_and_read() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let mut calls = app.hook_of(&session, &["presence.update"]).await;
    let path = format!("/api/sessions/{session}/presence/{MIA}");
    assert_eq!(app.get(&path).await, Value::Null);
    let mia = chat(MIA);
    app.signal(&session, seen(&mia, MIA, PresenceState::Unavailable, Some(1_790_841_000))).await;
    let told = next(&mut calls).await;
    let participant = json!({ "id": MIA, "state": "unavailable", "lastSeen": 1_790_841_000 });
    assert_eq!(
        told["data"],
        json!({ "sessionId": session, "chatId": MIA, "participants": [participant.clone()] })
    );
    let observed = app.clock.now().iso();
    assert_eq!(
        app.get(&path).await,
        json!({ "chatId": MIA, "participants": [participant], "observedAt": observed })
    );
    for state in [PresenceState::Composing, PresenceState::Paused, PresenceState::Composing] {
        app.signal(&session, seen(&mia, MIA, state, None)).await;
    }
    let keys: Vec<Value> = [next(&mut calls).await, next(&mut calls).await, next(&mut calls).await]
        .map(|mut told| told["idempotencyKey"].take())
        .into();
    assert_ne!(keys[0], keys[2], "she began to write twice");
    // Who writes says nothing of when they were there before.
    let participant = json!({ "id": MIA, "state": "composing", "lastSeen": 1_790_841_000 });
    assert_eq!(app.get(&path).await["participants"], json!([participant]));
}

#[tokio::test]
async fn a_group_shows_each_of_its_people_under_one_name() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let (lid, group) = ("99887766@lid", chat(GROUP));
    let identity = Identity { lid: chat(lid), phone: PhoneNumber::parse("49170111").unwrap() };
    app.signal(&session, EngineSignal::Identity(identity)).await;
    let phone = format!("/api/sessions/{session}/contacts/{lid}/phone");
    app.until(&phone, |phone| phone["phone"] == "49170111").await;
    app.signal(&session, seen(&group, lid, PresenceState::Composing, None)).await;
    app.signal(&session, seen(&group, "49170222@c.us", PresenceState::Recording, None)).await;
    app.signal(&session, seen(&group, MIA, PresenceState::Paused, None)).await;
    let read = app.get(&format!("/api/sessions/{session}/presence/{GROUP}")).await;
    let expected = json!([
        { "id": "49170222@c.us", "state": "recording" }, { "id": MIA, "state": "paused" }
    ]);
    assert_eq!(read["participants"], expected);
}

#[tokio::test]
async fn wishes_hold_over_a_reconnect_and_a_restart() {
    let mut app = App::start().await;
    let session = app.ready_session("bakery").await;
    let base = format!("/api/sessions/{session}/presence");
    let subscribe = format!("{base}/subscribe");
    for one in [MIA, GROUP] {
        assert_eq!(
            app.post(&subscribe, json!({ "chatId": one }), 200).await,
            json!({ "success": true })
        );
    }
    let answer = app.ask("PUT", &base).admin().json(&json!({ "available": true })).send().await;
    assert_eq!(answer.expect(200), json!({ "success": true }));
    assert_eq!((watched(&app), shown(&app)), (vec![chat(MIA), chat(GROUP)], vec![true]));
    let link = app.whatsapp.connection(session.parse().unwrap());
    link.lose(LossCause::Link("gone".into())).await;
    app.clock.fire(domain::Timer::Reconnect).await;
    until(|| watched(&app).len() == 4 && shown(&app) == [true, true]).await;
    // Another life of the process.
    app.restart().await;
    until(|| watched(&app).len() == 6 && shown(&app).len() == 3).await;
    let answer = app.ask("PUT", &base).admin().json(&json!({ "available": false })).send().await;
    answer.expect(200);
    assert_eq!(shown(&app), [true, true, true, false]);
    app.restart().await;
    // The engine shows nothing by itself.
    until(|| watched(&app).len() == 8).await;
    assert_eq!(shown(&app).len(), 4);
}

#[tokio::test]
async fn wrong_wishes_are_refused() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let base = format!("/api/sessions/{session}/presence");
    for wrong in [json!({}), json!({ "chatId": "nobody" }), json!({ "chatId": MIA, "for": 5 })] {
        app.post(&format!("{base}/subscribe"), wrong, 400).await;
    }
    for wrong in [json!({}), json!({ "available": "maybe" }), json!({ "available": true, "x": 1 })]
    {
        app.ask("PUT", &base).admin().json(&wrong).send().await.expect(400);
    }
    app.ask("GET", &format!("{base}/nobody")).admin().send().await.expect(400);
    app.whatsapp.set_nameless(true);
    let answer = app.ask("PUT", &base).admin().json(&json!({ "available": true })).send().await;
    answer.expect(409);
    assert_eq!(app.whatsapp.asked_about_people(), []);
    let idle = app.new_session("idle").await;
    let path = format!("/api/sessions/{idle}/presence");
    let answer = app.ask("PUT", &path).admin().json(&json!({ "available": true })).send().await;
    assert_eq!(answer.expect(400)["message"], "Session is not started");
    let gone = format!("/api/sessions/00000000-0000-4000-8000-000000000001/presence/{MIA}");
    app.ask("GET", &gone).admin().send().await.expect(404);
}

#[tokio::test]
async fn a_limited_key_watches_its_chats() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let base = format!("/api/sessions/{session}/presence");
    let key = app
        .new_key(json!({ "name": "one", "role": "operator", "allowedChats": ["49170222@c.us"] }))
        .await;
    let subscribe = async |who: &str| {
        let path = format!("{base}/subscribe");
        app.ask("POST", &path).key(&key.text).json(&json!({ "chatId": who })).send().await.status
    };
    assert_eq!((subscribe("49170222@c.us").await, subscribe(MIA).await), (200, 403));
    app.ask("GET", &format!("{base}/{MIA}")).key(&key.text).send().await.expect(403);
    app.ask("GET", &format!("{base}/49170222@c.us")).key(&key.text).send().await.expect(200);
    let own = app.ask("PUT", &base).key(&key.text).json(&json!({ "available": true }));
    own.send().await.expect(403);
}
