//! Each fault does what it says, once per count.

use std::time::{Duration, Instant};

use simulator::{DuplicateMessage, Network, NetworkOptions};
use whatsapp_rust::{SendOptions, prelude::*};

use crate::support::*;

fn with_id(id: &str) -> SendOptions {
    SendOptions::default().with_message_id(id)
}

#[tokio::test]
async fn a_link_dropped_before_acceptance_loses_the_message() {
    let network = network().await;
    let bob = network.account(BOB).unwrap();
    let alice = Gateway::linked(&network, ALICE).await;
    network.faults().drop_before_accept(1);
    let text = wa::Message::text("lost");
    let sent = alice
        .client
        .send_message_with_options(Jid::pn(BOB), text.clone(), with_id("3EB0FIRST"))
        .await;
    alice.event(|event| matches!(event, Event::Disconnected(_))).await;
    drop(sent);
    alice.until_connected().await;
    let record = network.record();
    assert_eq!(record.faults_struck, 1);
    assert!(record.messages.is_empty(), "{:?}", record.messages);

    alice.client.send_message_with_options(Jid::pn(BOB), text, with_id("3EB0FIRST")).await.unwrap();
    assert_eq!(alice.ack("3EB0FIRST").await, None);
    bob.wait_for(LIMIT, |message| message.id == "3EB0FIRST").await.unwrap();
    assert_eq!(bob.inbox().await.len(), 1);
    assert_all_answered(&network);
}

#[tokio::test]
async fn a_link_dropped_after_acceptance_delivers_and_a_second_try_is_a_duplicate() {
    let network = network().await;
    let bob = network.account(BOB).unwrap();
    let alice = Gateway::linked(&network, ALICE).await;
    network.faults().for_device(ALICE, alice.device).drop_after_accept(1);
    let text = wa::Message::text("once");
    let sent = alice
        .client
        .send_message_with_options(Jid::pn(BOB), text.clone(), with_id("3EB0SECOND"))
        .await;
    drop(sent);
    bob.wait_for(LIMIT, |message| message.id == "3EB0SECOND").await.unwrap();
    alice.event(|event| matches!(event, Event::Disconnected(_))).await;
    alice.until_connected().await;
    alice
        .client
        .send_message_with_options(Jid::pn(BOB), text, with_id("3EB0SECOND"))
        .await
        .unwrap();
    assert_eq!(alice.ack("3EB0SECOND").await, None);
    let again = DuplicateMessage { id: "3EB0SECOND".to_owned(), phone: BOB.to_owned() };
    until(|| network.record().duplicates.contains(&again)).await;
    let inbox = bob.inbox().await;
    assert_eq!(inbox.len(), 1, "the person sees it once");
    assert_all_answered(&network);
}

#[tokio::test]
async fn a_nack_is_reported_with_its_code_and_nothing_is_delivered() {
    let network = network().await;
    let bob = network.account(BOB).unwrap();
    let alice = Gateway::linked(&network, ALICE).await;
    network.faults().nack_next(463);
    network.faults().nack_next(479);
    for code in ["463", "479"] {
        let sent = alice.client.send_text(Jid::pn(BOB), code).await.unwrap();
        assert_eq!(alice.ack(&sent.message_id).await.as_deref(), Some(code));
    }
    let sent = alice.client.send_text(Jid::pn(BOB), "fine").await.unwrap();
    assert_eq!(alice.ack(&sent.message_id).await, None);
    bob.wait_for(LIMIT, |message| message.text == "fine").await.unwrap();
    assert_eq!(bob.inbox().await.len(), 1);
    assert_eq!(network.record().nacks.len(), 2);
    assert_all_answered(&network);
}

#[tokio::test]
async fn a_spoilt_ciphertext_between_devices_is_recovered_by_a_retry() {
    let network = network().await;
    let alice = Gateway::linked(&network, ALICE).await;
    let bob = Gateway::linked(&network, BOB).await;
    alice.client.send_text(bob.jid(), "warm").await.unwrap();
    bob.text("warm").await;
    bob.client.send_text(alice.jid(), "warm too").await.unwrap();
    alice.text("warm too").await;
    network.faults().corrupt_next(1);
    alice.client.send_text(bob.jid(), "garbled").await.unwrap();
    bob.text("garbled").await;
    let retries = network.record().receipts;
    assert!(retries.iter().any(|receipt| receipt.kind == "retry"));
    assert_all_answered(&network);
}

#[tokio::test]
async fn a_delay_holds_every_answer_back_and_keeps_the_order() {
    let network = network().await;
    let bob = network.account(BOB).unwrap();
    let alice = Gateway::linked(&network, ALICE).await;
    let delay = Duration::from_millis(300);
    network.faults().delay(delay);
    let started = Instant::now();
    for number in 0..20 {
        bob.send_text(ALICE, &format!("late {number}")).await.unwrap();
    }
    for number in 0..20 {
        alice.text(&format!("late {number}")).await;
    }
    let took = started.elapsed();
    assert!(took >= delay, "{took:?}");
    assert!(took < delay * 10, "a delay is not paid per stanza: {took:?}");
    network.faults().clear();
    assert_all_answered(&network);
}

#[tokio::test]
async fn a_delay_and_the_distance_reach_clients_that_pair() {
    let distance = Duration::from_millis(200);
    let options = NetworkOptions { latency: distance, strict: true, ..NetworkOptions::default() };
    let network = Network::start_with(options).await.unwrap();
    network.add_account(ALICE, "Alice").await;
    let delay = Duration::from_millis(300);
    network.faults().delay(delay);
    let started = Instant::now();
    let alice = Gateway::pairing(&network, ALICE).await;
    assert!(started.elapsed() >= distance + delay, "{:?}", started.elapsed());
    network.faults().clear();
    alice.event(|event| matches!(event, Event::PairSuccess(_))).await;
}

#[tokio::test]
async fn a_refused_login_reports_its_reason_and_the_next_one_works() {
    let network = network().await;
    let provisioned = network.provision_device(ALICE).await.unwrap();
    network.faults().refuse_login(ALICE, 503, 1);
    let backend = store(&provisioned).await;
    let alice =
        Gateway::start(&network, backend, ALICE, provisioned.device_id, Start::default()).await;
    let event = alice.event(|event| matches!(event, Event::ConnectFailure(_))).await;
    drop(event);
    alice.until_connected().await;
    assert_all_answered(&network);
}

#[tokio::test]
async fn a_temporary_ban_is_reported_as_one() {
    let network = network().await;
    let provisioned = network.provision_device(ALICE).await.unwrap();
    network.faults().refuse_login(ALICE, 402, 1);
    let backend = store(&provisioned).await;
    let alice =
        Gateway::start(&network, backend, ALICE, provisioned.device_id, Start::default()).await;
    alice.event(|event| matches!(event, Event::TemporaryBan(_))).await;
    assert_all_answered(&network);
}

#[tokio::test]
async fn a_fault_for_one_device_leaves_the_others_alone() {
    let network = network().await;
    let bob = network.account(BOB).unwrap();
    let alice = Gateway::linked(&network, ALICE).await;
    let second = Gateway::linked(&network, ALICE).await;
    network.faults().for_device(ALICE, second.device).nack_next(463);
    let sent = alice.client.send_text(Jid::pn(BOB), "one").await.unwrap();
    assert_eq!(alice.ack(&sent.message_id).await, None);
    let sent = second.client.send_text(Jid::pn(BOB), "two").await.unwrap();
    assert_eq!(second.ack(&sent.message_id).await.as_deref(), Some("463"));
    bob.wait_for(LIMIT, |message| message.text == "one").await.unwrap();
    assert_all_answered(&network);
}
