//! Reactions, edits, revocations, pins and votes, both ways; and what could not be decrypted.

use std::time::Duration;

use domain::{
    ChatId, WaMessageId,
    content::{Content, OptionHash, Poll, Target},
    port::EngineError,
};
use simulator::{Behaviour, Jid, MessageRef};
use whatsapp_rust::{
    buffa::MessageField,
    wacore::{
        message_edit::{MessageEditContext, encrypt_message_edit},
        reaction::encrypt_reaction_with_secret,
    },
    wacore_binary::JidExt as _,
    waproto::whatsapp::{self as wa, message::secret_encrypted_message::SecretEncType},
};

use crate::{
    kinds::{Pair, canonical},
    support::{ALICE, BOB, CAROL, LIMIT, World, chat, deliver, outgoing, text},
};

fn target(id: &str, from_me: bool, chat: &ChatId, author: &str) -> Target {
    let author = chat.is_group().then(|| crate::support::chat(author));
    Target { id: WaMessageId::from_wire(id), from_me, author }
}

fn by(author: &str, id: &str) -> MessageRef {
    MessageRef { id: id.to_owned(), author: author.to_owned() }
}

#[tokio::test]
async fn reactions_and_pins_go_both_ways() {
    let pair = Pair::new().await;
    for (to, back) in &pair.ways {
        let hello = deliver(&pair.line, &pair.bob, outgoing(to, Content::text("hello"))).await;
        let theirs = pair.bob.send_text_to(back, "hi").await.unwrap();
        pair.line.ear.by_id(&theirs).await;

        for (emoji, edit) in [("👍", None), ("", Some("7"))] {
            let target = target(&theirs, false, to, BOB);
            let reaction = Content::Reaction { target, emoji: emoji.into() };
            let seen = deliver(&pair.line, &pair.bob, outgoing(to, reaction)).await;
            assert_eq!((seen.kind(), seen.target()), ("reaction", Some(theirs.clone())));
            assert_eq!(seen.change().as_deref(), Some(emoji));
            let key = seen.target_key().unwrap();
            assert_eq!(key.from_me, Some(false));
            let named = to.is_group().then(|| pair.bob.lid_jid().to_string());
            assert_eq!(key.participant, named);
            assert_eq!(seen.edit.as_deref(), edit);

            let id = pair.bob.react(back, &by(ALICE, &hello.id), emoji).await.unwrap();
            let heard = pair.line.ear.by_id(&id).await;
            let target = self::target(&hello.id, true, to, ALICE);
            assert_eq!(heard.content, Content::Reaction { target, emoji: emoji.into() });
            assert_eq!((heard.chat, heard.sender), (canonical(to), chat(BOB)));
        }

        for seconds in [Some(86_400), None] {
            let pin = Content::Pin { target: target(&theirs, false, to, BOB), seconds };
            let seen = deliver(&pair.line, &pair.bob, outgoing(to, pin)).await;
            assert_eq!((seen.kind(), seen.target()), ("pin", Some(theirs.clone())));
            assert_eq!(seen.edit.as_deref(), Some("2"));
            let id = pair.bob.pin(back, &by(BOB, &theirs), seconds).await.unwrap();
            let heard = pair.line.ear.by_id(&id).await.content;
            assert_eq!(heard, Content::Pin { target: target(&theirs, false, to, BOB), seconds });
        }
    }
    pair.end().await;
}

#[tokio::test]
async fn edits_and_revocations_go_both_ways() {
    let pair = Pair::new().await;
    for (to, back) in &pair.ways {
        let hello = deliver(&pair.line, &pair.bob, outgoing(to, Content::text("helo"))).await;
        let mine = target(&hello.id, true, to, ALICE);
        let edit = Content::Edit { target: mine.clone(), body: "hello".into(), file: None };
        let seen = deliver(&pair.line, &pair.bob, outgoing(to, edit)).await;
        assert_eq!((seen.kind(), seen.target()), ("edit", Some(hello.id.clone())));
        assert_eq!(seen.change().as_deref(), Some("hello"));
        assert_eq!(seen.edit.as_deref(), Some("1"));
        let revoke = Content::Revoke { target: mine };
        let seen = deliver(&pair.line, &pair.bob, outgoing(to, revoke)).await;
        assert_eq!((seen.kind(), seen.target()), ("revoke", Some(hello.id.clone())));
        assert_eq!(seen.edit.as_deref(), Some("7"));

        let theirs = pair.bob.send_text_to(back, "hi").await.unwrap();
        pair.line.ear.by_id(&theirs).await;
        let id = pair.bob.edit(back, &theirs, "hi there").await.unwrap();
        let about = target(&theirs, false, to, BOB);
        let heard = pair.line.ear.by_id(&id).await.content;
        assert_eq!(
            heard,
            Content::Edit { target: about.clone(), body: "hi there".into(), file: None }
        );
        let id = pair.bob.revoke(back, &by(BOB, &theirs)).await.unwrap();
        let heard = pair.line.ear.by_id(&id).await.content;
        assert_eq!(heard, Content::Revoke { target: about });
    }
    pair.end().await;
}

#[tokio::test]
async fn an_admin_takes_back_what_others_wrote() {
    let pair = Pair::new().await;
    let (to, back) = pair.ways[2].clone();
    let carol = pair.world.network.account(CAROL).unwrap();
    let theirs = carol.send_text_to(&back, "an advertisement").await.unwrap();
    pair.line.ear.by_id(&theirs).await;
    let about = target(&theirs, false, &to, CAROL);
    let revoke = Content::Revoke { target: about.clone() };
    let seen = deliver(&pair.line, &pair.bob, outgoing(&to, revoke)).await;
    assert_eq!((seen.kind(), seen.target()), ("revoke", Some(theirs.clone())));
    assert_eq!(seen.edit.as_deref(), Some("8"));
    let named = seen.target_key().unwrap().participant.clone();
    assert_eq!(named, Some(carol.lid_jid().to_string()));

    let id = pair.bob.revoke(&back, &by(CAROL, &theirs)).await.unwrap();
    let heard = pair.line.ear.by_id(&id).await;
    assert_eq!((heard.content, heard.sender), (Content::Revoke { target: about }, chat(BOB)));

    // Between two people only one's own, and only one's own can be edited.
    for content in [
        Content::Revoke { target: target("X", false, &chat(BOB), BOB) },
        Content::Edit {
            target: target("X", false, &chat(BOB), BOB),
            body: "no".into(),
            file: None,
        },
    ] {
        let result = pair.line.connection.send(outgoing(&chat(BOB), content)).await;
        assert!(matches!(result, Err(EngineError::Refused(_))));
    }
    pair.end().await;
}

#[tokio::test]
async fn votes_are_read_by_both_sides() {
    let pair = Pair::new().await;
    let poll = Poll {
        name: "what?".into(),
        options: vec!["tea".into(), "coffee".into(), "water".into()],
        allow_multiple_answers: true,
    };
    let hash = |options: &[&str]| -> Vec<OptionHash> {
        options.iter().map(|option| OptionHash::of(option)).collect()
    };
    for (to, back) in &pair.ways {
        // Alice asks, Bob answers, changes his mind, takes it back.
        let asked = deliver(&pair.line, &pair.bob, outgoing(to, Content::Poll(poll.clone()))).await;
        for chosen in [&["tea", "water"][..], &["coffee"], &[]] {
            let id = pair.bob.vote(back, &asked.id, chosen).await.unwrap();
            let heard = pair.line.ear.by_id(&id).await;
            let expected =
                Content::Vote { poll: target(&asked.id, true, to, ALICE), options: hash(chosen) };
            assert_eq!(heard.content, expected, "{to}");
            assert_eq!((heard.chat, heard.sender), (canonical(to), chat(BOB)));
        }
        // Bob asks, Alice answers.
        let theirs = pair.bob.send_poll(back, "who?", &["you", "me"], 1).await.unwrap();
        pair.line.ear.by_id(&theirs).await;
        for chosen in [&["me"][..], &[]] {
            let vote =
                Content::Vote { poll: target(&theirs, false, to, BOB), options: hash(chosen) };
            let seen = deliver(&pair.line, &pair.bob, outgoing(to, vote)).await;
            assert_eq!(seen.kind(), "vote");
            assert_eq!(pair.bob.vote_of(&seen).unwrap(), chosen, "{to}");
        }
        // Typed on her own phone.
        let address: Jid = to.to_jid().parse().unwrap();
        until_known(&pair.alice, &theirs).await;
        let id = pair.alice.vote(&address, &theirs, &["you"]).await.unwrap();
        let heard = pair.line.ear.by_id(&id).await;
        let expected =
            Content::Vote { poll: target(&theirs, false, to, BOB), options: hash(&["you"]) };
        assert_eq!((heard.content, heard.from_me), (expected, true));
        let id = pair.alice.react(&address, &by(BOB, &theirs), "🤔").await.unwrap();
        let heard = pair.line.ear.by_id(&id).await;
        let about = target(&theirs, false, to, BOB);
        assert_eq!(heard.content, Content::Reaction { target: about, emoji: "🤔".into() });
        assert_eq!((heard.chat, heard.from_me), (canonical(to), true));
        // Her own vote on her own poll.
        let own =
            Content::Vote { poll: target(&asked.id, true, to, ALICE), options: hash(&["tea"]) };
        let seen = deliver(&pair.line, &pair.bob, outgoing(to, own)).await;
        assert_eq!(pair.bob.vote_of(&seen).unwrap(), ["tea"]);
    }
    let unknown = Content::Vote { poll: target("NOPE", false, &chat(BOB), BOB), options: vec![] };
    let result = pair.line.connection.send(outgoing(&chat(BOB), unknown)).await;
    assert!(matches!(result, Err(EngineError::Refused(_))), "{result:?}");
    pair.end().await;
}

async fn until_known(phone: &simulator::Account, id: &str) {
    phone.wait_for(LIMIT, |received| received.id == id).await.unwrap();
}

#[tokio::test]
async fn a_poll_sent_again_is_the_same_poll() {
    let pair = Pair::new().await;
    let poll = Poll {
        name: "what?".into(),
        options: vec!["tea".into(), "coffee".into()],
        allow_multiple_answers: false,
    };
    let message = outgoing(&chat(BOB), Content::Poll(poll));
    let first = deliver(&pair.line, &pair.bob, message.clone()).await;
    pair.line.ear.acked(&message.id).await;
    pair.line.connection.send(message.clone()).await.unwrap();
    pair.line.ear.acked(&message.id).await;
    // Bob's phone keeps the first; his vote must open with what is stored after the second.
    let id = pair.bob.vote(&pair.ways[0].1, &first.id, &["coffee"]).await.unwrap();
    let heard = pair.line.ear.by_id(&id).await.content;
    assert!(matches!(heard, Content::Vote { .. }), "{heard:?}");
    pair.end().await;
}

/// What Bob's phone does with a message's secret: an edit of his own, a reaction on hers.
fn secret_of(message: &wa::Message) -> Vec<u8> {
    message.message_context_info.as_option().unwrap().message_secret.clone().unwrap()
}

#[tokio::test]
async fn edits_and_reactions_under_a_messages_secret_are_read() {
    let pair = Pair::new().await;
    for (to, back) in &pair.ways {
        let (alice, bob) = match back.is_pn() {
            true => (pair.alice.jid(), pair.bob.jid()),
            false => (pair.alice.lid_jid(), pair.bob.lid_jid()),
        };
        let key = |id: &str, from_me: bool, author: &Jid| wa::MessageKey {
            remote_jid: Some(back.to_string()),
            from_me: Some(from_me),
            id: Some(id.to_owned()),
            participant: back.is_group().then(|| author.to_string()),
        };
        // An edit.
        let secret = vec![7; 32];
        let mut original = simulator::text_message("helo");
        original.message_context_info = MessageField::some(wa::MessageContextInfo {
            message_secret: Some(secret.clone()),
            ..Default::default()
        });
        let id = pair.bob.send(back.clone(), original).await.unwrap();
        pair.line.ear.by_id(&id).await;
        let inner = wa::Message {
            protocol_message: MessageField::some(wa::message::ProtocolMessage {
                key: MessageField::some(key(&id, true, &bob)),
                r#type: Some(wa::message::protocol_message::Type::MESSAGE_EDIT),
                edited_message: MessageField::some(simulator::text_message("hello")),
                ..Default::default()
            }),
            ..Default::default()
        };
        let context = MessageEditContext {
            original_msg_id: &id,
            original_sender_jid: &bob.to_string(),
            editor_jid: &bob.to_string(),
        };
        let (payload, iv) = encrypt_message_edit(&inner, &secret, &context).unwrap();
        let sealed = wa::Message {
            secret_encrypted_message: MessageField::some(wa::message::SecretEncryptedMessage {
                target_message_key: MessageField::some(key(&id, true, &bob)),
                enc_payload: Some(payload),
                enc_iv: Some(iv.to_vec()),
                secret_enc_type: Some(SecretEncType::MESSAGE_EDIT),
                ..Default::default()
            }),
            ..Default::default()
        };
        let edit = pair.bob.send(back.clone(), sealed).await.unwrap();
        let heard = pair.line.ear.by_id(&edit).await.content;
        let about = target(&id, false, to, BOB);
        assert_eq!(
            heard,
            Content::Edit { target: about, body: "hello".into(), file: None },
            "{to}"
        );

        // A reaction, with the secret that came with Alice's message.
        let hers = deliver(&pair.line, &pair.bob, outgoing(to, Content::text("hi"))).await;
        let secret = secret_of(&hers.message);
        let (payload, iv) = encrypt_reaction_with_secret(
            "👍",
            1,
            &secret,
            &hers.id,
            &alice.to_string(),
            &bob.to_string(),
        )
        .unwrap();
        let sealed = wa::Message {
            enc_reaction_message: MessageField::some(wa::message::EncReactionMessage {
                target_message_key: MessageField::some(key(&hers.id, false, &alice)),
                enc_payload: Some(payload),
                enc_iv: Some(iv.to_vec()),
            }),
            ..Default::default()
        };
        let reaction = pair.bob.send(back.clone(), sealed).await.unwrap();
        let heard = pair.line.ear.by_id(&reaction).await.content;
        let about = target(&hers.id, true, to, ALICE);
        assert_eq!(heard, Content::Reaction { target: about, emoji: "👍".into() }, "{to}");
    }
    pair.end().await;
}

#[tokio::test]
async fn an_unreadable_group_message_is_reported_and_replaced() {
    let pair = Pair::new().await;
    let (to, back) = pair.ways[2].clone();
    let first = pair.bob.send_text_to(&back, "fine").await.unwrap();
    pair.line.ear.by_id(&first).await;
    pair.bob
        .on_message(Behaviour { resend_after: Duration::from_millis(500), ..Default::default() })
        .await;
    pair.world.network.faults().corrupt_next(1);
    let id = pair.bob.send_text_to(&back, "spoilt").await.unwrap();
    let masked = pair.line.ear.by_id(&id).await;
    assert_eq!((masked.content, masked.chat), (Content::Undecryptable, to.clone()));
    assert_eq!(masked.sender, chat(BOB));
    let readable = pair.line.ear.by_id(&id).await;
    assert_eq!((readable.content, readable.chat), (Content::text("spoilt"), to));
    pair.line.connection.close().await;
}

#[tokio::test]
async fn what_cannot_be_decrypted_is_reported_once_and_then_replaced() {
    let world = World::new().await;
    let (_, device, line) = world.connected(ALICE).await;
    let bob = world.network.account(BOB).unwrap();
    bob.on_message(Behaviour { resend_after: Duration::from_millis(500), ..Default::default() })
        .await;
    world.network.faults().for_device(ALICE, device.device_id).corrupt_next(1);
    let id = bob.send_text(ALICE, "spoilt on the way").await.unwrap();
    let first = line.ear.by_id(&id).await;
    assert_eq!(first.content, Content::Undecryptable);
    assert_eq!((first.chat, first.sender), (chat(BOB), chat(BOB)));
    let second = line.ear.by_id(&id).await;
    assert_eq!(second.content, Content::text("spoilt on the way"));
    assert_eq!(second.chat, chat(BOB));
    line.connection.close().await;
}

#[tokio::test]
async fn a_stranger_can_be_refused_while_others_are_not() {
    let world = World::new().await;
    let (_, _, line) = world.connected(ALICE).await;
    world.network.faults().nack_to(CAROL, 463);
    for (to, expected) in [(BOB, None), (CAROL, Some(463)), (BOB, None)] {
        let message = text(to, "hello");
        let id = message.id.clone();
        line.connection.send(message).await.unwrap();
        assert_eq!(line.ear.acked(&id).await, expected, "{to}");
    }
    world.network.faults().accept_to(CAROL);
    let message = text(CAROL, "hello again");
    let id = message.id.clone();
    line.connection.send(message).await.unwrap();
    assert_eq!(line.ear.acked(&id).await, None);
    line.connection.close().await;
}
