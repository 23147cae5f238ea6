//! What clients learn about people.

use simulator::{ChatState, Online};
use whatsapp_rust::prelude::*;

use crate::support::*;

#[tokio::test]
async fn typing_and_presence_are_seen() {
    let network = network().await;
    let alice = Gateway::linked(&network, ALICE).await;
    let bob = Gateway::linked(&network, BOB).await;
    bob.client.presence().subscribe(alice.jid()).await.unwrap();
    // A subscription has no answer; a request after it on the same link has.
    bob.client.contacts().is_on_whatsapp(&[alice.jid()]).await.unwrap();
    alice.client.presence().set_available().await.unwrap();
    bob.event(|event| matches!(event, Event::Presence(_))).await;
    alice.client.chatstate().send_composing(&bob.jid()).await.unwrap();
    bob.event(|event| matches!(event, Event::ChatPresence(_))).await;
    assert_all_answered(&network);
}

#[tokio::test]
async fn a_phone_types_and_goes_online() {
    let network = network().await;
    let alice = Gateway::linked(&network, ALICE).await;
    let bob = network.account(BOB).unwrap();
    alice.client.presence().subscribe(Jid::pn(BOB)).await.unwrap();
    alice.client.contacts().is_on_whatsapp(&[Jid::pn(BOB)]).await.unwrap();
    bob.set_online(Online::Available).await.unwrap();
    alice.event(|event| matches!(event, Event::Presence(_))).await;
    bob.chat_state(ALICE, ChatState::Composing).await.unwrap();
    alice.event(|event| matches!(event, Event::ChatPresence(_))).await;
    assert_all_answered(&network);
}

#[tokio::test]
async fn numbers_are_found_or_not_with_their_lid() {
    let network = network().await;
    let alice = Gateway::linked(&network, ALICE).await;
    let asked = [Jid::pn(BOB), Jid::pn("5511000000000")];
    let found = alice.client.contacts().is_on_whatsapp(&asked).await.unwrap();
    let of = |phone: &str| found.iter().find(|entry| entry.jid == Jid::pn(phone));
    let bob = of(BOB).unwrap();
    assert!(bob.is_registered);
    let lid = network.account(BOB).unwrap().lid().to_owned();
    assert_eq!(bob.lid, Some(Jid::lid(lid)));
    assert!(!of("5511000000000").unwrap().is_registered);
    assert_all_answered(&network);
}

#[tokio::test]
async fn about_and_picture_are_set_and_seen() {
    let network = network().await;
    let alice = Gateway::linked(&network, ALICE).await;
    let bob = Gateway::linked(&network, BOB).await;
    let profile = alice.client.profile();
    profile.set_status_text("at sea").await.unwrap();
    let jpeg = vec![0xff, 0xd8, 0xff, 0xe0];
    profile.set_profile_picture(jpeg.clone()).await.unwrap();
    let contacts = bob.client.contacts();
    let picture = contacts.get_profile_picture(&alice.jid(), false).await.unwrap().unwrap();
    assert!(picture.url.contains(simulator::MEDIA_HOST));
    let known = contacts.get_user_info(&[alice.jid()]).await.unwrap();
    let known = known.values().next().unwrap();
    assert_eq!(known.status.as_deref(), Some("at sea"));
    assert!(contacts.get_profile_picture(&bob.jid(), false).await.unwrap().is_none());
    assert_all_answered(&network);
}
