//! A linked session after a restart.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::json;

use crate::support::{LIMIT, Prepared, free_port};

const SHOP: &str = "4915550001000";
const MIA: &str = "4917012345678";

#[tokio::test(flavor = "multi_thread")]
async fn a_linked_session_comes_back_ready_without_a_new_qr() {
    let house = Prepared::new().await;
    let session = house.link(&[SHOP]).await[0];
    let mia = house.network.add_account(MIA, "Mia").await;

    let first = house.start();
    let ready = first.api().ready(session).await;
    assert_eq!(ready["phone"], SHOP);
    let status = first.terminate();
    assert!(status.success(), "SIGTERM ends it cleanly: {status}");

    let second = house.start();
    second.api().ready(session).await;
    let body = json!({ "chatId": format!("{MIA}@c.us"), "text": "we are back" });
    let (status, sent) =
        second.api().post(&format!("/sessions/{session}/messages/send-text"), &body).await;
    assert_eq!(status, 201, "{sent}");
    let id = sent["messageId"].as_str().unwrap().to_owned();
    mia.wait_for(LIMIT, move |message| message.id == id).await.unwrap();
    second.kill();

    let third = house.start();
    third.api().ready(session).await;
    let (status, stopped) =
        third.api().post(&format!("/sessions/{session}/stop"), &json!({})).await;
    assert_eq!((status, &stopped["status"]), (200, &json!("disconnected")));
    third.kill();

    let fourth = house.start();
    let view = fourth.api().get(&format!("/sessions/{session}")).await;
    assert_eq!(
        (&view["status"], &view["engineLoaded"]),
        (&json!("disconnected"), &json!(false)),
        "stopped stays stopped"
    );
    let patterns = house.network.record().handshakes;
    assert!(
        !format!("{patterns:?}").contains("XX"),
        "every login used the keys it had: {patterns:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn it_outlives_whoever_reads_what_it_says() {
    let house = Prepared::new().await;
    let session = house.link(&[SHOP]).await[0];
    let port = free_port();
    let mut serve = house.serve(&[("PORT", port.as_str()), ("LOG_LEVEL", "debug")]);
    let mut program = serve.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // As behind `| head -1`, or after the end of what collects the logs.
    drop((program.stdout.take(), program.stderr.take()));
    let (api, path) = (house.api(&port), format!("/sessions/{session}"));
    let is_ready = |body: serde_json::Value| body["status"] == "ready";
    let ready = async {
        while !api.try_get(&path).await.is_some_and(is_ready) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(LIMIT, ready).await.expect("it is ready");
    assert_eq!(program.try_wait().unwrap(), None);
    let stopped = Command::new("kill").arg(program.id().to_string()).status().unwrap();
    assert!(stopped.success());
    assert!(program.wait().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_hold_no_text_and_no_full_number() {
    let house = Prepared::new().await;
    let session = house.link(&[SHOP]).await[0];
    let mia = house.network.add_account(MIA, "Mia").await;
    let running = house.start_with(&[("LOG_LEVEL", "debug")]);
    running.api().ready(session).await;
    mia.send_text(SHOP, "a very private question").await.unwrap();
    let list = format!("/sessions/{session}/messages?chatId={MIA}@c.us");
    running.api().until(&list, |body| body["total"] == 1).await;
    let body = json!({ "chatId": format!("{MIA}@c.us"), "text": "a very private answer" });
    running.api().post(&format!("/sessions/{session}/messages/send-text"), &body).await;
    let log = running.log();
    assert!(log.len() > 100, "debug logs are written");
    for secret in ["very private", MIA, SHOP, crate::support::KEY, crate::support::MASTER_KEY] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}
