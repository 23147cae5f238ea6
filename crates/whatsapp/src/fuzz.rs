//! Messages of strangers, as targets of a fuzzer: see the crate `fuzz`.

use domain::message::Content;
use whatsapp_rust::{buffa::Message as _, waproto::whatsapp as wa};

use crate::content::{self, ParsedBody};

/// A name, what is done with the bytes, inputs to begin with.
pub type FuzzTarget = (&'static str, fn(&[u8]), &'static [&'static [u8]]);

/// Every target of this crate. The seeds are the protobuf of a `Message`: a text, one with a
/// preview, a picture, a poll, a reaction, an edit, a document in a view-once envelope, a card, a location.
pub const TARGETS: &[FuzzTarget] = &[(
    "messages",
    message,
    &[
        b"\x0a\x05Hello",
        b"2l\x0a\x17see https://example.com\x12\x13https://example.com2\x05Title\x8a\x014\x0a\x06QU\
          OTED\x12\x1449170@s.whatsapp.netz\x1449171@s.whatsapp.net",
        b"\x1a\xa7\x01\x12\x0aimage/jpeg\x1a\x07caption\x22 \x01\x01\x01\x01\x01\x01\x01\x01\x01\
          \x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\
          \x01(\x90N0\x108\x10B \x02\x02\x02\x02\x02\x02\x02\x02\x02\x02\x02\x02\x02\x02\x02\x02\
          \x02\x02\x02\x02\x02\x02\x02\x02\x02\x02\x02\x02\x02\x02\x02\x02Z\x0e/v/t62/x?ccb=1\x8a\
          \x014\x0a\x06QUOTED\x12\x1449170@s.whatsapp.netz\x1449171@s.whatsapp.net",
        b"\x8a\x03\x12\x12\x04Poll\x1a\x03\x0a\x01a\x1a\x03\x0a\x01b \x01",
        b"\xf2\x02\x12\x0a\x08\x1a\x06ABCDEF\x12\x04\xf0\x9f\x98\x80 \x01",
        b"b\x16\x0a\x08\x1a\x06ABCDEF\x10\x0er\x08\x0a\x06edited",
        b"\xaa\x02\x1e\x0a\x1c:\x1a\x12\x0fapplication/pdfB\x05a.pdf(\x07",
        b"\x22@\x0a\x03Ann\x82\x018BEGIN:VCARD\x0aVERSION:3.0\x0aTEL;waid=49170:+49 170\x0aEND:VCARD",
        b"*\x18\x09\x00\x00\x00\x00\x00\x00\x00\x00\x11\x00\x00\x00\x00\x00\x00\x00\x00\x1a\x04Shop",
    ],
)];

/// A message is read, or passed over; what a sender chooses is bounded.
fn message(bytes: &[u8]) {
    let Ok(message) = wa::Message::decode_from_slice(bytes) else { return };
    let _ = content::poll_secret(&message);
    let Some(parsed) = content::read(&message) else { return };
    if let Some(quoted) = &parsed.quoted {
        assert!((1..=128).contains(&quoted.id.as_str().len()), "the id of a quoted message");
    }
    assert!(parsed.mentions.len() <= 1024, "{} mentions", parsed.mentions.len());
    match &parsed.body {
        ParsedBody::Content(Content::Media(media)) => {
            assert!(media.mimetype.len() <= 127, "a type of {} bytes", media.mimetype.len());
            let name = media.filename.as_deref().unwrap_or("a");
            assert!(!name.contains(char::is_control) && name.chars().count() <= 255, "{name:?}");
        }
        ParsedBody::Reaction { emoji, .. } => assert!(emoji.len() <= 128, "{emoji:?}"),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Inputs that the target is given.
    const CASES: u32 = 40_000;

    #[test]
    fn messages_of_strangers_are_read_or_passed_over() {
        for (_, target, seeds) in TARGETS {
            testkit::mutate(4, seeds, CASES, *target);
        }
    }

    #[test]
    fn the_seeds_are_messages() {
        for (_, _, seeds) in TARGETS {
            for seed in *seeds {
                let message = wa::Message::decode_from_slice(seed);
                let read = message.as_ref().ok().and_then(content::read);
                assert!(read.is_some(), "{}", seed.escape_ascii());
            }
        }
    }
}
