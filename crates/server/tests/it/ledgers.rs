//! Ledgers that earlier versions of the program left, with what their API said of them: this version opens them, and says
//! all of that still.
//!
//! A ledger is named after the newest migration in it. When the tables have changed since the last one, a new one is kept:
//! `cargo nextest run -p server --run-ignored only -E 'test(a_ledger_of_this_version_is_kept)'`.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use serde_json::{Value, json};

use crate::support::{Api, LIMIT, Prepared};

const SHOP: &str = "4915550001000";
const MIA: &str = "4917012345678";
/// What is asked of a ledger, with the session's id for `.`.
const ASKED: [&str; 13] = [
    "/sessions?limit=100",
    "./config",
    "./messages?limit=100",
    "./chats",
    "./contacts",
    "./groups",
    "./templates",
    "./webhooks",
    "./messages/batches",
    "./automation-rules",
    "/webhooks/delivery-failures",
    "/events?limit=100",
    "/audit?limit=100",
];
/// What changes with each look, or with each start.
const OF_THE_MOMENT: [&str; 6] =
    ["engineLoaded", "lastActive", "sendsToday", "nextCursor", "total", "updatedAt"];

fn kept() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ledgers")
}

/// The names of the ledgers that were kept, oldest first.
pub fn names() -> Vec<String> {
    let entries = std::fs::read_dir(kept()).unwrap().map(|entry| entry.unwrap().path());
    let ledgers = entries.filter(|path| path.extension().is_some_and(|end| end == "gz"));
    let mut names: Vec<String> = ledgers
        .map(|path| path.file_name().unwrap().to_str().unwrap().replace(".sqlite.gz", ""))
        .collect();
    names.sort();
    names
}

/// Lays a kept ledger into a data folder; what the version that left it said of it.
pub fn lay_out(name: &str, data: &Path) -> BTreeMap<String, Value> {
    let packed = std::fs::read(kept().join(format!("{name}.sqlite.gz"))).unwrap();
    let mut ledger = Vec::new();
    GzDecoder::new(packed.as_slice()).read_to_end(&mut ledger).unwrap();
    std::fs::write(data.join("waypost.sqlite"), ledger).unwrap();
    let said = std::fs::read(kept().join(format!("{name}.json"))).unwrap();
    serde_json::from_slice(&said).unwrap()
}

/// Everything that an earlier version said, the API says still; it may say more.
pub async fn check(api: &Api, said: &BTreeMap<String, Value>) {
    for (path, before) in said {
        let now = api.get(path).await;
        says_still(path, before, &now);
    }
}

fn says_still(place: &str, before: &Value, now: &Value) {
    match (before, now) {
        (Value::Object(before), Value::Object(now)) => {
            for (name, value) in before.iter().filter(|(name, _)| !is_of_the_moment(name)) {
                let now = now.get(name).unwrap_or(&Value::Null);
                says_still(&format!("{place} {name}"), value, now);
            }
        }
        (Value::Array(before), Value::Array(now)) => {
            // A start of the program may add to a log, at either end.
            assert!(now.len() >= before.len(), "{place}: {} of {}", now.len(), before.len());
            for (number, value) in before.iter().enumerate() {
                let same = value.get("id").and_then(|id| now.iter().find(|one| one["id"] == *id));
                let same = same.or_else(|| now.get(number)).unwrap_or(&Value::Null);
                says_still(&format!("{place} {number}"), value, same);
            }
        }
        _ => assert_eq!(before, now, "{place}"),
    }
}

fn is_of_the_moment(name: &str) -> bool {
    OF_THE_MOMENT.contains(&name)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_of_every_earlier_version_keeps_everything() {
    assert!(!names().is_empty());
    for name in names() {
        let house = Prepared::new().await;
        let said = lay_out(&name, house.data());
        // The second start finds what the first one brought along.
        for _ in 0..2 {
            let running = house.start();
            check(&running.api(), &said).await;
            assert!(running.terminate().success(), "{name}");
        }
    }
}

/// Plays a little with the program and keeps the ledger that it leaves. `WAYPOST_KEEP_LEDGER_OF` may name the program of
/// an earlier version, and `WAYPOST_KEEP_LEDGER_AS` its newest migration.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "makes a file of the repository"]
async fn a_ledger_of_this_version_is_kept() {
    let house = Prepared::new().await;
    let program = std::env::var("WAYPOST_KEEP_LEDGER_OF").ok();
    let running = house.start_program(program.as_deref());
    let api = running.api();
    let said = play(&house, &api).await;
    assert!(running.terminate().success());
    let ledger = std::fs::read(house.data().join("waypost.sqlite")).unwrap();
    let name = std::env::var("WAYPOST_KEEP_LEDGER_AS").unwrap_or_else(|_| newest_migration());
    let file = std::fs::File::create(kept().join(format!("{name}.sqlite.gz"))).unwrap();
    let mut packed = GzEncoder::new(file, Compression::best());
    packed.write_all(&ledger).unwrap();
    packed.finish().unwrap();
    let said = serde_json::to_vec_pretty(&said).unwrap();
    std::fs::write(kept().join(format!("{name}.json")), said).unwrap();
}

fn newest_migration() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../storage/migrations/sqlite");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let newest = files.map(|name| name.into_string().unwrap()).max().unwrap();
    newest[..4].to_owned()
}

/// A shop with a customer and a group, a receiver that is down, a campaign, and everything else that is kept.
async fn play(house: &Prepared, api: &Api) -> BTreeMap<String, Value> {
    let owner = house.network.add_account(SHOP, "Shop").await;
    let mia = house.network.add_account(MIA, "Mia").await;
    let group = mia.create_group("Market", &[SHOP]).await.unwrap();
    let made = api.post("/sessions", &json!({ "name": "shop" })).await.1;
    let session = made["id"].as_str().unwrap().to_owned();
    let at = |path: &str| path.replacen('.', &format!("/sessions/{session}"), 1);
    let post = async |path: &str, body: Value| {
        let (status, answer) = api.post(&at(path), &body).await;
        assert!((200..300).contains(&status), "{path}: {answer}");
        answer
    };
    post("./start", json!({})).await;
    api.until(&at("."), |body| body["status"] == "qr_ready").await;
    let code = post("./pairing-code", json!({ "phoneNumber": SHOP })).await;
    let code = code["pairingCode"].as_str().unwrap().replace('-', "");
    house.network.enter_code(SHOP, &code).await.unwrap();
    api.until(&at("."), |body| body["status"] == "ready").await;
    assert_eq!(owner.devices().len(), 1);
    let dead = json!({ "url": "http://127.0.0.1:9/hook", "events": ["*"], "retryCount": 1 });
    post("./webhooks", dead).await;
    let template = json!({ "name": "ready", "body": "Hello {{name}}" });
    post("./templates", template).await;
    let chat = format!("{MIA}@c.us");
    let text = json!({ "chatId": chat, "text": "Your cake is ready" });
    post("./messages/send-text", text).await;
    mia.wait_for(LIMIT, |message| message.text == "Your cake is ready").await.unwrap();
    mia.send_text(SHOP, "When do you close?").await.unwrap();
    mia.send_text_to(&group, "Who brings bread?").await.unwrap();
    let poll = json!({ "chatId": chat, "name": "Which bread?", "options": ["rye", "wheat"] });
    post("./messages/send-poll", poll).await;
    let item = json!({ "chatId": chat, "type": "text", "content": { "text": "Open until six" } });
    post("./messages/send-bulk", json!({ "messages": [item] })).await;
    let batches = at("./messages/batches");
    api.until(&batches, |body| body.to_string().contains("\"completed\"")).await;
    let list = at("./messages?limit=100");
    api.until(&list, |body| body["messages"].as_array().unwrap().len() >= 5).await;
    api.until("/webhooks/delivery-failures", |body| !body.to_string().contains("\"total\":0"))
        .await;
    post("./stop", json!({})).await;
    api.until(&at("."), |body| body["engineLoaded"] == false).await;
    let mut said = BTreeMap::new();
    for path in ASKED {
        let path = at(path);
        let body = api.get(&path).await;
        said.insert(path, body);
    }
    said
}
