//! What WhatsApp tells about people, chats and calls: it holds whichever connection told it.

use domain::{
    ChatId, SessionId,
    chat::{ChatMark, ContactPatch, Identity},
    event,
    port::{Call, EngineSignal, StoreResult, Write},
};

use super::Inner;

/// A fact.
#[derive(Clone)]
pub(super) enum Fact {
    Call(Call),
    Identity(Identity),
    Contact(ChatId, ContactPatch),
    Mark(ChatId, ChatMark),
    Name(ChatId, String),
}

/// The fact in a signal, or the signal again.
pub(super) fn fact(signal: EngineSignal) -> Result<Fact, EngineSignal> {
    match signal {
        EngineSignal::Call(call) => Ok(Fact::Call(call)),
        EngineSignal::Identity(identity) => Ok(Fact::Identity(identity)),
        EngineSignal::Contact { id, patch } => Ok(Fact::Contact(id, patch)),
        EngineSignal::ChatMark { chat, mark } => Ok(Fact::Mark(chat, mark)),
        EngineSignal::ChatName { chat, name } => Ok(Fact::Name(chat, name)),
        other => Err(other),
    }
}

/// What a fact changes in the ledger.
pub(super) async fn write(inner: &Inner, session: SessionId, fact: &Fact) -> StoreResult<Write> {
    Ok(match fact.clone() {
        Fact::Call(mut call) => {
            call.from = inner.ports.store.canonical_chat(session, &call.from).await?;
            let event = event::call_event(inner.ledger.event_id(), session, &call);
            Write::Append { event: Box::new(event) }
        }
        Fact::Identity(identity) => Write::LearnIdentity { session, identity },
        Fact::Contact(id, patch) => Write::LearnContact { session, id, patch },
        Fact::Mark(chat, mark) => Write::MarkChat { session, chat, mark },
        Fact::Name(chat, name) => Write::NameChat { session, chat, name },
    })
}
