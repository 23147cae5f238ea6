//! Labels that a business account puts on its chats. All devices of the account share them.

use std::{fmt, str::FromStr};

use crate::{address::ChatId, time::Timestamp};

/// Longest name of a label, in characters (OpenWA's limit).
pub const LABEL_NAME_CHARS_MAX: usize = 100;
/// How many colours there are: a label has one of 0 to 19.
pub const LABEL_COLOURS: u8 = 20;
/// Longest id of a label, in characters. WhatsApp counts them from 1.
const ID_CHARS_MAX: usize = 32;

/// The colours of labels as WhatsApp Web shows them, by their number.
const COLOURS: [&str; LABEL_COLOURS as usize] = [
    "#FF9485", "#64C4FF", "#FFD429", "#DFAEF0", "#99B6C1", "#55CCB3", "#FF9DFF", "#D3A91D",
    "#6D7CCE", "#D7E752", "#00D0E2", "#FFC5C7", "#93CEAC", "#F74848", "#00A0F2", "#83E422",
    "#FFAF04", "#B5EBFF", "#9BA6FF", "#9368CF",
];

/// WhatsApp's id of a label within its account: letters, digits, hyphens and underscores.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LabelId(String);

/// The text is no id of a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("labelId must be 1 to 32 letters, digits, hyphens or underscores")]
pub struct InvalidLabelId;

impl LabelId {
    /// The text of the id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for LabelId {
    type Err = InvalidLabelId;

    fn from_str(text: &str) -> Result<Self, InvalidLabelId> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        let fits = (1..=ID_CHARS_MAX).contains(&text.len()) && text.bytes().all(plain);
        if fits { Ok(Self(text.to_owned())) } else { Err(InvalidLabelId) }
    }
}

impl fmt::Display for LabelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A label of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// WhatsApp's id of the label.
    pub id: LabelId,
    /// What it is called.
    pub name: String,
    /// The number of its colour; WhatsApp may have newer ones than are known here.
    pub colour: u8,
}

impl Label {
    /// Its colour as people write it; the first one for a number that is not known here.
    pub fn hex_colour(&self) -> &'static str {
        COLOURS.get(usize::from(self.colour)).unwrap_or(&COLOURS[0])
    }
}

/// A change of labels, or of which chats have them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LabelChange {
    /// A label is there, with this name and colour.
    Upsert(Label),
    /// A label is gone, from all chats too.
    Delete(LabelId),
    /// A chat has a label.
    Add(LabelId, ChatId),
    /// A chat no longer has a label.
    Remove(LabelId, ChatId),
}

impl LabelChange {
    /// The label that it is about.
    pub const fn label(&self) -> &LabelId {
        match self {
            Self::Upsert(label) => &label.id,
            Self::Delete(id) | Self::Add(id, _) | Self::Remove(id, _) => id,
        }
    }

    /// The chat that it is about, if it is about one.
    pub const fn chat(&self) -> Option<&ChatId> {
        match self {
            Self::Upsert(_) | Self::Delete(_) => None,
            Self::Add(_, chat) | Self::Remove(_, chat) => Some(chat),
        }
    }
}

/// A change of labels that another device of the account made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelSignal {
    /// What is different now.
    pub change: LabelChange,
    /// When it was made, as that device says.
    pub at: Timestamp,
    /// It is of the state that this device was given as a whole, and may be old.
    pub backfilled: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_short_and_plain() {
        for text in ["1", "20", "label-7_b"] {
            assert_eq!(text.parse::<LabelId>().unwrap().as_str(), text);
        }
        for text in ["", " ", "a b", "1/2", "ä", &"1".repeat(33)] {
            assert_eq!(text.parse::<LabelId>(), Err(InvalidLabelId), "{text}");
        }
    }

    #[test]
    fn every_colour_has_a_value() {
        let label = |colour| Label { id: "1".parse().unwrap(), name: "New".into(), colour };
        assert_eq!(label(1).hex_colour(), "#64C4FF");
        assert_eq!(label(19).hex_colour(), "#9368CF");
        assert_eq!(label(200).hex_colour(), label(0).hex_colour(), "a newer one");
    }
}
