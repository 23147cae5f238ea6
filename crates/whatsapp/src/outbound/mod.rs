//! Messages that go out: the domain's words as the protocol's, under our own id.
//!
//! * `body`: what is read, text, locations, cards, polls. `media`: files. `change`: reactions, edits and the like.

mod body;
mod business;
mod change;
mod media;
mod status;

use std::sync::Arc;

use domain::{
    ChatId, Clock,
    message::{Content, OutgoingMessage, Quoted},
    port::EngineError,
};
use whatsapp_rust::{
    Client, Jid, SendOptions,
    buffa::MessageField,
    proto_helpers::{MessageBuilderExt as _, MessageExt as _},
    waproto::whatsapp as wa,
};

use crate::{failure, keys::LedgerBackend, people, secrets};

/// What a message is written with.
#[derive(Clone)]
pub(crate) struct MessageWriter {
    pub client: Arc<Client>,
    pub backend: Arc<LedgerBackend>,
    pub clock: Arc<dyn Clock>,
}

impl MessageWriter {
    /// Writes, encrypts and sends a message. The same message again is the same on the wire: same id, and a poll keeps
    /// its secret.
    ///
    /// # Errors
    /// [`EngineError::Refused`] when the protocol has no such message.
    pub async fn send(&self, mut outgoing: OutgoingMessage) -> Result<(), EngineError> {
        let to = people::jid(&outgoing.chat)
            .ok_or_else(|| refused("this kind of chat takes no messages"))?;
        if let Some(post) = outgoing.status.take() {
            return self.post_status(to, outgoing, *post).await;
        }
        let options = SendOptions::default().with_message_id(outgoing.id.as_str());
        let message = self.message(&to, outgoing).await?;
        match self.client.send_message_with_options(to, message, options).await {
            Ok(_) => Ok(()),
            Err(error) => Err(failure::of_send(error)),
        }
    }

    async fn message(
        &self,
        to: &Jid,
        outgoing: OutgoingMessage,
    ) -> Result<wa::Message, EngineError> {
        let OutgoingMessage { id, content, mentions, quoted, forwarding_score, .. } = outgoing;
        let quoted = match quoted {
            Some((quoted, author)) => Some((quoted, self.address_in(to, &author).await?)),
            None => None,
        };
        let context = context(&mentions, quoted, forwarding_score);
        let mut message = match content {
            Content::Text { body, preview } => body::text(body, preview),
            Content::Media(media) => return media::message(*media, context),
            Content::Product(card) => return business::product(*card, context),
            Content::ButtonReply { button, form } => {
                return Ok(business::button_reply(button, form, context));
            }
            Content::Location(location) => body::location(location),
            Content::Contacts { cards } => body::contacts(cards)?,
            Content::Poll(poll) => {
                let own =
                    people::own_in(&self.client, to).await.ok_or(EngineError::NotConnected)?;
                let now = self.clock.now().seconds();
                let secret = secrets::of_own(&self.backend, to, &own, id.as_str(), now).await?;
                body::poll(poll, secret)
            }
            change => return self.change(to, change, context).await,
        };
        if let Some(context) = context {
            message.set_context_info(context);
        }
        Ok(message)
    }

    /// A person's address as it is written in this chat.
    async fn address_in(&self, chat: &Jid, person: &ChatId) -> Result<Jid, EngineError> {
        people::address_in(&self.client, chat, person)
            .await
            .ok_or_else(|| refused("this is no person's id"))
    }
}

fn refused(reason: &str) -> EngineError {
    EngineError::Refused(reason.to_owned())
}

/// `None` when there is nothing to say.
fn context(
    mentions: &[ChatId],
    quoted: Option<(Quoted, Jid)>,
    forwarding_score: u32,
) -> Option<wa::ContextInfo> {
    if mentions.is_empty() && quoted.is_none() && forwarding_score == 0 {
        return None;
    }
    let mut context = wa::ContextInfo {
        mentioned_jid: mentions.iter().map(ChatId::to_jid).collect(),
        is_forwarded: (forwarding_score > 0).then_some(true),
        forwarding_score: (forwarding_score > 0).then_some(forwarding_score),
        ..Default::default()
    };
    if let Some((quoted, author)) = quoted {
        context.stanza_id = Some(quoted.id.as_str().to_owned());
        context.participant = Some(author.to_non_ad_string());
        context.quoted_message = MessageField::some(wa::Message::text(quoted.body));
    }
    Some(context)
}

#[cfg(test)]
mod tests {
    use domain::WaMessageId;

    use super::*;

    #[test]
    fn plain_text_stays_plain() {
        assert!(context(&[], None, 0).is_none());
        let message = body::text("hello".into(), None);
        assert_eq!(message.conversation.as_deref(), Some("hello"));
    }

    #[test]
    fn what_was_forwarded_says_so_and_how_often() {
        let context = context(&[], None, 5).unwrap();
        assert_eq!((context.is_forwarded, context.forwarding_score), (Some(true), Some(5)));
        let mut message = body::text("once more".into(), None);
        assert!(message.set_context_info(context));
        assert!(message.extended_text_message.is_set());
    }

    #[test]
    fn a_caption_goes_out_as_that_of_its_file() {
        let file = domain::content::Media {
            kind: domain::content::MediaKind::Image,
            mimetype: "image/jpeg".into(),
            filename: None,
            caption: Some("Plum cake".into()),
            size_bytes: 7,
            seconds: None,
            look: domain::content::MediaLook::EMPTY,
            remote: None,
        };
        let message = media::caption(file.clone(), None).unwrap();
        let image = message.image_message.as_option().unwrap();
        assert_eq!(image.caption.as_deref(), Some("Plum cake"));
        let sticker = domain::content::Media { kind: domain::content::MediaKind::Sticker, ..file };
        assert!(media::caption(sticker, None).is_err());
    }

    #[test]
    fn mentions_and_quotes_travel_in_the_context() {
        let author: ChatId = "5511990000043@c.us".parse().unwrap();
        let jid = people::jid(&author).unwrap();
        let quoted = Quoted { id: WaMessageId::from_wire("Q1"), body: "before".into() };
        let context = context(&[author], Some((quoted, jid)), 0).unwrap();
        let mut message = body::text("after".into(), None);
        assert!(message.set_context_info(context));
        let text = message.extended_text_message.as_option().unwrap();
        let context = text.context_info.as_option().unwrap();
        assert_eq!(context.mentioned_jid, ["5511990000043@s.whatsapp.net"]);
        assert_eq!(context.stanza_id.as_deref(), Some("Q1"));
        assert_eq!(context.participant.as_deref(), Some("5511990000043@s.whatsapp.net"));
    }
}
