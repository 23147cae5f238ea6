//! Sends that may be asked for twice and happen once.
//!
//! While this process works on a request, its key is held here. The ledger takes it in the commit that stores the
//! message's row, under the lease of the request, and refuses the row when another message has the key: no record means
//! that nothing happened. A record is known for a day and is answered from its row. Only the session's owner works on
//! requests; others tell what is known.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use domain::{
    Clock, SessionId, Timestamp, WaMessageId,
    idempotency::{IdempotencyRecord, IdempotencyState, PENDING_MAX},
    message::MessageStatus,
    port::{IdempotencyStore, KeyOfSend, Lease, MessageStore},
};
use serde_json::{Value, json};

use crate::{
    Ports,
    messages::{IdempotencyKey, SendError, Sent},
};

type Name = (SessionId, String);

/// Keys, in the ledger and in use. Cheap to clone.
#[derive(Clone)]
pub(crate) struct IdempotencyKeys {
    store: Arc<dyn IdempotencyStore>,
    messages: Arc<dyn MessageStore>,
    clock: Arc<dyn Clock>,
    in_use: Arc<Mutex<HashMap<Name, InUse>>>,
}

struct InUse {
    fingerprint: String,
    since: Timestamp,
}

/// What asking for a key came to.
pub(crate) enum KeyStart {
    /// The request is to be worked on.
    Fresh(HeldKey),
    /// It was, with this answer.
    Replay(Sent),
}

/// A key in use.
pub(crate) struct HeldKey {
    keys: IdempotencyKeys,
    name: Name,
    lease: Lease,
}

/// What a record left by an earlier life comes to.
enum KeyRecord {
    /// Nobody has used the key.
    Free,
    Replay(Sent),
}

impl IdempotencyKeys {
    pub(crate) fn new(ports: &Ports) -> Self {
        Self {
            store: ports.store.clone(),
            messages: ports.store.clone(),
            clock: ports.clock.clone(),
            in_use: Arc::default(),
        }
    }

    /// Holds a key, or says what is known under it. Without the right to run the session none is held.
    pub(crate) async fn begin(
        &self,
        session: SessionId,
        lease: Result<Lease, SendError>,
        key: &IdempotencyKey,
    ) -> Result<KeyStart, SendError> {
        let lease = match lease {
            Ok(lease) => lease,
            Err(refused) => {
                let known = self.known(session, key).await?;
                return known.map(KeyStart::Replay).ok_or(refused);
            }
        };
        let held = self.hold(&lease, key)?;
        let (store, now) = (&self.store, self.clock.now());
        let record = store.idempotency_record(session, &key.key, now).await;
        if let Some(record) = record.map_err(SendError::Store)? {
            match self.tells(session, key, &record, now).await? {
                KeyRecord::Replay(sent) => return Ok(KeyStart::Replay(sent)),
                KeyRecord::Free => {
                    let freed = store.free_idempotency_key(&lease, &key.key).await;
                    freed.map_err(|error| SendError::before_stored(session, error))?;
                }
            }
        }
        Ok(KeyStart::Fresh(held))
    }

    /// The answer that is known under a key, for who may not work on the request.
    async fn known(
        &self,
        session: SessionId,
        key: &IdempotencyKey,
    ) -> Result<Option<Sent>, SendError> {
        let now = self.clock.now();
        let found = self
            .store
            .idempotency_record(session, &key.key, now)
            .await
            .map_err(SendError::Store)?;
        let Some(record) = found else { return Ok(None) };
        match self.tells(session, key, &record, now).await? {
            KeyRecord::Replay(sent) => Ok(Some(sent)),
            // The owner may be working on it.
            KeyRecord::Free => Ok(None),
        }
    }

    async fn tells(
        &self,
        session: SessionId,
        key: &IdempotencyKey,
        record: &IdempotencyRecord,
        now: Timestamp,
    ) -> Result<KeyRecord, SendError> {
        if record.fingerprint != key.fingerprint {
            return Err(SendError::KeyReused);
        }
        match &record.state {
            IdempotencyState::Done(answer) => {
                read(answer).map(KeyRecord::Replay).ok_or(SendError::KeyOutcomeUnknown)
            }
            IdempotencyState::Unknown => Err(SendError::KeyOutcomeUnknown),
            IdempotencyState::Open => self.left(session, record, now).await,
        }
    }

    /// Holds a key that nobody in this process holds.
    fn hold(&self, lease: &Lease, key: &IdempotencyKey) -> Result<HeldKey, SendError> {
        let (name, now) = ((lease.session, key.key.clone()), self.clock.now());
        let mut in_use = self.lock();
        if let Some(other) = in_use.get(&name) {
            return Err(if other.fingerprint != key.fingerprint {
                SendError::KeyReused
            } else {
                still_open(other.since, now)
            });
        }
        in_use.insert(name.clone(), InUse { fingerprint: key.fingerprint.clone(), since: now });
        Ok(HeldKey { keys: self.clone(), name, lease: lease.clone() })
    }

    /// A record that nobody works on, by its message's row.
    async fn left(
        &self,
        session: SessionId,
        record: &IdempotencyRecord,
        now: Timestamp,
    ) -> Result<KeyRecord, SendError> {
        let Some(id) = &record.message else { return Ok(KeyRecord::Free) };
        let row = self.messages.message(session, id).await.map_err(SendError::Store)?;
        // It was there: its chat was cleared since.
        let Some(row) = row else { return Err(SendError::KeyOutcomeUnknown) };
        match row.status {
            MessageStatus::Failed => Ok(KeyRecord::Free),
            MessageStatus::Pending => Err(still_open(record.created_at, now)),
            MessageStatus::Sent | MessageStatus::Delivered | MessageStatus::Read => {
                let timestamp = row.timestamp.unwrap_or_else(|| row.created_at.seconds());
                let status = MessageStatus::Sent;
                Ok(KeyRecord::Replay(Sent { id: row.wa_id, timestamp, status, resolved_to: None }))
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Name, InUse>> {
        self.in_use.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn still_open(since: Timestamp, now: Timestamp) -> SendError {
    if now.since(since) > PENDING_MAX {
        SendError::KeyOutcomeUnknown
    } else {
        SendError::KeyInProgress
    }
}

impl HeldKey {
    /// The key as its message takes it.
    pub(crate) fn of_send(&self, key: &IdempotencyKey) -> KeyOfSend {
        let IdempotencyKey { key, fingerprint } = key.clone();
        KeyOfSend { key, fingerprint, epoch: self.lease.epoch }
    }

    /// Records what the message's row does not tell: that it went to another spelling of the number.
    pub(crate) async fn end(self, result: &Result<Sent, SendError>) {
        let Ok(sent) = result else { return };
        if sent.resolved_to.is_none() || sent.status == MessageStatus::Pending {
            return;
        }
        let ((session, key), lease) = (&self.name, &self.lease);
        let stored = self.keys.store.finish_idempotency_key(lease, key, &write(sent)).await;
        if let Err(error) = stored {
            tracing::error!(session.id = %session, error = &error as &dyn std::error::Error,
                "the spelling that an idempotent send went to was not stored; its row tells the rest");
        }
    }
}

impl Drop for HeldKey {
    fn drop(&mut self) {
        self.keys.lock().remove(&self.name);
    }
}

fn write(sent: &Sent) -> Value {
    let mut answer =
        json!({ "messageId": sent.id, "timestamp": sent.timestamp, "status": sent.status });
    if let Some(chat) = &sent.resolved_to {
        answer["resolvedTo"] = json!(chat);
    }
    answer
}

fn read(answer: &Value) -> Option<Sent> {
    Some(Sent {
        id: WaMessageId::from_wire(answer["messageId"].as_str()?),
        timestamp: answer["timestamp"].as_i64()?,
        status: MessageStatus::parse(answer["status"].as_str()?)?,
        resolved_to: answer["resolvedTo"].as_str().and_then(|chat| chat.parse().ok()),
    })
}
