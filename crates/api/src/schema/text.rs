//! Texts: lengths, lists of words, patterns and formats.

use domain::{
    ChatId, ChatKind, SessionId, Timestamp,
    phone::{self, Country, InvalidPhone},
    proxy::{InvalidProxy, ProxyUrl},
    status::parse_colour,
    time::Zone,
    visible::{NOTHING_SEEN, is_blank},
};
use ipnet::Ipv4Net;
use serde_json::Value;

/// What is wrong with a text. `subject` begins each sentence.
pub fn problems(schema: &Value, subject: &str, text: &str) -> Vec<String> {
    // Characters, not bytes: that is how a person counts.
    let length = text.chars().count() as u64;
    if length == 0 && schema["minLength"] == 1 {
        return vec![format!("{subject} should not be empty")];
    }
    let mut problems = Vec::new();
    if let Some(least) = schema["minLength"].as_u64().filter(|least| length < *least) {
        problems.push(format!("{subject} must be longer than or equal to {least} characters"));
    }
    if let Some(most) = schema["maxLength"].as_u64().filter(|most| length > *most) {
        problems.push(format!("{subject} must be shorter than or equal to {most} characters"));
        // A longer text is not looked into.
        return problems;
    }
    if let Some(words) = schema["enum"].as_array()
        && !words.iter().any(|word| word == text)
    {
        let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
        problems
            .push(format!("{subject} must be one of the following values: {}", words.join(", ")));
    }
    if let Some(pattern) = schema["pattern"].as_str()
        && matches_pattern(pattern, text) != Some(true)
    {
        problems.push(format!("{subject} must match /{pattern}/ regular expression"));
    }
    if let Some(format) = schema["format"].as_str()
        && let Some(Err(words)) = check_format(format, text)
    {
        problems.push(format!("{subject} {words}"));
    }
    problems
}

/// Names of sessions.
pub const SESSION_NAME: &str = "^[a-zA-Z0-9-]+$";
/// Phone numbers for pairing codes.
pub const DIGITS: &str = "^[0-9]{6,15}$";

/// `None` when the pattern is not known.
pub fn matches_pattern(pattern: &str, text: &str) -> Option<bool> {
    match pattern {
        SESSION_NAME => Some(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')),
        DIGITS => {
            let sized = (6..=15).contains(&text.len());
            Some(sized && text.bytes().all(|b| b.is_ascii_digit()))
        }
        _ => None,
    }
}

/// `None` when the format is not known, else what the text must be.
pub fn check_format(format: &str, text: &str) -> Option<Result<(), &'static str>> {
    let holds = |holds: bool, words| if holds { Ok(()) } else { Err(words) };
    let kind = || text.parse::<ChatId>().map(|chat| chat.kind());
    Some(match format {
        "chat-id" => match kind() {
            Ok(_) => Ok(()),
            Err(_) => Err(chat_problem(text)),
        },
        "person-id" => {
            holds(kind() == Ok(ChatKind::Individual), "must look like <phone>@c.us or <id>@lid")
        }
        "allowed-chat" => holds(
            matches!(kind(), Ok(ChatKind::Individual | ChatKind::Group)),
            "must be <id>@g.us, <phone>@c.us, <lid>@lid or a phone number",
        ),
        "color" => holds(parse_colour(text).is_some(), "must be a color like #1E6E4F"),
        "ipv4-or-cidr" => holds(is_ipv4_or_cidr(text), "must be an IPv4 address or CIDR range"),
        "uuid" => holds(text.parse::<SessionId>().is_ok(), "must be a UUID"),
        "date-time" => {
            holds(Timestamp::parse_iso(text).is_some(), "must be a valid ISO 8601 date string")
        }
        "proxy-url" => proxy(text),
        "secret-or-empty" => holds(
            text.is_empty() || text.chars().count() >= 16,
            "must be empty or longer than or equal to 16 characters",
        ),
        "visible" | "poll-option" => holds(!is_blank(text), NOTHING_SEEN),
        "visible-or-empty" => holds(text.is_empty() || !is_blank(text), NOTHING_SEEN),
        "media-type" => holds(is_media_type(text), "must be a media type like image/jpeg"),
        "phone" => phone::read(text).map(|_| ()).map_err(InvalidPhone::words),
        "country" => holds(
            text.parse::<Country>().is_ok(),
            "must be the two letters of a country, like DE or BR (ISO 3166-1)",
        ),
        "time-zone" => holds(
            text.parse::<Zone>().is_ok(),
            "must be the name of a time zone, like Europe/Berlin",
        ),
        "schedule" => holds(
            Timestamp::parse_in(text, Zone::default().0).is_some(),
            "must be a date, or a date and time, like 2026-12-24T18:00:00+01:00",
        ),
        "filter-time" => holds(
            Timestamp::parse_filter(text).is_some(),
            "must be an ISO 8601 time, epoch seconds or epoch milliseconds",
        ),
        "uri" => holds(
            url::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https")),
            "must be a URL address",
        ),
        _ => return None,
    })
}

/// What is wrong with a text that is no chat id.
fn chat_problem(text: &str) -> &'static str {
    chat_in(text, None).err().unwrap_or("must look like <phone>@c.us, <id>@g.us or <id>@lid")
}

/// A chat id, or a phone number as people write it, also in the national form of this country.
///
/// # Errors
/// What is wrong with it.
pub fn chat_in(text: &str, home: Option<Country>) -> Result<ChatId, &'static str> {
    if text.contains('@') {
        return text.parse().map_err(|_| "must look like <phone>@c.us, <id>@g.us or <id>@lid");
    }
    phone::read_in(text, home).map(|phone| phone.chat()).map_err(|why| match why {
        // Somebody meant a number: then the reason helps more than the forms of ids.
        why if text.chars().any(char::is_numeric) => why.words(),
        _ => "must look like <phone>@c.us, <id>@g.us or <id>@lid",
    })
}

/// `type/subtype`, maybe with parameters.
fn is_media_type(text: &str) -> bool {
    let essence = text.split(';').next().unwrap_or_default().trim_end();
    let word = |word: &str| {
        !word.is_empty()
            && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
    };
    let visible = text.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
    visible && essence.split_once('/').is_some_and(|(kind, sub)| word(kind) && word(sub))
}

fn is_ipv4_or_cidr(text: &str) -> bool {
    text.parse::<std::net::Ipv4Addr>().is_ok() || text.parse::<Ipv4Net>().is_ok()
}

fn proxy(text: &str) -> Result<(), &'static str> {
    if text.starts_with("socks4:") || text.starts_with("socks4a:") {
        return Err("must not be a socks4 proxy: socks5, http and https proxies work");
    }
    match ProxyUrl::parse(text) {
        Ok(_) => Ok(()),
        Err(InvalidProxy::Malformed) => Err("must be a URL like socks5://user:password@host:1080"),
        Err(InvalidProxy::Scheme) => Err("must start with http://, https:// or socks5://"),
        Err(InvalidProxy::TooLong) => Err("must be shorter than or equal to 255 characters"),
    }
}
