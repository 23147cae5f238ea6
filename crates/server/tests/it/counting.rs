//! Messages that can be told apart, and the three zeros: nothing lost, nothing out of order, nothing doubled without
//! saying so.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use serde_json::{Value, json};
use simulator::Account;

use crate::support::Api;

/// A contact says its messages in order; the ids are the simulator's own list.
pub async fn talk(contact: Account, to: &str, count: usize, gap: Duration) -> Vec<String> {
    let mut ids = Vec::with_capacity(count);
    for number in 0..count {
        ids.push(contact.send_text(to, &format!("message {number}")).await.unwrap());
        tokio::time::sleep(gap).await;
    }
    ids
}

/// The number of a contact.
pub fn phone(chat: usize) -> String {
    format!("49170{:08}", chat + 1)
}

pub async fn register(api: &Api, session: domain::SessionId, url: &str, events: &[&str]) {
    register_with(api, session, url, events, json!({})).await;
}

/// With a policy of its own.
pub async fn register_with(
    api: &Api,
    session: domain::SessionId,
    url: &str,
    events: &[&str],
    policy: Value,
) {
    let mut body =
        json!({ "url": url, "events": events, "secret": "a-secret-of-the-tests", "retryCount": 5 });
    body["policy"] = policy;
    let (status, answer) = api.post(&format!("/sessions/{session}/webhooks"), &body).await;
    assert_eq!(status, 201, "{answer}");
}

/// The ids of the messages in it.
pub fn ids(received: &[Value]) -> BTreeSet<String> {
    let messages = received.iter().filter(|event| event["event"] == "message.received");
    messages.filter_map(|event| event["data"]["id"].as_str().map(str::to_owned)).collect()
}

/// Ids of messages that did not arrive.
pub fn missing(received: &[Value], sent: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let got = ids(received);
    sent.values().flatten().filter(|id| !got.contains(*id)).cloned().collect()
}

/// Every message arrived, and none that nobody sent.
pub fn nothing_missing(received: &[Value], sent: &BTreeMap<String, Vec<String>>, path: &str) {
    let wanted: BTreeSet<String> = sent.values().flatten().cloned().collect();
    let got = ids(received);
    let missing: Vec<_> = wanted.difference(&got).collect();
    assert!(missing.is_empty(), "{path}: {} missing: {missing:?}", missing.len());
    assert_eq!(got.difference(&wanted).count(), 0, "{path}: messages nobody sent");
}

/// A repeat of a message carries the idempotency key, the delivery id and the body it had.
pub fn repeats_say_so(received: &[Value], path: &str) {
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
pub fn lanes_in_order(received: &[Value], sent: &BTreeMap<String, Vec<String>>, path: &str) {
    let mut highest: HashMap<String, u64> = HashMap::new();
    // Who was met is told in the lane of their chat, which its data does not name.
    for event in received.iter().filter(|event| event["event"] != "contact.resolved") {
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
pub fn sequences_are_dense(received: &[Value]) {
    let sequences: BTreeSet<u64> =
        received.iter().filter_map(|event| event["sequence"].as_u64()).collect();
    let (first, last) = (*sequences.first().unwrap(), *sequences.last().unwrap());
    let gaps: Vec<u64> = (first..=last).filter(|number| !sequences.contains(number)).collect();
    assert!(gaps.is_empty(), "no event for {gaps:?}");
}
