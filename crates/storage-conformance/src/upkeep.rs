//! What keeps a ledger from growing for ever.

use std::time::Duration;

use domain::{
    ChatId, MediaId, SessionId, Timestamp,
    chat::{ChatMark, ContactPatch, Identity},
    media::{MediaRecord, MediaState},
    message::{Message, MessageStatus},
    port::{MessageChange, MessageQuery, NewMessage, Page, Write},
};

use super::{Store, append, new_session, new_webhook};
use testkit::{START, build};

const PAGE: Page = Page { limit: 10, offset: 0 };

fn at(seconds: u64) -> Timestamp {
    START.plus(Duration::from_secs(seconds))
}

fn file(byte: u8) -> MediaId {
    MediaId::of(&[byte; 32])
}

async fn insert<S: Store>(store: &S, messages: Vec<NewMessage>) {
    let write = |message| Write::InsertMessage { message: Box::new(message), events: vec![] };
    store.write(messages.into_iter().map(write).collect()).await.unwrap();
}

/// Messages of a chat, from one number on.
async fn fill<S: Store>(store: &S, session: SessionId, chat: &ChatId, from: u32, count: u32) {
    let row = |number| NewMessage::row(build::received(number, session, chat));
    insert(store, (from..from + count).map(row).collect()).await;
}

async fn with_file<S: Store>(store: &S, number: u32, session: SessionId, chat: u32, byte: u8) {
    let row = build::received(number, session, &build::chat(chat));
    let state = MediaState::Ready { id: file(byte), size_bytes: 7 };
    let record = MediaRecord { state, ..build::media_record(number, session, START) };
    insert(store, vec![NewMessage { media: Some(record), ..NewMessage::row(row) }]).await;
}

async fn mark<S: Store>(store: &S, session: SessionId, chat: u32, mark: ChatMark) {
    let chat = build::chat(chat);
    store.write(vec![Write::MarkChat { session, chat, mark }]).await.unwrap();
}

async fn total<S: Store>(store: &S, session: SessionId) -> u64 {
    let found = store.messages(session, &MessageQuery::default(), PAGE).await;
    found.unwrap().unwrap().total
}

/// Finishes what is marked; in how many portions.
async fn swept<S: Store>(store: &S) -> u32 {
    let mut portions = 0;
    while store.sweep_removed(2_000).await.unwrap().is_some() {
        portions += 1;
    }
    portions
}

pub async fn a_file_goes_with_its_last_reference<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    with_file(store, 1, session, 1, 1).await;
    with_file(store, 2, session, 2, 1).await;
    with_file(store, 3, session, 3, 2).await;
    // Taken back by its sender.
    let change = MessageChange { drop_media: true, ..MessageChange::default() };
    let revoke = Write::ChangeMessage {
        session,
        wa_id: build::wa_id(1),
        change: Box::new(change),
        hold_until: None,
        events: vec![],
    };
    store.write(vec![revoke]).await.unwrap();
    let due = async |now, from| store.files_to_remove(now, from, 10).await.unwrap();
    assert_eq!(due(at(0), at(10)).await, [], "just let go");
    assert_eq!(due(at(10), at(20)).await, [], "another message has it");
    mark(store, session, 2, ChatMark::Deleted).await;
    assert_eq!(due(at(20), at(30)).await, []);
    assert_eq!(due(at(29), at(40)).await, []);
    assert_eq!(due(at(30), at(40)).await, [file(1)]);
    // Kept again a moment ago: later.
    store.files_removed(&[file(1)], Some(at(50))).await.unwrap();
    assert_eq!(due(at(40), at(60)).await, []);
    assert_eq!(due(at(50), at(60)).await, [file(1)]);
    store.files_removed(&[file(1)], None).await.unwrap();
    assert!(store.delete_session(session).await.unwrap());
    assert_eq!(due(at(60), at(70)).await, []);
    assert_eq!(due(at(70), at(80)).await, [file(2)]);
}

pub async fn files_of_nothing_are_noted<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    with_file(store, 1, session, 1, 1).await;
    assert_eq!(store.note_lost_files(&[file(1), file(2), file(3)]).await.unwrap(), 2);
    assert_eq!(store.note_lost_files(&[file(1), file(2), file(3)]).await.unwrap(), 0);
    store.files_to_remove(at(0), at(1), 10).await.unwrap();
    let mut due = store.files_to_remove(at(1), at(2), 10).await.unwrap();
    due.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    assert_eq!(due, [file(2), file(3)]);
}

pub async fn a_large_session_is_hidden_at_once_and_goes_in_portions<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    let webhook = new_webhook(store, build::webhook(1, session)).await;
    for number in 1..=3 {
        append(store, build::event(number, session, &build::chat(1))).await;
    }
    fill(store, session, &build::chat(1), 1, 4_500).await;
    let before = store.writer().jobs;
    assert!(store.delete_session(session).await.unwrap());
    assert_eq!(store.writer().jobs, before + 1, "one job, for everything that can be seen");
    assert!(!store.delete_session(session).await.unwrap());
    assert!(store.session(session).await.unwrap().is_none());
    assert!(store.sessions(None, PAGE).await.unwrap().is_empty());
    assert!(store.webhook(webhook.id).await.unwrap().is_none());
    assert!(store.claim_lanes("w", 10, 10, at(1), at(9)).await.unwrap().is_empty());
    let taken = store.acquire_session(session, "me", at(1), Duration::from_secs(9)).await.unwrap();
    assert_eq!(taken, None, "nobody connects it again");
    // Its name is free.
    let mut again = build::session(2);
    again.name = build::session(1).name;
    assert!(store.insert_session(&again).await.unwrap());
    assert!(swept(store).await >= 2);
    assert_eq!(total(store, session).await, 0);
    assert_eq!(store.log_bounds().await.unwrap().last, 3);
    assert!(store.read_events(0, None, 10).await.unwrap().is_empty());
    assert!(store.session(again.id).await.unwrap().is_some());
}

pub async fn a_large_chat_is_empty_at_once_and_goes_in_portions<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    fill(store, session, &build::chat(1), 1, 2_500).await;
    fill(store, session, &build::chat(2), 3_000, 5).await;
    mark(store, session, 1, ChatMark::Cleared).await;
    assert_eq!(total(store, session).await, 5);
    let gone = build::wa_id(1);
    assert!(store.message(session, &gone).await.unwrap().is_none());
    // What comes after is a new beginning.
    fill(store, session, &build::chat(1), 4_000, 1).await;
    assert_eq!(total(store, session).await, 6);
    assert!(swept(store).await >= 1);
    assert_eq!(total(store, session).await, 6);
    assert!(swept(store).await == 0);
}

pub async fn old_messages_go_where_that_is_asked_for<S: Store>(store: &S) {
    let (one, two) = (new_session(store, 1).await, new_session(store, 2).await);
    let aged = |number: u32, session, seconds, status| {
        let row = build::received(number, session, &build::chat(1));
        NewMessage::row(Message { created_at: at(seconds), status, ..row })
    };
    let sent = MessageStatus::Sent;
    insert(store, vec![aged(1, one, 1, sent), aged(2, one, 2, sent), aged(3, one, 9, sent)]).await;
    insert(store, vec![aged(4, two, 1, sent), aged(5, two, 1, MessageStatus::Pending)]).await;
    let mut gone = 0;
    loop {
        match store.prune_messages(at(5), 1).await.unwrap() {
            0 => break,
            portion => gone += portion,
        }
    }
    assert_eq!(gone, 3);
    assert_eq!((total(store, one).await, total(store, two).await), (1, 1));
}

pub async fn a_person_is_erased_under_all_their_ids<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    let (person, lid): (ChatId, ChatId) = (build::chat(1), "77@lid".parse().unwrap());
    let group: ChatId = "1234-5@g.us".parse().unwrap();
    let phone = person.phone().unwrap();
    fill(store, session, &person, 1, 3).await;
    let author = Some(person.clone());
    let row = Message { author, ..build::received(10, session, &group) };
    insert(store, vec![NewMessage::row(row)]).await;
    fill(store, session, &build::chat(2), 20, 2).await;
    let identity = Identity { lid: lid.clone(), phone };
    let patch = ContactPatch { name: Some(Some("Mia".into())), ..ContactPatch::default() };
    store
        .write(vec![
            Write::LearnIdentity { session, identity, events: vec![] },
            Write::LearnContact { session, id: person.clone(), patch },
        ])
        .await
        .unwrap();
    let erased = store.erase_person(session, &lid).await.unwrap();
    assert_eq!((erased.messages, erased.contacts, erased.identities), (4, 1, 1));
    assert_eq!(total(store, session).await, 2);
    for id in [&person, &lid] {
        assert!(store.contact(session, id).await.unwrap().is_none());
        assert!(store.chat(session, id).await.unwrap().is_none());
    }
    assert!(store.phone_of(session, &lid).await.unwrap().is_none());
    assert!(store.chat(session, &build::chat(2)).await.unwrap().is_some());
    assert_eq!(store.erase_person(session, &lid).await.unwrap(), domain::port::Erased::default());
}
