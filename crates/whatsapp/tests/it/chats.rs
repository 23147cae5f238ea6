//! Chats and people: marks, typing, reading, look-ups, identities, calls.

use std::time::Duration;

use domain::{
    ChatId, PhoneNumber, Timestamp, WaMessageId,
    chat::{ChatMark, ContactPatch, LastMessage, MutedUntil, Registration, Typing},
    content::Target,
    message::MessageType,
    port::{Call, CallOutcome, EngineSignal},
};
use serde_json::{Value, json};
use simulator::CallEnd;

use crate::{
    kinds::Pair,
    support::{ALICE, BOB, CAROL, Ear, Heard, World, assert_all_answered, chat, until},
};

const NINTH: &str = "551190000002";

fn lid(account: &simulator::Account) -> ChatId {
    format!("{}@lid", account.lid()).parse().unwrap()
}

#[tokio::test]
async fn the_backlog_ends_with_a_word_after_the_login() {
    let world = World::new().await;
    let bob = world.network.account(BOB).unwrap();
    for waiting in [0, 3] {
        let (session, _) = world.linked(ALICE).await;
        for number in 0..waiting {
            bob.send_text(ALICE, &format!("waiting {number}")).await.unwrap();
        }
        let line = world.open(session).await;
        let caught_up =
            |signal: &EngineSignal| matches!(signal, EngineSignal::CaughtUp).then_some(());
        let before = line.ear.position(caught_up).await;
        let messages = before.iter().filter(|heard| matches!(heard, Heard::Message(_))).count();
        assert_eq!(messages, waiting);
        let connected =
            |heard: &&Heard| matches!(heard, Heard::Signal(EngineSignal::Connected { .. }));
        assert_eq!(before.iter().filter(connected).count(), 1);
        line.connection.close().await;
    }
}

#[tokio::test]
async fn marks_are_set_on_all_devices() {
    let pair = Pair::new().await;
    let id = pair.bob.send_text(ALICE, "hello").await.unwrap();
    let message = pair.line.ear.by_id(&id).await;
    let last = LastMessage {
        id: WaMessageId::from_wire(id.as_str()),
        from_me: false,
        author: None,
        body: Some("hello".into()),
        kind: MessageType::Text,
        timestamp: message.timestamp,
    };
    let end = 4_000_000_000_000;
    let until_end = MutedUntil::Time(Timestamp::from_millis(end));
    let messages = json!([id]);
    let marks = [
        (ChatMark::Archived(true), "archive", json!({ "archived": true, "messages": messages })),
        (ChatMark::Archived(false), "archive", json!({ "archived": false, "messages": messages })),
        (ChatMark::Pinned(true), "pin_v1", json!({ "pinned": true })),
        (ChatMark::Pinned(false), "pin_v1", json!({ "pinned": false })),
        (ChatMark::Muted(Some(MutedUntil::Forever)), "mute", json!({ "muted": true, "until": -1 })),
        (ChatMark::Muted(Some(until_end)), "mute", json!({ "muted": true, "until": end })),
        (ChatMark::Muted(None), "mute", json!({ "muted": false, "until": 0 })),
        (ChatMark::Read(false), "markChatAsRead", json!({ "read": false, "messages": messages })),
        (ChatMark::Read(true), "markChatAsRead", json!({ "read": true, "messages": messages })),
        (ChatMark::Cleared, "clearChat", json!({ "messages": messages })),
        (ChatMark::Deleted, "deleteChat", json!({ "messages": messages })),
    ];
    for (mark, ..) in &marks {
        pair.line.connection.mark_chat(&chat(BOB), *mark, Some(&last)).await.unwrap();
    }
    let target = Target { id: last.id.clone(), from_me: false, author: None };
    for star in [true, false] {
        pair.line.connection.star(&chat(BOB), &target, star).await.unwrap();
    }
    pair.line.connection.delete_for_me(&chat(BOB), &target, last.timestamp).await.unwrap();

    let seen: Vec<(String, Value)> = pair
        .world
        .network
        .record()
        .marks
        .into_iter()
        .map(|mark| (mark.index[0].clone(), mark.value))
        .collect();
    let mut expected: Vec<(String, Value)> =
        marks.into_iter().map(|(_, name, value)| (name.to_owned(), value)).collect();
    expected.push(("star".into(), json!({ "starred": true })));
    expected.push(("star".into(), json!({ "starred": false })));
    expected.push(("deleteMessageForMe".into(), json!({ "timestamp": last.timestamp })));
    assert_eq!(seen, expected);
    pair.end().await;
}

#[tokio::test]
async fn marks_of_the_phone_are_heard() {
    let pair = Pair::new().await;
    let (alice, bob) = (&pair.alice, pair.bob.jid());
    let marked = |mark: ChatMark| {
        pair.line.ear.signal(move |signal| match signal {
            EngineSignal::ChatMark { chat: marked, mark: heard } if *heard == mark => {
                Some(marked.clone())
            }
            _ => None,
        })
    };
    alice.archive_chat(&bob, true).await.unwrap();
    assert_eq!(marked(ChatMark::Archived(true)).await, chat(BOB));
    alice.pin_chat(&bob, true).await.unwrap();
    assert_eq!(marked(ChatMark::Pinned(true)).await, chat(BOB));
    alice.mute_chat(&pair.bob.lid_jid(), Some(-1)).await.unwrap();
    let forever = ChatMark::Muted(Some(MutedUntil::Forever));
    let muted = marked(forever).await;
    assert!([chat(BOB), lid(&pair.bob)].contains(&muted), "{muted}");
    alice.mute_chat(&bob, None).await.unwrap();
    assert_eq!(marked(ChatMark::Muted(None)).await, chat(BOB));
    alice.mark_chat_read(&bob, false).await.unwrap();
    assert_eq!(marked(ChatMark::Read(false)).await, chat(BOB));
    alice.delete_chat(&bob).await.unwrap();
    assert_eq!(marked(ChatMark::Deleted).await, chat(BOB));
    alice.save_contact(BOB, "Bob the baker").await.unwrap();
    let (id, patch) = pair
        .line
        .ear
        .signal(|signal| match signal {
            EngineSignal::Contact { id, patch } => Some((id.clone(), patch.clone())),
            _ => None,
        })
        .await;
    assert_eq!(id, chat(BOB));
    let name = Some(Some("Bob the baker".to_owned()));
    assert_eq!(patch, ContactPatch { name, ..Default::default() });
    pair.end().await;
}

#[tokio::test]
async fn typing_and_reading_are_seen() {
    let pair = Pair::new().await;
    for state in [Typing::Typing, Typing::Recording, Typing::Paused] {
        pair.line.connection.typing(&chat(BOB), state).await.unwrap();
    }
    until("all three are seen", || pair.world.network.record().typing.len() == 3).await;
    let states: Vec<_> =
        pair.world.network.record().typing.into_iter().map(|seen| seen.state).collect();
    assert_eq!(states, ["composing", "recording", "paused"]);

    let (group, address) = pair.ways[2].clone();
    let carol = pair.world.network.account(CAROL).unwrap();
    let first = pair.bob.send_text_to(&address, "one").await.unwrap();
    let second = carol.send_text_to(&address, "two").await.unwrap();
    let third = pair.bob.send_text(ALICE, "three").await.unwrap();
    for id in [&first, &second, &third] {
        pair.line.ear.by_id(id).await;
    }
    let id = |id: &str| WaMessageId::from_wire(id);
    let unread = [(id(&first), Some(chat(BOB))), (id(&second), Some(chat(CAROL)))];
    pair.line.connection.mark_read(&group, &unread).await.unwrap();
    pair.line.connection.mark_read(&chat(BOB), &[(id(&third), None)]).await.unwrap();
    until("all are read", || {
        let record = pair.world.network.record();
        let read = |id: &String| {
            let about = record.receipts.iter().filter(|receipt| receipt.kind == "read");
            about.filter(|receipt| receipt.ids.contains(id)).count() == 1
        };
        [&first, &second, &third].into_iter().all(read)
    })
    .await;
    pair.end().await;
}

#[tokio::test]
async fn a_look_up_answers_in_order_and_with_the_registered_number() {
    let pair = Pair::new().await;
    pair.world.network.add_alias(NINTH, BOB).unwrap();
    let carol = pair.world.network.account(CAROL).unwrap();
    let asked =
        [chat(CAROL), chat("5511000000000"), chat(NINTH), lid(&carol), chat(BOB), chat(CAROL)];
    let answers = pair.line.connection.lookup(&asked).await.unwrap();
    let somebody = |asked: ChatId, account: &simulator::Account| Registration {
        asked,
        registered: Some(chat(account.phone())),
        lid: Some(lid(account)),
    };
    assert_eq!(
        answers,
        [
            somebody(chat(CAROL), &carol),
            Registration { asked: asked[1].clone(), registered: None, lid: None },
            somebody(chat(NINTH), &pair.bob),
            somebody(lid(&carol), &carol),
            somebody(chat(BOB), &pair.bob),
            somebody(chat(CAROL), &carol),
        ]
    );
    let group: ChatId = pair.group.to_string().parse().unwrap();
    assert!(pair.line.connection.lookup(&[group]).await.is_err());
    pair.end().await;
}

#[tokio::test]
async fn a_person_is_one_under_both_ids() {
    let pair = Pair::new().await;
    // First only by privacy id.
    let dave = pair.world.network.add_account("5511990000004", "Dave").await;
    dave.show_number(false).unwrap();
    let id = dave.send_text_as_lid(ALICE, "who am I?").await.unwrap();
    let first = pair.line.ear.by_id(&id).await;
    assert_eq!((&first.chat, &first.sender_lid), (&lid(&dave), &Some(lid(&dave))));
    assert_eq!(first.sender_phone, None);
    // Then the number is known.
    dave.show_number(true).unwrap();
    let id = dave.send_text_as_lid(ALICE, "it is Dave").await.unwrap();
    let second = pair.line.ear.by_id(&id).await;
    assert_eq!(second.chat, chat(dave.phone()));
    assert_eq!(second.sender_lid, Some(lid(&dave)));
    assert_eq!(second.sender_phone, PhoneNumber::parse(dave.phone()));

    // One message under both ids is the same message in the same chat.
    let once = simulator::text_message;
    pair.bob.send_as("BOTHWAYS", pair.alice.jid(), once("twice")).await.unwrap();
    pair.bob.send_as("BOTHWAYS", pair.alice.lid_jid(), once("twice")).await.unwrap();
    let last = pair.bob.send_text(ALICE, "after").await.unwrap();
    pair.line.ear.by_id(&last).await;
    let copies: Vec<_> = pair
        .line
        .ear
        .all()
        .into_iter()
        .filter_map(|heard| match heard {
            Heard::Message(message) if message.id.as_str() == "BOTHWAYS" => Some(message),
            _ => None,
        })
        .collect();
    assert!(!copies.is_empty());
    assert!(copies.iter().all(|copy| copy.chat == chat(BOB) && copy.sender == chat(BOB)));
    pair.end().await;
}

async fn call(ear: &Ear) -> Call {
    ear.signal(|signal| match signal {
        EngineSignal::Call(call) => Some(call.clone()),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn calls_are_emitted_with_their_end() {
    let world = World::new().await;
    let bob = world.network.account(BOB).unwrap();
    let (session, device, line) = world.connected(ALICE).await;
    for (end, outcome, video) in [
        (CallEnd::Unanswered, CallOutcome::Missed, false),
        (CallEnd::AcceptedElsewhere, CallOutcome::Accepted, true),
        (CallEnd::RejectedElsewhere, CallOutcome::Rejected, false),
    ] {
        let id = bob.call(ALICE, video).await.unwrap();
        let identity = |signal: &EngineSignal| match signal {
            EngineSignal::Identity(identity) => Some(identity.clone()),
            _ => None,
        };
        let caller = line.ear.signal(identity).await;
        assert_eq!((caller.lid, caller.phone.digits()), (lid(&bob), BOB));
        let rings = call(&line.ear).await;
        assert_eq!((rings.id.as_str(), &rings.from), (id.as_str(), &chat(BOB)));
        assert_eq!((rings.video, rings.group, rings.outcome), (video, false, None));
        bob.end_call(ALICE, &id, end).await.unwrap();
        let over = call(&line.ear).await;
        assert_eq!((over.id, over.outcome), (id, Some(outcome)));
    }
    until("the calls are acknowledged", || {
        world.network.queued(ALICE, device.device_id).is_empty()
    })
    .await;
    line.connection.close().await;

    // One that rang while nobody was there.
    let id = bob.call(ALICE, false).await.unwrap();
    let line = world.open(session).await;
    let missed = call(&line.ear).await;
    assert_eq!((missed.id, missed.outcome), (id, Some(CallOutcome::Missed)));
    assert_eq!(missed.from, chat(BOB));
    line.connection.close().await;
    assert_all_answered(&world.network);
}

#[tokio::test]
async fn a_late_ack_is_no_lost_one() {
    let world = World::new().await;
    let bob = world.network.account(BOB).unwrap();
    let (_, _, line) = world.connected(ALICE).await;
    world.network.faults().delay_acks(Duration::from_millis(300));
    let message = crate::support::text(BOB, "slowly");
    let id = message.id.clone();
    crate::support::deliver(&line, &bob, message).await;
    assert_eq!(line.ear.acked(&id).await, None);
    line.connection.close().await;
}
