//! Labels and the chats that have them.

use domain::{
    SessionId,
    chat::Identity,
    label::{Label, LabelChange, LabelId},
    port::{Page, Write},
};

use super::{ALL, Store, new_session, people::apply};
use testkit::build;

fn id(number: u32) -> LabelId {
    number.to_string().parse().unwrap()
}

fn label(number: u32, name: &str) -> Label {
    Label { id: id(number), name: name.into(), colour: 3 }
}

/// Whether it changed anything.
async fn change<S: Store>(store: &S, session: SessionId, change: LabelChange) -> bool {
    apply(store, Write::ChangeLabel { session, change, events: vec![] }).await
}

pub async fn labels_read_back_and_change_once<S: Store>(store: &S) {
    let (session, other) = (new_session(store, 1).await, new_session(store, 2).await);
    let upsert = |number, name| LabelChange::Upsert(label(number, name));
    assert!(change(store, session, upsert(2, "New customer")).await);
    assert!(!change(store, session, upsert(2, "New customer")).await, "told again");
    assert!(change(store, session, upsert(1, "Paid")).await);
    assert!(change(store, session, upsert(2, "Old customer")).await);
    let all = store.labels(session).await.unwrap();
    assert_eq!(all, [label(1, "Paid"), label(2, "Old customer")]);
    assert_eq!(store.label(session, &id(2)).await.unwrap(), Some(label(2, "Old customer")));
    assert_eq!(store.labels(other).await.unwrap(), [], "another account's");
    assert!(change(store, session, LabelChange::Add(id(1), build::chat(1))).await);
    assert!(change(store, session, LabelChange::Delete(id(1))).await);
    assert!(!change(store, session, LabelChange::Delete(id(1))).await);
    assert_eq!(store.label(session, &id(1)).await.unwrap(), None);
    // Its chats went with it: a new one of the same id begins without any.
    assert!(change(store, session, upsert(1, "Paid")).await);
    assert_eq!(store.labels_of_chat(session, &build::chat(1)).await.unwrap(), []);
    assert!(store.delete_session(session).await.unwrap());
    assert_eq!(store.labels(session).await.unwrap(), []);
}

pub async fn a_chat_may_have_a_label_that_is_told_later<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    let (first, second) = (build::chat(1), build::chat(2));
    assert!(change(store, session, LabelChange::Add(id(1), second.clone())).await);
    assert!(!change(store, session, LabelChange::Add(id(1), second.clone())).await);
    assert!(change(store, session, LabelChange::Add(id(1), first.clone())).await);
    assert_eq!(store.labels_of_chat(session, &first).await.unwrap(), [], "nobody knows its name");
    assert!(change(store, session, LabelChange::Upsert(label(1, "Paid"))).await);
    assert_eq!(store.labels_of_chat(session, &first).await.unwrap(), [label(1, "Paid")]);
    let chats = store.chats_of_label(session, &id(1), ALL).await.unwrap();
    let ids: Vec<_> = chats.iter().map(|chat| chat.id.clone()).collect();
    assert_eq!(ids, [first.clone(), second.clone()]);
    assert_eq!((chats[0].unread_count, chats[0].timestamp), (0, 0), "an empty chat");
    let page = Page { limit: 1, offset: 1 };
    let chats = store.chats_of_label(session, &id(1), page).await.unwrap();
    assert_eq!(chats.iter().map(|chat| &chat.id).collect::<Vec<_>>(), [&second]);
    super::people::came(store, build::received(1, session, &first)).await;
    let chats = store.chats_of_label(session, &id(1), ALL).await.unwrap();
    assert_eq!(chats[0], super::people::chat(store, session, &first).await);
    assert!(change(store, session, LabelChange::Remove(id(1), first.clone())).await);
    assert!(!change(store, session, LabelChange::Remove(id(1), first)).await);
    assert_eq!(store.chats_of_label(session, &id(1), ALL).await.unwrap().len(), 1);
}

pub async fn labels_follow_a_person_to_their_number<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    let lid: domain::ChatId = "90000000001@lid".parse().unwrap();
    let number = build::chat(1);
    for (label, chat) in [(1, &lid), (2, &lid), (2, &number)] {
        assert!(change(store, session, LabelChange::Add(id(label), chat.clone())).await);
        change(store, session, LabelChange::Upsert(self::label(label, "Paid"))).await;
    }
    let identity = Identity { lid: lid.clone(), phone: number.phone().unwrap() };
    assert!(apply(store, Write::LearnIdentity { session, identity, events: vec![] }).await);
    for chat in [&lid, &number] {
        assert_eq!(store.labels_of_chat(session, chat).await.unwrap().len(), 2, "{chat}");
    }
    for label in [1, 2] {
        let chats = store.chats_of_label(session, &id(label), ALL).await.unwrap();
        assert_eq!(chats.iter().map(|chat| &chat.id).collect::<Vec<_>>(), [&number]);
    }
    assert!(change(store, session, LabelChange::Remove(id(1), lid)).await, "by either id");
    assert_eq!(store.labels_of_chat(session, &number).await.unwrap().len(), 1);
}
