//! The search for messages by what they say: what is asked for, and how a hit is shown.
//!
//! Texts are compared without capitals and without accents.

use unicode_normalization::{UnicodeNormalization as _, char::is_combining_mark};

use crate::{
    address::ChatId,
    ids::SessionId,
    message::{Direction, Message, MessageType},
    time::Timestamp,
};

/// Longest text that is searched for, characters.
pub const SEARCH_CHARS_MAX: usize = 256;
/// Most words of it.
pub const SEARCH_WORDS_MAX: usize = 32;
/// Fewest characters of a part of a word.
pub const PART_CHARS_MIN: usize = 3;
/// Messages that a search for a part of a word finds: the newest ones.
pub const PART_HITS_MAX: u32 = 1000;
/// Up to here hits are counted, and skipped.
pub const SEARCH_OFFSET_MAX: u32 = 100_000;
/// Characters of a hit before and behind what was found.
const AROUND: usize = 60;

/// How texts are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SearchMatch {
    /// Every word of the question is a word of the message, in any order.
    Word,
    /// The question is a part of the message, as it stands.
    Contains,
}

/// Why a question was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSearch {
    /// Nothing to look for.
    #[error("q must contain a letter or a digit")]
    Empty,
    /// It is longer than [`SEARCH_CHARS_MAX`].
    #[error("q must be at most {SEARCH_CHARS_MAX} characters")]
    Long,
    /// It has more words than [`SEARCH_WORDS_MAX`].
    #[error("q must be at most {SEARCH_WORDS_MAX} words")]
    ManyWords,
    /// It is shorter than [`PART_CHARS_MIN`].
    #[error("q must be at least {PART_CHARS_MIN} characters with match=contains")]
    Short,
}

/// A question that can be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchText {
    text: String,
    how: SearchMatch,
}

impl SearchText {
    /// Checks what is asked for.
    ///
    /// # Errors
    /// [`InvalidSearch`].
    pub fn new(text: &str, how: SearchMatch) -> Result<Self, InvalidSearch> {
        let text = text.trim();
        if text.chars().count() > SEARCH_CHARS_MAX {
            return Err(InvalidSearch::Long);
        }
        match how {
            SearchMatch::Word if !text.contains(char::is_alphanumeric) => {
                return Err(InvalidSearch::Empty);
            }
            SearchMatch::Word if words(text).len() > SEARCH_WORDS_MAX => {
                return Err(InvalidSearch::ManyWords);
            }
            SearchMatch::Contains if folded(text).chars().count() < PART_CHARS_MIN => {
                return Err(InvalidSearch::Short);
            }
            _ => {}
        }
        Ok(Self { text: text.to_owned(), how })
    }

    /// How it is compared.
    pub fn how(&self) -> SearchMatch {
        self.how
    }

    /// What was asked for.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its words, each once, without capitals and accents.
    pub fn words(&self) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        for (_, _, word) in words(&self.text) {
            if !all.contains(&word) {
                all.push(word);
            }
        }
        all
    }

    /// A part of a message with what was found in `<mark>`, safe to show on a page. Without anything found, its
    /// beginning.
    pub fn snippet(&self, body: &str) -> String {
        let found = match self.how {
            SearchMatch::Word => {
                let asked = self.words();
                let is_asked = |word: &String| asked.contains(word);
                let hits = words(body).into_iter().filter(|(.., word)| is_asked(word));
                hits.map(|(from, to, _)| (from, to)).collect()
            }
            SearchMatch::Contains => parts(body, &folded(&self.text)),
        };
        marked(body, &found)
    }
}

/// Without capitals and accents.
pub fn folded(text: &str) -> String {
    text.nfd().filter(|c| !is_combining_mark(*c)).flat_map(char::to_lowercase).collect()
}

/// Where the words of a text begin and end, in characters, and each of them folded.
fn words(text: &str) -> Vec<(usize, usize, String)> {
    let mut found = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (at, c) in text.chars().chain([' ']).enumerate() {
        if c.is_alphanumeric() || (is_combining_mark(c) && open.is_some()) {
            open.get_or_insert_with(|| (at, String::new())).1.push(c);
        } else if let Some((from, word)) = open.take() {
            found.push((from, at, folded(&word)));
        }
    }
    found
}

/// Where a folded part stands in a text, in characters.
fn parts(text: &str, part: &str) -> Vec<(usize, usize)> {
    let part: Vec<char> = part.chars().collect();
    let mut chars: Vec<(char, usize)> = Vec::new();
    for (at, c) in text.chars().enumerate() {
        let mut one = [0; 4];
        chars.extend(folded(c.encode_utf8(&mut one)).chars().map(|c| (c, at)));
    }
    let (mut found, mut from) = (Vec::new(), 0);
    while !part.is_empty() && from + part.len() <= chars.len() {
        let window = &chars[from..from + part.len()];
        if window.iter().map(|(c, _)| *c).eq(part.iter().copied()) {
            found.push((window[0].1, window[part.len() - 1].1 + 1));
            from += part.len();
        } else {
            from += 1;
        }
    }
    found
}

fn marked(body: &str, found: &[(usize, usize)]) -> String {
    let chars: Vec<char> = body.chars().collect();
    let first = found.first().map_or(0, |(from, _)| *from);
    let begin = first.saturating_sub(AROUND);
    let end = chars.len().min(found.first().map_or(0, |(_, to)| *to) + AROUND);
    let end = if found.is_empty() { chars.len().min(2 * AROUND) } else { end };
    let mut snippet = String::new();
    if begin > 0 {
        snippet.push('…');
    }
    for (at, c) in chars.iter().enumerate().take(end).skip(begin) {
        if found.iter().any(|(from, _)| *from == at) {
            snippet.push_str("<mark>");
        }
        match c {
            '<' => snippet.push_str("&lt;"),
            '>' => snippet.push_str("&gt;"),
            '&' => snippet.push_str("&amp;"),
            '"' => snippet.push_str("&quot;"),
            '\'' => snippet.push_str("&#39;"),
            c => snippet.push(*c),
        }
        // What is cut off is closed too.
        if found
            .iter()
            .any(|(from, to)| *to == at + 1 || (*from <= at && *to > end && at + 1 == end))
        {
            snippet.push_str("</mark>");
        }
    }
    if end < chars.len() {
        snippet.push('…');
    }
    snippet
}

/// Which messages are looked through.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchQuery {
    /// What the messages say.
    pub text: SearchText,
    /// Of these sessions alone; `None` is all.
    pub sessions: Option<Vec<SessionId>>,
    /// Of these chats alone, by any of their ids; `None` is all.
    pub chats: Option<Vec<ChatId>>,
    /// In this chat, by any of its ids.
    pub chat: Option<ChatId>,
    /// By this sender or, in groups, author.
    pub from: Option<ChatId>,
    /// Of this direction alone.
    pub direction: Option<Direction>,
    /// Of this type alone.
    pub kind: Option<MessageType>,
    /// With WhatsApp's time at or after this.
    pub since: Option<Timestamp>,
    /// With WhatsApp's time before this.
    pub until: Option<Timestamp>,
}

/// A page of what was found.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchPage {
    /// What was found, newest first.
    pub messages: Vec<Message>,
    /// How many there are without paging, counted up to [`SEARCH_OFFSET_MAX`]; up to [`PART_HITS_MAX`] for a part.
    pub total: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(text: &str, how: SearchMatch) -> SearchText {
        SearchText::new(text, how).unwrap()
    }

    #[test]
    fn words_are_found_without_capitals_and_accents() {
        let asked = ask("cafe ÉTÉ cafe", SearchMatch::Word);
        assert_eq!(asked.words(), ["cafe", "ete"]);
        assert_eq!(
            asked.snippet("Un Café, l'été!"),
            "Un <mark>Café</mark>, l&#39;<mark>été</mark>!"
        );
        assert_eq!(asked.snippet("cafeteria"), "cafeteria", "a part of a word is no word");
    }

    #[test]
    fn parts_are_found_inside_of_words() {
        let snippet = |text: &str, body: &str| ask(text, SearchMatch::Contains).snippet(body);
        assert_eq!(snippet("FETE", "caféteria"), "ca<mark>féte</mark>ria");
        assert_eq!(snippet("a b", "a b a b"), "<mark>a b</mark> <mark>a b</mark>");
        assert_eq!(snippet("xyz", "caféteria"), "caféteria");
    }

    #[test]
    fn a_snippet_is_cut_and_cannot_carry_markup() {
        let body = format!("{} <b>needle</b> {}", "x".repeat(200), "y".repeat(200));
        let snippet = ask("needle", SearchMatch::Word).snippet(&body);
        assert!(snippet.starts_with('…') && snippet.ends_with('…'), "{snippet}");
        assert!(snippet.contains("&lt;b&gt;<mark>needle</mark>&lt;/b&gt;"), "{snippet}");
        let cut = ask("zz", SearchMatch::Word).snippet(&"a ".repeat(200));
        assert_eq!(cut.chars().count(), 2 * AROUND + 1);
    }

    #[test]
    fn what_cannot_be_looked_for_is_refused() {
        let refused = |text: &str, how| SearchText::new(text, how).unwrap_err();
        assert_eq!(refused(" !? ", SearchMatch::Word), InvalidSearch::Empty);
        assert_eq!(refused("", SearchMatch::Word), InvalidSearch::Empty);
        assert_eq!(refused("ab", SearchMatch::Contains), InvalidSearch::Short);
        assert_eq!(refused(&"a".repeat(257), SearchMatch::Word), InvalidSearch::Long);
        assert_eq!(refused(&"a ".repeat(40), SearchMatch::Word), InvalidSearch::ManyWords);
    }
}
