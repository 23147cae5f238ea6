//! What a person shows to many: statuses and channels.

use anyhow::{Context as _, Result};
use whatsapp_rust::{
    buffa::{Message as _, MessageField},
    wacore_binary::Jid,
    waproto::whatsapp as wa,
};

use super::Account;
use crate::{
    phone::{self, PhoneMessage},
    server::newsletters::{self, NewsletterRole},
    wire::{Build, now_seconds},
};

/// The address of all statuses.
const STATUSES: &str = "status@broadcast";

impl Account {
    /// Posts a text as a status, for these people. Returns its id.
    pub async fn post_status(&self, audience: &[&str], text: &str) -> Result<String> {
        let message = wa::Message {
            extended_text_message: MessageField::some(wa::message::ExtendedTextMessage {
                text: Some(text.to_owned()),
                background_argb: Some(0xff1e_6e4f),
                font: Some(wa::message::extended_text_message::FontType::FB_SCRIPT),
                ..Default::default()
            }),
            ..Default::default()
        };
        self.post_any_status(audience, message).await
    }

    /// Posts any message as a status, for these people. Returns its id.
    pub async fn post_any_status(&self, audience: &[&str], message: wa::Message) -> Result<String> {
        let id = self.hub.message_id();
        let letter = PhoneMessage {
            id: id.clone(),
            to: STATUSES.parse()?,
            message,
            peer: false,
            bytes: None,
            audience: audience.iter().map(|phone| (*phone).to_owned()).collect(),
        };
        phone::send(&self.hub, &self.phone, letter).await?;
        Ok(id)
    }

    /// Takes a status back.
    pub async fn revoke_status(&self, audience: &[&str], id: &str) -> Result<String> {
        let key = wa::MessageKey {
            remote_jid: Some(STATUSES.to_owned()),
            from_me: Some(true),
            id: Some(id.to_owned()),
            ..Default::default()
        };
        let revoke = wa::message::ProtocolMessage {
            key: MessageField::some(key),
            r#type: Some(wa::message::protocol_message::Type::REVOKE),
            ..Default::default()
        };
        let message =
            wa::Message { protocol_message: MessageField::some(revoke), ..Default::default() };
        self.post_any_status(audience, message).await
    }

    /// Makes a channel; gives its address and the code of its invite link.
    pub async fn create_newsletter(&self, name: &str, about: &str) -> Result<(Jid, String)> {
        let mut state = self.hub.state();
        let jid = newsletters::create(&self.hub, &mut state, &self.number, name, Some(about))?;
        let invite = state.newsletters[&jid.to_string()].invite().to_owned();
        Ok((jid, invite))
    }

    /// Gives this person a place in a channel.
    pub async fn enrol_in_newsletter(&self, jid: &Jid, role: NewsletterRole) -> Result<()> {
        newsletters::enrol(&mut self.hub.state(), jid, &self.number, role)
    }

    /// What this person is in a channel.
    pub fn newsletter_role(&self, jid: &Jid) -> Option<NewsletterRole> {
        self.hub.state().newsletters.get(&jid.to_string())?.role(&self.number)
    }

    /// Whether this person hears nothing of a channel.
    pub fn has_muted_newsletter(&self, jid: &Jid) -> bool {
        let state = self.hub.state();
        state.newsletters.get(&jid.to_string()).is_some_and(|one| one.is_muted_by(&self.number))
    }

    /// Posts a text in a channel. Returns the id of the post.
    ///
    /// # Errors
    /// When this person may not post there.
    pub async fn post_in_newsletter(&self, jid: &Jid, text: &str) -> Result<String> {
        let id = self.hub.message_id();
        let message = super::text_message(text);
        let plain = Build::new("plaintext").bytes(message.encode_to_vec()).build();
        let stanza = Build::new("message")
            .attr("to", jid)
            .attr("id", id.as_str())
            .attr("t", now_seconds())
            .attr("type", "text")
            .children([plain])
            .build();
        let mut state = self.hub.state();
        let stanza = stanza.as_node_ref();
        let taken = newsletters::publish(&self.hub, &mut state, &self.key(), &stanza)?;
        taken.then_some(id).context("the channel takes no post of this person")
    }
}
