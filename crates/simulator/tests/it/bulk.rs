//! Many messages at once: order, completeness, speed.

use std::time::{Duration, Instant};

use whatsapp_rust::prelude::*;

use crate::support::*;

#[tokio::test]
async fn a_thousand_messages_queued_while_offline_arrive_in_order() {
    const MESSAGES: usize = 1_000;
    let network = network().await;
    let bob = network.account(BOB).unwrap();
    let provisioned = network.provision_device(ALICE).await.unwrap();
    let device = provisioned.device_id;
    let mut ids = Vec::with_capacity(MESSAGES);
    for number in 0..MESSAGES {
        ids.push(bob.send_text(ALICE, &number.to_string()).await.unwrap());
    }
    assert_eq!(network.queued(ALICE, device).len(), MESSAGES);

    let backend = store(&provisioned).await;
    let alice = Gateway::start(&network, backend, ALICE, device, Start::default()).await;
    let mut received = Vec::with_capacity(MESSAGES);
    while received.len() < MESSAGES {
        let event = alice
            .event(|event| matches!(event, Event::Messages(_)))
            .await;
        let Event::Messages(batch) = &*event else {
            unreachable!()
        };
        for message in batch.messages.iter() {
            assert!(message.info.is_offline);
            received.push(message.info.id.clone());
        }
    }
    assert_eq!(received, ids);
    until(|| network.queued(ALICE, device).is_empty()).await;
    assert_all_answered(&network);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_thousand_messages_of_twenty_people_are_sent_within_seconds() {
    const PEOPLE: usize = 20;
    const EACH: usize = 150;
    let network = network().await;
    let provisioned = network.provision_device(ALICE).await.unwrap();
    let mut people = Vec::new();
    for number in 0..PEOPLE {
        let phone = format!("55119888800{number:02}");
        people.push(network.add_account(&phone, "Somebody").await);
    }
    let started = Instant::now();
    let sending = people.iter().cloned().map(|person| {
        tokio::spawn(async move {
            for number in 0..EACH {
                let text = format!("{} {number}", person.phone());
                person.send_text(ALICE, &text).await.unwrap();
            }
        })
    });
    for sender in sending.collect::<Vec<_>>() {
        sender.await.unwrap();
    }
    let took = started.elapsed();
    println!("{} messages in {took:?}", PEOPLE * EACH);
    assert!(took < Duration::from_secs(60), "{took:?}");
    let queued = network.queued(ALICE, provisioned.device_id);
    assert_eq!(queued.len(), PEOPLE * EACH);
    assert_eq!(network.record().overflowed, 0);
}

#[tokio::test]
async fn messages_not_acknowledged_come_again_unchanged_and_in_order() {
    const MESSAGES: usize = 50;
    let network = network().await;
    let bob = network.account(BOB).unwrap();
    let provisioned = network.provision_device(ALICE).await.unwrap();
    let device = provisioned.device_id;
    let alice = Gateway::start(
        &network,
        store(&provisioned).await,
        ALICE,
        device,
        Start {
            push_name: None,
            hook: Some(Box::new(NeverKeeps)),
        },
    )
    .await;
    alice.until_connected().await;
    let mut ids = Vec::new();
    for number in 0..MESSAGES {
        ids.push(bob.send_text(ALICE, &number.to_string()).await.unwrap());
    }
    // The first client never keeps anything; a second one on a fresh copy of the store reads the same ciphertexts.
    until(|| network.queued(ALICE, device).len() >= MESSAGES).await;
    let again = Gateway::start(
        &network,
        store(&provisioned).await,
        ALICE,
        device,
        Start::default(),
    )
    .await;
    let mut received = Vec::new();
    while received.len() < MESSAGES {
        let (_, info) = again.message(|message, _| message.text_content().is_some()).await;
        received.push(info.id.clone());
    }
    assert_eq!(received, ids);
    until(|| network.queued(ALICE, device).is_empty()).await;
    assert_all_answered(&network);
}

struct NeverKeeps;

#[async_trait::async_trait]
impl whatsapp_rust::InboundDurabilityHook for NeverKeeps {
    async fn on_messages(
        &self,
        _client: std::sync::Arc<Client>,
        _batch: &[InboundMessage],
    ) -> anyhow::Result<()> {
        anyhow::bail!("never")
    }
}
