//! Statuses of the account, and their end.

use domain::{
    ChatId,
    message::OutgoingMessage,
    port::EngineError,
    status::{StatusPost, TextStyle},
};
use whatsapp_rust::{
    Jid, StatusPrivacySetting, StatusSendOptions,
    buffa::{Enumeration as _, MessageField},
    waproto::whatsapp::{self as wa, message::extended_text_message::FontType},
};

use super::{MessageWriter, refused};
use crate::{failure, people};

/// Behind a text that asks for no colour: WhatsApp's own green.
const BACKGROUND: u32 = 0x001e_6e4f;
/// People whom WhatsApp is asked about in one request.
const ASKED_AT_ONCE: usize = 256;
/// The byte that makes a colour opaque.
const OPAQUE: u32 = 0xff00_0000;

impl MessageWriter {
    /// Encrypts a status for everybody who sees it, and writes it.
    pub(super) async fn post_status(
        &self,
        to: Jid,
        mut outgoing: OutgoingMessage,
        post: StatusPost,
    ) -> Result<(), EngineError> {
        let audience = self.by_privacy_id(post.audience.iter().filter_map(person)).await?;
        if audience.is_empty() {
            return Err(refused("a status without anybody to see it"));
        }
        // The audience is named, whoever chose it: WhatsApp does not look into the address book.
        let options = StatusSendOptions {
            privacy: StatusPrivacySetting::AllowList,
            message_id: Some(outgoing.id.as_str().to_owned()),
            ..Default::default()
        };
        outgoing.status = None;
        let mut message = self.message(&to, outgoing).await?;
        style(&mut message, post.style);
        match self.client.status().send_raw(message, &audience, options).await {
            Ok(_) => Ok(()),
            Err(error) => Err(failure::of_send(error)),
        }
    }

    /// Statuses are addressed by privacy id, and the library leaves out in silence whose is not known: WhatsApp is
    /// asked for those. Who is not on WhatsApp is left out.
    async fn by_privacy_id(
        &self,
        audience: impl Iterator<Item = Jid>,
    ) -> Result<Vec<Jid>, EngineError> {
        let (mut known, mut unknown) = (Vec::new(), Vec::new());
        for person in audience {
            let is_known = person.server.is_lid_family()
                || matches!(self.client.get_lid_pn_entry(&person).await, Ok(Some(_)));
            if is_known { known.push(person) } else { unknown.push(person) }
        }
        for people in unknown.chunks(ASKED_AT_ONCE) {
            let answers = self.client.contacts().is_on_whatsapp(people).await;
            let answers = answers.map_err(failure::of_contact)?.into_iter();
            let registered = answers.filter(|answer| answer.is_registered);
            known.extend(registered.map(|answer| answer.lid.unwrap_or(answer.jid)));
        }
        Ok(known)
    }
}

fn person(id: &ChatId) -> Option<Jid> {
    people::jid(id).filter(people::is_person)
}

/// A status is never plain words: its text has a colour behind it. Voice notes have one too.
fn style(message: &mut wa::Message, style: TextStyle) {
    let background = OPAQUE | style.background.unwrap_or(BACKGROUND);
    if let Some(text) = message.conversation.take() {
        let text = wa::message::ExtendedTextMessage { text: Some(text), ..Default::default() };
        message.extended_text_message = MessageField::some(text);
    }
    if let Some(text) = message.extended_text_message.as_option_mut() {
        text.background_argb = Some(background);
        let font = style.font.and_then(|font| FontType::from_i32(i32::from(font)));
        text.font = Some(font.unwrap_or(FontType::SYSTEM));
    }
    if let Some(audio) = message.audio_message.as_option_mut() {
        audio.background_argb = Some(background);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_gets_its_colour_and_font() {
        let mut message = wa::Message { conversation: Some("Open".into()), ..Default::default() };
        style(&mut message, TextStyle { background: Some(0x0012_3456), font: Some(2) });
        assert_eq!(message.conversation, None);
        let text = message.extended_text_message.as_option().unwrap();
        assert_eq!(text.text.as_deref(), Some("Open"));
        assert_eq!(text.background_argb, Some(0xff12_3456));
        assert_eq!(text.font, Some(FontType::FB_SCRIPT));
    }
}
