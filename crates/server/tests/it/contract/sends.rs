//! Messages of every kind go out.

use serde_json::{Value, json};
use testkit::files;

use super::stage::{BEN, MIA, SHOP, Stage, chat};
use crate::support::LIMIT;

pub const ROUTES: &[&str] = &[
    "POST ./messages/send-text",
    "POST ./messages/send-template",
    "POST ./messages/send-image",
    "POST ./messages/send-video",
    "POST ./messages/send-audio",
    "POST ./messages/send-document",
    "POST ./messages/send-sticker",
    "POST ./messages/send-location",
    "POST ./messages/send-contact",
    "POST ./messages/send-poll",
    "POST ./messages/reply",
    "POST ./messages/forward",
    "POST ./messages/send-bulk",
    "GET ./messages/batch/{batchId}",
    "POST ./messages/batch/{batchId}/cancel",
    "POST ./templates",
    "GET ./templates",
    "GET ./templates/{id}",
    "PUT ./templates/{id}",
    "DELETE ./templates/{id}",
];

/// Sends something and waits until Mia has it; the id of the message.
async fn send(stage: &mut Stage, route: &str, body: Value, kind: &str) -> String {
    let sent = stage.walk.call("POST", &format!("./messages/{route}"), body, 201).await;
    let id = sent["messageId"].as_str().unwrap().to_owned();
    let came = stage.mia.wait_for(LIMIT, |message| message.id == id).await.unwrap();
    assert_eq!(came.kind(), kind, "{route}");
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_message_reaches_a_person() {
    let mut stage = Stage::new().await;
    let to = chat(MIA);
    let asked = stage.mia_says("What do you have?").await;
    let text = json!({ "chatId": to, "text": "Plum cake", "quotedMessageId": asked });
    let said = send(&mut stage, "send-text", text, "text").await;
    for (route, bytes, mimetype, kind) in [
        ("send-image", files::PNG, "image/png", "image"),
        ("send-video", files::MP4, "video/mp4", "video"),
        ("send-audio", files::MP3, "audio/mpeg", "audio"),
        ("send-document", files::PDF, "application/pdf", "document"),
        ("send-sticker", files::PNG, "image/png", "sticker"),
    ] {
        let body = json!({ "chatId": to, "base64": files::base64(bytes), "mimetype": mimetype });
        send(&mut stage, route, body, kind).await;
    }
    let voice = json!({
        "chatId": to, "base64": files::base64(files::OPUS), "mimetype": "audio/ogg; codecs=opus", "ptt": true,
    });
    send(&mut stage, "send-audio", voice, "voice").await;
    let place = json!({
        "chatId": to, "latitude": 52.5, "longitude": 13.4, "description": "The shop", "address": "Main Street 1",
    });
    send(&mut stage, "send-location", place, "location").await;
    let card = json!({ "chatId": to, "contactName": "Corner Bakery", "contactNumber": format!("+{SHOP}") });
    send(&mut stage, "send-contact", card, "contact").await;
    let poll = json!({ "chatId": to, "name": "Which cake?", "options": ["Plum", "Apple"] });
    send(&mut stage, "send-poll", poll, "poll").await;
    let reply = json!({ "chatId": to, "quotedMessageId": asked, "text": "And bread" });
    send(&mut stage, "reply", reply, "text").await;
    let forward = json!({ "fromChatId": to, "toChatId": chat(BEN), "messageId": said });
    let forwarded = stage.walk.call("POST", "./messages/forward", forward, 201).await;
    let id = forwarded["messageId"].as_str().unwrap().to_owned();
    let came = stage.ben.wait_for(LIMIT, |message| message.id == id).await.unwrap();
    assert_eq!(came.text, "Plum cake");
    templates(&mut stage).await;
    batches(&mut stage).await;
    stage.end(ROUTES).await;
}

async fn templates(stage: &mut Stage) {
    let new =
        json!({ "name": "ready", "header": "Hello {{name}}", "body": "Your {{what}} is ready" });
    let made = stage.walk.call("POST", "./templates", new, 201).await;
    let id = stage.walk.set("id", &made["id"]);
    assert_eq!(stage.walk.get("./templates").await[0]["id"], json!(id));
    stage.walk.call("PUT", "./templates/{id}", json!({ "footer": "Bye" }), 200).await;
    assert_eq!(stage.walk.get("./templates/{id}").await["footer"], "Bye");
    let body =
        json!({ "chatId": chat(MIA), "templateId": id, "vars": { "name": "Mia", "what": "cake" } });
    send(stage, "send-template", body, "text").await;
    stage.walk.bare("DELETE", "./templates/{id}", 204).await;
    stage.walk.bare("GET", "./templates/{id}", 404).await;
}

async fn batches(stage: &mut Stage) {
    let text = |phone: &str, text: &str| json!({ "chatId": chat(phone), "type": "text", "content": { "text": text } });
    let body = json!({
        "batchId": "spring",
        "messages": [text(MIA, "Spring is here"), text(BEN, "Spring is here"), text(BEN, "Spring is here")],
        "options": { "delayBetweenMessages": 2000, "randomizeDelay": false },
    });
    let foreseen =
        stage.walk.call("POST", "./messages/send-bulk?dryRun=true", body.clone(), 200).await;
    assert_eq!(foreseen["dryRun"], true);
    stage.walk.call("POST", "./messages/send-bulk", body, 202).await;
    stage.walk.set("batchId", &json!("spring"));
    stage.mia.wait_for(LIMIT, |message| message.text == "Spring is here").await.unwrap();
    let over = |batch: &Value| batch["completedAt"].is_string();
    let batch = stage.walk.until("./messages/batch/{batchId}", over).await;
    assert_eq!(batch["progress"]["sent"], 2);
    let body = json!({
        "batchId": "autumn", "messages": [text(MIA, "Autumn is here")],
        "options": { "scheduledAt": "2100-09-01T08:00:00.000Z" },
    });
    let accepted = stage.walk.call("POST", "./messages/send-bulk", body, 202).await;
    stage.walk.set("batchId", &accepted["batchId"]);
    let ended = stage.walk.bare("POST", "./messages/batch/{batchId}/cancel", 200).await;
    assert_eq!(ended["status"], "cancelled");
}
