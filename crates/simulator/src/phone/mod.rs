//! The primary phones.
//!
//! A phone is a real participant of the Signal protocol (device 0 of its account). It has a mailbox, which the server
//! fills, and one task that works it off in order; sending happens in the caller's task. Both hold the phone's own
//! lock while they encrypt or decrypt, so the ciphertexts of one phone leave in the order they were made, and phones
//! never wait for each other.
//!
//! * `signal`: sessions and sender keys.
//! * `outbound`: encrypting for every device of an account or group, and again after a retry receipt.
//! * `inbound`: decrypting, receipts, retry receipts, and the automatic [`Behaviour`].
//! * `history`: what a device that was just linked is told of the past.
//! * `inbox`: what was decrypted. `polls`: what it takes to vote.

mod behaviour;
pub(crate) mod history;
mod inbound;
mod inbox;
mod outbound;
mod polls;
mod signal;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, PoisonError, RwLock},
};

use inbox::Inbox;
use outbound::SentMessages;
use polls::KnownPolls;
use signal::SignalPeer;
use tokio::sync::{Mutex, mpsc};
use whatsapp_rust::wacore_binary::Node;

pub use behaviour::{AutoAnswer, Behaviour};
pub(crate) use inbound::confirm_read;
pub use inbox::{INBOX_MAX, MessageRef, ReceivedMessage};
pub(crate) use outbound::{PhoneMessage, app_key_fingerprint, check_address, peer_letter, send};

use crate::{hub::Hub, keys::PhoneKeys, state::DeviceKey};

/// Stanzas waiting for one phone. When full, a new one is refused and counted as `overflowed`: the phone's task works
/// thousands per second, so this happens only when nothing runs it.
const MAILBOX_MAX: usize = 65_536;

/// Something that arrives at a phone.
pub(crate) enum PhoneInput {
    /// A message or receipt from the server.
    Stanza(Arc<Node>),
    /// A device was just linked: it gets the app-state key and the history.
    Linked(u16),
}

/// The way to a phone, held by its account.
#[derive(Clone)]
pub(crate) struct PhoneHandle {
    mailbox: mpsc::Sender<PhoneInput>,
    pub(crate) phone: Arc<Phone>,
}

impl PhoneHandle {
    /// Puts something into the mailbox. False when it is full or the network has stopped.
    pub(crate) fn give(&self, input: PhoneInput) -> bool {
        self.mailbox.try_send(input).is_ok()
    }
}

/// The primary phone of an account: device 0.
pub(crate) struct Phone {
    pub(crate) me: DeviceKey,
    pub(crate) inbox: Inbox,
    pub(crate) polls: KnownPolls,
    behaviour: RwLock<Behaviour>,
    secrets: Mutex<PhoneSecrets>,
}

/// What changes with every message.
struct PhoneSecrets {
    signal: SignalPeer,
    sent: SentMessages,
    /// Devices that hold this phone's sender key, by group.
    group_readers: HashMap<String, HashSet<DeviceKey>>,
    /// Retry receipts sent, by sender and message id, newest last.
    retries: VecDeque<((DeviceKey, String), u8)>,
}

impl Phone {
    /// Makes a phone and the task that works its mailbox off.
    pub(crate) fn start(hub: &Arc<Hub>, number: &str, keys: &Arc<PhoneKeys>) -> PhoneHandle {
        let (mailbox, mut arriving) = mpsc::channel(MAILBOX_MAX);
        let phone = Arc::new(Self {
            me: DeviceKey::new(number, 0),
            inbox: Inbox::default(),
            polls: KnownPolls::default(),
            behaviour: RwLock::default(),
            secrets: Mutex::new(PhoneSecrets {
                signal: SignalPeer::new(keys),
                sent: SentMessages::default(),
                group_readers: HashMap::new(),
                retries: VecDeque::new(),
            }),
        });
        let worker = phone.clone();
        let hub_of_worker = hub.clone();
        hub.tasks.spawn(async move {
            let stop = hub_of_worker.stop.clone();
            let work = async {
                while let Some(input) = arriving.recv().await {
                    // On the heap: the state of a decryption is large, and there is one such task per account.
                    Box::pin(inbound::take(&hub_of_worker, &worker, input)).await;
                }
            };
            let _ = stop.run_until_cancelled(work).await;
        });
        PhoneHandle { mailbox, phone }
    }

    pub(crate) fn behave(&self, behaviour: Behaviour) {
        *self.behaviour.write().unwrap_or_else(PoisonError::into_inner) = behaviour;
    }

    fn behaviour(&self) -> Behaviour {
        self.behaviour.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
