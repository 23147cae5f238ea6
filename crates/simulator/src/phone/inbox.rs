//! What a phone has decrypted, and how tests wait for it.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;
use whatsapp_rust::wacore_binary::Jid;
use whatsapp_rust::waproto::whatsapp as wa;

/// Messages a phone remembers. A crash test delivers a few thousand; when full the oldest is forgotten.
pub const INBOX_MAX: usize = 20_000;

/// A message a phone decrypted.
#[derive(Debug, Clone)]
pub struct Received {
    /// The sender's message id.
    pub id: String,
    /// Address of the sender without device, as the message carried it: by phone number or by LID.
    pub from: String,
    /// Phone number of the sender.
    pub from_phone: String,
    /// Device that sent it, 0 for a phone.
    pub from_device: u16,
    /// The group it was sent to, or `None` for a direct message.
    pub group: Option<String>,
    /// Whether a device linked to this very account sent it: the phone then holds its copy.
    pub from_me: bool,
    /// The recipient when `from_me`, as the sending device wrote it.
    pub recipient: Option<String>,
    /// Its text, empty when it carries none.
    pub text: String,
    /// The whole message.
    pub message: wa::Message,
    /// The address receipts go to.
    pub(crate) sender: Jid,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Inbox {
    list: Mutex<List>,
    changed: Notify,
}

#[derive(Default)]
struct List {
    messages: VecDeque<Received>,
    known: HashSet<(String, String)>,
}

impl Inbox {
    /// Adds a message. False when the phone had it already.
    pub(crate) fn add(&self, message: Received) -> bool {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        if !list.known.insert((message.from_phone.clone(), message.id.clone())) {
            return false;
        }
        if list.messages.len() >= INBOX_MAX
            && let Some(oldest) = list.messages.pop_front()
        {
            list.known.remove(&(oldest.from_phone, oldest.id));
        }
        list.messages.push_back(message);
        drop(list);
        self.changed.notify_waiters();
        true
    }

    pub(crate) fn all(&self) -> Vec<Received> {
        let list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.messages.iter().cloned().collect()
    }

    pub(crate) fn find(&self, wanted: impl Fn(&Received) -> bool) -> Option<Received> {
        let list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.messages.iter().find(|message| wanted(message)).cloned()
    }

    /// Waits until a message fits. Cancel safe.
    pub(crate) async fn wait_for(&self, wanted: impl Fn(&Received) -> bool) -> Received {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Listening starts before looking, so that a message in between is not missed.
            changed.as_mut().enable();
            if let Some(found) = self.find(&wanted) {
                return found;
            }
            changed.await;
        }
    }
}
