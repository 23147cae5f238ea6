//! Chats and their marks, presences, calls, and what the account shows of itself.

use serde_json::{Value, json};
use simulator::{ChatState, Online};
use testkit::files;

use super::stage::{MIA, SHOP, Stage, chat};
use crate::support::LIMIT;

pub const ROUTES: &[&str] = &[
    "GET ./chats",
    "POST ./chats/read",
    "POST ./chats/unread",
    "POST ./chats/archive",
    "POST ./chats/mute",
    "POST ./chats/pin",
    "POST ./chats/delete",
    "POST ./chats/typing",
    "DELETE ./chats/{chatId}/messages",
    "POST ./presence/subscribe",
    "GET ./presence/{chatId}",
    "PUT ./presence",
    "PUT ./profile/name",
    "PUT ./profile/status",
    "PUT ./profile/picture",
    "DELETE ./profile/picture",
    "POST ./calls/link",
    "POST ./calls/{callId}/reject",
];

#[tokio::test(flavor = "multi_thread")]
async fn chats_are_marked() {
    let mut stage = Stage::new().await;
    let to = chat(MIA);
    stage.walk.set("chatId", &json!(to));
    let heard = stage.mia_says("Is the cake ready?").await;
    stage.shop_says("Yes").await;
    assert_eq!(stage.walk.get("./chats?limit=10").await[0]["id"], to);
    for (route, body) in [
        ("read", json!({ "chatId": to, "messageIds": [heard] })),
        ("read", json!({ "chatId": to })),
        ("unread", json!({ "chatId": to })),
        ("archive", json!({ "chatId": to, "archive": true })),
        ("archive", json!({ "chatId": to, "archive": false })),
        ("mute", json!({ "chatId": to, "muteUntil": 4_102_444_800_000_i64 })),
        ("mute", json!({ "chatId": to, "muteUntil": null })),
        ("pin", json!({ "chatId": to, "pin": true })),
        ("pin", json!({ "chatId": to, "pin": false })),
        ("typing", json!({ "chatId": to, "state": "typing" })),
        ("typing", json!({ "chatId": to, "state": "recording" })),
        ("typing", json!({ "chatId": to, "state": "paused" })),
    ] {
        stage.walk.call("POST", &format!("./chats/{route}"), body, 200).await;
    }
    stage.walk.get("./chats").await;
    presences(&mut stage).await;
    profile(&mut stage).await;
    calls(&mut stage).await;
    stage.walk.bare("DELETE", "./chats/{chatId}/messages", 200).await;
    stage.walk.call("POST", "./chats/delete", json!({ "chatId": to }), 200).await;
    assert_eq!(stage.walk.get("./chats").await, json!([]));
    stage.end(ROUTES).await;
}

async fn presences(stage: &mut Stage) {
    let on = |available: bool| json!({ "available": available });
    stage.walk.call("PUT", "./presence", on(true), 200).await;
    let watch = json!({ "chatId": chat(MIA) });
    stage.walk.call("POST", "./presence/subscribe", watch, 200).await;
    stage.mia.set_online(Online::Available).await.unwrap();
    stage.mia.chat_state(SHOP, ChatState::Composing).await.unwrap();
    let seen = |presence: &Value| {
        presence["participants"].as_array().is_some_and(|people| !people.is_empty())
    };
    stage.walk.until("./presence/{chatId}", seen).await;
    stage.walk.call("PUT", "./presence", on(false), 200).await;
    let shown = stage.house.network.record().presences;
    assert!(shown.iter().any(|one| one.phone == SHOP && one.state == "unavailable"), "{shown:?}");
}

async fn profile(stage: &mut Stage) {
    let walk = &mut stage.walk;
    walk.call("PUT", "./profile/name", json!({ "name": "Corner Bakery" }), 200).await;
    walk.call("PUT", "./profile/status", json!({ "status": "Open till six" }), 200).await;
    let picture = json!({ "base64": files::base64(files::PNG), "mimetype": "image/png" });
    walk.call("PUT", "./profile/picture", picture, 200).await;
    assert_eq!(stage.shop.present_name(), "Corner Bakery");
    assert_eq!(stage.shop.about(), "Open till six");
    assert_eq!(stage.shop.picture().unwrap()[..3], [0xff, 0xd8, 0xff], "a JPEG");
    stage.walk.bare("DELETE", "./profile/picture", 200).await;
    assert_eq!(stage.shop.picture(), None);
}

async fn calls(stage: &mut Stage) {
    let link = json!({ "startTime": 4_102_444_800_000_i64, "type": "video" });
    stage.walk.call("POST", "./calls/link", link, 200).await;
    let receiver = testkit::Receiver::start().await;
    let hook = json!({ "url": receiver.url(), "events": ["call.received"] });
    stage.walk.call("POST", "./webhooks", hook, 201).await;
    let call = stage.mia.call(SHOP, true).await.unwrap();
    let told = tokio::time::timeout(LIMIT, receiver.wait_for(1)).await.unwrap();
    assert_eq!(told[0].json()["data"]["callId"], call);
    stage.walk.set("callId", &json!(call));
    stage.walk.bare("POST", "./calls/{callId}/reject", 200).await;
    assert_eq!(stage.house.network.record().refused_calls[0].id, call);
}
