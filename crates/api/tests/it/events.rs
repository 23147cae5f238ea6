//! Live events: streams and pulls over one log.

use std::time::Duration;

use axum::body::BodyDataStream;
use domain::Timer;
use futures::StreamExt as _;
use serde_json::{Value, json};

use crate::app::{App, Key, refused};

const LIMIT: Duration = Duration::from_secs(10);

/// One message of a stream.
#[derive(Debug, Default, PartialEq)]
struct Told {
    event: String,
    id: String,
    data: Value,
}

/// A client of a stream.
struct Client {
    body: BodyDataStream,
    text: String,
}

impl Client {
    async fn open(app: &App, key: &str, path: &str, last: Option<&str>) -> Self {
        let mut ask = app.ask("GET", path).key(key);
        if let Some(last) = last {
            ask = ask.header("last-event-id", last);
        }
        let answer = ask.open().await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self { body: answer.into_body().into_data_stream(), text: String::new() }
    }

    /// The next message, signs of life included; `None` at the end.
    async fn next(&mut self) -> Option<Told> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let mut told = Told::default();
                for line in block.lines() {
                    match line.split_once(": ") {
                        Some(("event", value)) => told.event = value.into(),
                        Some(("id", value)) => told.id = value.into(),
                        Some(("data", value)) => told.data = serde_json::from_str(value).unwrap(),
                        _ => {}
                    }
                }
                self.text = rest.to_owned();
                return Some(told);
            }
            let part = tokio::time::timeout(LIMIT, self.body.next()).await.expect("a part");
            self.text.push_str(std::str::from_utf8(&part?.unwrap()).unwrap());
        }
    }

    /// The texts of the next messages that came in.
    async fn texts(&mut self, count: usize) -> Vec<(String, String)> {
        let mut texts = Vec::new();
        while texts.len() < count {
            let told = self.next().await.unwrap();
            if told.event == "message.received" {
                assert_eq!(told.data["cursor"], told.id.as_str());
                texts.push((told.data["data"]["body"].as_str().unwrap().to_owned(), told.id));
            }
        }
        texts
    }
}

fn bodies(events: &Value) -> Vec<&str> {
    let events = events["events"].as_array().unwrap().iter();
    events.filter_map(|event| event["data"]["body"].as_str()).collect()
}

#[tokio::test]
async fn a_stream_emits_events_in_order_and_a_reconnect_misses_nothing() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let path = format!("/api/events?sessionId={session}&events=message.received");
    let mut client = Client::open(&app, &app.admin, &path, None).await;
    let ready = client.next().await.unwrap();
    assert_eq!((ready.event.as_str(), &ready.data["cursor"]), ("ready", &json!(ready.id)));
    app.hear_text(&session, 1, 1).await;
    app.hear_text(&session, 2, 2).await;
    let texts = client.texts(2).await;
    assert_eq!((texts[0].0.as_str(), texts[1].0.as_str()), ("text 1", "text 2"));
    drop(client);
    app.hear_text(&session, 1, 3).await;
    let mut client = Client::open(&app, &app.admin, &path, Some(&texts[0].1)).await;
    app.hear_text(&session, 1, 4).await;
    let texts: Vec<String> = client.texts(3).await.into_iter().map(|(text, _)| text).collect();
    assert_eq!(texts, ["text 2", "text 3", "text 4"]);
    // The first connection's `ready` is a cursor like any other.
    let mut client = Client::open(&app, &app.admin, &path, Some(&ready.id)).await;
    assert_eq!(client.texts(4).await[0].0, "text 1");
}

#[tokio::test]
async fn a_quiet_stream_shows_that_it_lives_and_ends_with_its_key() {
    let app = App::start().await;
    let key: Key = app.new_key(json!({ "name": "viewer", "role": "viewer" })).await;
    let mut client = Client::open(&app, &key.text, "/api/events", None).await;
    client.next().await.unwrap();
    // The wait for a sign of life begins when the stream is read.
    let (told, ()) = tokio::join!(client.next(), async {
        app.clock.awaited(Timer::LiveReader).await;
        app.advance(Duration::from_secs(15));
    });
    assert_eq!(told.unwrap().event, "");
    app.post(&format!("/api/auth/api-keys/{}/revoke", key.id), json!({}), 200).await;
    assert_eq!(client.next().await, None);
}

#[tokio::test]
async fn a_busy_stream_ends_with_its_key_too() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let changes =
        [json!(null), json!({ "role": "admin" }), json!({ "allowedSessions": [session] })];
    for (change, first) in changes.into_iter().zip([1, 11, 21]) {
        let key: Key = app.new_key(json!({ "name": "viewer", "role": "viewer" })).await;
        let mut client = Client::open(&app, &key.text, "/api/events", None).await;
        client.next().await.unwrap();
        app.hear_text(&session, 1, first).await;
        client.texts(1).await;
        let path = format!("/api/auth/api-keys/{}", key.id);
        match change.is_null() {
            true => app.ask("DELETE", &path).admin().send().await.expect(204),
            false => app.ask("PUT", &path).admin().json(&change).send().await.expect(200),
        };
        // Time stands still and events wait: the key is looked at before one of them goes out.
        for number in 1..4 {
            app.hear_text(&session, 1, first + number).await;
        }
        assert_eq!(client.next().await, None, "{change}");
    }
}

#[tokio::test]
async fn what_another_process_does_to_a_key_is_seen_within_a_second_whatever_flows() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let key: Key = app.new_key(json!({ "name": "viewer", "role": "viewer" })).await;
    let mut client = Client::open(&app, &key.text, "/api/events", None).await;
    client.next().await.unwrap();
    let neighbour = app.neighbour(|_| {}).await;
    let path = format!("/api/auth/api-keys/{}/revoke", key.id);
    app.ask_of(&neighbour, "POST", &path).admin().send().await.expect(200);
    app.advance(Duration::from_secs(1));
    app.hear_text(&session, 1, 1).await;
    assert_eq!(client.next().await, None);
}

#[tokio::test]
async fn a_shutdown_ends_streams() {
    let app = App::start().await;
    let mut client = Client::open(&app, &app.admin, "/api/events", None).await;
    client.next().await.unwrap();
    app.gateway.shutdown().await;
    assert_eq!(client.next().await, None);
}

#[tokio::test]
async fn pulls_go_on_where_they_stopped() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    for number in 1..=5 {
        app.hear_text(&session, 1, number).await;
    }
    let path = "/api/events/pull?events=message.received&limit=2";
    let mut after = "0".to_owned();
    let mut seen = Vec::new();
    for _ in 0..3 {
        let page = app.get(&format!("{path}&after={after}")).await;
        assert_eq!(page["pruned"], Value::Null);
        seen.extend(bodies(&page).into_iter().map(str::to_owned));
        after = page["cursor"].as_str().unwrap().to_owned();
    }
    assert_eq!(seen, ["text 1", "text 2", "text 3", "text 4", "text 5"]);
    let wait = format!("{path}&after={after}&wait=30");
    let (page, ()) = tokio::join!(app.get(&wait), async {
        app.reader_waits(Duration::from_secs(30)).await;
        app.hear_text(&session, 1, 6).await;
    });
    assert_eq!(bodies(&page), ["text 6"]);
    let now = app.get("/api/events/pull").await;
    assert_eq!((&now["events"], &now["cursor"]), (&json!([]), &page["cursor"]));
}

#[tokio::test]
async fn a_pull_that_waited_tells_nothing_to_a_key_that_was_revoked_meanwhile() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let key: Key = app.new_key(json!({ "name": "viewer", "role": "viewer" })).await;
    let pull = app.ask("GET", "/api/events/pull?wait=30").key(&key.text).send();
    let (answer, ()) = tokio::join!(pull, async {
        app.reader_waits(Duration::from_secs(30)).await;
        app.post(&format!("/api/auth/api-keys/{}/revoke", key.id), json!({}), 200).await;
        app.hear_text(&session, 1, 1).await;
    });
    let sentence = "API key was changed or revoked, or the login is over";
    assert_eq!(answer.expect(401), refused(401, "Unauthorized", sentence));
}

#[tokio::test]
async fn one_event_can_be_fetched() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    app.hear_text(&session, 1, 1).await;
    let page = app.get("/api/events/pull?after=0&events=message.received").await;
    let event = &page["events"][0];
    assert_eq!(event["sessionId"], session.as_str());
    let path = format!("/api/events/{}", event["id"].as_str().unwrap());
    assert_eq!(app.get(&path).await, *event);
    let unknown = "/api/events/evt_00000000-0000-4000-8000-000000000000";
    app.ask("GET", unknown).admin().send().await.expect(404);
}

#[tokio::test]
async fn keys_see_only_their_sessions_and_chats() {
    let app = App::start().await;
    let (one, two) = (app.ready_session("one").await, app.ready_session("two").await);
    app.hear_text(&one, 1, 1).await;
    app.hear_text(&one, 2, 2).await;
    app.hear_text(&two, 1, 3).await;
    let all = app.get("/api/events/pull?after=0&events=message.received").await;
    assert_eq!(bodies(&all), ["text 1", "text 2", "text 3"]);
    let scoped = json!({ "name": "one", "role": "viewer", "allowedSessions": [one] });
    let scoped = app.new_key(scoped).await;
    let ask = async |key: &Key, path: &str| app.ask("GET", path).key(&key.text).send().await;
    let pull = "/api/events/pull?after=0&events=message.received";
    assert_eq!(bodies(&ask(&scoped, pull).await.expect(200)), ["text 1", "text 2"]);
    ask(&scoped, &format!("/api/events?sessionId={two}")).await.expect(403);
    let event =
        |place: usize| format!("/api/events/{}", all["events"][place]["id"].as_str().unwrap());
    ask(&scoped, &event(0)).await.expect(200);
    ask(&scoped, &event(2)).await.expect(403);
    let fenced = json!({ "name": "chat", "role": "viewer", "allowedChats": ["49170000001@c.us"] });
    let fenced = app.new_key(fenced).await;
    assert_eq!(bodies(&ask(&fenced, pull).await.expect(200)), ["text 1", "text 3"]);
    let everything = ask(&fenced, "/api/events/pull?after=0").await.expect(200);
    assert_eq!(
        everything["events"].as_array().unwrap().len(),
        2,
        "events of sessions have no chat"
    );
    ask(&fenced, &event(1)).await.expect(403);
}

#[tokio::test]
async fn viewers_do_not_see_qr_codes() {
    let app = App::start().await;
    let viewer = app.new_key(json!({ "name": "viewer", "role": "viewer" })).await;
    app.qr_session("bakery").await;
    let path = "/api/events/pull?after=0&events=session.qr";
    let qr = app.get(path).await;
    assert_eq!(qr["events"].as_array().unwrap().len(), 1);
    let none = app.ask("GET", path).key(&viewer.text).send().await.expect(200);
    assert_eq!(none["events"], json!([]));
    let one = format!("/api/events/{}", qr["events"][0]["id"].as_str().unwrap());
    app.ask("GET", &one).key(&viewer.text).send().await.expect(403);
}

#[tokio::test]
async fn readers_are_bounded_and_wrong_questions_refused() {
    let app = App::with_readers(1).await;
    let client = Client::open(&app, &app.admin, "/api/events", None).await;
    let full = app.ask("GET", "/api/events").admin().send().await.expect(503);
    assert_eq!(full["code"], "LIVE_CLIENTS_MAX");
    app.ask("GET", "/api/events/pull?wait=1").admin().send().await.expect(503);
    app.get("/api/events/pull").await;
    drop(client);
    drop(Client::open(&app, &app.admin, "/api/events", None).await);
    for query in ["after=-1", "after=x", "events=message.recieved", "sessionId=x", "after=99999"] {
        for path in ["/api/events", "/api/events/pull"] {
            app.ask("GET", &format!("{path}?{query}")).admin().send().await.expect(400);
        }
    }
}
