//! Phone numbers as people write them. What cannot be told for sure is refused with the reason, never guessed.

use phonenumber::country::Id;

use crate::address::PhoneNumber;

/// A country whose national numbers are understood, by its two letters (ISO 3166).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Country(Id);

impl Country {
    /// Reads two letters.
    pub fn parse(text: &str) -> Option<Self> {
        text.to_ascii_uppercase().parse().ok().map(Self)
    }
}

/// Why a text is no phone number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the sentences say it")]
pub enum NoPhone {
    #[error("should not be empty")]
    Empty,
    #[error(
        "was written by a spreadsheet as a rounded number (like 4.9E+12), digits are lost: format the column as text and export it again"
    )]
    Rounded,
    #[error("holds more than one number: write one per line")]
    Several,
    #[error("has an extension, which WhatsApp cannot reach: write the number without it")]
    Extension,
    #[error("must hold digits alone, with its country code in front")]
    Letters,
    #[error("is a national number: write it with its country code, like +49 170 1234567")]
    National,
    #[error(
        "could be read as a national and as an international number: write it with + and its country code"
    )]
    Unclear,
    #[error("must have 5 to 15 digits with its country code")]
    Length,
    #[error("is no number of its country")]
    Unknown,
}

/// Fewest and most digits of an international number.
const DIGITS: std::ops::RangeInclusive<usize> = 5..=15;
/// Longest text that is looked into, in characters.
const CHARS_MAX: usize = 80;
/// Countries whose numbers keep a zero behind the country code.
const KEEP_ZERO: [&str; 3] = ["39", "378", "379"];

/// Reads a number. `home` is the country of national numbers.
///
/// # Errors
/// [`NoPhone`]: what a person can do about it.
pub fn read(text: &str, home: Option<Country>) -> Result<PhoneNumber, NoPhone> {
    if text.chars().count() > CHARS_MAX {
        return Err(NoPhone::Length);
    }
    let text: String = text.chars().filter_map(plain).collect();
    let text = bare(text.trim());
    if text.is_empty() {
        return Err(NoPhone::Empty);
    }
    check(text)?;
    let (text, trunk) = match text.find("(0)") {
        Some(at) => (format!("{}{}", &text[..at], &text[at + 3..]), true),
        None => (text.to_owned(), false),
    };
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let international = match (text.starts_with('+'), digits.strip_prefix("00")) {
        (true, _) => Some(digits.as_str()),
        (false, rest) => rest,
    };
    match international {
        Some(digits) if trunk => written(&with_trunk(digits)),
        Some(digits) => written(digits),
        None if trunk => national(&format!("0{digits}"), home),
        None => national(&digits, home),
    }
}

/// Digits of other scripts become ours, every blank and dash the plain one, and what cannot be seen goes.
fn plain(c: char) -> Option<char> {
    const ZEROS: [char; 8] = ['٠', '۰', '०', '০', '߀', '๐', '၀', '０'];
    if crate::visible::leaves_no_mark(c) && !c.is_whitespace() {
        return None;
    }
    let offset = |zero: char| u32::from(c).checked_sub(u32::from(zero)).filter(|digit| *digit < 10);
    if let Some(digit) = ZEROS.into_iter().find_map(offset) {
        return char::from_digit(digit, 10);
    }
    Some(match c {
        '\r' | '\n' => ';',
        '＋' | '﹢' => '+',
        '‐'..='―' | '−' | '－' | '﹣' => '-',
        c if c.is_whitespace() => ' ',
        c => c,
    })
}

/// Without what stands around a number in links, addresses and spreadsheets.
fn bare(text: &str) -> &str {
    let text = text.trim_start_matches(['\'', '"', '=']).trim_end_matches('"').trim();
    let lower = text.to_ascii_lowercase();
    let prefixes = ["tel:", "whatsapp:", "https://wa.me/", "wa.me/"];
    let prefix = prefixes.into_iter().find(|prefix| lower.starts_with(prefix));
    let text = prefix.and_then(|prefix| text.get(prefix.len()..)).unwrap_or(text);
    let servers = ["@c.us", "@s.whatsapp.net"];
    let text = servers.into_iter().find_map(|server| text.strip_suffix(server)).unwrap_or(text);
    // Programs that read a column as decimals write a whole number so.
    let whole = text.strip_suffix(".0").or_else(|| text.strip_suffix(".00"));
    let is_whole = |text: &&str| text.len() > 6 && text.bytes().all(|b| b.is_ascii_digit());
    whole.filter(is_whole).unwrap_or(text).trim()
}

/// Refuses what is no single number.
fn check(text: &str) -> Result<(), NoPhone> {
    let lower = text.to_ascii_lowercase();
    let has_digit = lower.bytes().any(|b| b.is_ascii_digit());
    if let Some((mantissa, exponent)) = lower.split_once('e') {
        let number = |text: &str, more: &[u8]| {
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || more.contains(&b))
        };
        if number(mantissa, b".,+") && number(exponent, b"+-") {
            return Err(NoPhone::Rounded);
        }
    }
    if lower.contains("ext") || lower.contains('#') || lower.contains('x') && has_digit {
        return Err(NoPhone::Extension);
    }
    let plus = lower.matches('+').count();
    if plus > 1 || lower.contains([';', ',', '|', '&']) {
        return Err(NoPhone::Several);
    }
    let known = |c: char| c.is_ascii_digit() || " -./()+".contains(c);
    let plus_first = plus == 0 || lower.trim_start_matches('(').starts_with('+');
    if !has_digit || !lower.chars().all(known) || !plus_first {
        return Err(NoPhone::Letters);
    }
    Ok(())
}

/// The zero in `+49 (0)170` is dialled at home only, but in Italy.
fn with_trunk(digits: &str) -> String {
    let keeps = KEEP_ZERO
        .into_iter()
        .find_map(|code| digits.strip_prefix(code).map(|rest| format!("{code}0{rest}")));
    keeps.unwrap_or_else(|| digits.to_owned())
}

/// A number that says that it has its country code: taken as it is written, but for a zero that no caller from abroad dials.
fn written(digits: &str) -> Result<PhoneNumber, NoPhone> {
    if digits.starts_with('0') {
        return Err(NoPhone::Unknown);
    }
    let Ok(number) = phonenumber::parse(None, format!("+{digits}")) else {
        return as_is(digits);
    };
    let code = number.code().value().to_string();
    let behind = digits.strip_prefix(code.as_str()).unwrap_or_default();
    if behind.starts_with('0') && !KEEP_ZERO.contains(&code.as_str()) {
        if !number.is_valid() {
            return Err(NoPhone::Unknown);
        }
        return as_is(&e164(&number));
    }
    as_is(digits)
}

/// A number without a sign of its country.
fn national(digits: &str, home: Option<Country>) -> Result<PhoneNumber, NoPhone> {
    let Some(Country(home)) = home else {
        return if digits.starts_with('0') { Err(NoPhone::National) } else { as_is(digits) };
    };
    let parsed = phonenumber::parse(Some(home), digits).ok();
    let at_home = parsed.filter(|number| number.is_valid()).map(|number| e164(&number));
    let abroad = (!digits.starts_with('0'))
        .then(|| phonenumber::parse(None, format!("+{digits}")).ok())
        .flatten()
        .filter(phonenumber::PhoneNumber::is_valid);
    match (at_home, abroad) {
        (Some(at_home), None) => as_is(&at_home),
        (Some(at_home), Some(_)) if at_home == digits => as_is(digits),
        (Some(_), Some(_)) => Err(NoPhone::Unclear),
        (None, _) if digits.starts_with('0') => Err(NoPhone::Unknown),
        (None, _) => as_is(digits),
    }
}

fn e164(number: &phonenumber::PhoneNumber) -> String {
    let text = number.format().mode(phonenumber::Mode::E164).to_string();
    text.chars().filter(char::is_ascii_digit).collect()
}

fn as_is(digits: &str) -> Result<PhoneNumber, NoPhone> {
    if !DIGITS.contains(&digits.len()) {
        return Err(NoPhone::Length);
    }
    PhoneNumber::parse(digits).ok_or(NoPhone::Length)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn digits(text: &str, home: Option<&str>) -> Result<String, NoPhone> {
        let home = home.map(|home| Country::parse(home).unwrap());
        read(text, home).map(|phone| phone.digits().to_owned())
    }

    #[test]
    fn every_form_of_a_number_is_that_number() {
        for text in [
            "+4915550001234",
            "4915550001234",
            "+49\u{a0}1555\u{a0}0001234",
            "\u{202a}+4915550001234\u{202c}",
            "+49\u{2011}1555\u{2011}0001234",
            "+49.1555.0001234",
            "'+4915550001234",
            "+49 (0)1555 0001234",
            "+49 01555 0001234",
            "004915550001234",
            "0049 (0) 1555 0001234".replace("(0) ", "(0)").as_str(),
            "4915550001234.0",
            "4915550001234@s.whatsapp.net",
            "tel:+4915550001234",
            "whatsapp:+4915550001234",
            "https://wa.me/4915550001234",
            " 4915550001234",
            "+٤٩١٥٥٥٠٠٠١٢٣٤",
            "\u{ff0b}\u{ff14}\u{ff19}1555/0001234",
        ] {
            assert_eq!(digits(text, None).as_deref(), Ok("4915550001234"), "{text}");
        }
        assert_eq!(digits("+39 (0)6 12345678", None).as_deref(), Ok("390612345678"));
    }

    #[test]
    fn what_is_not_sure_is_refused_with_its_reason() {
        for (text, why) in [
            ("", NoPhone::Empty),
            ("4.91555E+12", NoPhone::Rounded),
            ("4,91555E+12", NoPhone::Rounded),
            ("+4915550001234; +4915550001235", NoPhone::Several),
            ("+4915550001234\n+4915550001235", NoPhone::Several),
            ("+49 30 2000000 ext. 12", NoPhone::Extension),
            ("+49 30 2000000 x12", NoPhone::Extension),
            ("tel:+49302000000;ext=12", NoPhone::Extension),
            ("call me", NoPhone::Letters),
            ("01555 0001234", NoPhone::National),
            ("(0)1555 0001234", NoPhone::National),
            ("+0155500012", NoPhone::Unknown),
            ("12", NoPhone::Length),
            ("1234567890123456", NoPhone::Length),
        ] {
            assert_eq!(digits(text, None), Err(why), "{text}");
        }
    }

    #[test]
    fn national_numbers_need_a_country() {
        assert_eq!(digits("01512 3456789", Some("DE")).as_deref(), Ok("4915123456789"));
        assert_eq!(digits("(212) 555-0123", Some("US")).as_deref(), Ok("12125550123"));
        assert_eq!(digits("01", Some("DE")), Err(NoPhone::Unknown));
        assert_eq!(digits("+44 7911 123456", Some("DE")).as_deref(), Ok("447911123456"));
        assert_eq!(digits("4915123456789", Some("DE")).as_deref(), Ok("4915123456789"));
        assert_eq!(Country::parse("Germany"), None);
    }

    #[test]
    fn numbers_of_brazil_mexico_and_argentina_stay_as_they_are_written() {
        for text in
            ["5511990000042", "551190000042", "5215512345678", "5491123456789", "541123456789"]
        {
            assert_eq!(digits(&format!("+{text}"), None).as_deref(), Ok(text));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Whatever is pasted: an international number that reads as itself, or a refusal.
        #[test]
        fn fuzz_a_number_reads_as_itself(text in "[+0-9 ()./\u{a0}٠-٩xe@:;'a-z\u{202a}-]{0,24}", home in prop::sample::select(vec![None, Some("DE"), Some("BR"), Some("US"), Some("IT")])) {
            if let Ok(number) = digits(&text, home) {
                prop_assert!(!number.starts_with('0') && DIGITS.contains(&number.len()));
                prop_assert_eq!(digits(&format!("+{number}"), None), Ok(number));
            }
        }
    }
}
