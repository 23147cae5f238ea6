//! Calls: refused by a person or by the settings, and links to them.

use domain::port::{Call, CallMedia, CallOutcome, EngineError, EngineSignal};
use domain::{Timestamp, event::ChangeSource};
use serde_json::{Value, json};
use testkit::AskedAboutPeople as Ask;
use tokio::sync::mpsc;

use crate::{
    app::{App, next},
    inbound::{MIA, TIME, chat},
};

fn call(id: &str) -> Call {
    Call {
        id: id.into(),
        from: chat(MIA),
        video: true,
        group: false,
        timestamp: TIME,
        outcome: None,
        source: None,
    }
}

async fn ready() -> (App, String, mpsc::Receiver<Value>) {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let names = ["call.received", "call.accepted", "call.rejected", "call.missed"];
    let calls = app.hook_of(&session, &names).await;
    (app, session, calls)
}

#[tokio::test]
async fn a_call_that_rings_is_refused_once() {
    let (app, session, mut calls) = ready().await;
    let reject = |id: &str| format!("/api/sessions/{session}/calls/{id}/reject");
    app.signal(&session, EngineSignal::Call(call("A1"))).await;
    assert_eq!(next(&mut calls).await["event"], "call.received");
    let answer = app.ask("POST", &reject("A1")).admin().send().await.expect(200);
    assert_eq!(answer, json!({ "success": true }));
    let told = next(&mut calls).await;
    assert_eq!(told["event"], "call.rejected");
    let data = &told["data"];
    assert_eq!((&data["callId"], &data["from"]), (&json!("A1"), &json!(MIA)));
    assert_eq!((&data["outcome"], &data["source"]), (&json!("rejected"), &json!("api")));
    assert_eq!(data["isVideo"], true);
    assert_eq!(told["idempotencyKey"], format!("call_{session}_A1_rejected"));
    let answer = app.ask("POST", &reject("A1")).admin().send().await.expect(404);
    assert_eq!(answer["message"], "Call A1 is not ringing");
    app.ask("POST", &reject(&"x".repeat(500))).admin().send().await.expect(404);
    let viewer = app.new_key(json!({ "name": "looks", "role": "viewer" })).await;
    app.ask("POST", &reject("A1")).key(&viewer.text).send().await.expect(403);
    // What could not be said is not told.
    app.signal(&session, EngineSignal::Call(call("A2"))).await;
    assert_eq!(next(&mut calls).await["data"]["callId"], "A2");
    app.whatsapp.fail_ask(EngineError::Unanswered(None));
    app.ask("POST", &reject("A2")).admin().send().await.expect(503);
    app.ask("POST", &reject("A2")).admin().send().await.expect(200);
    assert_eq!(next(&mut calls).await["event"], "call.rejected");
}

#[tokio::test]
async fn settings_refuse_every_call_from_the_next_one_on() {
    let (app, session, mut calls) = ready().await;
    app.signal(&session, EngineSignal::Call(call("A1"))).await;
    assert_eq!(next(&mut calls).await["event"], "call.received");
    let config = format!("/api/sessions/{session}/config");
    let body = json!({ "autoRejectCalls": true });
    app.ask("PATCH", &config).admin().json(&body).send().await.expect(200);
    app.signal(&session, EngineSignal::Call(call("A2"))).await;
    assert_eq!(next(&mut calls).await["data"]["callId"], "A2");
    let told = next(&mut calls).await;
    assert_eq!((&told["event"], &told["data"]["callId"]), (&json!("call.rejected"), &json!("A2")));
    assert_eq!(
        (&told["data"]["source"], &told["data"]["automatic"]),
        (&json!("api"), &json!(true))
    );
    assert_eq!(app.whatsapp.asked_about_people(), [Ask::Reject("A2".into())]);
}

#[tokio::test]
async fn a_call_that_another_device_took_says_which() {
    let (app, session, mut calls) = ready().await;
    for (id, outcome, source, words) in [
        ("A1", CallOutcome::Accepted, Some(ChangeSource::Phone), ("accepted", json!("phone"))),
        (
            "A2",
            CallOutcome::Rejected,
            Some(ChangeSource::OtherDevice),
            ("rejected", json!("other_device")),
        ),
        ("A3", CallOutcome::Missed, None, ("missed", Value::Null)),
    ] {
        app.signal(&session, EngineSignal::Call(call(id))).await;
        let over = Call { outcome: Some(outcome), source, timestamp: TIME + 9, ..call(id) };
        app.signal(&session, EngineSignal::Call(over)).await;
        assert_eq!(next(&mut calls).await["event"], "call.received");
        let told = next(&mut calls).await;
        assert_eq!(told["event"], format!("call.{}", words.0));
        assert_eq!(
            (&told["data"]["outcome"], &told["data"]["source"]),
            (&json!(words.0), &words.1)
        );
        let path = format!("/api/sessions/{session}/calls/{id}/reject");
        app.ask("POST", &path).admin().send().await.expect(404);
    }
}

#[tokio::test]
async fn a_link_to_a_call_is_made() {
    let (app, session, _calls) = ready().await;
    let path = format!("/api/sessions/{session}/calls/link");
    let body = json!({ "type": "video", "startTime": TIME * 1000 });
    let answer = app.post(&path, body, 200).await;
    assert_eq!(answer, json!({ "link": "https://call.whatsapp.com/video/AbCdEf123" }));
    for wrong in [
        json!({ "type": "video" }),
        json!({ "type": "fax", "startTime": TIME }),
        json!({ "type": "audio", "startTime": 0 }),
        // Past JavaScript's last date.
        json!({ "type": "audio", "startTime": 8_640_000_000_000_001_i64 }),
        json!({ "type": "audio", "startTime": TIME, "title": "x" }),
    ] {
        app.post(&path, wrong, 400).await;
    }
    app.whatsapp.fail_ask(EngineError::Refused("no link was made".into()));
    app.post(&path, json!({ "type": "audio", "startTime": TIME * 1000 }), 403).await;
    let start = Timestamp::from_millis(TIME * 1000);
    assert_eq!(app.whatsapp.asked_about_people(), [Ask::CallLink(CallMedia::Video, start)]);
}
