//! What a person says with the phone, one method for each kind of message. Each returns the message id.

use anyhow::{Context as _, Result};
use whatsapp_rust::{
    buffa::MessageField,
    wacore::{poll, proto_helpers::build_reaction_message, time},
    wacore_binary::{Jid, Server},
    waproto::whatsapp::{
        self as wa,
        message::{buttons_message, pin_in_chat_message, protocol_message},
    },
};

use super::{Account, text_message};
use crate::phone::MessageRef;

impl Account {
    /// Sends a location, in degrees of latitude and longitude.
    pub async fn send_location(
        &self,
        to: &Jid,
        (latitude, longitude): (f64, f64),
        name: Option<&str>,
    ) -> Result<String> {
        let message = wa::Message {
            location_message: MessageField::some(wa::message::LocationMessage {
                degrees_latitude: Some(latitude),
                degrees_longitude: Some(longitude),
                name: name.map(str::to_owned),
                ..Default::default()
            }),
            ..Default::default()
        };
        self.send(to.clone(), message).await
    }

    /// Sends address cards, given as name and number.
    pub async fn send_contacts(&self, to: &Jid, people: &[(&str, &str)]) -> Result<String> {
        let mut contacts: Vec<_> = people
            .iter()
            .map(|(name, number)| wa::message::ContactMessage {
                display_name: Some((*name).to_owned()),
                vcard: Some(format!(
                    "BEGIN:VCARD\nVERSION:3.0\nFN:{name}\nTEL;waid={number}:+{number}\nEND:VCARD"
                )),
                ..Default::default()
            })
            .collect();
        let mut message = wa::Message::default();
        match contacts.len() {
            1 => message.contact_message = MessageField::some(contacts.remove(0)),
            _ => {
                message.contacts_array_message =
                    MessageField::some(wa::message::ContactsArrayMessage {
                        display_name: Some("contacts".to_owned()),
                        contacts,
                        ..Default::default()
                    });
            }
        }
        self.send(to.clone(), message).await
    }

    /// Asks a question; `choices` is how many may be chosen, 0 for any number.
    pub async fn send_poll(
        &self,
        to: &Jid,
        name: &str,
        options: &[&str],
        choices: u32,
    ) -> Result<String> {
        let options = options.iter().map(|option| wa::message::poll_creation_message::Option {
            option_name: Some((*option).to_owned()),
            ..Default::default()
        });
        let creation = MessageField::some(wa::message::PollCreationMessage {
            name: Some(name.to_owned()),
            options: options.collect(),
            selectable_options_count: Some(choices),
            ..Default::default()
        });
        let secret: [u8; 32] = rand::random();
        let mut message = wa::Message {
            message_context_info: MessageField::some(wa::MessageContextInfo {
                message_secret: Some(secret.to_vec()),
                ..Default::default()
            }),
            ..Default::default()
        };
        match choices {
            1 => message.poll_creation_message_v3 = creation,
            _ => message.poll_creation_message = creation,
        }
        self.send(to.clone(), message).await
    }

    /// Votes on a poll that the phone has sent or received.
    ///
    /// # Errors
    /// When the phone does not know the poll.
    pub async fn vote(&self, to: &Jid, poll_id: &str, chosen: &[&str]) -> Result<String> {
        let known = self.phone.polls.get(poll_id).context("the phone knows no such poll")?;
        let creator = self.address_of(to, &known.creator)?;
        let voter = self.address_of(to, &self.number)?;
        let hashes: Vec<Vec<u8>> =
            chosen.iter().map(|option| poll::compute_option_hash(option).to_vec()).collect();
        let (payload, iv) = poll::encrypt_poll_vote_with_secret(
            &hashes,
            &known.secret,
            poll_id,
            &creator.to_string(),
            &voter.to_string(),
        )?;
        let about = MessageRef { id: poll_id.to_owned(), author: known.creator };
        let message = wa::Message {
            poll_update_message: MessageField::some(wa::message::PollUpdateMessage {
                poll_creation_message_key: MessageField::some(self.key_of(to, &about)?),
                vote: MessageField::some(wa::message::PollEncValue {
                    enc_payload: Some(payload),
                    enc_iv: Some(iv.to_vec()),
                }),
                sender_timestamp_ms: Some(time::now_millis()),
                ..Default::default()
            }),
            ..Default::default()
        };
        self.send(to.clone(), message).await
    }

    /// Offers buttons under a text, given as id and words.
    pub async fn send_buttons(
        &self,
        to: &Jid,
        text: &str,
        buttons: &[(&str, &str)],
    ) -> Result<String> {
        let button = |(id, words): &(&str, &str)| buttons_message::Button {
            button_id: Some((*id).to_owned()),
            button_text: MessageField::some(buttons_message::button::ButtonText {
                display_text: Some((*words).to_owned()),
            }),
            ..Default::default()
        };
        let message = wa::Message {
            buttons_message: MessageField::some(wa::message::ButtonsMessage {
                content_text: Some(text.to_owned()),
                buttons: buttons.iter().map(button).collect(),
                ..Default::default()
            }),
            ..Default::default()
        };
        self.send(to.clone(), message).await
    }

    /// Puts an emoji on a message; an empty one takes it back.
    pub async fn react(&self, to: &Jid, about: &MessageRef, emoji: &str) -> Result<String> {
        let key = self.key_of(to, about)?;
        self.send(to.clone(), build_reaction_message(key, emoji, time::now_millis())).await
    }

    /// Gives a message of this person another text.
    pub async fn edit(&self, to: &Jid, id: &str, text: &str) -> Result<String> {
        let about = MessageRef { id: id.to_owned(), author: self.number.clone() };
        let message = protocol(wa::message::ProtocolMessage {
            key: MessageField::some(self.key_of(to, &about)?),
            r#type: Some(protocol_message::Type::MESSAGE_EDIT),
            edited_message: MessageField::some(text_message(text)),
            timestamp_ms: Some(time::now_millis()),
            ..Default::default()
        });
        self.send(to.clone(), message).await
    }

    /// Takes a message back for everyone; one of somebody else as an admin of the group.
    pub async fn revoke(&self, to: &Jid, about: &MessageRef) -> Result<String> {
        let message = protocol(wa::message::ProtocolMessage {
            key: MessageField::some(self.key_of(to, about)?),
            r#type: Some(protocol_message::Type::REVOKE),
            ..Default::default()
        });
        self.send(to.clone(), message).await
    }

    /// Pins a message for this long, or takes the pin away.
    pub async fn pin(&self, to: &Jid, about: &MessageRef, seconds: Option<u32>) -> Result<String> {
        let kind = match seconds {
            Some(_) => pin_in_chat_message::Type::PIN_FOR_ALL,
            None => pin_in_chat_message::Type::UNPIN_FOR_ALL,
        };
        let message = wa::Message {
            pin_in_chat_message: MessageField::some(wa::message::PinInChatMessage {
                key: MessageField::some(self.key_of(to, about)?),
                r#type: Some(kind),
                sender_timestamp_ms: Some(time::now_millis()),
            }),
            message_context_info: MessageField::some(wa::MessageContextInfo {
                message_add_on_duration_in_secs: Some(seconds.unwrap_or(0)),
                ..Default::default()
            }),
            ..Default::default()
        };
        self.send(to.clone(), message).await
    }

    /// A message as this person names it in a chat.
    fn key_of(&self, chat: &Jid, about: &MessageRef) -> Result<wa::MessageKey> {
        let from_me = about.author == self.number;
        let participant = match chat.server {
            Server::Group if !from_me => Some(self.address_of(chat, &about.author)?.to_string()),
            _ => None,
        };
        Ok(wa::MessageKey {
            remote_jid: Some(chat.to_string()),
            from_me: Some(from_me),
            id: Some(about.id.clone()),
            participant,
        })
    }

    /// Somebody's address as it is written in a chat: groups here are addressed by LID.
    fn address_of(&self, chat: &Jid, phone: &str) -> Result<Jid> {
        let state = self.hub.state();
        Ok(match chat.server {
            Server::Pn => Jid::pn(phone),
            _ => Jid::lid(state.account(phone)?.lid.as_str()),
        })
    }
}

fn protocol(protocol: wa::message::ProtocolMessage) -> wa::Message {
    wa::Message { protocol_message: MessageField::some(protocol), ..Default::default() }
}
