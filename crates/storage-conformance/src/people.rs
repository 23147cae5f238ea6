//! People, their two ids, and chats.

use domain::{
    ChatId, PhoneNumber, SessionId,
    chat::{Chat, ChatMark, Contact, ContactPatch, Identity, KnownForm},
    event::{self, EventType},
    media::MediaState,
    message::{Message, MessageStatus},
    port::{MessageQuery, NewMessage, Page, StoreErrorKind, Write, WriteOutcome},
    presence::{PresenceWishes, WATCHED_MAX},
};

use super::{ALL, Store, hold, new_session};
use testkit::{START, build};

/// The privacy id of the person of `build::chat(number)`.
fn lid(number: u32) -> ChatId {
    format!("9000{number:07}@lid").parse().unwrap()
}

fn phone(number: u32) -> PhoneNumber {
    build::chat(number).phone().unwrap()
}

fn learn(session: SessionId, lid_of: u32, phone_of: u32) -> Write {
    let identity = Identity { lid: lid(lid_of), phone: phone(phone_of) };
    Write::LearnIdentity { session, identity, events: vec![] }
}

pub(super) fn know(session: SessionId, id: ChatId, patch: ContactPatch) -> Write {
    Write::LearnContact { session, id, patch }
}

pub(super) fn mark(session: SessionId, chat: ChatId, mark: ChatMark) -> Write {
    Write::MarkChat { session, chat, mark }
}

pub(super) fn saved(name: &str) -> ContactPatch {
    ContactPatch { name: Some(Some(name.into())), ..ContactPatch::default() }
}

pub(super) fn calls_themselves(name: &str) -> ContactPatch {
    ContactPatch { push_name: Some(name.into()), ..ContactPatch::default() }
}

/// Applies one write; whether it changed anything.
pub(super) async fn apply<S: Store>(store: &S, write: Write) -> bool {
    let outcome = store.write(vec![write]).await.unwrap().remove(0);
    matches!(outcome, WriteOutcome::Applied(_))
}

pub(super) async fn came<S: Store>(store: &S, message: Message) {
    let message = Box::new(NewMessage::row(message));
    assert!(apply(store, Write::InsertMessage { message, events: vec![] }).await);
}

pub(super) async fn chat<S: Store>(store: &S, session: SessionId, id: &ChatId) -> Chat {
    store.chat(session, id).await.unwrap().unwrap()
}

pub async fn identities_are_learned_once<S: Store>(store: &S) {
    let (session, other) = (new_session(store, 1).await, new_session(store, 2).await);
    assert_eq!(store.phone_of(session, &lid(1)).await.unwrap(), None);
    assert_eq!(store.canonical_chat(session, &lid(1)).await.unwrap(), lid(1));
    assert!(apply(store, learn(session, 1, 1)).await);
    assert!(!apply(store, learn(session, 1, 1)).await);
    assert_eq!(store.phone_of(session, &lid(1)).await.unwrap(), Some(phone(1)));
    assert_eq!(store.canonical_chat(session, &lid(1)).await.unwrap(), build::chat(1));
    assert_eq!(store.canonical_chat(session, &build::chat(1)).await.unwrap(), build::chat(1));
    assert_eq!(store.phone_of(other, &lid(1)).await.unwrap(), None, "another account's");
    // A person takes another number.
    assert!(apply(store, learn(session, 1, 2)).await);
    assert_eq!(store.phone_of(session, &lid(1)).await.unwrap(), Some(phone(2)));
}

/// What is asked for has one spelling, what WhatsApp knows another.
pub async fn the_spelling_of_a_number_is_remembered<S: Store>(store: &S) {
    let (session, other) = (new_session(store, 1).await, new_session(store, 2).await);
    let (long, short): (ChatId, ChatId) =
        ("5511987654321@c.us".parse().unwrap(), "551187654321@c.us".parse().unwrap());
    let known = |chat: &ChatId, seconds| KnownForm {
        chat: chat.clone(),
        at: START.plus(std::time::Duration::from_secs(seconds)),
    };
    let learn =
        |asked: &ChatId, form: KnownForm| Write::LearnForm { session, asked: asked.clone(), form };
    assert_eq!(store.known_form(session, &long).await.unwrap(), None);
    assert!(apply(store, learn(&long, known(&short, 1))).await);
    assert!(apply(store, learn(&long, known(&short, 2))).await);
    assert_eq!(store.known_form(session, &long).await.unwrap(), Some(known(&short, 2)));
    assert_eq!(store.known_form(other, &long).await.unwrap(), None, "another account's");
    came(store, build::received(1, session, &short)).await;
    let query = MessageQuery { chat: Some(long.clone()), ..MessageQuery::default() };
    let found = store.messages(session, &query, ALL).await.unwrap().unwrap();
    assert_eq!(found.total, 1, "messages are found under the spelling that was asked for");
    assert_eq!(store.chat(session, &long).await.unwrap().unwrap().id, short);
    // The account takes the digit after all: then the old spelling is the other one.
    assert!(apply(store, learn(&short, known(&long, 3))).await);
    assert_eq!(store.known_form(session, &long).await.unwrap(), None);
    assert_eq!(store.known_form(session, &short).await.unwrap(), Some(known(&long, 3)));
    // Whoever is erased is erased under both.
    store.erase_person(session, &short).await.unwrap();
    assert_eq!(store.known_form(session, &short).await.unwrap(), None);
    assert!(store.chat(session, &short).await.unwrap().is_none());
}

pub async fn a_contact_reads_back_as_it_was_learned<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    assert_eq!(store.contact(session, &build::chat(1)).await.unwrap(), None);
    assert!(apply(store, know(session, build::chat(1), saved("Mia Baker"))).await);
    assert!(apply(store, know(session, build::chat(1), calls_themselves("mia"))).await);
    assert!(!apply(store, know(session, build::chat(1), calls_themselves("mia"))).await);
    assert!(apply(store, learn(session, 1, 1)).await);
    let expected = Contact {
        id: build::chat(1),
        phone: Some(phone(1)),
        lid: Some(lid(1)),
        name: Some("Mia Baker".into()),
        push_name: Some("mia".into()),
        blocked: false,
    };
    for id in [build::chat(1), lid(1)] {
        assert_eq!(store.contact(session, &id).await.unwrap(), Some(expected.clone()));
    }
    let patch = ContactPatch { name: Some(None), push_name: None, blocked: Some(true) };
    assert!(apply(store, know(session, lid(1), patch.clone())).await);
    assert!(!apply(store, know(session, lid(1), patch)).await);
    let expected = Contact { name: None, blocked: true, ..expected };
    assert_eq!(store.contact(session, &lid(1)).await.unwrap(), Some(expected));
    assert!(apply(store, know(session, lid(7), calls_themselves("Ken"))).await);
    let unknown = store.contact(session, &lid(7)).await.unwrap().unwrap();
    assert_eq!((unknown.id, unknown.phone, unknown.lid), (lid(7), None, Some(lid(7))));
    let group: ChatId = "120363041@g.us".parse().unwrap();
    assert!(!apply(store, know(session, group.clone(), saved("Bakers"))).await);
    assert_eq!(store.contact(session, &group).await.unwrap(), None);
}

pub async fn contacts_are_listed_by_id<S: Store>(store: &S) {
    let (session, other) = (new_session(store, 1).await, new_session(store, 2).await);
    for number in [3, 1, 2] {
        apply(store, know(session, build::chat(number), calls_themselves("x"))).await;
    }
    apply(store, know(other, build::chat(9), calls_themselves("x"))).await;
    let ids = |people: Vec<Contact>| people.into_iter().map(|one| one.id).collect::<Vec<_>>();
    let all = ids(store.contacts(session, ALL).await.unwrap());
    assert_eq!(all, [build::chat(1), build::chat(2), build::chat(3)]);
    let page = Page { limit: 1, offset: 1 };
    assert_eq!(ids(store.contacts(session, page).await.unwrap()), [build::chat(2)]);
}

/// A person known by privacy id only: two messages in their chat, one in a group, a contact.
async fn stranger<S: Store>(store: &S, session: SessionId) -> ChatId {
    let group: ChatId = "120363041@g.us".parse().unwrap();
    let mut with_file = NewMessage::row(build::received(1, session, &lid(1)));
    with_file.media = Some(build::media_record(1, session, START));
    let write = Write::InsertMessage { message: Box::new(with_file), events: vec![] };
    assert!(apply(store, write).await);
    let id = domain::MediaId::of(&[7; 32]);
    let state = MediaState::Ready { id, size_bytes: 3 };
    let wa_id = build::wa_id(1);
    assert!(apply(store, Write::SettleMedia { session, wa_id, state, events: vec![] }).await);
    let to = lid(1);
    came(store, Message { chat: to.clone(), to: to.to_string(), ..build::message(2, session) })
        .await;
    came(store, Message { author: Some(to.clone()), ..build::received(3, session, &group) }).await;
    apply(store, know(session, to, calls_themselves("mia"))).await;
    group
}

pub async fn what_was_filed_under_a_privacy_id_moves<S: Store>(store: &S) {
    let (session, other) = (new_session(store, 1).await, new_session(store, 2).await);
    let group = stranger(store, session).await;
    came(store, build::received(9, other, &lid(1))).await;
    assert!(apply(store, learn(session, 1, 1)).await);
    let row = async |number| store.message(session, &build::wa_id(number)).await.unwrap().unwrap();
    let (number, text) = (build::chat(1), build::chat(1).to_string());
    let first = row(1).await;
    assert_eq!((&first.chat, &first.from), (&number, &text));
    let path = format!("/api/sessions/{session}/messages/{number}/{}/media", first.wa_id);
    assert_eq!(first.media_path, Some(path));
    let second = row(2).await;
    assert_eq!((&second.chat, &second.to, second.media_path), (&number, &text, None));
    let third = row(3).await;
    assert_eq!((&third.chat, third.author.as_ref()), (&group, Some(&number)));
    for id in [&number, &lid(1)] {
        assert_eq!(chat(store, session, id).await.id, number);
        let contact = store.contact(session, id).await.unwrap().unwrap();
        assert_eq!((&contact.id, contact.push_name.as_deref()), (&number, Some("mia")));
        assert_eq!(contact.lid, Some(lid(1)));
    }
    assert_eq!(store.chats(session, ALL).await.unwrap().len(), 2);
    assert_eq!(store.contacts(session, ALL).await.unwrap().len(), 1);
    let shown = chat(store, session, &group).await.last_message.unwrap();
    assert_eq!(shown.author, Some(number));
    let theirs = store.message(other, &build::wa_id(9)).await.unwrap().unwrap();
    assert_eq!(theirs.chat, lid(1), "another account does not know the number");
}

pub async fn two_chats_of_one_person_become_one<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    let number = build::chat(1);
    came(store, build::received(1, session, &number)).await;
    came(store, build::received(2, session, &lid(1))).await;
    came(store, build::received(3, session, &lid(1))).await;
    for one_mark in [
        ChatMark::Pinned(true),
        ChatMark::Archived(true),
        ChatMark::Muted(Some(domain::chat::MutedUntil::Forever)),
    ] {
        apply(store, mark(session, lid(1), one_mark)).await;
    }
    apply(store, know(session, lid(1), calls_themselves("mia"))).await;
    apply(store, know(session, number.clone(), saved("Mia Baker"))).await;
    assert!(apply(store, learn(session, 1, 1)).await);
    let merged = chat(store, session, &number).await;
    // Archived only when both were: a message must not be overlooked.
    assert_eq!((merged.unread_count, merged.pinned, merged.archived), (3, true, false));
    assert_eq!(merged.muted, Some(domain::chat::MutedUntil::Forever));
    assert_eq!(merged.timestamp, START.seconds() + 3);
    assert_eq!(merged.last_message.unwrap().id, build::wa_id(3));
    assert_eq!(store.chats(session, ALL).await.unwrap().len(), 1);
    let contacts = store.contacts(session, ALL).await.unwrap();
    assert_eq!(contacts.len(), 1);
    assert_eq!(contacts[0].name.as_deref(), Some("Mia Baker"));
    assert_eq!(contacts[0].push_name.as_deref(), Some("mia"));
}

pub async fn the_newer_chat_wins<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    came(store, build::received(1, session, &lid(1))).await;
    came(store, build::received(2, session, &build::chat(1))).await;
    assert!(apply(store, learn(session, 1, 1)).await);
    let merged = chat(store, session, &build::chat(1)).await;
    assert_eq!(merged.last_message.unwrap().id, build::wa_id(2));
}

pub async fn writes_find_the_canonical_id_themselves<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    assert!(apply(store, learn(session, 1, 1)).await);
    let written = Message { author: Some(lid(1)), ..build::received(1, session, &lid(1)) };
    came(store, written).await;
    let number = build::chat(1);
    let row = store.message(session, &build::wa_id(1)).await.unwrap().unwrap();
    assert_eq!((&row.chat, &row.from), (&number, &number.to_string()));
    assert_eq!(row.author, Some(number.clone()));
    apply(store, mark(session, lid(1), ChatMark::Archived(true))).await;
    let name = "Mia".to_owned();
    apply(store, Write::NameChat { session, chat: lid(1), name }).await;
    let chats = store.chats(session, ALL).await.unwrap();
    assert_eq!(chats.len(), 1);
    assert_eq!((&chats[0].id, chats[0].archived), (&number, true));
    assert_eq!(store.unread_messages(session, &lid(1), 5).await.unwrap().len(), 1);
}

pub async fn messages_are_found_by_either_id<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    stranger(store, session).await;
    let found = async |query: MessageQuery| {
        store.messages(session, &query, ALL).await.unwrap().unwrap().total
    };
    let chat = |chat| MessageQuery { chat: Some(chat), ..MessageQuery::default() };
    let from = |from: ChatId| MessageQuery { from: Some(from.into()), ..MessageQuery::default() };
    assert_eq!(found(chat(lid(1))).await, 2);
    assert_eq!(found(chat(build::chat(1))).await, 0);
    assert!(apply(store, learn(session, 1, 1)).await);
    for id in [lid(1), build::chat(1)] {
        assert_eq!(found(chat(id.clone())).await, 2, "{id}");
        assert_eq!(found(from(id.clone())).await, 1, "{id}");
    }
}

pub async fn the_same_message_under_both_ids_is_one<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    came(store, build::received(1, session, &lid(1))).await;
    let again =
        Message { status: MessageStatus::Read, ..build::received(1, session, &build::chat(1)) };
    let message = Box::new(NewMessage::row(again));
    assert!(!apply(store, Write::InsertMessage { message, events: vec![] }).await);
    let contact = Write::LearnContact { session, id: lid(1), patch: saved("Mia") };
    apply(store, contact).await;
    let lease = hold(store, session).await;
    assert!(store.admit_send(&lease, &lid(1), &Default::default(), START).await.unwrap().is_ok());
    assert!(store.media(session, &build::wa_id(1)).await.unwrap().is_none());
}

pub async fn a_pair_is_told_once<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    let tell = async |phone_of, number| {
        let identity = Identity { lid: lid(1), phone: phone(phone_of) };
        let id = build::event(number, session, &build::chat(1)).id;
        let events = vec![event::contact_resolved(id, session, &identity, START)];
        let write = Write::LearnIdentity { session, identity, events };
        store.write(vec![write]).await.unwrap().remove(0)
    };
    let WriteOutcome::Applied(told) = tell(1, 1).await else { panic!("not learned") };
    assert_eq!((told.len(), told[0].draft.kind), (1, EventType::ContactResolved));
    assert_eq!(tell(1, 2).await, WriteOutcome::Unchanged);
    assert_eq!(store.lid_of(session, &phone(1)).await.unwrap(), Some(lid(1)));
    // The person takes another number: that is another pair.
    let WriteOutcome::Applied(told) = tell(2, 3).await else { panic!("not learned") };
    assert_eq!(told[0].sequence, 2);
    assert_eq!(store.lid_of(session, &phone(2)).await.unwrap(), Some(lid(1)));
    assert_eq!(store.lid_of(session, &phone(1)).await.unwrap(), None);
}

pub async fn a_block_list_is_whole<S: Store>(store: &S) {
    let (session, other) = (new_session(store, 1).await, new_session(store, 2).await);
    let blocked = async |session| {
        let people = store.contacts(session, ALL).await.unwrap();
        let blocked = people.into_iter().filter(|one| one.blocked).map(|one| one.id);
        blocked.collect::<Vec<_>>()
    };
    let list = |blocked: Vec<ChatId>| Write::LearnBlockList { session, blocked };
    assert!(apply(store, know(session, build::chat(1), calls_themselves("mia"))).await);
    assert!(apply(store, learn(session, 2, 2)).await);
    let patch = ContactPatch { blocked: Some(true), ..ContactPatch::default() };
    assert!(apply(store, know(other, build::chat(1), patch)).await);
    let group: ChatId = "120363041@g.us".parse().unwrap();
    assert!(apply(store, list(vec![build::chat(1), lid(2), lid(3), group])).await);
    assert_eq!(blocked(session).await, [build::chat(1), build::chat(2), lid(3)]);
    // The same under the other ids.
    assert!(!apply(store, list(vec![lid(3), build::chat(2), build::chat(1)])).await);
    assert!(apply(store, list(vec![build::chat(2)])).await);
    assert_eq!(blocked(session).await, [build::chat(2)]);
    let mia = store.contact(session, &build::chat(1)).await.unwrap().unwrap();
    assert_eq!(mia.push_name.as_deref(), Some("mia"), "who is let in again is still known");
    assert!(apply(store, list(vec![])).await);
    assert_eq!(blocked(session).await, [] as [ChatId; 0]);
    assert_eq!(blocked(other).await, [build::chat(1)], "another account's");
}

pub async fn what_is_wanted_of_presences_is_kept<S: Store>(store: &S) {
    let (session, other) = (new_session(store, 1).await, new_session(store, 2).await);
    assert_eq!(store.presence_wishes(session).await.unwrap(), PresenceWishes::default());
    let available = |available| Write::WishAvailable { session, available };
    assert!(apply(store, available(true)).await);
    assert!(!apply(store, available(true)).await);
    assert!(apply(store, available(false)).await);
    let at = |number: u32| START.plus(std::time::Duration::from_secs(number.into()));
    let watch = |number| {
        let (chat, at) = (build::chat(number), at(number));
        Write::WatchPresence { session, chat, at }
    };
    let all: Vec<Write> = (1..=WATCHED_MAX + 2).map(watch).collect();
    store.write(all).await.unwrap();
    let wishes = store.presence_wishes(session).await.unwrap();
    assert_eq!(wishes.available, Some(false));
    assert_eq!(wishes.watched.len(), WATCHED_MAX as usize);
    let newest = build::chat(WATCHED_MAX + 2);
    assert_eq!(wishes.watched.first(), Some(&newest), "the newest first");
    assert_eq!(wishes.watched.last(), Some(&build::chat(3)), "the oldest two are forgotten");
    assert_eq!(store.presence_wishes(other).await.unwrap(), PresenceWishes::default());
    store.erase_person(session, &newest).await.unwrap();
    let wishes = store.presence_wishes(session).await.unwrap();
    assert!(!wishes.watched.contains(&newest), "who is erased is not watched any more");
}

pub async fn people_and_chats_need_a_session<S: Store>(store: &S) {
    let session = build::session(9).id;
    let held = Write::ChangeMessage {
        session,
        wa_id: build::wa_id(1),
        change: Box::default(),
        hold_until: Some(START),
        events: vec![],
    };
    for write in [
        learn(session, 1, 1),
        know(session, build::chat(1), saved("Mia")),
        mark(session, build::chat(1), ChatMark::Read(false)),
        Write::LearnBlockList { session, blocked: vec![build::chat(1)] },
        Write::WishAvailable { session, available: true },
        Write::WatchPresence { session, chat: build::chat(1), at: START },
        held,
    ] {
        let refused = store.write(vec![write.clone()]).await.unwrap_err();
        assert_eq!(refused.kind, StoreErrorKind::Gone, "{write:?}");
    }
}
