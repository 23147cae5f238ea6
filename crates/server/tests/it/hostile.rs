//! What somebody who has only the number can do with crafted messages: from the phone through the whole house to the
//! webhook. WhatsApp sees nothing of it, because it is encrypted.

use std::time::Duration;

use serde_json::{Value, json};
use simulator::{FileKind, MessageRef, NewFile};
use testkit::Receiver;

use crate::{
    counting::register_with,
    support::{LIMIT, Prepared},
};

const SHOP: &str = "4915500000001";
const STRANGER: &str = "4917000000666";

/// Waits until the receiver has so many events of a kind; them.
async fn events(receiver: &Receiver, kind: &str, count: usize) -> Vec<Value> {
    let deadline = tokio::time::Instant::now() + LIMIT;
    loop {
        let all: Vec<Value> = receiver.received().iter().map(|call| call.json()).collect();
        let found: Vec<Value> =
            all.iter().filter(|event| event["event"] == kind).cloned().collect();
        if found.len() >= count {
            return found;
        }
        assert!(tokio::time::Instant::now() < deadline, "{count} of {kind}: {all:#?}");
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn crafted_messages_reach_nothing_and_hold_up_nothing() {
    let house = Prepared::new().await;
    let session = house.link(&[SHOP]).await[0];
    let stranger = house.network.add_account(STRANGER, "Mallory\r\nX-Evil: 1").await;
    let running = house.start_with(&[("LOG_LEVEL", "debug")]);
    let api = running.api();
    api.ready(session).await;
    let receiver = Receiver::start().await;
    let kinds = ["message.received", "message.media", "message.reaction", "message.edited"];
    let policy = json!({ "order": "session" });
    register_with(&api, session, &receiver.url(), &kinds, policy).await;
    let shop = house.network.account(SHOP).unwrap().jid();

    // Paths that a sender made up: a listener of the attacker sees nobody.
    let attacker = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let evil = attacker.local_addr().unwrap().to_string();
    let before = house.network.media_requests().len();
    let paths = [
        format!("@{evil}/x"),
        format!(".{evil}/x"),
        format!(":x@{evil}/x"),
        format!("//{evil}/x"),
        format!("\\{evil}/x"),
    ];
    for path in &paths {
        let mut file = NewFile::new(FileKind::Document, b"bait".to_vec(), "text/html\r\nX-Evil: 1");
        file.filename = Some("../../\u{202e}fdp.exe\0".into());
        file.crafted.direct_path = Some(path.clone());
        stranger.send_file(&shop, file).await.unwrap();
    }
    // One that says ten bytes and has megabytes, and one whose path is a path that nothing is at.
    let mut file = NewFile::new(FileKind::Document, vec![7; 4 << 20], "application/pdf");
    file.crafted.length = Some(10);
    stranger.send_file(&shop, file).await.unwrap();
    let mut file = NewFile::new(FileKind::Image, b"x".to_vec(), "image/png");
    file.crafted.direct_path = Some("/latest/meta-data".into());
    stranger.send_file(&shop, file).await.unwrap();

    let received = events(&receiver, "message.received", 7).await;
    for event in &received[..5] {
        let media = &event["data"]["media"];
        assert_eq!(media["mimetype"], "application/octet-stream", "{event}");
        let name = media["filename"].as_str().unwrap();
        assert!(!name.chars().any(|c| c.is_control() || c == '\u{202e}'), "{name:?}");
    }
    let media = events(&receiver, "message.media", 2).await;
    assert!(media.iter().all(|event| event["data"]["media"]["state"] == "failed"), "{media:#?}");
    let reasons = media.iter().map(|event| event["data"]["media"]["reason"].to_string());
    assert!(reasons.into_iter().any(|reason| reason.contains("larger")), "{media:#?}");
    let asked = house.network.media_requests().split_off(before);
    assert!(
        asked.iter().all(|path| path.starts_with("/v/") || path.starts_with("/latest/")),
        "{asked:?}"
    );
    let call = tokio::time::timeout(Duration::from_millis(10), attacker.accept()).await;
    assert!(call.is_err(), "somebody called the attacker");

    // Ids that are none, inside of what is encrypted; broken bytes. The lane of the session goes on.
    for id in ["a\nb".to_owned(), "x".repeat(20_000), "\u{202e}".into(), String::new()] {
        let about = MessageRef { id: id.clone(), author: SHOP.into() };
        stranger.react(&shop, &about, "👍").await.unwrap();
        stranger.edit(&shop, &id, "edited").await.unwrap();
        stranger.revoke(&shop, &about).await.unwrap();
        stranger.pin(&shop, &about, Some(60)).await.unwrap();
    }
    for (number, bytes) in
        [&b""[..], b"\xff\xff\xff\xff", &[0x0a, 0xff, 0xff, 0xff, 0xff, 0x7f], &[0x08; 5000]]
            .into_iter()
            .enumerate()
    {
        let id = format!("3EB0BROKEN{number}");
        stranger.send_bytes(&id, &shop, bytes.to_vec()).await.unwrap();
    }
    stranger.send_text(SHOP, "still there?").await.unwrap();
    let deadline = tokio::time::Instant::now() + LIMIT;
    loop {
        let all = events(&receiver, "message.received", 7).await;
        if all.iter().any(|event| event["data"]["body"] == "still there?") {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "the lane stands: {all:#?}");
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    let changes: Vec<Value> = receiver.received().iter().map(|call| call.json()).collect();
    let changed = |event: &&Value| {
        matches!(event["event"].as_str(), Some("message.reaction" | "message.edited"))
    };
    assert_eq!(changes.iter().find(changed), None, "a change of nothing was emitted");

    // Neither a token nor the stranger's number is in the log, also at `debug`.
    let log = running.log();
    for secret in ["simauth", "auth=s", STRANGER, SHOP] {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret} is in the log");
    }
}
