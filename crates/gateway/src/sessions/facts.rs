//! What WhatsApp tells about people, chats and calls: it holds whichever connection told it.

use domain::{
    ChatId, SessionId,
    chat::{ChatMark, ContactPatch, Identity},
    event,
    port::{Call, EngineSignal, Write},
};

use super::Inner;

/// A fact.
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

/// Stores facts in one commit.
pub(super) async fn learn(inner: &Inner, session: SessionId, facts: Vec<Fact>) {
    if facts.is_empty() {
        return;
    }
    let mut writes = Vec::with_capacity(facts.len());
    for fact in facts {
        writes.push(write(inner, session, fact).await);
    }
    if let Err(error) = inner.commit.write_surely(writes).await {
        tracing::error!(session.id = %session, error = &error as &dyn std::error::Error,
            "what was learned about people and chats was not stored");
    }
}

async fn write(inner: &Inner, session: SessionId, fact: Fact) -> Write {
    match fact {
        Fact::Call(mut call) => {
            let known = inner.ports.people.canonical(session, &call.from).await;
            call.from = known.unwrap_or(call.from);
            let event = event::call_event(inner.commit.event_id(), session, &call);
            Write::Append { event: Box::new(event) }
        }
        Fact::Identity(identity) => Write::LearnIdentity { session, identity },
        Fact::Contact(id, patch) => Write::LearnContact { session, id, patch },
        Fact::Mark(chat, mark) => Write::MarkChat { session, chat, mark },
        Fact::Name(chat, name) => Write::NameChat { session, chat, name },
    }
}
