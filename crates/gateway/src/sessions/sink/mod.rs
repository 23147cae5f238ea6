//! What one connection says.
//!
//! Messages are committed here, before the engine may acknowledge them: [`batch`] turns a delivery of messages into the
//! writes of one commit, [`change`] does so for those that change another message. Acks are applied here too ([`ack`]),
//! one at a time and in order. Everything else is handed to the session's task.

mod ack;
mod batch;
mod change;
mod row;

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicI64, Ordering},
};

use async_trait::async_trait;
use domain::{
    PhoneNumber, SessionId, WaMessageId,
    message::InboundMessage,
    port::{EngineSignal, EngineSink, SessionPatch, StoreResult, Write},
};
use tokio::sync::mpsc;

use super::Inner;
use batch::Batch;

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
        let mut batch = Batch::new(self);
        for message in messages {
            batch.add(message).await?;
        }
        batch.push(self.activity());
        // Not repeated here: WhatsApp keeps the messages and sends them again.
        batch.commit().await
    }

    async fn knows(&self, id: &WaMessageId) -> StoreResult<bool> {
        Ok(self.inner.ports.messages.get(self.session, id).await?.is_some())
    }

    async fn signal(&self, signal: EngineSignal) {
        match signal {
            EngineSignal::ServerAck { id, refused, timestamp } => {
                self.server_ack(&id, refused, timestamp).await;
            }
            EngineSignal::Receipt { chat, ids, kind, timestamp } => {
                self.receipt(&chat, &ids, kind, timestamp).await;
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

    /// The account's own chat id, or `me`.
    fn me(&self) -> String {
        self.account().map_or_else(|| "me".to_owned(), |phone| phone.chat().to_string())
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
}
