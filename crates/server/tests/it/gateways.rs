//! Two gateways on one PostgreSQL while a batch runs, contacts talk, and a client sends and insists. The one that runs
//! the session stands still for longer than its lease and goes on; later its successor is killed. Nothing is lost,
//! nothing is sent twice, no false event is emitted, and the keys still fit at both ends.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use domain::SessionId;
use serde_json::{Value, json};
use simulator::{Account, NetworkRecord};
use tokio::{task::JoinHandle, time::Instant};

use crate::{
    collector::{Collector, Repeats},
    counting::{
        ids, lanes_in_order, nothing_missing, phone, register, repeats_say_so, sequences_are_dense,
        talk,
    },
    support::{Api, Prepared, Running},
};

const SHOP: &str = "4915550001000";
/// Gets the single sends.
const MIA: &str = "4917012345678";
const CHATS: usize = 6;
const MESSAGES_PER_CHAT: usize = 130;
const GAP: Duration = Duration::from_millis(300);
/// Recipients of the batch, one second each.
const PEOPLE: usize = 30;
const PATHS: [&str; 2] = ["/messages", "/everything"];
/// What a receiver takes for an answer.
const ANSWER: Duration = Duration::from_millis(20);
const ENV: [(&str, &str); 4] = [
    ("WAYPOST_SESSION_LEASE_MS", "4000"),
    ("WAYPOST_WEBHOOK_LEASE_MS", "3000"),
    ("SESSION_PROXY_TIMEOUT_MS", "1500"),
    ("LOG_LEVEL", "info"),
];
/// Interruptions of the gateway that runs the session.
const INTERRUPTIONS: usize = 2;
/// What may be under way at once: an item of the batch and a single send.
const UNDER_WAY: usize = 2;
/// Calls that may be under way: one per lane, of each chat and of the session, for each webhook.
const LANES: usize = PATHS.len() * (CHATS + 1);
/// Two cores share many tests.
const LIMIT: Duration = Duration::from_secs(240);
/// A client that hears nothing for so long asks elsewhere.
const PATIENCE: Duration = Duration::from_secs(3);

fn guest(number: usize) -> String {
    format!("49171{:08}", number + 1)
}

fn words(number: usize) -> String {
    format!("Hello number {number}")
}

fn order() -> Value {
    let message = |number| {
        let (chat, content) = (format!("{}@c.us", guest(number)), json!({ "text": words(number) }));
        json!({ "chatId": chat, "type": "text", "content": content })
    };
    let messages: Vec<Value> = (0..PEOPLE).map(message).collect();
    let options = json!({ "delayBetweenMessages": 1000, "randomizeDelay": false });
    json!({ "batchId": "spring", "messages": messages, "options": options })
}

/// A client with a key for each send, which asks one gateway after the other until it is answered. What it sent.
async fn insist(apis: [Api; 2], session: SessionId, over: Arc<AtomicBool>) -> Vec<String> {
    let path = format!("/sessions/{session}/messages/send-text");
    let (mut sent, mut turn) = (Vec::new(), 0);
    while !over.load(Ordering::SeqCst) {
        let text = format!("order {}", sent.len());
        let body = json!({ "chatId": format!("{MIA}@c.us"), "text": text });
        let key = format!("order-{}", sent.len());
        let deadline = Instant::now() + LIMIT;
        loop {
            turn += 1;
            let ask = apis[turn % 2].try_post_with(&path, &body, &key);
            match tokio::time::timeout(PATIENCE, ask).await {
                Ok(Some((201, _))) => break,
                // Nobody runs it, it connects, the first request is under way, or its gateway is gone or silent; killed
                // with the request in its hands, what became of it is not known, and the key finds out.
                Ok(Some((status, answer))) => {
                    let not_started = status == 400 && answer.to_string().contains("not started");
                    let lost = status == 502 && answer["code"] == "SESSION_NODE_LOST";
                    let soon = not_started || lost || matches!(status, 409 | 503 | 504);
                    assert!(soon, "{text}: {status}: {answer}");
                }
                Ok(None) | Err(_) => {}
            }
            assert!(Instant::now() < deadline, "{text} was never taken");
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
        sent.push(text);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    sent
}

/// The house with everything that goes on in it.
struct Busy {
    house: Prepared,
    session: SessionId,
    collector: Arc<Collector>,
    guests: Vec<Account>,
    mia: Account,
    talks: Vec<(String, JoinHandle<Vec<String>>)>,
    over: Arc<AtomicBool>,
}

impl Busy {
    /// Two gateways; the first one runs the session.
    async fn begin() -> (Self, Running, Running) {
        let house = Prepared::on_postgres().await;
        let session = house.link(&[SHOP]).await[0];
        let mia = house.network.add_account(MIA, "Mia").await;
        let mut guests = Vec::with_capacity(PEOPLE);
        for number in 0..PEOPLE {
            guests.push(house.network.add_account(&guest(number), "Guest").await);
        }
        let collector = Collector::that_takes(ANSWER).await;
        let one = house.gateway("one", &ENV);
        one.api().ready(session).await;
        let two = house.gateway("two", &ENV);
        for (path, events) in PATHS.into_iter().zip([["message.received"], ["*"]]) {
            register(&one.api(), session, &collector.url(path), &events).await;
        }
        let mut talks = Vec::new();
        for chat in 0..CHATS {
            let phone = phone(chat);
            let contact = house.network.add_account(&phone, "Contact").await;
            let talk = tokio::spawn(talk(contact, SHOP, MESSAGES_PER_CHAT, GAP));
            talks.push((format!("{phone}@c.us"), talk));
        }
        let path = format!("/sessions/{session}/messages/send-bulk");
        let (status, accepted) = two.api().post(&path, &order()).await;
        assert_eq!(status, 202, "{accepted}");
        let over = Arc::default();
        (Self { house, session, collector, guests, mia, talks, over }, one, two)
    }

    async fn batch(&self, api: &Api) -> Value {
        api.get(&format!("/sessions/{}/messages/batch/spring", self.session)).await
    }

    async fn batch_ended(&self, api: &Api) -> Value {
        let deadline = Instant::now() + LIMIT;
        loop {
            let batch = self.batch(api).await;
            if batch["completedAt"].is_string() {
                return batch;
            }
            assert!(Instant::now() < deadline, "it never ended: {batch}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// What the contacts said, by chat.
    async fn said(&mut self) -> BTreeMap<String, Vec<String>> {
        let mut said = BTreeMap::new();
        for (chat, talk) in self.talks.drain(..) {
            said.insert(chat, talk.await.unwrap());
        }
        said
    }

    async fn drained(&self, api: &Api) {
        let deadline = Instant::now() + LIMIT;
        loop {
            let counts = PATHS.map(|path| ids(&self.collector.taken(path)).len());
            let pending = api.metric("waypost_deliveries_pending").await;
            if pending == 0.0 && counts.iter().all(|count| *count >= CHATS * MESSAGES_PER_CHAT) {
                return;
            }
            assert!(Instant::now() < deadline, "{pending} wait, {counts:?} arrived");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn deliveries_are_right(&self, said: &BTreeMap<String, Vec<String>>) {
        let mut repeats = Repeats::default();
        for path in PATHS {
            let received = self.collector.received(path);
            nothing_missing(&self.collector.taken(path), said, path);
            repeats_say_so(&received, path);
            repeats += self.collector.repeats(path);
        }
        // A call of the gateway that stood still has left it already, and arrives when it goes on: of those that were
        // taken for the first time the order is kept.
        for path in PATHS {
            lanes_in_order(&firsts(self.collector.received(path)), said, path);
        }
        sequences_are_dense(&self.collector.received(PATHS[1]));
        assert!(repeats.of_kills() <= INTERRUPTIONS * LANES, "{repeats:?}");
        println!("{repeats:?}");
    }

    fn no_false_event_was_emitted(&self) {
        let mut told: HashMap<String, usize> = HashMap::new();
        for event in firsts(self.collector.taken(PATHS[1])) {
            *told.entry(event["event"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        assert_eq!(told.get("batch.paused"), None, "{told:?}");
        assert_eq!(told.get("batch.completed"), Some(&1), "{told:?}");
        assert_eq!(told.get("message.failed"), None, "{told:?}");
    }

    async fn batch_is_right(&self, batch: &Value) {
        let progress =
            json!({ "total": PEOPLE, "sent": PEOPLE, "failed": 0, "pending": 0, "cancelled": 0 });
        assert_eq!((&batch["status"], &batch["progress"]), (&json!("completed"), &progress));
        let results = batch["results"].as_array().unwrap();
        for (number, (account, result)) in self.guests.iter().zip(results).enumerate() {
            let inbox = account.inbox().await;
            let got: Vec<_> =
                inbox.iter().map(|got| (got.id.as_str(), got.text.as_str())).collect();
            let id = result["messageId"].as_str().unwrap();
            assert_eq!(got, [(id, words(number).as_str())], "guest {number}");
        }
    }
}

/// Each delivery as it came first.
fn firsts(received: Vec<Value>) -> Vec<Value> {
    let mut seen = std::collections::HashSet::new();
    let is_first = |event: &Value| seen.insert(event["deliveryId"].to_string());
    received.into_iter().filter(is_first).collect()
}

/// Each order arrived once, in the order in which it was taken.
async fn sends_are_right(mia: &Account, sent: &[String]) {
    let inbox = mia.inbox().await;
    let got: Vec<_> = inbox.iter().map(|message| message.text.as_str()).collect();
    assert_eq!(got, sent.iter().map(String::as_str).collect::<Vec<_>>());
}

/// What was under way at an interruption may go out again, under its id; nothing else does.
fn wire_is_right(record: &NetworkRecord) {
    let mut frames: HashMap<&str, usize> = HashMap::new();
    for message in record.messages.iter().filter(|message| message.from_phone == SHOP) {
        *frames.entry(message.id.as_str()).or_default() += 1;
    }
    let again: usize = frames.values().map(|count| count - 1).sum();
    println!("{again} of {} messages went out again under their ids", frames.len());
    assert!(again <= INTERRUPTIONS * UNDER_WAY, "{again} went out again");
    assert_eq!(record.undecryptable, Vec::<String>::new(), "the keys still fit");
    assert_eq!((&record.unknown, &record.unanswered), (&vec![], &vec![]));
}

async fn until_log(gateway: &Running, text: &str) {
    let deadline = Instant::now() + LIMIT;
    while !gateway.log().contains(text) {
        assert!(Instant::now() < deadline, "never said {text:?}:\n{}", gateway.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_of_a_session_stands_still_and_its_successor_is_killed() {
    let (mut busy, one, two) = Busy::begin().await;
    let apis = [one.api(), two.api()];
    let client = tokio::spawn(insist(apis, busy.session, busy.over.clone()));
    tokio::time::sleep(Duration::from_secs(4)).await;

    let before = busy.batch(&two.api()).await;
    let sent = |batch: &Value| batch["progress"]["sent"].as_u64().unwrap();
    assert!(sent(&before) > 0, "{before}");
    one.halt();
    let path = format!("/sessions/{}/messages/batch/spring", busy.session);
    two.api().until(&path, |batch| sent(batch) > sent(&before) + 3).await;
    one.go_on();
    until_log(&one, "another process has taken it over").await;
    two.api().ready(busy.session).await;
    tokio::time::sleep(Duration::from_secs(2)).await;

    let unfinished = busy.batch(&two.api()).await;
    assert!(unfinished["completedAt"].is_null(), "killed while it runs: {unfinished}");
    two.kill();
    let third = busy.house.gateway("three", &ENV);
    one.api().ready(busy.session).await;
    let batch = busy.batch_ended(&third.api()).await;
    let said = busy.said().await;
    busy.over.store(true, Ordering::SeqCst);
    let orders = client.await.unwrap();
    busy.drained(&third.api()).await;

    busy.batch_is_right(&batch).await;
    sends_are_right(&busy.mia, &orders).await;
    busy.deliveries_are_right(&said);
    busy.no_false_event_was_emitted();
    wire_is_right(&busy.house.network.record());
    for gateway in [one, third] {
        let status = gateway.terminate();
        assert!(status.success(), "{status}");
    }
}
