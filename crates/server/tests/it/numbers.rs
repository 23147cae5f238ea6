//! Numbers that WhatsApp knows under another spelling, at the wire: single sends, batches and checks.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Api, Prepared};

const SHOP: &str = "4915550001000";
const LIMIT: Duration = Duration::from_secs(20);
/// As dialled, and as registered.
const BRAZIL: (&str, &str) = ("5511987654321", "551187654321");
const MEXICO: (&str, &str) = ("525512345678", "5215512345678");
const ARGENTINA: (&str, &str) = ("541123456789", "5491123456789");

async fn send(api: &Api, session: impl std::fmt::Display, to: &str, text: &str) -> Value {
    let body = json!({ "chatId": to, "text": text });
    let (status, sent) = api.post(&format!("/sessions/{session}/messages/send-text"), &body).await;
    assert_eq!((status, &sent["status"]), (201, &json!("sent")), "{sent}");
    sent
}

#[tokio::test(flavor = "multi_thread")]
async fn phones_get_what_was_sent_to_their_other_spelling() {
    let house = Prepared::new().await;
    let session = house.link(&[SHOP]).await[0];
    let running = house.start();
    let api = running.api();
    api.ready(session).await;
    for (dialled, registered) in [BRAZIL, MEXICO, ARGENTINA] {
        let account = house.network.add_account(registered, "Ana").await;
        let chat = format!("{registered}@c.us");
        let found = api.get(&format!("/sessions/{session}/contacts/check/{dialled}")).await;
        assert_eq!(found, json!({ "number": dialled, "exists": true, "whatsappId": chat }));
        let sent = send(&api, session, &format!("+{dialled}"), "hello").await;
        assert_eq!(sent["resolvedTo"], chat);
        let id = sent["messageId"].as_str().unwrap().to_owned();
        account.wait_for(LIMIT, move |message| message.id == id).await.unwrap();
        // Its answer is filed where the question is, and is found under both spellings.
        account.send_text(SHOP, "hi").await.unwrap();
        let list = format!("/sessions/{session}/messages?chatId={dialled}@c.us");
        api.until(&list, |body| body["total"] == 2).await;
    }
    let ana = house.network.account(BRAZIL.1).unwrap();
    let text = |to: &str| json!({ "chatId": to, "type": "text", "content": { "text": "spring" } });
    let body = json!({
        "batchId": "spring", "messages": [text(BRAZIL.0), text("551144445555")],
        "options": { "delayBetweenMessages": 1000, "randomizeDelay": false },
    });
    let (status, _) = api.post(&format!("/sessions/{session}/messages/send-bulk"), &body).await;
    assert_eq!(status, 202);
    let path = format!("/sessions/{session}/messages/batch/spring");
    let batch = api.until(&path, |batch| batch["completedAt"].is_string()).await;
    let results = &batch["results"];
    assert_eq!(
        (&results[0]["status"], &results[0]["resolvedTo"]),
        (&json!("sent"), &json!("551187654321@c.us"))
    );
    assert_eq!(results[1]["error"]["code"], "RECIPIENT_UNREACHABLE", "{batch}");
    let id = results[0]["messageId"].as_str().unwrap().to_owned();
    ana.wait_for(LIMIT, move |message| message.id == id).await.unwrap();
    running.kill();

    let again = house.start();
    again.api().ready(session).await;
    let sent = send(&again.api(), session, BRAZIL.0, "still there").await;
    assert_eq!(sent["resolvedTo"], "551187654321@c.us");
    let id = sent["messageId"].as_str().unwrap().to_owned();
    ana.wait_for(LIMIT, move |message| message.id == id).await.unwrap();
}
