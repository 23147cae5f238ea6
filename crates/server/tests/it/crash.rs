//! The crash test: 3,000 inbound messages from 20 chats to 2 webhooks, SIGKILL at random moments, nothing lost, nothing
//! doubled without saying so, nothing out of order.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    collector::Collector,
    counting::{
        ids, lanes_in_order, nothing_missing, phone, register, repeats_say_so, sequences_are_dense,
        talk,
    },
    dice::Dice,
    support::Prepared,
};

const SHOP: &str = "4915550001000";
const CHATS: usize = 20;
const MESSAGES_PER_CHAT: usize = 150;
const KILLS: usize = 6;
/// Between two messages of one chat, so that the flow outlasts the kills.
const GAP: Duration = Duration::from_millis(90);
/// From the last message sent to the last one delivered.
const DRAIN_LIMIT: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn three_thousand_messages_survive_kill_minus_nine() {
    let mut dice = Dice::of(0x5eed_2026);
    let house = Prepared::new().await;
    let session = house.link(&[SHOP]).await[0];
    let collector = Collector::start().await;

    let mut running = house.start();
    running.api().ready(session).await;
    register(&running.api(), session, &collector.url("/messages"), &["message.received"]).await;
    register(&running.api(), session, &collector.url("/everything"), &["*"]).await;

    let mut talks = Vec::new();
    for chat in 0..CHATS {
        let contact = house.network.add_account(&phone(chat), &format!("Guest {chat}")).await;
        talks.push(tokio::spawn(talk(contact, SHOP, MESSAGES_PER_CHAT, GAP)));
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
