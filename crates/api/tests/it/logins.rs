//! Browsers log in with a key or a link, and are let in by a cookie.

use std::time::Duration;

use api::RateOptions;
use axum::body::Body;
use http_body_util::BodyExt as _;
use serde_json::json;

use crate::app::{Answer, App, refused};

const SESSION: &str = "/api/auth/session";

/// The cookie that an answer sets, as a browser sends it back.
fn cookie(answer: &Answer) -> String {
    let set = answer.headers["set-cookie"].to_str().unwrap();
    set.split(';').next().unwrap().to_owned()
}

async fn log_in(app: &App, key: &str) -> String {
    let answer = app.ask("POST", SESSION).json(&json!({ "apiKey": key })).send().await;
    answer.expect(201);
    cookie(&answer)
}

#[tokio::test]
async fn a_key_becomes_a_cookie_that_does_what_the_key_does() {
    let app = App::start().await;
    let key = app.new_key(json!({ "name": "till", "role": "viewer" })).await;
    let answer = app.ask("POST", SESSION).json(&json!({ "apiKey": key.text })).send().await;
    let body = answer.expect(201);
    assert_eq!((&body["name"], &body["role"]), (&json!("till"), &json!("viewer")));
    assert_eq!((&body["apiKeyId"], &body["version"]), (&json!(key.id), &json!("9.9.9-test")));
    let set = answer.headers["set-cookie"].to_str().unwrap();
    assert!(set.ends_with("; Path=/; Max-Age=604800; HttpOnly; SameSite=Strict"), "{set}");
    assert!(!set.contains(&key.text), "the browser does not keep the key");

    let cookie = cookie(&answer);
    let ask = |method: &str, path: &str| app.ask(method, path).header("cookie", &cookie);
    assert_eq!(ask("GET", SESSION).send().await.expect(200), body);
    ask("GET", "/api/sessions").send().await.expect(200);
    let create = ask("POST", "/api/sessions").header("sec-fetch-site", "same-origin");
    let answer = create.json(&json!({ "name": "bakery" })).send().await;
    let sentence = "Insufficient permissions. Required: operator";
    assert_eq!(answer.expect(403), refused(403, "Forbidden", sentence));
    // A key that is shown goes before the cookie.
    let both = ask("GET", SESSION).admin().send().await.expect(200);
    assert_eq!((&both["role"], &both["expiresAt"]), (&json!("admin"), &json!(null)));
}

#[tokio::test]
async fn changes_by_cookie_come_from_a_page_of_this_host() {
    let app = App::start().await;
    let cookie = log_in(&app, &app.admin.clone()).await;
    let create = |name: &str, headers: &[(&str, &str)]| {
        let mut ask = app.ask("POST", "/api/sessions").header("cookie", &cookie);
        for (name, value) in headers {
            ask = ask.header(name, value);
        }
        ask.json(&json!({ "name": name })).send()
    };
    let before = app.stored().await;
    for headers in [
        &[][..],
        &[("host", "gate.example")],
        &[("origin", "http://evil.example"), ("host", "gate.example")],
        &[("origin", "http://gate.example:81"), ("host", "gate.example")],
        &[
            ("sec-fetch-site", "cross-site"),
            ("origin", "http://gate.example"),
            ("host", "gate.example"),
        ],
        &[("sec-fetch-site", "same-site")],
    ] {
        let sentence = "The request does not come from this dashboard";
        let answer = create("bakery", headers).await;
        assert_eq!(answer.expect(403), refused(403, "Forbidden", sentence), "{headers:?}");
    }
    assert_eq!(app.stored().await, before);
    create("one", &[("sec-fetch-site", "same-origin")]).await.expect(201);
    create("two", &[("origin", "http://gate.example"), ("host", "gate.example")]).await.expect(201);
    // A key is not sent by a browser on its own: it needs no page.
    app.post("/api/sessions", json!({ "name": "three" }), 201).await;
    // Nor does another site log a browser in.
    let forged = app.ask("POST", SESSION).header("origin", "http://evil.example");
    forged.json(&json!({ "apiKey": app.admin })).send().await.expect(403);
}

#[tokio::test]
async fn a_login_ends_with_its_key_its_time_or_by_itself() {
    let app = App::start().await;
    let get =
        async |cookie: &str| app.ask("GET", "/api/sessions").header("cookie", cookie).send().await;
    let over = refused(401, "Unauthorized", "Login is over");

    let key = app.new_key(json!({ "name": "revoked" })).await;
    let login = log_in(&app, &key.text).await;
    get(&login).await.expect(200);
    app.post(&format!("/api/auth/api-keys/{}/revoke", key.id), json!({}), 200).await;
    assert_eq!(get(&login).await.expect(401)["message"], "API key is revoked");
    app.ask("DELETE", &format!("/api/auth/api-keys/{}", key.id)).admin().send().await.expect(204);
    assert_eq!(get(&login).await.expect(401), over);

    let key = app.new_key(json!({ "name": "weaker", "role": "operator" })).await;
    let login = log_in(&app, &key.text).await;
    let path = format!("/api/auth/api-keys/{}", key.id);
    let weaker = json!({ "role": "viewer" });
    app.ask("PUT", &path).admin().json(&weaker).send().await.expect(200);
    let who = app.ask("GET", SESSION).header("cookie", &login).send().await.expect(200);
    assert_eq!(who["role"], "viewer", "the rights are those of the key now");

    let out = app.ask("DELETE", SESSION).header("cookie", &login);
    let answer = out.header("sec-fetch-site", "same-origin").send().await;
    answer.expect(204);
    assert!(
        answer.headers["set-cookie"]
            .to_str()
            .unwrap()
            .contains("waypost_session=; Path=/; Max-Age=0")
    );
    assert_eq!(get(&login).await.expect(401), over);

    let login = log_in(&app, &key.text).await;
    app.advance(Duration::from_secs(7 * 86_400 - 1));
    get(&login).await.expect(200);
    app.advance(Duration::from_secs(1));
    assert_eq!(get(&login).await.expect(401), over);
}

#[tokio::test]
async fn a_link_lets_one_browser_in_once() {
    let app = App::start().await;
    let key = app.new_key(json!({ "name": "owner", "role": "operator" })).await;
    let link = async || {
        let answer = app.ask("POST", "/api/auth/session/link").key(&key.text).send().await;
        answer.expect(201)["token"].as_str().unwrap().to_owned()
    };
    let redeem = |token: &str| app.ask("POST", SESSION).json(&json!({ "token": token })).send();
    let token = link().await;
    // It is no login itself.
    let cookie_of = format!("waypost_session={token}");
    app.ask("GET", SESSION).header("cookie", &cookie_of).send().await.expect(401);
    let answer = redeem(&token).await;
    assert_eq!(answer.expect(201)["name"], "owner");
    app.ask("GET", "/api/sessions").header("cookie", &cookie(&answer)).send().await.expect(200);
    let over = refused(401, "Unauthorized", "Login is over");
    assert_eq!(redeem(&token).await.expect(401), over);
    let late = link().await;
    app.advance(Duration::from_secs(600));
    assert_eq!(redeem(&late).await.expect(401), over);
    assert_eq!(redeem("made up").await.expect(401), over);
}

#[tokio::test]
async fn a_link_together_with_a_key_is_refused_and_stays() {
    let app = App::start().await;
    let link = app.post("/api/auth/session/link", json!({}), 201).await;
    let (token, key) = (&link["token"], app.admin.clone());
    let expected = json!({
        "statusCode": 400, "message": ["token cannot be combined with a key"], "error": "Bad Request"
    });
    let both = app.ask("POST", SESSION).json(&json!({ "token": token, "apiKey": key }));
    assert_eq!(both.send().await.expect(400), expected);
    let both = app.ask("POST", SESSION).key(&key).json(&json!({ "token": token }));
    assert_eq!(both.send().await.expect(400), expected);
    app.ask("POST", SESSION).json(&json!({ "token": token })).send().await.expect(201);
}

#[tokio::test]
async fn wrong_tries_are_counted_and_a_stale_cookie_does_not_lock_its_owner_out() {
    let app = App::with(|options| {
        options.rates = RateOptions { wrong_keys: 3, ..RateOptions::off() };
    })
    .await;
    let stale = "waypost_session=0123456789";
    for _ in 0..3 {
        app.ask("GET", SESSION).header("cookie", stale).send().await.expect(401);
    }
    app.ask("GET", SESSION).header("cookie", stale).send().await.expect(429);
    let login = log_in(&app, &app.admin.clone()).await;
    app.ask("GET", SESSION).header("cookie", &login).send().await.expect(200);
    let guess = |key: &str| app.ask("POST", SESSION).json(&json!({ "apiKey": key })).send();
    for number in 0..3 {
        guess(&format!("guess {number}")).await.expect(401);
    }
    guess("guess 3").await.expect(429);
}

#[tokio::test]
async fn the_cookie_follows_the_proxy_that_is_trusted() {
    let app = App::start().await;
    let body = json!({ "apiKey": app.admin });
    let set = async |peer: &str, headers: &[(&str, &str)]| {
        let mut ask = app.ask("POST", SESSION).peer(Some(peer)).json(&body);
        for (name, value) in headers {
            ask = ask.header(name, value);
        }
        ask.send().await.headers["set-cookie"].to_str().unwrap().to_owned()
    };
    let proxied = [("x-forwarded-prefix", "/way/"), ("x-forwarded-proto", "https")];
    let trusted = set("10.9.8.7", &proxied).await;
    assert!(trusted.contains("; Path=/way/;") && trusted.ends_with("; Secure"), "{trusted}");
    let stranger = set("192.0.2.1", &proxied).await;
    assert!(stranger.contains("; Path=/;") && !stranger.contains("Secure"), "{stranger}");
    let odd = set("10.9.8.7", &[("x-forwarded-prefix", "/a; Domain=example")]).await;
    assert!(odd.contains("; Path=/;"), "{odd}");
}

#[tokio::test]
async fn logins_are_audited_without_their_texts() {
    let app = App::start().await;
    let login = log_in(&app, &app.admin.clone()).await;
    let audit = app.get("/api/audit?action=logged_in").await;
    assert_eq!(audit["data"][0]["apiKeyName"], "First admin key");
    let text = login.split_once('=').unwrap().1;
    assert!(!app.get("/api/audit").await.to_string().contains(text));
}

/// The live events of a browser, once they have begun.
async fn live(app: &App, cookie: &str) -> Body {
    let answer = app.ask("GET", "/api/events").header("cookie", cookie).open().await;
    assert_eq!(answer.status(), 200);
    let mut stream = answer.into_body();
    let first = stream.frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(String::from_utf8_lossy(&first).contains("event: ready"));
    stream
}

/// It tells nothing more; a sign of life may be on its way.
async fn ends(stream: &mut Body) {
    let next = async |stream: &mut Body| {
        let next = tokio::time::timeout(Duration::from_secs(10), stream.frame()).await;
        next.expect("the stream goes on").map(|frame| frame.unwrap().into_data().unwrap())
    };
    while let Some(told) = next(stream).await {
        assert!(told.starts_with(b": alive"), "{}", String::from_utf8_lossy(&told));
    }
}

async fn goes_on(stream: &mut Body) {
    while let Ok(frame) = tokio::time::timeout(Duration::from_millis(200), stream.frame()).await {
        assert!(frame.is_some(), "the stream ended");
    }
}

async fn hears(stream: &mut Body, text: &str) {
    loop {
        let frame = tokio::time::timeout(Duration::from_secs(10), stream.frame()).await.unwrap();
        let told = frame.expect("the stream ended").unwrap().into_data().unwrap();
        if String::from_utf8_lossy(&told).contains(text) {
            return;
        }
    }
}

#[tokio::test]
async fn the_live_events_of_a_browser_end_with_its_login() {
    let app = App::start().await;
    let key = app.new_key(json!({ "name": "till", "role": "viewer" })).await;
    let (one, two) = (log_in(&app, &key.text).await, log_in(&app, &key.text).await);
    let (mut first, mut second) = (live(&app, &one).await, live(&app, &two).await);
    let out = app.ask("DELETE", SESSION).header("cookie", &one);
    out.header("sec-fetch-site", "same-origin").send().await.expect(204);
    ends(&mut first).await;
    goes_on(&mut second).await;
    app.advance(Duration::from_secs(7 * 86_400));
    ends(&mut second).await;
}

#[tokio::test]
async fn when_all_keys_are_revoked_the_other_browsers_of_the_callers_key_hear_no_more() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let admin = app.admin.clone();
    let (own, other) = (log_in(&app, &admin).await, log_in(&app, &admin).await);
    let (mut mine, mut theirs) = (live(&app, &own).await, live(&app, &other).await);
    goes_on(&mut theirs).await;
    let waiting = app.ask("GET", "/api/events/pull?wait=30").header("cookie", &other).send();
    let (pulled, ()) = tokio::join!(waiting, async {
        app.reader_waits(Duration::from_secs(30)).await;
        let ask = app.ask("POST", "/api/auth/api-keys/revoke-all").header("cookie", &own);
        ask.header("sec-fetch-site", "same-origin").send().await.expect(200);
        ends(&mut theirs).await;
        goes_on(&mut mine).await;
        app.hear_text(&session, 1, 1).await;
    });
    pulled.expect(401);
    hears(&mut mine, "text 1").await;
}

#[tokio::test]
async fn a_logout_at_another_process_is_seen_within_a_second() {
    let app = App::start().await;
    let login = log_in(&app, &app.admin.clone()).await;
    let mut stream = live(&app, &login).await;
    goes_on(&mut stream).await;
    let neighbour = app.neighbour(|_| {}).await;
    let out = app.ask_of(&neighbour, "DELETE", SESSION).header("cookie", &login);
    out.header("sec-fetch-site", "same-origin").send().await.expect(204);
    app.advance(Duration::from_secs(1));
    ends(&mut stream).await;
    neighbour.gateway.shutdown().await;
}
