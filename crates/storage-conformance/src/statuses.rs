//! Statuses of others and of the account.

use std::time::Duration;

use domain::{
    SessionId, Timestamp,
    media::MediaState,
    message::{Direction, Message, MessageStatus, MessageType, OutgoingMessage},
    port::{MessageChange, NewMessage, Write},
    status::{STATUS_LIFE, StatusPost, status_chat},
};

use super::{
    ALL, Store, new_session,
    people::{apply, came},
};
use testkit::{START, build};

fn at(hours: u64) -> Timestamp {
    START.plus(Duration::from_secs(hours * 3600))
}

/// What somebody posted, so many hours after the start.
fn post(number: u32, session: SessionId, author: u32, hours: u64) -> Message {
    Message {
        author: Some(build::chat(author)),
        timestamp: Some(at(hours).seconds()),
        created_at: at(hours),
        ..build::received(number, session, &status_chat())
    }
}

/// What the account of person 9 posts.
fn own(number: u32, session: SessionId) -> Message {
    Message {
        chat: status_chat(),
        from: build::chat(9).to_string(),
        to: status_chat().to_string(),
        author: None,
        direction: Direction::Outgoing,
        status: MessageStatus::Pending,
        timestamp: None,
        created_at: at(2),
        ..build::message(number, session)
    }
}

async fn ids<S: Store>(
    store: &S,
    session: SessionId,
    after: Timestamp,
    author: Option<u32>,
) -> Vec<String> {
    let author = author.map(build::chat);
    let found = store.statuses(session, after, author.as_ref(), ALL).await.unwrap();
    found.into_iter().map(|message| message.wa_id.to_string()).collect()
}

fn names(numbers: &[u32]) -> Vec<String> {
    numbers.iter().map(|number| build::wa_id(*number).to_string()).collect()
}

pub async fn statuses_are_listed_for_a_while<S: Store>(store: &S) {
    let (session, other) = (new_session(store, 1).await, new_session(store, 2).await);
    came(store, post(1, session, 1, 1)).await;
    came(store, post(2, session, 2, 3)).await;
    came(store, build::received(3, session, &build::chat(1))).await;
    came(store, Message { kind: MessageType::Masked, ..post(4, session, 1, 4) }).await;
    came(store, own(5, session)).await;
    came(store, Message { status: MessageStatus::Failed, ..own(6, session) }).await;
    assert_eq!(ids(store, session, START, None).await, names(&[2, 5, 1]));
    assert_eq!(ids(store, session, START, Some(1)).await, names(&[1]));
    assert_eq!(ids(store, session, START, Some(9)).await, names(&[5]), "the account's own");
    assert_eq!(ids(store, session, at(1), None).await, names(&[2, 5]), "over at that time");
    assert_eq!(ids(store, other, START, None).await, names(&[]), "another account's");
    let change = MessageChange { kind: Some(MessageType::Revoked), ..MessageChange::default() };
    let revoke = Write::ChangeMessage {
        session,
        wa_id: build::wa_id(2),
        change: Box::new(change),
        hold_until: None,
        events: vec![],
    };
    assert!(apply(store, revoke).await);
    assert_eq!(ids(store, session, START, None).await, names(&[5, 1]), "taken back");
}

pub async fn an_audience_is_kept_with_its_status<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    let audience = vec![build::chat(1), build::chat(2)];
    let status = Some(Box::new(StatusPost { audience: audience.clone(), ..StatusPost::default() }));
    let outgoing = OutgoingMessage { chat: status_chat(), status, ..build::outgoing(1) };
    let new = NewMessage { outgoing: Some(outgoing.clone()), ..NewMessage::row(own(1, session)) };
    let insert = Write::InsertMessage { message: Box::new(new), events: vec![] };
    assert!(apply(store, insert).await);
    let kept = store.status_audience(session, &build::wa_id(1)).await.unwrap();
    assert_eq!(kept, Some(audience));
    assert_eq!(store.unresolved_sends(session).await.unwrap()[0].outgoing, outgoing);
    assert_eq!(store.status_audience(session, &build::wa_id(2)).await.unwrap(), None);
    assert_eq!(store.expire_statuses(at(1000), 10).await.unwrap(), 0, "its outcome is not known");
    let sent = Write::AdvanceMessage {
        session,
        wa_id: build::wa_id(1),
        status: MessageStatus::Sent,
        timestamp: Some(at(2).seconds()),
        metadata: serde_json::Value::Null,
        hold_until: None,
        events: vec![],
    };
    assert!(apply(store, sent).await);
    assert_eq!(store.expire_statuses(at(1000), 10).await.unwrap(), 1);
    assert_eq!(store.status_audience(session, &build::wa_id(1)).await.unwrap(), None);
}

pub async fn old_statuses_go_with_their_files<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    for (number, hours) in [(1, 1), (2, 2), (3, 30)] {
        let new = NewMessage {
            media: Some(build::media_record(number, session, START)),
            ..NewMessage::row(post(number, session, 1, hours))
        };
        let insert = Write::InsertMessage { message: Box::new(new), events: vec![] };
        assert!(apply(store, insert).await);
    }
    let chatted = Message { created_at: START, ..build::received(4, session, &build::chat(1)) };
    came(store, chatted).await;
    let before = at(31).minus(STATUS_LIFE);
    assert_eq!(store.expire_statuses(before, 1).await.unwrap(), 1);
    assert_eq!(store.expire_statuses(before, 10).await.unwrap(), 1);
    assert_eq!(store.expire_statuses(before, 10).await.unwrap(), 0);
    assert_eq!(ids(store, session, START, None).await, names(&[3]));
    assert_eq!(store.media(session, &build::wa_id(1)).await.unwrap(), None);
    let left = store.media(session, &build::wa_id(3)).await.unwrap().unwrap();
    assert!(matches!(left.state, MediaState::Pending { .. }));
    assert!(store.message(session, &build::wa_id(4)).await.unwrap().is_some(), "no status");
}
