//! What phones do: people without linked devices, own devices, retries.

use simulator::Behaviour;
use whatsapp_rust::prelude::*;

use crate::support::*;

#[tokio::test]
async fn a_contact_is_known_by_number_and_by_lid() {
    let network = network().await;
    let bob = network.account(BOB).unwrap();
    let alice = Gateway::linked(&network, ALICE).await;
    bob.send_text(ALICE, "by number").await.unwrap();
    let info = alice.text("by number").await;
    assert_eq!(info.source.sender.to_non_ad(), Jid::pn(BOB));
    assert_eq!(info.source.sender_alt, Some(Jid::lid(bob.lid())));

    bob.send_text_as_lid(ALICE, "by lid").await.unwrap();
    let info = alice.text("by lid").await;
    assert_eq!(info.source.sender.to_non_ad(), Jid::lid(bob.lid()));
    assert_eq!(info.source.sender_alt, Some(Jid::pn(BOB)));

    for to in [Jid::pn(BOB), Jid::lid(bob.lid())] {
        let text = format!("to {to}");
        let sent = alice.client.send_text(to, &text).await.unwrap();
        let got = bob.wait_for(LIMIT, |message| message.text == text).await.unwrap();
        assert_eq!(got.from_phone, ALICE);
        alice.receipt(&sent.message_id, &["Delivered"]).await;
    }
    assert_all_answered(&network);
}

#[tokio::test]
async fn a_linked_device_sees_what_its_own_phone_writes() {
    let network = network().await;
    let alice = Gateway::linked(&network, ALICE).await;
    let phone = network.account(ALICE).unwrap();
    phone.send_text(BOB, "from my phone").await.unwrap();
    let info = alice.text("from my phone").await;
    assert!(info.source.is_from_me);
    assert_eq!(info.source.chat, Jid::pn(BOB));
    let bob = network.account(BOB).unwrap();
    bob.wait_for(LIMIT, |message| message.text == "from my phone").await.unwrap();
    assert_all_answered(&network);
}

#[tokio::test]
async fn history_arrives_inside_a_message() {
    let network = network().await;
    let alice = Gateway::linked(&network, ALICE).await;
    let old = wa::WebMessageInfo {
        key: MessageField::some(wa::MessageKey {
            remote_jid: Some(Jid::pn(BOB).to_string()),
            from_me: Some(false),
            id: Some("OLD1".into()),
            ..Default::default()
        }),
        message: MessageField::some(wa::Message::text("old")),
        message_timestamp: Some(1_700_000_000),
        ..Default::default()
    };
    let conversation = wa::Conversation {
        id: Jid::pn(BOB).to_string(),
        messages: vec![wa::HistorySyncMsg {
            message: MessageField::some(old),
            ..Default::default()
        }],
        ..Default::default()
    };
    let history = wa::HistorySync {
        sync_type: wa::history_sync::HistorySyncType::INITIAL_BOOTSTRAP,
        progress: Some(100),
        conversations: vec![conversation],
        ..Default::default()
    };
    let phone = network.account(ALICE).unwrap();
    phone.send_history(alice.device, &history).await.unwrap();
    let event = alice.event(|event| matches!(event, Event::HistorySync(_))).await;
    let Event::HistorySync(synced) = &*event else { unreachable!() };
    assert_eq!(synced.get().unwrap().conversations.len(), 1);
    assert_all_answered(&network);
}

#[tokio::test]
async fn a_silent_phone_confirms_nothing_and_a_quick_one_confirms_at_once() {
    let network = network().await;
    network.add_account(CAROL, "Carol").await;
    let bob = network.account(BOB).unwrap();
    bob.on_message(Behaviour::silent()).await;
    let alice = Gateway::linked(&network, ALICE).await;
    let quiet = alice.client.send_text(Jid::pn(BOB), "quiet").await.unwrap();
    bob.wait_for(LIMIT, |message| message.text == "quiet").await.unwrap();
    let loud = alice.client.send_text(Jid::pn(CAROL), "loud").await.unwrap();
    alice.receipt(&loud.message_id, &["Delivered"]).await;
    let receipts = network.record().receipts;
    let about_quiet = receipts
        .iter()
        .filter(|receipt| receipt.ids.contains(&quiet.message_id) && receipt.from_phone == BOB);
    assert_eq!(about_quiet.count(), 0, "{receipts:?}");
    assert_all_answered(&network);
}

#[tokio::test]
async fn an_answer_after_a_delay_and_a_read_receipt_after_another() {
    let network = network().await;
    let bob = network.account(BOB).unwrap();
    let behaviour = Behaviour {
        read_after: Some(std::time::Duration::from_millis(50)),
        answer_after: std::time::Duration::from_millis(100),
        ..Behaviour::answering_with("later")
    };
    bob.on_message(behaviour).await;
    let alice = Gateway::linked(&network, ALICE).await;
    let sent = alice.client.send_text(Jid::pn(BOB), "hi").await.unwrap();
    alice.receipt(&sent.message_id, &["Read"]).await;
    alice.text("later").await;
    assert_all_answered(&network);
}

#[tokio::test]
async fn a_phones_message_that_was_spoilt_is_encrypted_again() {
    let network = network().await;
    let bob = network.account(BOB).unwrap();
    let alice = Gateway::linked(&network, ALICE).await;
    bob.send_text(ALICE, "warm").await.unwrap();
    alice.text("warm").await;
    network.faults().for_device(ALICE, alice.device).corrupt_next(1);
    let id = bob.send_text(ALICE, "spoilt").await.unwrap();
    let info = alice.text("spoilt").await;
    assert_eq!(info.id, id);
    // The sessions still fit each other, in both directions.
    bob.send_text(ALICE, "and on").await.unwrap();
    alice.text("and on").await;
    alice.client.send_text(Jid::pn(BOB), "back").await.unwrap();
    bob.wait_for(LIMIT, |message| message.text == "back").await.unwrap();
    until(|| network.queued(ALICE, alice.device).is_empty()).await;
    assert_all_answered(&network);
}
