//! What a caller may ask for, and what it is told.

use std::collections::BTreeMap;

use domain::{
    ChatId, TemplateId, WaMessageId,
    content::{LinkPreview, Location, MediaKind, Poll},
    message::MessageStatus,
    port::KeptMedia,
    status::TextStyle,
    visible::{self, Unshown},
};

/// A message to send.
#[derive(Debug, Clone, PartialEq)]
pub struct ToSend {
    /// The chat that it goes to.
    pub chat: ChatId,
    /// What the message says.
    pub say: Say,
    /// Ids of the people that it mentions.
    pub mentions: Vec<ChatId>,
    /// The message that it answers.
    pub quoted: Option<QuoteRef>,
}

/// A message to quote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuoteRef {
    /// WhatsApp's id of it.
    pub id: WaMessageId,
    /// It must be a message of the same chat.
    pub in_chat: bool,
}

/// What a message is to say.
#[derive(Debug, Clone, PartialEq)]
pub enum Say {
    /// A text, with the card of a link.
    Text {
        /// The text of the message.
        text: String,
        /// The card above it.
        preview: Preview,
    },
    /// A file, shown as its kind.
    Media {
        /// The kind of file.
        kind: MediaKind,
        /// Where it comes from.
        input: MediaInput,
        /// Its type; else the one its server says, else the usual one of its sort.
        mimetype: Option<String>,
        /// The name of the file, when it has one.
        filename: Option<String>,
        /// The text under it.
        caption: Option<String>,
    },
    /// A place on the map.
    Location(Location),
    /// The address card of a person.
    Contact {
        /// The name on the card.
        name: String,
        /// The number on the card, as it was given.
        number: String,
    },
    /// A question with options.
    Poll(Poll),
    /// A status: a text, a picture, a video or a voice note.
    Status(Box<StatusSay>),
    /// A product of the account's own catalogue.
    Product {
        /// WhatsApp's id of the product.
        id: String,
        /// What is written about it.
        body: Option<String>,
    },
    /// The press of a button under a message of the same chat.
    ButtonReply {
        /// WhatsApp's id of the message with the buttons.
        message: WaMessageId,
        /// The button, by its id.
        button: String,
        /// What stands on it, when that is not what the message says.
        text: Option<String>,
    },
    /// A stored message once more.
    Forward {
        /// The chat it stands in.
        from: ChatId,
        /// WhatsApp's id of it.
        id: WaMessageId,
    },
}

/// A status to post.
#[derive(Debug, Clone, PartialEq)]
pub struct StatusSay {
    /// What it shows: a text or a file.
    pub say: Say,
    /// How its text looks.
    pub style: TextStyle,
    /// Who sees it; without names the people of the address book.
    pub recipients: Option<Vec<ChatId>>,
}

/// The card above a text with a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Preview {
    /// No card is made.
    Off,
    /// What the session's settings say.
    Usual,
    /// From the page behind the first link, where it can be had in time.
    Fetch,
    /// The card that the caller gave.
    Card(Box<Card>),
}

/// A card as a caller wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// The link, title and description that the card shows.
    pub preview: LinkPreview,
    /// Where its picture comes from.
    pub picture: Option<MediaInput>,
}

/// Where a file comes from.
#[derive(Clone, PartialEq, Eq)]
pub enum MediaInput {
    /// The web server behind this address.
    Url(String),
    /// The request itself, in base64.
    Base64(String),
    /// The media store: it is there already.
    Kept(KeptMedia),
}

impl std::fmt::Debug for MediaInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            // Addresses may hold passwords.
            Self::Url(_) => f.write_str("Url"),
            Self::Base64(text) => write!(f, "Base64({} characters)", text.len()),
            Self::Kept(kept) => write!(f, "Kept({})", kept.id.as_str()),
        }
    }
}

/// A template and what fills it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateSend {
    /// The chat that it goes to.
    pub chat: ChatId,
    /// The template that is filled.
    pub template: TemplateRef,
    /// The values of its placeholders.
    pub variables: BTreeMap<String, String>,
    /// Ids of the people that it mentions.
    pub mentions: Vec<ChatId>,
    /// The card above it.
    pub preview: Preview,
}

/// How a template is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplateRef {
    /// The template with this id.
    Id(TemplateId),
    /// The template with this name.
    Name(String),
}

/// The key of an idempotent send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// As the caller sent it.
    pub key: String,
    /// Route and body, see [`domain::idempotency::fingerprint`].
    pub fingerprint: String,
}

/// A message on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// WhatsApp's id, chosen by us.
    pub id: WaMessageId,
    /// WhatsApp's time where it answered, else ours; epoch seconds.
    pub timestamp: i64,
    /// `sent`, or `pending` when WhatsApp did not answer in time: it is reconciled later, and told as an event.
    pub status: MessageStatus,
    /// The chat it went to, when WhatsApp knows the number under another spelling than the one that was asked for.
    pub resolved_to: Option<ChatId>,
}

/// The answer to a send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// The message as it was sent.
    pub sent: Sent,
    /// The key was used before; nothing was sent now.
    pub replayed: bool,
}

impl Say {
    /// Refuses what phones would not show.
    ///
    /// # Errors
    /// What to change.
    pub(crate) fn check(&self) -> Result<(), Unshown> {
        match self {
            Self::Text { text, .. } => visible::check("text", text),
            Self::Contact { name, .. } => visible::check("contactName", name),
            Self::Poll(poll) => visible::check_poll(poll),
            Self::Status(post) => post.say.check(),
            Self::ButtonReply { text: Some(text), .. } => visible::check("text", text),
            Self::Media { .. }
            | Self::Location(_)
            | Self::Product { .. }
            | Self::ButtonReply { .. }
            | Self::Forward { .. } => Ok(()),
        }
    }

    /// OpenWA's word for hooks.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Text { .. } => "text",
            Self::Media { kind, .. } => kind.as_str(),
            Self::Location(_) => "location",
            Self::Contact { .. } => "contact",
            Self::Poll(_) => "poll",
            Self::Status(_) => "status",
            Self::Product { .. } => "product",
            Self::ButtonReply { .. } => "button",
            Self::Forward { .. } => "forward",
        }
    }
}
