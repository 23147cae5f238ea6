//! Under which spelling WhatsApp knows a number: Brazil's ninth digit, Mexico's `521`, Argentina's `549`.
//!
//! No rule tells, so WhatsApp is asked for both, and its answer is remembered in the ledger. While it cannot be
//! asked, what it said last counts, however old, else the number as it was given: that one is never somebody else's,
//! and if nobody has it WhatsApp refuses the message.

use std::time::Duration;

use domain::{
    ChatId, SessionId, Timer,
    chat::{FORM_FRESH, Identity, KnownForm, Registration},
    phone::other_form,
    port::{Connection, EngineError, Lease, StoreError, Write},
};

use crate::{Ports, ledger::LedgerWriter};

/// Longest wait for WhatsApp's answer before a send.
pub(crate) const ASK_LIMIT: Duration = Duration::from_secs(5);

/// What is known about an address.
pub(crate) enum Spelling {
    /// The id to use; the same one for most.
    Is(ChatId),
    /// Nobody has the number, in either spelling.
    Nobody,
}

/// The id that is used for an address from what was heard before; WhatsApp is not asked.
pub(crate) async fn remembered(
    ports: &Ports,
    session: SessionId,
    chat: &ChatId,
) -> Result<ChatId, StoreError> {
    if other_form(chat).is_none() {
        return Ok(chat.clone());
    }
    let form = ports.store.known_form(session, chat).await?;
    Ok(form.map_or_else(|| chat.clone(), |form| form.chat))
}

/// What was heard of a number's spelling, if that is not too long ago.
pub(crate) async fn fresh(
    ports: &Ports,
    session: SessionId,
    chat: &ChatId,
) -> Result<Option<ChatId>, StoreError> {
    let form = ports.store.known_form(session, chat).await?;
    let now = ports.clock.now();
    Ok(form.filter(|form| now.since(form.at) < FORM_FRESH).map(|form| form.chat))
}

/// The id to send to, as WhatsApp says.
pub(crate) async fn ask(
    ports: &Ports,
    ledger: &LedgerWriter,
    (connection, lease): (&dyn Connection, &Lease),
    chat: &ChatId,
) -> Result<Spelling, StoreError> {
    let both: Vec<ChatId> = [chat.clone()].into_iter().chain(other_form(chat)).collect();
    let limit = ports.clock.now().plus(ASK_LIMIT);
    let found = tokio::select! {
        found = connection.lookup(&both) => found,
        () = ports.clock.sleep_until(Timer::Lookup, limit) => Err(EngineError::Unanswered(None)),
    };
    match found {
        Ok(found) => learned(ports, ledger, lease, (chat, &found)).await,
        Err(EngineError::Store(error)) => Err(error),
        Err(error) => {
            tracing::info!(session.id = %lease.session, chat = %chat.masked(),
                error = &error as &dyn std::error::Error, "the spelling of a number is not known");
            Ok(Spelling::Is(remembered(ports, lease.session, chat).await?))
        }
    }
}

/// What WhatsApp's answers for both spellings, the asked one first, say; it is remembered.
pub(crate) async fn learned(
    ports: &Ports,
    ledger: &LedgerWriter,
    lease: &Lease,
    (asked, found): (&ChatId, &[Registration]),
) -> Result<Spelling, StoreError> {
    let Some(somebody) = found.iter().find(|found| found.registered.is_some()) else {
        return Ok(Spelling::Nobody);
    };
    let Some(chat) = somebody.registered.clone() else { return Ok(Spelling::Nobody) };
    let session = lease.session;
    let mut writes: Vec<Write> = identity(somebody)
        .map(|identity| ledger.learn_identity(session, identity))
        .into_iter()
        .collect();
    if !chat.is_lid() {
        let form = KnownForm { chat: chat.clone(), at: ports.clock.now() };
        writes.push(Write::LearnForm { session, asked: asked.clone(), form });
    }
    ledger.write(Some(lease), writes).await?;
    Ok(Spelling::Is(chat))
}

/// The pair of ids in an answer of WhatsApp.
pub(crate) fn identity(found: &Registration) -> Option<Identity> {
    let phone = found.registered.as_ref()?.phone()?;
    let lid = found.lid.clone().or_else(|| found.asked.is_lid().then(|| found.asked.clone()))?;
    Some(Identity { lid, phone })
}
