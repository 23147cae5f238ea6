//! Linking an account that asks for its passkey, as a client of the API sees it.

use std::time::Duration;

use domain::{
    Clock as _,
    port::{EngineError, EngineSignal, PasskeyPhase, PasskeySignal},
};
use serde_json::{Value, json};
use testkit::Asked;

use crate::app::{App, next};

const OPTIONS: &str = r#"{"challenge":"YWJj","rpId":"whatsapp.com"}"#;

fn path(session: &str, rest: &str) -> String {
    format!("/api/sessions/{session}/passkey{rest}")
}

fn answer() -> Value {
    json!({
        "id": "Y3JlZA", "rawId": "Y3JlZA", "type": "public-key", "authenticatorAttachment": "platform",
        "clientExtensionResults": {},
        "response": { "clientDataJSON": "e30", "authenticatorData": "AAAA", "signature": "c2ln", "userHandle": null },
    })
}

async fn step(app: &App, session: &str, signal: PasskeySignal) {
    app.signal(session, EngineSignal::Passkey(signal)).await;
}

#[tokio::test]
async fn a_browser_answers_and_a_person_confirms() {
    let app = App::start().await;
    let session = app.qr_session("bakery").await;
    let (url, mut calls) = app.receiver(200).await;
    let hook = json!({ "url": url, "events": ["session.passkey"] });
    app.post(&format!("/api/sessions/{session}/webhooks"), hook, 201).await;
    let nothing = app.ask("GET", &path(&session, "")).admin().send().await.expect(400);
    assert_eq!(nothing["message"], "The account does not ask for a passkey");

    let within = Duration::from_secs(60);
    let ends = app.clock.now().plus(within).iso();
    step(&app, &session, PasskeySignal::Requested { options: OPTIONS.into(), within }).await;
    let shown = loop {
        let answer = app.ask("GET", &path(&session, "")).admin().send().await;
        if answer.status == 200 {
            break answer.json();
        }
        tokio::task::yield_now().await;
    };
    let options: Value = serde_json::from_str(OPTIONS).unwrap();
    let expected = json!({
        "phase": "assertion", "options": options, "code": null, "expiresAt": ends, "error": null,
    });
    assert_eq!(shown, expected);

    app.post(&path(&session, "/response"), answer(), 202).await;
    let asked = app.whatsapp.asked();
    let Some(Asked::PasskeyAnswer(taken)) = asked.last() else { panic!("{asked:?}") };
    assert_eq!(taken.credential, b"cred");
    let said: Value = serde_json::from_str(&taken.json).unwrap();
    assert_eq!(
        (&said["rawId"], &said["response"]["signature"]),
        (&json!("Y3JlZA"), &json!("c2ln"))
    );
    assert!(said.get("authenticatorAttachment").is_none());

    let code = || "7QK2-M9PX".to_owned();
    step(&app, &session, PasskeySignal::Confirm { code: code(), within }).await;
    let shown = app.until(&path(&session, ""), |shown| shown["phase"] == "confirmation").await;
    assert_eq!((&shown["code"], &shown["options"]), (&json!("7QK2-M9PX"), &Value::Null));
    app.ask("POST", &path(&session, "/confirm")).admin().send().await.expect(202);
    assert_eq!(app.whatsapp.asked().last(), Some(&Asked::PasskeyConfirm));
    let mut phases = Vec::new();
    while phases.len() < 2 {
        let event = next(&mut calls).await;
        if event["event"] == "session.passkey" {
            phases.push(event["data"]["phase"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(phases, ["assertion", "confirmation"]);
}

#[tokio::test]
async fn what_is_wrong_changes_nothing() {
    let app = App::start().await;
    let session = app.qr_session("bakery").await;
    step(
        &app,
        &session,
        PasskeySignal::Requested { options: OPTIONS.into(), within: Duration::from_secs(60) },
    )
    .await;
    let asks = || app.whatsapp.asked().len();
    let before = asks();
    let wrong = |field: &str, value: Value| {
        let mut body = answer();
        body[field] = value;
        body
    };
    for body in [
        wrong("type", json!("password")),
        wrong("rawId", json!("not base64url!")),
        wrong("response", json!({ "clientDataJSON": "e30", "authenticatorData": "AAAA" })),
        wrong("surprise", json!(1)),
    ] {
        app.post(&path(&session, "/response"), body, 400).await;
    }
    assert_eq!(asks(), before);

    app.whatsapp.fail_ask(EngineError::WrongState("this session waits for no passkey"));
    let late = app.post(&path(&session, "/response"), answer(), 409).await;
    assert_eq!(late["code"], "PASSKEY_WRONG_STEP");
    app.whatsapp.fail_ask(EngineError::Refused("forbidden".into()));
    let refused = app.post(&path(&session, "/response"), answer(), 502).await;
    assert_eq!(refused["code"], "PASSKEY_REFUSED");
}

#[tokio::test]
async fn a_failed_step_is_shown_and_its_reason_stays_with_the_session() {
    let app = App::start().await;
    let session = app.qr_session("bakery").await;
    let failed =
        PasskeySignal::Failed { phase: PasskeyPhase::Exchange, reason: "it took too long".into() };
    step(&app, &session, failed).await;
    let cause = domain::session::LossCause::PasskeyFailed("the phone did not answer".into());
    app.signal(&session, EngineSignal::Lost(cause)).await;
    app.wait_for(&session, "action_required").await;
    let shown = app.get(&format!("/api/sessions/{session}")).await;
    let error = shown["lastError"].as_str().unwrap();
    assert!(error.starts_with("the phone did not answer"), "{error}");
}
