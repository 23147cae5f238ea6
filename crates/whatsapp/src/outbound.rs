//! Messages that go out: the domain's words as the protocol's, under our own id.

use domain::{
    ChatId,
    message::{Content, OutgoingMessage, Quoted},
    port::EngineError,
};
use whatsapp_rust::{
    Client, ClientError, IqError, Jid, SendError, SendOptions, buffa::MessageField,
    proto_helpers::MessageBuilderExt, socket::error::SocketError, waproto::whatsapp as wa,
};

use crate::people;

/// A message ready for the wire.
pub(crate) struct Letter {
    to: Jid,
    message: wa::Message,
    options: SendOptions,
}

impl Letter {
    /// # Errors
    /// [`EngineError::Refused`] when the protocol has no such message.
    pub fn new(outgoing: OutgoingMessage) -> Result<Self, EngineError> {
        let OutgoingMessage { id, chat, content, mentions, quoted } = outgoing;
        let to = people::jid(&chat)
            .ok_or_else(|| EngineError::Refused("this kind of chat takes no messages".into()))?;
        let Content::Text { body } = content else {
            return Err(EngineError::Refused("this kind of message cannot be sent".into()));
        };
        let message = if mentions.is_empty() && quoted.is_none() {
            wa::Message::text(body)
        } else {
            wa::Message::text_with_context(body, context(&mentions, quoted))
        };
        let options = SendOptions::default().with_message_id(id.as_str());
        Ok(Self { to, message, options })
    }

    /// Encrypts and writes it.
    pub async fn send(self, client: &Client) -> Result<(), EngineError> {
        match client.send_message_with_options(self.to, self.message, self.options).await {
            Ok(_) => Ok(()),
            Err(error) => Err(refused(error)),
        }
    }
}

fn context(mentions: &[ChatId], quoted: Option<(Quoted, ChatId)>) -> wa::ContextInfo {
    let mut context = wa::ContextInfo {
        mentioned_jid: mentions.iter().map(ChatId::to_jid).collect(),
        ..Default::default()
    };
    if let Some((quoted, author)) = quoted {
        context.stanza_id = Some(quoted.id.as_str().to_owned());
        context.participant = Some(author.to_jid());
        context.quoted_message = MessageField::some(wa::Message::text(quoted.body));
    }
    context
}

/// Sorts a failed send by what is known about it. Only what certainly never left is called that.
fn refused(error: SendError) -> EngineError {
    match error {
        SendError::NotLoggedIn
        | SendError::Client(
            ClientError::NotConnected
            | ClientError::NotLoggedIn
            | ClientError::Socket(SocketError::SocketClosed),
        ) => EngineError::NotConnected,
        SendError::Iq(error) => request_error(error),
        SendError::InvalidRequest(reason) => EngineError::Refused(reason),
        other => EngineError::Unanswered(Some(Box::new(other))),
    }
}

/// Sorts a failed request to WhatsApp.
pub(crate) fn request_error(error: IqError) -> EngineError {
    match error {
        IqError::NotConnected => EngineError::NotConnected,
        IqError::ServerError { code, text, .. } => {
            EngineError::Refused(format!("{text} (code {code})"))
        }
        other => EngineError::Unanswered(Some(Box::new(other))),
    }
}

#[cfg(test)]
mod tests {
    use domain::WaMessageId;

    use super::*;

    fn outgoing(mentions: Vec<ChatId>, quoted: Option<(Quoted, ChatId)>) -> OutgoingMessage {
        OutgoingMessage {
            id: WaMessageId::from_wire("3EB0AB"),
            chat: "5511990000042@c.us".parse().unwrap(),
            content: Content::Text { body: "hello".into() },
            mentions,
            quoted,
        }
    }

    #[test]
    fn plain_text_stays_plain() {
        let letter = Letter::new(outgoing(vec![], None)).unwrap();
        assert_eq!(letter.message.conversation.as_deref(), Some("hello"));
        assert_eq!(letter.options.message_id.as_deref(), Some("3EB0AB"));
        assert_eq!(letter.to.to_string(), "5511990000042@s.whatsapp.net");
    }

    #[test]
    fn mentions_and_quotes_travel_in_the_context() {
        let author: ChatId = "5511990000043@c.us".parse().unwrap();
        let quoted = Quoted { id: WaMessageId::from_wire("Q1"), body: "before".into() };
        let letter = Letter::new(outgoing(vec![author.clone()], Some((quoted, author)))).unwrap();
        let text = letter.message.extended_text_message.as_option().unwrap();
        let context = text.context_info.as_option().unwrap();
        assert_eq!(context.mentioned_jid, ["5511990000043@s.whatsapp.net"]);
        assert_eq!(context.stanza_id.as_deref(), Some("Q1"));
        assert_eq!(context.participant.as_deref(), Some("5511990000043@s.whatsapp.net"));
    }

    #[test]
    fn what_has_no_words_yet_is_refused() {
        let mut message = outgoing(vec![], None);
        message.content = Content::Unknown { protocol_kind: "image_message".into() };
        assert!(matches!(Letter::new(message), Err(EngineError::Refused(_))));
    }
}
