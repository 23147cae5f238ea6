//! What the network saw, for assertions.
//!
//! Written by the server and the phones while they work, read as a copy with [`crate::Network::record`]. Every list is
//! bounded by [`RECORD_MAX`]; when one is full its oldest entry is forgotten and `forgotten` counts it.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use serde::Serialize;

use crate::noise::HandshakePattern;

/// Entries kept per list: a crash test passes a few thousand messages, so nothing is forgotten in practice, and a
/// sandbox that runs for weeks stays below about 20 MB.
pub const RECORD_MAX: usize = 50_000;

/// A copy of what the network saw so far.
#[derive(Debug, Clone, Default, Serialize)]
pub struct NetworkRecord {
    /// Stanzas and requests the network does not know. A test should find none.
    pub unknown: Vec<String>,
    /// Requests that were understood but could not be answered, with the reason. A test should find none.
    pub unanswered: Vec<String>,
    /// Frames of linked or pairing clients that could not be decrypted or decoded. A test should find none.
    pub unreadable: Vec<String>,
    /// Handshakes and logins that were refused, with the reason.
    pub refused: Vec<String>,
    /// Finished handshakes by pattern: `XX` or `IK`.
    pub handshakes: BTreeMap<String, u64>,
    /// Requests by name and type, e.g. `usync get <usync>`.
    pub requests: BTreeMap<String, u64>,
    /// Chat messages that were accepted and relayed, from phones and from linked devices, oldest first. A message sent
    /// again under the same id is listed again.
    pub messages: Vec<AcceptedMessage>,
    /// Message stanzas refused, with their code.
    pub nacks: Vec<Nack>,
    /// Receipts that were relayed, oldest first.
    pub receipts: Vec<SeenReceipt>,
    /// Calls that linked devices refused, oldest first.
    pub refused_calls: Vec<RefusedCall>,
    /// Typing, recording, or neither, that was relayed, oldest first.
    pub typing: Vec<SeenTyping>,
    /// Who said to be online, or not, oldest first.
    pub presences: Vec<SeenPresence>,
    /// Changes of accounts' shared state that linked devices made, verified and decrypted, oldest first.
    pub marks: Vec<AppStateChange>,
    /// Messages a phone received although it had them already: a person would have seen them twice.
    pub duplicates: Vec<DuplicateMessage>,
    /// Messages a phone could not decrypt, with the reason. Each was answered by a retry receipt.
    pub undecryptable: Vec<String>,
    /// Messages from a linked device to its own phone that are not chat: kind of request only.
    pub peer_requests: Vec<String>,
    /// Stanzas delivered again after a login, because the device had not acknowledged them.
    pub redelivered: u64,
    /// Links closed by an injected fault.
    pub faults_struck: u64,
    /// Stanzas refused because a queue or mailbox was full. A test should find zero.
    pub overflowed: u64,
    /// Entries dropped from a full list of this record.
    pub forgotten: u64,
}

impl NetworkRecord {
    /// Whether everything that clients said was read, understood and answered; the error lists what was not.
    pub fn answers_everything(&self) -> anyhow::Result<()> {
        let lists = [
            ("unknown", &self.unknown),
            ("unanswered", &self.unanswered),
            ("unreadable", &self.unreadable),
        ];
        let left: Vec<String> = lists
            .iter()
            .flat_map(|(name, list)| list.iter().map(move |entry| format!("{name}: {entry}")))
            .collect();
        anyhow::ensure!(left.is_empty(), "the network did not answer everything: {left:?}");
        Ok(())
    }
}

/// A message stanza the network accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AcceptedMessage {
    /// The sender's message id.
    pub id: String,
    /// Phone number of the sending account.
    pub from_phone: String,
    /// Sending device, 0 for the phone itself.
    pub from_device: u16,
    /// Address it was sent to, as the sender wrote it.
    pub to: String,
    /// When it was accepted, epoch milliseconds.
    pub at_millis: i64,
}

/// A message stanza the network refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Nack {
    /// The sender's message id.
    pub id: String,
    /// Code in the ack.
    pub code: u16,
}

/// A message that reached a phone a second time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DuplicateMessage {
    /// The sender's message id.
    pub id: String,
    /// Phone number of the account that received it twice.
    pub phone: String,
}

/// A receipt the network relayed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SeenReceipt {
    /// Ids of the messages it speaks of.
    pub ids: Vec<String>,
    /// Phone number of the account that sent the receipt.
    pub from_phone: String,
    /// Device that sent the receipt, 0 for the phone.
    pub from_device: u16,
    /// Address it was sent to.
    pub to: String,
    /// `delivery` when the stanza names no type, else the type: `read`, `inactive`, `sender`, `retry`…
    pub kind: String,
}

/// A call that a linked device refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RefusedCall {
    /// WhatsApp's id of the call.
    pub id: String,
    /// Phone number of the account that was called.
    pub phone: String,
    /// Device that refused it.
    pub device: u16,
    /// Who was told, as the device wrote it.
    pub to: String,
}

/// What somebody showed in a chat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SeenTyping {
    /// Phone number of the account that showed it.
    pub from_phone: String,
    /// Device that sent it, 0 for the phone.
    pub from_device: u16,
    /// Address it was sent to.
    pub to: String,
    /// `composing`, `recording` or `paused`.
    pub state: String,
}

/// What a device showed of being online.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SeenPresence {
    /// Phone number of the account.
    pub phone: String,
    /// Device that showed it, 0 for the phone.
    pub device: u16,
    /// `available` or `unavailable`.
    pub state: String,
}

/// A change of an account's shared state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AppStateChange {
    /// Phone number of the account.
    pub phone: String,
    /// Device that made it.
    pub device: u16,
    /// Collection it belongs to.
    pub collection: String,
    /// What is changed, e.g. `["archive", "5511990000002@s.whatsapp.net"]`.
    pub index: Vec<String>,
    /// What it is now, e.g. `{"archived": true}`; null when it was removed.
    pub value: serde_json::Value,
}

/// The record while it is written.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    record: Mutex<NetworkRecord>,
}

impl Recorder {
    pub(crate) fn snapshot(&self) -> NetworkRecord {
        self.with(|record| record.clone())
    }

    fn with<T>(&self, change: impl FnOnce(&mut NetworkRecord) -> T) -> T {
        change(&mut self.record.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn unknown(&self, what: String) {
        tracing::warn!(what, "the network does not know this");
        self.with(|r| push(&mut r.unknown, what, &mut r.forgotten));
    }

    pub(crate) fn unanswered(&self, what: String) {
        tracing::warn!(what, "the network could not answer this");
        self.with(|r| push(&mut r.unanswered, what, &mut r.forgotten));
    }

    pub(crate) fn unreadable(&self, what: String) {
        tracing::warn!(what, "the network could not read this");
        self.with(|r| push(&mut r.unreadable, what, &mut r.forgotten));
    }

    pub(crate) fn refused(&self, what: String) {
        tracing::info!(what, "the network refused this");
        self.with(|r| push(&mut r.refused, what, &mut r.forgotten));
    }

    pub(crate) fn refused_call(&self, refused: RefusedCall) {
        self.with(|r| push(&mut r.refused_calls, refused, &mut r.forgotten));
    }

    pub(crate) fn handshake(&self, pattern: HandshakePattern) {
        self.with(|r| *r.handshakes.entry(pattern.as_str().to_owned()).or_default() += 1);
    }

    pub(crate) fn request(&self, name: String) {
        self.with(|r| *r.requests.entry(name).or_default() += 1);
    }

    pub(crate) fn message(&self, message: AcceptedMessage) {
        self.with(|r| push(&mut r.messages, message, &mut r.forgotten));
    }

    pub(crate) fn nack(&self, nack: Nack) {
        self.with(|r| push(&mut r.nacks, nack, &mut r.forgotten));
    }

    pub(crate) fn receipt(&self, receipt: SeenReceipt) {
        self.with(|r| push(&mut r.receipts, receipt, &mut r.forgotten));
    }

    pub(crate) fn typing(&self, typing: SeenTyping) {
        self.with(|r| push(&mut r.typing, typing, &mut r.forgotten));
    }

    pub(crate) fn presence(&self, presence: SeenPresence) {
        self.with(|r| push(&mut r.presences, presence, &mut r.forgotten));
    }

    pub(crate) fn mark(&self, mark: AppStateChange) {
        self.with(|r| push(&mut r.marks, mark, &mut r.forgotten));
    }

    pub(crate) fn duplicate(&self, duplicate: DuplicateMessage) {
        self.with(|r| push(&mut r.duplicates, duplicate, &mut r.forgotten));
    }

    pub(crate) fn undecryptable(&self, what: String) {
        tracing::info!(what, "a phone could not decrypt");
        self.with(|r| push(&mut r.undecryptable, what, &mut r.forgotten));
    }

    pub(crate) fn peer_request(&self, kind: String) {
        self.with(|r| push(&mut r.peer_requests, kind, &mut r.forgotten));
    }

    pub(crate) fn redelivered(&self, stanzas: u64) {
        self.with(|r| r.redelivered += stanzas);
    }

    pub(crate) fn fault_struck(&self) {
        self.with(|r| r.faults_struck += 1);
    }

    pub(crate) fn overflowed(&self) {
        self.with(|r| r.overflowed += 1);
    }
}

fn push<T>(list: &mut Vec<T>, entry: T, forgotten: &mut u64) {
    if list.len() >= RECORD_MAX {
        // A tenth at once, so that a full list does not move all its entries for every new one.
        let oldest = RECORD_MAX / 10;
        list.drain(..oldest);
        *forgotten += oldest as u64;
    }
    list.push(entry);
}
