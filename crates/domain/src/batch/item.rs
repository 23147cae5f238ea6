//! Items: what a caller asks for, what is stored, what became of it.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::{
    address::ChatId,
    batch::BatchOptions,
    content::{CAPTION_CHARS_MAX, MediaKind},
    idempotency::fingerprint,
    ids::WaMessageId,
    message::{MENTIONS_MAX, TEXT_CHARS_MAX},
    port::KeptMedia,
    template::{self, RenderError},
    time::Timestamp,
    visible::{NOTHING_SEEN, is_blank},
};

/// A placeholder has no value.
pub const VARIABLE_MISSING: &str = "TEMPLATE_VARIABLE_MISSING";
/// Too long once it was filled.
pub const CONTENT_TOO_LONG: &str = "CONTENT_TOO_LONG";
/// Nothing can be seen of it once it was filled.
pub const CONTENT_BLANK: &str = "CONTENT_BLANK";
/// Not an http address once it was filled.
pub const INVALID_URL: &str = "INVALID_URL";

/// Longest address of a file, in characters.
const URL_CHARS_MAX: usize = 2048;
/// Longest file name, in characters.
const FILENAME_CHARS_MAX: usize = 255;

/// Where an item stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ItemState {
    /// Nothing happened yet.
    Pending,
    /// Handed over; its outcome is not known yet. Callers see it as pending.
    Open,
    /// WhatsApp's server took it.
    Sent,
    /// It was not sent; its error says why.
    Failed,
    /// The batch was ended before it.
    Cancelled,
}

impl ItemState {
    /// Every state.
    pub const ALL: [Self; 5] =
        [Self::Pending, Self::Open, Self::Sent, Self::Failed, Self::Cancelled];

    /// The stored word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Open => "open",
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Reads the stored word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// OpenWA's word.
    pub const fn shown(self) -> &'static str {
        match self {
            Self::Open => "pending",
            other => other.as_str(),
        }
    }
}

/// Why an item was not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemError {
    /// A word for programs, for instance `SEND_FAILED`.
    pub code: String,
    /// For people. Never says more of a web server than that it could not be used.
    pub message: String,
}

impl ItemError {
    /// From texts.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into() }
    }
}

/// One recipient of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchItem {
    /// Its place in the request, from 0.
    pub index: u32,
    /// The recipient, by their canonical id.
    pub chat: ChatId,
    /// The id its message has, or will have.
    pub wa_id: WaMessageId,
    /// Where it stands.
    pub state: ItemState,
    /// WhatsApp's time of the message, else when it failed or was handed over.
    pub at: Option<Timestamp>,
    /// Why it was not sent.
    pub error: Option<ItemError>,
}

/// Where the file of an item comes from: an address, or the bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source<B> {
    /// A web server.
    Url(String),
    /// The bytes, in one form or another.
    Bytes(B),
}

/// A file that is fetched, or that is kept here.
pub type MediaSource = Source<Kept>;

/// A file in the media store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    id: crate::ids::MediaId,
    size_bytes: u64,
}

impl From<KeptMedia> for Kept {
    fn from(kept: KeptMedia) -> Self {
        Self { id: kept.id, size_bytes: kept.size_bytes }
    }
}

impl From<Kept> for KeptMedia {
    fn from(kept: Kept) -> Self {
        Self { id: kept.id, size_bytes: kept.size_bytes }
    }
}

/// What an item says, ready to go out. `B` is the form of a file's bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Said<B> {
    /// A text.
    Text(String),
    /// A file.
    File {
        /// The kind of file.
        kind: MediaKind,
        /// Where it comes from.
        source: Source<B>,
        /// The media type, for instance `image/png`.
        mimetype: Option<String>,
        /// The name of the file, when it has one.
        filename: Option<String>,
        /// The text under it.
        caption: Option<String>,
    },
}

/// What an item says and whom it mentions, as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemContent {
    /// The message.
    pub said: Said<Kept>,
    /// Whom it mentions.
    pub mentions: Vec<ChatId>,
}

impl ItemContent {
    /// The kept file that it sends.
    pub fn file(&self) -> Option<&crate::ids::MediaId> {
        match &self.said {
            Said::File { source: Source::Bytes(kept), .. } => Some(&kept.id),
            Said::File { .. } | Said::Text(_) => None,
        }
    }
}

/// An item as asked for. `Said` holds base64 text where it holds bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemDraft {
    /// Its place in the request, from 0.
    pub index: u32,
    /// The recipient, by their canonical id.
    pub chat: ChatId,
    /// What, with placeholders.
    pub said: Said<String>,
    /// Whom it mentions.
    pub mentions: Vec<ChatId>,
    /// The values of the placeholders.
    pub variables: Option<BTreeMap<String, String>>,
}

/// The hash of a request for a batch: its items in their order, and how they are sent.
pub fn request_fingerprint(items: &[ItemDraft], options: &BatchOptions) -> String {
    let mut hash = Sha256::new();
    let mut feed = |value: serde_json::Value| {
        // The text of a value has no line break outside of its strings, and none in them.
        hash.update(value.to_string());
        hash.update("\n");
    };
    feed(json!(options));
    for ItemDraft { index, chat, said, mentions, variables } in items {
        let mentions: Vec<&str> = mentions.iter().map(ChatId::as_str).collect();
        feed(json!([index, chat.as_str(), said, mentions, variables]));
    }
    hex::encode(hash.finalize())
}

/// An item with its placeholders filled, or why that cannot be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// Its place in the request.
    pub index: u32,
    /// The recipient, by their canonical id.
    pub chat: ChatId,
    /// What it says; an item that cannot be filled has failed before it begins.
    pub said: Result<Said<String>, ItemError>,
    /// Whom it mentions.
    pub mentions: Vec<ChatId>,
}

/// An item to store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewItem {
    /// Its place in the request.
    pub index: u32,
    /// The recipient, by their canonical id.
    pub chat: ChatId,
    /// The id its message will have.
    pub wa_id: WaMessageId,
    /// The recipient's own time zone, where it counts.
    pub zone: Option<String>,
    /// What it says; an error is its result.
    pub content: Result<ItemContent, ItemError>,
}

/// Something that is wrong with an item as asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The field, for instance `content.text`.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: String,
}

/// Everything that is wrong with an item before its placeholders are filled.
pub fn problems(draft: &ItemDraft) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut say = |field, problem: String| found.push(Problem { field, problem });
    let mut most = |field, text: Option<&str>, most: usize| {
        if text.is_some_and(|text| text.chars().count() > most) {
            say(field, format!("must be at most {most} characters"));
        }
    };
    match &draft.said {
        Said::Text(text) => most("content.text", Some(text), TEXT_CHARS_MAX),
        Said::File { source, filename, caption, .. } => {
            most("content.caption", caption.as_deref(), CAPTION_CHARS_MAX);
            most("content.filename", filename.as_deref(), FILENAME_CHARS_MAX);
            if let Source::Url(url) = source {
                most("content.url", Some(url), URL_CHARS_MAX);
            }
        }
    }
    match &draft.said {
        Said::Text(text) if text.is_empty() => {
            say("content.text", "should not be empty".to_owned());
        }
        Said::Text(text) if is_blank(text) => say("content.text", NOTHING_SEEN.to_owned()),
        Said::File { source: Source::Bytes(_), mimetype: None, .. } => {
            say("content.mimetype", "is required with base64".to_owned());
        }
        Said::File { source: Source::Url(url), .. } if !url.contains('{') && !is_http(url) => {
            say("content.url", "must be an http or https URL".to_owned());
        }
        _ => {}
    }
    if draft.mentions.len() > MENTIONS_MAX {
        say("content.mentions", format!("must hold at most {MENTIONS_MAX} ids"));
    }
    found
}

fn is_http(url: &str) -> bool {
    url::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

/// Takes exact duplicates out and fills placeholders. Answers the items in their order, and each duplicate with the
/// item it repeats.
///
/// A placeholder that is left over is missing, also where nobody has variables: no customer is meant to read it.
pub fn expand(drafts: Vec<ItemDraft>) -> (Vec<Rendered>, Vec<(u32, u32)>) {
    let (mut first, mut duplicates) = (HashMap::new(), Vec::new());
    let mut items = Vec::with_capacity(drafts.len());
    for draft in drafts {
        if let Some(earlier) = first.get(&key(&draft)) {
            duplicates.push((draft.index, *earlier));
            continue;
        }
        first.insert(key(&draft), draft.index);
        items.push(render(draft));
    }
    (items, duplicates)
}

fn key(draft: &ItemDraft) -> String {
    let fields = [
        ("chat", json!(draft.chat)),
        ("said", json!(draft.said)),
        ("mentions", json!(draft.mentions)),
        ("variables", json!(draft.variables)),
    ];
    let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    fingerprint("item", &fields)
}

fn render(draft: ItemDraft) -> Rendered {
    let ItemDraft { index, chat, said, mentions, variables } = draft;
    let said = fill(said, &variables.unwrap_or_default());
    Rendered { index, chat, said, mentions }
}

fn fill(
    said: Said<String>,
    variables: &BTreeMap<String, String>,
) -> Result<Said<String>, ItemError> {
    let one = |text: String| template::render(&text, variables).map_err(unfilled);
    let some = |text: Option<String>| text.map(one).transpose();
    Ok(match said {
        Said::Text(text) => {
            let text = one(text)?;
            if is_blank(&text) {
                let sentence = format!("the filled text {NOTHING_SEEN}");
                return Err(ItemError::new(CONTENT_BLANK, sentence));
            }
            Said::Text(text)
        }
        Said::File { kind, source, mimetype, filename, caption } => {
            let source = match source {
                Source::Url(url) => {
                    let url = one(url)?;
                    if !is_http(&url) || url.chars().count() > URL_CHARS_MAX {
                        let sentence = "the filled address is not an http or https URL";
                        return Err(ItemError::new(INVALID_URL, sentence));
                    }
                    Source::Url(url)
                }
                // Never read: a file is no text.
                Source::Bytes(base64) => Source::Bytes(base64),
            };
            Said::File {
                kind,
                source,
                mimetype,
                filename: some(filename)?,
                caption: some(caption)?,
            }
        }
    })
}

fn unfilled(error: RenderError) -> ItemError {
    let code = match error {
        RenderError::Missing(_) => VARIABLE_MISSING,
        RenderError::TooLong => CONTENT_TOO_LONG,
    };
    ItemError::new(code, error.to_string())
}

/// How many different chats there are.
pub fn chats<'a>(chats: impl Iterator<Item = &'a ChatId>) -> usize {
    chats.collect::<HashSet<_>>().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(index: u32, text: &str, variables: &[(&str, &str)]) -> ItemDraft {
        let pairs = variables.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        ItemDraft {
            index,
            chat: "49170111@c.us".parse().unwrap(),
            said: Said::Text(text.into()),
            mentions: vec![],
            variables: (!variables.is_empty()).then(|| pairs.collect()),
        }
    }

    fn file(url: &str, base64: bool) -> Said<String> {
        let source =
            if base64 { Source::Bytes(url.to_owned()) } else { Source::Url(url.to_owned()) };
        Said::File {
            kind: MediaKind::Image,
            source,
            mimetype: Some("image/png".into()),
            filename: Some("{{who}}.png".into()),
            caption: Some("For {who}".into()),
        }
    }

    #[test]
    fn duplicates_are_told_with_the_item_they_repeat() {
        let drafts = vec![
            draft(0, "Hi {{n}}", &[("n", "Mia")]),
            draft(1, "Hi {{n}}", &[("n", "Noa")]),
            draft(2, "Hi {{n}}", &[("n", "Mia")]),
        ];
        let (items, duplicates) = expand(drafts);
        assert_eq!(items.iter().map(|item| item.index).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(duplicates, [(2, 0)]);
        assert_eq!(items[1].said, Ok(Said::Text("Hi Noa".into())));
    }

    #[test]
    fn a_missing_variable_fails_its_item_and_is_named() {
        let (items, _) =
            expand(vec![draft(0, "Hi {n}", &[("n", "Mia")]), draft(1, "Hi {{n}}", &[])]);
        let error = items[1].said.clone().unwrap_err();
        assert_eq!(
            (error.code.as_str(), error.message.as_str()),
            (VARIABLE_MISSING, "variable n is missing")
        );
    }

    #[test]
    fn single_braces_are_text_where_nobody_has_variables_and_double_ones_are_missing() {
        let (items, _) = expand(vec![draft(0, "Hi {n}", &[]), draft(1, "Hi {{n}}", &[])]);
        assert_eq!(items[1].said.clone().unwrap_err().message, "variable n is missing");
        assert_eq!(items[0].said, Ok(Said::Text("Hi {n}".into())));
    }

    #[test]
    fn every_text_of_a_file_is_filled_but_never_its_bytes() {
        let with = |said| ItemDraft { said, ..draft(0, "", &[("who", "Mia")]) };
        let (items, _) = expand(vec![with(file("https://a.example/{{who}}.png", false))]);
        let Ok(Said::File { source, filename, caption, .. }) = &items[0].said else { panic!() };
        assert_eq!(*source, Source::Url("https://a.example/Mia.png".into()));
        assert_eq!((filename.as_deref(), caption.as_deref()), (Some("Mia.png"), Some("For Mia")));
        let (items, _) = expand(vec![with(file("{{who}}", true))]);
        let Ok(Said::File { source, .. }) = &items[0].said else { panic!() };
        assert_eq!(*source, Source::Bytes("{{who}}".into()));
        let (items, _) = expand(vec![with(file("{{who}}", false))]);
        assert_eq!(items[0].said.clone().unwrap_err().code, INVALID_URL);
    }

    #[test]
    fn what_is_wrong_is_said_by_field() {
        let with = |said| ItemDraft { said, ..draft(0, "", &[]) };
        let fields = |draft: &ItemDraft| {
            problems(draft).into_iter().map(|problem| problem.field).collect::<Vec<_>>()
        };
        assert_eq!(fields(&with(Said::Text(String::new()))), ["content.text"]);
        assert_eq!(fields(&with(Said::Text("x".repeat(4097)))), ["content.text"]);
        assert_eq!(fields(&with(file("ftp://a.example", false))), ["content.url"]);
        assert!(fields(&with(file("{{who}}", false))).is_empty());
        let bare = Said::File {
            kind: MediaKind::Image,
            source: Source::Bytes("AAAA".into()),
            mimetype: None,
            filename: None,
            caption: Some("x".repeat(1025)),
        };
        assert_eq!(fields(&with(bare)), ["content.caption", "content.mimetype"]);
    }
}
