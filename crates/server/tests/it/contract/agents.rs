//! Agents: the Model Context Protocol.

use serde_json::{Value, json};

use super::{
    stage::{MIA, Stage, chat},
    walk::Payload,
};
use crate::support::LIMIT;

pub const ROUTES: &[&str] = &["POST /mcp"];

/// What the agent is told.
async fn told(stage: &mut Stage, message: Value) -> Value {
    let accept = [("accept", "application/json, text/event-stream")];
    let answer = stage.walk.ask(("POST", "/mcp"), Payload::Json(message), &accept, 200).await;
    let text = String::from_utf8(answer.bytes).unwrap();
    let said = text.lines().find_map(|line| line.strip_prefix("data: {")).unwrap();
    serde_json::from_str(&format!("{{{said}")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_writes_to_a_person() {
    let mut stage = Stage::with(&[("MCP_ENABLED", "true"), ("MCP_READONLY", "false")]).await;
    let hello = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": { "name": "an agent", "version": "1" },
    } });
    assert_eq!(told(&mut stage, hello).await["result"]["serverInfo"]["name"], "waypost");
    let ready = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    let accept = [("accept", "application/json, text/event-stream")];
    stage.walk.ask(("POST", "/mcp"), Payload::Json(ready), &accept, 202).await;
    let session = stage.walk.id("sessionId").to_owned();
    let arguments = json!({ "sessionId": session, "chatId": chat(MIA), "text": "At six." });
    let call = json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/call",
        "params": { "name": "MessageSendText", "arguments": arguments } });
    let sent = told(&mut stage, call).await;
    assert!(sent["result"].is_object() && sent["result"]["isError"] != true, "{sent}");
    stage.mia.wait_for(LIMIT, |message| message.text == "At six.").await.unwrap();
    stage.end(ROUTES).await;
}
