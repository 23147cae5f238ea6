//! A call of a tool: the request to its route, and the answer as a result.
//!
//! The request goes through the same routes as one from outside, with the caller's key, so that scopes, roles, checks,
//! audit and shapes cannot differ.

use std::net::SocketAddr;

use axum::{
    body::Body,
    extract::ConnectInfo,
    http::{HeaderValue, Request, StatusCode, header, request::Parts},
    response::Response,
};
use http_body_util::BodyExt as _;
use rmcp::model::{CallToolResult, ContentBlock};
use serde_json::{Map, Value};
use url::Url;

use super::{input::KEY_ARGUMENT, tools::ServedTool};
use crate::{access::presented_key, address::Via};

/// Headers that go with a call: who asks, and through whom.
const PASSED_ON: [header::HeaderName; 2] =
    [header::USER_AGENT, header::HeaderName::from_static("x-forwarded-for")];

/// The request that a call stands for; `from` is the request that brought it.
///
/// # Errors
/// What is wrong with the arguments.
pub fn request_of(
    tool: &ServedTool,
    mut arguments: Map<String, Value>,
    from: &Parts,
) -> Result<Request<Body>, String> {
    let key = match arguments.remove(KEY_ARGUMENT) {
        None | Some(Value::Null) => None,
        Some(_) if !tool.inputs.has_key => return Err(format!("{KEY_ARGUMENT} is not taken here")),
        Some(value) => Some(word(KEY_ARGUMENT, &value)?),
    };
    let target = target_of(tool, &mut arguments)?;
    let mut request = Request::builder().method(tool.method.clone()).uri(target);
    for name in PASSED_ON {
        for value in from.headers.get_all(&name) {
            request = request.header(&name, value);
        }
    }
    // The key was right a moment ago; it is checked again.
    let presented = presented_key(&from.headers).unwrap_or_default();
    request = request.header("x-api-key", presented);
    if let Some(key) = key {
        let wrong = |_| format!("{KEY_ARGUMENT} must be visible ASCII");
        request = request.header("idempotency-key", HeaderValue::from_str(&key).map_err(wrong)?);
    }
    let body = if tool.inputs.has_body {
        request = request.header(header::CONTENT_TYPE, "application/json");
        Body::from(Value::Object(arguments).to_string())
    } else if let Some(name) = arguments.keys().next() {
        return Err(format!("{name} is not an argument of this tool"));
    } else {
        Body::empty()
    };
    let mut request = request.body(body).map_err(|error| error.to_string())?;
    // Where it comes from, and nothing else: the rest is about the route that brought it.
    let extensions = request.extensions_mut();
    if let Some(peer) = from.extensions.get::<ConnectInfo<SocketAddr>>() {
        extensions.insert(*peer);
    }
    if let Some(via) = from.extensions.get::<Via>() {
        extensions.insert(*via);
    }
    Ok(request)
}

/// The path with its parameters, and the query.
fn target_of(tool: &ServedTool, arguments: &mut Map<String, Value>) -> Result<String, String> {
    let mut url = Url::parse("http://localhost").map_err(|error| error.to_string())?;
    for part in tool.route.split('/').skip(1) {
        let name = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
        let text = match name {
            None => part.to_owned(),
            Some(name) => {
                let value = arguments.remove(name).ok_or_else(|| format!("{name} is required"))?;
                word(name, &value)?
            }
        };
        // These would be steps in the path, not names in it.
        if text.is_empty() || text == "." || text == ".." {
            return Err(format!("{} must not be empty", name.unwrap_or(part)));
        }
        let Ok(mut segments) = url.path_segments_mut() else { break };
        segments.pop_if_empty().push(&text);
    }
    for name in &tool.inputs.query {
        match arguments.remove(name) {
            None | Some(Value::Null) => {}
            Some(value) => {
                url.query_pairs_mut().append_pair(name, &word(name, &value)?);
            }
        }
    }
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    Ok(format!("{}{query}", url.path()))
}

/// A value as a path and a query say it.
fn word(name: &str, value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(yes) => Ok(yes.to_string()),
        _ => Err(format!("{name} must be a text, a number or a boolean")),
    }
}

/// An answer as the result of a call, cut to so many bytes; 0 cuts nothing.
pub async fn result_of(response: Response, bytes_max: usize) -> CallToolResult {
    let failed = !response.status().is_success();
    let status = response.status();
    // It is in memory already: reading it cannot fail.
    let bytes = response.into_body().collect().await.map(|body| body.to_bytes());
    let text = String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned();
    let text = match text.as_str() {
        "" if status == StatusCode::NO_CONTENT => "done".to_owned(),
        "" => status.to_string(),
        _ => text,
    };
    result(text, failed, bytes_max)
}

/// A result of one text.
pub fn result(text: String, failed: bool, bytes_max: usize) -> CallToolResult {
    let content = vec![ContentBlock::text(cut(text, bytes_max))];
    let mut result = CallToolResult::success(content);
    result.is_error = Some(failed);
    result
}

fn cut(text: String, bytes_max: usize) -> String {
    if bytes_max == 0 || text.len() <= bytes_max {
        return text;
    }
    let shown = text.floor_char_boundary(bytes_max);
    let note = format!(
        "\n[cut: {shown} of {} bytes are shown; ask for less, by `limit` or a filter]",
        text.len()
    );
    format!("{}{note}", &text[..shown])
}

#[cfg(test)]
mod tests {
    use domain::api_key::Role;
    use serde_json::json;

    use super::*;
    use crate::mcp::tools::served;

    fn tool(name: &str) -> ServedTool {
        let document = serde_json::to_value(crate::openapi()).unwrap();
        let tools = served(&document, false);
        tools.into_iter().find(|tool| tool.tool.name == name).unwrap()
    }

    fn parts() -> Parts {
        let request = Request::builder().header("authorization", "Bearer k").header("accept", "x");
        request.body(()).unwrap().into_parts().0
    }

    fn made(name: &str, arguments: Value) -> Result<Request<Body>, String> {
        let Value::Object(arguments) = arguments else { panic!("no object") };
        request_of(&tool(name), arguments, &parts())
    }

    #[tokio::test]
    async fn arguments_go_where_the_route_has_them() {
        let request =
            made("MessageList", json!({ "sessionId": "s", "chatId": "1@c.us", "limit": 5 }));
        let request = request.unwrap();
        assert_eq!(request.uri(), "/api/sessions/s/messages?chatId=1%40c.us&limit=5");
        assert_eq!(request.headers()["x-api-key"], "k");
        assert!(!request.headers().contains_key("accept"));
        let arguments = json!({ "sessionId": "s", "chatId": "1@c.us", "text": "hello",
            "idempotencyKey": "once" });
        let request = made("MessageSendText", arguments).unwrap();
        assert_eq!(
            (request.method().as_str(), &request.headers()["idempotency-key"]),
            ("POST", &HeaderValue::from_static("once"))
        );
        let body = request.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(
            serde_json::from_slice::<Value>(&body).unwrap(),
            json!({ "chatId": "1@c.us", "text": "hello" })
        );
    }

    #[test]
    fn no_argument_leads_to_another_route() {
        for id in ["", ".", "..", "%2e%2e/../..", "a/b", "a?b=c", "a#b", "%00"] {
            let made = made(
                "MessageGetReactions",
                json!({ "sessionId": "s", "chatId": id, "messageId": "m" }),
            );
            let Ok(request) = made else { continue };
            let path = request.uri().path().to_owned();
            assert_eq!(path.split('/').count(), 8, "{path}");
            assert!(path.ends_with("/m/reactions") && request.uri().query().is_none(), "{path}");
        }
        assert!(made("SessionFindOne", json!({})).is_err());
        assert!(made("SessionFindOne", json!({ "sessionId": ["s"] })).is_err());
        assert!(made("SessionFindOne", json!({ "sessionId": "s", "x": 1 })).is_err());
        assert!(
            made("SessionFindOne", json!({ "sessionId": "s", "idempotencyKey": "k" })).is_err()
        );
        assert!(tool("SessionFindOne").is_for(&testkit::build::api_key(1, Role::Viewer)));
    }

    #[test]
    fn long_results_are_cut_between_letters() {
        let text = "äöü".repeat(100);
        assert_eq!(cut(text.clone(), 0), text);
        assert_eq!(cut(text.clone(), 600), text);
        let short = cut(text, 101);
        assert!(short.starts_with("äöü") && short.contains("[cut: 100 of 600 bytes"), "{short}");
    }
}
