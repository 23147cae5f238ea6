//! Statuses: posted, read, their files, their end.

use serde_json::{Value, json};
use simulator::Account;
use testkit::files;

use super::stage::{MIA, SHOP, Stage, chat};
use crate::support::LIMIT;

pub const ROUTES: &[&str] = &[
    "GET ./status",
    "GET ./status/{id}",
    "GET ./status/{id}/media",
    "POST ./status/send-text",
    "POST ./status/send-image",
    "POST ./status/send-video",
    "POST ./status/send-voice",
    "DELETE ./status/{id}",
];

async fn seen(person: &Account, id: &Value) {
    let id = id.as_str().unwrap().to_owned();
    person.wait_for(LIMIT, |message| message.id == id).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn statuses_are_posted_read_and_taken_back() {
    let mut stage = Stage::new().await;
    let own = |bytes: &[u8], mimetype: &str| json!({ "base64": files::base64(bytes), "mimetype": mimetype });
    let mut posted = Value::Null;
    for (route, body) in [
        (
            "send-text",
            json!({ "text": "Open till six", "backgroundColor": "#1E6E4F", "font": 2, "recipients": [chat(MIA)] }),
        ),
        ("send-video", json!({ "video": own(files::MP4, "video/mp4"), "recipients": [chat(MIA)] })),
        (
            "send-voice",
            json!({ "audio": own(files::OPUS, "audio/ogg; codecs=opus"), "recipients": [chat(MIA)] }),
        ),
        (
            "send-image",
            json!({ "image": own(files::PNG, "image/png"), "caption": "Fresh", "recipients": [chat(MIA)] }),
        ),
    ] {
        posted = stage.walk.call("POST", &format!("./status/{route}"), body, 201).await;
        seen(&stage.mia, &posted["statusId"]).await;
    }
    stage.walk.set("id", &posted["statusId"]);
    let file = stage.walk.bytes("./status/{id}/media").await;
    assert_eq!(file.bytes, files::PNG);
    let gone = stage.mia.inbox().await.len();
    stage.walk.bare("DELETE", "./status/{id}", 200).await;
    stage.mia.wait_for_count(gone + 1).await;
    stage.walk.set("id", &json!(chat(SHOP)));
    assert_eq!(stage.walk.get("./status/{id}").await["statuses"].as_array().unwrap().len(), 3);

    let theirs = stage.mia.post_status(&[SHOP], "Cake for everybody").await.unwrap();
    let all = |all: &Value| {
        let mut all = all["statuses"].as_array().unwrap().iter();
        all.any(|status| status["id"] == json!(theirs))
    };
    stage.walk.until("./status", all).await;
    stage.walk.set("id", &json!(chat(MIA)));
    let of_mia = stage.walk.get("./status/{id}").await;
    assert_eq!(of_mia["statuses"][0]["caption"], "Cake for everybody");
    stage.end(ROUTES).await;
}
