//! What WhatsApp tells about people, chats and calls: it holds whichever connection told it.

use domain::{
    ChatId, SessionId,
    chat::{ChatMark, ContactPatch, Identity},
    event::{self, ChangeSource},
    label::{LabelChange, LabelSignal},
    port::{Call, EngineSignal, StoreResult, Write},
};

use super::SessionsInner;

/// Something that WhatsApp told and that is stored in its turn.
#[derive(Clone)]
pub(super) enum SessionFact {
    Call(Call),
    Identity(Identity),
    Contact(ChatId, ContactPatch),
    Mark(ChatId, ChatMark),
    Name(ChatId, String),
    Label(LabelSignal),
}

/// The fact in a signal, or the signal again.
pub(super) fn fact(signal: EngineSignal) -> Result<SessionFact, EngineSignal> {
    match signal {
        EngineSignal::Call(call) => Ok(SessionFact::Call(call)),
        EngineSignal::Identity(identity) => Ok(SessionFact::Identity(identity)),
        EngineSignal::Contact { id, patch } => Ok(SessionFact::Contact(id, patch)),
        EngineSignal::ChatMark { chat, mark } => Ok(SessionFact::Mark(chat, mark)),
        EngineSignal::ChatName { chat, name } => Ok(SessionFact::Name(chat, name)),
        EngineSignal::Label(signal) => Ok(SessionFact::Label(signal)),
        other => Err(other),
    }
}

/// What a fact changes in the ledger.
pub(super) async fn write(
    inner: &SessionsInner,
    session: SessionId,
    fact: &SessionFact,
) -> StoreResult<Write> {
    Ok(match fact.clone() {
        SessionFact::Call(mut call) => {
            call.from = inner.ports.store.canonical_chat(session, &call.from).await?;
            let event = event::call_event(inner.ledger.event_id(), session, &call);
            Write::Append { event: Box::new(event) }
        }
        SessionFact::Identity(identity) => Write::LearnIdentity { session, identity },
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
}
