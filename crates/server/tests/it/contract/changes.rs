//! Messages are changed, reacted to, pinned, voted on and read again.

use serde_json::json;
use simulator::{FileKind, NewFile};
use testkit::files;

use super::stage::{MIA, SHOP, Stage, chat};
use crate::support::LIMIT;

pub const ROUTES: &[&str] = &[
    "POST ./messages/react",
    "POST ./messages/edit",
    "POST ./messages/delete",
    "POST ./messages/pin",
    "POST ./messages/unpin",
    "POST ./messages/star",
    "POST ./messages/vote-poll",
    "POST ./messages/click-button",
    "GET ./messages",
    "GET ./messages/{chatId}/history",
    "GET ./messages/{chatId}/{messageId}/reactions",
    "GET ./messages/{chatId}/{messageId}/media",
    "GET ./messages/{chatId}/{messageId}/receipts",
];

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_changed_for_both_sides() {
    let mut stage = Stage::new().await;
    let to = chat(MIA);
    stage.walk.set("chatId", &json!(to));
    let heard = stage.mia_says("Is the cake ready?").await;
    let said = stage.shop_says("Yes").await;
    for (route, body, kind) in [
        ("react", json!({ "chatId": to, "messageId": heard, "emoji": "👍" }), "reaction"),
        ("edit", json!({ "chatId": to, "messageId": said, "body": "Yes, at six" }), "edit"),
        ("pin", json!({ "chatId": to, "messageId": heard, "durationSeconds": 86_400 }), "pin"),
        ("unpin", json!({ "chatId": to, "messageId": heard }), "pin"),
    ] {
        let seen = stage.mia.inbox().await.len();
        stage.walk.call("POST", &format!("./messages/{route}"), body, 200).await;
        stage.mia.wait_for_count(seen + 1).await;
        let inbox = stage.mia.inbox().await;
        assert_eq!(inbox.last().unwrap().kind(), kind, "{route}");
    }
    let star = json!({ "chatId": to, "messageId": heard, "star": true });
    stage.walk.call("POST", "./messages/star", star, 200).await;
    let marks = stage.house.network.record().marks;
    assert!(marks.iter().any(|mark| mark.index[0] == "star"), "{marks:?}");
    looks(&mut stage, &heard, &said).await;
    files_of_a_person(&mut stage).await;
    choices(&mut stage).await;
    let gone = json!({ "chatId": to, "messageId": said, "forEveryone": true });
    stage.walk.call("POST", "./messages/delete", gone, 200).await;
    let revoked = stage.mia.wait_for(LIMIT, |message| message.kind() == "revoke").await.unwrap();
    assert_eq!(revoked.target().as_deref(), Some(said.as_str()));
    let own = json!({ "chatId": to, "messageId": heard, "forEveryone": false });
    stage.walk.call("POST", "./messages/delete", own, 200).await;
    stage.end(ROUTES).await;
}

/// What is known of messages.
async fn looks(stage: &mut Stage, heard: &str, said: &str) {
    let query = format!("./messages?chatId={}&limit=10&inlineMedia=true", chat(MIA));
    let page = stage.walk.get(&query).await;
    assert_eq!(page["total"], 2);
    let lived = stage.walk.get("./messages/{chatId}/history?limit=10&includeMedia=true").await;
    assert_eq!(lived.as_array().unwrap().len(), 2);
    stage.walk.get("./messages/{chatId}/history?limit=10&deep=true").await;
    stage.walk.set("messageId", &json!(heard));
    let reactions = stage.walk.get("./messages/{chatId}/{messageId}/reactions").await;
    assert_eq!(reactions.as_array().unwrap().len(), 1);
    stage.walk.set("messageId", &json!(said));
    stage.mia.read(said).await.unwrap();
    let read = |receipts: &serde_json::Value| !receipts["read"].as_array().unwrap().is_empty();
    stage.walk.until("./messages/{chatId}/{messageId}/receipts", read).await;
}

async fn files_of_a_person(stage: &mut Stage) {
    let file = NewFile {
        caption: Some("Like this one".to_owned()),
        ..NewFile::new(FileKind::Image, files::PNG.to_vec(), "image/png")
    };
    let id = stage.mia.send_file(&stage.shop.jid(), file).await.unwrap();
    let path = format!("./messages?messageId={id}");
    let ready =
        |page: &serde_json::Value| page["messages"][0]["metadata"]["media"]["state"] == "ready";
    stage.walk.until(&path, ready).await;
    stage.walk.set("messageId", &json!(id));
    let file = stage.walk.bytes("./messages/{chatId}/{messageId}/media").await;
    assert_eq!((file.bytes.as_slice(), file.kind.as_str()), (files::PNG, "image/png"));
    let query = format!("./messages?chatId={}&inlineMedia=true", chat(MIA));
    stage.walk.get(&query).await;
    stage.walk.get("./messages/{chatId}/history?includeMedia=true").await;
}

/// A poll of a person is voted on, a button of hers pressed.
async fn choices(stage: &mut Stage) {
    let shop = stage.shop.jid();
    let poll = stage.mia.send_poll(&shop, "Which cake?", &["Plum", "Apple"], 1).await.unwrap();
    stage.heard(&poll).await;
    let vote = json!({ "chatId": chat(MIA), "pollMessageId": poll, "options": ["Plum"] });
    stage.walk.call("POST", "./messages/vote-poll", vote, 200).await;
    let voted = stage.mia.wait_for(LIMIT, |message| message.kind() == "vote").await.unwrap();
    assert_eq!(stage.mia.vote_of(&voted).unwrap(), ["Plum"]);
    let buttons = [("yes", "Yes"), ("no", "No")];
    let asked = stage.mia.send_buttons(&shop, "Pick up today?", &buttons).await.unwrap();
    stage.heard(&asked).await;
    let press = json!({ "chatId": chat(MIA), "messageId": asked, "buttonId": "yes" });
    let pressed = stage.walk.call("POST", "./messages/click-button", press, 201).await;
    let id = pressed["messageId"].as_str().unwrap().to_owned();
    stage.mia.wait_for(LIMIT, |message| message.id == id).await.unwrap();
    assert_eq!(stage.shop.phone(), SHOP);
}
