//! What people say to each other with their phones, without any linked device.

use std::time::Duration;

use serde_json::json;
use simulator::{FileKind, MessageRef, NewFile};
use whatsapp_rust::prelude::*;

use crate::support::*;

#[tokio::test]
async fn phones_exchange_every_kind() {
    let network = network().await;
    let (alice, bob) = (network.account(ALICE).unwrap(), network.account(BOB).unwrap());
    let group = alice.create_group("friends", &[BOB]).await.unwrap();
    for to in [bob.jid(), bob.lid_jid(), group] {
        let bytes = vec![9; 70_000];
        for (kind, word) in [
            (FileKind::Image, "image"),
            (FileKind::Video, "video"),
            (FileKind::Audio, "audio"),
            (FileKind::Voice, "voice"),
            (FileKind::Document, "document"),
            (FileKind::Sticker, "sticker"),
        ] {
            let file = NewFile::new(kind, bytes.clone(), "application/x-test");
            let id = alice.send_file(&to, file).await.unwrap();
            let got = bob.wait_for(LIMIT, |message| message.id == id).await.unwrap();
            assert_eq!(got.kind(), word);
            assert!(bob.file_of(&got).unwrap() == bytes, "{word}");
        }
        let id = alice.send_location(&to, (1.5, 2.5), Some("there")).await.unwrap();
        let got = bob.wait_for(LIMIT, |message| message.id == id).await.unwrap();
        assert_eq!(got.kind(), "location");
        let id = alice.send_contacts(&to, &[("Carol", CAROL)]).await.unwrap();
        let got = bob.wait_for(LIMIT, |message| message.id == id).await.unwrap();
        assert_eq!(got.kind(), "contact");
        assert!(bob.file_of(&got).is_err());
    }
    assert_all_answered(&network);
}

#[tokio::test]
async fn phones_change_and_vote() {
    let network = network().await;
    let (alice, bob) = (network.account(ALICE).unwrap(), network.account(BOB).unwrap());
    let group = alice.create_group("friends", &[BOB]).await.unwrap();
    for (to, back) in
        [(bob.jid(), alice.jid()), (bob.lid_jid(), alice.lid_jid()), (group.clone(), group)]
    {
        let poll = alice.send_poll(&to, "what?", &["tea", "coffee"], 1).await.unwrap();
        let got = bob.wait_for(LIMIT, |message| message.id == poll).await.unwrap();
        assert_eq!(got.kind(), "poll");
        let vote = bob.vote(&back, &poll, &["coffee"]).await.unwrap();
        let got = alice.wait_for(LIMIT, |message| message.id == vote).await.unwrap();
        assert_eq!((got.kind(), got.target()), ("vote", Some(poll.clone())));
        assert_eq!(alice.vote_of(&got).unwrap(), ["coffee"]);
        let about = MessageRef { id: poll.clone(), author: ALICE.to_owned() };
        let changes = [
            (bob.react(&back, &about, "!").await.unwrap(), "reaction", Some("!"), None),
            (bob.pin(&back, &about, Some(60)).await.unwrap(), "pin", None, Some("2")),
        ];
        for (id, kind, change, edit) in changes {
            let got = alice.wait_for(LIMIT, |message| message.id == id).await.unwrap();
            assert_eq!((got.kind(), got.target()), (kind, Some(poll.clone())));
            assert_eq!((got.change().as_deref(), got.edit.as_deref()), (change, edit));
        }
        let text = alice.send_text_to(&to, "helo").await.unwrap();
        let about = MessageRef { id: text.clone(), author: ALICE.to_owned() };
        let changes = [
            (alice.edit(&to, &text, "hello").await.unwrap(), "edit", Some("hello"), "1"),
            (alice.revoke(&to, &about).await.unwrap(), "revoke", None, "7"),
        ];
        for (id, kind, change, edit) in changes {
            let got = bob.wait_for(LIMIT, |message| message.id == id).await.unwrap();
            assert_eq!((got.kind(), got.target()), (kind, Some(text.clone())));
            assert_eq!((got.change().as_deref(), got.edit.as_deref()), (change, Some(edit)));
        }
    }
    assert!(bob.vote(&alice.jid(), "UNKNOWN", &["x"]).await.is_err());
    assert_all_answered(&network);
}

#[tokio::test]
async fn marks_travel_between_devices_and_phone() {
    let network = network().await;
    let phone = network.account(ALICE).unwrap();
    let first = Gateway::linked(&network, ALICE).await;
    let second = Gateway::linked(&network, ALICE).await;
    first.client.chat_actions().archive_chat(&Jid::pn(BOB), None).await.unwrap();
    let archived = |event: &Event| match event {
        Event::ArchiveUpdate(update) => update.action.archived == Some(true),
        _ => false,
    };
    second.event(archived).await;
    phone.pin_chat(&Jid::pn(BOB), true).await.unwrap();
    let pinned = |event: &Event| match event {
        Event::PinUpdate(update) => update.action.pinned == Some(true),
        _ => false,
    };
    first.event(pinned).await;
    second.event(pinned).await;
    first.client.chat_actions().unarchive_chat(&Jid::pn(BOB), None).await.unwrap();
    let marks = network.record().marks;
    let values: Vec<_> = marks.iter().map(|mark| mark.value["archived"].clone()).collect();
    assert_eq!(values, [json!(true), json!(false)]);
    assert_eq!(marks[0].index, ["archive".to_owned(), Jid::pn(BOB).to_string()]);
    assert_all_answered(&network);
}

#[tokio::test]
async fn faults_strike_where_they_are_meant() {
    let network = network().await;
    let alice = Gateway::linked(&network, ALICE).await;
    let faults = network.faults();
    faults.spare_next(1);
    faults.nack_next(429);
    let codes = async |texts: usize| {
        let mut codes = Vec::new();
        for number in 0..texts {
            let sent = alice.client.send_text(Jid::pn(BOB), &number.to_string()).await.unwrap();
            codes.push(alice.ack(&sent.message_id).await);
        }
        codes
    };
    assert_eq!(codes(3).await, [None, Some("429".to_owned()), None]);
    faults.nack_to(BOB, 463);
    assert_eq!(codes(2).await, [Some("463".to_owned()), Some("463".to_owned())]);
    faults.accept_to(BOB);
    faults.delay_acks(Duration::from_millis(200));
    let begun = std::time::Instant::now();
    assert_eq!(codes(1).await, [None]);
    assert!(begun.elapsed() >= Duration::from_millis(200));
    assert_all_answered(&network);
}
