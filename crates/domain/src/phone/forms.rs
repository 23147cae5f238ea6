//! Numbers that WhatsApp knows under one of two spellings: Brazil's ninth digit, Mexico's `52` and `521`, Argentina's
//! `54` and `549`.
//!
//! Which one an account has depends on when it was made, so no rule decides: WhatsApp is asked for both.

use super::super::address::{ChatId, PhoneNumber};

/// The other spelling of a number's digits, where there is one.
pub(super) fn other(digits: &str) -> Option<String> {
    if let Some(rest) = digits.strip_prefix("55") {
        let (area, line) = rest.split_at_checked(2)?;
        return match (line.len(), line.as_bytes().first()?) {
            (9, b'9') => Some(format!("55{area}{}", &line[1..])),
            // What begins lower is a land line, which never had the digit.
            (8, b'6'..=b'9') => Some(format!("55{area}9{line}")),
            _ => None,
        };
    }
    for (code, more) in [("52", "521"), ("54", "549")] {
        if let Some(line) = digits.strip_prefix(more).filter(|line| line.len() == 10) {
            return Some(format!("{code}{line}"));
        }
        if let Some(line) = digits.strip_prefix(code).filter(|line| line.len() == 10) {
            return Some(format!("{more}{line}"));
        }
    }
    None
}

/// The chat under a number's other spelling, where there is one.
pub fn other_form(chat: &ChatId) -> Option<ChatId> {
    let phone = chat.phone()?;
    other(phone.digits()).and_then(|digits| PhoneNumber::parse(&digits)).map(|phone| phone.chat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_know_each_other_and_nobody_else_has_two() {
        for (long, short) in [
            ("5511987654321", "551187654321"),
            ("5215512345678", "525512345678"),
            ("5491123456789", "541123456789"),
        ] {
            assert_eq!(other(long).as_deref(), Some(short));
            assert_eq!(other(short).as_deref(), Some(long));
        }
        for one in [
            "551132654321",
            "4917020000000",
            "55119",
            "5511",
            "55",
            "52",
            "54911",
            "15215512345678",
        ] {
            assert_eq!(other(one), None, "{one}");
        }
        let chat: ChatId = "5511987654321@c.us".parse().unwrap();
        assert_eq!(other_form(&chat).unwrap().as_str(), "551187654321@c.us");
        assert_eq!(other_form(&"5511987654321@lid".parse().unwrap()), None);
    }
}
