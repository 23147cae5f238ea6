//! The history of a chat, receipts by recipient, and where a change was made.

use domain::{
    content::Content,
    event::ChangeSource,
    message::InboundMessage,
    port::{EngineSignal, ReceiptKind},
};
use serde_json::{Value, json};

use crate::{
    app::{App, next, refused},
    inbound::{GROUP, MIA, TIME, chat, from_mia, wa_id},
};

pub const BEN: &str = "49170222@c.us";

pub async fn ready() -> (App, String) {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    (app, session)
}

pub fn text(id: &str, body: &str) -> InboundMessage {
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
