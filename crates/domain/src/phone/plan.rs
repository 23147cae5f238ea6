//! The world's numbering plans, from Google's libphonenumber: which lengths a country's numbers have, and how they are
//! written within it.
//!
//! Plans change before libraries do. So a number of a possible length passes; whether a number of that length is given
//! out decides only between two readings.

use std::{fmt, str::FromStr};

use rlibphonenumber::{
    NumberLengthType, PHONE_NUMBER_UTIL, ParseError, PhoneNumber as Known, PhoneNumberFormat,
    PhoneNumberType, Region, ValidationError,
};
use serde::{Deserialize, Serialize};

use super::{InvalidPhone, forms};

/// A country or territory with a numbering plan, by its two letters (ISO 3166-1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Country(Region);

/// No country has these two letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be the two letters of a country, like DE or BR (ISO 3166-1)")]
pub struct UnknownCountry;

impl FromStr for Country {
    type Err = UnknownCountry;

    /// Reads the letters, in either case.
    fn from_str(text: &str) -> Result<Self, UnknownCountry> {
        let letters = text.trim().to_ascii_uppercase();
        if letters.len() != 2 || !letters.bytes().all(|b| b.is_ascii_uppercase()) {
            return Err(UnknownCountry);
        }
        let region = letters.parse::<Region>().map_err(|_| UnknownCountry)?;
        let code = PHONE_NUMBER_UTIL.get_country_code_for_region(region);
        code.map(|_| Self(region)).ok_or(UnknownCountry)
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.as_region_str())
    }
}

impl From<Country> for String {
    fn from(country: Country) -> Self {
        country.to_string()
    }
}

impl TryFrom<String> for Country {
    type Error = UnknownCountry;

    fn try_from(text: String) -> Result<Self, UnknownCountry> {
        text.parse()
    }
}

/// One way to read digits.
struct Reading {
    digits: String,
    /// Numbers of this shape are given out; without their zero, mobile ones, because spreadsheets drop it.
    likely: bool,
    /// This is how it is written in its country.
    usual: bool,
}

/// Digits with their country code, as they stand.
///
/// # Errors
/// No country has the code, or no number of that country is so long.
pub(super) fn international(digits: &str) -> Result<String, InvalidPhone> {
    with_code(digits).map(|reading| reading.digits)
}

/// Digits of which nobody said what they begin with: the country code, or the national form of this country.
///
/// # Errors
/// They are no number in either reading, or two.
pub(super) fn either(digits: &str, home: Country) -> Result<String, InvalidPhone> {
    let abroad = with_code(digits);
    let at_home = within(digits, home);
    let own_code = PHONE_NUMBER_UTIL.get_country_code_for_region(home.0);
    let own_code = own_code.map(|code| code.to_string()).unwrap_or_default();
    match (abroad, at_home) {
        (Ok(abroad), Ok(at_home)) if abroad.digits == at_home.digits => Ok(abroad.digits),
        (Ok(abroad), Ok(at_home)) => match (abroad.likely, at_home.likely) {
            // As ids are written: with the code of the country itself before the number.
            (true, _) if digits.starts_with(&own_code) => Ok(abroad.digits),
            (false, true) if digits.starts_with(&own_code) => Err(InvalidPhone::Ambiguous),
            (true, true) => Err(InvalidPhone::Ambiguous),
            (false, false) if at_home.usual && !digits.starts_with(&own_code) => {
                Err(InvalidPhone::Ambiguous)
            }
            (_, false) => Ok(abroad.digits),
            (false, true) => Ok(at_home.digits),
        },
        (Ok(one), Err(_)) | (Err(_), Ok(one)) => Ok(one.digits),
        (Err(why), Err(_)) => Err(why),
    }
}

/// Digits in the national form of a country.
///
/// # Errors
/// No number of the country is so long.
pub(super) fn national(digits: &str, home: Country) -> Result<String, InvalidPhone> {
    within(digits, home).map(|reading| reading.digits)
}

fn with_code(digits: &str) -> Result<Reading, InvalidPhone> {
    let known = Known::parse(format!("+{digits}"), None).map_err(unread)?;
    let read = e164(&known);
    let zero = digits.strip_prefix(&known.country_code.to_string()).unwrap_or_default();
    if read != digits && zero.starts_with('0') {
        return Err(InvalidPhone::TrunkZero);
    }
    // Mexico's old mobile form is longer than its plan allows, and WhatsApp has accounts under it.
    if forms::other(digits).is_none() {
        is_possible(&known)?;
    }
    Ok(Reading { digits: digits.to_owned(), likely: known.is_valid(), usual: true })
}

fn within(digits: &str, home: Country) -> Result<Reading, InvalidPhone> {
    let known = Known::parse(digits, Some(home.0)).map_err(unread)?;
    is_possible(&known)?;
    let shown = known.format_as(PhoneNumberFormat::National);
    let usual = shown.chars().filter(char::is_ascii_digit).eq(digits.chars());
    let mobile =
        matches!(known.get_type(), PhoneNumberType::Mobile | PhoneNumberType::FixedLineOrMobile);
    let likely = known.is_valid() && (usual || mobile);
    Ok(Reading { digits: e164(&known), likely, usual })
}

fn e164(known: &Known) -> String {
    known.format_as(PhoneNumberFormat::E164).trim_start_matches('+').to_owned()
}

fn is_possible(known: &Known) -> Result<(), InvalidPhone> {
    match known.is_possible_with_reason() {
        Ok(NumberLengthType::IsPossible) => Ok(()),
        Ok(NumberLengthType::IsPossibleLocalOnly) | Err(ValidationError::TooShort) => {
            Err(InvalidPhone::TooShort)
        }
        Err(ValidationError::TooLong) => Err(InvalidPhone::TooLong),
        Err(ValidationError::InvalidLength) => Err(InvalidPhone::OddLength),
        Err(_) => Err(InvalidPhone::Code),
    }
}

fn unread(error: ParseError) -> InvalidPhone {
    match error {
        ParseError::InvalidCountryCode => InvalidPhone::Code,
        ParseError::TooShortNsn | ParseError::TooShortAfterIdd => InvalidPhone::TooShort,
        ParseError::TooLongNsn => InvalidPhone::TooLong,
        _ => InvalidPhone::Malformed,
    }
}
