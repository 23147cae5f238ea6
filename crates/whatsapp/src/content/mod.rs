//! What a decrypted message says, in the domain's words.
//!
//! Reading is pure. Whom a change is about, and what an encrypted vote says, takes addresses and keys: that part is
//! `inbound`'s, so a change is read as a [`ParsedBody`] with the protocol's own key in it.

pub(crate) mod border;
mod business;
mod kind;
mod media;
mod shape;

use domain::{
    content::LinkPreview,
    message::{Content, Quoted},
    status::TextStyle,
};
use whatsapp_rust::{
    buffa::{Enumeration as _, MessageField},
    proto_helpers::MessageExt,
    waproto::whatsapp::{
        self as wa,
        message::{pin_in_chat_message, protocol_message::Type},
    },
};

/// A message for people, or a change of one.
#[derive(Debug, PartialEq)]
pub(crate) struct ParsedMessage {
    pub body: ParsedBody,
    /// The message that this one answers.
    pub quoted: Option<Quoted>,
    /// Whom it mentions, as written in the message.
    pub mentions: Vec<String>,
    /// Whether phones show it once.
    pub view_once: bool,
    /// How often it was forwarded, as its sender's phone counts; 0 for what was not.
    pub forwarding_score: u32,
    /// How the text of a status looks.
    pub style: TextStyle,
}

/// What a message says, as far as the message itself shows it.
#[derive(Debug, PartialEq)]
pub(crate) enum ParsedBody {
    /// A message of its own: text, file, poll and so on.
    Content(Content),
    /// An emoji on a message.
    Reaction { key: wa::MessageKey, emoji: String },
    /// A new text for a message of the same sender.
    Edit { key: wa::MessageKey, body: String },
    /// A message is taken back.
    Revoke { key: wa::MessageKey },
    /// A message is pinned, or not any more.
    Pin { key: wa::MessageKey, seconds: Option<u32> },
    /// A vote in a poll, encrypted with the poll's key.
    Vote { key: wa::MessageKey, payload: Vec<u8>, iv: Vec<u8> },
}

impl ParsedBody {
    fn unknown(kind: impl Into<String>) -> Self {
        Self::Content(Content::Unknown { protocol_kind: kind.into() })
    }
}

/// People that one message mentions: as many as a group has. More are not read.
const MENTIONS_MAX: usize = 1024;
/// How long a pin lasts when the message does not say: WhatsApp's own choice.
const PIN_SECONDS: u32 = 7 * 86_400;

/// Reads a message, unwrapped from ephemeral, view-once, device-sent and edited envelopes. `None`
/// for what is not for people: keys, history notices, settings; and for a change of something that is no message.
pub(crate) fn read(message: &wa::Message) -> Option<ParsedMessage> {
    let base = unwrapped(message);
    let body = body(message, base)?;
    // The context of an edit is the edited message's.
    let shown = match base.protocol_message.as_option() {
        Some(protocol) => protocol.edited_message.as_option().map(unwrapped),
        None => Some(base),
    };
    let context = shown.and_then(context);
    Some(ParsedMessage {
        body,
        quoted: context.and_then(quoted),
        mentions: context.map(mentions).unwrap_or_default(),
        view_once: is_view_once(message),
        forwarding_score: context.map(forwarding_score).unwrap_or_default(),
        style: style(base),
    })
}

/// Only statuses have one.
fn style(base: &wa::Message) -> TextStyle {
    let text = base.extended_text_message.as_option();
    let Some((text, background)) = text.and_then(|text| Some((text, text.background_argb?))) else {
        return TextStyle::default();
    };
    let font = text.font.and_then(|font| u8::try_from(font.to_i32()).ok());
    TextStyle { background: Some(background & 0x00ff_ffff), font }
}

/// By its envelope or by the mark of its file: phones write one of them, or both.
fn is_view_once(message: &wa::Message) -> bool {
    let base = unwrapped(message);
    let envelopes = [
        &message.view_once_message,
        &message.view_once_message_v2,
        &message.view_once_message_v2_extension,
    ];
    let marks = [
        base.image_message.as_option().and_then(|image| image.view_once),
        base.video_message.as_option().and_then(|video| video.view_once),
        base.audio_message.as_option().and_then(|audio| audio.view_once),
    ];
    envelopes.iter().any(|envelope| envelope.is_set()) || marks.contains(&Some(true))
}

/// The mark decides; phones that mark without counting forwarded it once.
fn forwarding_score(context: &wa::ContextInfo) -> u32 {
    match context.is_forwarded {
        Some(true) => context.forwarding_score.unwrap_or(0).max(1),
        _ => 0,
    }
}

fn mentions(context: &wa::ContextInfo) -> Vec<String> {
    context.mentioned_jid.iter().take(MENTIONS_MAX).cloned().collect()
}

/// The secret with which votes on this poll are encrypted.
pub(crate) fn poll_secret(message: &wa::Message) -> Option<[u8; 32]> {
    shape::poll_creation(unwrapped(message))?;
    let of = |message: &wa::Message| {
        let context = message.message_context_info.as_option()?;
        context.message_secret.as_deref()?.try_into().ok()
    };
    of(message).or_else(|| of(unwrapped(message)))
}

fn body(outer: &wa::Message, base: &wa::Message) -> Option<ParsedBody> {
    if let Some(body) = &base.conversation {
        return Some(ParsedBody::Content(Content::text(body)));
    }
    if let Some(text) = base.extended_text_message.as_option() {
        let body = text.text.clone().unwrap_or_default();
        return Some(ParsedBody::Content(Content::Text { body, preview: preview(text) }));
    }
    if let Some(content) =
        media::read(base).or_else(|| shape::read(base)).or_else(|| business::read(base))
    {
        return Some(ParsedBody::Content(content));
    }
    if let Some(protocol) = base.protocol_message.as_option() {
        return from_protocol(protocol);
    }
    if let Some(body) = change(outer, base) {
        return Some(body);
    }
    kind::of(base).filter(|_| !changes_nothing(base)).map(ParsedBody::unknown)
}

fn preview(text: &wa::message::ExtendedTextMessage) -> Option<LinkPreview> {
    let url = text.matched_text.clone().filter(|url| !url.is_empty())?;
    let title = text.title.clone().unwrap_or_default();
    let description = text.description.clone().filter(|text| !text.is_empty());
    if title.is_empty() && description.is_none() {
        return None;
    }
    Some(LinkPreview { url, title, description, thumbnail: vec![] })
}

fn from_protocol(protocol: &wa::message::ProtocolMessage) -> Option<ParsedBody> {
    match protocol.r#type {
        Some(Type::REVOKE) => Some(match &protocol.key {
            key if key.as_option().and_then(|key| key.id.as_ref()).is_none() => {
                ParsedBody::unknown("protocol_message.revoke")
            }
            key => ParsedBody::Revoke { key: named(key)? },
        }),
        Some(Type::MESSAGE_EDIT) => {
            let body = protocol.edited_message.as_option().and_then(text_of);
            let is_there = protocol.key.as_option().is_some_and(|key| key.id.is_some());
            Some(match body {
                Some(body) if is_there => ParsedBody::Edit { key: named(&protocol.key)?, body },
                _ => ParsedBody::unknown("protocol_message.edit"),
            })
        }
        _ => None,
    }
}

/// The key of a message, when its id can be one.
fn named(key: &MessageField<wa::MessageKey>) -> Option<wa::MessageKey> {
    let key = key.as_option()?;
    border::id(key.id.as_deref()?)?;
    Some(key.clone())
}

fn change(outer: &wa::Message, base: &wa::Message) -> Option<ParsedBody> {
    if let Some(reaction) = base.reaction_message.as_option() {
        let (key, emoji) = (named(&reaction.key)?, border::emoji(&reaction.text)?);
        return Some(ParsedBody::Reaction { key, emoji });
    }
    if let Some(pin) = base.pin_in_chat_message.as_option() {
        let key = named(&pin.key)?;
        let seconds = match pin.r#type {
            Some(pin_in_chat_message::Type::UNPIN_FOR_ALL) => None,
            _ => Some(pin_seconds(base).or_else(|| pin_seconds(outer)).unwrap_or(PIN_SECONDS)),
        };
        return Some(ParsedBody::Pin { key, seconds });
    }
    let update = base.poll_update_message.as_option()?;
    let key = named(&update.poll_creation_message_key)?;
    let vote = update.vote.as_option()?;
    Some(ParsedBody::Vote { key, payload: vote.enc_payload.clone()?, iv: vote.enc_iv.clone()? })
}

/// Whether it would change something whose id is none, or with something that is no emoji.
fn changes_nothing(base: &wa::Message) -> bool {
    let reaction = base.reaction_message.as_option();
    let keys = [
        reaction.and_then(|reaction| reaction.key.as_option()),
        base.pin_in_chat_message.as_option().and_then(|pin| pin.key.as_option()),
        base.poll_update_message
            .as_option()
            .and_then(|update| update.poll_creation_message_key.as_option()),
    ];
    let mut ids = keys.into_iter().flatten().filter_map(|key| key.id.as_deref());
    ids.any(|id| border::id(id).is_none())
        || reaction.is_some_and(|reaction| border::emoji(&reaction.text).is_none())
}

fn pin_seconds(message: &wa::Message) -> Option<u32> {
    let context = message.message_context_info.as_option()?;
    context.message_add_on_duration_in_secs.filter(|seconds| *seconds > 0)
}

/// The text of a message, or the caption of its file.
fn text_of(message: &wa::Message) -> Option<String> {
    let base = unwrapped(message);
    base.text_content().or_else(|| base.get_caption()).map(str::to_owned)
}

/// The library unwraps each kind of envelope once and in one order; phones nest them otherwise too.
fn unwrapped(message: &wa::Message) -> &wa::Message {
    /// Deeper than any phone nests.
    const DEPTH: usize = 4;
    let mut base = message;
    for _ in 0..DEPTH {
        let mut inner = base.get_base_message();
        // Two envelopes that the library does not open.
        for envelope in [&inner.lottie_sticker_message, &inner.poll_creation_message_v4] {
            if let Some(message) = envelope.as_option().and_then(|e| e.message.as_option()) {
                inner = message;
                break;
            }
        }
        if std::ptr::eq(inner, base) {
            break;
        }
        base = inner;
    }
    base
}

/// What a message quotes and whom it mentions.
fn context(base: &wa::Message) -> Option<&wa::ContextInfo> {
    macro_rules! first_set {
        ($($field:ident),* $(,)?) => {
            $(if let Some(context) =
                base.$field.as_option().and_then(|message| message.context_info.as_option())
            {
                return Some(context);
            })*
        };
    }
    first_set!(
        extended_text_message,
        image_message,
        video_message,
        ptv_message,
        audio_message,
        document_message,
        sticker_message,
        location_message,
        live_location_message,
        contact_message,
        contacts_array_message,
        poll_creation_message,
        poll_creation_message_v2,
        poll_creation_message_v3,
        poll_creation_message_v5,
        poll_creation_message_v6,
        list_response_message,
        buttons_response_message,
        template_button_reply_message,
        interactive_response_message,
        product_message,
        order_message,
        group_invite_message,
        event_message,
    );
    None
}

fn quoted(context: &wa::ContextInfo) -> Option<Quoted> {
    let id = border::id(context.stanza_id.as_deref()?)?;
    let body = context.quoted_message.as_option().and_then(text_of);
    Some(Quoted { id, body: body.unwrap_or_default() })
}

#[cfg(test)]
mod tests;
