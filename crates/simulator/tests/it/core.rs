//! The shortest useful path: a linked device logs in, and talks with a person.

use simulator::Behaviour;

use crate::support::*;

#[tokio::test]
async fn a_provisioned_device_logs_in_by_ik_without_pairing() {
    let network = network().await;
    let mut alice = Gateway::linked(&network, ALICE).await;
    assert!(network.is_connected(ALICE, alice.device));
    let handshakes = network.record().handshakes;
    assert_eq!(handshakes.get("IK"), Some(&1), "{handshakes:?}");
    assert_eq!(handshakes.get("XX"), None, "{handshakes:?}");
    alice.stop().await;
    assert_all_answered(&network);
}

#[tokio::test]
async fn a_person_writes_to_a_linked_device_and_back() {
    let network = network().await;
    let bob = network.account(BOB).unwrap();
    let alice = Gateway::linked(&network, ALICE).await;

    let id = bob.send_text(ALICE, "hello from a phone").await.unwrap();
    let info = alice.text("hello from a phone").await;
    assert_eq!(info.id, id);
    assert_eq!(info.push_name, "Bob");
    until(|| network.queued(ALICE, alice.device).is_empty()).await;

    let sent =
        alice.client.send_text(whatsapp_rust::Jid::pn(BOB), "hello to a phone").await.unwrap();
    assert_eq!(alice.ack(&sent.message_id).await, None);
    alice.receipt(&sent.message_id, &["Delivered"]).await;
    let received = bob.wait_for(LIMIT, |message| message.text == "hello to a phone").await.unwrap();
    assert_eq!(received.id, sent.message_id);
    bob.read(&received.id).await.unwrap();
    alice.receipt(&sent.message_id, &["Read"]).await;
    assert_all_answered(&network);
}

#[tokio::test]
async fn a_person_reads_and_answers_by_itself() {
    let network = network().await;
    let bob = network.account(BOB).unwrap();
    bob.on_message(Behaviour::answering(|message| Some(format!("you said {}", message.text))))
        .await;
    let alice = Gateway::linked(&network, ALICE).await;
    let sent = alice.client.send_text(whatsapp_rust::Jid::pn(BOB), "ping").await.unwrap();
    alice.receipt(&sent.message_id, &["Read"]).await;
    alice.text("you said ping").await;
    assert_all_answered(&network);
}
