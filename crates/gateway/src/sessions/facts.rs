//! What WhatsApp tells about people, chats and calls: it holds whichever connection told it.

use domain::{ChatId, SessionId, chat::{ChatMark, ContactPatch, Identity}, event::{self, ChangeSource}, label::{LabelChange, LabelSignal}, port::{Call, EngineSignal, StoreResult, Write, PeopleSignal}, event, presence::PresenceChange};

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
    })
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
