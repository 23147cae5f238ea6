//! A person in the network, as a test or sandbox handles them.

mod calls;
mod feeds;
mod files;
mod groups;
mod labels;
mod limits;
mod marks;
mod people;
mod say;
mod votes;

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use whatsapp_rust::{wacore_binary::Jid, waproto::whatsapp as wa};

pub use calls::CallEnd;
pub use files::{CraftedFile, FileKind, NewFile};
pub use groups::{MembersChange, PhoneGroupSetting};

use crate::{
    hub::Hub,
    phone::{self, Behaviour, Phone, PhoneMessage, ReceivedMessage},
    server::presence,
    state::DeviceKey,
    wire::Build,
};

/// A person with a primary phone. Cheap to clone; does not keep the network running.
#[derive(Clone)]
pub struct Account {
    hub: Arc<Hub>,
    phone: Arc<Phone>,
    number: String,
    lid: String,
    name: String,
}

impl Account {
    pub(crate) fn find(hub: &Arc<Hub>, number: &str) -> Result<Self> {
        let state = hub.state();
        let account = state.account(number)?;
        Ok(Self {
            hub: hub.clone(),
            phone: account.handset.phone.clone(),
            number: account.phone.clone(),
            lid: account.lid.clone(),
            name: account.name.clone(),
        })
    }

    /// Phone number, digits only.
    pub fn phone(&self) -> &str {
        &self.number
    }

    /// The privacy id, without its server.
    pub fn lid(&self) -> &str {
        &self.lid
    }

    /// The name others see in this person's messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Address by phone number.
    pub fn jid(&self) -> Jid {
        Jid::pn(self.number.as_str())
    }

    /// The address by privacy id.
    pub fn lid_jid(&self) -> Jid {
        Jid::lid(self.lid.as_str())
    }

    /// Whether others learn this person's number from messages and look-ups. At first they do.
    pub fn show_number(&self, shown: bool) -> Result<()> {
        self.hub.state().account_mut(&self.number)?.number_hidden = !shown;
        Ok(())
    }

    /// Numbers of the devices linked to this account.
    pub fn devices(&self) -> Vec<u16> {
        let state = self.hub.state();
        let devices = state.account(&self.number).map(|account| &account.devices);
        devices.map_or_else(|_| Vec::new(), |devices| devices.keys().copied().collect())
    }

    /// Sends a text from the phone to every device of another account, and the copy to the own linked devices.
    /// Returns the message id.
    ///
    /// # Errors
    /// When nobody has that number, or one of their devices has no usable keys.
    pub async fn send_text(&self, to_phone: &str, text: &str) -> Result<String> {
        self.send(Jid::pn(to_phone), text_message(text)).await
    }

    /// The same, addressed by LID: the recipient sees the sender's LID.
    pub async fn send_text_as_lid(&self, to_phone: &str, text: &str) -> Result<String> {
        let lid = self.hub.state().account(to_phone)?.lid.clone();
        self.send(Jid::lid(lid), text_message(text)).await
    }

    /// Sends a text to a person by phone number or LID, or to a group.
    pub async fn send_text_to(&self, to: &Jid, text: &str) -> Result<String> {
        self.send(to.clone(), text_message(text)).await
    }

    /// Sends any message from the phone.
    pub async fn send_message(&self, to_phone: &str, message: wa::Message) -> Result<String> {
        self.send(Jid::pn(to_phone), message).await
    }

    /// Sends any message from the phone to a person by phone number or LID, or to a group.
    pub async fn send(&self, to: Jid, message: wa::Message) -> Result<String> {
        let id = self.hub.message_id();
        self.send_as(&id, to, message).await?;
        Ok(id)
    }

    /// The same under a given id: a message that is sent by phone number and by LID arrives twice.
    pub async fn send_as(&self, id: &str, to: Jid, message: wa::Message) -> Result<()> {
        phone::check_address(&to)?;
        let id = id.to_owned();
        let letter =
            PhoneMessage { id, to, message, peer: false, bytes: None, audience: Vec::new() };
        phone::send(&self.hub, &self.phone, letter).await
    }

    /// Sends bytes as they are in the place of a message, under a given id: what is encrypted nobody checks on the way.
    pub async fn send_bytes(&self, id: &str, to: &Jid, bytes: Vec<u8>) -> Result<()> {
        phone::check_address(to)?;
        let message = wa::Message::default();
        let letter = PhoneMessage {
            id: id.to_owned(),
            to: to.clone(),
            message,
            peer: false,
            bytes: Some(bytes),
            audience: Vec::new(),
        };
        phone::send(&self.hub, &self.phone, letter).await
    }

    /// Sends a message that is not part of any chat to one of the own linked devices.
    pub async fn send_peer(&self, device: u16, message: wa::Message) -> Result<String> {
        let letter = phone::peer_letter(&self.hub, &self.phone.me, device, message);
        let id = letter.id.clone();
        phone::send(&self.hub, &self.phone, letter).await?;
        Ok(id)
    }

    /// Shares message history with a linked device: inside the message itself where it is small, and on the media host.
    pub async fn send_history(&self, device: u16, history: &wa::HistorySync) -> Result<String> {
        self.send_peer(device, phone::history::message(&self.hub, history)?).await
    }

    /// Everything the phone decrypted, oldest first.
    pub async fn inbox(&self) -> Vec<ReceivedMessage> {
        self.phone.inbox.all()
    }

    /// Waits until the phone has a message that fits, at most `timeout`. Gives the oldest that does, so a message
    /// that arrived before the call counts.
    ///
    /// # Errors
    /// When the time is over; the error lists what the phone has instead.
    pub async fn wait_for(
        &self,
        timeout: Duration,
        predicate: impl Fn(&ReceivedMessage) -> bool,
    ) -> Result<ReceivedMessage> {
        let wait = self.phone.inbox.wait_for(predicate);
        tokio::time::timeout(timeout, wait).await.map_err(|_| {
            let inbox = self.phone.inbox.all();
            let texts: Vec<&str> = inbox.iter().map(|message| message.text.as_str()).collect();
            let shown = &texts[texts.len().saturating_sub(10)..];
            anyhow::anyhow!(
                "{} received nothing that fits within {timeout:?}; its last messages: {shown:?}",
                self.number
            )
        })
    }

    /// Waits until the phone has so many messages.
    pub async fn wait_for_count(&self, count: usize) {
        if count > 0 {
            self.phone.inbox.wait_for_count(count).await;
        }
    }

    /// Sends the sender of a message the receipt that this person has read it.
    ///
    /// # Errors
    /// When the phone has no message with this id.
    pub async fn read(&self, message_id: &str) -> Result<()> {
        let message = self.phone.inbox.find(|message| message.id == message_id);
        let message = message.with_context(|| format!("no message {message_id} to read"))?;
        phone::confirm_read(&self.hub, &self.phone, &message)
    }

    /// What the phone does by itself from now on. Two accounts that answer each other never stop.
    pub async fn on_message(&self, behaviour: Behaviour) {
        self.phone.behave(behaviour);
    }

    /// This person starts (`composing`) or stops (`paused`) typing to somebody.
    pub async fn chat_state(&self, to_phone: &str, state: ChatState) -> Result<()> {
        self.chat_state_to(&Jid::pn(to_phone), state).await
    }

    /// This person goes online or offline, for those who watch.
    pub async fn set_online(&self, online: Online) -> Result<()> {
        let kind = match online {
            Online::Available => "available",
            Online::Unavailable => "unavailable",
        };
        let stanza = Build::new("presence").attr("type", kind).build();
        presence::take(&self.hub, &self.key(), &stanza.as_node_ref())
    }

    fn key(&self) -> DeviceKey {
        DeviceKey::new(&self.number, 0)
    }
}

/// Whether a person is typing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChatState {
    /// Writing a text.
    Composing,
    /// Recording a voice note.
    Recording,
    /// Stopped, with or without sending.
    Paused,
}

/// Whether a person is online.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Online {
    /// The app is open.
    Available,
    /// The app is closed or in the background.
    Unavailable,
}

/// A plain text as a message.
pub fn text_message(text: &str) -> wa::Message {
    wa::Message { conversation: Some(text.to_owned()), ..Default::default() }
}
