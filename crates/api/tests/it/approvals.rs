//! Sends that wait for a person.

use std::{collections::BTreeSet, time::Duration};

use api::McpOptions;
use serde_json::{Value, json};
use testkit::OnSend;

use crate::app::{App, Key, next};

const CHAT: &str = "49170000001@c.us";

async fn agent(app: &App, budget: u32) -> Key {
    let rule = json!({ "dailyBudget": budget });
    app.new_key(json!({ "name": "agent", "role": "operator", "approval": rule })).await
}

fn text(words: &str) -> Value {
    json!({ "chatId": CHAT, "text": words })
}

/// Asks for a send, as the agent.
async fn say(app: &App, session: &str, key: &Key, words: &str, status: u16) -> Value {
    let path = format!("/api/sessions/{session}/messages/send-text");
    app.ask("POST", &path).key(&key.text).json(&text(words)).send().await.expect(status)
}

async fn decide(app: &App, approval: &Value, word: &str, status: u16) -> Value {
    let path = format!("/api/approvals/{}/{word}", approval["id"].as_str().unwrap());
    app.post(&path, json!({}), status).await
}

/// The approval, when it is this far. Time passes meanwhile: what cannot go out is tried again later.
async fn until(app: &App, approval: &Value, status: &str) -> Value {
    let path = format!("/api/approvals/{}", approval["id"].as_str().unwrap());
    let fits = |found: &Value| {
        app.advance(Duration::from_secs(1));
        found["status"] == status
    };
    app.until(&path, fits).await
}

async fn sent(app: &App, session: &str) -> Vec<String> {
    let found = app.get(&format!("/api/sessions/{session}/messages?limit=100")).await;
    let rows = found["messages"].as_array().unwrap().iter().rev();
    rows.map(|row| row["body"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn what_an_agent_says_waits_for_a_person() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let mut calls = app.hook(&session).await;
    let agent = agent(&app, 0).await;
    let one = say(&app, &session, &agent, "one", 202).await;
    let two = say(&app, &session, &agent, "two", 202).await;
    assert_eq!((&one["status"], &one["chatId"]), (&json!("held"), &json!(CHAT)));
    let event = next(&mut calls).await;
    assert_eq!(event["event"], "approval.held");
    assert_eq!(
        (&event["data"]["approvalId"], &event["data"]["request"]["text"]),
        (&one["id"], &json!("one"))
    );
    assert_eq!(next(&mut calls).await["data"]["approvalId"], two["id"]);
    assert_eq!(sent(&app, &session).await, Vec::<String>::new());
    let waiting = app.get("/api/approvals?status=held").await;
    assert_eq!(waiting, json!([two, one]));
    let refused = decide(&app, &one, "refuse", 200).await;
    assert_eq!(
        (&refused["status"], &refused["decidedBy"]),
        (&json!("refused"), &json!("First admin key"))
    );
    assert_eq!(next(&mut calls).await["event"], "approval.refused");
    decide(&app, &one, "release", 409).await;
    assert_eq!(decide(&app, &two, "release", 200).await["request"]["text"], "two");
    let done = until(&app, &two, "sent").await;
    assert_eq!(done["answer"]["statusCode"], 201);
    let row = app.row(&session, done["answer"]["body"]["messageId"].as_str().unwrap()).await;
    assert_eq!(row["body"], "two");
    assert_eq!(sent(&app, &session).await, ["two"]);
    assert_eq!(next(&mut calls).await["event"], "approval.released");
    decide(&app, &two, "refuse", 409).await;
    let unknown = json!({ "id": "apr_00000000-0000-4000-8000-000000000000" });
    decide(&app, &unknown, "release", 404).await;
    let audit = app.get("/api/audit?action=approval_released").await;
    assert_eq!(audit["total"], 1);
}

#[tokio::test]
async fn a_budget_lets_some_go_each_day() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let agent = agent(&app, 2).await;
    for words in ["one", "two"] {
        say(&app, &session, &agent, words, 201).await;
    }
    say(&app, &session, &agent, "three", 202).await;
    assert_eq!(sent(&app, &session).await, ["one", "two"]);
    app.advance(Duration::from_secs(24 * 3600));
    say(&app, &session, &agent, "four", 201).await;
}

#[tokio::test]
async fn a_send_that_the_pause_of_all_refuses_costs_no_place_of_the_budget() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let agent = agent(&app, 1).await;
    app.post("/api/sends/pause", json!({}), 200).await;
    let refused = say(&app, &session, &agent, "one", 503).await;
    assert_eq!(refused["code"], "SENDS_PAUSED");
    app.post("/api/sends/resume", json!({}), 200).await;
    say(&app, &session, &agent, "two", 201).await;
    say(&app, &session, &agent, "three", 202).await;
}

#[tokio::test]
async fn the_browser_of_an_agent_logs_out() {
    let app = App::start().await;
    let agent = agent(&app, 0).await;
    let body = json!({ "apiKey": agent.text });
    let answer = app.ask("POST", "/api/auth/session").json(&body).send().await;
    answer.expect(201);
    let cookie = answer.headers["set-cookie"].to_str().unwrap().split(';').next().unwrap();
    let out = app.ask("DELETE", "/api/auth/session").header("cookie", cookie);
    out.header("sec-fetch-site", "same-origin").send().await.expect(204);
    app.ask("GET", "/api/auth/session").header("cookie", cookie).send().await.expect(401);
    // A link for somebody else is not its to give.
    let link = app.ask("POST", "/api/auth/session/link").key(&agent.text).send().await;
    assert_eq!(link.expect(403)["code"], "APPROVAL_REQUIRED");
}

#[tokio::test]
async fn what_cannot_wait_is_closed_to_an_agent() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let agent = agent(&app, 0).await;
    let held = say(&app, &session, &agent, "one", 202).await;
    let of = |rest: &str| format!("/api/sessions/{session}{rest}");
    let bulk =
        json!({ "messages": [{ "chatId": CHAT, "type": "text", "content": { "text": "x" } }] });
    let closed = [
        (of("/messages/send-bulk"), bulk),
        (of("/messages/react"), json!({ "chatId": CHAT, "messageId": "x", "emoji": "+" })),
        (of("/stop"), json!({})),
        (format!("/api/approvals/{}/release", held["id"].as_str().unwrap()), json!({})),
    ];
    for (path, body) in closed {
        let refused = app.ask("POST", &path).key(&agent.text).json(&body).send().await.expect(403);
        assert_eq!(refused["code"], "APPROVAL_REQUIRED", "{path}");
    }
    let read =
        app.ask("POST", &of("/chats/read")).key(&agent.text).json(&json!({ "chatId": CHAT }));
    assert_ne!(read.send().await.status, 403);
    let other = self::agent(&app, 0).await;
    let mine = app.ask("GET", "/api/approvals").key(&agent.text).send().await.expect(200);
    assert_eq!(mine, json!([held]));
    assert_eq!(
        app.ask("GET", "/api/approvals").key(&other.text).send().await.expect(200),
        json!([])
    );
    // What is wrong is refused, and does not wait.
    let path = of("/messages/send-text");
    for body in [
        json!({ "chatId": CHAT }),
        json!({ "chatId": "x", "text": "y" }),
        json!({ "chatId": CHAT, "text": "y", "z": 1 }),
    ] {
        app.ask("POST", &path).key(&agent.text).json(&body).send().await.expect(400);
    }
    let nobody = "/api/sessions/00000000-0000-4000-8000-000000000000/messages/send-text";
    app.ask("POST", nobody).key(&agent.text).json(&text("x")).send().await.expect(404);
    assert_eq!(app.get("/api/approvals").await.as_array().unwrap().len(), 1);
    for query in ["status=x", "sessionId=x", "apiKeyId=x"] {
        app.ask("GET", &format!("/api/approvals?{query}")).admin().send().await.expect(400);
    }
}

#[tokio::test]
async fn the_same_request_waits_once() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let agent = agent(&app, 0).await;
    let path = format!("/api/sessions/{session}/messages/send-text");
    let ask = async |words: &str, status: u16| {
        let ask = app.ask("POST", &path).key(&agent.text).header("idempotency-key", "once");
        ask.json(&text(words)).send().await.expect(status)
    };
    let first = ask("one", 202).await;
    assert_eq!(ask("one", 202).await, first);
    assert_eq!(ask("two", 422).await["code"], "IDEMPOTENCY_KEY_REUSED");
    decide(&app, &first, "release", 200).await;
    until(&app, &first, "sent").await;
    assert_eq!(ask("one", 202).await["status"], "sent", "it tells what became of it");
    assert_eq!(sent(&app, &session).await, ["one"]);
}

#[tokio::test]
async fn a_released_send_goes_out_once_whenever_the_process_ends() {
    let mut app = App::start().await;
    let session = app.ready_session("bakery").await;
    let agent = agent(&app, 0).await;
    let held = say(&app, &session, &agent, "once", 202).await;
    // WhatsApp does not answer: the process stops while the outcome is not known.
    app.whatsapp.on_send(OnSend::Silence);
    decide(&app, &held, "release", 200).await;
    // Handed over: a row alone may still fail, when the connection ends before its frame.
    app.until("/api/approvals", |_| app.whatsapp.sent().len() == 1).await;
    app.restart().await;
    app.wait_for(&session, "ready").await;
    let done = until(&app, &held, "sent").await;
    assert_eq!(sent(&app, &session).await, ["once"]);
    let ids = app.whatsapp.sent().into_iter().map(|message| message.id);
    assert_eq!(ids.collect::<BTreeSet<_>>().len(), 1, "whatever goes out again has the same id");
    let row = app.row(&session, done["answer"]["body"]["messageId"].as_str().unwrap()).await;
    assert_eq!(row["body"], "once");
}

#[tokio::test]
async fn it_waits_for_its_session_and_says_when_it_failed() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let agent = agent(&app, 0).await;
    let one = say(&app, &session, &agent, "one", 202).await;
    let two = say(&app, &session, &agent, "two", 202).await;
    app.post(&format!("/api/sessions/{session}/stop"), json!({}), 200).await;
    decide(&app, &one, "release", 200).await;
    app.post(&format!("/api/sessions/{session}/start"), json!({}), 200).await;
    app.wait_for(&session, "ready").await;
    until(&app, &one, "sent").await;
    app.refuse_next_send(404);
    decide(&app, &two, "release", 200).await;
    let failed = until(&app, &two, "failed").await;
    assert!(failed["answer"]["statusCode"].as_u64().unwrap() >= 400, "{failed}");
    let three = say(&app, &session, &agent, "three", 202).await;
    let four = say(&app, &session, &agent, "four", 202).await;
    app.post(&format!("/api/auth/api-keys/{}/revoke", agent.id), json!({}), 200).await;
    decide(&app, &four, "release", 200).await;
    let gone = until(&app, &four, "failed").await;
    assert_eq!(gone["answer"]["statusCode"], 401);
    app.advance(Duration::from_secs(8 * 24 * 3600));
    let late = until(&app, &three, "refused").await;
    assert_eq!(late["decidedBy"], "nobody in time");
}

#[tokio::test]
async fn agents_wait_over_mcp_too() {
    let app = App::with(|options| {
        options.mcp = McpOptions { enabled: true, read_only: false, ..McpOptions::default() };
    })
    .await;
    let session = app.ready_session("bakery").await;
    let agent = agent(&app, 0).await;
    let arguments = json!({ "sessionId": session, "chatId": CHAT, "text": "hello" });
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": { "name": "MessageSendText", "arguments": arguments } });
    let ask = app.ask("POST", "/mcp").key(&agent.text).json(&call);
    let answer = ask.header("accept", "application/json, text/event-stream").send().await;
    assert!(answer.text().contains("held"), "{}", answer.text());
    assert_eq!(sent(&app, &session).await, Vec::<String>::new());
    let held = app.get("/api/approvals?status=held").await;
    decide(&app, &held[0], "release", 200).await;
    until(&app, &held[0], "sent").await;
    assert_eq!(sent(&app, &session).await, ["hello"]);
}
