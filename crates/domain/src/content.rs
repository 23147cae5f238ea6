//! What a message stanza says, in both directions: things to read, and changes to a message that exists.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{address::ChatId, catalogue::Product, ids::WaMessageId, message::MessageType};

/// Longest caption, in characters (OpenWA's limit).
pub const CAPTION_CHARS_MAX: usize = 1024;
/// Fewest and most options of a poll.
pub const POLL_OPTIONS: std::ops::RangeInclusive<usize> = 2..=12;

/// What a message says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Content {
    /// A text, perhaps with a link preview.
    Text {
        /// The text of the message.
        body: String,
        /// The card shown above it.
        preview: Option<LinkPreview>,
    },
    /// A file, with or without a caption.
    Media(Box<Media>),
    /// A point on the map.
    Location(Location),
    /// One or more address cards; never empty.
    Contacts {
        /// The address cards, at least one.
        cards: Vec<ContactCard>,
    },
    /// A question with options.
    Poll(Poll),
    /// A product of a catalogue.
    Product(Box<ProductCard>),
    /// A text with buttons under it.
    Buttons {
        /// The text above them.
        body: String,
        /// The buttons, at least one.
        buttons: Vec<Button>,
        /// How the protocol writes them, and so the answer.
        form: ButtonForm,
    },
    /// The press of a button. It quotes the message with the buttons.
    ButtonReply {
        /// The button that was pressed.
        button: Button,
        /// How the message with the buttons was written.
        form: ButtonForm,
    },
    /// An emoji on a message; empty takes it back.
    Reaction {
        /// The message that gets the emoji.
        target: Target,
        /// The emoji; empty takes the reaction back.
        emoji: String,
    },
    /// A new text for a message of the same author.
    Edit {
        /// The message whose text is replaced.
        target: Target,
        /// The new text or caption.
        body: String,
        /// The file whose caption it is, with the new one. Of edits that go out: phones take a text instead, for a
        /// text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        file: Option<Box<Media>>,
    },
    /// A message is taken back for everyone.
    Revoke {
        /// The message that is changed.
        target: Target,
    },
    /// A message is pinned in its chat.
    Pin {
        /// The message that is changed.
        target: Target,
        /// For how many seconds; `None` unpins.
        seconds: Option<u32>,
    },
    /// An answer to a poll; replaces the voter's earlier one.
    Vote {
        /// The message that carries the poll.
        poll: Target,
        /// The chosen options; empty takes the vote back.
        options: Vec<OptionHash>,
    },
    /// Something that this version stores as `unknown`; the word is the protocol's.
    Unknown {
        /// The protocol's own word for it.
        protocol_kind: String,
    },
    /// It could not be decrypted; the sender was asked for it again, and a message with the same id may follow.
    Undecryptable,
}

impl Content {
    /// Plain text without a card.
    pub fn text(body: impl Into<String>) -> Self {
        Self::Text { body: body.into(), preview: None }
    }

    /// The message this one changes, if it is no message of its own.
    pub fn target(&self) -> Option<&Target> {
        match self {
            Self::Reaction { target, .. }
            | Self::Edit { target, .. }
            | Self::Revoke { target }
            | Self::Pin { target, .. }
            | Self::Vote { poll: target, .. } => Some(target),
            _ => None,
        }
    }

    /// OpenWA's type of the message.
    pub fn kind(&self) -> MessageType {
        match self {
            Self::Text { .. } => MessageType::Text,
            Self::Media(media) => media.kind.message_type(),
            Self::Location(_) => MessageType::Location,
            Self::Contacts { .. } => MessageType::Contact,
            Self::Poll(_) => MessageType::Poll,
            Self::Product(_) => MessageType::Product,
            Self::Buttons { .. } | Self::ButtonReply { .. } => MessageType::Text,
            Self::Revoke { .. } => MessageType::Revoked,
            Self::Undecryptable => MessageType::Masked,
            _ => MessageType::Unknown,
        }
    }

    /// The text a person reads: body, caption, the poll's question, the place's name, the cards as vCards.
    pub fn body(&self) -> Option<String> {
        match self {
            Self::Text { body, .. } | Self::Edit { body, .. } | Self::Buttons { body, .. } => {
                Some(body.clone())
            }
            Self::ButtonReply { button, .. } => Some(button.text.clone()),
            Self::Product(card) => card.body.clone(),
            Self::Media(media) => media.caption.clone(),
            Self::Location(location) => location.description.clone(),
            Self::Contacts { cards } => {
                Some(cards.iter().map(|card| card.vcard.as_str()).collect::<Vec<_>>().join("\n"))
            }
            Self::Poll(poll) => Some(poll.name.clone()),
            Self::Reaction { emoji, .. } => Some(emoji.clone()),
            _ => None,
        }
    }
}

/// A message that another one is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// WhatsApp's id of the message.
    pub id: WaMessageId,
    /// Whether this account wrote it.
    pub from_me: bool,
    /// Who wrote it, in groups.
    pub author: Option<ChatId>,
}

/// The card above a text with a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkPreview {
    /// The link, as it stands in the text.
    pub url: String,
    /// The title of the linked page.
    pub title: String,
    /// A sentence about it.
    pub description: Option<String>,
    /// A small JPEG of the page's picture; empty when there is none. Of messages that go out; nobody needs it of
    /// others.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "hex::serde")]
    pub thumbnail: Vec<u8>,
}

/// The kind of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the words are OpenWA's own and say it")]
pub enum MediaKind {
    Image,
    Video,
    Audio,
    Voice,
    Document,
    Sticker,
}

impl MediaKind {
    /// Every kind of file that a message can carry.
    pub const ALL: [Self; 6] =
        [Self::Image, Self::Video, Self::Audio, Self::Voice, Self::Document, Self::Sticker];

    /// The message type under which OpenWA lists such a file.
    pub const fn message_type(self) -> MessageType {
        match self {
            Self::Image => MessageType::Image,
            Self::Video => MessageType::Video,
            Self::Audio => MessageType::Audio,
            Self::Voice => MessageType::Voice,
            Self::Document => MessageType::Document,
            Self::Sticker => MessageType::Sticker,
        }
    }

    /// The stored word, the same as the message type's.
    pub const fn as_str(self) -> &'static str {
        self.message_type().as_str()
    }

    /// Reads the stored word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A file in a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Media {
    /// The kind of file.
    pub kind: MediaKind,
    /// Its type, for instance `image/jpeg`.
    pub mimetype: String,
    /// The name of the file, when it has one.
    pub filename: Option<String>,
    /// The text under it.
    pub caption: Option<String>,
    /// Bytes of the file as the recipient sees it.
    pub size_bytes: u64,
    /// How long it plays.
    pub seconds: Option<u32>,
    /// What phones show of it before it is there. Of files that go out; nobody needs it of others.
    #[serde(default, skip_serializing_if = "MediaLook::is_empty")]
    pub look: MediaLook,
    /// Where WhatsApp keeps it. `None` before the upload, and when the sender left it out.
    pub remote: Option<RemoteMedia>,
}

/// What phones show of a file before it is there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MediaLook {
    /// Of a picture or video, in pixels.
    pub width: Option<u32>,
    /// Of a picture or video, in pixels.
    pub height: Option<u32>,
    /// How loud a voice note is over its time: 64 bars of 0 to 100. Empty when not known.
    #[serde(with = "hex::serde")]
    pub waveform: Vec<u8>,
    /// A small JPEG. Empty when there is none.
    #[serde(with = "hex::serde")]
    pub thumbnail: Vec<u8>,
}

impl MediaLook {
    /// An empty one, also where no default can be called.
    pub const EMPTY: Self =
        Self { width: None, height: None, waveform: Vec::new(), thumbnail: Vec::new() };

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        *self == Self::EMPTY
    }
}

/// Where WhatsApp keeps a file, and how it is opened. `Debug` hides the key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteMedia {
    /// The full address the uploader got; may be empty.
    pub url: String,
    /// The path on any media host.
    pub direct_path: String,
    /// Decrypts the file, 32 bytes.
    #[serde(with = "hex::serde")]
    pub media_key: Vec<u8>,
    /// Epoch seconds of the key.
    pub media_key_timestamp: i64,
    /// SHA-256 of the plain file.
    #[serde(with = "hex::serde")]
    pub sha256: Vec<u8>,
    /// SHA-256 of the encrypted file.
    #[serde(with = "hex::serde")]
    pub enc_sha256: Vec<u8>,
    /// Bytes of the plain file.
    pub length: u64,
    /// Lets a video or audio be checked while it plays.
    #[serde(with = "hex::serde", default)]
    pub streaming_sidecar: Vec<u8>,
}

impl fmt::Debug for RemoteMedia {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteMedia").field("length", &self.length).finish_non_exhaustive()
    }
}

/// A point on the map, with what the sender wrote about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Location {
    /// Degrees north, -90 to 90.
    pub latitude: f64,
    /// Degrees east, -180 to 180.
    pub longitude: f64,
    /// The name of the place.
    pub description: Option<String>,
    /// The postal address, as the sender wrote it.
    pub address: Option<String>,
    /// A link the sender added.
    pub url: Option<String>,
}

/// The address card of one person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContactCard {
    /// The name of the person on the card.
    pub name: String,
    /// The card itself, vCard 3.0.
    pub vcard: String,
}

/// A question with the options that can be voted for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Poll {
    /// The question that the poll asks.
    pub name: String,
    /// What can be chosen, in order.
    pub options: Vec<String>,
    /// Whether more than one may be chosen.
    pub allow_multiple_answers: bool,
}

impl Poll {
    /// The options behind hashes, in the poll's order. Hashes that fit none are left out.
    pub fn chosen(&self, hashes: &[OptionHash]) -> Vec<&str> {
        let chosen = |option: &&String| hashes.contains(&OptionHash::of(option));
        self.options.iter().filter(chosen).map(String::as_str).collect()
    }
}

/// A product in a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductCard {
    /// The product, as its catalogue has it.
    pub product: Product,
    /// Whose catalogue it is in, when the message says so.
    pub owner: Option<ChatId>,
    /// What the sender writes about it.
    pub body: Option<String>,
    /// Its picture, of messages that go out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub picture: Option<Box<Media>>,
}

/// A button under a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Button {
    /// What tells it from the others; the sender chose it.
    pub id: String,
    /// What stands on it.
    pub text: String,
}

/// How the protocol writes buttons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ButtonForm {
    /// A list of plain buttons.
    Plain,
    /// The buttons of a template of WhatsApp.
    Template,
}

/// How a vote names an option: the SHA-256 of its text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OptionHash(#[serde(with = "hex::serde")] [u8; 32]);

impl OptionHash {
    /// Of an option's text.
    pub fn of(option: &str) -> Self {
        Self(Sha256::digest(option.as_bytes()).into())
    }

    /// From the wire; `None` unless it is 32 bytes.
    pub fn from_wire(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The hash as WhatsApp sends it.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// A vCard 3.0 of one person with one number, as phones write it.
pub fn vcard(name: &str, number: &str) -> String {
    let name = escape(name);
    let digits: String = number.chars().filter(char::is_ascii_digit).collect();
    format!(
        "BEGIN:VCARD\nVERSION:3.0\nN:;{name};;;\nFN:{name}\n\
         TEL;type=CELL;type=VOICE;waid={digits}:+{digits}\nEND:VCARD"
    )
}

/// RFC 2426, section 5: these characters end a value unless escaped.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | ',' | ';' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => {}
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn votes_name_options_by_hash() {
        let options = ["Cake".to_owned(), "Bread".to_owned(), "Tea".to_owned()];
        let poll =
            Poll { name: "What?".into(), options: options.into(), allow_multiple_answers: true };
        let hashes = [OptionHash::of("Tea"), OptionHash::of("Cake"), OptionHash::of("Beer")];
        assert_eq!(poll.chosen(&hashes), ["Cake", "Tea"]);
        assert_eq!(OptionHash::from_wire(&[1, 2]), None);
    }

    #[test]
    fn content_survives_the_ledger() {
        let remote = RemoteMedia {
            url: String::new(),
            direct_path: "/v/1".into(),
            media_key: vec![7; 32],
            media_key_timestamp: 1,
            sha256: vec![1; 32],
            enc_sha256: vec![2; 32],
            length: 3,
            streaming_sidecar: vec![],
        };
        assert!(!format!("{remote:?}").contains('7'));
        let media = Content::Media(Box::new(Media {
            kind: MediaKind::Voice,
            mimetype: "audio/ogg; codecs=opus".into(),
            filename: None,
            caption: None,
            size_bytes: 3,
            seconds: Some(1),
            look: MediaLook::EMPTY,
            remote: Some(remote),
        }));
        let vote = Content::Vote {
            poll: Target { id: WaMessageId::from_wire("3A"), from_me: true, author: None },
            options: vec![OptionHash::of("Tea")],
        };
        for content in [Content::text("hello"), media, vote, Content::Undecryptable] {
            let text = serde_json::to_string(&content).unwrap();
            assert_eq!(serde_json::from_str::<Content>(&text).unwrap(), content, "{text}");
        }
    }

    #[test]
    fn a_card_cannot_be_broken_out_of() {
        let card = vcard("Mia; \nTEL:1", "+49 170-111");
        assert_eq!(card.lines().count(), 6, "{card}");
        assert!(card.contains("FN:Mia\\; \\nTEL:1"));
        assert!(card.contains("waid=49170111:+49170111"));
    }
}
