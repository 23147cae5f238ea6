//! Phone numbers as people write and paste them. A number is never guessed: what could be two numbers is none.

use crate::{address::PhoneNumber, visible};

/// Why a text is no phone number. The words follow the name of a field, and say what to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidPhone {
    /// A spreadsheet cut it down.
    Scientific,
    /// Without a country.
    National,
    /// The zero of the national form behind the country code.
    TrunkZero,
    /// With an extension.
    Extension,
    /// Two of them.
    Several,
    /// Too short or too long.
    Length,
    /// Something else.
    Malformed,
}

impl InvalidPhone {
    /// The words of the error.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Scientific => SCIENTIFIC,
            Self::National => NATIONAL,
            Self::TrunkZero => TRUNK_ZERO,
            Self::Extension => "must be a number without an extension",
            Self::Several => "must be one phone number only",
            Self::Length => "must be a phone number of 5 to 15 digits with the country code",
            Self::Malformed => "must be a phone number like +4915550001000",
        }
    }
}

impl std::fmt::Display for InvalidPhone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.words())
    }
}

impl std::error::Error for InvalidPhone {}

const SCIENTIFIC: &str = "must be the whole number: a spreadsheet shortened it to the form 4.9E+12 and its last digits are lost; format the column as text";
const NATIONAL: &str = "must begin with + and the country code: a number that begins with 0 is known within its country only";
const TRUNK_ZERO: &str = "must not have the 0 of the national form behind the country code";

/// Country codes behind which no number begins with 0.
const NO_ZERO_BEHIND: [&str; 30] = [
    "20", "27", "30", "31", "32", "33", "34", "40", "41", "43", "44", "45", "46", "47", "48", "49",
    "52", "54", "55", "60", "61", "62", "63", "64", "65", "66", "81", "82", "90", "91",
];

/// Reads an international number: with `+`, `00`, or its country code at once; with blanks, dashes, dots, slashes and
/// brackets of any kind in it, `(0)`, `tel:`, a leading apostrophe, invisible marks, and digits of other scripts.
///
/// # Errors
/// Why it is none.
pub fn read(text: &str) -> Result<PhoneNumber, InvalidPhone> {
    let text = plain(text);
    let text = text.strip_prefix('\'').unwrap_or(&text);
    let text = match text.get(..4) {
        Some(scheme) if scheme.eq_ignore_ascii_case("tel:") => &text[4..],
        _ => text,
    };
    if is_scientific(text) {
        return Err(InvalidPhone::Scientific);
    }
    let text = whole(text);
    let lower = text.to_lowercase();
    let digit = |c: char| c.is_ascii_digit();
    if lower.contains("ext")
        || lower.contains('#')
        || lower.split('x').filter(|part| part.contains(digit)).count() > 1
    {
        return Err(InvalidPhone::Extension);
    }
    if text.contains([';', ',', '|', '&'])
        || text.rfind('+').is_some_and(|at| text[..at].contains(digit))
    {
        return Err(InvalidPhone::Several);
    }
    let bare = text.replacen("(0)", "", 1);
    let had_zero = bare.len() < text.len();
    let mut plus = false;
    let mut digits = String::new();
    for c in bare.chars() {
        match c {
            '0'..='9' => digits.push(c),
            '+' if digits.is_empty() && !plus => plus = true,
            '-' | '.' | '(' | ')' | '[' | ']' | '/' => {}
            _ => return Err(InvalidPhone::Malformed),
        }
    }
    let stands_first = text.find("(0)").is_some_and(|at| !text[..at].contains(digit));
    let digits = match digits.strip_prefix("00") {
        Some(rest) if !plus => rest,
        _ => &digits,
    };
    if digits.starts_with('0') || (had_zero && stands_first) {
        return Err(InvalidPhone::National);
    }
    if !(5..=15).contains(&digits.len()) {
        return Err(InvalidPhone::Length);
    }
    if NO_ZERO_BEHIND
        .iter()
        .any(|code| digits.strip_prefix(code).is_some_and(|rest| rest.starts_with('0')))
    {
        return Err(InvalidPhone::TrunkZero);
    }
    PhoneNumber::parse(digits).ok_or(InvalidPhone::Malformed)
}

/// Without blanks and invisible marks, every digit and every dash as ASCII has it.
fn plain(text: &str) -> String {
    let seen = text.chars().filter(|c| !visible::leaves_no_mark(*c));
    seen.map(|c| match c {
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{ff0d}' | '\u{fe63}' => '-',
        '\u{ff0b}' | '\u{fe62}' => '+',
        '\u{ff08}' => '(',
        '\u{ff09}' => ')',
        '\u{b7}' | '\u{2022}' | '\u{ff0e}' => '.',
        '\u{2018}' | '\u{2019}' => '\'',
        c => digit_of(c).unwrap_or(c),
    })
    .collect()
}

/// Arabic, Persian, Devanagari, Bengali and full-width digits.
fn digit_of(c: char) -> Option<char> {
    let code = u32::from(c);
    let zero = [0x660, 0x6f0, 0x966, 0x9e6, 0xff10]
        .into_iter()
        .find(|zero| (*zero..zero + 10).contains(&code))?;
    char::from_digit(code - zero, 10)
}

fn is_scientific(text: &str) -> bool {
    let Some((head, tail)) = text.trim_start_matches('+').split_once(['e', 'E']) else {
        return false;
    };
    let tail = tail.trim_start_matches(['+', '-']);
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits(tail) && digits(&head.replace(['.', ','], ""))
}

/// Without the `.0` that programs write behind a whole number.
fn whole(text: &str) -> &str {
    match text.strip_suffix(".0") {
        Some(head) if head.trim_start_matches('+').bytes().all(|b| b.is_ascii_digit()) => head,
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digits(text: &str) -> Result<String, InvalidPhone> {
        read(text).map(|phone| phone.digits().to_owned())
    }

    #[test]
    fn every_way_to_write_an_international_number_is_that_number() {
        for text in [
            "+4917099000001",
            "4917099000001",
            " 4917099000001",
            "004917099000001",
            "+49 (0)170 99000001",
            "0049 (0) 170 / 99 000 001",
            "(+49) 170-99000001",
            "+49.170.99000001",
            "+49\u{a0}170\u{202f}99000001",
            "\u{202a}+4917099000001\u{202c}",
            "\u{feff}+49\u{2011}170\u{2013}99000001",
            "'+4917099000001",
            "tel:+49-170-99000001",
            "TEL:+4917099000001",
            "4917099000001.0",
            "+٤٩١٧٠٩٩٠٠٠٠٠١",
            "＋４９１７０９９０００００１",
        ] {
            assert_eq!(digits(text).as_deref(), Ok("4917099000001"), "{text:?}");
        }
        assert_eq!(digits("+39 06 1234567").as_deref(), Ok("39061234567"), "Italy keeps its zero");
    }

    #[test]
    fn what_could_be_another_number_is_refused_with_the_reason() {
        for (text, why) in [
            ("4.91709E+12", InvalidPhone::Scientific),
            ("4,91709E+12", InvalidPhone::Scientific),
            ("+4.9e12", InvalidPhone::Scientific),
            ("0170 99000001", InvalidPhone::National),
            ("(0)170 99000001", InvalidPhone::National),
            ("+0170 99000001", InvalidPhone::National),
            ("+49 0170 99000001", InvalidPhone::TrunkZero),
            ("+4917099000001 ext. 12", InvalidPhone::Extension),
            ("+4917099000001x12", InvalidPhone::Extension),
            ("tel:+4917099000001;ext=12", InvalidPhone::Extension),
            ("+4917099000001#12", InvalidPhone::Extension),
            ("+4917099000001; +4917099000002", InvalidPhone::Several),
            ("+4917099000001 +4917099000002", InvalidPhone::Several),
            ("+4917099000001 / 4917099000002", InvalidPhone::Length),
            ("+49", InvalidPhone::Length),
            ("", InvalidPhone::Length),
            ("++4917099000001", InvalidPhone::Malformed),
            ("+49170CAKES00", InvalidPhone::Malformed),
            ("call me", InvalidPhone::Malformed),
            ("éé", InvalidPhone::Malformed),
        ] {
            assert_eq!(digits(text), Err(why), "{text:?}");
        }
    }
}
