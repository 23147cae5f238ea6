//! People under two ids: whatever happens before the number behind a privacy id is known, and whenever it becomes
//! known, nobody has two chats, and no message is lost or there twice.

use std::collections::BTreeMap;

use domain::{
    ChatId, PhoneNumber, SessionId,
    chat::{ChatMark, ContactPatch, Identity},
    event,
    ids::EventId,
    message::Message,
    port::{MessageQuery, NewMessage, Write, WriteOutcome},
};
use proptest::prelude::*;
use uuid::Uuid;

use super::{ALL, Store, new_session};
use testkit::{START, build};

/// People of a run.
const PEOPLE: u8 = 3;
/// Ids of messages: few, so that one comes again under the other id.
const MESSAGES: u8 = 12;

/// Under which of the two ids something comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Under {
    /// The privacy id.
    Lid,
    /// The number's chat.
    Number,
}

/// What happens next, to which person, under which id.
#[derive(Debug, Clone)]
pub enum IdentityStep {
    /// A message of this number comes from the person, or goes to them.
    Message(u8, Under, u8, bool),
    /// They write in a group.
    InGroup(u8, Under, u8),
    /// Their chat is pinned, or not any more.
    Pin(u8, Under, bool),
    /// Their chat is read.
    Read(u8, Under),
    /// They call themselves so.
    Called(u8, Under, u8),
    /// The pair of their ids is learned; again, if it was before.
    Learn(u8),
}

/// Units of steps: each is written at once.
pub fn steps() -> impl Strategy<Value = Vec<Vec<IdentityStep>>> {
    let who = || (0..PEOPLE, prop_oneof![Just(Under::Lid), Just(Under::Number)]);
    let step = prop_oneof![
        8 => (who(), 0..MESSAGES, any::<bool>())
            .prop_map(|((person, under), number, out)| IdentityStep::Message(person, under, number, out)),
        2 => (who(), 0..MESSAGES)
            .prop_map(|((person, under), number)| IdentityStep::InGroup(person, under, number)),
        2 => (who(), any::<bool>()).prop_map(|((person, under), pin)| IdentityStep::Pin(person, under, pin)),
        2 => who().prop_map(|(person, under)| IdentityStep::Read(person, under)),
        2 => (who(), 0u8..3).prop_map(|((person, under), name)| IdentityStep::Called(person, under, name)),
        3 => (0..PEOPLE).prop_map(IdentityStep::Learn),
    ];
    prop::collection::vec(prop::collection::vec(step, 1..5), 1..20)
}

fn group() -> ChatId {
    "120363041@g.us".parse().unwrap()
}

fn phone(person: u8) -> PhoneNumber {
    build::chat(u32::from(person)).phone().unwrap()
}

fn id(person: u8, under: Under) -> ChatId {
    match under {
        Under::Lid => format!("9000{person:07}@lid").parse().unwrap(),
        Under::Number => phone(person).chat(),
    }
}

/// A chat as it has to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct ModelChat {
    unread: u32,
    pinned: bool,
    newest: Option<u8>,
}

/// What the ledger has to know.
#[derive(Default)]
struct Model {
    chats: BTreeMap<ChatId, ModelChat>,
    names: BTreeMap<ChatId, String>,
    /// Where each message is, and who wrote it in the group.
    messages: BTreeMap<u8, (ChatId, Option<ChatId>)>,
    learned: BTreeMap<u8, bool>,
}

impl Model {
    fn canonical(&self, person: u8, under: Under) -> ChatId {
        let known = self.learned.contains_key(&person);
        id(person, if known { Under::Number } else { under })
    }

    /// Applies a step; whether the ledger has to say that something changed, where that is certain.
    fn take(&mut self, step: &IdentityStep) -> Option<bool> {
        match *step {
            IdentityStep::Message(person, under, number, out) => {
                let chat = self.canonical(person, under);
                self.came(chat, number, out, None)
            }
            IdentityStep::InGroup(person, under, number) => {
                let author = self.canonical(person, under);
                self.came(group(), number, false, Some(author))
            }
            IdentityStep::Pin(person, under, pinned) => {
                let chat = self.canonical(person, under);
                self.chats.entry(chat).or_default().pinned = pinned;
                None
            }
            IdentityStep::Read(person, under) => {
                let chat = self.canonical(person, under);
                self.chats.entry(chat).or_default().unread = 0;
                None
            }
            IdentityStep::Called(person, under, name) => {
                let who = self.canonical(person, under);
                self.names.insert(who, format!("name {name}"));
                None
            }
            IdentityStep::Learn(person) => Some(self.learn(person)),
        }
    }

    fn came(
        &mut self,
        chat: ChatId,
        number: u8,
        out: bool,
        author: Option<ChatId>,
    ) -> Option<bool> {
        if self.messages.contains_key(&number) {
            return Some(false);
        }
        let known = self.chats.entry(chat.clone()).or_default();
        known.unread += u32::from(!out);
        known.newest = known.newest.max(Some(number));
        self.messages.insert(number, (chat, author));
        Some(true)
    }

    fn learn(&mut self, person: u8) -> bool {
        if self.learned.insert(person, true).is_some() {
            return false;
        }
        let (lid, number) = (id(person, Under::Lid), id(person, Under::Number));
        if let Some(old) = self.chats.remove(&lid) {
            let new = self.chats.entry(number.clone()).or_default();
            new.unread += old.unread;
            new.pinned |= old.pinned;
            new.newest = new.newest.max(old.newest);
        }
        if let Some(name) = self.names.remove(&lid) {
            self.names.entry(number.clone()).or_insert(name);
        }
        for (chat, author) in self.messages.values_mut() {
            for place in [Some(chat), author.as_mut()].into_iter().flatten() {
                if *place == lid {
                    *place = number.clone();
                }
            }
        }
        true
    }
}

fn write(session: SessionId, step: &IdentityStep, told: u128) -> Write {
    let new = |message: Message| Write::InsertMessage {
        message: Box::new(NewMessage::row(message)),
        events: vec![],
    };
    let mark = |person, under, mark| Write::MarkChat { session, chat: id(person, under), mark };
    match *step {
        IdentityStep::Message(person, under, number, out) => {
            let (chat, number) = (id(person, under), u32::from(number));
            let received = build::received(number, session, &chat);
            new(match out {
                false => received,
                true => Message {
                    to: chat.to_string(),
                    chat,
                    timestamp: received.timestamp,
                    status: domain::message::MessageStatus::Sent,
                    ..build::message(number, session)
                },
            })
        }
        IdentityStep::InGroup(person, under, number) => {
            let author = Some(id(person, under));
            new(Message { author, ..build::received(number.into(), session, &group()) })
        }
        IdentityStep::Pin(person, under, pinned) => mark(person, under, ChatMark::Pinned(pinned)),
        IdentityStep::Read(person, under) => mark(person, under, ChatMark::Read(true)),
        IdentityStep::Called(person, under, name) => {
            let patch =
                ContactPatch { push_name: Some(format!("name {name}")), ..ContactPatch::default() };
            Write::LearnContact { session, id: id(person, under), patch }
        }
        IdentityStep::Learn(person) => {
            let identity = Identity { lid: id(person, Under::Lid), phone: phone(person) };
            let event = EventId::from_uuid(Uuid::from_u128(told));
            let events = vec![event::contact_resolved(event, session, &identity, START)];
            Write::LearnIdentity { session, identity, events }
        }
    }
}

/// Goes through the steps, then learns every pair, and looks at everything after each unit.
pub async fn agree<S: Store>(units: Vec<Vec<IdentityStep>>, store: &S) {
    let session = new_session(store, 1).await;
    let (mut model, mut told) = (Model::default(), 1_u128 << 64);
    let rest = (0..PEOPLE).map(IdentityStep::Learn).collect();
    for unit in units.into_iter().chain([rest]) {
        let mut writes = Vec::new();
        for step in &unit {
            told += 1;
            writes.push(write(session, step, told));
        }
        let outcomes = store.write(writes).await.unwrap();
        for (step, outcome) in unit.iter().zip(outcomes) {
            let applied = model.take(step);
            let events = match &outcome {
                WriteOutcome::Applied(events) => events.len(),
                WriteOutcome::Unchanged => 0,
            };
            if let Some(applied) = applied {
                assert_eq!(matches!(outcome, WriteOutcome::Applied(_)), applied, "{step:?}");
                let learned = applied && matches!(step, IdentityStep::Learn(_));
                assert_eq!(events, usize::from(learned), "a pair is told once: {step:?}");
            }
        }
        look(store, session, &model).await;
    }
    for person in 0..PEOPLE {
        under_both(store, session, person).await;
    }
}

/// The ledger knows what the model knows, and nothing else.
async fn look<S: Store>(store: &S, session: SessionId, model: &Model) {
    let chats = store.chats(session, ALL).await.unwrap();
    let newest = |chat: &domain::chat::Chat| {
        let last = chat.last_message.as_ref()?;
        (0..MESSAGES).find(|number| build::wa_id(u32::from(*number)) == last.id)
    };
    let found: BTreeMap<ChatId, ModelChat> = chats
        .iter()
        .map(|chat| {
            let (unread, pinned) = (chat.unread_count, chat.pinned);
            (chat.id.clone(), ModelChat { unread, pinned, newest: newest(chat) })
        })
        .collect();
    assert_eq!(found.len(), chats.len(), "no chat is there twice");
    assert_eq!(found, model.chats, "the ledger's chats, then the model's");

    let people = store.contacts(session, ALL).await.unwrap();
    let names: BTreeMap<ChatId, String> =
        people.into_iter().map(|one| (one.id, one.push_name.unwrap())).collect();
    assert_eq!(names, model.names, "the ledger's people, then the model's");

    let all = store.messages(session, &MessageQuery::default(), ALL).await.unwrap().unwrap();
    assert_eq!(all.total, model.messages.len() as u64);
    for (number, (chat, author)) in &model.messages {
        let wa_id = build::wa_id(u32::from(*number));
        let row = store.message(session, &wa_id).await.unwrap().unwrap();
        assert_eq!((&row.chat, &row.author), (chat, author), "message {number}");
    }
}

/// Everything of a person is found under each of their ids.
async fn under_both<S: Store>(store: &S, session: SessionId, person: u8) {
    let (lid, number) = (id(person, Under::Lid), id(person, Under::Number));
    assert_eq!(store.phone_of(session, &lid).await.unwrap(), Some(phone(person)));
    assert_eq!(store.lid_of(session, &phone(person)).await.unwrap(), Some(lid.clone()));
    let found = async |chat: &ChatId| {
        let query = MessageQuery { chat: Some(chat.clone()), ..MessageQuery::default() };
        store.messages(session, &query, ALL).await.unwrap().unwrap().total
    };
    assert_eq!(found(&lid).await, found(&number).await);
    assert_eq!(
        store.chat(session, &lid).await.unwrap(),
        store.chat(session, &number).await.unwrap()
    );
    assert_eq!(
        store.contact(session, &lid).await.unwrap(),
        store.contact(session, &number).await.unwrap()
    );
}
