//! A batch of 500 and SIGKILL at random moments: each recipient gets it once, in order, at the batch's pace.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};
use simulator::{AcceptedMessage, Account, NetworkRecord};
use tokio::time::Instant;

use crate::{
    dice::Dice,
    support::{Api, Prepared},
};

const SHOP: &str = "4915550001000";
const PEOPLE: usize = 500;
const KILLS: usize = 5;
/// How much faster than time the program's clock runs.
const RATE: u64 = 20;
const DELAY_MS: u64 = 1000;
/// How late the network answers: so that many a kill hits a message that is out and not confirmed.
const ACK_DELAY: Duration = Duration::from_millis(25);
/// The batch by itself takes half a minute; two cores share many tests.
const END_LIMIT: Duration = Duration::from_secs(300);
/// The program and the network each see whole milliseconds of the same clock, so a wait between two messages may look
/// as much shorter. Nothing else can shorten it: the network notes a message long before its late answer, and the
/// program counts the wait from that.
const GRAIN_MS: i64 = 2;

fn guest(number: usize) -> String {
    format!("49170{:08}", number + 1)
}

fn text(number: usize) -> String {
    format!("Hello number {number}")
}

fn order() -> Value {
    let message = |number| {
        let (chat, content) = (format!("{}@c.us", guest(number)), json!({ "text": text(number) }));
        json!({ "chatId": chat, "type": "text", "content": content })
    };
    let messages: Vec<Value> = (0..PEOPLE).map(message).collect();
    let options = json!({ "delayBetweenMessages": DELAY_MS, "randomizeDelay": false });
    json!({ "batchId": "spring", "messages": messages, "options": options })
}

async fn ended(api: &Api, path: &str) -> Value {
    let deadline = Instant::now() + END_LIMIT;
    loop {
        let batch = api.get(&format!("{path}?limit=1")).await;
        if batch["completedAt"].is_string() {
            return batch;
        }
        assert!(Instant::now() < deadline, "it never ended: {batch}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_messages_survive_five_kills() {
    let mut dice = Dice::of(0xba7c_2026);
    let house = Prepared::new().await;
    let session = house.link(&[SHOP]).await[0];
    let mut guests = Vec::with_capacity(PEOPLE);
    for number in 0..PEOPLE {
        guests.push(house.network.add_account(&guest(number), "Guest").await);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let clock = format!("{RATE}@{now}");
    // Limits are of the fast clock as well: the longest that are allowed, so that a busy machine is none.
    let env = [
        ("WAYPOST_CLOCK_RATE", clock.as_str()),
        ("WAYPOST_SEND_ANSWER_LIMIT_MS", "120000"),
        ("MESSAGE_REAPER_GRACE_MS", "604800000"),
    ];
    house.network.faults().delay_acks(ACK_DELAY);
    let mut running = house.start_with(&env);
    running.api().ready(session).await;
    let base = format!("/sessions/{session}/messages");
    let (status, accepted) = running.api().post(&format!("{base}/send-bulk"), &order()).await;
    assert_eq!(status, 202, "{accepted}");
    for _ in 0..KILLS {
        tokio::time::sleep(Duration::from_millis(dice.between(300, 4000))).await;
        let before = running.api().get(&format!("{base}/batch/spring?limit=1")).await;
        assert_eq!(before["completedAt"], Value::Null, "killed while it runs: {before}");
        running.kill();
        tokio::time::sleep(Duration::from_millis(dice.between(0, 500))).await;
        running = house.start_with(&env);
    }
    let path = format!("{base}/batch/spring");
    ended(&running.api(), &path).await;
    let batch = running.api().get(&path).await;
    let record = house.network.record();
    counts_are_right(&batch);
    each_got_it_once(&guests, &batch).await;
    let wire = first_times(&record);
    in_order(&wire, &batch);
    at_its_pace(&record);
    receipts_equal_the_list(&house.network.record(), &batch);
    assert_eq!((record.unknown, record.unanswered), (vec![], vec![]));
    assert!(running.log().contains("WAYPOST_CLOCK_RATE"), "a fast clock is warned of");
    assert!(running.terminate().success());
}

fn counts_are_right(batch: &Value) {
    assert_eq!(batch["status"], "completed");
    let progress =
        json!({ "total": PEOPLE, "sent": PEOPLE, "failed": 0, "pending": 0, "cancelled": 0 });
    assert_eq!(batch["progress"], progress);
    let results = batch["results"].as_array().unwrap();
    assert_eq!(results.len(), PEOPLE);
    for (number, result) in results.iter().enumerate() {
        let chat = format!("{}@c.us", guest(number));
        let found = (&result["index"], &result["chatId"], &result["status"]);
        assert_eq!(found, (&json!(number), &json!(chat), &json!("sent")));
    }
}

/// The ids of the results, in their order.
fn ids(batch: &Value) -> Vec<&str> {
    let results = batch["results"].as_array().unwrap().iter();
    results.map(|result| result["messageId"].as_str().unwrap()).collect()
}

async fn each_got_it_once(guests: &[Account], batch: &Value) {
    for (number, (account, id)) in guests.iter().zip(ids(batch)).enumerate() {
        let inbox = account.inbox().await;
        let got: Vec<_> = inbox.iter().map(|got| (got.id.as_str(), got.text.as_str())).collect();
        assert_eq!(got, [(id, text(number).as_str())], "guest {number}");
    }
}

/// Each message as it went out for the first time.
fn first_times(record: &NetworkRecord) -> Vec<&AcceptedMessage> {
    let mut seen = HashMap::new();
    for message in record.messages.iter().filter(|message| message.from_phone == SHOP) {
        let index = seen.len();
        seen.entry(message.id.as_str()).or_insert((index, message));
    }
    let mut first: Vec<_> = seen.into_values().collect();
    first.sort_by_key(|(index, _)| *index);
    first.into_iter().map(|(_, message)| message).collect()
}

fn in_order(wire: &[&AcceptedMessage], batch: &Value) {
    let order: Vec<&str> = wire.iter().map(|message| message.id.as_str()).collect();
    assert_eq!(order, ids(batch), "the order of the list");
}

/// What goes out again after a kill, under its id, has its time already; the next new one keeps its distance from it.
fn at_its_pace(record: &NetworkRecord) {
    let least = i64::try_from(DELAY_MS / RATE).unwrap() - GRAIN_MS;
    let mut seen: Vec<&str> = Vec::new();
    let mut again = 0;
    let mut last: Option<i64> = None;
    for message in record.messages.iter().filter(|message| message.from_phone == SHOP) {
        if seen.contains(&message.id.as_str()) {
            again += 1;
        } else if let Some(last) = last {
            let gap = message.at_millis - last;
            assert!(gap >= least, "message {} came {gap} ms after the one before", seen.len());
        }
        seen.push(&message.id);
        last = Some(message.at_millis);
    }
    println!("{again} went out again after a kill, under their ids");
}

/// Every phone said that it has the message, and no other.
fn receipts_equal_the_list(record: &NetworkRecord, batch: &Value) {
    let mut receipts: HashMap<&str, Vec<&str>> = HashMap::new();
    for receipt in record.receipts.iter().filter(|receipt| receipt.kind == "delivery") {
        if receipt.from_phone != SHOP {
            let of = receipts.entry(receipt.from_phone.as_str()).or_default();
            of.extend(receipt.ids.iter().map(String::as_str));
        }
    }
    assert_eq!(receipts.len(), PEOPLE);
    for (number, id) in ids(batch).into_iter().enumerate() {
        let mut of = receipts[guest(number).as_str()].clone();
        of.dedup();
        assert_eq!(of, [id], "guest {number}");
    }
}
