//! What becomes of sends when the link drops at any step, the process is killed between any two, or a thousand come at
//! once: nobody gets a message twice, no final state is wrong, and nothing stays unknown.

use std::{collections::BTreeMap, time::Duration};

use domain::SessionId;
use futures::StreamExt as _;
use serde_json::{Value, json};
use simulator::Account;
use tokio::time::Instant;

use crate::{
    dice::Dice,
    support::{Api, LIMIT, Prepared},
};

/// From the reconnect to the last settled send.
const SETTLE_LIMIT: Duration = Duration::from_secs(10);

fn shop(number: usize) -> String {
    format!("49155{:08}", number + 1)
}

fn guest(number: usize) -> String {
    format!("49170{:08}", number + 1)
}

/// All rows of a session, oldest first.
async fn rows(api: &Api, session: SessionId) -> Vec<Value> {
    let mut rows = Vec::new();
    loop {
        let page = format!("/sessions/{session}/messages?limit=100&offset={}", rows.len());
        let body = api.get(&page).await;
        let page = body["messages"].as_array().unwrap();
        rows.extend(page.iter().cloned());
        if page.is_empty() || rows.len() as u64 >= body["total"].as_u64().unwrap() {
            rows.reverse();
            return rows;
        }
    }
}

/// Waits until no send of a session is `pending`; how long that took.
async fn settled(api: &Api, session: SessionId) -> Duration {
    let began = Instant::now();
    loop {
        let rows = rows(api, session).await;
        let open = rows.iter().filter(|row| row["status"] == "pending").count();
        if open == 0 {
            return began.elapsed();
        }
        assert!(began.elapsed() < LIMIT, "{open} sends of {session} were never settled");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The texts a phone shows from one number, in the order it got them.
pub async fn shown(guest: &Account, from: &str) -> Vec<String> {
    let inbox = guest.inbox().await;
    inbox.into_iter().filter(|message| message.from_phone == from).map(|m| m.text).collect()
}

/// Every row that says the message went out is on the recipient's phone once, and every other is not.
async fn states_are_true(
    api: &Api,
    session: SessionId,
    from: &str,
    guests: &BTreeMap<String, Account>,
) -> usize {
    let rows = rows(api, session).await;
    let mut expected: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row["direction"] == "outgoing") {
        let texts = expected.entry(row["chatId"].as_str().unwrap()).or_default();
        match row["status"].as_str().unwrap() {
            "sent" | "delivered" | "read" => texts.push(row["body"].as_str().unwrap().to_owned()),
            "failed" => {}
            other => panic!("{other} is not a final state: {row}"),
        }
    }
    for (chat, guest) in guests {
        let wanted = expected.remove(chat.as_str()).unwrap_or_default();
        let deadline = Instant::now() + LIMIT;
        let mut got = shown(guest, from).await;
        while got.len() < wanted.len() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(50)).await;
            got = shown(guest, from).await;
        }
        assert_eq!(
            got, wanted,
            "{chat}: what the phone shows is what the rows say, in their order"
        );
    }
    rows.len()
}

/// One round of one session: some sends at once, and a fault that strikes one of them.
async fn round(house: &Prepared, api: &Api, session: SessionId, from: &str, dice: &mut Dice) {
    let device = house.network.account(from).unwrap().devices()[0];
    let faults = house.network.faults().for_device(from, device);
    match dice.between(0, 4) {
        0 => faults.drop_before_accept(1),
        1 => faults.drop_after_accept(1),
        2 => faults.delay(Duration::from_millis(dice.between(1, 200))),
        3 => faults.nack_next([404, 463, 500][dice.between(0, 2) as usize]),
        _ => {}
    }
    let kick = dice.between(0, 2) == 0;
    let count = dice.between(2, 5);
    let texts = (0..count).map(|number| {
        let chat = format!("{}@c.us", guest(dice.between(0, 2) as usize));
        let text = format!("{number} of {:x}", dice.between(1, u64::MAX / 2));
        let body = json!({ "chatId": chat, "text": text });
        let path = format!("/sessions/{session}/messages/send-text");
        async move { api.post(&path, &body).await }
    });
    let sends = futures::future::join_all(texts);
    let kicking = async {
        if kick {
            tokio::time::sleep(Duration::from_millis(20)).await;
            house.network.kick(from, device).await;
        }
    };
    let (answers, ()) = tokio::join!(sends, kicking);
    for (status, body) in answers {
        let known = [201, 400, 403, 409, 429, 502, 503].contains(&status);
        assert!(known, "a send was answered {status}: {body}");
    }
    faults.delay(Duration::ZERO);
    api.ready(session).await;
    let took = settled(api, session).await;
    assert!(took < SETTLE_LIMIT, "settled only {took:?} after the reconnect");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_link_may_drop_at_any_step() {
    const SESSIONS: usize = 12;
    const ROUNDS: usize = 5;
    let house = Prepared::new().await;
    let shops: Vec<String> = (0..SESSIONS).map(shop).collect();
    let sessions = house.link(&shops.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let mut guests = BTreeMap::new();
    for number in 0..3 {
        let account = house.network.add_account(&guest(number), "Guest").await;
        guests.insert(format!("{}@c.us", guest(number)), account);
    }
    let running = house.start_with(&[("WAYPOST_SEND_ANSWER_LIMIT_MS", "3000")]);
    let api = running.api();
    let mut seed = Dice::of(2026);
    let base = seed.between(1, u64::MAX / 2);
    let parts = sessions.iter().zip(&shops).enumerate().map(|(part, (session, from))| {
        let (house, api) = (&house, &api);
        async move {
            api.ready(*session).await;
            let mut dice = Dice::part(base, part);
            for _ in 0..ROUNDS {
                round(house, api, *session, from, &mut dice).await;
            }
        }
    });
    futures::future::join_all(parts).await;
    let mut sends = 0;
    for (session, from) in sessions.iter().zip(&shops) {
        sends += states_are_true(&api, *session, from, &guests).await;
    }
    assert!(sends >= SESSIONS * ROUNDS * 2, "{sends} sends");
    let record = house.network.record();
    assert!(record.faults_struck > 0, "no fault struck");
    assert_eq!((record.unknown, record.unanswered), (vec![], vec![]));
}

/// A client that does what idempotent sends are for: it asks again with the same key until it is answered.
pub async fn insist(api: &Api, session: SessionId, key: &str, body: &Value) -> Value {
    let path = format!("/sessions/{session}/messages/send-text");
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some((status, answer)) = api.try_post_with(&path, body, key).await
            && status == 201
        {
            return answer;
        }
        assert!(Instant::now() < deadline, "{key} was never answered");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_process_may_die_between_any_two_steps() {
    const SESSIONS: usize = 4;
    const SENDS: usize = 40;
    const KILLS: usize = 6;
    let mut dice = Dice::of(0x5e4d_2026);
    let house = Prepared::new().await;
    let shops: Vec<String> = (0..SESSIONS).map(shop).collect();
    let sessions = house.link(&shops.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let mut guests = BTreeMap::new();
    for number in 0..3 {
        let account = house.network.add_account(&guest(number), "Guest").await;
        guests.insert(format!("{}@c.us", guest(number)), account);
    }
    let port = crate::support::free_port();
    let env = [("PORT", port.as_str())];
    let mut running = house.start_with(&env);
    let api = running.api();
    for session in &sessions {
        api.ready(*session).await;
    }
    let mut clients = Vec::new();
    for (part, session) in sessions.iter().copied().enumerate() {
        let api = api.clone();
        clients.push(tokio::spawn(async move {
            for number in 0..SENDS {
                let chat = format!("{}@c.us", guest(number % 3));
                let body = json!({ "chatId": chat, "text": format!("{part}: {number}") });
                insist(&api, session, &format!("order-{part}-{number}"), &body).await;
            }
        }));
    }
    for _ in 0..KILLS {
        tokio::time::sleep(Duration::from_millis(dice.between(300, 2500))).await;
        running.kill();
        running = house.start_with(&env);
    }
    for client in clients {
        client.await.unwrap();
    }
    for (part, (session, from)) in sessions.iter().zip(&shops).enumerate() {
        api.ready(*session).await;
        settled(&api, *session).await;
        states_are_true(&api, *session, from, &guests).await;
        for (number, account) in guests.values().enumerate() {
            let wanted: Vec<String> =
                (0..SENDS).filter(|n| n % 3 == number).map(|n| format!("{part}: {n}")).collect();
            assert_eq!(shown(account, from).await, wanted, "each order once, in its order");
        }
    }
    assert!(running.terminate().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_sends_over_fifty_sessions() {
    const SESSIONS: usize = 50;
    const EACH: usize = 20;
    const AT_ONCE: usize = 200;
    let house = Prepared::new().await;
    let shops: Vec<String> = (0..SESSIONS).map(shop).collect();
    let sessions = house.link(&shops.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let mut guests = BTreeMap::new();
    for number in 0..4 {
        let account = house.network.add_account(&guest(number), "Guest").await;
        guests.insert(format!("{}@c.us", guest(number)), account);
    }
    let running = house.start_with(&[("WAYPOST_SEND_ANSWER_LIMIT_MS", "60000")]);
    let api = running.api();
    for session in &sessions {
        api.ready(*session).await;
    }
    let mut posts = Vec::new();
    for number in 0..EACH {
        for session in &sessions {
            let body = json!({ "chatId": format!("{}@c.us", guest(number % 4)), "text": format!("{number}") });
            let path = format!("/sessions/{session}/messages/send-text");
            let api = api.clone();
            posts.push(async move { api.post(&path, &body).await });
        }
    }
    // As many connections as one address may have, and some are left.
    let answers = futures::stream::iter(posts).buffer_unordered(AT_ONCE);
    let answers: Vec<_> = answers.collect().await;
    assert_eq!(answers.len(), SESSIONS * EACH);
    for (status, body) in answers {
        assert_eq!(status, 201, "{body}");
    }
    for (session, from) in sessions.iter().zip(&shops) {
        settled(&api, *session).await;
        assert_eq!(states_are_true(&api, *session, from, &guests).await, EACH, "none lost");
    }
    let peak = running.peak_mib();
    assert!(peak < 700, "the process needed {peak} MiB");
}
