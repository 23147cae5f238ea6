//! Messages that came in and can never be stored: the fault is in them, not in the ledger.
//!
//! WhatsApp sends a message until it is acknowledged, and nothing of its session comes in behind one that is not. So
//! after a few tries it is put aside with everything that is known of it, which is said in the log, in the audit, in
//! the metrics and in the health; then it is acknowledged.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use domain::{
    SessionId, WaMessageId,
    message::InboundMessage,
    port::{Quarantined, StoreError, StoreErrorKind, StoreResult},
};

use super::SessionSink;

/// Tries before a message is put aside. Each failed one ends the connection, so they are some time apart.
const TRIES: u32 = 3;
/// Messages whose tries are counted, of all sessions. When full all are forgotten: they get their tries once more.
const MESSAGES_MAX: usize = 1000;

/// How often messages could not be stored, in this life of the process.
#[derive(Default)]
pub(crate) struct PoisonMessages(Mutex<HashMap<(SessionId, WaMessageId), u32>>);

impl PoisonMessages {
    /// Counts a failed try; whether that is enough.
    fn is_enough(&self, session: SessionId, id: &WaMessageId) -> bool {
        let mut tries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tries.len() >= MESSAGES_MAX {
            tries.clear();
        }
        let count = tries.entry((session, id.clone())).or_default();
        *count += 1;
        *count >= TRIES
    }

    fn forget(&self, session: SessionId, id: &WaMessageId) {
        let mut tries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !tries.is_empty() {
            tries.remove(&(session, id.clone()));
        }
    }
}

impl SessionSink {
    /// Stores messages of which at least one cannot be stored, up to that one; it is put aside when it had its tries.
    pub(super) async fn one_by_one(&self, messages: Vec<InboundMessage>) -> StoreResult<()> {
        for message in messages {
            // Alone: what else is written with a message must not be taken for its fault.
            let stored = self.store(vec![message.clone()], None).await;
            match stored {
                Ok(()) => self.inner.poison.forget(self.session, &message.id),
                Err(error) if !error.kind.is_of_the_record() => return Err(error),
                Err(error) if self.inner.poison.is_enough(self.session, &message.id) => {
                    self.put_aside(&message, &error).await?;
                    self.inner.poison.forget(self.session, &message.id);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn put_aside(&self, message: &InboundMessage, error: &StoreError) -> StoreResult<()> {
        let content = serde_json::to_vec(message).map_err(|_| unwritable())?;
        let quarantined = Quarantined {
            session: self.session,
            kind: "message",
            id: message.id.as_str().to_owned(),
            content,
            reason: error.to_string(),
            at: self.inner.ports.clock.now(),
        };
        let fresh = self.inner.ledger.quarantine(quarantined).await?;
        if fresh {
            tracing::error!(
                session.id = %self.session,
                error = error as &dyn std::error::Error,
                "a message that cannot be stored was put aside and acknowledged"
            );
        }
        Ok(())
    }
}

fn unwritable() -> StoreError {
    StoreError { kind: StoreErrorKind::Corrupt, doing: "putting a message aside", source: None }
}
