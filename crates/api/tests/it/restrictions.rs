//! What WhatsApp says about limits: shown, told, and obeyed before a message leaves.

use std::time::Duration;

use domain::{
    Clock as _,
    port::EngineSignal,
    session::{LimitNews, NewChatQuota, ReachoutLock},
};
use serde_json::{Value, json};
use testkit::build;

use crate::app::{App, next};

const STRANGER: &str = "49170999@c.us";

fn session_path(session: &str, rest: &str) -> String {
    format!("/api/sessions/{session}{rest}")
}

async fn send(app: &App, session: &str, to: &str, status: u16) -> Value {
    let body = json!({ "chatId": to, "text": "hi" });
    app.post(&session_path(session, "/messages/send-text"), body, status).await
}

async fn lock(app: &App, session: &str, lock: Option<ReachoutLock>) {
    app.signal(session, EngineSignal::Limits(LimitNews::Reachout(lock))).await;
}

#[tokio::test]
async fn a_lock_is_told_once_keeps_strangers_waiting_and_ends_when_whatsapp_said() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let (url, mut calls) = app.receiver(200).await;
    let hook = json!({ "url": url, "events": ["session.restriction"] });
    app.post(&session_path(&session, "/webhooks"), hook, 201).await;
    let known = build::chat(1);
    app.hear(&session, vec![build::inbound(1, &known)]).await;

    let ends = app.clock.now().plus(Duration::from_secs(3600));
    let told = ReachoutLock { enforcement: "BIZ_QUALITY".into(), ends: Some(ends) };
    lock(&app, &session, Some(told.clone())).await;
    let path = session_path(&session, "");
    let shown = app.until(&path, |shown| shown["restriction"].is_object()).await;
    let expected = json!({
        "kind": "reachout_timelock", "code": "BIZ_QUALITY", "expiresAt": ends.iso(), "endsAt": ends.iso(),
    });
    assert_eq!(shown["restriction"], expected);
    lock(&app, &session, Some(told)).await;

    let refused = send(&app, &session, STRANGER, 403).await;
    assert_eq!(refused["code"], "RECIPIENT_COLD_RESTRICTED");
    assert_eq!(app.whatsapp.sent().len(), 0, "nothing left this house");
    send(&app, &session, known.as_str(), 201).await;

    app.advance(Duration::from_secs(3601));
    send(&app, &session, STRANGER, 201).await;
    let shown = app.until(&path, |shown| shown["restriction"].is_null()).await;
    assert_eq!(shown["restriction"], Value::Null);
    let mut told = Vec::new();
    while told.len() < 2 {
        let event = next(&mut calls).await;
        if event["event"] == "session.restriction" {
            told.push((event["data"]["active"].clone(), event["data"]["expiresAt"].clone()));
        }
    }
    assert_eq!(told[0], (json!(true), json!(ends.iso())));
    assert_eq!(told[1].0, json!(false));
}

#[tokio::test]
async fn a_lock_that_whatsapp_lifts_is_lifted() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let ends = app.clock.now().plus(Duration::from_secs(3600));
    lock(&app, &session, Some(ReachoutLock { enforcement: "DEFAULT".into(), ends: Some(ends) }))
        .await;
    let path = session_path(&session, "");
    app.until(&path, |shown| shown["restriction"].is_object()).await;
    send(&app, &session, STRANGER, 403).await;
    lock(&app, &session, None).await;
    app.until(&path, |shown| shown["restriction"].is_null()).await;
    send(&app, &session, STRANGER, 201).await;
}

#[tokio::test]
async fn new_chats_are_counted_and_a_used_up_number_keeps_strangers_waiting() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let path = session_path(&session, "");
    assert_eq!(app.get(&path).await["newChatQuota"], Value::Null);
    let ends = app.clock.now().plus(Duration::from_secs(7200));
    let quota = |used| NewChatQuota {
        used,
        total: 50,
        status: Some("NONE".into()),
        cycle_ends: Some(ends),
    };
    app.signal(&session, EngineSignal::Limits(LimitNews::NewChats(Some(quota(45))))).await;
    let shown = app.until(&path, |shown| shown["newChatQuota"].is_object()).await;
    let expected = json!({
        "used": 45, "total": 50, "remaining": 5, "status": "NONE", "cycleEndsAt": ends.iso(),
    });
    assert_eq!(shown["newChatQuota"], expected);
    send(&app, &session, STRANGER, 201).await;

    app.signal(&session, EngineSignal::Limits(LimitNews::NewChats(Some(quota(50))))).await;
    app.until(&path, |shown| shown["newChatQuota"]["remaining"] == 0).await;
    let refused = send(&app, &session, "49170888@c.us", 403).await;
    assert_eq!(refused["code"], "RECIPIENT_COLD_RESTRICTED");
    app.signal(&session, EngineSignal::Limits(LimitNews::NewChats(None))).await;
    app.until(&path, |shown| shown["newChatQuota"].is_null()).await;
    send(&app, &session, "49170888@c.us", 201).await;
}
