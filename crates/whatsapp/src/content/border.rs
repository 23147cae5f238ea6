//! What a sender chooses in addition to the text, bounded. Encrypted end to end: WhatsApp has not looked at it.
//!
//! Ids become part of idempotency keys and headers, names and types of headers, paths of URLs. What is not of the form
//! that phones write is dropped.

use domain::WaMessageId;

/// Longest id of a message. Phones write 20 to 32 characters.
const ID_CHARS_MAX: usize = 128;
/// Longest type of a file.
const MIMETYPE_CHARS_MAX: usize = 127;
/// Longest name of a file: what file systems take.
const FILENAME_CHARS_MAX: usize = 255;
/// Longest URL that is taken over; a longer one is left out.
const URL_CHARS_MAX: usize = 2048;
/// Ten bytes for each 64 KiB of a file of 2 GiB.
const SIDECAR_BYTES_MAX: usize = 10 * 32 * 1024;
/// Longest emoji of a reaction, bytes: families with skin tones have about 40.
const EMOJI_BYTES_MAX: usize = 128;

/// The id of a message.
pub(crate) fn id(text: &str) -> Option<WaMessageId> {
    let fits = (1..=ID_CHARS_MAX).contains(&text.len()) && is_visible(text);
    fits.then(|| WaMessageId::from_wire(text))
}

/// The type of a file, e.g. `audio/ogg; codecs=opus`.
pub(super) fn mimetype(text: &Option<String>) -> Option<String> {
    let text = text.as_deref()?.trim();
    let visible = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    let (kind, rest) = text.split_once('/')?;
    let named = !kind.is_empty() && !rest.is_empty() && !kind.contains(' ');
    (visible && named && text.len() <= MIMETYPE_CHARS_MAX).then(|| text.to_owned())
}

/// The name of a file, without what cannot be seen in it or turns the rest around.
pub(super) fn filename(text: &Option<String>) -> Option<String> {
    let shown = text.as_deref()?.chars().filter(|c| !c.is_control() && !is_direction(*c));
    let name: String = shown.take(FILENAME_CHARS_MAX).collect();
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

/// A URL, unless it is too long or has invisible characters.
pub(super) fn url(text: &Option<String>) -> Option<String> {
    let text = text.as_deref()?;
    (text.len() <= URL_CHARS_MAX && is_visible(text)).then(|| text.to_owned())
}

/// What streams of a file are checked with.
pub(super) fn sidecar(bytes: &Option<Vec<u8>>) -> Vec<u8> {
    bytes.clone().filter(|bytes| bytes.len() <= SIDECAR_BYTES_MAX).unwrap_or_default()
}

/// The emoji of a reaction; an empty one takes it back.
pub(super) fn emoji(text: &Option<String>) -> Option<String> {
    let text = text.as_deref().unwrap_or_default();
    (text.len() <= EMOJI_BYTES_MAX && !text.chars().any(char::is_control)).then(|| text.to_owned())
}

fn is_visible(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Marks that write what follows from right to left: `gpj.exe` shown as `exe.jpg`.
const fn is_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn ids_are_visible_and_short() {
        for good in ["3EB0C767D26E8A4F1B2C", "3A", "false_4917@c.us_3A", &"x".repeat(128)] {
            assert_eq!(id(good), Some(WaMessageId::from_wire(good)));
        }
        for bad in ["", "a b", "a\nb", "a\0", "ä", "3A\u{202e}", "\u{7f}", &"x".repeat(129)] {
            assert_eq!(id(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn types_have_the_form_of_types() {
        for good in ["image/jpeg", "audio/ogg; codecs=opus", "application/vnd.ms-excel"] {
            assert_eq!(mimetype(&some(good)).as_deref(), Some(good));
        }
        for bad in ["", "jpeg", "/", "image/", "text/html\r\nx: y", "i mage/x", &"a/".repeat(64)] {
            assert_eq!(mimetype(&some(bad)), None, "{bad:?}");
        }
    }

    #[test]
    fn names_lose_what_cannot_be_seen() {
        assert_eq!(filename(&some("bill.pdf")).as_deref(), Some("bill.pdf"));
        assert_eq!(filename(&some("Rechnung März.pdf")).as_deref(), Some("Rechnung März.pdf"));
        assert_eq!(filename(&some("a\r\nb\0.pdf")).as_deref(), Some("ab.pdf"));
        assert_eq!(filename(&some("\u{202e}gpj.exe")).as_deref(), Some("gpj.exe"));
        assert_eq!(filename(&some(" \u{1}\n ")), None);
        let long = filename(&some(&"ä".repeat(1000))).unwrap();
        assert_eq!(long.chars().count(), FILENAME_CHARS_MAX);
    }

    #[test]
    fn reactions_are_short() {
        assert_eq!(emoji(&None).as_deref(), Some(""));
        let family = "👩🏽\u{200d}👩🏽\u{200d}👧🏽\u{200d}👦🏽";
        assert_eq!(emoji(&some(family)).as_deref(), Some(family));
        assert_eq!(emoji(&some(&"x".repeat(129))), None);
        assert_eq!(emoji(&some("a\nb")), None);
    }

    #[test]
    fn the_rest_is_bounded() {
        assert!(url(&some("https://mmg.whatsapp.net/a")).is_some());
        assert!(url(&some("https://x/a b")).is_none() && url(&some(&"x".repeat(2049))).is_none());
        assert!(sidecar(&Some(vec![0; SIDECAR_BYTES_MAX + 1])).is_empty());
        assert_eq!(sidecar(&Some(vec![1; 20])).len(), 20);
    }
}
