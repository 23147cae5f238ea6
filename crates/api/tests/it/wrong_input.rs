//! Wrong input gets OpenWA's status and shape, and nothing is stored.

use serde_json::{Value, json};

use crate::app::{App, Ask, refused};

/// Sends each wrong request and holds that the store did not change.
async fn unchanged(app: &App, wrong: Vec<(Ask<'_>, u16, Value)>) {
    let before = app.stored().await;
    for (ask, status, expected) in wrong {
        let about = ask.about();
        let answer = ask.send().await;
        assert_eq!((answer.status, answer.json()), (status, expected), "{about}");
        assert_eq!(app.stored().await, before, "{about} changed the store");
    }
}

fn problems(messages: &[&str]) -> Value {
    json!({ "statusCode": 400, "message": messages, "error": "Bad Request" })
}

fn bad_request(sentence: &str) -> Value {
    refused(400, "Bad Request", sentence)
}

#[tokio::test]
async fn wrong_sends_change_nothing() {
    let app = App::start().await;
    let session = app.new_session("bakery").await;
    let path = format!("/api/sessions/{session}/messages/send-text");
    let send = |body: Value| app.ask("POST", &path).admin().json(&body);
    let good = |extra: Value| {
        let mut body = json!({ "chatId": "49170111@c.us", "text": "hi" });
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        body
    };
    let preview = json!({ "url": "https://shop.example", "title": "Shop" });
    let wrong = vec![
        (send(good(json!({ "foo": 1 }))), 400, problems(&["property foo should not exist"])),
        (send(good(json!({ "text": true }))), 400, problems(&["text must be a string"])),
        (send(good(json!({ "chatId": "" }))), 400, problems(&["chatId should not be empty"])),
        (
            send(good(json!({ "chatId": "x" }))),
            400,
            problems(&["chatId must look like <phone>@c.us, <id>@g.us or <id>@lid"]),
        ),
        (
            send(good(json!({ "text": "x".repeat(4097) }))),
            400,
            problems(&["text must be shorter than or equal to 4096 characters"]),
        ),
        (
            send(good(json!({ "linkPreview": 1 }))),
            400,
            problems(&["linkPreview must be a boolean value"]),
        ),
        (
            send(good(json!({ "linkPreview": "false", "customLinkPreview": preview }))),
            400,
            bad_request("customLinkPreview cannot be combined with linkPreview: false"),
        ),
        (
            send(good(json!({ "text": "a\u{0}b" }))),
            400,
            bad_request("The request body contains a NUL character (U+0000)"),
        ),
        (
            send(good(json!({ "a\u{0}b": "text" }))),
            400,
            bad_request("The request body contains a NUL character (U+0000)"),
        ),
        // Everything is right, but the session was never started.
        (send(good(json!({ "linkPreview": true }))), 400, bad_request("Session is not started")),
        (
            app.ask("POST", &path).admin(),
            400,
            problems(&[
                "chatId should not be empty",
                "chatId must be a string",
                "text should not be empty",
                "text must be a string",
            ]),
        ),
    ];
    unchanged(&app, wrong).await;
}

#[tokio::test]
async fn unknown_and_malformed_sessions_are_not_found() {
    let app = App::start().await;
    app.new_session("bakery").await;
    let mut wrong = Vec::new();
    for id in ["00000000-0000-4000-8000-000000000001", "bakery", "49170111@c.us"] {
        let hint = match id.starts_with("0000") {
            true => "",
            false => ": the routes take a session's id, not its name",
        };
        let missing = refused(404, "Not Found", &format!("Session with id '{id}' not found{hint}"));
        let body = json!({ "chatId": "49170111@c.us", "text": "hi" });
        let ask = |method: &str, tail: &str| {
            app.ask(method, &format!("/api/sessions/{id}{tail}")).admin()
        };
        wrong.extend([
            (ask("POST", "/messages/send-text").json(&body), 404, missing.clone()),
            (ask("GET", "/messages"), 404, missing.clone()),
            (ask("GET", ""), 404, missing.clone()),
            (ask("DELETE", ""), 404, missing.clone()),
            (ask("POST", "/start"), 404, missing.clone()),
            (ask("POST", "/stop"), 404, missing.clone()),
            (ask("POST", "/logout"), 404, missing.clone()),
            (ask("POST", "/force-kill"), 404, missing.clone()),
            (ask("GET", "/qr"), 404, missing.clone()),
            (
                ask("POST", "/pairing-code").json(&json!({ "phoneNumber": "49170111" })),
                404,
                missing.clone(),
            ),
            (ask("GET", "/config"), 404, missing.clone()),
            (
                ask("PATCH", "/config").json(&json!({ "autoRejectCalls": true })),
                404,
                missing.clone(),
            ),
            (ask("GET", "/proxy"), 404, missing.clone()),
            (ask("PATCH", "/proxy").json(&json!({ "proxyUrl": null })), 404, missing.clone()),
            (ask("GET", "/webhooks"), 404, missing.clone()),
            (ask("POST", "/webhooks").json(&json!({ "url": app.hook_url() })), 404, missing),
        ]);
    }
    unchanged(&app, wrong).await;
}

#[tokio::test]
async fn bodies_that_are_no_json_objects_change_nothing() {
    let app = App::start().await;
    let post = |content_type: &str, body: &str| {
        let ask = app.ask("POST", "/api/sessions").admin().raw(body.as_bytes().to_vec());
        if content_type.is_empty() { ask } else { ask.header("content-type", content_type) }
    };
    let json_needed = bad_request("The Content-Type of the request must be application/json");
    let good = r#"{"name":"bakery"}"#;
    let wrong = vec![
        (
            post("application/json", "{"),
            400,
            bad_request(
                "The request body is not valid JSON: EOF while parsing an object at line 1 column 1",
            ),
        ),
        (
            post("application/json", "[]"),
            400,
            bad_request("The request body must be a JSON object"),
        ),
        (post("application/json", "7"), 400, bad_request("The request body must be a JSON object")),
        (post("application/x-www-form-urlencoded", "name=bakery"), 400, json_needed.clone()),
        (post("text/plain", good), 400, json_needed.clone()),
        (post("", good), 400, json_needed),
        (
            post("application/json; charset=latin1", good),
            415,
            refused(415, "Unsupported Media Type", "unsupported charset \"latin1\""),
        ),
        (
            post("application/json", good).header("content-encoding", "gzip"),
            415,
            refused(415, "Unsupported Media Type", "unsupported content encoding \"gzip\""),
        ),
        (
            app.ask("GET", "/api/sessions?name=a%00b").admin(),
            400,
            bad_request("The URL contains a NUL character (%00)"),
        ),
        (
            app.ask("GET", "/api/sessions/%FF%FE").admin(),
            400,
            bad_request("The path is not valid UTF-8"),
        ),
    ];
    unchanged(&app, wrong).await;
    post("application/json;charset=UTF-8", good).send().await.expect(201);
    post("Application/JSON", r#"{"name":"other"}"#)
        .header("content-encoding", "identity")
        .send()
        .await
        .expect(201);
}

#[tokio::test]
async fn wrong_records_change_nothing() {
    let app = App::start().await;
    let session = app.new_session("bakery").await;
    let post = |path: &str, body: Value| app.ask("POST", path).admin().json(&body);
    let patch = |tail: &str, body: Value| {
        app.ask("PATCH", &format!("/api/sessions/{session}/{tail}")).admin().json(&body)
    };
    let pair = format!("/api/sessions/{session}/pairing-code");
    let wrong = vec![
        (
            post(
                "/api/sessions",
                json!({ "name": "a b", "extra": 1, "proxyUrl": "ftp://p.example" }),
            ),
            400,
            problems(&[
                "property extra should not exist",
                "name must match /^[a-zA-Z0-9-]+$/ regular expression",
                "proxyUrl must start with http://, https:// or socks5://",
            ]),
        ),
        (
            post("/api/sessions", json!({ "name": "bakery" })),
            409,
            refused(409, "Conflict", "Session with name 'bakery' already exists"),
        ),
        (
            post("/api/auth/api-keys", json!({ "name": "x", "role": "root" })),
            400,
            problems(&[
                "name must be longer than or equal to 3 characters",
                "role must be one of the following values: admin, operator, viewer",
            ]),
        ),
        (
            post(&pair, json!({ "phoneNumber": "+49170111" })),
            400,
            problems(&["phoneNumber must match /^[0-9]{6,15}$/ regular expression"]),
        ),
        (
            patch("config", json!({ "maxReconnectAttempts": 21, "reconnectBaseDelay": 999 })),
            400,
            problems(&[
                "maxReconnectAttempts must not be greater than 20",
                "reconnectBaseDelay must not be less than 1000",
            ]),
        ),
        (
            patch("proxy", json!({ "proxyUrl": "socks4://p.example:1080" })),
            400,
            problems(&["proxyUrl must not be a socks4 proxy: socks5, http and https proxies work"]),
        ),
    ];
    unchanged(&app, wrong).await;
}

#[tokio::test]
async fn details_can_be_hidden() {
    let app = App::with(|options| options.validation_detail = false).await;
    let answer = app.ask("POST", "/api/sessions").admin().json(&json!({ "name": 1 })).send().await;
    assert_eq!(answer.expect(400), json!({ "statusCode": 400, "message": "Bad Request" }));
}

#[tokio::test]
async fn unknown_routes_look_like_expresss() {
    let app = App::start().await;
    for (method, path) in [
        ("GET", "/api/nothing"),
        ("PUT", "/api/sessions"),
        ("GET", "/nothing"),
        ("POST", "/"),
        ("PATCH", "/api/health"),
    ] {
        let answer = app.ask(method, &format!("{path}?apiKey=secret")).send().await;
        let sentence = format!("Cannot {method} {path}");
        assert_eq!(answer.expect(404), refused(404, "Not Found", &sentence));
    }
}

#[tokio::test]
async fn a_slash_at_the_end_of_a_path_means_nothing() {
    let app = App::start().await;
    let made = app.post("/api/sessions/", json!({ "name": "bakery" }), 201).await;
    let path = format!("/api/sessions/{}", made["id"].as_str().unwrap());
    assert_eq!(app.get(&format!("{path}/")).await, app.get(&path).await);
    assert_eq!(app.get("/api/sessions/?limit=1").await, app.get("/api/sessions?limit=1").await);
    app.ask("GET", "/api/sessions//").admin().send().await.expect(404);
}
