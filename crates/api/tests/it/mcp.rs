//! Agents: the Model Context Protocol over the same routes.

use std::time::Duration;

use api::{McpOptions, Window};
use serde_json::{Value, json};

use crate::app::{Answer, App, Ask};

/// With agents served.
async fn app(change: impl FnOnce(&mut McpOptions)) -> App {
    App::with(|options| {
        options.mcp = McpOptions { enabled: true, read_only: false, ..McpOptions::default() };
        change(&mut options.mcp);
    })
    .await
}

fn agent<'a>(app: &'a App, key: &str) -> Ask<'a> {
    app.ask("POST", "/mcp").key(key).header("accept", "application/json, text/event-stream")
}

/// What one event of the answer says.
fn said(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let text = answer.text();
    let events: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    assert_eq!(events.len(), 1, "{text}");
    assert_eq!(answer.headers["content-type"], "text/event-stream");
    serde_json::from_str(events[0]).unwrap()
}

async fn rpc(app: &App, key: &str, method: &str, params: Value) -> Value {
    let message = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params });
    let told = said(&agent(app, key).json(&message).send().await);
    assert_eq!((&told["jsonrpc"], &told["id"]), (&json!("2.0"), &json!(7)));
    told
}

async fn names(app: &App, key: &str) -> Vec<String> {
    let told = rpc(app, key, "tools/list", json!({})).await;
    let tools = told["result"]["tools"].as_array().unwrap();
    tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

/// What a tool answered, and whether it failed.
async fn call(app: &App, key: &str, tool: &str, arguments: Value) -> (String, bool) {
    let params = json!({ "name": tool, "arguments": arguments });
    let told = rpc(app, key, "tools/call", params).await;
    let result = &told["result"];
    let text = result["content"][0]["text"].as_str();
    let text = text.unwrap_or_else(|| panic!("{told}")).to_owned();
    (text, result["isError"] == true)
}

async fn answer(app: &App, key: &str, tool: &str, arguments: Value) -> Value {
    let (text, failed) = call(app, key, tool, arguments).await;
    assert!(!failed, "{text}");
    serde_json::from_str(&text).unwrap()
}

/// The refusal of a tool, as the route says it.
async fn refused(app: &App, key: &str, tool: &str, arguments: Value) -> Value {
    let (text, failed) = call(app, key, tool, arguments).await;
    assert!(failed, "{text}");
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn the_login_of_a_browser_is_no_key_of_an_agent() {
    let app = app(|_| {}).await;
    let login = app.ask("POST", "/api/auth/session").admin().send().await;
    let cookie = login.headers["set-cookie"].to_str().unwrap().split(';').next().unwrap();
    let ask = app.ask("POST", "/mcp").header("accept", "application/json, text/event-stream");
    let ask = ask.header("cookie", cookie).header("sec-fetch-site", "same-origin");
    let message = json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/list", "params": {} });
    let answer = ask.json(&message).send().await;
    assert_eq!(answer.expect(401)["message"], "API key is required");
}

#[tokio::test]
async fn an_agent_says_hello_and_finds_titled_tools() {
    let app = app(|_| {}).await;
    let hello = json!({ "protocolVersion": "2025-06-18", "capabilities": {},
        "clientInfo": { "name": "an agent", "version": "1" } });
    let told = rpc(&app, &app.admin, "initialize", hello).await;
    let result = &told["result"];
    assert_eq!(result["protocolVersion"], "2025-06-18");
    assert_eq!(result["serverInfo"]["name"], "waypost");
    assert!(result["capabilities"]["tools"].is_object());
    let ready = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    assert_eq!(agent(&app, &app.admin).json(&ready).send().await.status, 202);
    let told = rpc(&app, &app.admin, "tools/list", json!({})).await;
    let tools = told["result"]["tools"].as_array().unwrap();
    let send = tools.iter().find(|tool| tool["name"] == "MessageSendText").unwrap();
    assert_eq!(send["title"], "Message Send Text");
    assert_eq!(send["annotations"]["readOnlyHint"], false);
    assert_eq!(send["inputSchema"]["type"], "object");
    assert!(tools.iter().all(|tool| tool["title"].is_string()));
    let unknown = rpc(&app, &app.admin, "tools/call", json!({ "name": "MessageUnsend" })).await;
    assert!(unknown["error"]["message"].as_str().unwrap().contains("MessageUnsend"));
}

#[tokio::test]
async fn tools_do_what_their_routes_do() {
    let app = app(|_| {}).await;
    let session = app.ready_session("bakery").await;
    let sessions = answer(&app, &app.admin, "SessionFindAll", json!({})).await;
    assert_eq!(sessions, app.get("/api/sessions").await);
    app.hear_text(&session, 1, 1).await;
    let list = json!({ "sessionId": session, "chatId": "49170000001@c.us", "limit": 10 });
    let heard = answer(&app, &app.admin, "MessageList", list).await;
    assert_eq!(heard["messages"][0]["body"], "text 1");
    let say = json!({ "sessionId": session, "chatId": "49170000001@c.us", "text": "At six.",
        "idempotencyKey": "once" });
    let sent = answer(&app, &app.admin, "MessageSendText", say.clone()).await;
    let again = answer(&app, &app.admin, "MessageSendText", say).await;
    assert_eq!(sent, again, "the same key sends once");
    let row = app.row(&session, sent["messageId"].as_str().unwrap()).await;
    assert_eq!(row["body"], "At six.");
    let audit = app.get("/api/audit?action=message_sent").await;
    assert_eq!(audit["total"], 1, "{audit}");
    let wrong = json!({ "sessionId": session, "chatId": "49170000001@c.us", "texd": "x" });
    let wrong = refused(&app, &app.admin, "MessageSendText", wrong).await;
    assert_eq!(wrong["statusCode"], 400);
    let nobody = json!({ "sessionId": "00000000-0000-4000-8000-000000000000" });
    assert_eq!(refused(&app, &app.admin, "SessionFindOne", nobody).await["statusCode"], 404);
    let (text, failed) = call(&app, &app.admin, "SessionFindOne", json!({})).await;
    assert!(failed && text.contains("sessionId"), "{text}");
    let nul = json!({ "sessionId": session, "chatId": "49170000001@c.us", "text": "a\u{0}b" });
    assert!(call(&app, &app.admin, "MessageSendText", nul).await.1);
}

#[tokio::test]
async fn keys_have_the_tools_and_the_rights_of_their_routes() {
    let app = app(|_| {}).await;
    let (one, two) = (app.ready_session("one").await, app.ready_session("two").await);
    let viewer = app.new_key(json!({ "name": "viewer", "role": "viewer" })).await;
    let names_of_viewer = names(&app, &viewer.text).await;
    assert!(names_of_viewer.contains(&"MessageList".to_owned()));
    assert!(!names_of_viewer.contains(&"MessageSendText".to_owned()));
    let say = |session: &str, person: u32| {
        let chat = format!("4917000000{person}@c.us");
        json!({ "sessionId": session, "chatId": chat, "text": "hello" })
    };
    assert_eq!(
        refused(&app, &viewer.text, "MessageSendText", say(&one, 1)).await["statusCode"],
        403
    );
    let scoped = json!({ "name": "one", "role": "operator", "allowedSessions": [one] });
    let scoped = app.new_key(scoped).await;
    assert!(!call(&app, &scoped.text, "SessionFindOne", json!({ "sessionId": one })).await.1);
    let other = refused(&app, &scoped.text, "SessionFindOne", json!({ "sessionId": two })).await;
    assert_eq!(other["message"], "API key not authorized for this session");
    let fenced =
        json!({ "name": "chat", "role": "operator", "allowedChats": ["49170000001@c.us"] });
    let fenced = app.new_key(fenced).await;
    assert!(!names(&app, &fenced.text).await.contains(&"WebhooksList".to_owned()));
    assert!(!call(&app, &fenced.text, "MessageSendText", say(&one, 1)).await.1);
    let other = refused(&app, &fenced.text, "MessageSendText", say(&one, 2)).await;
    assert_eq!(other["message"], "API key not authorized for this chat");
    let all = refused(&app, &fenced.text, "MessageList", json!({ "sessionId": one })).await;
    assert_eq!(all["statusCode"], 403);
}

#[tokio::test]
async fn without_changes_only_what_reads_is_there() {
    let app = app(|options| options.read_only = true).await;
    let names = names(&app, &app.admin).await;
    assert!(names.contains(&"SessionFindAll".to_owned()) && names.len() > 10);
    assert!(!names.iter().any(|name| name.contains("Send") || name.contains("Mark")), "{names:?}");
    let session = app.ready_session("bakery").await;
    let say = json!({ "sessionId": session, "chatId": "49170000001@c.us", "text": "hello" });
    let told =
        rpc(&app, &app.admin, "tools/call", json!({ "name": "MessageSendText", "arguments": say }))
            .await;
    assert!(told["error"].is_object(), "{told}");
    assert_eq!(app.get(&format!("/api/sessions/{session}/messages")).await["total"], 0);
}

#[tokio::test]
async fn long_results_are_cut_with_a_note() {
    let app = app(|options| options.result_bytes_max = 500).await;
    let session = app.ready_session("bakery").await;
    for number in 1..=20 {
        app.hear_text(&session, 1, number).await;
    }
    let list = json!({ "sessionId": session });
    let (text, failed) = call(&app, &app.admin, "MessageList", list).await;
    assert!(!failed && text.len() < 700 && text.contains("[cut: 500 of "), "{text}");
}

#[tokio::test]
async fn the_door_is_that_of_the_api() {
    let app = app(|options| {
        options.per_key = Window { length: Duration::from_secs(60), limit: 3 };
    })
    .await;
    let ping = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" });
    agent(&app, "wrong").json(&ping).send().await.expect(401);
    let plain = app
        .ask("POST", "/mcp")
        .json(&ping)
        .header("authorization", &format!("Bearer {}", app.admin));
    plain.header("accept", "application/json").send().await.expect(406);
    for method in ["GET", "DELETE"] {
        let answer = app.ask(method, "/mcp").admin().send().await;
        assert_eq!(answer.status, 405);
        assert_eq!(answer.headers["allow"], "POST");
    }
    agent(&app, &app.admin)
        .header("content-type", "text/plain")
        .raw(b"x".to_vec())
        .send()
        .await
        .expect(415);
    agent(&app, &app.admin).json(&ping).send().await;
    let full = agent(&app, &app.admin).json(&ping).send().await;
    assert_eq!(full.status, 429);
    assert_eq!(full.headers["retry-after"], "60");
    app.advance(Duration::from_secs(60));
    said(&agent(&app, &app.admin).json(&ping).send().await);
    let closed = App::start().await;
    agent(&closed, &closed.admin).json(&ping).send().await.expect(404);
}
