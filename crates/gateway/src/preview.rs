//! The card above a text with a link, from the page behind it. Whatever goes wrong, there is simply no card, or one
//! without a picture.

use std::{io::Read as _, io::Seek as _, time::Duration};

use domain::{content::LinkPreview, port::MediaFiles, proxy::ProxyUrl};
use tokio::time::Instant;
use url::Url;

use crate::{
    Media,
    egress::{Egress, GetLimits},
};

/// Largest page that is read, bytes.
const PAGE_BYTES_MAX: u64 = 1024 * 1024;
/// How long page and picture may take together: a send waits for them.
const LIMIT: Duration = Duration::from_secs(5);
/// Longest title and description, in characters.
const TITLE_CHARS_MAX: usize = 256;
const DESCRIPTION_CHARS_MAX: usize = 1024;

/// Whether there is anything to make a card of.
pub(crate) fn has_link(text: &str) -> bool {
    first_link(text).is_some()
}

/// The card of the first link in a text; through `proxy` and in no other way, if there is one.
pub(crate) async fn of_text(
    pages: &Egress,
    media: &Media,
    files: &dyn MediaFiles,
    text: &str,
    proxy: Option<&ProxyUrl>,
) -> Option<LinkPreview> {
    let began = Instant::now();
    let link = first_link(text)?;
    let url = Url::parse(link).ok()?;
    let scratch = files.scratch().await.ok()?;
    let limits = GetLimits { bytes_max: PAGE_BYTES_MAX, time: LIMIT };
    let got = pages.get_into(&url, scratch.handle().ok()?, limits, proxy).await;
    let got = got.inspect_err(|error| tracing::debug!(%error, "no preview of a link")).ok()?;
    if !got.content_type.is_some_and(|kind| kind.to_ascii_lowercase().contains("html")) {
        return None;
    }
    let mut file = scratch.handle().ok()?;
    let mut page = Vec::new();
    file.rewind().ok()?;
    file.take(PAGE_BYTES_MAX).read_to_end(&mut page).ok()?;
    let page = String::from_utf8_lossy(&page);
    let mut card = card(link, &page)?;
    if let Some(picture) = picture(&page).and_then(|picture| got.url.join(&picture).ok()) {
        let left = LIMIT.saturating_sub(began.elapsed());
        let made = media.thumbnail_of_url(picture.as_str(), proxy, left).await;
        let made = made.inspect_err(|error| tracing::debug!(%error, "no picture of a link"));
        card.thumbnail = made.unwrap_or_default();
    }
    Some(card)
}

/// Where a page says that its picture is.
fn picture(page: &str) -> Option<String> {
    ["og:image", "og:image:url", "og:image:secure_url", "twitter:image"]
        .into_iter()
        .find_map(|name| meta(page, name))
}

/// The first http or https address in a text, as it stands there.
fn first_link(text: &str) -> Option<&str> {
    let words = text.split_whitespace();
    let mut links = words.filter_map(|word| {
        let start = ["https://", "http://"].iter().filter_map(|scheme| word.find(scheme)).min()?;
        let link =
            word[start..].trim_end_matches(['.', ',', ';', '!', '?', ')', ']', '>', '"', '\'']);
        Url::parse(link).ok().map(|_| link)
    });
    links.next()
}

fn card(link: &str, page: &str) -> Option<LinkPreview> {
    let title = meta(page, "og:title").or_else(|| title(page))?;
    let description = meta(page, "og:description").or_else(|| meta(page, "description"));
    Some(LinkPreview {
        url: link.to_owned(),
        title: cut(&title, TITLE_CHARS_MAX),
        description: description.map(|text| cut(&text, DESCRIPTION_CHARS_MAX)),
        thumbnail: vec![],
    })
}

fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

fn title(page: &str) -> Option<String> {
    let lower = page.to_ascii_lowercase();
    let open = lower.find("<title")?;
    let start = open + lower[open..].find('>')? + 1;
    let end = start + lower[start..].find("</title")?;
    words(&page[start..end])
}

/// The content of a `<meta>` whose name or property is this.
fn meta(page: &str, name: &str) -> Option<String> {
    let lower = page.to_ascii_lowercase();
    let mut from = 0;
    while let Some(at) = lower[from..].find("<meta") {
        let start = from + at;
        let end = start + lower[start..].find('>')?;
        let tag = &page[start..end];
        let named = ["property", "name"].iter().any(|attribute| {
            value(tag, attribute).is_some_and(|value| value.eq_ignore_ascii_case(name))
        });
        if named {
            return value(tag, "content").and_then(words);
        }
        from = end;
    }
    None
}

/// The value of an attribute in a tag.
fn value<'a>(tag: &'a str, attribute: &str) -> Option<&'a str> {
    let lower = tag.to_ascii_lowercase();
    let mut from = 0;
    while let Some(at) = lower[from..].find(attribute) {
        let (start, behind) = (from + at, from + at + attribute.len());
        let separate = lower[..start].ends_with(|c: char| c.is_ascii_whitespace());
        if separate && let Some(rest) = tag[behind..].trim_start().strip_prefix('=') {
            let rest = rest.trim_start();
            let quote = rest.chars().next()?;
            return match quote {
                '"' | '\'' => rest[1..].split(quote).next(),
                _ => rest.split(|c: char| c.is_ascii_whitespace() || c == '/').next(),
            };
        }
        from = behind;
    }
    None
}

/// One line of text; the usual entities are read. `None` when nothing is left.
fn words(text: &str) -> Option<String> {
    let mut text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for (entity, plain) in [
        ("&quot;", "\""),
        ("&#39;", "'"),
        ("&#x27;", "'"),
        ("&apos;", "'"),
        ("&nbsp;", " "),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&amp;", "&"),
    ] {
        if text.contains(entity) {
            text = text.replace(entity, plain);
        }
    }
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_link_is_found_as_it_stands() {
        assert_eq!(
            first_link("see (https://a.example/x?y=1). Or not"),
            Some("https://a.example/x?y=1")
        );
        assert_eq!(first_link("http://b.example, https://c.example"), Some("http://b.example"));
        assert_eq!(first_link("a.example ftp://b.example"), None);
    }

    #[test]
    fn the_picture_of_a_page_is_found() {
        let page = "<meta property='og:image' content='/a.png?x=1&amp;y=2'><meta name=twitter:image content=b>";
        assert_eq!(picture(page).as_deref(), Some("/a.png?x=1&y=2"));
        assert_eq!(picture("<meta name=twitter:image content=b>").as_deref(), Some("b"));
        assert_eq!(picture("<img src=a.png>"), None);
    }

    #[test]
    fn a_card_is_read_from_a_page() {
        let page = r#"<html><head><TITLE>
            Bread &amp; more </TITLE><meta name='description' content='From page'>
            <META content="Our &quot;best&quot; bread" property="og:title"/></head>"#;
        let card = card("https://a.example", page).unwrap();
        assert_eq!(card.title, "Our \"best\" bread");
        assert_eq!(card.description.as_deref(), Some("From page"));
        assert_eq!(
            super::card("x", "<title>Only &lt;title&gt;</title>").unwrap().title,
            "Only <title>"
        );
        assert_eq!(super::card("x", "<p>nothing</p>"), None);
        assert_eq!(super::card("x", "<title>never closed"), None);
        assert_eq!(
            super::card("x", "<meta property=og:title content=Plain />").unwrap().title,
            "Plain"
        );
    }
}
