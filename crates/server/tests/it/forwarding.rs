//! Several gateways on one PostgreSQL, any of which may be asked about any session: what is asked of the wrong one is
//! done once by the right one, also while that one stands still, and after it died.

use std::time::Duration;

use domain::SessionId;
use serde_json::{Value, json};
use simulator::Account;
use tokio::time::Instant;

use crate::support::{Api, KEY, LIMIT, Prepared, Running};

const SHOP: &str = "4915550001000";
const MIA: &str = "4917012345678";
/// Short, so that another one takes over soon.
const LEASE: (&str, &str) = ("WAYPOST_SESSION_LEASE_MS", "4000");

/// A session that the gateway `one` runs, and a second gateway `two`.
struct Crew {
    house: Prepared,
    mia: Account,
    session: SessionId,
    one: Running,
    two: Running,
}

impl Crew {
    async fn hire(env: &[(&str, &str)]) -> Self {
        let house = Prepared::on_postgres().await;
        let session = house.link(&[SHOP]).await[0];
        let mia = house.network.add_account(MIA, "Mia").await;
        let one = house.gateway("one", env);
        one.api().ready(session).await;
        let two = house.gateway("two", env);
        Self { house, mia, session, one, two }
    }

    fn path(&self) -> String {
        format!("/sessions/{}/messages/send-text", self.session)
    }

    async fn send(&self, api: &Api, text: &str) -> (u16, Value) {
        api.post(&self.path(), &body(text)).await
    }

    /// How often the phone shows a text.
    async fn shown(&self, text: &str) -> usize {
        self.mia.inbox().await.iter().filter(|message| message.text == text).count()
    }

    /// Waits until no send is `pending`.
    async fn settled(&self, api: &Api) -> Vec<Value> {
        let page = format!("/sessions/{}/messages?limit=100", self.session);
        let rows = |body: &Value| body["messages"].as_array().unwrap().clone();
        let settled = |body: &Value| rows(body).iter().all(|row| row["status"] != "pending");
        rows(&api.until(&page, settled).await)
    }
}

fn body(text: &str) -> Value {
    json!({ "chatId": format!("{MIA}@c.us"), "text": text })
}

#[tokio::test(flavor = "multi_thread")]
async fn any_gateway_can_be_asked_about_any_session() {
    let crew = Crew::hire(&[]).await;
    let (one, two) = (crew.one.api(), crew.two.api());
    for number in 0..10 {
        for (name, api) in [("one", &one), ("two", &two)] {
            let text = format!("{number} by {name}");
            let (status, sent) = crew.send(api, &text).await;
            assert_eq!((status, &sent["status"]), (201, &json!("sent")), "{text}: {sent}");
            let shown = text.clone();
            crew.mia.wait_for(LIMIT, move |message| message.text == shown).await.unwrap();
            assert_eq!(crew.shown(&text).await, 1, "{text}");
        }
    }
    for api in [&one, &two] {
        let view = api.get(&format!("/sessions/{}", crew.session)).await;
        assert_eq!((&view["status"], &view["engineLoaded"]), (&json!("ready"), &json!(true)));
    }

    let (status, key) = two.post("/auth/api-keys", &json!({ "name": "till" })).await;
    assert_eq!(status, 201, "{key}");
    let till = key["apiKey"].as_str().unwrap();
    for api in [&one, &two] {
        let api = api.with_key(Some(till));
        assert_eq!(crew.send(&api, "by the till").await.0, 201);
    }
    let revoke = format!("/auth/api-keys/{}/revoke", key["id"].as_str().unwrap());
    assert_eq!(one.post(&revoke, &json!({})).await.0, 200);
    for api in [&one, &two] {
        let api = api.with_key(Some(till));
        assert_eq!(crew.send(&api, "by nobody").await.0, 401, "refused at both ends");
        // Nobody believes a caller who says to be a gateway.
        let forged = ("waypost-hop", "1;one;1790841600000;00;203.0.113.9;00");
        assert_eq!(api.with_key(Some(KEY)).post_with(&crew.path(), &body("x"), forged).await, 403);
    }
    assert_eq!(crew.shown("by nobody").await + crew.shown("x").await, 0);
    for gateway in [crew.one, crew.two] {
        let status = gateway.terminate();
        assert!(status.success(), "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_at_one_gateway_stops_the_other_within_two_seconds() {
    let crew = Crew::hire(&[]).await;
    let (one, two) = (crew.one.api(), crew.two.api());
    assert_eq!(crew.send(&two, "before").await.0, 201);
    let processes = |of: Value| of.as_array().unwrap().clone();
    for (api, sessions) in [(&one, [1, 0]), (&two, [0, 1])] {
        let found = processes(api.get("/processes").await);
        let told: Vec<_> = found.iter().map(|one| (&one["self"], &one["sessions"])).collect();
        let (own, other) = (json!(sessions[0]), json!(sessions[1]));
        assert_eq!(told, [(&json!(true), &own), (&json!(false), &other)], "{found:?}");
        assert!(found.iter().all(|one| one["url"].is_string() && one["role"] == "all"));
    }

    let began = Instant::now();
    let (status, paused) = two.post("/sends/pause", &json!({ "reason": "a loop" })).await;
    assert_eq!((status, &paused["paused"]), (200, &json!(true)), "{paused}");
    one.until("/sends", |sends| sends["paused"] == true).await;
    let took = began.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_eq!(one.get("/sends").await, paused);
    for api in [&one, &two] {
        let (status, answer) = crew.send(api, "meanwhile").await;
        assert_eq!((status, &answer["code"]), (503, &json!("SENDS_PAUSED")), "{answer}");
    }
    assert_eq!(one.post("/sends/resume", &json!({})).await.0, 200);
    two.until("/sends", |sends| sends["paused"] == false).await;
    assert_eq!(crew.send(&two, "after").await.0, 201);
    crew.mia.wait_for(LIMIT, |message| message.text == "after").await.unwrap();
    assert_eq!(crew.shown("meanwhile").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_stands_still_is_504_and_what_it_was_handed_goes_out_once_at_most() {
    let crew = Crew::hire(&[("SESSION_PROXY_TIMEOUT_MS", "1500")]).await;
    let two = crew.two.api();
    assert_eq!(crew.send(&two, "before").await.0, 201);
    crew.one.halt();
    let began = Instant::now();
    let texts: Vec<String> = (0..5).map(|number| format!("meanwhile {number}")).collect();
    let sends = texts.iter().map(|text| crew.send(&two, text));
    for (status, answer) in futures::future::join_all(sends).await {
        assert_eq!((status, &answer["code"]), (504, &json!("SESSION_NODE_TIMEOUT")), "{answer}");
    }
    let took = began.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?} for a limit of 1.5 s");
    // What the ledger knows is answered all the time.
    two.get(&format!("/sessions/{}/messages", crew.session)).await;
    crew.one.go_on();
    let (status, sent) = crew.send(&two, "after").await;
    assert_eq!(status, 201, "{sent}");
    let rows = crew.settled(&two).await;
    crew.mia.wait_for(LIMIT, |message| message.text == "after").await.unwrap();
    for text in &texts {
        let stored = rows.iter().filter(|row| row["body"] == text.as_str()).count();
        assert!(stored <= 1, "{text} was stored {stored} times");
        assert_eq!(crew.shown(text).await, stored, "{text}: what is stored as sent is shown");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_its_gateway_died_another_one_answers_for_a_session() {
    let crew = Crew::hire(&[LEASE]).await;
    let two = crew.two.api();
    assert_eq!(crew.send(&two, "before").await.0, 201);
    let Crew { house, mia, session, one, two: second } = crew;
    one.kill();
    let third = house.gateway("three", &[LEASE]);
    let path = format!("/sessions/{session}/messages/send-text");
    // A client that insists, at whichever gateway it comes to.
    let (deadline, mut refused) = (Instant::now() + LIMIT, Vec::new());
    let mut sent = 0;
    while sent < 4 {
        for api in [second.api(), third.api()] {
            let text = format!("after {sent}");
            let (status, answer) = api.post(&path, &body(&text)).await;
            if status == 201 {
                sent += 1;
                continue;
            }
            // Nobody runs it; it connects; its last process is gone, or cannot be reached.
            assert!([400, 409, 502, 503].contains(&status), "{status}: {answer}");
            assert!(Instant::now() < deadline, "nobody took it over: {answer}");
            refused.push(status);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(refused.contains(&503), "the dead one was asked: {refused:?}");
    mia.wait_for(LIMIT, move |message| message.text == format!("after {}", sent - 1))
        .await
        .unwrap();
    let inbox = mia.inbox().await;
    for number in 0..sent {
        let text = format!("after {number}");
        let shown = inbox.iter().filter(|message| message.text == text).count();
        assert_eq!(shown, 1, "{text}");
    }
}
