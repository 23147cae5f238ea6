//! What comes in: each kind as event and row, identities, what cannot be read.

use std::{sync::Arc, time::Duration};

use domain::{
    ChatId, PhoneNumber, WaMessageId,
    chat::Identity,
    content::{ContactCard, Content, Location, Poll, Target},
    message::{InboundMessage, Quoted},
    port::{Call, CallOutcome, EngineSignal, ReceiptKind},
};
use gateway::hooks::{Handler, HookPoint, HookResult, OnFailure};
use serde_json::{Value, json};
use testkit::OnSend;
use tokio::sync::mpsc;

use crate::app::{App, next};

pub const TIME: i64 = 1_790_841_600;
pub const MIA: &str = "49170111@c.us";
pub const GROUP: &str = "120363041@g.us";
const LID: &str = "99887766@lid";

pub fn chat(text: &str) -> ChatId {
    text.parse().unwrap()
}

pub fn wa_id(text: &str) -> WaMessageId {
    WaMessageId::from_wire(text)
}

/// From Mia, in the chat with her.
pub fn from_mia(id: &str, content: Content) -> InboundMessage {
    InboundMessage {
        id: wa_id(id),
        chat: chat(MIA),
        sender: chat(MIA),
        sender_lid: None,
        sender_phone: None,
        from_me: false,
        source: None,
        push_name: Some("Mia".into()),
        timestamp: TIME,
        content,
        quoted: None,
        mentions: vec![],
        backfilled: false,
        ephemeral_seconds: None,
        view_once: false,
        forwarding_score: 0,
        style: domain::status::TextStyle::default(),
    }
}

pub fn target(id: &str) -> Target {
    Target { id: wa_id(id), from_me: false, author: None }
}

/// What every event about Mia's messages says of them.
fn addressed(id: &str, fields: Value) -> Value {
    let mut data = json!({
        "id": id, "from": MIA, "to": "4915550001000@c.us", "chatId": MIA, "body": "", "type": "text",
        "timestamp": TIME, "fromMe": false, "isGroup": false, "kind": "individual",
        "contact": { "pushName": "Mia" }, "senderPhone": "49170111",
    });
    for (name, value) in fields.as_object().unwrap() {
        data[name] = value.clone();
    }
    data
}

pub async fn ready() -> (App, String, mpsc::Receiver<Value>) {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let calls = app.hook(&session).await;
    (app, session, calls)
}

#[tokio::test]
async fn each_kind_arrives_as_the_contract_says() {
    let (app, session, mut calls) = ready().await;
    let place = Location {
        latitude: 52.5,
        longitude: 13.4,
        description: Some("Bakery".into()),
        address: Some("Main street 1".into()),
        url: None,
    };
    let card = ContactCard { name: "Ann".into(), vcard: domain::content::vcard("Ann", "49170222") };
    let vcard = card.vcard.clone();
    let poll = Poll {
        name: "Which cake?".into(),
        options: vec!["Plum".into(), "Apple".into()],
        allow_multiple_answers: false,
    };
    let poll_field = json!({ "name": "Which cake?", "options": ["Plum", "Apple"], "allowMultipleAnswers": false });
    let cases = [
        (
            Content::text("Are you open today?"),
            json!({ "body": "Are you open today?" }),
            Value::Null,
        ),
        (
            Content::Location(place),
            json!({ "type": "location", "body": "Bakery", "location": {
                "latitude": 52.5, "longitude": 13.4, "description": "Bakery", "address": "Main street 1" } }),
            json!({ "location": {
                "latitude": 52.5, "longitude": 13.4, "description": "Bakery", "address": "Main street 1" } }),
        ),
        (
            Content::Contacts { cards: vec![card] },
            json!({ "type": "contact", "body": vcard, "contacts": [{ "name": "Ann", "vcard": vcard }] }),
            json!({ "contacts": [{ "name": "Ann", "vcard": vcard }] }),
        ),
        (
            Content::Poll(poll),
            json!({ "type": "poll", "body": "Which cake?", "poll": poll_field }),
            json!({ "poll": poll_field }),
        ),
        (
            Content::Unknown { protocol_kind: "buttonsMessage".into() },
            json!({ "type": "unknown", "protocolKind": "buttonsMessage" }),
            json!({ "protocolKind": "buttonsMessage" }),
        ),
    ];
    for (number, (content, fields, metadata)) in cases.into_iter().enumerate() {
        let id = format!("3AF{number}");
        app.hear(&session, vec![from_mia(&id, content)]).await;
        let call = next(&mut calls).await;
        assert_eq!(call["event"], "message.received");
        assert_eq!(call["idempotencyKey"], format!("msg_{session}_{id}"));
        assert_eq!(call["data"], addressed(&id, fields.clone()));
        let row = app.row(&session, &id).await;
        assert_eq!(row["type"], call["data"]["type"]);
        assert_eq!(row["metadata"], metadata);
        let body = fields.get("body").cloned().unwrap_or(Value::Null);
        assert_eq!((&row["body"], &row["status"]), (&body, &json!("delivered")));
    }
}

#[tokio::test]
async fn answers_mentions_and_the_backlog_are_emitted() {
    let (app, session, mut calls) = ready().await;
    let message = InboundMessage {
        quoted: Some(Quoted { id: wa_id("3AEF"), body: "Open till six".into() }),
        mentions: vec![chat("49170222@c.us")],
        backfilled: true,
        ephemeral_seconds: Some(86_400),
        view_once: true,
        forwarding_score: 3,
        ..from_mia("3AF0", Content::text("Really, @49170222?"))
    };
    app.hear(&session, vec![message]).await;
    let extra = json!({
        "quotedMessage": { "id": "3AEF", "body": "Open till six" }, "mentionedIds": ["49170222@c.us"],
        "backfilled": true, "ephemeralDuration": 86400, "isViewOnce": true,
        "isForwarded": true, "forwardingScore": 3
    });
    let mut fields = extra.clone();
    fields["body"] = json!("Really, @49170222?");
    assert_eq!(next(&mut calls).await["data"], addressed("3AF0", fields));
    assert_eq!(app.row(&session, "3AF0").await["metadata"], extra);
}

#[tokio::test]
async fn the_receipts_of_each_member_come_to_those_who_name_them() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let hook = async |events: Value| {
        let (url, calls) = app.receiver(200).await;
        let body = json!({ "url": url, "events": events, "order": "session" });
        app.post(&format!("/api/sessions/{session}/webhooks"), body, 201).await;
        calls
    };
    let mut named = hook(json!(["message.receipt", "event.response"])).await;
    let mut all = hook(json!(["*"])).await;
    let typed = InboundMessage {
        from_me: true,
        chat: chat(GROUP),
        sender: chat("4915550001000@c.us"),
        ..from_mia("3AF1", Content::text("Open till six"))
    };
    app.hear(&session, vec![typed]).await;
    assert_eq!(next(&mut all).await["event"], "message.sent");
    for (kind, word) in [(ReceiptKind::Delivered, "delivered"), (ReceiptKind::Played, "played")] {
        let receipt = EngineSignal::Receipt {
            chat: chat(GROUP),
            participant: Some(chat(MIA)),
            ids: vec![wa_id("3AF1")],
            kind,
            timestamp: TIME + 1,
        };
        app.signal(&session, receipt).await;
        let call = next(&mut named).await;
        let key = format!("receipt_{session}_3AF1_{MIA}_{word}");
        assert_eq!(
            (&call["event"], &call["idempotencyKey"]),
            (&json!("message.receipt"), &json!(key))
        );
        let data = &call["data"];
        assert_eq!(
            (&data["messageId"], &data["chatId"], &data["participantId"], &data["status"]),
            (&json!("3AF1"), &json!(GROUP), &json!(MIA), &json!(word))
        );
        assert_eq!(next(&mut all).await["event"], "message.ack", "and nothing else");
    }
}

#[tokio::test]
async fn a_status_is_an_event_of_its_own() {
    let (app, session, mut calls) = ready().await;
    let picture = Content::Media(Box::new(testkit::build::media(1)));
    let status = chat("status@broadcast");
    let post = |id: &str, content| InboundMessage { chat: status.clone(), ..from_mia(id, content) };
    app.hear(&session, vec![post("3AF0", Content::text("Open till six")), post("3AF1", picture)])
        .await;
    let call = next(&mut calls).await;
    assert_eq!(call["event"], "status.received");
    let posted = TIME * 1000;
    let said = json!({
        "sessionId": session, "statusId": "3AF0", "contact": { "id": MIA, "pushName": "Mia" },
        "type": "text", "caption": "Open till six", "hasMedia": false, "mediaOmitted": false,
        "postedAt": posted, "expiresAt": posted + 86_400_000,
    });
    assert_eq!(call["data"], said);
    let call = next(&mut calls).await;
    assert_eq!(
        (&call["event"], &call["data"]["hasMedia"], &call["data"]["mediaOmitted"]),
        (&json!("status.received"), &json!(true), &json!(true))
    );
}

#[tokio::test]
async fn groups_carry_their_author_and_the_phone_is_the_same_account() {
    let (app, session, mut calls) = ready().await;
    let in_group =
        InboundMessage { chat: chat(GROUP), ..from_mia("3AF0", Content::text("hi all")) };
    let typed = InboundMessage {
        from_me: true,
        sender: chat("4915550001000@c.us"),
        ..from_mia("3AF1", Content::text("Yes"))
    };
    app.hear(&session, vec![in_group, typed]).await;
    let call = next(&mut calls).await;
    assert_eq!(
        (&call["event"], &call["data"]["author"]),
        (&json!("message.received"), &json!(MIA))
    );
    assert_eq!((&call["data"]["from"], &call["data"]["isGroup"]), (&json!(GROUP), &json!(true)));
    assert_eq!(app.row(&session, "3AF0").await["author"], MIA);
    let call = next(&mut calls).await;
    assert_eq!((&call["event"], &call["data"]["to"]), (&json!("message.sent"), &json!(MIA)));
    let row = app.row(&session, "3AF1").await;
    assert_eq!((&row["direction"], &row["status"]), (&json!("outgoing"), &json!("sent")));
}

#[tokio::test]
async fn the_echo_of_a_send_settles_it_and_is_no_second_message() {
    let (app, session, mut calls) = ready().await;
    app.whatsapp.on_send(OnSend::Silence);
    let path = format!("/api/sessions/{session}/messages/send-text");
    let send = app.post(&path, json!({ "chatId": MIA, "text": "Your cake is ready" }), 201);
    let echo = async {
        let id = loop {
            if let Some(sent) = app.whatsapp.sent().first() {
                break sent.id.clone();
            }
            tokio::task::yield_now().await;
        };
        let text = Content::text("Your cake is ready");
        let echo = InboundMessage { from_me: true, ..from_mia(id.as_str(), text) };
        app.hear(&session, vec![echo.clone()]).await;
        app.hear(&session, vec![echo]).await;
    };
    let (answer, ()) = tokio::join!(send, echo);
    assert_eq!(answer["status"], "sent");
    assert_eq!(next(&mut calls).await["event"], "message.sent");
    assert_eq!(next(&mut calls).await["event"], "message.ack");
    let stored = app.get(&format!("/api/sessions/{session}/messages")).await;
    assert_eq!((&stored["total"], &stored["messages"][0]["status"]), (&json!(1), &json!("sent")));
}

#[tokio::test]
async fn the_same_message_under_both_ids_is_one_message() {
    let (app, session, mut calls) = ready().await;
    let by_lid = InboundMessage {
        chat: chat(LID),
        sender: chat(LID),
        sender_lid: Some(chat(LID)),
        sender_phone: PhoneNumber::parse("49170111"),
        ..from_mia("3AF0", Content::text("hello"))
    };
    app.hear(&session, vec![by_lid]).await;
    app.hear(&session, vec![from_mia("3AF0", Content::text("hello"))]).await;
    // The pair is known now: the privacy id alone is enough.
    let lid_alone = InboundMessage {
        chat: chat(LID),
        sender: chat(LID),
        ..from_mia("3AF1", Content::text("again"))
    };
    app.hear(&session, vec![lid_alone]).await;
    assert_eq!(next(&mut calls).await["data"], addressed("3AF0", json!({ "body": "hello" })));
    assert_eq!(next(&mut calls).await["data"], addressed("3AF1", json!({ "body": "again" })));
    let chats = app.get(&format!("/api/sessions/{session}/chats")).await;
    assert_eq!((chats.as_array().unwrap().len(), &chats[0]["id"]), (1, &json!(MIA)));
    assert_eq!(chats[0]["unreadCount"], 2);
}

#[tokio::test]
async fn what_was_filed_under_a_privacy_id_moves_when_the_number_is_learned() {
    let (app, session, mut calls) = ready().await;
    let stranger = |id: &str, text: &str| InboundMessage {
        chat: chat(LID),
        sender: chat(LID),
        ..from_mia(id, Content::text(text))
    };
    app.hear(&session, vec![stranger("3AF0", "hello")]).await;
    let data = next(&mut calls).await["data"].clone();
    assert_eq!((&data["chatId"], &data["isLidSender"]), (&json!(LID), &json!(true)));
    assert_eq!(data.get("senderPhone"), None);
    let contact = app.get(&format!("/api/sessions/{session}/contacts/{LID}")).await;
    assert_eq!((&contact["id"], &contact["number"]), (&json!(LID), &json!("")));

    let identity = Identity { lid: chat(LID), phone: PhoneNumber::parse("49170111").unwrap() };
    app.signal(&session, EngineSignal::Identity(identity)).await;
    app.hear(&session, vec![stranger("3AF1", "still me")]).await;
    next(&mut calls).await;
    // What is learned of people is stored in its own line; a message does not wait for it.
    let phone = format!("/api/sessions/{session}/contacts/{LID}/phone");
    let phone = app.until(&phone, |answer| !answer["phone"].is_null()).await;
    assert_eq!(phone, json!({ "contactId": LID, "phone": "49170111" }));
    assert_eq!(app.row(&session, "3AF0").await["chatId"], MIA);
    let chats = app.get(&format!("/api/sessions/{session}/chats")).await;
    assert_eq!((chats.as_array().unwrap().len(), &chats[0]["id"]), (1, &json!(MIA)));
    let contact = app.get(&format!("/api/sessions/{session}/contacts/{LID}")).await;
    assert_eq!((&contact["id"], &contact["lid"]), (&json!(MIA), &json!(LID)));
}

#[tokio::test]
async fn what_cannot_be_read_is_emitted_and_replaced_by_what_can() {
    let (app, session, mut calls) = ready().await;
    app.hear(&session, vec![from_mia("3AF0", Content::Undecryptable)]).await;
    let call = next(&mut calls).await;
    assert_eq!(call["event"], "message.undecryptable");
    assert_eq!((&call["data"]["id"], &call["data"]["type"]), (&json!("3AF0"), &json!("masked")));
    assert_eq!(app.row(&session, "3AF0").await["type"], "masked");
    let readable = from_mia("3AF0", Content::text("Are you open today?"));
    app.hear(&session, vec![from_mia("3AF0", Content::Undecryptable), readable.clone()]).await;
    app.hear(&session, vec![readable, from_mia("3AF1", Content::text("last"))]).await;
    let call = next(&mut calls).await;
    assert_eq!(call["event"], "message.received");
    assert_eq!(call["data"], addressed("3AF0", json!({ "body": "Are you open today?" })));
    assert_eq!(app.row(&session, "3AF0").await["body"], "Are you open today?");
    assert_eq!(next(&mut calls).await["data"]["id"], "3AF1");
}

#[tokio::test]
async fn calls_are_events() {
    let (app, session, mut calls) = ready().await;
    let call = Call {
        id: "A1B2".into(),
        from: chat(MIA),
        video: false,
        group: false,
        timestamp: TIME,
        outcome: None,
        source: None,
    };
    let missed = Call { outcome: Some(CallOutcome::Missed), timestamp: TIME + 30, ..call.clone() };
    app.signal(&session, EngineSignal::Call(call)).await;
    app.signal(&session, EngineSignal::Call(missed)).await;
    let told = next(&mut calls).await;
    assert_eq!(told["event"], "call.received");
    assert_eq!(
        told["data"],
        json!({ "sessionId": session, "callId": "A1B2", "from": MIA, "isVideo": false, "isGroup": false, "timestamp": TIME })
    );
    let told = next(&mut calls).await;
    assert_eq!(told["event"], "call.missed");
    assert_eq!(told["data"]["outcome"], "missed");
    assert_eq!(told["idempotencyKey"], format!("call_{session}_A1B2_missed"));
}

#[tokio::test]
async fn hooks_hear_of_what_was_stored_and_hold_nothing_back() {
    let (app, session, mut calls) = ready().await;
    let (tell, mut told) = mpsc::channel(10);
    for point in [HookPoint::MessageReceived, HookPoint::MessagePersisted, HookPoint::MessageAck] {
        let tell = tell.clone();
        app.gateway.hooks.register(Handler {
            name: "test".into(),
            point,
            priority: 100,
            limit: Duration::from_secs(5),
            on_failure: OnFailure::Open,
            run: Arc::new(move |context| {
                let tell = tell.clone();
                Box::pin(async move {
                    tell.send((context.point, context.data)).await.unwrap();
                    // Whatever it answers, it is too late to stop anything.
                    HookResult::Block("no".into())
                })
            }),
        });
    }
    let hello = from_mia("3AF0", Content::text("hello"));
    app.hear(&session, vec![hello.clone()]).await;
    app.hear(&session, vec![hello]).await;
    let typed = InboundMessage { from_me: true, ..from_mia("3AF1", Content::text("Yes")) };
    app.hear(&session, vec![typed]).await;
    let receipt = EngineSignal::Receipt {
        chat: chat(MIA),
        participant: None,
        ids: vec![wa_id("3AF1")],
        kind: ReceiptKind::Read,
        timestamp: TIME + 1,
    };
    app.signal(&session, receipt).await;
    let (point, data) = told.recv().await.unwrap();
    assert_eq!(point, HookPoint::MessageReceived);
    assert_eq!(data, addressed("3AF0", json!({ "body": "hello" })));
    assert_eq!(told.recv().await.unwrap().0, HookPoint::MessagePersisted);
    let (point, data) = told.recv().await.unwrap();
    assert_eq!((point, &data["message"]["id"]), (HookPoint::MessagePersisted, &json!("3AF1")));
    let (point, data) = told.recv().await.unwrap();
    assert_eq!(point, HookPoint::MessageAck);
    assert_eq!(
        data,
        json!({ "sessionId": session, "messageId": "3AF1", "status": "read", "chatId": MIA })
    );
    for event in ["message.received", "message.sent", "message.ack"] {
        assert_eq!(next(&mut calls).await["event"], event);
    }
}

#[tokio::test]
async fn a_ledger_that_knows_the_session_no_more_refuses_what_comes_in() {
    let (app, session, _calls) = ready().await;
    let link = app.whatsapp.connection(session.parse().unwrap());
    app.ask("DELETE", &format!("/api/sessions/{session}")).admin().send().await.expect(204);
    link.messages(vec![from_mia("3AF0", Content::text("too late"))]).await.unwrap_err();
}
