//! The crash test: 3,000 inbound messages from 20 chats to 2 webhooks, SIGKILL at random moments, nothing lost, nothing
//! doubled without saying so, nothing out of order.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use serde_json::{Value, json};
use simulator::Account;
use tokio::time::Instant;

use crate::{
    collector::Collector,
    dice::Dice,
    support::{Prepared, Running},
};

const SHOP: &str = "4915550001000";
const CHATS: usize = 20;
const MESSAGES_PER_CHAT: usize = 150;
const KILLS: usize = 6;
/// Between two messages of one chat, so that the flow outlasts the kills.
const GAP: Duration = Duration::from_millis(90);
/// From the last message sent to the last one delivered.
const DRAIN_LIMIT: Duration = Duration::from_secs(120);

/// Each contact says its messages in order; the ids are the simulator's own list.
async fn talk(contact: Account, chat: usize) -> Vec<String> {
    let mut ids = Vec::with_capacity(MESSAGES_PER_CHAT);
    for number in 0..MESSAGES_PER_CHAT {
        ids.push(contact.send_text(SHOP, &format!("chat {chat} message {number}")).await.unwrap());
        tokio::time::sleep(GAP).await;
    }
    ids
}

fn phone(chat: usize) -> String {
    format!("49170{:08}", chat + 1)
}

async fn register(running: &Running, session: domain::SessionId, url: &str, events: &[&str]) {
    let body =
        json!({ "url": url, "events": events, "secret": "a-secret-of-the-tests", "retryCount": 5 });
    let (status, answer) =
        running.api().post(&format!("/sessions/{session}/webhooks"), &body).await;
    assert_eq!(status, 201, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn three_thousand_messages_survive_kill_minus_nine() {
    let mut dice = Dice::of(0x5eed_2026);
    let house = Prepared::new().await;
    let session = house.link(&[SHOP]).await[0];
    let collector = Collector::start().await;

    let mut running = house.start();
    running.api().ready(session).await;
    register(&running, session, &collector.url("/messages"), &["message.received"]).await;
    register(&running, session, &collector.url("/everything"), &["*"]).await;

    let mut talks = Vec::new();
    for chat in 0..CHATS {
        let contact = house.network.add_account(&phone(chat), &format!("Guest {chat}")).await;
        talks.push(tokio::spawn(talk(contact, chat)));
    }
    for _ in 0..KILLS {
        tokio::time::sleep(Duration::from_millis(dice.between(200, 1800))).await;
        running.kill();
        tokio::time::sleep(Duration::from_millis(dice.between(0, 300))).await;
        running = house.start();
    }
    let mut sent: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (chat, talk) in talks.into_iter().enumerate() {
        sent.insert(format!("{}@c.us", phone(chat)), talk.await.unwrap());
    }
    wait_for_all(&collector, &sent).await;
    let status = running.terminate();
    assert!(status.success(), "{status}");

    for path in ["/messages", "/everything"] {
        let received = collector.received(path);
        nothing_missing(&received, &sent, path);
        repeats_say_so(&received, path);
        lanes_in_order(&received, &sent, path);
    }
    sequences_are_dense(&collector.received("/everything"));
}

async fn wait_for_all(collector: &Arc<Collector>, sent: &BTreeMap<String, Vec<String>>) {
    let deadline = Instant::now() + DRAIN_LIMIT;
    let wanted = sent.values().map(Vec::len).sum::<usize>();
    loop {
        let counts = ["/messages", "/everything"].map(|path| ids(&collector.received(path)).len());
        if counts == [wanted, wanted] {
            return;
        }
        if Instant::now() > deadline {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn ids(received: &[Value]) -> BTreeSet<String> {
    let messages = received.iter().filter(|event| event["event"] == "message.received");
    messages.filter_map(|event| event["data"]["id"].as_str().map(str::to_owned)).collect()
}

fn nothing_missing(received: &[Value], sent: &BTreeMap<String, Vec<String>>, path: &str) {
    let wanted: BTreeSet<String> = sent.values().flatten().cloned().collect();
    assert_eq!(wanted.len(), CHATS * MESSAGES_PER_CHAT);
    let got = ids(received);
    let missing: Vec<_> = wanted.difference(&got).collect();
    assert!(missing.is_empty(), "{path}: {} missing: {missing:?}", missing.len());
    assert_eq!(got.difference(&wanted).count(), 0, "{path}: messages nobody sent");
}

/// A repeat of a message carries the idempotency key, the delivery id and the body it had.
fn repeats_say_so(received: &[Value], path: &str) {
    let mut first: HashMap<&str, &Value> = HashMap::new();
    for event in received.iter().filter(|event| event["event"] == "message.received") {
        let id = event["data"]["id"].as_str().unwrap();
        if let Some(earlier) = first.insert(id, event) {
            assert_eq!(earlier, event, "{path}: a repeat differs");
        }
    }
    let keys: BTreeSet<_> =
        first.values().map(|event| event["idempotencyKey"].to_string()).collect();
    assert_eq!(keys.len(), first.len(), "{path}: one key for each message");
}

/// Within a lane nothing ever arrives after something newer, repeats included.
fn lanes_in_order(received: &[Value], sent: &BTreeMap<String, Vec<String>>, path: &str) {
    let mut highest: HashMap<String, u64> = HashMap::new();
    for event in received {
        let lane = event["data"]["chatId"].as_str().unwrap_or("session").to_owned();
        let sequence = event["sequence"].as_u64().unwrap();
        let highest = highest.entry(lane.clone()).or_default();
        assert!(sequence >= *highest, "{path}: {lane}: {sequence} after {highest}");
        *highest = sequence;
    }
    for (chat, wanted) in sent {
        let mut order: Vec<&str> = Vec::new();
        for event in received.iter().filter(|event| event["data"]["chatId"] == chat.as_str()) {
            let id = event["data"]["id"].as_str().unwrap();
            if order.last() != Some(&id) {
                order.push(id);
            }
        }
        assert_eq!(order, *wanted, "{path}: {chat} in the order it was said");
    }
}

/// Whoever gets every event sees no gap.
fn sequences_are_dense(received: &[Value]) {
    let sequences: BTreeSet<u64> =
        received.iter().filter_map(|event| event["sequence"].as_u64()).collect();
    let (first, last) = (*sequences.first().unwrap(), *sequences.last().unwrap());
    let gaps: Vec<u64> = (first..=last).filter(|number| !sequences.contains(number)).collect();
    assert!(gaps.is_empty(), "no event for {gaps:?}");
}
