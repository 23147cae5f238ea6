//! Acks and receipts of our messages.

use std::{sync::Arc, time::Duration};

use domain::{
    ChatId, Timestamp, WaMessageId,
    event::{self, Ack},
    message::{Direction, Message, MessageStatus},
    port::{ReceiptKind, StoreResult, Write, WriteOutcome},
};
use serde_json::{Value, json};

use super::Sink;
use crate::{
    acks::{self, Answer},
    hooks::HookPoint,
};

/// How long an ack or a change waits for the message it is about.
pub(super) const HELD: Duration = Duration::from_secs(600);

/// The message that an ack is about.
enum Found {
    Ours(Arc<Message>),
    /// Somebody else's, or the ledger did not answer and the next receipt says more.
    Unmoved,
    /// None of this id yet.
    Nothing,
}

impl Sink {
    pub(super) async fn server_ack(&self, id: &WaMessageId, refused: Option<u16>, timestamp: i64) {
        let heard = self.inner.ports.clock.now();
        // The answer to a change (an edit, a reaction) has no row; whoever sent it waits.
        if let Found::Ours(message) = self.find(id).await {
            let at = Timestamp::from_seconds(timestamp);
            let writes = match refused {
                None => self.proven(&message, at),
                Some(code) => acks::refused(&self.inner, &message, code, at).await,
            };
            self.advance(writes).await;
            if refused == Some(acks::COLD_RESTRICTED) {
                self.inner.waiters.outbox.gate(self.session).stir();
            }
        }
        self.inner.waiters.answer(self.session, id, Answer { refused, timestamp, heard });
    }

    /// WhatsApp took a message; the item of a batch that failed with it is corrected in the same commit.
    fn proven(&self, message: &Message, at: Timestamp) -> Vec<Write> {
        let inner = &self.inner;
        let age = inner.ports.clock.now().since(message.created_at);
        let given_up = age > inner.options.sends.resend_limit;
        let failed = given_up || message.status == MessageStatus::Failed;
        let confirm = failed.then(|| inner.commit.confirm(self.session, &message.wa_id, at));
        std::iter::once(self.taken(message, at)).chain(confirm).collect()
    }

    /// WhatsApp's server took a message.
    pub(super) fn taken(&self, message: &Message, at: Timestamp) -> Write {
        let ack = ack(message, MessageStatus::Sent);
        let events = vec![
            event::message_sent(self.inner.commit.event_id(), message, at),
            event::message_ack(self.inner.commit.event_id(), self.session, &ack, at),
        ];
        Write::AdvanceMessage {
            session: self.session,
            wa_id: message.wa_id.clone(),
            status: MessageStatus::Sent,
            timestamp: Some(at.seconds()),
            metadata: Value::Null,
            hold_until: None,
            events,
        }
    }

    pub(super) async fn receipt(
        &self,
        chat: &ChatId,
        ids: &[WaMessageId],
        kind: ReceiptKind,
        timestamp: i64,
    ) {
        let status = match kind {
            ReceiptKind::Delivered => MessageStatus::Delivered,
            ReceiptKind::Read => MessageStatus::Read,
        };
        let heard = self.inner.ports.clock.now();
        let at = Timestamp::from_seconds(timestamp);
        let mut writes = Vec::with_capacity(ids.len());
        for id in ids {
            match self.find(id).await {
                Found::Ours(message) => {
                    if matches!(message.status, MessageStatus::Pending | MessageStatus::Failed) {
                        // A receipt may overtake the server's ack, or prove a refusal wrong: `message.sent` is told
                        // once, and first. Where the ack was here already this write changes nothing.
                        writes.extend(self.proven(&message, at));
                    }
                    writes.push(self.moved(&ack(&message, status), at, None));
                }
                Found::Nothing if self.inner.waiters.is_carrier(self.session, id) => {}
                Found::Nothing => writes.push(self.early(chat, id, status, at).await),
                Found::Unmoved => {}
            }
        }
        self.advance(writes).await;
        for id in ids {
            let answer = Answer { refused: None, timestamp, heard };
            self.inner.waiters.answer(self.session, id, answer);
        }
    }

    /// A receipt for a message that is not here yet: one of ours, typed on the phone.
    async fn early(
        &self,
        chat: &ChatId,
        id: &WaMessageId,
        status: MessageStatus,
        at: Timestamp,
    ) -> Write {
        let canonical = self.inner.ports.people.canonical(self.session, chat).await;
        let chat = canonical.unwrap_or_else(|_| chat.clone());
        let me = self.me();
        let hold_until = self.inner.ports.clock.now().plus(HELD);
        let ack = Ack { message: id, chat: &chat, from: &me, status, code: None };
        self.moved(&ack, at, Some(hold_until))
    }

    fn moved(&self, ack: &Ack<'_>, at: Timestamp, hold_until: Option<Timestamp>) -> Write {
        let event = event::message_ack(self.inner.commit.event_id(), self.session, ack, at);
        Write::AdvanceMessage {
            session: self.session,
            wa_id: ack.message.clone(),
            status: ack.status,
            timestamp: None,
            metadata: Value::Null,
            hold_until,
            events: vec![event],
        }
    }

    async fn advance(&self, writes: Vec<Write>) {
        if writes.is_empty() {
            return;
        }
        let moves: Vec<Option<(WaMessageId, MessageStatus)>> = writes.iter().map(moves).collect();
        match self.inner.commit.write_surely(writes).await {
            Ok(outcomes) => {
                let done = moves.into_iter().zip(outcomes);
                for (moved, outcome) in done {
                    if let (Some((id, status)), WriteOutcome::Applied(_)) = (moved, outcome) {
                        self.tell_ack(&id, status);
                    }
                }
            }
            Err(error) => {
                tracing::error!(session.id = %self.session,
                    error = &error as &dyn std::error::Error, "an ack was not stored");
            }
        }
    }

    pub(super) fn tell_ack(&self, id: &WaMessageId, status: MessageStatus) {
        let data = json!({ "sessionId": self.session, "messageId": id, "status": status.as_str() });
        self.inner.hooks.notify(HookPoint::MessageAck, self.session, data);
    }

    async fn find(&self, id: &WaMessageId) -> Found {
        if let Some(message) = self.inner.waiters.message(self.session, id) {
            return Found::Ours(message);
        }
        match self.stored(id).await {
            Ok(Some(message)) if message.direction == Direction::Outgoing => {
                Found::Ours(Arc::new(message))
            }
            Ok(Some(_)) => Found::Unmoved,
            Ok(None) => Found::Nothing,
            Err(error) => {
                tracing::error!(session.id = %self.session, error = &error as &dyn std::error::Error,
                    "an ack could not be matched with its message");
                Found::Unmoved
            }
        }
    }

    pub(super) async fn stored(&self, id: &WaMessageId) -> StoreResult<Option<Message>> {
        self.inner.ports.messages.get(self.session, id).await
    }
}

fn moves(write: &Write) -> Option<(WaMessageId, MessageStatus)> {
    match write {
        Write::AdvanceMessage { wa_id, status, .. } => Some((wa_id.clone(), *status)),
        _ => None,
    }
}

fn ack(message: &Message, status: MessageStatus) -> Ack<'_> {
    Ack { message: &message.wa_id, chat: &message.chat, from: &message.from, status, code: None }
}
