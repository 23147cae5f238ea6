//! Changes of messages that came in: each as event and row, also when it comes before its message.

use std::time::Duration;

use domain::{
    content::{Content, OptionHash, Poll},
    message::InboundMessage,
    port::{EngineSignal, ReceiptKind},
};
use serde_json::{Value, json};

use crate::{
    app::next,
    inbound::{GROUP, MIA, TIME, chat, from_mia, ready, target, wa_id},
};

/// The full addressing of a change by Mia.
fn changed(event: &str, fields: Value) -> (Value, Value) {
    let mut data = json!({
        "messageId": "3AF0", "chatId": MIA, "from": MIA, "to": "4915550001000@c.us", "senderId": MIA, "fromMe": false,
        "isGroup": false, "kind": "individual", "timestamp": TIME + 5, "senderPhone": "49170111",
    });
    for (name, value) in fields.as_object().unwrap() {
        data[name] = value.clone();
    }
    (json!(event), data)
}

fn change(id: &str, content: Content) -> InboundMessage {
    InboundMessage { timestamp: TIME + 5, ..from_mia(id, content) }
}

#[tokio::test]
async fn reactions_edits_and_revokes_change_the_row_and_are_emitted() {
    let (app, session, mut calls) = ready().await;
    let reaction = |emoji: &str| Content::Reaction { target: target("3AF0"), emoji: emoji.into() };
    let own = InboundMessage { from_me: true, ..change("3B01", reaction("🎉")) };
    let messages = vec![
        from_mia("3AF0", Content::text("at five")),
        change("3B00", reaction("👍")),
        own,
        change("3B02", reaction("")),
        change("3B03", Content::Edit { target: target("3AF0"), body: "at six".into(), file: None }),
    ];
    app.hear(&session, messages).await;
    assert_eq!(next(&mut calls).await["event"], "message.received");
    let mut told = async || {
        let call = next(&mut calls).await;
        (call["event"].clone(), call["data"].clone())
    };
    let all = json!({ MIA: "👍" });
    assert_eq!(
        told().await,
        changed("message.reaction", json!({ "reaction": "👍", "reactions": all }))
    );
    let (_, by_me) = told().await;
    assert_eq!(by_me["senderId"], "4915550001000@c.us");
    assert_eq!(by_me["reactions"], json!({ MIA: "👍", "4915550001000@c.us": "🎉" }));
    let left = json!({ "4915550001000@c.us": "🎉" });
    assert_eq!(
        told().await,
        changed("message.reaction", json!({ "reaction": "", "reactions": left }))
    );
    let edited = json!({ "id": "3AF0", "body": "at six", "type": "text", "hasMedia": false });
    assert_eq!(told().await, changed("message.edited", edited));

    let row = app.row(&session, "3AF0").await;
    assert_eq!((&row["body"], &row["metadata"]["edited"]), (&json!("at six"), &json!(true)));
    assert_eq!(row["metadata"]["reactions"], left);
    let reactions = format!("/api/sessions/{session}/messages/{MIA}/3AF0/reactions");
    assert_eq!(
        app.get(&reactions).await,
        json!([{ "emoji": "🎉", "senders": [
            { "senderId": "4915550001000@c.us", "emoji": "🎉", "timestamp": TIME + 5 }] }])
    );

    app.hear(&session, vec![change("3B04", Content::Revoke { target: target("3AF0") })]).await;
    let revoked = json!({ "id": "3AF0", "revokedId": "3AF0", "type": "revoked", "body": "" });
    assert_eq!(told().await, changed("message.revoked", revoked));
    let row = app.row(&session, "3AF0").await;
    assert_eq!((&row["body"], &row["type"]), (&Value::Null, &json!("revoked")));
}

#[tokio::test]
async fn nobody_edits_what_somebody_else_wrote() {
    let (app, session, mut calls) = ready().await;
    let in_group = |message: InboundMessage| InboundMessage { chat: chat(GROUP), ..message };
    let by_ann =
        |message: InboundMessage| InboundMessage { sender: chat("49170222@c.us"), ..message };
    let edit = Content::Edit { target: target("3AF0"), body: "I resign".into(), file: None };
    app.hear(
        &session,
        vec![
            in_group(from_mia("3AF0", Content::text("hello"))),
            by_ann(in_group(change("3B00", edit))),
            in_group(from_mia("3AF1", Content::text("still here"))),
        ],
    )
    .await;
    assert_eq!(next(&mut calls).await["data"]["id"], "3AF0");
    assert_eq!(next(&mut calls).await["data"]["id"], "3AF1");
    assert_eq!(app.row(&session, "3AF0").await["body"], "hello");
}

#[tokio::test]
async fn votes_are_emitted_in_the_words_of_the_poll() {
    let (app, session, mut calls) = ready().await;
    let poll = Poll {
        name: "Which cake?".into(),
        options: vec!["Plum".into(), "Apple".into()],
        allow_multiple_answers: true,
    };
    let vote = |id: &str, options: &[&str]| {
        let options = options.iter().map(|option| OptionHash::of(option)).collect();
        change(id, Content::Vote { poll: target("3AF0"), options })
    };
    app.hear(
        &session,
        vec![from_mia("3AF0", Content::Poll(poll)), vote("3B00", &["Apple", "Plum"])],
    )
    .await;
    next(&mut calls).await;
    let call = next(&mut calls).await;
    assert_eq!(call["event"], "poll.vote");
    assert!(call["data"]["timestampMs"].is_i64());
    assert_eq!(call["data"]["options"], json!(["Plum", "Apple"]));
    app.hear(&session, vec![vote("3B01", &["Apple"])]).await;
    assert_eq!(next(&mut calls).await["data"]["options"], json!(["Apple"]));
    let votes = app.row(&session, "3AF0").await["metadata"]["poll"]["votes"].clone();
    assert_eq!(votes, json!({ MIA: ["Apple"] }));
    app.hear(&session, vec![vote("3B02", &[])]).await;
    assert_eq!(next(&mut calls).await["data"]["options"], json!([]));
}

#[tokio::test]
async fn a_pin_is_kept_in_the_row() {
    let (app, session, _calls) = ready().await;
    let pin = |id: &str, seconds| change(id, Content::Pin { target: target("3AF0"), seconds });
    app.hear(&session, vec![from_mia("3AF0", Content::text("menu")), pin("3B00", Some(86_400))])
        .await;
    let pinned = app.row(&session, "3AF0").await["metadata"]["pinned"].clone();
    assert_eq!(pinned, json!({ "by": MIA, "timestamp": TIME + 5, "until": TIME + 5 + 86_400 }));
    app.hear(&session, vec![pin("3B01", None)]).await;
    let metadata = app.row(&session, "3AF0").await["metadata"].clone();
    assert_eq!(metadata.get("pinned"), None);
}

#[tokio::test]
async fn an_edit_that_overtakes_its_message_waits_for_it() {
    let (app, session, mut calls) = ready().await;
    let edit = Content::Edit { target: target("3AF0"), body: "at six".into(), file: None };
    app.hear(&session, vec![change("3B00", edit)]).await;
    app.hear(&session, vec![from_mia("3AF0", Content::text("at five"))]).await;
    let call = next(&mut calls).await;
    assert_eq!(
        (&call["event"], &call["data"]["body"]),
        (&json!("message.received"), &json!("at five"))
    );
    assert_eq!(next(&mut calls).await["event"], "message.edited");
    assert_eq!(app.row(&session, "3AF0").await["body"], "at six");
}

#[tokio::test]
async fn an_edit_whose_message_never_comes_is_emitted_by_itself() {
    let (app, session, mut calls) = ready().await;
    let edit = Content::Edit { target: target("3AF0"), body: "at six".into(), file: None };
    app.hear(&session, vec![change("3B00", edit)]).await;
    app.clock.advance(Duration::from_secs(601));
    let call = next(&mut calls).await;
    assert_eq!(
        (&call["event"], &call["data"]["body"]),
        (&json!("message.edited"), &json!("at six"))
    );
    assert_eq!(app.row(&session, "3AF0").await, Value::Null);
}

#[tokio::test]
async fn an_ack_that_overtakes_a_message_of_the_phone_waits_for_it() {
    let (app, session, mut calls) = ready().await;
    let receipt = EngineSignal::Receipt {
        chat: chat(MIA),
        participant: None,
        ids: vec![wa_id("3AF0")],
        kind: ReceiptKind::Delivered,
        timestamp: TIME + 1,
    };
    app.signal(&session, receipt).await;
    let typed = InboundMessage { from_me: true, ..from_mia("3AF0", Content::text("Yes")) };
    app.hear(&session, vec![typed]).await;
    assert_eq!(next(&mut calls).await["event"], "message.sent");
    let call = next(&mut calls).await;
    assert_eq!(
        (&call["event"], &call["data"]["status"]),
        (&json!("message.ack"), &json!("delivered"))
    );
    assert_eq!(app.row(&session, "3AF0").await["status"], "delivered");
}
