//! What one connection says.
//!
//! Messages are committed here, before the engine may acknowledge them: [`batch`] turns a delivery of messages into the
//! writes of one commit, [`change`] does so for those that change another message, [`poison`] for those that cannot be
//! stored. Acks, receipts and what is learned of people go into the session's [line](super::line). Everything else is
//! handed to the session's task.

mod batch;
mod change;
mod poison;
mod row;

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicI64, Ordering},
};

use async_trait::async_trait;
use domain::{
    PhoneNumber, SessionId, WaMessageId,
    event::ChangeSource,
    message::{InboundMessage, Message},
    port::{Call, EngineSignal, EngineSink, Lease, PeopleSignal, SessionPatch, StoreResult, Write},
};
use tokio::sync::mpsc;
use tracing::Instrument as _;

use super::{
    SessionsInner,
    facts::{self, SessionFact},
    line::{Ack, LineEntry, LineTicket, Receipt},
};

use crate::{outbox::AckAnswer, spans};
use batch::InboundChunk;
pub(crate) use poison::PoisonMessages;

/// Between two writes of `last_active`, milliseconds: it is for people, not for rules.
const ACTIVE_EVERY_MS: i64 = 10_000;

/// The sink of one connection; signals carry its number, so that late ones of an older connection are told apart.
pub(crate) struct SessionSink {
    pub(super) inner: Arc<SessionsInner>,
    pub(super) session: SessionId,
    /// Under which the connection was opened: what it says is stored as long as that is the session's.
    pub(super) lease: Lease,
    pub(super) generation: u64,
    pub(super) account: Arc<Mutex<Option<PhoneNumber>>>,
    pub(super) signals: mpsc::Sender<(u64, EngineSignal)>,
    pub(super) last_active: Arc<AtomicI64>,
    /// Until it is stored, no message that came behind it is.
    pub(super) last_ack: Mutex<Option<LineTicket>>,
}

#[async_trait]
impl EngineSink for SessionSink {
    async fn messages(&self, messages: Vec<InboundMessage>) -> StoreResult<()> {
        self.inner.activities.heard(self.session);
        let span = spans::stanza(self.session, messages.len());
        let taken = self.take(messages).instrument(span.clone()).await;
        taken.inspect_err(|_| spans::failed(&span, "ledger"))
    }

    async fn knows(&self, id: &WaMessageId) -> StoreResult<bool> {
        Ok(self.inner.ports.store.message(self.session, id).await?.is_some())
    }

    async fn signal(&self, signal: EngineSignal) {
        self.inner.activities.heard(self.session);
        let heard = self.inner.ports.clock.now();
        match signal {
            EngineSignal::ServerAck { id, refused, timestamp } => {
                if self.is_of_change(&id, AckAnswer { refused, timestamp, heard }) {
                    return;
                }
                // WhatsApp waits for no word that it was heard, so many are stored together. Of one that is lost the
                // row is still pending, and it is asked for again.
                let entry = LineEntry::Ack(Ack { id, refused, timestamp, heard });
                let ticket = self.inner.line_up_in_turn(&self.lease, entry).await;
                *self.last_ack.lock().unwrap_or_else(PoisonError::into_inner) = Some(ticket);
            }
            EngineSignal::Receipt { chat, participant, mut ids, kind, timestamp } => {
                ids.retain(|id| {
                    !self.is_of_change(id, AckAnswer { refused: None, timestamp, heard })
                });
                if !ids.is_empty() {
                    let me = self.me();
                    let receipt = Receipt { chat, participant, ids, kind, timestamp, heard, me };
                    self.line_up(LineEntry::Receipt(receipt)).await;
                }
            }
            EngineSignal::Limits(news) => {
                self.inner.waiters.cold.learn(self.session, &news, heard);
                self.inner.line_up_in_turn(&self.lease, LineEntry::Limits(news)).await;
            }
            EngineSignal::People(PeopleSignal::Picture(id)) => {
                let id = self.inner.one_name(self.session, id).await;
                self.inner.pictures.forget(self.session, &id);
            }
            other => match facts::fact(other) {
                Ok(SessionFact::Group(mut news)) => {
                    // Asked here, once: the entry may be written several times.
                    if self.inner.echoes.is_ours(self.session, &news, heard) {
                        news.source = Some(ChangeSource::Api);
                    }
                    let entry = LineEntry::Fact(SessionFact::Group(news));
                    self.inner.line_up_in_turn(&self.lease, entry).await;
                }
                Ok(fact) => {
                    let ringing = self.notice(&fact).await;
                    self.inner.line_up_in_turn(&self.lease, LineEntry::Fact(fact)).await;
                    // Behind the news of it.
                    if let Some(call) = ringing {
                        self.inner.rings(&self.lease, &call);
                    }
                }
                Err(signal) => {
                    // A full queue holds the connection back; a task that is gone needs no news.
                    let _ = self.signals.send((self.generation, signal)).await;
                }
            },
        }
    }
}

impl SessionSink {
    /// Stores messages behind the acks that came before them.
    async fn take(&self, messages: Vec<InboundMessage>) -> StoreResult<()> {
        self.acks_stored().await;
        // Not repeated here: WhatsApp keeps the messages and sends them again.
        match self.store(messages.clone(), self.activity()).await {
            Err(error) if error.kind.is_of_the_record() => self.one_by_one(messages).await,
            done => done,
        }
    }

    /// Stores messages in one commit, with something else.
    async fn store(&self, messages: Vec<InboundMessage>, beside: Option<Write>) -> StoreResult<()> {
        let mut batch = InboundChunk::new(self);
        for message in messages {
            batch.add(message).await?;
        }
        batch.push(beside);
        batch.commit().await
    }

    /// Remembers what is kept beside the ledger; gives a call that rings.
    async fn notice(&self, fact: &SessionFact) -> Option<Call> {
        match fact {
            SessionFact::Presence(change) => {
                let mut change = change.clone();
                change.chat = self.inner.one_name(self.session, change.chat).await;
                change.of.person = self.inner.one_name(self.session, change.of.person).await;
                self.inner.presences.note(self.session, &change, self.inner.ports.clock.now());
                None
            }
            SessionFact::Call(call) => call.outcome.is_none().then(|| call.clone()),
            _ => None,
        }
    }

    /// The acks that were heard are stored, unless the ledger keeps them waiting.
    async fn acks_stored(&self) {
        let ticket = self.last_ack.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut ticket) = ticket {
            ticket.stored_soon(&self.inner).await;
        }
    }

    /// Stored before the next is heard, unless the ledger keeps it waiting.
    async fn line_up(&self, entry: LineEntry) {
        let mut ticket = self.inner.line_up_in_turn(&self.lease, entry).await;
        ticket.stored_soon(&self.inner).await;
    }

    /// Answers the sender of an edit, a reaction or another change; `false` when it is about a message of its own.
    fn is_of_change(&self, id: &WaMessageId, answer: AckAnswer) -> bool {
        let waiters = &self.inner.waiters;
        waiters.is_carrier(self.session, id) && waiters.answer(self.session, id, answer)
    }

    async fn stored(&self, id: &WaMessageId) -> StoreResult<Option<Message>> {
        self.inner.ports.store.message(self.session, id).await
    }

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
