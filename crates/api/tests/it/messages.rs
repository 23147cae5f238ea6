//! Sending and reading messages.

use domain::{
    MessageRowId, SessionId, Timestamp, WaMessageId,
    message::{Direction, Message, MessageStatus, MessageType},
    port::{Ledger as _, Write},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::app::{App, refused};

fn row(session: &str, number: u128) -> Message {
    Message {
        id: MessageRowId::from_uuid(Uuid::from_u128(number)),
        session: session.parse::<SessionId>().unwrap(),
        wa_id: WaMessageId::from_wire(format!("3EB0{number}")),
        chat: "49170111@c.us".parse().unwrap(),
        from: "49170111@c.us".into(),
        to: "49155500@c.us".into(),
        chat_name: None,
        author: None,
        body: Some(format!("text {number}")),
        kind: MessageType::Text,
        direction: Direction::Incoming,
        timestamp: Some(1_790_000_000 + i64::try_from(number).unwrap()),
        metadata: Value::Null,
        media_path: None,
        media_mimetype: None,
        status: MessageStatus::Delivered,
        created_at: Timestamp::from_millis(
            1_790_000_000_000 + i64::try_from(number).unwrap() * 1000,
        ),
    }
}

async fn store(app: &App, messages: Vec<Message>) {
    for message in messages {
        let write = Write::InsertMessage {
            message: Box::new(domain::port::NewMessage::row(message)),
            events: vec![],
        };
        app.store.write(vec![write]).await.unwrap();
    }
}

/// Five messages: the second in a group, the third outgoing, the fourth without a time, the fifth an image.
async fn with_messages() -> (App, String) {
    let app = App::start().await;
    let session = app.new_session("bakery").await;
    let mut rows: Vec<Message> = (1..=5).map(|number| row(&session, number)).collect();
    rows[1].chat = "120363041@g.us".parse().unwrap();
    rows[1].author = "49170222@c.us".parse().ok();
    rows[2].direction = Direction::Outgoing;
    rows[2].from = "49155500@c.us".into();
    rows[3].timestamp = None;
    rows[4].kind = MessageType::Image;
    rows[4].metadata = json!({ "quotedMessage": { "id": "3EB01", "body": "text 1" } });
    store(&app, rows).await;
    (app, session)
}

fn bodies(page: &Value) -> Vec<String> {
    let rows = page["messages"].as_array().unwrap();
    rows.iter().map(|row| row["body"].as_str().unwrap().replace("text ", "")).collect()
}

#[tokio::test]
async fn a_stored_message_has_openwas_shape() {
    let (app, session) = with_messages().await;
    let page = app.get(&format!("/api/sessions/{session}/messages?limit=1")).await;
    assert_eq!(
        page,
        json!({
            "messages": [{
                "id": "00000000-0000-0000-0000-000000000005", "sessionId": session, "waMessageId": "3EB05",
                "chatId": "49170111@c.us", "from": "49170111@c.us", "to": "49155500@c.us", "chatName": null,
                "author": null, "body": "text 5", "type": "image", "direction": "incoming",
                "timestamp": 1_790_000_005, "metadata": { "quotedMessage": { "id": "3EB01", "body": "text 1" } },
                "mediaPath": null, "mediaMimetype": null, "status": "delivered",
                "createdAt": "2026-09-21T14:13:25.000Z"
            }],
            "total": 5
        })
    );
}

#[tokio::test]
async fn every_filter_filters() {
    let (app, session) = with_messages().await;
    let found = async |query: &str| {
        bodies(&app.get(&format!("/api/sessions/{session}/messages?{query}")).await).join("")
    };
    assert_eq!(found("").await, "54321");
    assert_eq!(found("chatId=120363041@g.us").await, "2");
    assert_eq!(found("chatId=%2B49170111&limit=2&offset=1").await, "43");
    assert_eq!(found("from=49155500%40c.us").await, "3");
    assert_eq!(found("messageId=3EB04").await, "4");
    assert_eq!(found("direction=outgoing").await, "3");
    assert_eq!(found("type=image").await, "5");
    assert_eq!(found("type=text&direction=incoming").await, "421");
    assert_eq!(found("since=1790000002000&until=1790000005000").await, "32");
    assert_eq!(found("after=00000000-0000-0000-0000-000000000003&offset=1").await, "21");
    assert_eq!(found("inlineMedia=true&limit=1000&unknown=1").await, "54321");
    assert_eq!(found("limit=junk").await, "54321");
    let page = app.get(&format!("/api/sessions/{session}/messages?orderBy=timestamp")).await;
    assert_eq!(page["unknownTimestampTotal"], 1);
}

#[tokio::test]
async fn wrong_filters_are_named_all_at_once() {
    let (app, session) = with_messages().await;
    let wrong = async |query: &str| {
        let path = format!("/api/sessions/{session}/messages?{query}");
        app.ask("GET", &path).admin().send().await.expect(400)["message"].clone()
    };
    assert_eq!(
        wrong(
            "chatId=x&since=-1&direction=up&type=song&orderBy=size&after=7&inlineMedia=yes&until=a"
        )
        .await,
        json!([
            "chatId must look like <phone>@c.us, <id>@g.us or <id>@lid",
            "since must be epoch milliseconds, epoch seconds or an ISO 8601 time",
            "until must be epoch milliseconds, epoch seconds or an ISO 8601 time",
            "direction must be incoming or outgoing",
            "type must be a message type",
            "orderBy must be createdAt or timestamp",
            "after must be the id of a message",
            "inlineMedia must be a boolean value",
        ])
    );
    assert_eq!(
        wrong("direction=incoming&direction=outgoing").await,
        json!(["direction must be given once"])
    );
    assert_eq!(
        wrong("after=00000000-0000-0000-0000-000000000099").await,
        json!(["after names no message of this session"])
    );
}

fn text(text: &str) -> Value {
    json!({ "chatId": "49170111@c.us", "text": text })
}

#[tokio::test]
async fn a_text_is_sent_and_listed() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let path = format!("/api/sessions/{session}/messages");
    let sent = app.post(&format!("{path}/send-text"), text("Your cake is ready"), 201).await;
    let fields = sent.as_object().unwrap();
    assert_eq!(fields.len(), 3);
    assert_eq!(sent["status"], "sent");
    assert!(sent["timestamp"].is_i64() && sent["messageId"].as_str().unwrap().starts_with("3EB0"));
    let listed = app.get(&path).await;
    assert_eq!(listed["total"], 1);
    assert_eq!(listed["messages"][0]["waMessageId"], sent["messageId"]);
    assert_eq!(listed["messages"][0]["status"], "sent");
    let encoded = format!("/api/sessions/{}/messages", session.replace('-', "%2D"));
    assert_eq!(app.get(&encoded).await["total"], 1);
}

#[tokio::test]
async fn sends_that_cannot_be_have_openwas_answers() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let path = format!("/api/sessions/{session}/messages/send-text");
    let send = async |body: Value| app.ask("POST", &path).admin().json(&body).send().await;
    let mut quoting = text("hi");
    quoting["quotedMessageId"] = json!("3EB0NEVER");
    assert_eq!(
        send(quoting).await.expect(404),
        refused(404, "Not Found", "Quoted message 3EB0NEVER not found")
    );
    app.refuse_next_send(404);
    assert_eq!(
        send(text("hi")).await.expect(400),
        refused(400, "Bad Request", "The recipient is not on WhatsApp")
    );
    app.refuse_next_send(463);
    let mut cold = refused(
        403,
        "Forbidden",
        "WhatsApp does not let this account write first to this recipient now",
    );
    cold["code"] = json!("RECIPIENT_COLD_RESTRICTED");
    assert_eq!(send(text("hi")).await.expect(403), cold);
}

#[tokio::test]
async fn a_session_that_waits_for_its_phone_answers_409() {
    let app = App::start().await;
    let session = app.qr_session("bakery").await;
    let path = format!("/api/sessions/{session}/messages/send-text");
    let answer = app.ask("POST", &path).admin().json(&text("hi")).send().await;
    assert_eq!(
        answer.expect(409),
        refused(409, "Conflict", "Session is not ready (status: qr_ready)")
    );
    assert_eq!(app.get(&format!("/api/sessions/{session}/messages")).await["total"], 0);
}
