//! What WhatsApp tells about people, chats and calls: it holds whichever connection told it.

use domain::{
    ChatId, PhoneNumber, SessionId, Timestamp,
    chat::{ChatMark, ContactPatch, Identity},
    event::{self, ChangeSource},
    group::{Group, GroupNews, GroupPerson, GroupSignal},
    label::{LabelChange, LabelSignal},
    port::{Call, EngineSignal, GroupWrite, PeopleSignal, StoreResult, Write},
    presence::PresenceChange,
};

use super::SessionsInner;

/// Something that WhatsApp told and that is stored in its turn.
#[derive(Clone)]
pub(super) enum SessionFact {
    Call(Call),
    Identities(Vec<Identity>),
    BlockList(Vec<ChatId>),
    Presence(PresenceChange),
    Contact(ChatId, ContactPatch),
    Mark(ChatId, ChatMark),
    Name(ChatId, String),
    Label(LabelSignal),
    Group(Box<GroupNews>),
    KnownGroup(Box<Group>, Timestamp),
    KnownGroups(Vec<ChatId>, Timestamp),
}

/// The fact in a signal, or the signal again.
pub(super) fn fact(signal: EngineSignal) -> Result<SessionFact, EngineSignal> {
    use EngineSignal::People;
    match signal {
        EngineSignal::Call(call) => Ok(SessionFact::Call(call)),
        EngineSignal::Identity(identity) => Ok(SessionFact::Identities(vec![identity])),
        People(PeopleSignal::Identities(pairs)) => Ok(SessionFact::Identities(pairs)),
        People(PeopleSignal::BlockList(list)) => Ok(SessionFact::BlockList(list)),
        People(PeopleSignal::Presence(change)) => Ok(SessionFact::Presence(change)),
        EngineSignal::Contact { id, patch } => Ok(SessionFact::Contact(id, patch)),
        EngineSignal::ChatMark { chat, mark } => Ok(SessionFact::Mark(chat, mark)),
        EngineSignal::ChatName { chat, name } => Ok(SessionFact::Name(chat, name)),
        EngineSignal::Label(signal) => Ok(SessionFact::Label(signal)),
        EngineSignal::Group(GroupSignal::Changed(news)) => Ok(SessionFact::Group(news)),
        EngineSignal::Group(GroupSignal::Known(group, as_of)) => {
            Ok(SessionFact::KnownGroup(group, as_of))
        }
        EngineSignal::Group(GroupSignal::Listed(groups, as_of)) => {
            Ok(SessionFact::KnownGroups(groups, as_of))
        }
        other => Err(other),
    }
}

/// What a fact changes in the ledger.
pub(super) async fn writes(
    inner: &SessionsInner,
    session: SessionId,
    fact: &SessionFact,
) -> StoreResult<Vec<Write>> {
    let store = &inner.ports.store;
    let write = match fact.clone() {
        SessionFact::Call(mut call) => {
            call.from = store.canonical_chat(session, &call.from).await?;
            let event = event::call_event(inner.ledger.event_id(), session, &call);
            Write::Append { event: Box::new(event) }
        }
        SessionFact::Presence(mut change) => {
            change.chat = store.canonical_chat(session, &change.chat).await?;
            change.of.person = store.canonical_chat(session, &change.of.person).await?;
            let (id, now) = (inner.ledger.event_id(), inner.ports.clock.now());
            let event = event::presence_update(id, session, &change, now);
            Write::Append { event: Box::new(event) }
        }
        SessionFact::Identities(pairs) => return learn(inner, session, pairs).await,
        SessionFact::BlockList(blocked) => Write::LearnBlockList { session, blocked },
        SessionFact::Contact(id, patch) => Write::LearnContact { session, id, patch },
        SessionFact::Mark(chat, mark) => Write::MarkChat { session, chat, mark },
        SessionFact::Name(chat, name) => Write::NameChat { session, chat, name },
        SessionFact::Label(LabelSignal { mut change, at, backfilled }) => {
            if let LabelChange::Add(_, chat) | LabelChange::Remove(_, chat) = &mut change {
                *chat = inner.ports.store.canonical_chat(session, chat).await?;
            }
            // The shared state does not say which device changed it; nearly always it is the phone.
            let told = (ChangeSource::Phone, backfilled);
            let event = event::label_event(inner.ledger.event_id(), session, &change, told, at);
            Write::ChangeLabel { session, change, events: vec![event] }
        }
        SessionFact::Group(news) => happened(inner, session, *news).await?,
        SessionFact::KnownGroup(known, as_of) => {
            let group = known.id.clone();
            let change = Box::new(GroupWrite::Know(known, as_of));
            Write::Group { session, group, change, events: vec![] }
        }
        SessionFact::KnownGroups(groups, as_of) => Write::Group {
            session,
            group: ChatId::any_group(),
            change: Box::new(GroupWrite::Keep(groups, as_of)),
            events: vec![],
        },
    };
    Ok(vec![write])
}

/// Most pairs are known: they are told again and again, and cost no commit.
async fn learn(
    inner: &SessionsInner,
    session: SessionId,
    pairs: Vec<Identity>,
) -> StoreResult<Vec<Write>> {
    let mut writes = Vec::new();
    for identity in pairs {
        let known = inner.ports.store.phone_of(session, &identity.lid).await?;
        if known.as_ref() != Some(&identity.phone) {
            writes.push(inner.ledger.learn_identity(session, identity));
        }
    }
    Ok(writes)
}

/// What happened to a group, with its event.
async fn happened(
    inner: &SessionsInner,
    session: SessionId,
    mut news: GroupNews,
) -> StoreResult<Write> {
    for person in news.actor.iter_mut().chain(news.change.people_mut()) {
        complete(inner, session, person).await?;
    }
    let account = inner.handle(session).and_then(|handle| handle.account());
    let me = account.as_ref().map(PhoneNumber::chat);
    let event = event::group_event(session, me.as_ref(), &news, news.source);
    let change = match news.left {
        true => GroupWrite::Forget,
        false => GroupWrite::Change(news.change, inner.ledger.now()),
    };
    Ok(Write::Group { session, group: news.group, change: Box::new(change), events: vec![event] })
}

/// Adds the number of somebody of whom WhatsApp told only the privacy id, where it is known.
async fn complete(
    inner: &SessionsInner,
    session: SessionId,
    person: &mut GroupPerson,
) -> StoreResult<()> {
    if let (None, Some(lid)) = (&person.phone, &person.lid)
        && let Some(phone) = inner.ports.store.phone_of(session, lid).await?
    {
        person.id = phone.chat();
        person.phone = Some(phone);
    }
    Ok(())
}
