//! Links that end: by the server, by the person, by the client, by another client.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use whatsapp_rust::{InboundDurabilityHook, prelude::*, wacore_binary::builder::NodeBuilder};

use crate::support::*;

#[tokio::test]
async fn a_closed_link_is_opened_again_by_ik() {
    let network = network().await;
    let alice = Gateway::linked(&network, ALICE).await;
    network.kick(ALICE, alice.device).await;
    alice.event(|event| matches!(event, Event::Disconnected(_))).await;
    alice.until_connected().await;
    assert_eq!(network.record().handshakes.get("IK"), Some(&2));
    network.account(BOB).unwrap().send_text(ALICE, "still there?").await.unwrap();
    alice.text("still there?").await;
    assert_all_answered(&network);
}

/// A client learns of a goodbye a moment late, and what it said meanwhile is not taken for a broken frame.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_client_says_into_a_goodbye_is_dropped_whole() {
    const GOODBYES: usize = 3;
    let network = network().await;
    let alice = Gateway::linked(&network, ALICE).await;
    let client = alice.client.clone();
    let talk = tokio::spawn(async move {
        loop {
            let presence = NodeBuilder::new("presence").attr("type", "available").build();
            if client.send_node(presence).await.is_err() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    });
    for _ in 0..GOODBYES {
        network.kick(ALICE, alice.device).await;
        alice.event(|event| matches!(event, Event::Disconnected(_))).await;
        alice.until_connected().await;
    }
    talk.abort();
    assert_eq!(network.record().unreadable, Vec::<String>::new());
    assert_all_answered(&network);
}

#[tokio::test]
async fn what_arrived_meanwhile_is_delivered_at_login_and_leaves_the_queue() {
    let network = network().await;
    let bob = network.account(BOB).unwrap();
    let mut alice = Gateway::linked(&network, ALICE).await;
    alice.stop().await;
    until(|| !network.is_connected(ALICE, alice.device)).await;
    let mut ids = Vec::new();
    for text in ["while off 1", "while off 2"] {
        ids.push(bob.send_text(ALICE, text).await.unwrap());
    }
    let waiting: Vec<String> = network
        .queued(ALICE, alice.device)
        .into_iter()
        .filter(|(class, _)| class == "message")
        .map(|(_, id)| id)
        .collect();
    assert_eq!(waiting, ids);
    let again =
        Gateway::start(&network, alice.backend.clone(), ALICE, alice.device, Start::default())
            .await;
    for text in ["while off 1", "while off 2"] {
        assert!(again.text(text).await.is_offline);
    }
    until(|| network.queued(ALICE, alice.device).is_empty()).await;
    assert_all_answered(&network);
}

#[tokio::test]
async fn a_device_removed_on_the_phone_is_logged_out() {
    let network = network().await;
    let alice = Gateway::linked(&network, ALICE).await;
    let other = Gateway::linked(&network, ALICE).await;
    network.unlink(ALICE, alice.device).await.unwrap();
    alice.event(|event| matches!(event, Event::LoggedOut(_))).await;
    assert_eq!(network.account(ALICE).unwrap().devices(), [other.device]);
    assert!(network.unlink(ALICE, alice.device).await.is_err());
    // The other device learned that the list is shorter, and still works.
    network.account(BOB).unwrap().send_text(ALICE, "who is left?").await.unwrap();
    other.text("who is left?").await;
    assert_all_answered(&network);
}

#[tokio::test]
async fn a_client_that_logs_out_is_removed_from_its_account() {
    let network = network().await;
    let alice = Gateway::linked(&network, ALICE).await;
    alice.client.logout().await;
    alice.event(|event| matches!(event, Event::LoggedOut(_))).await;
    until(|| network.account(ALICE).unwrap().devices().is_empty()).await;
    assert_all_answered(&network);
}

#[tokio::test]
async fn a_second_login_of_the_same_device_replaces_the_first() {
    let network = network().await;
    let alice = Gateway::linked(&network, ALICE).await;
    let again = Gateway::connected(&network, alice.backend.clone(), ALICE, alice.device).await;
    alice.event(|event| matches!(event, Event::StreamReplaced(_))).await;
    assert!(network.is_connected(ALICE, alice.device));
    drop(again);
    assert_all_answered(&network);
}

/// A hook that fails once, as a store that is down for a moment.
struct FailsOnce {
    failures_left: Arc<AtomicU32>,
    calls: Arc<AtomicU32>,
}

#[async_trait::async_trait]
impl InboundDurabilityHook for FailsOnce {
    async fn on_messages(
        &self,
        _client: Arc<Client>,
        batch: &[InboundMessage],
    ) -> anyhow::Result<()> {
        self.calls.fetch_add(batch.len() as u32, Ordering::SeqCst);
        let left = self.failures_left.load(Ordering::SeqCst);
        if left > 0 {
            self.failures_left.store(left - 1, Ordering::SeqCst);
            anyhow::bail!("the store is down");
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_message_the_gateway_could_not_keep_is_delivered_again() {
    let network = network().await;
    let provisioned = network.provision_device(ALICE).await.unwrap();
    let device = provisioned.device_id;
    let failures_left = Arc::new(AtomicU32::new(1));
    let calls = Arc::new(AtomicU32::new(0));
    let hook = FailsOnce { failures_left: failures_left.clone(), calls: calls.clone() };
    let start = Start { push_name: None, hook: Some(Box::new(hook)) };
    let backend = store(&provisioned).await;
    let alice = Gateway::start(&network, backend, ALICE, device, start).await;
    alice.until_connected().await;
    let bob = network.account(BOB).unwrap();
    let id = bob.send_text(ALICE, "must not be lost").await.unwrap();
    until(|| calls.load(Ordering::SeqCst) == 1).await;
    let message = ("message".to_owned(), id);
    assert!(network.queued(ALICE, device).contains(&message));

    alice.client.reconnect_immediately().await;
    alice.text("must not be lost").await;
    until(|| network.queued(ALICE, device).is_empty()).await;
    assert!(network.record().redelivered >= 1);
    assert_all_answered(&network);
}

#[tokio::test]
async fn a_setting_changed_on_one_device_reaches_the_other() {
    let network = network().await;
    let alice = Gateway::linked(&network, ALICE).await;
    let second = Gateway::linked(&network, ALICE).await;
    alice.client.chat_actions().pin_chat(&Jid::pn(BOB)).await.unwrap();
    second.event(|event| matches!(event, Event::PinUpdate(_))).await;
    assert_all_answered(&network);
}
