//! How the lanes stand, how many deliveries left lately, and what a session sent today.

use std::time::Duration;

use domain::{
    Timer,
    pacing::PacingRules,
    port::{Ledger as _, SessionStore as _, WebhookStore as _, Write},
};
use serde_json::{Value, json};
use testkit::{Receiver, Reply, build};

use crate::app::App;

fn rows(page: &Value) -> &Vec<Value> {
    page["lanes"].as_array().unwrap()
}

fn field(page: &Value, name: &str) -> Vec<Value> {
    rows(page).iter().map(|row| row[name].clone()).collect()
}

/// A session with a paused webhook, and one delivery in each of three chats.
async fn paused(app: &App, name: &str) -> (String, String) {
    let session = app.ready_session(name).await;
    let webhook = app.webhook(&session, &app.hook_url(), 1).await;
    let pause = format!("/api/sessions/{session}/webhooks/{webhook}/pause");
    app.post(&pause, json!({}), 200).await;
    for chat in 1..=3 {
        app.hear_text(&session, chat, chat).await;
    }
    let own = format!("/api/lanes?webhookId={webhook}");
    app.until(&own, |page| page["total"] == 3).await;
    (session, webhook)
}

#[tokio::test]
async fn a_lane_tells_what_it_waits_for() {
    let app = App::start().await;
    assert_eq!(app.get("/api/lanes").await, json!({ "lanes": [], "total": 0, "nextCursor": null }));
    let session = app.ready_session("bakery").await;
    let receiver = Receiver::start().await;
    receiver.answer([Reply::Body(500, "broken".into())]);
    let webhook = app.webhook(&session, &receiver.url(), 3).await;
    app.hear_text(&session, 1, 1).await;
    let retry = |page: &Value| page["lanes"][0]["why"] == "retry";
    let page = app.until("/api/lanes", retry).await;
    let call = receiver.received()[0].json();
    let lane = &page["lanes"][0];
    assert_eq!(
        page,
        json!({
            "lanes": [{
                "lane": format!("{webhook}/49170000001@c.us"), "webhookId": webhook, "url": receiver.url(),
                "sessionId": session, "chatId": "49170000001@c.us", "waiting": 1, "oldestAt": call["timestamp"],
                "head": { "deliveryId": call["deliveryId"], "event": "message.received",
                    "sequence": call["sequence"], "attempts": 1, "lastError": "the receiver answered 500" },
                "why": "retry", "until": lane["until"], "owner": null, "leaseUntil": null
            }],
            "total": 1, "nextCursor": null
        })
    );
    let until = domain::Timestamp::parse_iso(lane["until"].as_str().unwrap()).unwrap();
    let now = domain::Clock::now(&app.clock);
    assert!(until > now && until < now.plus(Duration::from_secs(60)), "the schedule's first wait");
    let pause = format!("/api/sessions/{session}/webhooks/{webhook}/pause");
    app.post(&pause, json!({}), 200).await;
    let lane = app.get("/api/lanes").await["lanes"][0].clone();
    assert_eq!((&lane["why"], &lane["until"]), (&json!("paused"), &Value::Null));
    let path = format!("/api/sessions/{session}/webhooks/{webhook}");
    app.ask("PUT", &path).admin().json(&json!({ "active": false })).send().await.expect(200);
    assert_eq!(app.get("/api/lanes").await["lanes"][0]["why"], "inactive");
}

#[tokio::test]
async fn a_lane_under_way_has_an_owner() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let receiver = Receiver::start().await;
    receiver.answer([Reply::Silence]);
    app.webhook(&session, &receiver.url(), 1).await;
    app.hear_text(&session, 1, 1).await;
    receiver.wait_for(1).await;
    let page = app.get("/api/lanes").await;
    let lane = &page["lanes"][0];
    assert_eq!((&lane["why"], &lane["until"]), (&json!("delivering"), &Value::Null));
    assert!(lane["owner"].as_str().unwrap().starts_with("waypost/"), "{lane}");
    let until = domain::Timestamp::parse_iso(lane["leaseUntil"].as_str().unwrap()).unwrap();
    assert!(until > domain::Clock::now(&app.clock));
    let found = app.get("/api/lanes?why=delivering").await;
    assert_eq!(found, page);
    assert_eq!(app.get("/api/lanes?why=due").await["total"], 0);
}

#[tokio::test]
async fn lanes_are_read_page_by_page_and_by_what_they_are() {
    let app = App::start().await;
    let (session, webhook) = paused(&app, "bakery").await;
    let (other, _) = paused(&app, "other").await;
    let mut path = "/api/lanes?limit=4".to_owned();
    let first = app.get(&path).await;
    assert_eq!((rows(&first).len(), &first["total"]), (4, &json!(6)));
    path.push_str(&format!("&cursor={}", first["nextCursor"].as_str().unwrap()));
    let second = app.get(&path).await;
    assert_eq!((rows(&second).len(), &second["nextCursor"]), (2, &Value::Null));
    let mut lanes = field(&first, "lane");
    lanes.extend(field(&second, "lane"));
    assert_eq!(lanes, field(&app.get("/api/lanes").await, "lane"));
    let chats = |page: &Value| field(page, "chatId");
    let own = app.get(&format!("/api/lanes?sessionId={session}")).await;
    let expected: Vec<Value> =
        (1..=3).map(|chat| json!(format!("4917000000{chat}@c.us"))).collect();
    assert_eq!(chats(&own), expected, "those that wait longest first");
    assert_eq!(app.get(&format!("/api/lanes?webhookId={webhook}")).await, own);
    assert_eq!(
        app.get(&format!("/api/lanes?webhookId={webhook}&sessionId={other}")).await["total"],
        0
    );
    assert_eq!(app.get("/api/lanes?why=paused").await["total"], 6);
    let unknown = "00000000-0000-4000-8000-000000000000";
    assert_eq!(app.get(&format!("/api/lanes?webhookId={unknown}")).await["total"], 0);
}

#[tokio::test]
async fn a_large_backlog_is_read_in_pages() {
    let session = build::session(1);
    let webhook = build::webhook(1, session.id);
    let (of, hook) = (session.id, webhook.id);
    let (dir, store) = App::ledger().await;
    assert!(store.insert_session(&session).await.unwrap());
    assert!(store.insert_webhook(&webhook, 0).await.unwrap());
    assert!(store.pause_webhook(hook, testkit::START).await.unwrap());
    let event = |number| build::event(number, of, &build::chat(number));
    let write = |number| Write::Append { event: Box::new(event(number)) };
    store.write((1..=450).map(write).collect()).await.unwrap();
    let app = Box::pin(App::assemble((dir, store), |_| {}, 0, |_| {})).await;
    let (mut path, mut seen) = ("/api/lanes?limit=200".to_owned(), Vec::new());
    loop {
        let page = app.get(&path).await;
        // The news of the pause has a lane of its own.
        assert_eq!(page["total"], 451);
        seen.extend(field(&page, "chatId"));
        let Some(cursor) = page["nextCursor"].as_str() else { break };
        path = format!("/api/lanes?limit=200&cursor={cursor}");
    }
    assert_eq!(seen.remove(0), Value::Null);
    let chats: Vec<Value> = (1..=450).map(|chat| json!(build::chat(chat))).collect();
    assert_eq!(seen, chats);
}

#[tokio::test]
async fn wrong_questions_about_lanes_are_refused() {
    let app = App::start().await;
    for query in [
        "why=waiting",
        "why=due&why=held",
        "limit=0",
        "limit=201",
        "limit=x",
        "limit=1&limit=2",
        "cursor=7",
        "cursor=x_y",
        "sessionId=x",
        "webhookId=x",
        "chatId=49170000001@c.us",
    ] {
        app.ask("GET", &format!("/api/lanes?{query}")).admin().send().await.expect(400);
    }
    for query in
        ["minutes=0", "minutes=361", "minutes=x", "minutes=", "minutes=1&minutes=2", "hours=1"]
    {
        app.ask("GET", &format!("/api/lanes/rates?{query}")).admin().send().await.expect(400);
    }
}

#[tokio::test]
async fn keys_see_the_lanes_of_their_sessions() {
    let app = App::start().await;
    let (session, webhook) = paused(&app, "bakery").await;
    let (other, hook) = paused(&app, "other").await;
    let scoped = json!({ "name": "own", "role": "operator", "allowedSessions": [other] });
    let key = app.new_key(scoped).await;
    let ask =
        async |path: &str, status| app.ask("GET", path).key(&key.text).send().await.expect(status);
    let page = ask("/api/lanes", 200).await;
    assert_eq!((field(&page, "webhookId"), &page["total"]), (vec![json!(hook); 3], &json!(3)));
    assert_eq!(ask(&format!("/api/lanes?sessionId={other}"), 200).await["total"], 3);
    ask(&format!("/api/lanes?sessionId={session}"), 403).await;
    ask(&format!("/api/lanes?webhookId={webhook}"), 403).await;
    ask("/api/lanes/rates", 403).await;
    for body in [
        json!({ "name": "reader", "role": "viewer" }),
        json!({ "name": "chats", "role": "operator", "allowedSessions": [session],
            "allowedChats": ["49170000001@c.us"] }),
    ] {
        let key = app.new_key(body).await;
        for path in ["/api/lanes", "/api/lanes/rates"] {
            app.ask("GET", path).key(&key.text).send().await.expect(403);
        }
    }
    let operator = app.new_key(json!({ "name": "all", "role": "operator" })).await;
    for path in ["/api/lanes", "/api/lanes/rates"] {
        app.ask("GET", path).key(&operator.text).send().await.expect(200);
    }
}

#[tokio::test]
async fn rates_are_told_bucket_by_bucket() {
    let app = App::start().await;
    let since = app.get("/api/lanes/rates").await["since"].clone();
    let session = app.ready_session("bakery").await;
    let receiver = Receiver::start().await;
    receiver.answer([Reply::Status(200), Reply::Status(500)]);
    let webhook = app.webhook(&session, &receiver.url(), 1).await;
    app.hear_text(&session, 1, 1).await;
    receiver.wait_for(1).await;
    app.until("/api/lanes", |page| page["total"] == 0).await;
    app.hear_text(&session, 2, 2).await;
    receiver.wait_for(2).await;
    app.until("/api/lanes", |page| page["total"] == 0).await;
    let pause = format!("/api/sessions/{session}/webhooks/{webhook}/pause");
    app.post(&pause, json!({}), 200).await;
    app.hear_text(&session, 3, 3).await;
    app.until("/api/lanes", |page| page["total"] == 1).await;
    let ended = app.clock.awaited(Timer::DeliveryRates).await;
    // The second ring is awaited behind the first, which is recorded then.
    for _ in 0..2 {
        app.clock.fire(Timer::DeliveryRates).await;
    }
    app.clock.awaited(Timer::DeliveryRates).await;
    let told = app.get("/api/lanes/rates?minutes=1").await;
    assert_eq!((&told["bucketMs"], &told["since"]), (&json!(10_000), &since));
    let points = told["points"].as_array().unwrap();
    assert_eq!(points.len(), 6);
    let [.., first, second] = &points[..] else { panic!("{told}") };
    assert_eq!(first["at"], ended.minus(Duration::from_secs(10)).iso());
    let counts = |point: &Value| ["delivered", "failed", "waiting"].map(|name| point[name].clone());
    assert_eq!(counts(first), [json!(1), json!(1), json!(1)]);
    assert_eq!(
        (&second["at"], counts(second)),
        (&json!(ended.iso()), [json!(0), json!(0), json!(1)])
    );
    let age = |point: &Value| point["oldestAgeMs"].as_u64().unwrap();
    assert_eq!(age(second), age(first) + 10_000);
    assert_eq!(counts(&points[0]), [json!(0), json!(0), json!(0)], "before the record");
    let hour = app.get("/api/lanes/rates").await;
    assert_eq!(hour["points"].as_array().unwrap().len(), 360);
    let all = app.get("/api/lanes/rates?minutes=360").await;
    assert_eq!(all["points"].as_array().unwrap().len(), 2160);
}

#[tokio::test]
async fn a_session_tells_what_it_sent_today() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let path = format!("/api/sessions/{session}");
    let midnight = app.get(&path).await["sendsToday"]["resetsAt"].clone();
    let told = |sent: u64| json!({ "sent": sent, "sentMax": null, "newChats": null, "newChatsMax": null, "resetsAt": midnight });
    assert_eq!(app.get(&path).await["sendsToday"], told(0));
    let body = json!({ "chatId": "49170000001@c.us", "text": "Hello" });
    app.post(&format!("{path}/messages/send-text"), body, 201).await;
    assert_eq!(app.get(&path).await["sendsToday"], told(1));
    let list = app.get("/api/sessions").await;
    assert_eq!(list[0]["sendsToday"], told(1));
    assert!(midnight.as_str().unwrap().ends_with("T00:00:00.000Z"), "{midnight}");
}

#[tokio::test]
async fn with_pacing_a_session_tells_its_limits_of_the_day() {
    let rules =
        PacingRules { enabled: true, warmup: vec![20], cold: vec![5], ..PacingRules::default() };
    let app = App::tuned(|options| options.sends.pacing = rules).await;
    let session = app.ready_session("bakery").await;
    let idle = app.new_session("idle").await;
    let path = format!("/api/sessions/{session}");
    for text in ["Hello", "again"] {
        let body = json!({ "chatId": "49170000001@c.us", "text": text });
        app.post(&format!("{path}/messages/send-text"), body, 201).await;
    }
    let sends = app.get(&path).await["sendsToday"].clone();
    assert_eq!(
        sends,
        json!({ "sent": 2, "sentMax": 20, "newChats": 1, "newChatsMax": 5, "resetsAt": sends["resetsAt"] })
    );
    let list = app.get("/api/sessions").await;
    let of = |id: &str| list.as_array().unwrap().iter().find(|one| one["id"] == id).unwrap();
    assert_eq!(of(&session)["sendsToday"], sends);
    assert_eq!(of(&idle)["sendsToday"]["sent"], 0);
    assert_eq!(of(&idle)["sendsToday"]["sentMax"], 20);
}
