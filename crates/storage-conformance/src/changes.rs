//! Changes of messages, also those that come before their message, and messages that are replaced.

use std::time::Duration;

use domain::{
    SessionId, Timestamp,
    event::{EventDraft, EventType},
    message::{Content, Direction, Message, MessageStatus, MessageType},
    port::{KeyOfSend, MessageChange, NewMessage, OpenChange, UnresolvedSend, Write, WriteOutcome},
};
use serde_json::{Value, json};

use super::{Store, held_session, new_session};
use testkit::{START, build};

fn later(seconds: u64) -> Timestamp {
    START.plus(Duration::from_secs(seconds))
}

/// `message.edited`, with a key of its own.
fn told(event: u32, session: SessionId) -> EventDraft {
    EventDraft {
        kind: EventType::MessageEdited,
        idempotency_key: format!("edit_{session}_{event}"),
        ..build::event(event, session, &build::chat(1))
    }
}

fn edit(body: &str) -> MessageChange {
    MessageChange { body: Some(Some(body.into())), ..MessageChange::default() }
}

fn says(metadata: Value) -> MessageChange {
    MessageChange { metadata, ..MessageChange::default() }
}

/// A change of message 1 with event `event`.
fn change(session: SessionId, change: MessageChange, hold: Option<u64>, event: u32) -> Write {
    Write::ChangeMessage {
        session,
        wa_id: build::wa_id(1),
        change: Box::new(change),
        hold_until: hold.map(later),
        events: vec![told(event, session)],
    }
}

/// An ack of message 1 with event `event`.
fn ack(session: SessionId, status: MessageStatus, hold: Option<u64>, event: u32) -> Write {
    Write::AdvanceMessage {
        session,
        wa_id: build::wa_id(1),
        status,
        timestamp: None,
        metadata: Value::Null,
        hold_until: hold.map(later),
        events: vec![told(event, session)],
    }
}

fn insert(message: Message, event: u32) -> Write {
    let events = vec![build::event(event, message.session, &message.chat)];
    Write::InsertMessage { message: Box::new(NewMessage::row(message)), events }
}

/// Applies one write; the numbers of the events that were recorded, in order.
async fn apply<S: Store>(store: &S, write: Write) -> Option<Vec<String>> {
    match store.write(vec![write]).await.unwrap().remove(0) {
        WriteOutcome::Applied(events) => {
            let number = |id: &Value| id.as_str().unwrap().to_owned();
            Some(events.iter().map(|event| number(&event.draft.data.value()["id"])).collect())
        }
        WriteOutcome::Unchanged => None,
    }
}

async fn row<S: Store>(store: &S, session: SessionId) -> Message {
    store.message(session, &build::wa_id(1)).await.unwrap().unwrap()
}

pub async fn a_change_goes_into_its_row<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    let metadata =
        json!({ "media": { "state": "pending" }, "reactions": { "1@c.us": "👍", "2@c.us": "🎂" } });
    apply(store, insert(Message { metadata, ..build::message(1, session) }, 1)).await.unwrap();
    let all = MessageChange {
        body: Some(None),
        kind: Some(MessageType::Revoked),
        metadata: json!({ "reactions": { "1@c.us": null, "3@c.us": "🥖" }, "pinned": true }),
        drop_media: true,
    };
    assert_eq!(apply(store, change(session, all, None, 2)).await.unwrap(), ["2"]);
    let expected = Message {
        body: None,
        kind: MessageType::Revoked,
        metadata: json!({ "reactions": { "2@c.us": "🎂", "3@c.us": "🥖" }, "pinned": true }),
        ..build::message(1, session)
    };
    assert_eq!(row(store, session).await, expected);
    apply(store, change(session, MessageChange::default(), None, 3)).await.unwrap();
    assert_eq!(row(store, session).await, expected, "a change that names nothing");
    let nothing = says(json!({ "reactions": null, "pinned": null }));
    apply(store, change(session, nothing, None, 4)).await.unwrap();
    assert_eq!(row(store, session).await.metadata, Value::Null);
}

pub async fn a_change_told_twice_is_one<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    apply(store, insert(build::message(1, session), 1)).await.unwrap();
    apply(store, change(session, edit("first"), None, 2)).await.unwrap();
    apply(store, change(session, edit("second"), None, 3)).await.unwrap();
    assert_eq!(apply(store, change(session, edit("first"), None, 2)).await, None);
    assert_eq!(row(store, session).await.body.as_deref(), Some("second"));
    // Another session may have the same key.
    let other = new_session(store, 2).await;
    apply(
        store,
        insert(Message { id: build::message(2, other).id, ..build::message(1, other) }, 4),
    )
    .await;
    let mut same = change(other, edit("first"), None, 5);
    if let Write::ChangeMessage { events, .. } = &mut same {
        events[0].idempotency_key = told(2, session).idempotency_key;
    }
    assert!(apply(store, same).await.is_some());
}

pub async fn changes_wait_for_their_message_in_order<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    for write in [
        change(session, edit("first"), Some(60), 2),
        change(session, edit("second"), Some(30), 3),
        change(session, edit("first"), Some(60), 2),
        ack(session, MessageStatus::Read, Some(60), 4),
        ack(session, MessageStatus::Delivered, Some(60), 5),
        change(session, says(json!({ "reactions": { "1@c.us": "👍" } })), Some(60), 6),
    ] {
        assert_eq!(apply(store, write).await, None, "nothing is recorded yet");
    }
    let events = apply(store, insert(build::message(1, session), 1)).await.unwrap();
    assert_eq!(events, ["1", "2", "3", "4", "6"], "the second ack would have gone backwards");
    let message = row(store, session).await;
    assert_eq!(message.body.as_deref(), Some("second"));
    assert_eq!(message.status, MessageStatus::Read);
    assert_eq!(message.metadata, json!({ "reactions": { "1@c.us": "👍" } }));
    assert_eq!(store.release_held(later(100)).await.unwrap(), 0, "nothing waits any more");
    assert_eq!(apply(store, change(session, edit("first"), Some(60), 2)).await, None);
}

pub async fn a_held_text_that_was_cleared_stays_cleared<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    let revoke = MessageChange {
        body: Some(None),
        kind: Some(MessageType::Revoked),
        ..MessageChange::default()
    };
    apply(store, change(session, revoke, Some(60), 2)).await;
    apply(store, insert(build::message(1, session), 1)).await.unwrap();
    let message = row(store, session).await;
    assert_eq!((message.body, message.kind), (None, MessageType::Revoked));
}

pub async fn what_never_came_is_told_alone<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    apply(store, change(session, edit("first"), Some(60), 1)).await;
    apply(store, ack(session, MessageStatus::Read, Some(60), 2)).await;
    apply(store, change(session, edit("second"), Some(60), 3)).await;
    apply(store, change(session, edit("third"), Some(90), 4)).await;
    assert_eq!(store.release_held(later(59)).await.unwrap(), 0);
    assert_eq!(store.release_held(later(60)).await.unwrap(), 3);
    // Told twice is still one, also after it was told alone.
    assert_eq!(apply(store, change(session, edit("first"), Some(200), 1)).await, None);
    let events = apply(store, insert(build::message(1, session), 5)).await.unwrap();
    assert_eq!(events, ["5", "4"]);
    let next = super::append(store, build::session_event(9, session)).await;
    assert_eq!(next.sequence, 5, "two alone, the message, the one that still waited");
}

pub async fn what_may_not_wait_is_dropped<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    assert_eq!(apply(store, change(session, edit("x"), None, 1)).await, None);
    assert_eq!(apply(store, ack(session, MessageStatus::Sent, None, 2)).await, None);
    let events = apply(store, insert(build::message(1, session), 3)).await.unwrap();
    assert_eq!(events, ["3"]);
    assert_eq!(row(store, session).await, build::message(1, session));
}

fn masked(session: SessionId) -> Message {
    Message {
        kind: MessageType::Masked,
        body: None,
        ..build::received(1, session, &build::chat(1))
    }
}

pub async fn a_readable_message_replaces_one_that_was_not<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    apply(store, insert(masked(session), 1)).await.unwrap();
    assert_eq!(apply(store, insert(masked(session), 2)).await, None);
    // A reaction to what cannot be read yet waits for what can.
    let reaction = says(json!({ "reactions": { "1@c.us": "👍" } }));
    assert_eq!(apply(store, change(session, reaction, Some(60), 3)).await, None);
    let readable = Message {
        id: build::message(8, session).id,
        author: Some(build::chat(5)),
        created_at: later(5),
        ..build::received(1, session, &build::chat(1))
    };
    let mut new = NewMessage::row(readable.clone());
    new.media = Some(build::media_record(1, session, START));
    let events = vec![build::event(4, session, &build::chat(1))];
    let write = Write::InsertMessage { message: Box::new(new), events };
    assert_eq!(apply(store, write).await.unwrap(), ["4", "3"]);
    let expected = Message {
        id: masked(session).id,
        created_at: masked(session).created_at,
        metadata: json!({ "reactions": { "1@c.us": "👍" } }),
        ..readable.clone()
    };
    assert_eq!(row(store, session).await, expected);
    assert!(store.media(session, &build::wa_id(1)).await.unwrap().is_some());
    let chat = store.chat(session, &build::chat(1)).await.unwrap().unwrap();
    assert_eq!(chat.unread_count, 1, "counted once");
    assert_eq!(chat.last_message.unwrap().body, readable.body);
    assert_eq!(apply(store, insert(masked(session), 5)).await, None);
    assert_eq!(apply(store, insert(readable, 6)).await, None);
}

pub async fn what_was_taken_back_does_not_come_back<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    apply(store, insert(masked(session), 1)).await.unwrap();
    let revoke = MessageChange { kind: Some(MessageType::Revoked), ..MessageChange::default() };
    assert_eq!(apply(store, change(session, revoke, Some(60), 2)).await.unwrap(), ["2"]);
    let readable = build::received(1, session, &build::chat(1));
    assert_eq!(apply(store, insert(readable, 3)).await, None);
    assert_eq!(row(store, session).await.kind, MessageType::Revoked);
}

pub async fn a_message_that_stays_unreadable_changes_in_the_end<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    apply(store, insert(masked(session), 1)).await.unwrap();
    let reaction = says(json!({ "reactions": { "1@c.us": "👍" } }));
    assert_eq!(apply(store, change(session, reaction.clone(), Some(60), 2)).await, None);
    assert_eq!(store.release_held(later(60)).await.unwrap(), 1);
    assert_eq!(row(store, session).await.metadata, reaction.metadata);
}

fn sending(number: u32, session: SessionId) -> NewMessage {
    NewMessage {
        outgoing: Some(build::outgoing(number)),
        idempotency_key: Some(KeyOfSend {
            key: format!("order-{number}"),
            fingerprint: "f".into(),
            epoch: 1,
        }),
        ..NewMessage::row(build::message(number, session))
    }
}

pub async fn sends_are_kept_until_they_are_settled<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    let other = new_session(store, 2).await;
    let insert = |new| Write::InsertMessage { message: Box::new(new), events: vec![] };
    // In the order of acceptance, not of any id or time.
    for number in [3, 1, 2] {
        store.write(vec![insert(sending(number, session))]).await.unwrap();
    }
    let sent = Message { status: MessageStatus::Sent, ..build::message(4, session) };
    store.write(vec![insert(NewMessage { message: sent, ..sending(4, session) })]).await.unwrap();
    let unsettled = store.unresolved_sends(session).await.unwrap();
    let expected = |number| UnresolvedSend {
        message: build::message(number, session),
        outgoing: build::outgoing(number),
    };
    assert_eq!(unsettled, [expected(3), expected(1), expected(2)]);
    assert_eq!(store.unresolved_sends(other).await.unwrap(), []);
    for (number, status) in [(3, MessageStatus::Failed), (1, MessageStatus::Sent)] {
        let mut write = ack(session, status, None, number);
        if let Write::AdvanceMessage { wa_id, .. } = &mut write {
            *wa_id = build::wa_id(number);
        }
        apply(store, write).await.unwrap();
    }
    assert_eq!(store.unresolved_sends(session).await.unwrap(), [expected(2)]);
}

pub async fn a_send_that_is_known_changes_nothing_of_its_key<S: Store>(store: &S) {
    let session = held_session(store, 1).await.session;
    let insert = || Write::InsertMessage { message: Box::new(sending(1, session)), events: vec![] };
    for applied in [true, false] {
        let outcomes = store.write(vec![insert()]).await.unwrap();
        assert_eq!(matches!(outcomes[..], [WriteOutcome::Applied(_)]), applied);
        let record = store.idempotency_record(session, "order-1", START).await.unwrap().unwrap();
        assert_eq!(record.message, Some(build::wa_id(1)));
    }
}

pub async fn every_content_goes_out_again_as_it_was<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    let media = Content::Media(Box::new(build::media(1)));
    for (number, content) in [(1, Content::text("Grüße")), (2, media)] {
        let outgoing = domain::message::OutgoingMessage {
            content,
            mentions: vec![build::chat(3)],
            quoted: Some((
                domain::message::Quoted { id: build::wa_id(9), body: "hi".into() },
                build::chat(4),
            )),
            ..build::outgoing(number)
        };
        let message = NewMessage { outgoing: Some(outgoing.clone()), ..sending(number, session) };
        let write = Write::InsertMessage { message: Box::new(message), events: vec![] };
        store.write(vec![write]).await.unwrap();
        let unsettled = store.unresolved_sends(session).await.unwrap();
        assert_eq!(unsettled.last().unwrap().outgoing, outgoing);
        assert_eq!(unsettled.last().unwrap().message.direction, Direction::Outgoing);
    }
}

pub async fn a_change_is_open_until_its_outcome_is_known<S: Store>(store: &S) {
    let (session, other) = (new_session(store, 1).await, new_session(store, 2).await);
    let open = async |session| store.open_changes(session).await.unwrap();
    let change =
        |number: u32| OpenChange { outgoing: build::outgoing(number), at: later(number.into()) };
    for number in [2, 1] {
        let OpenChange { outgoing, at } = change(number);
        let write = Write::OpenChange { session, outgoing: Box::new(outgoing), at };
        store.write(vec![write.clone(), write]).await.unwrap();
    }
    assert_eq!(open(session).await, [change(1), change(2)], "oldest first, each once");
    assert_eq!(open(other).await, []);
    let close = Write::CloseChange { session, id: build::wa_id(1) };
    store.write(vec![close.clone(), close]).await.unwrap();
    assert_eq!(open(session).await, [change(2)]);
}
