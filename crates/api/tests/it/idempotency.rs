//! `Idempotency-Key` and pacing over HTTP.

use std::{convert::Infallible, time::Duration};

use domain::{Timer, pacing::PacingRules};
use serde_json::{Value, json};
use testkit::OnSend;

use crate::app::{Answer, App};

async fn send(app: &App, session: &str, key: &str, route: &str, body: &Value) -> Answer {
    let path = format!("/api/sessions/{session}/messages/{route}");
    app.ask("POST", &path).admin().header("idempotency-key", key).json(body).send().await
}

#[tokio::test]
async fn the_stored_answer_comes_again_with_a_header() {
    let mut app = App::start().await;
    let session = app.ready_session("bakery").await;
    let body = json!({ "chatId": "49170111@c.us", "text": "hi" });
    let first = send(&app, &session, "order-7", "send-text", &body).await;
    assert!(!first.headers.contains_key("idempotent-replayed"));
    let first = first.expect(201);
    for _ in 0..2 {
        let again = send(&app, &session, "order-7", "send-text", &body).await;
        assert_eq!(again.headers["idempotent-replayed"], "true");
        assert_eq!(again.expect(201), first);
        app.restart().await;
    }
    assert_eq!(app.whatsapp.sent().len(), 1);
    let other = json!({ "chatId": "49170111@c.us", "text": "other" });
    let reused = send(&app, &session, "order-7", "send-text", &other).await.expect(422);
    assert_eq!(reused["code"], "IDEMPOTENCY_KEY_REUSED");
    let place = json!({ "chatId": "49170111@c.us", "latitude": 1, "longitude": 1 });
    send(&app, &session, "order-7", "send-location", &place).await.expect(422);
}

/// One with the row, its key and what goes out; one with what WhatsApp answered and the events; with pacing one for the
/// place that is taken before.
#[tokio::test]
async fn a_send_alone_costs_two_commits_and_one_for_its_pace() {
    for paced in [false, true] {
        let app = App::tuned(|options| options.sends.pacing.enabled = paced).await;
        let session = app.ready_session("bakery").await;
        for number in 0..3 {
            let body = json!({ "chatId": "49170111@c.us", "text": format!("number {number}") });
            let before = app.store.commits();
            send(&app, &session, &format!("k{number}"), "send-text", &body).await.expect(201);
            let commits = app.store.commits() - before;
            assert_eq!(commits, if paced { 3 } else { 2 }, "paced {paced}, send {number}");
        }
    }
}

#[tokio::test]
async fn of_two_requests_at_once_one_is_in_progress() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let body = json!({ "chatId": "49170111@c.us", "text": "hi" });
    let (one, two) = tokio::join!(
        send(&app, &session, "order-7", "send-text", &body),
        send(&app, &session, "order-7", "send-text", &body)
    );
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert!(statuses == [201, 409] || statuses == [201, 201], "{statuses:?}");
    assert_eq!(app.whatsapp.sent().len(), 1);
    for answer in [one, two].iter().filter(|answer| answer.status == 409) {
        assert_eq!(answer.json()["code"], "IDEMPOTENCY_KEY_IN_PROGRESS");
    }
}

#[tokio::test]
async fn malformed_keys_are_refused_and_failures_free_theirs() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let body = json!({ "chatId": "49170111@c.us", "text": "hi" });
    for key in ["", "a b", &"k".repeat(256)] {
        let answer = send(&app, &session, key, "send-text", &body).await.expect(400);
        assert_eq!(answer["code"], "IDEMPOTENCY_KEY_INVALID", "{key:?}");
    }
    let path = format!("/api/sessions/{session}/messages/send-text");
    let twice = app.ask("POST", &path).admin().header("idempotency-key", "a");
    let twice = twice.header("idempotency-key", "b").json(&body).send().await;
    assert_eq!(twice.expect(400)["code"], "IDEMPOTENCY_KEY_INVALID");
    app.refuse_next_send(404);
    send(&app, &session, "order-7", "send-text", &body).await.expect(400);
    send(&app, &session, "order-7", "send-text", &body).await.expect(201);
}

#[tokio::test]
async fn pacing_says_when_to_come_again() {
    let app = App::tuned(|options| {
        options.sends.pacing =
            PacingRules { enabled: true, warmup: vec![1], ..PacingRules::default() };
    })
    .await;
    let session = app.ready_session("bakery").await;
    let body = json!({ "chatId": "49170111@c.us", "text": "hi" });
    let path = format!("/api/sessions/{session}/messages/send-text");
    app.post(&path, body.clone(), 201).await;
    let paced = app.ask("POST", &path).admin().json(&body).send().await;
    let seconds = paced.headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap();
    let paced = paced.expect(429);
    assert_eq!(
        (&paced["code"], &paced["error"]),
        (&json!("SEND_PACING_LIMITED"), &json!("Too Many Requests"))
    );
    assert_eq!(paced["retryAfterSeconds"], json!(seconds));
}

#[tokio::test]
async fn a_campaign_whose_answer_was_lost_is_asked_for_again_and_stays_one() {
    let mut app = App::start().await;
    let session = app.ready_session("bakery").await;
    let people = |count: u32| {
        let one = |number| json!({ "chatId": format!("49170{number:05}@c.us"), "type": "text", "content": { "text": "hi" } });
        json!({ "messages": (0..count).map(one).collect::<Vec<_>>() })
    };
    let first = send(&app, &session, "spring", "send-bulk", &people(3)).await;
    assert!(!first.headers.contains_key("idempotent-replayed"));
    let first = first.expect(202);
    let again = send(&app, &session, "spring", "send-bulk", &people(3)).await;
    assert_eq!(again.headers["idempotent-replayed"], "true");
    assert_eq!(again.expect(202)["batchId"], first["batchId"]);
    app.restart().await;
    let after = send(&app, &session, "spring", "send-bulk", &people(3)).await.expect(202);
    assert_eq!((&after["batchId"], &after["totalMessages"]), (&first["batchId"], &json!(3)));
    let reused = send(&app, &session, "spring", "send-bulk", &people(2)).await.expect(422);
    assert_eq!(reused["code"], "IDEMPOTENCY_KEY_REUSED");
    let other = send(&app, &session, "summer", "send-bulk", &people(3)).await.expect(202);
    assert_ne!(other["batchId"], first["batchId"]);
    let list = app.get(&format!("/api/sessions/{session}/messages/batches")).await;
    assert_eq!(list.as_array().unwrap().len(), 2);

    let four = people(4);
    let (one, two) = tokio::join!(
        send(&app, &session, "autumn", "send-bulk", &four),
        send(&app, &session, "autumn", "send-bulk", &four)
    );
    assert_eq!(one.expect(202)["batchId"], two.expect(202)["batchId"]);

    // A name of the caller's own, which nobody gave a key before.
    let mut named = people(1);
    named["batchId"] = json!("mine");
    app.post(&format!("/api/sessions/{session}/messages/send-bulk"), named.clone(), 202).await;
    send(&app, &session, "winter", "send-bulk", &named).await.expect(400);
}

/// Longer than what the last process left open is waited for; shorter than an answer is.
const GRACE_MAX: Duration = Duration::from_secs(10);

/// Lets the grace pass after which what the last process left open goes out again. New sends to the chat wait for it.
async fn let_grace_pass(app: &App) -> Infallible {
    loop {
        app.clock.fire_within(Timer::Reconcile, GRACE_MAX).await;
    }
}

async fn send_past_grace(app: &App, session: &str, key: &str, body: &Value) -> Answer {
    tokio::select! {
        answer = send(app, session, key, "send-text", body) => answer,
        never = let_grace_pass(app) => match never {},
    }
}

#[tokio::test]
async fn a_send_waits_for_what_the_process_before_left_open() {
    // The item is never answered: the end of the process does not wait for it.
    let mut app = App::tuned(|options| options.shutdown_limit = Duration::from_millis(200)).await;
    let session = app.ready_session("bakery").await;
    app.whatsapp.on_send(OnSend::Silence);
    let people = json!({ "messages": [{ "chatId": "4917000001@c.us", "type": "text", "content": { "text": "first" } }] });
    send(&app, &session, "batch", "send-bulk", &people).await.expect(202);
    app.until("/api/sessions", |_| app.whatsapp.sent().len() == 1).await;
    app.restart().await;
    app.wait_for(&session, "ready").await;
    let text = json!({ "chatId": "4917000001@c.us", "text": "second" });
    send_past_grace(&app, &session, "text", &text).await.expect(201);
    let ids: Vec<String> = app.whatsapp.sent().iter().map(|sent| sent.id.to_string()).collect();
    assert_eq!(ids.len(), 3, "the first again, then the second: {ids:?}");
    assert_eq!(ids[0], ids[1]);
    assert_ne!(ids[1], ids[2]);
}

#[tokio::test]
async fn a_session_that_comes_up_after_a_restart_is_not_called_stopped() {
    let mut app = App::start().await;
    let session = app.ready_session("bakery").await;
    let people = json!({ "messages": [{ "chatId": "4917000001@c.us", "type": "text", "content": { "text": "hi" } }] });
    let text = json!({ "chatId": "4917000001@c.us", "text": "hi" });
    for number in 0..5 {
        app.restart().await;
        send(&app, &session, &format!("batch-{number}"), "send-bulk", &people).await.expect(202);
        // The process before may have ended between an item's frame and WhatsApp's answer.
        let sent = send_past_grace(&app, &session, &format!("text-{number}"), &text).await;
        if sent.status != 201 {
            let refused = sent.expect(409);
            assert_eq!(refused["message"], "Session is not ready (status: initializing)");
        }
    }
}
