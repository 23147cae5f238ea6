//! Files of messages.

use std::time::Duration;

use domain::{
    MediaId, SessionId, Timestamp,
    media::{MediaRecord, MediaState},
    message::{Message, MessageType},
    port::{MessageChange, NewMessage, Write, WriteOutcome},
};
use serde_json::json;

use super::{Store, new_session};
use testkit::{START, build};

fn at(seconds: u64) -> Timestamp {
    START.plus(Duration::from_secs(seconds))
}

fn ready(byte: u8) -> MediaState {
    MediaState::Ready { id: MediaId::of(&[byte; 32]), size_bytes: 77 }
}

fn picture(number: u32, session: SessionId) -> Message {
    let media =
        json!({ "mimetype": "image/jpeg", "omitted": true, "sizeBytes": 1, "state": "pending" });
    Message {
        kind: MessageType::Image,
        metadata: json!({ "media": media }),
        ..build::received(number, session, &build::chat(1))
    }
}

async fn store_picture<S: Store>(store: &S, session: SessionId, record: MediaRecord, number: u32) {
    let message = NewMessage { media: Some(record), ..NewMessage::row(picture(number, session)) };
    let write = Write::InsertMessage { message: Box::new(message), events: vec![] };
    store.write(vec![write]).await.unwrap();
}

/// Settles file 1; the events that were recorded, or `None` when nothing changed.
async fn settle<S: Store>(
    store: &S,
    session: SessionId,
    state: MediaState,
    event: u32,
) -> Option<usize> {
    let events = vec![build::event(event, session, &build::chat(1))];
    let write = Write::SettleMedia { session, wa_id: build::wa_id(1), state, events };
    match store.write(vec![write]).await.unwrap().remove(0) {
        WriteOutcome::Applied(events) => Some(events.len()),
        WriteOutcome::Unchanged => None,
    }
}

async fn record<S: Store>(store: &S, session: SessionId) -> Option<MediaRecord> {
    store.media(session, &build::wa_id(1)).await.unwrap()
}

async fn row<S: Store>(store: &S, session: SessionId) -> Message {
    store.message(session, &build::wa_id(1)).await.unwrap().unwrap()
}

pub async fn a_file_reads_back_as_it_was<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    assert_eq!(record(store, session).await, None);
    let waits = MediaRecord { attempts: 2, ..build::media_record(1, session, at(5)) };
    store_picture(store, session, waits.clone(), 1).await;
    assert_eq!(record(store, session).await, Some(waits));
    assert_eq!(row(store, session).await, picture(1, session));
}

pub async fn an_upload_is_found_by_its_bytes_while_it_is_young<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    let record = MediaRecord { state: ready(1), ..build::media_record(1, session, START) };
    store_picture(store, session, record, 1).await;
    let sent = Message { kind: MessageType::Image, ..build::message(2, session) };
    let record = MediaRecord { state: ready(1), ..build::media_record(2, session, START) };
    let new = NewMessage { media: Some(record.clone()), ..NewMessage::row(sent.clone()) };
    let write = Write::InsertMessage { message: Box::new(new), events: vec![] };
    store.write(vec![write]).await.unwrap();
    let file = |byte: u8| MediaId::of(&[byte; 32]);
    let found = async |file: MediaId, since: Timestamp| {
        store.uploaded_since(session, &file, since).await.unwrap()
    };
    assert_eq!(found(file(1), sent.created_at).await, [record.media], "the one that went out");
    assert_eq!(found(file(2), sent.created_at).await, []);
    assert_eq!(found(file(1), sent.created_at.plus(Duration::from_secs(1))).await, []);
    let other = new_session(store, 2).await;
    assert_eq!(store.uploaded_since(other, &file(1), START).await.unwrap(), []);
}

pub async fn a_download_is_settled_once<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    assert_eq!(settle(store, session, ready(1), 1).await, None, "no such file");
    store_picture(store, session, build::media_record(1, session, START), 1).await;
    let again = MediaState::Pending { due_at: at(30) };
    assert_eq!(settle(store, session, again.clone(), 2).await, Some(1));
    let now = record(store, session).await.unwrap();
    assert_eq!((now.state, now.attempts), (again, 1));
    let failed = MediaState::Failed { reason: "WhatsApp no longer has it".into() };
    assert_eq!(settle(store, session, failed.clone(), 3).await, Some(1));
    assert_eq!(record(store, session).await.unwrap().state, failed);
    let media = row(store, session).await.metadata["media"].clone();
    assert_eq!(media["state"], "failed");
    assert_eq!(media["reason"], "WhatsApp no longer has it");
    assert_eq!(settle(store, session, ready(1), 4).await, Some(1));
    let now = record(store, session).await.unwrap();
    assert_eq!((&now.state, now.attempts, now.media), (&ready(1), 3, build::media(1)));
    let message = row(store, session).await;
    let path = format!("/api/sessions/{session}/messages/{}/{}/media", message.chat, message.wa_id);
    assert_eq!(message.media_path, Some(path));
    assert_eq!(message.media_mimetype.as_deref(), Some("image/jpeg"));
    let media =
        json!({ "mimetype": "image/jpeg", "omitted": true, "sizeBytes": 77, "state": "ready" });
    assert_eq!(message.metadata["media"], media);
    for state in [ready(1), ready(2), MediaState::Pending { due_at: START }] {
        assert_eq!(settle(store, session, state, 5).await, None, "it is there");
    }
}

pub async fn a_file_that_is_there_from_the_start_is_shown<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    let there = MediaRecord { state: ready(1), ..build::media_record(1, session, START) };
    store_picture(store, session, there, 1).await;
    let message = row(store, session).await;
    assert!(message.media_path.unwrap().ends_with("/media"));
    assert_eq!(message.metadata["media"]["state"], "ready");
    assert_eq!(store.next_media_due(&[session]).await.unwrap(), None);
}

pub async fn due_downloads_are_offered_oldest_first<S: Store>(store: &S) {
    let (one, two) = (new_session(store, 1).await, new_session(store, 2).await);
    let off = new_session(store, 3).await;
    for (number, session, due) in
        [(1, one, 30), (2, two, 10), (3, one, 20), (4, one, 90), (5, off, 1)]
    {
        store_picture(store, session, build::media_record(number, session, at(due)), number).await;
    }
    let due = async |sessions: &[SessionId], now, limit| -> Vec<_> {
        let due = store.due_media(sessions, at(now), limit).await.unwrap();
        due.into_iter().map(|record| record.wa_id).collect()
    };
    let ids = |numbers: &[u32]| numbers.iter().map(|n| build::wa_id(*n)).collect::<Vec<_>>();
    assert_eq!(due(&[one, two], 30, 10).await, ids(&[2, 3, 1]));
    assert_eq!(due(&[one, two], 30, 2).await, ids(&[2, 3]));
    assert_eq!(due(&[one], 20, 10).await, ids(&[3]));
    assert_eq!(due(&[], 30, 10).await, ids(&[]));
    assert_eq!(store.next_media_due(&[one, two]).await.unwrap(), Some(at(10)));
    assert_eq!(store.next_media_due(&[one]).await.unwrap(), Some(at(20)));
    assert_eq!(store.next_media_due(&[]).await.unwrap(), None);
    settle(store, one, ready(1), 1).await;
    assert_eq!(due(&[one, two], 30, 10).await, ids(&[2, 3]));
}

pub async fn files_go_with_their_message<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    store_picture(store, session, build::media_record(1, session, START), 1).await;
    settle(store, session, ready(1), 1).await;
    let change = MessageChange { drop_media: true, ..MessageChange::default() };
    let write = Write::ChangeMessage {
        session,
        wa_id: build::wa_id(1),
        change: Box::new(change),
        hold_until: None,
        events: vec![],
    };
    store.write(vec![write]).await.unwrap();
    assert_eq!(record(store, session).await, None);
    let message = row(store, session).await;
    assert_eq!((message.media_path, message.media_mimetype), (None, None));
    assert!(message.metadata.get("media").is_none());
    assert_eq!(settle(store, session, ready(2), 2).await, None);
    store_picture(store, session, build::media_record(2, session, START), 2).await;
    assert!(store.delete_session(session).await.unwrap());
    assert_eq!(store.media(session, &build::wa_id(2)).await.unwrap(), None);
}
