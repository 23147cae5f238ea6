//! Texts out and in.

use std::{sync::atomic::Ordering, time::Duration};

use domain::{
    ChatId, PhoneNumber, WaMessageId,
    message::{Content, Quoted},
    port::{EngineError, EngineSignal, ReceiptKind},
    session::LossCause,
};
use simulator::Behaviour;

use crate::support::{ALICE, BOB, CAROL, Ear, Heard, LIMIT, World, chat, text, until};

/// Whether the server took a message, or its reason not to.
async fn acked(ear: &Ear, id: &WaMessageId) -> Option<u16> {
    ear.hear(|heard| match heard {
        Heard::Signal(EngineSignal::ServerAck { id: acked, refused, timestamp }) if acked == id => {
            assert!(*timestamp > 1_700_000_000);
            Some(*refused)
        }
        _ => None,
    })
    .await
}

async fn receipt(ear: &Ear, wanted: ReceiptKind, id: &WaMessageId) -> ChatId {
    ear.hear(|heard| match heard {
        Heard::Signal(EngineSignal::Receipt { chat, ids, kind, .. })
            if *kind == wanted && ids.contains(id) =>
        {
            Some(chat.clone())
        }
        _ => None,
    })
    .await
}

#[tokio::test]
async fn a_text_goes_out_under_our_own_id_and_is_followed_to_its_reader() {
    let world = World::new().await;
    let bob = world.network.account(BOB).unwrap();
    bob.on_message(Behaviour { read_after: Some(Duration::ZERO), ..Default::default() }).await;
    let (_, _, line) = world.connected(ALICE).await;

    let message = text(BOB, "hello bob");
    let id = message.id.clone();
    line.connection.send(message).await.unwrap();
    let received = bob.wait_for(LIMIT, |message| message.text == "hello bob").await.unwrap();
    assert_eq!(received.id, id.as_str());
    assert_eq!(received.from_phone, ALICE);

    assert_eq!(acked(&line.ear, &id).await, None);
    assert_eq!(receipt(&line.ear, ReceiptKind::Delivered, &id).await, chat(BOB));
    assert_eq!(receipt(&line.ear, ReceiptKind::Read, &id).await, chat(BOB));

    // The same id again is the same message for whoever reads it.
    let mut again = text(BOB, "hello bob");
    again.id = id.clone();
    line.connection.send(again).await.unwrap();
    assert_eq!(acked(&line.ear, &id).await, None);
    until("the phone sees a duplicate", || {
        world.network.record().duplicates.iter().any(|seen| seen.id == id.as_str())
    })
    .await;
    assert_eq!(bob.inbox().await.len(), 1);
    line.connection.close().await;
}

#[tokio::test]
async fn a_quote_and_a_mention_arrive() {
    let world = World::new().await;
    let bob = world.network.account(BOB).unwrap();
    let (_, _, line) = world.connected(ALICE).await;
    let mut message = text(BOB, "yes, @Carol");
    message.mentions = vec![chat(CAROL)];
    let quoted = Quoted { id: WaMessageId::from_wire("BOBS1"), body: "shall we?".into() };
    message.quoted = Some((quoted, chat(BOB)));
    line.connection.send(message).await.unwrap();

    let received = bob.wait_for(LIMIT, |message| message.text == "yes, @Carol").await.unwrap();
    let extended = received.message.extended_text_message.as_option().unwrap();
    let context = extended.context_info.as_option().unwrap();
    assert_eq!(context.stanza_id.as_deref(), Some("BOBS1"));
    assert_eq!(context.mentioned_jid, [format!("{CAROL}@s.whatsapp.net")]);
    line.connection.close().await;
}

#[tokio::test]
async fn a_text_comes_in_with_everything_known_about_it() {
    let world = World::new().await;
    let bob = world.network.account(BOB).unwrap();
    let (_, device, line) = world.connected(ALICE).await;
    let id = bob.send_text(ALICE, "hello alice").await.unwrap();

    let message = line.ear.message("hello alice").await;
    assert_eq!(message.id.as_str(), id);
    assert_eq!(message.chat, chat(BOB));
    assert_eq!(message.sender, chat(BOB));
    assert_eq!(message.sender_phone, PhoneNumber::parse(BOB));
    assert_eq!(message.sender_lid, format!("{}@lid", bob.lid()).parse().ok());
    assert!(!message.from_me && !message.backfilled);
    assert_eq!(message.push_name.as_deref(), Some("Bob"));
    assert!(message.timestamp > 1_700_000_000);
    assert_eq!((message.quoted, message.mentions), (None, vec![]));

    until("the message is acknowledged", || {
        world.network.queued(ALICE, device.device_id).is_empty()
    })
    .await;
    // This device does not claim to be in use, so Alice's phone keeps ringing.
    let record = world.network.record();
    let kinds: Vec<_> = record
        .receipts
        .iter()
        .filter(|receipt| receipt.from_device == device.device_id && receipt.ids.contains(&id))
        .map(|receipt| receipt.kind.as_str())
        .collect();
    assert_eq!(kinds, ["inactive"]);
    line.connection.close().await;
}

#[tokio::test]
async fn a_sender_known_by_lid_is_named_by_number() {
    let world = World::new().await;
    let bob = world.network.account(BOB).unwrap();
    let (_, _, line) = world.connected(ALICE).await;
    bob.send_text_as_lid(ALICE, "from my lid").await.unwrap();
    let message = line.ear.message("from my lid").await;
    assert_eq!(message.chat, chat(BOB));
    assert_eq!(message.sender, chat(BOB));
    assert_eq!(message.sender_lid, format!("{}@lid", bob.lid()).parse().ok());
    line.connection.close().await;
}

#[tokio::test]
async fn what_the_phone_sends_comes_in_as_our_own() {
    let world = World::new().await;
    let alice = world.network.account(ALICE).unwrap();
    let (_, _, line) = world.connected(ALICE).await;
    let id = alice.send_text(BOB, "typed on the phone").await.unwrap();
    let message = line.ear.message("typed on the phone").await;
    assert!(message.from_me);
    assert_eq!(message.id.as_str(), id);
    assert_eq!(message.chat, chat(BOB));
    assert_eq!(message.sender, chat(ALICE));
    line.connection.close().await;
}

#[tokio::test]
async fn groups_name_the_chat_and_the_author() {
    let world = World::new().await;
    let bob = world.network.account(BOB).unwrap();
    let group = bob.create_group("Team", &[ALICE, CAROL]).await.unwrap();
    let group_id: ChatId = group.to_string().parse().unwrap();
    let (_, _, line) = world.connected(ALICE).await;
    let carol = world.network.account(CAROL).unwrap();
    let said = whatsapp_rust::waproto::whatsapp::Message {
        conversation: Some("hello team".into()),
        ..Default::default()
    };
    carol.send(group, said).await.unwrap();
    let message = line.ear.message("hello team").await;
    assert_eq!(message.chat, group_id);
    assert_eq!(message.sender, chat(CAROL));

    let mut answer = text(BOB, "hello from the gateway");
    answer.chat = group_id;
    let id = answer.id.clone();
    line.connection.send(answer).await.unwrap();
    assert_eq!(acked(&line.ear, &id).await, None);
    let received = bob.wait_for(LIMIT, |m| m.text == "hello from the gateway").await.unwrap();
    assert_eq!(received.id, id.as_str());
    line.connection.close().await;
}

#[tokio::test]
async fn what_waited_is_marked_and_in_order() {
    let world = World::new().await;
    let (session, _) = world.linked(ALICE).await;
    let bob = world.network.account(BOB).unwrap();
    for number in 0..5 {
        bob.send_text(ALICE, &format!("waiting {number}")).await.unwrap();
    }
    let line = world.open(session).await;
    line.ear.message("waiting 4").await;
    let texts: Vec<_> = line.ear.all().into_iter().filter_map(body).collect();
    assert_eq!(
        texts,
        ["waiting 0", "waiting 1", "waiting 2", "waiting 3"].map(|t| (t.into(), true))
    );
    line.connection.close().await;
}

fn body(heard: Heard) -> Option<(String, bool)> {
    match heard {
        Heard::Message(message) => match message.content {
            Content::Text { body, .. } => Some((body, message.backfilled)),
            _ => None,
        },
        Heard::Signal(_) => None,
    }
}

#[tokio::test]
async fn what_could_not_be_stored_comes_again_and_is_acknowledged_once() {
    let world = World::new().await;
    let (session, device, line) = world.connected(ALICE).await;
    let bob = world.network.account(BOB).unwrap();
    line.ear.deaf.store(true, Ordering::SeqCst);
    let first = bob.send_text(ALICE, "first").await.unwrap();
    let second = bob.send_text(ALICE, "second").await.unwrap();
    // Later messages must not overtake it, so the connection ends.
    assert!(matches!(line.ear.lost().await, LossCause::Link(_)));
    assert_eq!(line.ear.all(), []);
    let queued = world.network.queued(ALICE, device.device_id);
    assert!([&first, &second].iter().all(|id| queued.iter().any(|(_, queued)| queued == *id)));

    let again = world.open(session).await;
    again.ear.message("second").await;
    let texts: Vec<_> = again.ear.all().into_iter().filter_map(body).collect();
    assert_eq!(texts, [("first".to_owned(), true)]);
    until("both are acknowledged", || world.network.queued(ALICE, device.device_id).is_empty())
        .await;
    let record = world.network.record();
    let confirmed = record
        .receipts
        .iter()
        .filter(|receipt| receipt.from_device == device.device_id && receipt.ids.contains(&first));
    assert_eq!(confirmed.count(), 1);
    again.connection.close().await;
}

#[tokio::test]
async fn a_refusal_names_its_code() {
    let world = World::new().await;
    let (_, _, line) = world.connected(ALICE).await;
    world.network.faults().nack_next(463);
    let refused = text(BOB, "too many strangers");
    let id = refused.id.clone();
    line.connection.send(refused).await.unwrap();
    assert_eq!(acked(&line.ear, &id).await, Some(463));

    let stranger = text("5511000000000", "who is there?");
    let id = stranger.id.clone();
    line.connection.send(stranger).await.unwrap();
    assert_eq!(acked(&line.ear, &id).await, Some(404));
    line.connection.close().await;
}

#[tokio::test]
async fn a_closed_line_sends_nothing() {
    let world = World::new().await;
    let (_, _, line) = world.connected(ALICE).await;
    line.connection.close().await;
    let sent = line.connection.send(text(BOB, "too late")).await;
    assert!(matches!(sent, Err(EngineError::NotConnected)), "{sent:?}");
    assert!(world.network.record().messages.is_empty());
}

#[tokio::test]
async fn a_backlog_that_could_not_be_stored_comes_again_in_order() {
    let world = World::new().await;
    let (session, device) = world.linked(ALICE).await;
    let bob = world.network.account(BOB).unwrap();
    for number in 0..20 {
        bob.send_text(ALICE, &format!("waiting {number}")).await.unwrap();
    }
    let line = world.open_deaf(session).await;
    assert!(matches!(line.ear.lost().await, LossCause::Link(_)));
    assert_eq!(world.network.queued(ALICE, device.device_id).len(), 20);

    let again = world.open(session).await;
    again.ear.message("waiting 19").await;
    let texts: Vec<_> = again.ear.all().into_iter().filter_map(body).collect();
    let expected: Vec<_> = (0..19).map(|number| (format!("waiting {number}"), true)).collect();
    assert_eq!(texts, expected);
    until("all are acknowledged", || world.network.queued(ALICE, device.device_id).is_empty())
        .await;
    again.connection.close().await;
}

#[tokio::test]
async fn a_send_whose_fate_is_unknown_is_repeated_under_the_same_id() {
    let world = World::new().await;
    let bob = world.network.account(BOB).unwrap();
    for accepted in [false, true] {
        let (session, device, line) = world.connected(ALICE).await;
        let faults = world.network.faults().for_device(ALICE, device.device_id);
        if accepted {
            faults.drop_after_accept(1);
        } else {
            faults.drop_before_accept(1);
        }
        let body = format!("accepted: {accepted}");
        let message = text(BOB, &body);
        // Written, and then the link is gone: there is no answer.
        line.connection.send(message.clone()).await.unwrap();
        assert!(matches!(line.ear.lost().await, LossCause::Link(_)));
        assert_eq!(line.ear.all(), []);

        let again = world.open(session).await;
        again.ear.connected().await;
        again.connection.send(message.clone()).await.unwrap();
        assert_eq!(acked(&again.ear, &message.id).await, None);
        bob.wait_for(LIMIT, |received| received.text == body).await.unwrap();
        let copies = bob.inbox().await.into_iter().filter(|received| received.text == body);
        assert_eq!(copies.count(), 1);
        again.connection.close().await;
    }
}

#[tokio::test]
async fn a_spoilt_message_is_asked_for_again() {
    let world = World::new().await;
    let (_, device, line) = world.connected(ALICE).await;
    let bob = world.network.account(BOB).unwrap();
    world.network.faults().for_device(ALICE, device.device_id).corrupt_next(1);
    bob.send_text(ALICE, "spoilt on the way").await.unwrap();
    line.ear.message("spoilt on the way").await;
    until("everything is acknowledged", || {
        world.network.queued(ALICE, device.device_id).is_empty()
    })
    .await;
    line.connection.close().await;
}

#[tokio::test]
async fn many_texts_both_ways_arrive_once_and_in_order() {
    let world = World::new().await;
    let (_, _, alice) = world.connected(ALICE).await;
    let (_, _, bob) = world.connected(BOB).await;
    const MANY: usize = 50;
    for number in 0..MANY {
        let out = alice.connection.send(text(BOB, &format!("to bob {number}")));
        let back = bob.connection.send(text(ALICE, &format!("to alice {number}")));
        let (out, back) = tokio::join!(out, back);
        out.unwrap();
        back.unwrap();
    }
    for (line, to) in [(&alice, "to alice"), (&bob, "to bob")] {
        line.ear.message(&format!("{to} {}", MANY - 1)).await;
        let texts = line.ear.all().into_iter().filter_map(body).map(|(text, _)| text);
        let expected = (0..MANY - 1).map(|number| format!("{to} {number}"));
        assert!(texts.eq(expected), "{to}");
    }
    alice.connection.close().await;
    bob.connection.close().await;
}
