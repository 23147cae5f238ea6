//! Automation rules, and files that are converted.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use super::stage::{SHOP, Stage};
use crate::support::{LIMIT, Prepared};

pub const ROUTES: &[&str] = &[
    "GET ./media/convert",
    "POST ./media/convert/voice",
    "POST ./media/convert/video",
    "POST ./automation-rules",
    "GET ./automation-rules",
    "GET ./automation-rules/{ruleId}",
    "PUT ./automation-rules/{ruleId}",
    "DELETE ./automation-rules/{ruleId}",
];

/// In the place of `ffmpeg`, which not every machine has: it gives back what it is given.
const CONVERTER: &str = "#!/bin/sh\n[ \"$1\" = -version ] && exit 0\ncat\n";
/// The head of a WAV file.
const WAV: &str = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA=";

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_answered_and_files_converted() {
    let house = Prepared::new().await;
    let program = house.data().join("convert");
    std::fs::write(&program, CONVERTER).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
    let env = [("FFMPEG_PATH", program.to_str().unwrap().to_owned())];
    let env = env.each_ref().map(|(name, value)| (*name, value.as_str()));
    let mut stage = Stage::on(house, &env).await;
    let walk = &mut stage.walk;
    assert_eq!(walk.get("./media/convert").await["available"], true);
    let voice = json!({ "base64": WAV });
    let made = walk.call("POST", "./media/convert/voice", voice, 200).await;
    assert_eq!(made["bytes"], 44);
    let video = json!({ "base64": testkit::files::base64(testkit::files::MP4) });
    walk.call("POST", "./media/convert/video", video, 200).await;

    let new = json!({
        "name": "hours", "replyText": "From nine to six",
        "conditions": { "conditions": [{ "field": "body", "operator": "contains", "value": "open" }] },
    });
    let made = walk.call("POST", "./automation-rules", new, 201).await;
    walk.set("ruleId", &made["id"]);
    assert_eq!(walk.get("./automation-rules").await[0]["name"], "hours");
    let change = json!({ "name": "opening hours", "cooldownSeconds": 60 });
    walk.call("PUT", "./automation-rules/{ruleId}", change, 200).await;
    assert_eq!(walk.get("./automation-rules/{ruleId}").await["name"], "opening hours");
    stage.mia.send_text(SHOP, "When are you open?").await.unwrap();
    stage.mia.wait_for(LIMIT, |message| message.text == "From nine to six").await.unwrap();
    stage.walk.bare("DELETE", "./automation-rules/{ruleId}", 204).await;
    stage.end(ROUTES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_program_nothing_is_converted() {
    let mut stage = Stage::with(&[("FFMPEG_PATH", "/nowhere/ffmpeg")]).await;
    let walk = &mut stage.walk;
    assert_eq!(walk.get("./media/convert").await["available"], false);
    for kind in ["voice", "video"] {
        let path = format!("./media/convert/{kind}");
        walk.call("POST", &path, json!({ "base64": WAV }), 503).await;
    }
    stage.end(&["GET ./media/convert"]).await;
}
