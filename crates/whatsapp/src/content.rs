//! What a decrypted message says, in the domain's words.

use domain::{
    WaMessageId,
    message::{Content, Quoted},
};
use whatsapp_rust::{
    buffa::MessageField,
    proto_helpers::MessageExt,
    waproto::{
        codec,
        whatsapp::{self as wa, message::protocol_message::Type},
    },
};

/// A message for people.
#[derive(Debug, PartialEq)]
pub(crate) struct Said {
    /// What it says.
    pub content: Content,
    /// What it answers.
    pub quoted: Option<Quoted>,
    /// Whom it mentions, as written in the message.
    pub mentions: Vec<String>,
}

impl Said {
    fn new(content: Content) -> Self {
        Self { content, quoted: None, mentions: Vec::new() }
    }

    fn unknown(kind: impl Into<String>) -> Self {
        Self::new(Content::Unknown { protocol_kind: kind.into() })
    }
}

/// Reads a message, unwrapped from ephemeral, view-once, device-sent and edited envelopes. `None`
/// for what is not for people: keys, history notices, settings.
pub(crate) fn read(message: &wa::Message) -> Option<Said> {
    let base = unwrapped(message);
    if let Some(body) = &base.conversation {
        return Some(Said::new(Content::Text { body: body.clone() }));
    }
    if let Some(text) = base.extended_text_message.as_option() {
        let body = text.text.clone().unwrap_or_default();
        let context = text.context_info.as_option();
        return Some(Said {
            content: Content::Text { body },
            quoted: context.and_then(quoted),
            mentions: context.map(|context| context.mentioned_jid.clone()).unwrap_or_default(),
        });
    }
    if let Some(protocol) = base.protocol_message.as_option() {
        return match protocol.r#type {
            Some(Type::REVOKE) => Some(Said::unknown("protocol_message.revoke")),
            Some(Type::MESSAGE_EDIT) => Some(Said::unknown("protocol_message.edit")),
            _ => None,
        };
    }
    kind(base).map(Said::unknown)
}

/// The library unwraps each kind of envelope once and in one order; phones nest them otherwise too.
fn unwrapped(message: &wa::Message) -> &wa::Message {
    /// Deeper than any phone nests.
    const DEPTH: usize = 4;
    let mut base = message;
    for _ in 0..DEPTH {
        let inner = base.get_base_message();
        if std::ptr::eq(inner, base) {
            break;
        }
        base = inner;
    }
    base
}

fn quoted(context: &wa::ContextInfo) -> Option<Quoted> {
    let id = context.stanza_id.as_ref()?;
    let body = context.quoted_message.as_option().and_then(|message| {
        let base = unwrapped(message);
        base.text_content().or_else(|| base.get_caption()).map(str::to_owned)
    });
    Some(Quoted { id: WaMessageId::from_wire(id), body: body.unwrap_or_default() })
}

/// The protocol's word for the content, or `None` when there is none beside keys and context.
fn kind(message: &wa::Message) -> Option<&'static str> {
    macro_rules! first_set {
        ($($field:ident),* $(,)?) => {
            $(if is_set(&message.$field) { return Some(stringify!($field)); })*
        };
    }
    first_set!(
        image_message,
        video_message,
        ptv_message,
        audio_message,
        document_message,
        sticker_message,
        lottie_sticker_message,
        location_message,
        live_location_message,
        contact_message,
        contacts_array_message,
        reaction_message,
        enc_reaction_message,
        poll_creation_message,
        poll_creation_message_v2,
        poll_creation_message_v3,
        poll_creation_message_v5,
        poll_update_message,
        event_message,
        group_invite_message,
        product_message,
        order_message,
        list_message,
        list_response_message,
        buttons_message,
        buttons_response_message,
        template_message,
        template_button_reply_message,
        interactive_message,
        interactive_response_message,
        highly_structured_message,
        call,
        call_log_messsage,
        album_message,
        sticker_pack_message,
        pin_in_chat_message,
        keep_in_chat_message,
        comment_message,
        enc_comment_message,
        secret_encrypted_message,
        request_phone_number_message,
        send_payment_message,
        request_payment_message,
        payment_invite_message,
        placeholder_message,
    );
    has_more(message).then_some("message")
}

fn is_set<T: Default>(field: &MessageField<T>) -> bool {
    field.is_set()
}

/// Whether anything is left once keys and context are taken away: a kind this list does not know.
fn has_more(message: &wa::Message) -> bool {
    let mut rest = message.clone();
    rest.sender_key_distribution_message = MessageField::default();
    rest.fast_ratchet_key_sender_key_distribution_message = MessageField::default();
    rest.message_context_info = MessageField::default();
    rest.sticker_sync_rmr_message = MessageField::default();
    // Not by comparison: a field that is set but empty equals one that is not set.
    codec::message_encoded_len(&rest) > 0
}

#[cfg(test)]
mod tests {
    use whatsapp_rust::proto_helpers::MessageBuilderExt;

    use super::*;

    fn text(said: Option<Said>) -> String {
        match said.map(|said| said.content) {
            Some(Content::Text { body }) => body,
            other => panic!("not a text: {other:?}"),
        }
    }

    fn kind_of(said: Option<Said>) -> String {
        match said.map(|said| said.content) {
            Some(Content::Unknown { protocol_kind }) => protocol_kind,
            other => panic!("not unknown: {other:?}"),
        }
    }

    fn envelope(message: wa::Message) -> MessageField<wa::message::FutureProofMessage> {
        MessageField::some(wa::message::FutureProofMessage { message: MessageField::some(message) })
    }

    #[test]
    fn text_is_found_in_any_envelope() {
        assert_eq!(text(read(&wa::Message::text("plain"))), "plain");
        let once = wa::Message {
            view_once_message: envelope(wa::Message::text("once")),
            ..Default::default()
        };
        assert_eq!(text(read(&once)), "once");
        // Not the order in which the library unwraps.
        let nested = wa::Message { ephemeral_message: envelope(once), ..Default::default() };
        let odd = wa::Message { view_once_message_v2: envelope(nested), ..Default::default() };
        assert_eq!(text(read(&odd)), "once");
        let own = wa::Message {
            device_sent_message: MessageField::some(wa::message::DeviceSentMessage {
                message: MessageField::some(wa::Message::text("own")),
                ..Default::default()
            }),
            ..Default::default()
        };
        assert_eq!(text(read(&own)), "own");
    }

    #[test]
    fn an_answer_names_what_it_answers_and_whom_it_mentions() {
        let context = wa::ContextInfo {
            stanza_id: Some("Q1".into()),
            quoted_message: MessageField::some(wa::Message::text("before")),
            mentioned_jid: vec!["5511990000042@s.whatsapp.net".into()],
            ..Default::default()
        };
        let said = read(&wa::Message::text_with_context("after", context)).unwrap();
        assert_eq!(
            said.quoted,
            Some(Quoted { id: WaMessageId::from_wire("Q1"), body: "before".into() })
        );
        assert_eq!(said.mentions, ["5511990000042@s.whatsapp.net"]);
    }

    #[test]
    fn what_is_not_for_people_is_not_delivered() {
        let protocol = |kind| wa::Message {
            protocol_message: MessageField::some(wa::message::ProtocolMessage {
                r#type: Some(kind),
                ..Default::default()
            }),
            ..Default::default()
        };
        assert_eq!(read(&protocol(Type::APP_STATE_SYNC_KEY_SHARE)), None);
        assert_eq!(read(&protocol(Type::HISTORY_SYNC_NOTIFICATION)), None);
        assert_eq!(kind_of(read(&protocol(Type::REVOKE))), "protocol_message.revoke");
        assert_eq!(read(&wa::Message::default()), None);
        let keys = wa::Message {
            sender_key_distribution_message: MessageField::some(Default::default()),
            message_context_info: MessageField::some(Default::default()),
            ..Default::default()
        };
        assert_eq!(read(&keys), None);
    }

    #[test]
    fn every_other_kind_is_delivered_as_unknown() {
        let image = wa::Message {
            image_message: MessageField::some(Default::default()),
            ..Default::default()
        };
        assert_eq!(kind_of(read(&image)), "image_message");
        let new = wa::Message {
            split_payment_message: MessageField::some(Default::default()),
            ..Default::default()
        };
        assert_eq!(kind_of(read(&new)), "message");
    }
}
