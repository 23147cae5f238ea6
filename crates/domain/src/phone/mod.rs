//! Phone numbers as people write and paste them. A number is never guessed: what could be two numbers is none.

mod forms;
mod plan;

pub use forms::other_form;
pub use plan::{Country, UnknownCountry};

use crate::{address::PhoneNumber, visible};

/// Why a text is no phone number. The words follow the name of a field, and say what to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidPhone {
    /// A spreadsheet cut it down.
    Scientific,
    /// The national form, where the country is not known.
    National,
    /// The zero of the national form after the country code.
    TrunkZero,
    /// The number has an extension.
    Extension,
    /// The text holds more than one number.
    Several,
    /// Too short or too long for any number.
    Length,
    /// Shorter than the numbers of its country.
    TooShort,
    /// Longer than the numbers of its country.
    TooLong,
    /// No number of its country has so many digits.
    OddLength,
    /// No country has its code.
    Code,
    /// It is one number with its country code, and another one in the session's country.
    Ambiguous,
    /// It is none for another reason.
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
            Self::TooShort => TOO_SHORT,
            Self::TooLong => "must have fewer digits: no number of its country is so long",
            Self::OddLength => {
                "must have another number of digits: no number of its country has so many"
            }
            Self::Code => "must begin with a country code: no country has this one",
            Self::Ambiguous => AMBIGUOUS,
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

const SCIENTIFIC: &str = "must be the whole number: a spreadsheet shortened it to the form 4.9E+12 and \
    its last digits are lost; format the column as text";
const NATIONAL: &str = "must begin with + and the country code: a number that begins with 0 is known \
    within its country only. Set the session's defaultCountry to send to numbers of one country as \
    they are written there";
const TRUNK_ZERO: &str = "must not have the 0 of the national form after the country code";
const TOO_SHORT: &str =
    "must have more digits: numbers of its country are longer, with their area code";
const AMBIGUOUS: &str = "must begin with + and the country code: without, it could be a number of \
    the session's defaultCountry or of another country";

/// Reads an international number: with `+`, `00`, or its country code at once; with blanks, dashes, dots, slashes and
/// brackets of any kind in it, `(0)`, `tel:`, a leading apostrophe, invisible marks, and digits of other scripts.
///
/// # Errors
/// Why it is none.
pub fn read(text: &str) -> Result<PhoneNumber, InvalidPhone> {
    read_in(text, None)
}

/// The same, and the national form of a country.
///
/// # Errors
/// Why it is none.
pub fn read_in(text: &str, home: Option<Country>) -> Result<PhoneNumber, InvalidPhone> {
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
    let in_area = !plus && text.starts_with('(') && !stands_first;
    let (coded, digits) = match digits.strip_prefix("00") {
        Some(rest) if !plus => (true, rest.to_owned()),
        _ if stands_first && !plus => (false, format!("0{digits}")),
        _ => (plus, digits),
    };
    let is_national = digits.starts_with('0') || (had_zero && stands_first);
    let number = match home {
        Some(home) if is_national && !coded => plan::national(&digits, home)?,
        _ if is_national => return Err(InvalidPhone::National),
        _ if !(5..=15).contains(&digits.len()) => return Err(InvalidPhone::Length),
        // An area code in brackets begins a national form.
        Some(home) if in_area => plan::national(&digits, home)?,
        Some(home) if !coded => plan::either(&digits, home)?,
        _ => plan::international(&digits)?,
    };
    PhoneNumber::parse(&number).ok_or(InvalidPhone::Malformed)
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

/// Without the `.0` that programs write after a whole number.
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
    fn the_national_form_is_read_only_in_the_country_of_the_session() {
        let read = |text: &str, home: &str| {
            read_in(text, Some(home.parse().unwrap())).map(|phone| phone.digits().to_owned())
        };
        for (text, home, number) in [
            ("0170 99000001", "DE", "4917099000001"),
            ("(0)170 99000001", "de", "4917099000001"),
            ("(0170) 99000001", "DE", "4917099000001"),
            ("tel:0170-99000001", "DE", "4917099000001"),
            ("\u{202a}٠١٧٠\u{a0}٩٩٠٠٠٠٠١\u{202c}", "DE", "4917099000001"),
            ("4917099000001", "DE", "4917099000001"),
            ("+49 (0)170 99000001", "AT", "4917099000001"),
            ("0049 170 99000001", "US", "4917099000001"),
            ("011 49 170 99000001", "US", "4917099000001"),
            ("(202) 555-0123", "US", "12025550123"),
            ("1 202 555 0123", "US", "12025550123"),
            ("11 98765-4321", "BR", "5511987654321"),
            ("(11) 98765-4321", "BR", "5511987654321"),
            ("(49) 99912-3456", "BR", "5549999123456"),
            ("5511987654321", "BR", "5511987654321"),
            ("011 15-2345-6789", "AR", "5491123456789"),
            ("55 1234 5678", "MX", "525512345678"),
            ("06 1234567", "IT", "39061234567"),
            ("8 912 345 67 89", "RU", "79123456789"),
            ("07400 123456", "GB", "447400123456"),
            ("+44 7400 123456", "DE", "447400123456"),
            ("447400123456", "DE", "447400123456"),
            ("98765 43210", "IN", "919876543210"),
        ] {
            assert_eq!(read(text, home).as_deref(), Ok(number), "{text:?} in {home}");
        }
        for (text, home, why) in [
            ("+0170 99000001", "DE", InvalidPhone::National),
            ("+49 0170 99000001", "DE", InvalidPhone::TrunkZero),
            ("0170 99000001 ext. 12", "DE", InvalidPhone::Extension),
            ("1.7099E+10", "DE", InvalidPhone::Scientific),
            ("555-0123", "US", InvalidPhone::TooShort),
            ("0170 990000010000000", "DE", InvalidPhone::TooLong),
            ("0170 CAKES", "DE", InvalidPhone::Malformed),
        ] {
            assert_eq!(read(text, home), Err(why), "{text:?} in {home}");
        }
    }

    #[test]
    fn a_length_that_its_country_does_not_have_is_refused() {
        for (text, why) in [
            ("+1 202 555 01234", InvalidPhone::TooLong),
            ("+1 555 0123", InvalidPhone::TooShort),
            ("+55 11 9876 54321 00", InvalidPhone::TooLong),
            ("+33 6 12 34 56", InvalidPhone::TooShort),
            ("+999 12345678", InvalidPhone::Code),
            ("2025550123456789", InvalidPhone::Length),
        ] {
            assert_eq!(digits(text), Err(why), "{text:?}");
        }
        // Not given out, as far as the plan knows, but of a length that is.
        assert_eq!(digits("+49 160 0000").as_deref(), Ok("491600000"));
        assert_eq!(digits("+1 198 765 4321").as_deref(), Ok("11987654321"));
        // Both spellings of countries with two.
        for text in
            ["+52 1 55 1234 5678", "+52 55 1234 5678", "+54 9 11 2345 6789", "+54 11 2345 6789"]
        {
            assert!(digits(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn what_is_a_number_in_two_countries_is_none() {
        let read = |text: &str, home: &str| read_in(text, Some(home.parse().unwrap()));
        // A German mobile number whose zero a spreadsheet dropped, or one in Texas.
        assert_eq!(read("15123456789", "DE"), Err(InvalidPhone::Ambiguous));
        assert_eq!(read("9123456789", "IN"), Err(InvalidPhone::Ambiguous));
        assert_eq!(read("+15123456789", "DE").unwrap().digits(), "15123456789");
        assert_eq!(read("015123456789", "DE").unwrap().digits(), "4915123456789");
    }

    #[test]
    fn countries_are_known_by_their_letters() {
        assert_eq!("br".parse::<Country>().unwrap().to_string(), "BR");
        for nobody in ["", "D", "DEU", "ZZ", "001", "Ä", "49", "EU"] {
            assert_eq!(nobody.parse::<Country>(), Err(UnknownCountry), "{nobody}");
        }
        assert_eq!(serde_json::to_string(&"de".parse::<Country>().unwrap()).unwrap(), "\"DE\"");
        assert!(serde_json::from_str::<Country>("\"XX\"").is_err());
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
