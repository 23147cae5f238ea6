//! No route without its checks.

use serde_json::{Value, json};

use crate::app::{App, Key, refused};

/// An operation of the OpenAPI document.
struct Operation {
    method: String,
    path: String,
    /// Least role and fences; empty for public ones.
    needs: Vec<String>,
}

fn operations() -> Vec<Operation> {
    let document = serde_json::to_value(api::openapi()).unwrap();
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let needs =
                operation["security"][0]["X-API-Key"].as_array().cloned().unwrap_or_default();
            operations.push(Operation {
                method: method.to_uppercase(),
                path: path.clone(),
                needs: needs.iter().map(|need| need.as_str().unwrap().to_owned()).collect(),
            });
        }
    }
    assert!(operations.len() >= 35, "the document has lost routes");
    operations
}

impl Operation {
    /// The path with ids; the session is the given one, other things do not exist.
    fn concrete(&self, session: &str) -> String {
        self.path
            .replace("{sessionId}", session)
            .replace("{id}", "00000000-0000-4000-8000-000000000000")
            .replace("{chatId}", "49170111@c.us")
            .replace("{contactId}", "49170111@c.us")
            .replace("{messageId}", "3AF0")
            .replace("{callId}", "A1B2")
            .replace("{number}", "49170111")
    }

    fn needs(&self, word: &str) -> bool {
        self.needs.iter().any(|need| need == word)
    }
}

#[tokio::test]
async fn only_health_is_public_and_metrics_have_a_token_of_their_own() {
    let public: Vec<String> =
        operations().into_iter().filter(|o| o.needs.is_empty()).map(|o| o.path).collect();
    // The calls of providers are signed instead.
    let (ingress, public): (Vec<String>, Vec<String>) =
        public.into_iter().partition(|path| path.starts_with("/api/ingress/"));
    assert_eq!(ingress.len(), 5, "one for each method");
    assert_eq!(
        public,
        [
            "/api/health",
            "/api/health/live",
            "/api/health/ready",
            "/api/infra/health",
            "/api/metrics"
        ]
    );
}

#[tokio::test]
async fn every_route_refuses_a_missing_key_and_an_unknown_one() {
    let app = App::start().await;
    let session = app.new_session("bakery").await;
    for operation in operations().iter().filter(|o| !o.needs.is_empty()) {
        let path = operation.concrete(&session);
        let about = format!("{} {path}", operation.method);
        let answer = app.ask(&operation.method, &path).send().await;
        assert_eq!(
            answer.expect(401),
            refused(401, "Unauthorized", "API key is required"),
            "{about}"
        );
        let answer = app.ask(&operation.method, &path).key("owa_k1_wrong").send().await;
        assert_eq!(answer.expect(401), refused(401, "Unauthorized", "Invalid API key"), "{about}");
        // A key in the query is not a key.
        let answer =
            app.ask(&operation.method, &format!("{path}?apiKey={}", app.admin)).send().await;
        answer.expect(401);
    }
}

#[tokio::test]
async fn every_route_refuses_the_next_weaker_role() {
    let app = App::start().await;
    let session = app.new_session("bakery").await;
    let viewer = app.new_key(json!({ "name": "viewer", "role": "viewer" })).await;
    let operator = app.new_key(json!({ "name": "operator", "role": "operator" })).await;
    for operation in operations() {
        let (weaker, role) = if operation.needs("admin") {
            (&operator, "admin")
        } else if operation.needs("operator") {
            (&viewer, "operator")
        } else {
            assert!(operation.needs("viewer") || operation.needs.is_empty(), "{}", operation.path);
            continue;
        };
        let path = operation.concrete(&session);
        let answer = app.ask(&operation.method, &path).key(&weaker.text).send().await;
        let sentence = format!("Insufficient permissions. Required: {role}");
        assert_eq!(
            answer.expect(403),
            refused(403, "Forbidden", &sentence),
            "{} {path}",
            operation.method
        );
    }
    assert_eq!(app.get(&format!("/api/sessions/{session}")).await["name"], "bakery");
}

#[tokio::test]
async fn every_route_lets_the_least_role_in() {
    for role in ["viewer", "operator", "admin"] {
        // Each role on its own app: some routes delete what others need.
        let app = App::start().await;
        let key = app.new_key(json!({ "name": "caller", "role": role })).await;
        // A stream of events has no end to wait for; its own tests open it.
        for operation in operations().iter().filter(|o| o.needs(role) && o.path != "/api/events") {
            let path = operation.concrete("00000000-0000-4000-8000-000000000001");
            let status = app.ask(&operation.method, &path).key(&key.text).send().await.status;
            assert!(!matches!(status, 401 | 403 | 500), "{} {path}: {status}", operation.method);
        }
    }
}

#[tokio::test]
async fn a_session_scoped_key_stays_on_its_sessions() {
    let app = App::start().await;
    let own = app.new_session("own").await;
    let other = app.new_session("other").await;
    let scoped = |role| json!({ "name": "scoped", "role": role, "allowedSessions": [own] });
    let admin = app.new_key(scoped("admin")).await;
    let operator = app.new_key(scoped("operator")).await;
    for operation in operations().iter().filter(|o| o.path.contains("{sessionId}")) {
        for session in [other.as_str(), "not-an-id"] {
            let path = operation.concrete(session);
            let answer = app.ask(&operation.method, &path).key(&admin.text).send().await;
            let sentence = "API key not authorized for this session";
            assert_eq!(
                answer.expect(403),
                refused(403, "Forbidden", sentence),
                "{} {path}",
                operation.method
            );
        }
    }
    for operation in operations().iter().filter(|o| o.needs("unscoped")) {
        let path = operation.concrete(&own);
        let answer = app.ask(&operation.method, &path).key(&admin.text).send().await;
        let sentence = "Session-scoped API keys are not permitted on this route";
        assert_eq!(
            answer.expect(403),
            refused(403, "Forbidden", sentence),
            "{} {path}",
            operation.method
        );
    }
    // The role is checked before the fence.
    let answer = app.ask("GET", "/api/auth/api-keys").key(&operator.text).send().await;
    assert_eq!(answer.expect(403)["message"], "Insufficient permissions. Required: admin");
    app.ask("GET", &format!("/api/sessions/{own}")).key(&operator.text).send().await.expect(200);
}

#[tokio::test]
async fn lists_show_a_scoped_key_its_sessions_only() {
    let app = App::start().await;
    let own = app.new_session("own").await;
    let other = app.new_session("other").await;
    for session in [&own, &other] {
        app.post(
            &format!("/api/sessions/{session}/webhooks"),
            json!({ "url": app.hook_url() }),
            201,
        )
        .await;
    }
    let gone = "00000000-0000-4000-8000-000000000001";
    let key = app.new_key(json!({ "name": "scoped", "allowedSessions": [own, gone] })).await;
    let see = async |path: &str| app.ask("GET", path).key(&key.text).send().await.expect(200);
    let ids = |list: &Value, field: &str| -> Vec<String> {
        list.as_array().unwrap().iter().map(|row| row[field].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&see("/api/sessions").await, "id"), [own.as_str()]);
    assert_eq!(see("/api/sessions?name=other").await, json!([]));
    assert_eq!(see("/api/sessions?limit=1&offset=1").await, json!([]));
    assert_eq!(ids(&see("/api/webhooks").await, "sessionId"), [own.as_str()]);
    assert_eq!(see("/api/sessions/stats/overview").await["total"], 1);
    assert_eq!(app.get("/api/sessions/stats/overview").await["total"], 2);
    assert_eq!(ids(&app.get("/api/webhooks").await, "sessionId"), [other, own]);
}

fn in_chats(key: Value) -> Value {
    let mut key = key;
    key["allowedChats"] = json!(["49170111", "120363041@g.us"]);
    key
}

#[tokio::test]
async fn a_chat_restricted_key_reaches_chat_routes_only() {
    let app = App::start().await;
    let session = app.new_session("bakery").await;
    let key = app.new_key(in_chats(json!({ "name": "chats", "role": "admin" }))).await;
    for operation in operations().iter().filter(|o| !o.needs("chat") && !o.needs.is_empty()) {
        let path = operation.concrete(&session);
        let answer = app.ask(&operation.method, &path).key(&key.text).send().await;
        let sentence = "API key is restricted to selected chats";
        assert_eq!(
            answer.expect(403),
            refused(403, "Forbidden", sentence),
            "{} {path}",
            operation.method
        );
    }
}

#[tokio::test]
async fn a_chat_restricted_key_may_name_its_chats_only() {
    let app = App::start().await;
    let session = app.new_session("bakery").await;
    let key = app.new_key(in_chats(json!({ "name": "chats" }))).await;
    let Key { text: key, .. } = key;
    let list = async |query: &str| {
        app.ask("GET", &format!("/api/sessions/{session}/messages{query}")).key(&key).send().await
    };
    list("?chatId=49170111@c.us").await.expect(200);
    list("?chatId=49170111%40s.whatsapp.net").await.expect(200);
    assert_eq!(list("").await.expect(403)["message"], "API key is restricted to selected chats");
    let twice = "?chatId=49170111@c.us&chatId=49170222@c.us";
    assert_eq!(list(twice).await.expect(403)["message"], "API key is restricted to selected chats");
    for query in ["?chatId=49170222@c.us", "?chatId=nonsense"] {
        assert_eq!(
            list(query).await.expect(403)["message"],
            "API key not authorized for this chat"
        );
    }
    let send = async |body: Value| {
        let path = format!("/api/sessions/{session}/messages/send-text");
        app.ask("POST", &path).key(&key).json(&body).send().await
    };
    // Not started: the key was let through.
    let own = json!({ "chatId": "+49170111", "text": "hi" });
    assert_eq!(send(own).await.expect(400)["message"], "Session is not started");
    let other = json!({ "chatId": "49170222@c.us", "text": 7, "foo": 1 });
    assert_eq!(send(other).await.expect(403)["message"], "API key not authorized for this chat");
    let quoting = json!({ "chatId": "49170111@c.us", "text": "hi", "quotedMessageId": "3EB0" });
    assert_eq!(
        send(quoting).await.expect(403)["message"],
        "API key is restricted to selected chats"
    );
    // Nothing is named: the body is what is wrong.
    send(json!({ "text": "hi" })).await.expect(400);
}

#[tokio::test]
async fn a_key_is_bound_to_its_addresses() {
    let app = App::start().await;
    let key = app
        .new_key(json!({ "name": "office", "allowedIps": ["203.0.113.0/24", "198.51.100.7"] }))
        .await;
    let from = async |peer: Option<&str>, forwarded: Option<&str>| {
        let mut ask = app.ask("GET", "/api/sessions").key(&key.text).peer(peer);
        if let Some(forwarded) = forwarded {
            ask = ask.header("x-forwarded-for", forwarded);
        }
        ask.send().await
    };
    from(Some("203.0.113.9"), None).await.expect(200);
    from(Some("198.51.100.7"), None).await.expect(200);
    let answer = from(Some("198.51.100.8"), Some("203.0.113.9")).await;
    assert_eq!(answer.expect(403)["message"], "IP address not allowed");
    // The test's options trust this one proxy.
    from(Some("10.9.8.7"), Some("6.6.6.6, 203.0.113.9")).await.expect(200);
    let answer = from(None, None).await;
    assert_eq!(answer.expect(403)["message"], "Client IP could not be determined");
}

#[tokio::test]
async fn a_key_comes_in_either_header() {
    let app = App::start().await;
    let bearer = format!("Bearer {}", app.admin);
    app.ask("GET", "/api/sessions").header("authorization", &bearer).send().await.expect(200);
    let both = app.ask("GET", "/api/sessions").key("wrong").header("authorization", &bearer);
    assert_eq!(both.send().await.expect(401)["message"], "Invalid API key");
}
