//! What one connection says.
//!
//! Messages are committed here, before the engine may acknowledge them. Acks are applied here too, one at a time and in
//! order. Everything else is handed to the session's task.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicI64, Ordering},
};

use async_trait::async_trait;
use domain::{
    ChatId, MessageRowId, PhoneNumber, SessionId, Timestamp, WaMessageId,
    event::{self, Ack, EventDraft},
    message::{Content, Direction, InboundMessage, Message, MessageStatus, MessageType},
    port::{EngineSignal, EngineSink, ReceiptKind, SessionPatch, StoreResult, Write},
};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::Inner;
use crate::acks::Answer;

/// Between two writes of `last_active`, milliseconds: it is for people, not for rules.
const ACTIVE_EVERY_MS: i64 = 10_000;

/// The sink of one connection; signals carry its number, so that late ones of an older connection are told apart.
pub(crate) struct Sink {
    pub(super) inner: Arc<Inner>,
    pub(super) session: SessionId,
    pub(super) generation: u64,
    pub(super) account: Arc<Mutex<Option<PhoneNumber>>>,
    pub(super) signals: mpsc::Sender<(u64, EngineSignal)>,
    pub(super) last_active: Arc<AtomicI64>,
}

#[async_trait]
impl EngineSink for Sink {
    async fn messages(&self, messages: Vec<InboundMessage>) -> StoreResult<()> {
        let account = self.account();
        let mut writes: Vec<Write> =
            messages.iter().map(|message| self.inbound(account.as_ref(), message)).collect();
        writes.extend(self.activity());
        // Not repeated here: WhatsApp keeps the messages and sends them again.
        self.inner.commit.write(writes).await.map(|_| ())
    }

    async fn signal(&self, signal: EngineSignal) {
        match signal {
            EngineSignal::ServerAck { id, refused, timestamp } => {
                self.server_ack(&id, refused, timestamp).await;
            }
            EngineSignal::Receipt { chat: _, ids, kind, timestamp } => {
                let status = match kind {
                    ReceiptKind::Delivered => MessageStatus::Delivered,
                    ReceiptKind::Read => MessageStatus::Read,
                };
                for id in ids {
                    self.receipt(&id, status, timestamp).await;
                }
            }
            other => {
                // A full queue holds the connection back; a task that is gone needs no news.
                let _ = self.signals.send((self.generation, other)).await;
            }
        }
    }
}

impl Sink {
    fn account(&self) -> Option<PhoneNumber> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn inbound(&self, account: Option<&PhoneNumber>, inbound: &InboundMessage) -> Write {
        let ports = &self.inner.ports;
        let draft =
            event::inbound_message(self.inner.commit.event_id(), self.session, account, inbound);
        let text = |key: &str| draft.data[key].as_str().unwrap_or_default().to_owned();
        let (body, kind) = match &inbound.content {
            Content::Text { body } => (Some(body.clone()), MessageType::Text),
            Content::Unknown { .. } => (None, MessageType::Unknown),
        };
        let (direction, status) = if inbound.from_me {
            (Direction::Outgoing, MessageStatus::Sent)
        } else {
            (Direction::Incoming, MessageStatus::Delivered)
        };
        let message = Message {
            id: MessageRowId::new(&*ports.entropy),
            session: self.session,
            wa_id: inbound.id.clone(),
            chat: inbound.chat.clone(),
            from: text("from"),
            to: text("to"),
            chat_name: inbound
                .push_name
                .clone()
                .filter(|_| !inbound.from_me && !inbound.chat.is_group()),
            author: inbound.chat.is_group().then(|| inbound.sender.clone()),
            body,
            kind,
            direction,
            timestamp: Some(inbound.timestamp),
            metadata: metadata(inbound),
            status,
            created_at: ports.clock.now(),
        };
        Write::InsertMessage { message: Box::new(message), events: vec![draft] }
    }

    fn activity(&self) -> Option<Write> {
        let now = self.inner.ports.clock.now();
        let last = self.last_active.load(Ordering::Relaxed);
        if now.millis() - last < ACTIVE_EVERY_MS {
            return None;
        }
        self.last_active.store(now.millis(), Ordering::Relaxed);
        let patch = SessionPatch { last_active: Some(Some(now)), ..SessionPatch::default() };
        Some(Write::PatchSession { session: self.session, patch: Box::new(patch), events: vec![] })
    }

    async fn server_ack(&self, id: &WaMessageId, refused: Option<u16>, timestamp: i64) {
        if let Some(message) = self.find(id).await {
            let at = Timestamp::from_seconds(timestamp);
            let write = match refused {
                None => self.taken(&message, at),
                Some(code) => self.refused(&message, code, at),
            };
            self.advance(vec![write], id).await;
        }
        self.inner.waiters.answer(self.session, id, Answer { refused, timestamp });
    }

    fn taken(&self, message: &Message, at: Timestamp) -> Write {
        let ack = ack(message, MessageStatus::Sent, None);
        let events = vec![
            event::message_sent(self.inner.commit.event_id(), message, at),
            event::message_ack(self.inner.commit.event_id(), self.session, &ack, at),
        ];
        self.moved(message, MessageStatus::Sent, Some(at.seconds()), Value::Null, events)
    }

    fn refused(&self, message: &Message, code: u16, at: Timestamp) -> Write {
        let events = failed_events(&self.inner, message, Some(code), at);
        self.moved(message, MessageStatus::Failed, None, failure(Some(code), refusal(code)), events)
    }

    async fn receipt(&self, id: &WaMessageId, status: MessageStatus, timestamp: i64) {
        let Some(message) = self.find(id).await else { return };
        let at = Timestamp::from_seconds(timestamp);
        let mut writes = Vec::with_capacity(2);
        if matches!(message.status, MessageStatus::Pending | MessageStatus::Failed) {
            // A receipt may overtake the server's ack, or prove a refusal wrong: `message.sent` is told once, and first.
            // Where the ack was here already this write changes nothing.
            writes.push(self.taken(&message, at));
        }
        let ack = ack(&message, status, None);
        let event = event::message_ack(self.inner.commit.event_id(), self.session, &ack, at);
        writes.push(self.moved(&message, status, None, Value::Null, vec![event]));
        self.advance(writes, id).await;
        self.inner.waiters.answer(self.session, id, Answer { refused: None, timestamp });
    }

    fn moved(
        &self,
        message: &Message,
        status: MessageStatus,
        timestamp: Option<i64>,
        metadata: Value,
        events: Vec<EventDraft>,
    ) -> Write {
        Write::AdvanceMessage {
            session: self.session,
            wa_id: message.wa_id.clone(),
            status,
            timestamp,
            metadata,
            events,
        }
    }

    async fn advance(&self, writes: Vec<Write>, id: &WaMessageId) {
        if let Err(error) = self.inner.commit.write_surely(writes).await {
            tracing::error!(session.id = %self.session, message.id = %id,
                error = &error as &dyn std::error::Error, "an ack was not stored");
        }
    }

    /// Our row of a message. Acks of messages this gateway did not send are none of its business.
    async fn find(&self, id: &WaMessageId) -> Option<Arc<Message>> {
        if let Some(message) = self.inner.waiters.message(self.session, id) {
            return Some(message);
        }
        match self.inner.ports.messages.get(self.session, id).await {
            Ok(message) => {
                message.filter(|message| message.direction == Direction::Outgoing).map(Arc::new)
            }
            Err(error) => {
                tracing::error!(session.id = %self.session, error = &error as &dyn std::error::Error,
                    "an ack could not be matched with its message");
                None
            }
        }
    }
}

fn ack<'a>(message: &'a Message, status: MessageStatus, code: Option<u16>) -> Ack<'a> {
    Ack { message: &message.wa_id, chat: &message.chat, from: &message.from, status, code }
}

/// `message.ack` with status failed, and `message.failed`.
pub(crate) fn failed_events(
    inner: &Inner,
    message: &Message,
    code: Option<u16>,
    at: Timestamp,
) -> Vec<EventDraft> {
    let ack = ack(message, MessageStatus::Failed, code);
    vec![
        event::message_ack(inner.commit.event_id(), message.session, &ack, at),
        event::message_failed(inner.commit.event_id(), message.session, &ack, at),
    ]
}

/// Why a message failed, as its row keeps it.
pub(crate) fn failure(code: Option<u16>, reason: &str) -> Value {
    json!({ "failure": { "code": code, "reason": reason } })
}

/// WhatsApp's codes in words (observed; there is no published list).
fn refusal(code: u16) -> &'static str {
    match code {
        404 => "the recipient is not on WhatsApp",
        463 => "WhatsApp restricts messages to people who have not written to this account",
        429 => "WhatsApp says this is too much at once",
        _ => "WhatsApp refused the message",
    }
}

fn metadata(message: &InboundMessage) -> Value {
    let mut map = serde_json::Map::new();
    if let Some(quoted) = &message.quoted {
        map.insert("quotedMessage".into(), json!(quoted));
    }
    if !message.mentions.is_empty() {
        let ids: Vec<&str> = message.mentions.iter().map(ChatId::as_str).collect();
        map.insert("mentionedIds".into(), json!(ids));
    }
    if let Content::Unknown { protocol_kind } = &message.content {
        map.insert("protocolKind".into(), json!(protocol_kind));
    }
    if message.backfilled {
        map.insert("backfilled".into(), json!(true));
    }
    if map.is_empty() { Value::Null } else { Value::Object(map) }
}
