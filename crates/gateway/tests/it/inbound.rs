//! What comes in is stored before WhatsApp is acknowledged.

use domain::{
    event::EventType,
    message::{Content, Direction, MessageStatus},
    port::Write,
};
use testkit::{Receiver, Reply, build};

use crate::house::House;

#[tokio::test]
async fn a_message_its_event_and_its_deliveries_are_there_before_whatsapp_is_answered() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let receiver = Receiver::start().await;
    receiver.answer([Reply::Silence, Reply::Silence]);
    house.webhook(session, &receiver).await;
    house.webhook(session, &receiver).await;
    let before = house.written().len();

    let link = house.whatsapp.connection(session);
    link.messages(vec![build::inbound(1, &build::chat(1))]).await.unwrap();

    // From here on WhatsApp has forgotten the message: everything must be there already.
    let row = house.message(session, &build::wa_id(1)).await.unwrap();
    assert_eq!((row.direction, row.status), (Direction::Incoming, MessageStatus::Delivered));
    assert_eq!(row.body.as_deref(), Some("text 1"));
    assert_eq!(row.chat_name.as_deref(), Some("Mia"));
    assert_eq!((row.from.as_str(), row.to.as_str()), ("49170000001@c.us", "4915550001000@c.us"));
    assert_eq!(house.pending().await, 2);
    let told = house.told(session, EventType::MessageReceived);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].draft.data.value()["body"], "text 1");
    // One commit.
    let written = &house.written()[before..];
    assert_eq!(written.len(), 1);
    assert!(written[0].lease.as_ref().is_some_and(|lease| lease.session == session));
    let Write::InsertMessage { events, .. } = &written[0].writes[0] else { panic!("{written:?}") };
    assert_eq!(events.len(), 1);
}

#[tokio::test]
async fn a_message_that_comes_twice_is_stored_and_told_once() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let receiver = Receiver::start().await;
    house.webhook(session, &receiver).await;
    let link = house.whatsapp.connection(session);
    let message = build::inbound(1, &build::chat(1));
    link.messages(vec![message.clone()]).await.unwrap();
    link.messages(vec![message.clone(), message, build::inbound(2, &build::chat(1))])
        .await
        .unwrap();
    house.drained().await;
    assert_eq!(house.told(session, EventType::MessageReceived).len(), 2);
    assert_eq!(crate::house::numbers(&receiver), [1, 2]);
}

#[tokio::test]
async fn a_ledger_that_fails_keeps_whatsapp_waiting() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let link = house.whatsapp.connection(session);
    let message = build::inbound(1, &build::chat(1));
    house.switch_ledger(false);
    link.messages(vec![message.clone()]).await.unwrap_err();
    house.switch_ledger(true);
    assert_eq!(house.message(session, &build::wa_id(1)).await, None);
    assert!(house.told(session, EventType::MessageReceived).is_empty());
    // WhatsApp sends it again.
    link.messages(vec![message]).await.unwrap();
    assert_eq!(house.told(session, EventType::MessageReceived).len(), 1);
}

#[tokio::test]
async fn a_message_that_can_never_be_stored_is_put_aside_and_holds_nothing_up() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let link = house.whatsapp.connection(session);
    house.refuse(build::wa_id(2));
    let come = || (1..=3).map(|number| build::inbound(number, &build::chat(1))).collect::<Vec<_>>();
    for attempt in 1..=2 {
        // Not acknowledged: WhatsApp sends what is not stored again.
        link.messages(come()).await.unwrap_err();
        assert!(house.message(session, &build::wa_id(1)).await.is_some(), "try {attempt}");
        assert_eq!(house.message(session, &build::wa_id(3)).await, None, "the order is kept");
        assert_eq!(house.gateway.health.put_aside().await.unwrap(), 0);
    }
    link.messages(come()).await.unwrap();
    assert!(house.message(session, &build::wa_id(3)).await.is_some());
    assert_eq!(house.message(session, &build::wa_id(2)).await, None);
    let told = house.told(session, EventType::MessageReceived);
    let ids: Vec<_> = told.iter().map(|event| event.draft.data.value()["id"].clone()).collect();
    assert_eq!(ids, [build::wa_id(1).as_str(), build::wa_id(3).as_str()], "each once");
    assert_eq!(house.gateway.health.put_aside().await.unwrap(), 1);
    let aside = house.store.quarantined(session, 10).await.unwrap();
    let [(kind, bytes)] = aside.as_slice() else { panic!("{aside:?}") };
    assert_eq!(kind, "message");
    assert!(String::from_utf8_lossy(bytes).contains("text 2"), "with all that is known of it");
    // It comes once more, say after a crash before the acknowledgement.
    link.messages(vec![build::inbound(2, &build::chat(1))]).await.unwrap_err();
    assert_eq!(house.gateway.health.put_aside().await.unwrap(), 1);
}

#[tokio::test]
async fn a_ledger_that_is_away_puts_nothing_aside() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let link = house.whatsapp.connection(session);
    house.taken_by("another", session, std::time::Duration::from_secs(60)).await;
    for _ in 0..5 {
        link.messages(vec![build::inbound(1, &build::chat(1))]).await.unwrap_err();
    }
    assert_eq!(house.gateway.health.put_aside().await.unwrap(), 0);
}

#[tokio::test]
async fn a_batch_keeps_its_order_and_its_kinds() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let group = "120363000000000001@g.us".parse().unwrap();
    let mut in_group = build::inbound(1, &group);
    in_group.sender = build::chat(3);
    let mut typed_on_the_phone = build::inbound(2, &build::chat(1));
    typed_on_the_phone.from_me = true;
    let mut strange = build::inbound(3, &build::chat(1));
    strange.content = Content::Unknown { protocol_kind: "pollCreationMessage".into() };
    strange.backfilled = true;
    let link = house.whatsapp.connection(session);
    link.messages(vec![in_group, typed_on_the_phone, strange]).await.unwrap();

    let expected = ["message.received", "message.sent", "message.received"];
    assert_eq!(house.message_events(session), expected);
    let row = house.message(session, &build::wa_id(1)).await.unwrap();
    assert_eq!((row.author, row.chat_name), (Some(build::chat(3)), None));
    let row = house.message(session, &build::wa_id(2)).await.unwrap();
    assert_eq!((row.direction, row.status), (Direction::Outgoing, MessageStatus::Sent));
    assert_eq!((row.from.as_str(), row.chat_name), ("4915550001000@c.us", None));
    let row = house.message(session, &build::wa_id(3)).await.unwrap();
    assert_eq!((row.body, &row.metadata["backfilled"]), (None, &true.into()));
    assert_eq!(row.metadata["protocolKind"], "pollCreationMessage");
}

#[tokio::test]
async fn coming_in_counts_as_activity_but_not_as_a_write_per_message() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    house.clock.advance(std::time::Duration::from_secs(30));
    let before = house.written().len();
    for _ in 0..5 {
        house.hear(session, &build::chat(1)).await;
    }
    assert_eq!(house.record(session).await.last_active, Some(house.now()));
    let patches = |written: &&crate::house::Written| {
        // What becoming ready writes may still be on its way.
        let active = |write: &Write| matches!(write, Write::PatchSession { patch, .. } if patch.last_active == Some(Some(house.now())));
        written.writes.iter().any(active)
    };
    let patches = house.written()[before..].iter().filter(patches).count();
    assert_eq!(patches, 1);
}
