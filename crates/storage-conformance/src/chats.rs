//! Chats: what moves along with their messages, and marks.

use domain::{
    ChatId, Timestamp,
    chat::{Chat, ChatMark, LastMessage, MutedUntil},
    message::{Message, MessageType},
    port::{MessageChange, Page, Write},
};

use super::{
    ALL, Store, new_session,
    people::{apply, calls_themselves, came, chat, know, mark, saved},
};
use testkit::{START, build};

pub async fn a_chat_moves_along_with_its_messages<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    let one = build::chat(1);
    came(store, Message { chat_name: Some("Mia".into()), ..build::received(5, session, &one) })
        .await;
    came(store, build::received(3, session, &one)).await;
    let expected = Chat {
        id: one.clone(),
        name: Some("Mia".into()),
        unread_count: 2,
        timestamp: START.seconds() + 5,
        last_message: Some(LastMessage {
            id: build::wa_id(5),
            from_me: false,
            author: None,
            body: Some("text 5".into()),
            kind: MessageType::Text,
            timestamp: START.seconds() + 5,
        }),
        archived: false,
        pinned: false,
        muted: None,
    };
    assert_eq!(chat(store, session, &one).await, expected, "an older message is not the newest");
    let edit = MessageChange { body: Some(Some("edited".into())), ..MessageChange::default() };
    for number in [3, 5] {
        let write = Write::ChangeMessage {
            session,
            wa_id: build::wa_id(number),
            change: Box::new(edit.clone()),
            hold_until: None,
            events: vec![],
        };
        assert!(apply(store, write).await);
    }
    let last = chat(store, session, &one).await.last_message.unwrap();
    assert_eq!((last.id, last.body.as_deref()), (build::wa_id(5), Some("edited")));
    let own = Message {
        timestamp: Some(START.seconds() + 6),
        created_at: START,
        ..build::message(6, session)
    };
    came(store, own).await;
    let now = chat(store, session, &one).await;
    assert_eq!((now.unread_count, now.last_message.unwrap().from_me), (2, true));
    let status: ChatId = "status@broadcast".parse().unwrap();
    came(store, build::received(7, session, &status)).await;
    assert_eq!(store.chat(session, &status).await.unwrap(), None, "the status feed is no chat");
}

pub async fn chats_are_listed_newest_first<S: Store>(store: &S) {
    let (session, other) = (new_session(store, 1).await, new_session(store, 2).await);
    for (number, of) in [(1, 1), (5, 2), (3, 3)] {
        came(store, build::received(number, session, &build::chat(of))).await;
    }
    let theirs = build::received(9, other, &build::chat(9));
    came(store, theirs).await;
    let ids = |chats: Vec<Chat>| chats.into_iter().map(|one| one.id).collect::<Vec<_>>();
    let all = ids(store.chats(session, ALL).await.unwrap());
    assert_eq!(all, [build::chat(2), build::chat(3), build::chat(1)]);
    let page = Page { limit: 1, offset: 1 };
    assert_eq!(ids(store.chats(session, page).await.unwrap()), [build::chat(3)]);
}

pub async fn chats_are_named_by_what_is_known_best<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    let one = build::chat(1);
    let name = |name: &str| Write::NameChat { session, chat: one.clone(), name: name.into() };
    came(store, build::received(1, session, &one)).await;
    apply(store, know(session, one.clone(), calls_themselves("mia"))).await;
    assert_eq!(chat(store, session, &one).await.name.as_deref(), Some("mia"));
    assert!(apply(store, name("Mia B.")).await);
    assert!(!apply(store, name("Mia B.")).await);
    assert_eq!(chat(store, session, &one).await.name.as_deref(), Some("Mia B."));
    apply(store, know(session, one.clone(), saved("Mia Baker"))).await;
    assert_eq!(chat(store, session, &one).await.name.as_deref(), Some("Mia Baker"));
    let group: ChatId = "120363041@g.us".parse().unwrap();
    let named = Write::NameChat { session, chat: group.clone(), name: "Bakers".into() };
    assert!(apply(store, named).await);
    assert_eq!(chat(store, session, &group).await.name.as_deref(), Some("Bakers"));
}

pub async fn marks_are_kept<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    let one = build::chat(1);
    let until = MutedUntil::Time(Timestamp::from_millis(1_800_000_000_123));
    for one_mark in [
        ChatMark::Archived(true),
        ChatMark::Pinned(true),
        ChatMark::Muted(Some(until)),
        ChatMark::Read(false),
    ] {
        assert!(apply(store, mark(session, one.clone(), one_mark)).await, "{one_mark:?}");
        assert!(!apply(store, mark(session, one.clone(), one_mark)).await, "{one_mark:?} again");
    }
    let marked = chat(store, session, &one).await;
    assert_eq!((marked.archived, marked.pinned, marked.muted), (true, true, Some(until)));
    assert_eq!((marked.unread_count, marked.last_message), (1, None));
    for one_mark in [
        ChatMark::Archived(false),
        ChatMark::Pinned(false),
        ChatMark::Muted(Some(MutedUntil::Forever)),
        ChatMark::Read(true),
    ] {
        assert!(apply(store, mark(session, one.clone(), one_mark)).await, "{one_mark:?}");
    }
    let marked = chat(store, session, &one).await;
    assert_eq!((marked.archived, marked.pinned), (false, false));
    assert_eq!((marked.unread_count, marked.muted), (0, Some(MutedUntil::Forever)));
    assert!(apply(store, mark(session, one.clone(), ChatMark::Muted(None))).await);
    assert_eq!(chat(store, session, &one).await.muted, None);
    for number in 1..=3 {
        came(store, build::received(number, session, &one)).await;
    }
    apply(store, mark(session, one.clone(), ChatMark::Read(false))).await;
    assert_eq!(chat(store, session, &one).await.unread_count, 3, "unread already");
}

pub async fn unread_messages_are_the_newest<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    let one = build::chat(1);
    came(store, build::received(1, session, &one)).await;
    apply(store, mark(session, one.clone(), ChatMark::Read(true))).await;
    assert_eq!(store.unread_messages(session, &one, 10).await.unwrap(), []);
    let written = Message { author: Some(build::chat(5)), ..build::received(2, session, &one) };
    came(store, written).await;
    came(store, build::message(3, session)).await;
    came(store, build::received(4, session, &one)).await;
    came(store, build::received(5, session, &build::chat(2))).await;
    let expected = [(build::wa_id(4), None), (build::wa_id(2), Some(build::chat(5)))];
    assert_eq!(store.unread_messages(session, &one, 10).await.unwrap(), expected);
    assert_eq!(store.unread_messages(session, &one, 1).await.unwrap(), expected[..1]);
    assert_eq!(store.unread_messages(session, &build::chat(7), 10).await.unwrap(), []);
}

pub async fn deleted_and_cleared_chats_lose_their_messages<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    for (number, of) in [(1, 1), (2, 2), (3, 3)] {
        came(store, build::received(number, session, &build::chat(of))).await;
    }
    // On its way out in the first chat: no device has it yet, none could have removed it.
    came(store, build::message(4, session)).await;
    assert!(apply(store, mark(session, build::chat(1), ChatMark::Deleted)).await);
    assert!(apply(store, mark(session, build::chat(2), ChatMark::Cleared)).await);
    assert_eq!(store.chat(session, &build::chat(1)).await.unwrap(), None);
    let cleared = chat(store, session, &build::chat(2)).await;
    assert_eq!((cleared.unread_count, cleared.last_message), (0, None));
    for (number, there) in [(1, false), (2, false), (3, true), (4, true)] {
        let row = store.message(session, &build::wa_id(number)).await.unwrap();
        assert_eq!(row.is_some(), there, "message {number}");
    }
    came(store, build::received(5, session, &build::chat(2))).await;
    let last = chat(store, session, &build::chat(2)).await.last_message.unwrap();
    assert_eq!(last.id, build::wa_id(5));
    assert!(!apply(store, mark(session, build::chat(9), ChatMark::Deleted)).await);
}
