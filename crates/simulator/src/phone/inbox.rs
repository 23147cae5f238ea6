//! What a phone has decrypted, and how tests wait for it.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Mutex, PoisonError},
};

use tokio::sync::Notify;
use whatsapp_rust::{
    wacore::proto_helpers::MessageExt as _,
    wacore_binary::Jid,
    waproto::whatsapp::{self as wa, message::protocol_message},
};

/// Messages a phone remembers. A crash test delivers a few thousand; when full the oldest is forgotten.
pub const INBOX_MAX: usize = 20_000;

/// A message a phone decrypted.
#[derive(Debug, Clone)]
pub struct ReceivedMessage {
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
    /// The stanza's `edit` attribute: what kind of change the sender says this is.
    pub edit: Option<String>,
    /// When the server took it, epoch seconds.
    pub at_seconds: u64,
    /// Its text or caption, empty when it carries none.
    pub text: String,
    /// The message as it was decrypted, envelopes included.
    pub message: wa::Message,
    /// The address receipts go to.
    pub(crate) sender: Jid,
}

/// A message as others refer to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageRef {
    /// The id that the caller gave.
    pub id: String,
    /// Phone number of who wrote it.
    pub author: String,
}

impl ReceivedMessage {
    /// This message, to react to it and the like.
    pub fn reference(&self) -> MessageRef {
        MessageRef { id: self.id.clone(), author: self.from_phone.clone() }
    }

    /// What it is, in one word: `text`, `image`, `voice`, `poll`, `reaction`, `edit`, `revoke`, …
    pub fn kind(&self) -> &'static str {
        kind(self.message.get_base_message())
    }

    /// The message it is about: of a reaction, edit, revocation, pin or vote.
    pub fn target(&self) -> Option<String> {
        key(self.message.get_base_message())?.id.clone()
    }

    /// The whole name of the message it is about, as its sender wrote it.
    pub fn target_key(&self) -> Option<&wa::MessageKey> {
        key(self.message.get_base_message())
    }

    /// The emoji of a reaction, or the new text of an edit.
    pub fn change(&self) -> Option<String> {
        let base = self.message.get_base_message();
        if let Some(reaction) = base.reaction_message.as_option() {
            return reaction.text.clone();
        }
        let protocol = base.protocol_message.as_option()?;
        let edited = protocol.edited_message.as_option()?;
        edited.get_base_message().text_content().map(str::to_owned)
    }
}

fn key(base: &wa::Message) -> Option<&wa::MessageKey> {
    let protocol = base.protocol_message.as_option().and_then(|message| message.key.as_option());
    let reaction = base.reaction_message.as_option().and_then(|message| message.key.as_option());
    let pin = base.pin_in_chat_message.as_option().and_then(|message| message.key.as_option());
    let vote = base.poll_update_message.as_option();
    let vote = vote.and_then(|message| message.poll_creation_message_key.as_option());
    protocol.or(reaction).or(pin).or(vote)
}

fn kind(base: &wa::Message) -> &'static str {
    if let Some(audio) = base.audio_message.as_option() {
        return if audio.ptt == Some(true) { "voice" } else { "audio" };
    }
    if let Some(protocol) = base.protocol_message.as_option() {
        return match protocol.r#type {
            Some(protocol_message::Type::REVOKE) => "revoke",
            Some(protocol_message::Type::MESSAGE_EDIT) => "edit",
            _ => "protocol",
        };
    }
    let polls = [
        &base.poll_creation_message,
        &base.poll_creation_message_v2,
        &base.poll_creation_message_v3,
    ];
    let kinds = [
        (base.conversation.is_some() || base.extended_text_message.is_set(), "text"),
        (base.image_message.is_set(), "image"),
        (base.video_message.is_set(), "video"),
        (base.document_message.is_set(), "document"),
        (base.sticker_message.is_set(), "sticker"),
        (base.location_message.is_set(), "location"),
        (base.contact_message.is_set() || base.contacts_array_message.is_set(), "contact"),
        (polls.iter().any(|poll| poll.is_set()), "poll"),
        (base.poll_update_message.is_set(), "vote"),
        (base.reaction_message.is_set(), "reaction"),
        (base.pin_in_chat_message.is_set(), "pin"),
    ];
    kinds.into_iter().find(|(is, _)| *is).map_or("unknown", |(_, kind)| kind)
}

/// The messages that a phone has decrypted, for tests to wait for.
#[derive(Default)]
pub(crate) struct Inbox {
    list: Mutex<InboxList>,
    changed: Notify,
}

#[derive(Default)]
struct InboxList {
    messages: VecDeque<ReceivedMessage>,
    known: HashSet<(String, String)>,
}

impl Inbox {
    /// Adds a message. False when the phone had it already.
    pub(crate) fn add(&self, message: ReceivedMessage) -> bool {
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

    pub(crate) fn all(&self) -> Vec<ReceivedMessage> {
        let list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.messages.iter().cloned().collect()
    }

    pub(crate) fn find(
        &self,
        wanted: impl Fn(&ReceivedMessage) -> bool,
    ) -> Option<ReceivedMessage> {
        let list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.messages.iter().find(|message| wanted(message)).cloned()
    }

    /// Waits until there are so many messages. Cancel safe.
    pub(crate) async fn wait_for_count(&self, count: usize) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.list.lock().unwrap_or_else(PoisonError::into_inner).messages.len() >= count {
                return;
            }
            changed.await;
        }
    }

    /// Waits until a message fits. Cancel safe.
    pub(crate) async fn wait_for(
        &self,
        wanted: impl Fn(&ReceivedMessage) -> bool,
    ) -> ReceivedMessage {
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
