//! What a phone would show: the one place that decides whether a text is blank.

use crate::content::Poll;

/// Whether nothing of a text would be seen: it is empty, or made of blanks and invisible characters only.
pub fn is_blank(text: &str) -> bool {
    text.chars().all(leaves_no_mark)
}

/// Something that phones would not show, or not as meant. The text says what to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unshown {
    /// A text without a visible character.
    #[error("{0} {NOTHING_SEEN}")]
    Blank(&'static str),
    /// Two options that look the same.
    #[error(
        "options must differ from each other: \"{0}\" is there twice, and WhatsApp shows no such poll"
    )]
    Twins(String),
}

/// What is said of a text in which nothing is seen, after its name.
pub const NOTHING_SEEN: &str =
    "must have at least one visible character: blanks and invisible characters alone are not shown";

/// Refuses a text in which nothing is seen.
///
/// # Errors
/// [`Unshown::Blank`] with that name.
pub fn check(name: &'static str, text: &str) -> Result<(), Unshown> {
    if is_blank(text) { Err(Unshown::Blank(name)) } else { Ok(()) }
}

/// Refuses a poll that phones drop.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn check_poll(poll: &Poll) -> Result<(), Unshown> {
    check("name", &poll.name)?;
    let mut seen = std::collections::HashSet::new();
    for option in &poll.options {
        check("each value in options", option)?;
        if !seen.insert(option.trim_matches(is_padding)) {
            return Err(Unshown::Twins(option.trim_matches(is_padding).to_owned()));
        }
    }
    Ok(())
}

/// Blank at the end of a text, and no part of the emoji before it.
fn is_padding(c: char) -> bool {
    let of_emoji = match c {
        '\u{200d}' | '\u{fe00}'..='\u{fe0f}' => true,
        c => matches!(c, '\u{e0020}'..='\u{e007f}' | '\u{e0100}'..='\u{e01ef}'),
    };
    leaves_no_mark(c) && !of_emoji
}

/// Blanks, control characters, what Unicode calls default-ignorable, and the glyphs that are empty by design.
pub fn leaves_no_mark(c: char) -> bool {
    c.is_whitespace()
        || c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{2800}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{16fe4}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d159}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll(options: &[&str]) -> Poll {
        Poll {
            name: "Which?".into(),
            options: options.iter().map(|option| (*option).to_owned()).collect(),
            allow_multiple_answers: false,
        }
    }

    #[test]
    fn what_nobody_sees_is_blank() {
        for text in [
            "",
            " ",
            "\t\r\n",
            "\u{a0}\u{3000}\u{2003}\u{202f}",
            "\u{200b}",
            "\u{2060}\u{200d}",
            "\u{feff}",
            "\u{200e}\u{202a}\u{202c}\u{2068}\u{2069}",
            "\u{2800}\u{2800}",
            "\u{3164}",
            "\u{115f}\u{1160}\u{ffa0}",
            "\u{fe0f}\u{fe00}\u{180b}",
            "\u{e0001}\u{e0067}\u{e007f}\u{e0100}",
            "\u{ad}\u{34f}\u{61c}\u{17b4}",
            "\u{7}\u{1b}\u{85}",
        ] {
            assert!(is_blank(text), "{text:?}");
            assert!(!is_blank(&format!("{text}.{text}")), "{text:?} and a full stop");
        }
    }

    #[test]
    fn what_can_be_seen_is_not_blank() {
        for text in [
            "0",
            "·",
            "👍",
            "👩\u{200d}🚀",
            "❤\u{fe0f}",
            "ㅤㄱ",
            "⠁",
            "\u{301}",
            "ـ",
            "🏴\u{e0067}\u{e007f}",
        ] {
            assert!(!is_blank(text), "{text:?}");
        }
    }

    #[test]
    fn options_have_to_differ_for_the_eye() {
        for twins in
            [["OK", "OK"], ["OK", " OK\n"], ["OK", "OK\u{200b}"], ["\u{feff}Tea", "Tea\u{a0}"]]
        {
            assert!(matches!(check_poll(&poll(&twins)), Err(Unshown::Twins(_))), "{twins:?}");
        }
        for blank in [["Tea", " "], ["\u{2800}", "Tea"], ["Tea", ""]] {
            let refused = check_poll(&poll(&blank));
            assert_eq!(refused, Err(Unshown::Blank("each value in options")), "{blank:?}");
        }
        for fine in [
            ["Tea", "tea"],
            ["Tea", "Tea!"],
            ["🏴", "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}"],
            ["👩", "👩\u{200d}🚀"],
        ] {
            assert_eq!(check_poll(&poll(&fine)), Ok(()), "{fine:?}");
        }
        let unnamed = Poll { name: "\u{200b}".into(), ..poll(&["Tea", "Cake"]) };
        assert_eq!(check_poll(&unnamed), Err(Unshown::Blank("name")));
    }
}
