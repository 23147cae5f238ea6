//! Registering receivers.

use serde_json::{Value, json};

use crate::app::{App, refused};

async fn registered(app: &App) -> (String, Value) {
    let session = app.new_session("bakery").await;
    let body = json!({
        "url": app.hook_url(), "events": ["message.received", "*"], "secret": "0123456789abcdef",
        "headers": { "X-Shop": "7" }, "retryCount": 5, "order": "session",
        "filters": { "conditions": [{ "field": "isGroup", "operator": "is", "value": false }] }
    });
    let webhook = app.post(&format!("/api/sessions/{session}/webhooks"), body, 201).await;
    (session, webhook)
}

#[tokio::test]
async fn a_webhook_never_shows_its_secret_or_headers() {
    let app = App::start().await;
    let (session, webhook) = registered(&app).await;
    assert_eq!(
        webhook,
        json!({
            "id": webhook["id"], "sessionId": session, "url": app.hook_url(),
            "events": ["message.received", "*"],
            "filters": { "conditions": [{ "field": "isGroup", "operator": "is", "value": false }] },
            "active": true, "retryCount": 5, "order": "session", "lastTriggeredAt": null,
            "policy": {
                "attempts": 5, "schedule": [5, 10, 20, 40], "timeoutMs": 10000, "horizonHours": 72,
                "jitterPercent": 10, "ratePerSecond": null, "concurrency": null, "batchSize": 1,
                "order": "session", "signature": "v1"
            },
            "health": {
                "breaker": "closed", "openUntil": null, "failures": 0, "failingSince": null,
                "pausedAt": null, "pauseReason": null
            },
            "publicKey": null, "tlsCa": null,
            "createdAt": webhook["createdAt"], "updatedAt": webhook["updatedAt"]
        })
    );
    let path = format!("/api/sessions/{session}/webhooks");
    assert_eq!(app.get(&path).await, json!([webhook]));
    assert_eq!(app.get("/api/webhooks").await, json!([webhook]));
    assert_eq!(app.get(&format!("{path}/{}", webhook["id"].as_str().unwrap())).await, webhook);
}

#[tokio::test]
async fn defaults_are_openwas() {
    let app = App::start().await;
    let session = app.new_session("bakery").await;
    let body = json!({ "url": app.hook_url(), "secret": null, "filters": { "conditions": [] } });
    let webhook = app.post(&format!("/api/sessions/{session}/webhooks"), body, 201).await;
    assert_eq!(webhook["events"], json!(["message.received"]));
    assert_eq!((&webhook["retryCount"], &webhook["order"]), (&json!(3), &json!("chat")));
    assert_eq!(webhook["filters"], Value::Null);
}

#[tokio::test]
async fn an_update_keeps_clears_and_refuses_null() {
    let app = App::start().await;
    let (session, webhook) = registered(&app).await;
    let path = format!("/api/sessions/{session}/webhooks/{}", webhook["id"].as_str().unwrap());
    let put = async |body: Value| app.ask("PUT", &path).admin().json(&body).send().await;
    let changed = put(json!({ "active": false, "secret": "" })).await.expect(200);
    assert_eq!((&changed["active"], &changed["filters"]), (&json!(false), &webhook["filters"]));
    for cleared in [json!(null), json!({ "conditions": [] })] {
        put(json!({ "filters": webhook["filters"] })).await.expect(200);
        let changed = put(json!({ "filters": cleared })).await.expect(200);
        assert_eq!(changed["filters"], Value::Null);
    }
    for field in ["url", "events", "headers", "active", "retryCount"] {
        put(json!({ field: null })).await.expect(400);
    }
    assert_eq!(
        put(json!({ "retryCount": 6 })).await.expect(400)["message"],
        json!(["retryCount must not be greater than 5"])
    );
    assert_eq!(
        put(json!({ "secret": "short" })).await.expect(400)["message"],
        json!(["secret must be empty or longer than or equal to 16 characters"])
    );
    assert_eq!(app.get(&path).await["retryCount"], 5);
}

#[tokio::test]
async fn wrong_registrations_store_nothing() {
    let app = App::start().await;
    let session = app.new_session("bakery").await;
    let before = app.stored().await;
    let path = format!("/api/sessions/{session}/webhooks");
    let url = app.hook_url();
    for body in [
        json!({}),
        json!({ "url": "ftp://shop.example" }),
        json!({ "url": "https://ann:secret@shop.example/hook" }),
        json!({ "url": "http://10.0.0.1/hook" }),
        json!({ "url": "http://n8n:5678/hook" }),
        json!({ "url": url, "tlsCa": "no certificate" }),
        json!({ "url": url, "tlsCa": "x".repeat(16_385) }),
        json!({ "url": url, "events": [] }),
        json!({ "url": url, "events": ["message.recieved"] }),
        json!({ "url": url, "secret": "short" }),
        json!({ "url": url, "headers": { "bad name": "x" } }),
        json!({ "url": url, "headers": { "X-A": "a\r\nb" } }),
        json!({ "url": url, "headers": { "X-A": "1", "x-a": "2" } }),
        json!({ "url": url, "filters": { "conditions": [{ "field": "body", "operator": "is", "value": "x" }] } }),
        json!({ "url": url, "retryCount": "3" }),
        json!({ "url": url, "order": "random" }),
        json!({ "url": url, "active": true }),
        json!({ "url": url, "policy": { "attempts": 0 } }),
        json!({ "url": url, "policy": { "schedule": [0] } }),
        json!({ "url": url, "policy": { "colour": "red" } }),
        json!({ "url": url, "policy": { "signature": "v2" } }),
        json!({ "url": url, "events": ["message.ack"], "filters":
            { "conditions": [{ "field": "body", "operator": "contains", "value": "x" }] } }),
    ] {
        let answer = app.ask("POST", &path).admin().json(&body).send().await;
        let error = answer.expect(400);
        assert!(error["message"].is_array() && error["error"] == "Bad Request", "{body}: {error}");
        assert_eq!(app.stored().await, before, "{body}");
    }
}

#[tokio::test]
async fn a_deleted_webhook_is_gone() {
    let app = App::start().await;
    let (session, webhook) = registered(&app).await;
    let id = webhook["id"].as_str().unwrap();
    let path = format!("/api/sessions/{session}/webhooks/{id}");
    let other = app.new_session("other").await;
    let elsewhere = format!("/api/sessions/{other}/webhooks/{id}");
    let missing = refused(404, "Not Found", &format!("Webhook with id '{id}' not found"));
    assert_eq!(app.ask("GET", &elsewhere).admin().send().await.expect(404), missing);
    assert_eq!(app.ask("DELETE", &path).admin().send().await.expect(204), Value::Null);
    for method in ["GET", "DELETE"] {
        assert_eq!(app.ask(method, &path).admin().send().await.expect(404), missing);
    }
    app.ask("POST", &format!("{path}/test")).admin().send().await.expect(404);
    app.ask("GET", &format!("/api/sessions/{session}/webhooks/nonsense"))
        .admin()
        .send()
        .await
        .expect(404);
}

#[tokio::test]
async fn a_test_shows_what_the_receiver_said() {
    let app = App::start().await;
    let session = app.new_session("bakery").await;
    let test = async |status: u16| {
        let (url, requests) = app.receiver(status).await;
        let path = format!("/api/sessions/{session}/webhooks");
        let webhook = app.post(&path, json!({ "url": url }), 201).await;
        let path = format!("{path}/{}/test", webhook["id"].as_str().unwrap());
        (app.ask("POST", &path).admin().send().await.expect(200), requests)
    };
    let (good, mut requests) = test(200).await;
    assert_eq!((&good["success"], &good["statusCode"]), (&json!(true), &json!(200)));
    let request = requests.recv().await.unwrap();
    assert_eq!((&request["event"], &request["sessionId"]), (&json!("test"), &json!(session)));
    let answer = &good["answer"];
    assert_eq!((&answer["status"], &answer["excerpt"]), (&json!(200), &json!("")));
    assert!(answer["durationMs"].is_u64());
    assert_eq!(answer["headers"]["content-length"], "0");
    let (bad, _) = test(500).await;
    assert_eq!((&bad["success"], &bad["statusCode"]), (&json!(false), &json!(500)));
    assert_eq!(bad["answer"]["status"], 500);
    // Nobody listens there.
    let path = format!("/api/sessions/{session}/webhooks");
    let webhook = app.post(&path, json!({ "url": app.hook_url() }), 201).await;
    let path = format!("{path}/{}/test", webhook["id"].as_str().unwrap());
    let none = app.post(&path, json!({}), 200).await;
    assert_eq!((&none["success"], &none["answer"]), (&json!(false), &Value::Null));
}

#[tokio::test]
async fn a_test_shows_no_cookie_and_no_secret_of_a_redirect() {
    let app = App::start().await;
    let session = app.new_session("bakery").await;
    let answer = async || {
        let headers = [
            ("set-cookie", "id=secret-1; HttpOnly"),
            ("location", "https://name:secret-2@other.example/login?token=secret-3"),
        ];
        (axum::http::StatusCode::FOUND, axum::response::AppendHeaders(headers))
    };
    let address = crate::app::listen(axum::Router::new().fallback(answer)).await;
    let path = format!("/api/sessions/{session}/webhooks");
    let webhook = app.post(&path, json!({ "url": format!("http://{address}/hook") }), 201).await;
    let path = format!("{path}/{}/test", webhook["id"].as_str().unwrap());
    let told = app.post(&path, json!({}), 200).await;
    assert_eq!(told["answer"]["headers"]["set-cookie"], "***");
    let location = told["answer"]["headers"]["location"].as_str().unwrap();
    assert!(location.contains("other.example"), "{location}");
    assert!(!told.to_string().contains("secret"), "{told}");
}

#[tokio::test]
async fn what_a_test_shows_of_an_answer_is_bounded() {
    let app = App::start().await;
    let session = app.new_session("bakery").await;
    let answer = async || {
        let mut headers = axum::http::HeaderMap::new();
        headers.append("x-two", "a".parse().unwrap());
        headers.append("x-two", "b".parse().unwrap());
        headers.append("x-long", "l".repeat(1000).parse().unwrap());
        for number in 0..60 {
            let name = format!("x-{number}").parse::<axum::http::HeaderName>().unwrap();
            headers.append(name, "v".parse().unwrap());
        }
        (axum::http::StatusCode::IM_A_TEAPOT, headers, "ü".repeat(9000))
    };
    let address = crate::app::listen(axum::Router::new().fallback(answer)).await;
    let path = format!("/api/sessions/{session}/webhooks");
    let webhook = app.post(&path, json!({ "url": format!("http://{address}/hook") }), 201).await;
    let path = format!("{path}/{}/test", webhook["id"].as_str().unwrap());
    let answer = app.post(&path, json!({}), 200).await["answer"].clone();
    assert_eq!(answer["status"], 418);
    let headers = answer["headers"].as_object().unwrap();
    assert_eq!(headers.len(), 30);
    assert!(headers.values().all(|value| value.as_str().unwrap().chars().count() <= 300));
    assert_eq!(answer["excerpt"].as_str().unwrap().chars().count(), 2000);
}

#[tokio::test]
async fn without_a_retry_count_the_long_policy_holds_and_everything_can_be_chosen() {
    let app = App::start().await;
    let session = app.new_session("bakery").await;
    let path = format!("/api/sessions/{session}/webhooks");
    let plain = app.post(&path, json!({ "url": app.hook_url() }), 201).await;
    assert_eq!(plain["retryCount"], 3);
    assert_eq!(plain["policy"]["attempts"], Value::Null);
    let long = json!([5, 30, 120, 600, 1800, 3600, 7200, 14400, 28800]);
    assert_eq!(plain["policy"]["schedule"], long);
    assert_eq!(plain["policy"]["horizonHours"], 72);

    let policy = json!({
        "attempts": 9, "schedule": [1, 60], "timeoutMs": 500, "horizonHours": 2, "jitterPercent": 0,
        "ratePerSecond": 7, "concurrency": 2, "batchSize": 10, "order": "none", "signature": "v1a"
    });
    let chosen = app.post(&path, json!({ "url": app.hook_url(), "policy": policy }), 201).await;
    assert_eq!((&chosen["policy"], &chosen["order"]), (&policy, &json!("none")));
    let key = chosen["publicKey"].as_str().unwrap();
    assert!(key.starts_with("whpk_"));
    assert!(!chosen.to_string().contains("whsk_"));

    let one = format!("{path}/{}", chosen["id"].as_str().unwrap());
    let change = json!({ "policy": { "batchSize": 3, "signature": "v1a" } });
    let changed = app.ask("PUT", &one).admin().json(&change).send().await.expect(200);
    assert_eq!(changed["policy"]["batchSize"], 3);
    assert_eq!(changed["policy"]["attempts"], Value::Null, "replaced as a whole");
    assert_eq!(changed["publicKey"], key, "the key stays");
    let change = json!({ "retryCount": 2 });
    let changed = app.ask("PUT", &one).admin().json(&change).send().await.expect(200);
    assert_eq!(changed["policy"]["attempts"], 2);
}

#[tokio::test]
async fn a_webhook_is_paused_and_resumed() {
    let app = App::start().await;
    let session = app.new_session("bakery").await;
    let path = format!("/api/sessions/{session}/webhooks");
    let webhook = app.post(&path, json!({ "url": app.hook_url() }), 201).await;
    let one = format!("{path}/{}", webhook["id"].as_str().unwrap());
    let post = async |what: &str| {
        app.ask("POST", &format!("{one}/{what}")).admin().send().await.expect(200)
    };
    let paused = post("pause").await;
    assert_eq!(paused["health"]["pauseReason"], "requested");
    assert!(paused["active"].as_bool().unwrap(), "it goes on recording");
    assert_eq!(post("resume").await["health"]["pausedAt"], Value::Null);
    post("pause").await;
    let active = json!({ "active": true });
    let resumed = app.ask("PUT", &one).admin().json(&active).send().await.expect(200);
    assert_eq!(resumed["health"]["pausedAt"], Value::Null);
}

#[tokio::test]
async fn a_url_that_leads_to_another_host_asks_for_headers_and_secret_again() {
    let app = App::start().await;
    let session = app.new_session("bakery").await;
    let path = format!("/api/sessions/{session}/webhooks");
    let secret = "0123456789abcdef";
    let body = json!({
        "url": "http://127.0.0.1:9/hook", "secret": secret,
        "headers": { "Authorization": "Bearer SHOP-SECRET" }
    });
    let webhook = app.post(&path, body, 201).await;
    let path = format!("{path}/{}", webhook["id"].as_str().unwrap());
    let put = async |change: Value, status: u16| {
        app.ask("PUT", &path).admin().json(&change).send().await.expect(status)
    };
    // Another path of the same host is the same receiver.
    put(json!({ "url": "http://127.0.0.1:9/other" }), 200).await;
    let elsewhere = "http://127.0.0.1:10/steal";
    let answer = put(json!({ "url": elsewhere }), 400).await;
    assert!(answer["message"][0].as_str().unwrap().contains("must be sent again"), "{answer}");
    put(json!({ "url": elsewhere, "headers": {} }), 400).await;
    put(json!({ "url": elsewhere, "secret": null }), 400).await;
    assert_eq!(app.get(&path).await["url"], "http://127.0.0.1:9/other");
    put(json!({ "url": elsewhere, "headers": {}, "secret": null }), 200).await;
    // Without anything secret the way is free.
    put(json!({ "url": "http://127.0.0.1:9/hook" }), 200).await;
}

#[tokio::test]
async fn a_url_is_stored_without_what_a_parser_skips() {
    let app = App::start().await;
    let session = app.new_session("bakery").await;
    let path = format!("/api/sessions/{session}/webhooks");
    let webhook = app.post(&path, json!({ "url": "http://127.0.0.1:9/a\r\nb\tc" }), 201).await;
    assert_eq!(webhook["url"], "http://127.0.0.1:9/abc");
}
