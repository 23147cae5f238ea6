//! Many messages at once: order, completeness, speed.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use simulator::Network;
use whatsapp_rust::{prelude::*, store::traits::Backend};

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
        let event = alice.event(|event| matches!(event, Event::Messages(_))).await;
        let Event::Messages(batch) = &*event else { unreachable!() };
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
        Start { push_name: None, hook: Some(Box::new(NeverKeeps)) },
    )
    .await;
    alice.until_connected().await;
    let mut ids = Vec::new();
    for number in 0..MESSAGES {
        ids.push(bob.send_text(ALICE, &number.to_string()).await.unwrap());
    }
    // The first client never keeps anything; a second one on a fresh copy of the store reads the same ciphertexts.
    until(|| network.queued(ALICE, device).len() >= MESSAGES).await;
    let again =
        Gateway::start(&network, store(&provisioned).await, ALICE, device, Start::default()).await;
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
        _client: Arc<Client>,
        _batch: &[InboundMessage],
    ) -> anyhow::Result<()> {
        anyhow::bail!("never")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_killed_again_and_again_misses_nothing_and_keeps_the_order() {
    const PEOPLE: usize = 5;
    const EACH: usize = 60;
    const KILLS: usize = 6;
    let network = network().await;
    let provisioned = network.provision_device(ALICE).await.unwrap();
    let device = provisioned.device_id;
    let mut people = Vec::new();
    for number in 0..PEOPLE {
        let phone = format!("55119777700{number:02}");
        people.push(network.add_account(&phone, "Somebody").await);
    }
    let sending = people.iter().cloned().map(|person| {
        tokio::spawn(async move {
            let mut ids = Vec::new();
            for number in 0..EACH {
                ids.push(person.send_text(ALICE, &number.to_string()).await.unwrap());
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            (person.phone().to_owned(), ids)
        })
    });
    let sending: Vec<_> = sending.collect();

    // What the gateway kept, in the order it kept it; a message may come twice, as delivery is at least once.
    let kept: Arc<Mutex<Vec<(String, String)>>> = Default::default();
    let backend = store(&provisioned).await;
    for _ in 0..KILLS {
        let life = Life::begin(&network, &backend, device, &kept).await;
        tokio::time::sleep(Duration::from_millis(80)).await;
        life.kill();
        until(|| !network.is_connected(ALICE, device)).await;
    }
    let last = Life::begin(&network, &backend, device, &kept).await;
    for sender in sending {
        let (phone, ids) = sender.await.unwrap();
        let of_sender = || -> Vec<String> {
            let kept = kept.lock().unwrap();
            let own = kept.iter().filter(|(from, _)| *from == phone);
            let mut seen = std::collections::HashSet::new();
            own.map(|(_, id)| id.clone()).filter(|id| seen.insert(id.clone())).collect()
        };
        until(|| of_sender().len() == ids.len()).await;
        assert_eq!(of_sender(), ids, "{phone}");
    }
    until(|| network.queued(ALICE, device).is_empty()).await;
    last.kill();
    assert_all_answered(&network);
}

/// A gateway in a runtime of its own, which ends as a killed process does: between two instructions, with its sockets.
struct Life(tokio::runtime::Runtime);

impl Life {
    async fn begin(
        network: &Network,
        backend: &Arc<dyn Backend>,
        device: u16,
        kept: &Arc<Mutex<Vec<(String, String)>>>,
    ) -> Life {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let start = Start { push_name: None, hook: Some(Box::new(Keeps(kept.clone()))) };
        let (network, backend) = (network.clone(), backend.clone());
        let (connected, wait) = tokio::sync::oneshot::channel();
        runtime.spawn(async move {
            let gateway = Gateway::start(&network, backend, ALICE, device, start).await;
            drop(network);
            gateway.until_connected().await;
            let _ = connected.send(());
            std::future::pending::<()>().await;
        });
        wait.await.unwrap();
        Life(runtime)
    }

    fn kill(self) {
        self.0.shutdown_background();
    }
}

/// Keeps what it is given, as the gateway's store would.
struct Keeps(Arc<Mutex<Vec<(String, String)>>>);

#[async_trait::async_trait]
impl whatsapp_rust::InboundDurabilityHook for Keeps {
    async fn on_messages(
        &self,
        _client: Arc<Client>,
        batch: &[InboundMessage],
    ) -> anyhow::Result<()> {
        let mut kept = self.0.lock().unwrap();
        for message in batch {
            let from = &message.info.source.sender;
            let from = match from.is_lid() {
                true => message.info.source.sender_alt.clone().unwrap(),
                false => from.clone(),
            };
            kept.push((from.user.to_string(), message.info.id.clone()));
        }
        Ok(())
    }
}
