//! Requests about a session that another process runs: two processes on one ledger, and processes that follow a script.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::Request,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
};
use domain::{
    SessionId,
    hop::{self, Hop, HopKey},
    port::SessionStore,
};
use gateway::PeerOptions;
use serde_json::{Value, json};
use testkit::{OnSend, START};
use tokio::{io::AsyncReadExt as _, net::TcpListener};

use crate::app::{App, Neighbour, listen, refused};

const TEXT: &str = r#"{"chatId":"49170111@c.us","text":"hi"}"#;
/// Of processes that follow a script.
const LIMIT: Duration = Duration::from_millis(400);

fn key() -> HopKey {
    HopKey::derive(&[9; 32])
}

fn peers(url: &str, answer_limit: Duration) -> PeerOptions {
    PeerOptions { url: url.parse().unwrap(), key: key(), answer_limit }
}

/// A process `waypost`, which is served, and its neighbour, which is asked; a session that the first one runs.
struct Pair {
    app: App,
    other: Neighbour,
    session: String,
}

impl Pair {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let minute = Duration::from_secs(60);
        let app = Box::pin(App::tuned(|options| options.peers = Some(peers(&url, minute)))).await;
        app.serve_on(listener);
        let session = app.ready_session("bakery").await;
        let nowhere = "http://127.0.0.1:9";
        let other = app.neighbour(|options| options.peers = Some(peers(nowhere, minute)));
        let other = Box::pin(other).await;
        Self { app, other, session }
    }

    fn path(&self, rest: &str) -> String {
        format!("/api/sessions/{}{rest}", self.session)
    }

    fn send(&self, key: &str) -> crate::app::Ask<'_> {
        let path = self.path("/messages/send-text");
        let ask = self.app.ask_of(&self.other, "POST", &path).key(key);
        ask.header("content-type", "application/json").raw(TEXT.into())
    }
}

#[tokio::test]
async fn a_send_by_way_of_another_process_arrives_once() {
    let pair = Pair::start().await;
    let answer = pair.send(&pair.app.admin).header("idempotency-key", "order-1").send().await;
    let body = answer.expect(201);
    assert_eq!(body["status"], "sent");
    assert_eq!(answer.headers["content-type"], "application/json");
    let again = pair.send(&pair.app.admin).header("idempotency-key", "order-1").send().await;
    assert_eq!(again.expect(201)["messageId"], body["messageId"], "the key went along");
    assert_eq!(pair.app.whatsapp.sent().len(), 1);
    let wrong = pair.send(&pair.app.admin).raw(b"{}".to_vec()).send().await;
    let direct = pair.app.ask("POST", &pair.path("/messages/send-text")).admin();
    let direct = direct.json(&json!({})).send().await;
    assert_eq!(wrong.expect(400), direct.expect(400), "as the session's own process says it");
}

#[tokio::test]
async fn what_a_session_is_doing_is_said_and_changed_everywhere() {
    let pair = Pair::start().await;
    let see = async |path: &str| {
        pair.app.ask_of(&pair.other, "GET", path).admin().send().await.expect(200)
    };
    assert_eq!(see(&pair.path("")).await["engineLoaded"], true);
    assert_eq!(see("/api/sessions").await[0]["engineLoaded"], true);
    assert_eq!(see("/api/sessions/stats/overview").await["active"], 1);
    let number = see(&pair.path("/contacts/check/49170111")).await;
    assert_eq!(number["number"], "49170111");
    let stop = pair.app.ask_of(&pair.other, "POST", &pair.path("/stop")).admin();
    assert_eq!(stop.send().await.expect(200)["engineLoaded"], false);
    assert!(pair.app.whatsapp.connection(pair.session.parse().unwrap()).is_closed());
    // Nobody runs it: whoever is asked begins.
    let start = pair.app.ask_of(&pair.other, "POST", &pair.path("/start")).admin();
    start.send().await.expect(200);
    let id: SessionId = pair.session.parse().unwrap();
    let holder =
        pair.app.store.session_holder(id, START.plus(Duration::from_secs(9))).await.unwrap();
    assert_eq!(holder.unwrap().owner, "neighbour");
    // And is asked by way of the first one, which finds nobody at that address.
    let qr = pair.app.ask("GET", &pair.path("/qr")).admin().send().await;
    assert_eq!(qr.expect(503)["code"], "SESSION_NODE_UNREACHABLE");
}

#[tokio::test]
async fn an_action_is_audited_once_with_the_callers_address() {
    let pair = Pair::start().await;
    let stop = pair.app.ask_of(&pair.other, "POST", &pair.path("/stop")).admin();
    stop.peer(Some("203.0.113.9")).send().await.expect(200);
    let audit = pair.app.get("/api/audit?action=session_stopped").await;
    assert_eq!(audit["total"], 1);
    assert_eq!(audit["data"][0]["ipAddress"], "203.0.113.9");
}

#[tokio::test]
async fn the_key_and_the_callers_own_address_count_at_both_ends() {
    let pair = Pair::start().await;
    let office = json!({ "name": "office", "role": "operator", "allowedIps": ["203.0.113.0/24"] });
    let office = pair.app.new_key(office).await;
    pair.send(&office.text).peer(Some("203.0.113.9")).send().await.expect(201);
    let stranger = pair.send(&office.text).peer(Some("198.51.100.8"));
    let stranger = stranger.header("x-forwarded-for", "203.0.113.9").send().await;
    assert_eq!(stranger.expect(403)["message"], "IP address not allowed");
    // By way of a proxy that is trusted.
    let proxied = pair.send(&office.text).peer(Some("10.9.8.7"));
    proxied.header("x-forwarded-for", "203.0.113.9").send().await.expect(201);
    let viewer = pair.app.new_key(json!({ "name": "eyes", "role": "viewer" })).await;
    pair.send(&viewer.text).send().await.expect(403);
    pair.send("no key at all").send().await.expect(401);
    let elsewhere = json!({ "name": "other", "allowedSessions": [uuid(8)] });
    let elsewhere = pair.app.new_key(elsewhere).await;
    pair.send(&elsewhere.text).send().await.expect(403);
    assert_eq!(pair.app.whatsapp.sent().len(), 2);
}

fn uuid(number: u128) -> String {
    SessionId::from_uuid(uuid::Uuid::from_u128(number)).to_string()
}

/// A request as another process would hand it over.
fn sealed(pair: &Pair, credential: &str, change: impl FnOnce(&mut Hop)) -> String {
    let target = pair.path("/messages/send-text");
    let request =
        hop::Request { method: "POST", target: &target, credential: credential.as_bytes() };
    let now = domain::Clock::now(&pair.app.clock);
    let client = Some("203.0.113.9".parse().unwrap());
    let mut hop = Hop { to: "waypost".into(), client, at: now, nonce: [3; 16] };
    change(&mut hop);
    key().seal(&request, &hop)
}

async fn hand(pair: &Pair, credential: &str, seal: &str) -> crate::app::Answer {
    let ask = pair.app.ask("POST", &pair.path("/messages/send-text")).key(credential);
    let ask = ask.header("content-type", "application/json").raw(TEXT.into());
    ask.header("waypost-hop", seal).send().await
}

#[tokio::test]
async fn a_handed_over_request_is_checked_as_if_its_caller_had_come() {
    let pair = Pair::start().await;
    let office = json!({ "name": "office", "allowedIps": ["203.0.113.0/24"] });
    let office = pair.app.new_key(office).await;
    hand(&pair, &office.text, &sealed(&pair, &office.text, |_| {})).await.expect(201);
    let from_elsewhere = sealed(&pair, &office.text, |hop| {
        (hop.client, hop.nonce) = ("198.51.100.8".parse().ok(), [4; 16]);
    });
    let answer = hand(&pair, &office.text, &from_elsewhere).await;
    assert_eq!(answer.expect(403)["message"], "IP address not allowed");
    pair.app.post(&format!("/api/auth/api-keys/{}/revoke", office.id), Value::Null, 200).await;
    let revoked = sealed(&pair, &office.text, |hop| hop.nonce = [5; 16]);
    hand(&pair, &office.text, &revoked).await.expect(401);
    pair.send(&office.text).peer(Some("203.0.113.9")).send().await.expect(401);
    assert_eq!(pair.app.whatsapp.sent().len(), 1);
}

#[tokio::test]
async fn what_only_says_that_it_was_handed_over_is_refused() {
    let pair = Pair::start().await;
    let admin = pair.app.admin.clone();
    let expected = refused(403, "Forbidden", "Forwarded request refused");
    let stranger = HopKey::derive(&[8; 32]);
    let target = pair.path("/messages/send-text");
    let about = hop::Request { method: "POST", target: &target, credential: admin.as_bytes() };
    let hop = Hop { to: "waypost".into(), client: None, at: START, nonce: [6; 16] };
    let old = sealed(&pair, &admin, |hop| hop.at = hop.at.minus(Duration::from_secs(31)));
    let other_key = sealed(&pair, "another key", |_| {});
    for seal in ["", "1;waypost;1;2;203.0.113.9;00", &stranger.seal(&about, &hop), &old, &other_key]
    {
        assert_eq!(hand(&pair, &admin, seal).await.expect(403), expected, "{seal}");
    }
    let good = sealed(&pair, &admin, |_| {});
    hand(&pair, &admin, &good).await.expect(201);
    assert_eq!(hand(&pair, &admin, &good).await.expect(403), expected, "once");
    let for_another = sealed(&pair, &admin, |hop| hop.to = "an earlier life".into());
    let answer = hand(&pair, &admin, &for_another).await;
    answer.expect(409);
    assert_eq!(answer.headers["waypost-hop"], "elsewhere");
    assert_eq!(pair.app.whatsapp.sent().len(), 1);
}

#[tokio::test]
async fn a_process_that_is_alone_takes_nothing_from_others() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let path = format!("/api/sessions/{session}/messages/send-text");
    let ask = app.ask("POST", &path).admin().json(&json!({}));
    ask.header("waypost-hop", "1").send().await.expect(409);
}

#[tokio::test]
async fn a_request_is_never_handed_on() {
    let (asked, url) = script(async |_| StatusCode::OK.into_response()).await;
    let pair = Pair::start().await;
    let (id, admin) = (uuid(77), pair.app.admin.clone());
    held_by_other(&pair.app, &pair.session, &url).await;
    // The first process believed that this one runs it. It does not any more.
    let target = format!("/api/sessions/{id}/messages/send-text");
    let about = hop::Request { method: "POST", target: &target, credential: admin.as_bytes() };
    let hop = Hop { to: "waypost".into(), client: None, at: START, nonce: [1; 16] };
    let now = domain::Clock::now(&pair.app.clock);
    let seal = key().seal(&about, &Hop { at: now, ..hop });
    let ask = pair.app.ask("POST", &target).key(&admin).json(&json!({}));
    let answer = ask.header("waypost-hop", &seal).send().await;
    answer.expect(409);
    assert_eq!(answer.headers["waypost-hop"], "elsewhere");
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

/// A process that follows a script: how often it was asked, and where.
async fn script<F: Future<Output = Response> + Send + 'static>(
    answer: impl Fn(Request) -> F + Clone + Send + Sync + 'static,
) -> (Arc<AtomicUsize>, String) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let router = Router::new().fallback(move |request: Request| {
        count.fetch_add(1, Ordering::SeqCst);
        answer(request)
    });
    (asked, format!("http://{}", listen(router).await))
}

/// The ledger says that a session that was stopped here runs in a process at this address.
async fn held_by_other(app: &App, session: &str, url: &str) {
    let stopped = app.ask("POST", &format!("/api/sessions/{session}/stop")).admin();
    stopped.send().await.expect(200);
    let now = domain::Clock::now(&app.clock);
    let (id, minute) = (session.parse().unwrap(), Duration::from_secs(60));
    assert!(app.store.acquire_session(id, "other", now, minute).await.unwrap().is_some());
    app.store.announce_process("other", url, now, now).await.unwrap();
}

/// A process whose session runs in one at this address.
async fn second_process(url: &str) -> (App, String) {
    let own = "http://127.0.0.1:9";
    let app = App::tuned(|options| options.peers = Some(peers(own, LIMIT))).await;
    let session = app.ready_session("bakery").await;
    held_by_other(&app, &session, url).await;
    (app, format!("/api/sessions/{session}"))
}

async fn send(app: &App, path: &str) -> crate::app::Answer {
    let ask = app.ask("POST", &format!("{path}/messages/send-text?x=%2F..&y=a+b")).admin();
    let ask = ask.header("content-type", "application/json").raw(TEXT.into());
    ask.header("idempotency-key", "order-1").header("x-forwarded-for", "6.6.6.6").send().await
}

#[tokio::test]
async fn a_request_is_handed_over_as_it_came() {
    let seen: Arc<Mutex<Vec<(String, HeaderMap)>>> = Arc::default();
    let keep = seen.clone();
    let (_, url) = script(move |request: Request| {
        let keep = keep.clone();
        async move {
            let (parts, body) = request.into_parts();
            let body = axum::body::to_bytes(body, 1000).await.unwrap();
            assert_eq!(body, TEXT.as_bytes());
            keep.lock().unwrap().push((format!("{} {}", parts.method, parts.uri), parts.headers));
            let answer = [("x-kept", "1"), ("connection", "x-dropped"), ("x-dropped", "1")];
            (StatusCode::IM_A_TEAPOT, answer, "pieces").into_response()
        }
    })
    .await;
    let (app, path) = second_process(&url).await;
    let answer = send(&app, &path).await;
    assert_eq!((answer.status, answer.text().as_str()), (418, "pieces"));
    assert!(answer.headers.contains_key("x-kept") && !answer.headers.contains_key("x-dropped"));
    let seen = seen.lock().unwrap();
    let [(line, headers)] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!(line, &format!("POST {path}/messages/send-text?x=%2F..&y=a+b"));
    let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(header("x-api-key").as_deref(), Some(app.admin.as_str()));
    assert_eq!(header("idempotency-key").as_deref(), Some("order-1"));
    assert_eq!(header("content-type").as_deref(), Some("application/json"));
    assert_eq!(header("x-forwarded-for"), None);
    assert_eq!(header("x-request-id").as_deref(), answer.headers["x-request-id"].to_str().ok());
    assert!(url.ends_with(&header("host").unwrap()));
    let seal = header("waypost-hop").unwrap();
    assert!(seal.contains(";192.0.2.200;"), "the caller's address: {seal}");
}

#[tokio::test]
async fn a_silent_process_is_504_in_time_and_is_asked_once() {
    let (asked, url) = script(async |_| std::future::pending().await).await;
    let (app, path) = second_process(&url).await;
    let began = tokio::time::Instant::now();
    let answer = send(&app, &path).await;
    assert_eq!(
        answer.expect(504),
        json!({
            "statusCode": 504, "error": "Gateway Timeout", "code": "SESSION_NODE_TIMEOUT",
            "message": "The process that runs this session did not answer within 400 ms; whether the request was carried out is not known",
        })
    );
    assert!(!answer.headers.contains_key("retry-after"));
    assert!(began.elapsed() < LIMIT * 10);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    let told = app.gateway.metrics.text(0).await;
    assert!(told.contains("waypost_requests_handed_over_total{outcome=\"timeout\"} 1"), "{told}");
}

#[tokio::test]
async fn a_connection_that_breaks_off_is_502_and_nothing_is_sent_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (app, path) = second_process(&url).await;
    let mut calls = 0;
    let serve = async {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut bytes = [0; 64];
            if socket.read(&mut bytes).await.unwrap() > 0 {
                calls += 1;
            }
        }
    };
    let answer = tokio::select! {
        answer = send(&app, &path) => answer,
        () = serve => unreachable!(),
    };
    let body = answer.expect(502);
    assert_eq!(body["code"], "SESSION_NODE_LOST");
    assert!(!answer.headers.contains_key("retry-after"));
    assert_eq!(calls, 1);
}

#[tokio::test]
async fn a_process_that_cannot_be_reached_is_503_and_may_be_asked_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let (app, path) = second_process(&url).await;
    let answer = send(&app, &path).await;
    let sentence = "The process that runs this session cannot be reached";
    let mut expected = refused(503, "Service Unavailable", sentence);
    expected["code"] = json!("SESSION_NODE_UNREACHABLE");
    assert_eq!(answer.expect(503), expected);
    assert_eq!(answer.headers["retry-after"], "1");
    // Reads are answered here meanwhile.
    app.get(&format!("{path}/messages")).await;
}

#[tokio::test]
async fn a_process_that_let_go_meanwhile_is_asked_once_and_the_next_one_answers() {
    let elsewhere =
        async |_| (StatusCode::CONFLICT, [("waypost-hop", "elsewhere")]).into_response();
    let (first, url) = script(elsewhere).await;
    let (app, path) = second_process(&url).await;
    // Its lease runs still.
    assert_eq!(send(&app, &path).await.expect(503)["code"], "SESSION_NODE_UNREACHABLE");
    assert_eq!(first.load(Ordering::SeqCst), 1);

    let (next, next_url) = script(async |_| StatusCode::IM_A_TEAPOT.into_response()).await;
    let id: SessionId = path.rsplit('/').next().unwrap().parse().unwrap();
    let store = app.store.clone();
    let now = domain::Clock::now(&app.clock);
    let (gone, url) = script(move |_| {
        let (store, next_url) = (store.clone(), next_url.clone());
        async move {
            let minute = Duration::from_secs(60);
            let held = store.acquire_session(id, "other", now, minute).await.unwrap().unwrap();
            store.release_session(&held.lease).await.unwrap();
            store.acquire_session(id, "next", now, minute).await.unwrap();
            store.announce_process("next", &next_url, now, now).await.unwrap();
            (StatusCode::CONFLICT, [("waypost-hop", "elsewhere")]).into_response()
        }
    })
    .await;
    app.store.announce_process("other", &url, now, now).await.unwrap();
    assert_eq!(send(&app, &path).await.status, 418);
    assert_eq!((gone.load(Ordering::SeqCst), next.load(Ordering::SeqCst)), (1, 1));

    // Nobody runs it now: this process answers by itself.
    let minute = Duration::from_secs(60);
    let held = app.store.acquire_session(id, "next", now, minute).await.unwrap().unwrap();
    app.store.release_session(&held.lease).await.unwrap();
    assert_eq!(send(&app, &path).await.expect(400)["message"], "Session is not started");
}

#[tokio::test]
async fn a_process_that_does_not_believe_this_one_is_not_taken_for_a_caller_without_rights() {
    let (_, url) =
        script(async |_| (StatusCode::FORBIDDEN, [("waypost-hop", "refused")]).into_response())
            .await;
    let (app, path) = second_process(&url).await;
    let answer = send(&app, &path).await;
    assert!(answer.expect(503)["message"].as_str().unwrap().contains("do their clocks agree"));
}

#[tokio::test]
async fn a_body_that_is_too_large_does_not_get_further() {
    let (asked, url) = script(async |_| StatusCode::OK.into_response()).await;
    let (app, path) = second_process(&url).await;
    let ask = app.ask("POST", &format!("{path}/messages/send-text")).admin();
    ask.raw(vec![b' '; 26 * 1024 * 1024]).send().await.expect(413);
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn processes_that_start_at_the_same_moment_have_one_master_key() {
    let app = App::start().await;
    let other = app.neighbour(|_| {}).await;
    let ensure = async |gateway: &gateway::Gateway, round: u32| {
        gateway.api_keys.ensure_admin(Some(&format!("the master key {round}"))).await
    };
    for round in 0..20 {
        let (one, two) = tokio::join!(ensure(&app.gateway, round), ensure(&other.gateway, round));
        assert_eq!((one.unwrap(), two.unwrap()), (None, None));
    }
    let keys = app.get("/api/auth/api-keys").await;
    let names = keys.as_array().unwrap().iter().map(|key| key["name"].as_str().unwrap());
    assert_eq!(names.filter(|name| *name == "API_MASTER_KEY").count(), 20);
}

#[tokio::test]
async fn a_send_that_its_process_refused_is_answered_as_there() {
    let pair = Pair::start().await;
    pair.app.whatsapp.on_send(OnSend::Refuse(463));
    let body = pair.send(&pair.app.admin).send().await.expect(403);
    assert_eq!(body["code"], "RECIPIENT_COLD_RESTRICTED");
}
