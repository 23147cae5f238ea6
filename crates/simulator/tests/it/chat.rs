//! Messages of every kind between linked devices.

use whatsapp_rust::{RevokeType, prelude::*, wacore::proto_helpers::build_quote_context};

use crate::support::*;

#[tokio::test]
async fn a_text_reaches_all_devices_and_the_senders_other_device_gets_its_copy() {
    let network = network().await;
    let alice = Gateway::paired(&network, ALICE, "Alice").await;
    let bob = Gateway::paired(&network, BOB, "Bob").await;
    let second = Gateway::paired(&network, ALICE, "Alice").await;

    bob.client.send_text(alice.jid(), "hello").await.unwrap();
    alice.text("hello").await;
    second.text("hello").await;

    alice.client.send_text(bob.jid(), "from device one").await.unwrap();
    bob.text("from device one").await;
    let copy = second.text("from device one").await;
    assert!(copy.source.is_from_me);
    assert_eq!(copy.source.chat, bob.jid());
    // The phones have everything too.
    let phone = network.account(BOB).unwrap();
    phone.wait_for(LIMIT, |message| message.text == "from device one").await.unwrap();
    let own = network.account(ALICE).unwrap();
    let copy = own.wait_for(LIMIT, |message| message.text == "from device one").await.unwrap();
    assert!(copy.from_me);
    assert_all_answered(&network);
}

#[tokio::test]
async fn a_message_is_acked_then_delivered_then_read() {
    let network = network().await;
    let alice = Gateway::linked(&network, ALICE).await;
    let bob = Gateway::linked(&network, BOB).await;
    let sent = alice.client.send_text(bob.jid(), "track me").await.unwrap().message_id;
    assert_eq!(alice.ack(&sent).await, None);
    let info = bob.text("track me").await;
    alice.receipt(&sent, &["Delivered", "Inactive"]).await;
    bob.client.mark_as_read(&info.source.chat, None, &[&info.id]).await.unwrap();
    alice.receipt(&sent, &["Read"]).await;
    assert_all_answered(&network);
}

#[tokio::test]
async fn a_message_to_an_unknown_number_is_refused_with_404() {
    let network = network().await;
    let alice = Gateway::linked(&network, ALICE).await;
    // The engine may notice by itself that the number has no devices; if it sends, the network refuses.
    match alice.client.send_text(Jid::pn("5511000000000"), "anybody?").await {
        Ok(sent) => {
            let error = alice.ack(&sent.message_id).await;
            assert_eq!(error.as_deref(), Some("404"));
        }
        Err(error) => panic!("the engine refused by itself: {error}"),
    }
    assert_all_answered(&network);
}

/// Two linked devices, with a message from Alice that Bob already has.
async fn a_conversation(text: &str) -> (simulator::Network, Gateway, Gateway, MessageInfo) {
    let network = network().await;
    let alice = Gateway::linked(&network, ALICE).await;
    let bob = Gateway::linked(&network, BOB).await;
    alice.client.send_text(bob.jid(), text).await.unwrap();
    let info = bob.text(text).await;
    (network, alice, bob, MessageInfo::clone(&info))
}

#[tokio::test]
async fn a_reply_quotes_and_mentions() {
    let (network, alice, bob, info) = a_conversation("quote me").await;
    let quoted = wa::Message::text("quote me");
    let sender = info.source.sender.to_string();
    let mut context = build_quote_context(info.id.clone(), sender, &quoted);
    context.mentioned_jid = vec![alice.jid().to_string()];
    let reply = wa::Message::text_with_context("@5511990000001 quoted", context);
    bob.client.send_message(alice.jid(), reply).await.unwrap();
    let (message, _) =
        alice.message(|message, _| message.text_content() == Some("@5511990000001 quoted")).await;
    let context = &message.extended_text_message.context_info;
    assert_eq!(context.stanza_id.as_deref(), Some(info.id.as_str()));
    assert_eq!(context.mentioned_jid, [alice.jid().to_string()]);
    assert_all_answered(&network);
}

#[tokio::test]
async fn a_reaction_names_its_message() {
    let (network, alice, bob, info) = a_conversation("react").await;
    let key = wa::MessageKey {
        remote_jid: Some(info.source.chat.to_string()),
        from_me: Some(false),
        id: Some(info.id.clone()),
        ..Default::default()
    };
    bob.client.send_reaction(alice.jid(), key, "👍").await.unwrap();
    let (message, _) = alice.message(|message, _| message.reaction_message.is_set()).await;
    assert_eq!(message.reaction_message.text.as_deref(), Some("👍"));
    assert_eq!(message.reaction_message.key.id.as_deref(), Some(info.id.as_str()));
    assert_all_answered(&network);
}

#[tokio::test]
async fn an_edit_names_its_message() {
    let (network, alice, bob, info) = a_conversation("first version").await;
    let edited = wa::Message::text("second version");
    alice.client.edit_message(bob.jid(), &info.id, edited).await.unwrap();
    let (message, about) = bob
        .message(|message, _| message.protocol_message.is_set() || message.edited_message.is_set())
        .await;
    assert_eq!(about.edit.to_string_val(), "1");
    let changed = &message.get_base_message().protocol_message;
    assert_eq!(changed.key.id.as_deref(), Some(info.id.as_str()));
    assert_eq!(changed.edited_message.text_content(), Some("second version"));
    assert_all_answered(&network);
}

#[tokio::test]
async fn a_revoke_names_its_message() {
    let (network, alice, bob, info) = a_conversation("never mind").await;
    alice.client.revoke_message(bob.jid(), &info.id, RevokeType::Sender).await.unwrap();
    let (message, about) = bob.message(|message, _| message.protocol_message.is_set()).await;
    assert_eq!(about.edit.to_string_val(), "7");
    assert_eq!(message.protocol_message.key.id.as_deref(), Some(info.id.as_str()));
    assert_all_answered(&network);
}

#[tokio::test]
async fn a_location_and_a_contact_arrive() {
    let (network, alice, bob, _) = a_conversation("where?").await;
    let location = wa::message::LocationMessage {
        degrees_latitude: Some(-23.5),
        degrees_longitude: Some(-46.6),
        name: Some("Here".into()),
        ..Default::default()
    };
    let message =
        wa::Message { location_message: MessageField::some(location), ..Default::default() };
    alice.client.send_message(bob.jid(), message).await.unwrap();
    let (message, _) = bob.message(|message, _| message.location_message.is_set()).await;
    assert_eq!(message.location_message.degrees_latitude, Some(-23.5));

    let contact = wa::message::ContactMessage {
        display_name: Some("Zoe".into()),
        vcard: Some("BEGIN:VCARD\nVERSION:3.0\nFN:Zoe\nEND:VCARD".into()),
        ..Default::default()
    };
    let message =
        wa::Message { contact_message: MessageField::some(contact), ..Default::default() };
    alice.client.send_message(bob.jid(), message).await.unwrap();
    let (message, _) = bob.message(|message, _| message.contact_message.is_set()).await;
    assert_eq!(message.contact_message.display_name.as_deref(), Some("Zoe"));
    assert_all_answered(&network);
}

#[tokio::test]
async fn a_poll_and_its_vote_arrive() {
    let (network, alice, bob, _) = a_conversation("hungry?").await;
    let options = ["yes".to_owned(), "no".to_owned()];
    let (poll, secret) =
        alice.client.polls().create(&bob.jid(), "lunch?", &options, 1).await.unwrap();
    let (_, info) = bob
        .message(|message, _| {
            message.poll_creation_message.is_set()
                || message.poll_creation_message_v2.is_set()
                || message.poll_creation_message_v3.is_set()
        })
        .await;
    assert_eq!(info.id, poll.message_id);
    bob.client
        .polls()
        .vote(&alice.jid(), &info.id, &info.source.sender.to_non_ad(), &secret, &["yes".to_owned()])
        .await
        .unwrap();
    let (message, _) = alice.message(|message, _| message.poll_update_message.is_set()).await;
    let about = &message.poll_update_message.poll_creation_message_key;
    assert_eq!(about.id.as_deref(), Some(poll.message_id.as_str()));
    assert!(message.poll_update_message.vote.is_set());
    assert_all_answered(&network);
}
