//! The rules of [`domain`] that read what strangers write, as targets of a fuzzer.
//!
//! A target is a name, a function that panics when a promise does not hold, and inputs to begin with. `cargo xtask
//! fuzz` looks for inputs by the code that they reach; the tests here try what lies near the seeds. The parsers of
//! the other crates have such a list of their own, in their `fuzz` modules.

use std::collections::BTreeMap;

use domain::{
    ChatId, PhoneNumber, Timestamp,
    event::EventType,
    filter::Filters,
    phone,
    proxy::ProxyUrl,
    template::{self, RENDERED_CHARS_MAX},
};

/// A name, what is done with the bytes, inputs to begin with.
pub type Target = (&'static str, fn(&[u8]), &'static [&'static [u8]]);

/// Every target of this crate.
pub const TARGETS: &[Target] = &[
    (
        "chat-ids",
        chat_ids,
        &[
            b"4917012345678@c.us",
            b"120363041234567890@g.us",
            b"+49 (0) 170 / 123-45 67",
            b"tel:+49-170-1234567;ext=12",
            b"4.91701E+12",
            b"status@broadcast",
            b"123@newsletter",
            b"98765@lid",
            b"4917012345678:12@s.whatsapp.net",
        ],
    ),
    (
        "filters",
        filters,
        &[
            br#"{"conditions":[{"field":"body","operator":"contains","value":"hello"}]}
{"body":"Hello you","from":"4917012345678@c.us","fromMe":false}"#,
            br#"{"conditions":[{"field":"from","operator":"is","value":["a","b"],"caseSensitive":true}]}
{"from":"a"}"#,
            br#"{"conditions":[{"field":"isGroup","operator":"equals","value":true}]}
{"isGroup":true}"#,
        ],
    ),
    (
        "templates",
        templates,
        &[
            b"Hello {{name}}, order {{ order.no }} is {ready} \\{\\}",
            b"{{1}}{{2}}{{First Name}}{{}}{{{name}}}",
            "{{\u{a0}name\u{202e}}}".as_bytes(),
        ],
    ),
    (
        "times-and-addresses",
        times,
        &[
            b"2026-12-24T10:00:00+01:00",
            b"2026-12-24 10:00",
            b"2026-12-24",
            b"1790841600",
            b"Thu, 01 Oct 2026 08:00:00 GMT",
            b"socks5://user:password@proxy.example:1080",
        ],
    ),
];

/// Whatever a chat id or a number is read from, what comes out is one, and reads as itself.
fn chat_ids(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(chat) = text.parse::<ChatId>() {
        let again = chat.to_string().parse::<ChatId>();
        assert_eq!(again.as_ref(), Ok(&chat), "a chat id does not read as itself");
        assert!(chat.to_string().len() <= text.len() + 16, "a chat id grew");
        let user = chat.user();
        let hidden = user.len() > 6 && user.bytes().all(|b| b.is_ascii_digit());
        assert!(!hidden || !chat.masked().contains(user), "a masked chat id shows its number");
    }
    if let Ok(number) = phone::read(text) {
        let digits = number.digits();
        assert!((5..=15).contains(&digits.len()) && !digits.starts_with('0'), "{digits}");
        assert_eq!(PhoneNumber::parse(digits).as_ref(), Some(&number));
        let international = format!("+{digits}");
        assert_eq!(phone::read(&international).as_ref(), Ok(&number), "it reads as another one");
    }
}

/// Filters that are taken can be stored, read again, and asked about any event. The first line is the filters, the rest
/// an event.
fn filters(bytes: &[u8]) {
    let end = bytes.iter().position(|b| *b == b'\n').unwrap_or(bytes.len());
    let Ok(filters) = serde_json::from_slice::<Filters>(&bytes[..end]) else { return };
    if filters.validate().is_err() {
        return;
    }
    let stored = serde_json::to_string(&filters).expect("filters are JSON");
    let again: Filters = serde_json::from_str(&stored).expect("filters read what they wrote");
    assert_eq!(again, filters);
    let event = serde_json::from_slice(bytes.get(end + 1..).unwrap_or_default());
    let event = event.unwrap_or(serde_json::Value::Null);
    for kind in [EventType::MessageReceived, EventType::MessageSent, EventType::MessageReaction] {
        assert_eq!(filters.matches(kind, || &event), again.matches(kind, || &event));
    }
}

/// A text is filled, or the missing name is one that stands in it. What was filled in is never read again.
fn templates(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let value = "{{name}} \\{";
    let known = ["name", "1", "First Name", "order.no"];
    let variables: BTreeMap<String, String> =
        known.iter().map(|name| ((*name).to_owned(), value.to_owned())).collect();
    match template::render(text, &variables) {
        Ok(filled) => assert!(filled.chars().count() <= RENDERED_CHARS_MAX),
        Err(template::RenderError::Missing(name)) => {
            assert!(text.contains(&name), "{name:?} does not stand in the text");
        }
        Err(template::RenderError::TooLong) => {
            assert!(text.chars().count() * value.len() > RENDERED_CHARS_MAX);
        }
    }
    if !text.contains(['{', '\\']) {
        let same = template::render(text, &BTreeMap::new());
        assert_eq!(
            same.as_deref().ok(),
            Some(text).filter(|text| text.chars().count() <= RENDERED_CHARS_MAX)
        );
    }
}

/// Times and proxies: what is taken is written in a form that reads as the same.
fn times(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let zone = chrono_tz::Tz::Europe__Berlin;
    let read = [
        Timestamp::parse_iso(text),
        Timestamp::parse_in(text, zone),
        Timestamp::parse_filter(text),
        Timestamp::parse_http_date(text),
    ];
    for time in read.into_iter().flatten() {
        let iso = time.iso();
        let is_plain = iso.len() == "2026-10-01T08:00:00.000Z".len();
        assert!(!is_plain || Timestamp::parse_iso(&iso) == Some(time), "{iso}");
    }
    if let Ok(proxy) = ProxyUrl::parse(text) {
        let shown = format!("{proxy:?}");
        let secret = proxy.credentials().map_or("", |(_, password)| password);
        assert!(
            secret.len() < 5 || proxy.host().contains(secret) || !shown.contains(secret),
            "{shown}"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Inputs per target. Seconds in all; `cargo xtask fuzz` goes on for as long as it is told.
    const CASES: u32 = 20_000;

    #[test]
    fn what_strangers_write_keeps_the_promises_of_the_rules() {
        for (_, target, seeds) in TARGETS {
            testkit::mutate(1, seeds, CASES, *target);
        }
    }
}
