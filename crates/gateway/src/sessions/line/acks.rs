//! Acks and receipts of our messages, as writes, and who hears of them when they are stored.

use std::{sync::Arc, time::Duration};

use domain::{
    SessionId, Timestamp, WaMessageId,
    event::{self, AckReport, EventDraft, EventType},
    failure::COLD_RESTRICTED,
    message::{Direction, Message, MessageStatus},
    port::{StoreResult, Write, WriteOutcome},
    receipt::RecipientReceipt,
};
use serde_json::{Value, json};

use super::{Ack, LineEntry, Receipt};
use crate::{
    hooks::HookPoint,
    outbox::{AckAnswer, acks},
    sessions::{SessionsInner, facts, limits},
};

/// How long an ack or a change waits for the message it is about.
pub(in crate::sessions) const HELD: Duration = Duration::from_secs(600);

/// The message that an ack is about.
enum AckTarget {
    Ours(Arc<Message>),
    /// Somebody else's.
    Other,
    /// None of this id yet.
    Nothing,
}

/// What an entry changes in the ledger.
pub(super) async fn writes(
    inner: &SessionsInner,
    session: SessionId,
    entry: &LineEntry,
) -> StoreResult<Vec<Write>> {
    match entry {
        LineEntry::Record(patch, events) => {
            let (patch, events) = (patch.clone(), events.clone());
            Ok(vec![Write::PatchSession { session, patch, events }])
        }
        LineEntry::Purge => Ok(vec![]),
        LineEntry::Limits(news) => limits::writes(inner, session, news).await,
        LineEntry::Fact(fact) => facts::writes(inner, session, fact).await,
        LineEntry::Took(writes) => Ok(writes.clone()),
        LineEntry::Ack(ack) => of_ack(inner, session, ack).await,
        LineEntry::Receipt(receipt) => of_receipt(inner, session, receipt).await,
    }
}

/// Tells who waits, when entries are stored.
pub(super) fn tell(
    inner: &SessionsInner,
    session: SessionId,
    entries: &[LineEntry],
    outcomes: Vec<Vec<(Write, WriteOutcome)>>,
) {
    for (entry, outcomes) in entries.iter().zip(outcomes) {
        let mut taken = Vec::new();
        for (write, outcome) in outcomes {
            let WriteOutcome::Applied(_) = outcome else { continue };
            if let Write::PatchSession { patch, .. } = &write
                && patch.restriction.is_some()
            {
                inner.waiters.cold.restriction_changed(session);
            }
            if let Some((wa_id, status, events)) = moved_by(write)
                && matches!(entry, LineEntry::Ack(_) | LineEntry::Receipt(_))
            {
                tell_ack(inner, session, (&wa_id, status), &events);
                taken.push((wa_id, events));
            }
        }
        match entry {
            LineEntry::Limits(_) => inner.waiters.outbox.gate(session).stir(),
            LineEntry::Ack(ack) => {
                if ack.refused == Some(COLD_RESTRICTED) {
                    inner.waiters.outbox.gate(session).stir();
                }
                let Ack { refused, timestamp, heard, .. } = *ack;
                let answer = AckAnswer { refused, timestamp, heard };
                if inner.waiters.answer(session, &ack.id, answer) {
                    taken.retain(|(id, _)| *id != ack.id);
                }
            }
            LineEntry::Receipt(receipt) => {
                let (timestamp, heard) = (receipt.timestamp, receipt.heard);
                for id in &receipt.ids {
                    let answer = AckAnswer { refused: None, timestamp, heard };
                    if inner.waiters.answer(session, id, answer) {
                        taken.retain(|(taken, _)| taken != id);
                    }
                }
            }
            _ => {}
        }
        for (_, told) in taken {
            tell_late(inner, &told);
        }
    }
}

/// Which message a write moves forward, to what, with which events.
fn moved_by(write: Write) -> Option<(WaMessageId, MessageStatus, Vec<EventDraft>)> {
    match write {
        Write::AdvanceMessage { wa_id, status, events, .. } => Some((wa_id, status, events)),
        Write::NoteReceipt { wa_id, receipt, events, .. } => {
            Some((wa_id, receipt.status(), events))
        }
        _ => None,
    }
}

/// Handlers hear of a message whose sender had stopped waiting when it was sent, if that is among what was told. Who
/// still waits tells them itself.
pub(in crate::sessions) fn tell_late(inner: &SessionsInner, told: &[EventDraft]) {
    let sent = told.iter().find(|event| event.kind == EventType::MessageSent);
    let Some(sent) = sent.filter(|_| inner.hooks.listens(HookPoint::MessageSent)) else { return };
    let mut message = sent.data.value();
    message["status"] = json!(MessageStatus::Sent);
    message["late"] = json!(true);
    inner.hooks.notify(HookPoint::MessageSent, sent.session, message);
}

/// Handlers hear that a message moved.
pub(in crate::sessions) fn tell_ack(
    inner: &SessionsInner,
    session: SessionId,
    (id, status): (&WaMessageId, MessageStatus),
    events: &[EventDraft],
) {
    let mut data = json!({ "sessionId": session, "messageId": id, "status": status.as_str() });
    if let Some(chat) = events.iter().find_map(|event| event.chat.as_ref()) {
        data["chatId"] = json!(chat);
    }
    inner.hooks.notify(HookPoint::MessageAck, session, data);
}

/// WhatsApp's server took a message.
pub(in crate::sessions) fn taken(inner: &SessionsInner, message: &Message, at: Timestamp) -> Write {
    let ack = ack(message, MessageStatus::Sent);
    let events = vec![
        event::message_sent(inner.ledger.event_id(), message, at),
        event::message_ack(inner.ledger.event_id(), message.session, &ack, at),
    ];
    Write::AdvanceMessage {
        session: message.session,
        wa_id: message.wa_id.clone(),
        status: MessageStatus::Sent,
        timestamp: Some(at.seconds()),
        metadata: Value::Null,
        hold_until: None,
        events,
    }
}

async fn of_ack(inner: &SessionsInner, session: SessionId, ack: &Ack) -> StoreResult<Vec<Write>> {
    let AckTarget::Ours(message) = find(inner, session, &ack.id).await? else { return Ok(vec![]) };
    let at = Timestamp::from_seconds(ack.timestamp);
    match ack.refused {
        None => Ok(proven(inner, &message, at)),
        Some(code) => acks::refused(&inner.ledger, &message, code, at).await,
    }
}

/// WhatsApp took a message; the item of a batch that failed with it is corrected in the same commit.
fn proven(inner: &SessionsInner, message: &Message, at: Timestamp) -> Vec<Write> {
    let age = inner.ports.clock.now().since(message.created_at);
    let given_up = age > inner.options.sends.resend_limit;
    let failed = given_up || message.status == MessageStatus::Failed;
    let confirm = failed.then(|| inner.ledger.confirm(message.session, &message.wa_id, at));
    std::iter::once(taken(inner, message, at)).chain(confirm).collect()
}

async fn of_receipt(
    inner: &SessionsInner,
    session: SessionId,
    receipt: &Receipt,
) -> StoreResult<Vec<Write>> {
    let store = &inner.ports.store;
    let at = Timestamp::from_seconds(receipt.timestamp);
    let mut writes = Vec::with_capacity(receipt.ids.len());
    let by = receipt.participant.as_ref().unwrap_or(&receipt.chat);
    let said = RecipientReceipt {
        recipient: store.canonical_chat(session, by).await?,
        kind: receipt.kind,
        at: receipt.timestamp,
    };
    let tells = receipt.participant.is_some() && inner.wants_receipts(session).await?;
    // Both ids of the recipient, where both are known.
    let lid = match said.recipient.phone().filter(|_| tells) {
        Some(phone) => inner.ports.store.lid_of(session, &phone).await?,
        None => None,
    };
    for id in &receipt.ids {
        match find(inner, session, id).await? {
            AckTarget::Ours(message) => {
                if matches!(message.status, MessageStatus::Pending | MessageStatus::Failed) {
                    // A receipt may overtake the server's ack, or prove a refusal wrong: `message.sent` is told
                    // once, and first. Where the ack was here already this write changes nothing.
                    writes.extend(proven(inner, &message, at));
                }
                let ack = ack(&message, said.status());
                if tells {
                    let id = inner.ledger.event_id();
                    let by = (&said.recipient, receipt.kind);
                    let mut event = event::message_receipt(id, session, &ack, by, at);
                    if let Some(lid) = &lid {
                        event.data = event.data.changed(|data| data["participantLid"] = json!(lid));
                    }
                    writes.push(Write::Append { event: Box::new(event) });
                }
                writes.push(noted(inner, session, &ack, &said, None));
            }
            AckTarget::Nothing => writes.push(early(inner, session, receipt, id, &said).await?),
            AckTarget::Other => {}
        }
    }
    Ok(writes)
}

/// A receipt for a message that is not here yet: one of ours, typed on the phone.
async fn early(
    inner: &SessionsInner,
    session: SessionId,
    receipt: &Receipt,
    id: &WaMessageId,
    said: &RecipientReceipt,
) -> StoreResult<Write> {
    let chat = inner.ports.store.canonical_chat(session, &receipt.chat).await?;
    let hold_until = inner.ports.clock.now().plus(HELD);
    let status = said.status();
    let ack = AckReport { message: id, chat: &chat, from: &receipt.me, status, code: None };
    Ok(noted(inner, session, &ack, said, Some(hold_until)))
}

fn noted(
    inner: &SessionsInner,
    session: SessionId,
    ack: &AckReport<'_>,
    said: &RecipientReceipt,
    hold_until: Option<Timestamp>,
) -> Write {
    let at = Timestamp::from_seconds(said.at);
    let event = event::message_ack(inner.ledger.event_id(), session, ack, at);
    Write::NoteReceipt {
        session,
        wa_id: ack.message.clone(),
        receipt: said.clone(),
        hold_until,
        events: vec![event],
    }
}

async fn find(
    inner: &SessionsInner,
    session: SessionId,
    id: &WaMessageId,
) -> StoreResult<AckTarget> {
    if let Some(message) = inner.waiters.message(session, id) {
        return Ok(AckTarget::Ours(message));
    }
    Ok(match inner.ports.store.message(session, id).await? {
        Some(message) if message.direction == Direction::Outgoing => {
            AckTarget::Ours(Arc::new(message))
        }
        Some(_) => AckTarget::Other,
        None => AckTarget::Nothing,
    })
}

fn ack(message: &Message, status: MessageStatus) -> AckReport<'_> {
    AckReport {
        message: &message.wa_id,
        chat: &message.chat,
        from: &message.from,
        status,
        code: None,
    }
}
