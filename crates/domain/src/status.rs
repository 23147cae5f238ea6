//! WhatsApp's 24-hour posts: what is the same for a status of ours and for one of somebody else.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::address::ChatId;

/// How long a status is shown.
pub const STATUS_LIFE: Duration = Duration::from_secs(24 * 60 * 60);
/// Most people whom a request may name as those who see a status (OpenWA's limit).
pub const STATUS_RECIPIENTS_MAX: usize = 256;
/// Most people of the address book who see a status for which nobody is named. Each costs a look-up of devices.
pub const STATUS_AUDIENCE_MAX: usize = 5_000;
/// The fonts of a text status, as the protocol numbers them.
pub const STATUS_FONTS: [u8; 8] = [0, 1, 2, 6, 7, 8, 9, 10];

/// The chat of all statuses.
///
/// # Panics
/// Never: the text is a chat id.
pub fn status_chat() -> ChatId {
    "status@broadcast".parse().expect("it is a chat id")
}

/// How the text of a status looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextStyle {
    /// The colour behind it: red, green and blue, a byte each.
    pub background: Option<u32>,
    /// One of [`STATUS_FONTS`], or a newer one.
    pub font: Option<u8>,
}

impl TextStyle {
    /// Whether it says nothing.
    pub const fn is_plain(self) -> bool {
        self.background.is_none() && self.font.is_none()
    }
}

/// What a message has in addition when it is a status of this account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusPost {
    /// Who sees it: the same people take part in its end.
    pub audience: Vec<ChatId>,
    /// How its text looks.
    #[serde(default)]
    pub style: TextStyle,
}

/// Reads a colour as people write it, `#RRGGBB`.
pub fn parse_colour(text: &str) -> Option<u32> {
    let digits = text.strip_prefix('#')?;
    let plain = digits.len() == 6 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    plain.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
}

/// A colour as people write it, without the byte of its transparency.
pub fn colour(rgb: u32) -> String {
    format!("#{:06X}", rgb & 0x00ff_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_read_back_and_nonsense_is_refused() {
        for (text, value) in [("#1E6E4F", 0x001e_6e4f), ("#ffffff", 0x00ff_ffff), ("#000000", 0)] {
            assert_eq!(parse_colour(text), Some(value));
            assert_eq!(colour(value), text.to_uppercase());
        }
        assert_eq!(colour(0xff1e_6e4f), "#1E6E4F", "without the transparency");
        for text in ["", "1E6E4F", "#1E6E4", "#1E6E4F0", "#+1E6E4", "red", "#ÄÄÄ"] {
            assert_eq!(parse_colour(text), None, "{text}");
        }
        assert_eq!(status_chat().kind(), crate::address::ChatKind::Status);
    }
}
