//! Names and types of files from the web.

use percent_encoding::percent_decode_str;
use url::Url;

/// Longest name that is kept, in characters (OpenWA's limit).
const NAME_CHARS_MAX: usize = 255;

/// Longest type that is believed, bytes. Registered ones have fewer than 128 (RFC 6838).
const TYPE_BYTES_MAX: usize = 255;

/// The name in a `Content-Disposition` header (RFC 6266): the extended form wins.
pub(super) fn of_disposition(header: &str) -> Option<String> {
    let (mut plain, mut extended) = (None, None);
    for part in parameters(header) {
        let Some((name, value)) = part.split_once('=') else { continue };
        let value = value.trim();
        match name.trim().to_ascii_lowercase().as_str() {
            "filename" => plain = Some(unquote(value)),
            "filename*" => {
                // `UTF-8'<language>'<percent-encoded>`
                let mut parts = value.splitn(3, '\'');
                let charset = parts.next().unwrap_or_default().to_ascii_lowercase();
                let bytes = parts.nth(1).map(percent_decode_str);
                extended = match charset.as_str() {
                    "utf-8" => bytes.and_then(|bytes| Some(bytes.decode_utf8().ok()?.into_owned())),
                    // RFC 5987 had it; its successor, RFC 8187, has UTF-8 alone.
                    "iso-8859-1" => bytes.map(|bytes| bytes.map(char::from).collect()),
                    _ => None,
                };
            }
            _ => {}
        }
    }
    extended.or(plain).and_then(|name| clean(&name))
}

/// The last part of the URL's path.
pub(super) fn of_url(url: &Url) -> Option<String> {
    let last = url.path_segments()?.next_back()?;
    clean(&percent_decode_str(last).decode_utf8_lossy())
}

/// Splits at semicolons outside of quotes.
fn parameters(header: &str) -> Vec<String> {
    let (mut parts, mut part, mut quoted, mut escaped) = (vec![], String::new(), false, false);
    for c in header.chars() {
        if c == ';' && !quoted {
            parts.push(std::mem::take(&mut part));
            continue;
        }
        if c == '"' && !escaped {
            quoted = !quoted;
        }
        escaped = c == '\\' && quoted && !escaped;
        part.push(c);
    }
    parts.push(part);
    parts
}

fn unquote(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')) else {
        return value.to_owned();
    };
    let (mut out, mut escaped) = (String::new(), false);
    for c in inner.chars() {
        if c == '\\' && !escaped {
            escaped = true;
        } else {
            escaped = false;
            out.push(c);
        }
    }
    out
}

/// Without folders and control characters, not too long; `None` when nothing is left.
fn clean(name: &str) -> Option<String> {
    let name = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let name: String =
        name.chars().filter(|c| !c.is_control()).take(NAME_CHARS_MAX).collect::<String>();
    let name = name.trim();
    (!name.is_empty() && name.chars().any(|c| c != '.')).then(|| name.to_owned())
}

/// The type in a `Content-Type` header; `None` when it says nothing about the file.
pub(super) fn of_content_type(header: &str) -> Option<String> {
    let header = header.trim().to_ascii_lowercase();
    let essence = header.split(';').next().unwrap_or_default().trim();
    let word = |text: &str| {
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b);
        !text.is_empty() && text.bytes().all(token)
    };
    let (kind, sort) = essence.split_once('/')?;
    let nothing = sort == "octet-stream" || essence == "application/unknown";
    if nothing || !word(kind) || !word(sort) {
        return None;
    }
    // How a voice note is coded belongs to its type; a charset does not.
    let codecs = header
        .split(';')
        .skip(1)
        .map(str::trim)
        .find(|part| part.starts_with("codecs=") && part.bytes().all(|b| b.is_ascii_graphic()));
    let found = codecs.map_or_else(|| essence.to_owned(), |codecs| format!("{essence}; {codecs}"));
    (found.len() <= TYPE_BYTES_MAX).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_their_folders() {
        for (header, name) in [
            ("attachment; filename=menu.pdf", Some("menu.pdf")),
            ("attachment; filename=\"a;b \\\"c\\\".pdf\"", Some("a;b \"c\".pdf")),
            ("inline; filename=\"../../etc/passwd\"", Some("passwd")),
            ("attachment; filename=x.pdf; filename*=UTF-8''Men%C3%BC.pdf", Some("Menü.pdf")),
            ("attachment", None),
            ("attachment; filename=\"..\"", None),
        ] {
            assert_eq!(of_disposition(header).as_deref(), name, "{header}");
        }
        let name = |url: &str| of_url(&Url::parse(url).unwrap());
        assert_eq!(name("https://a.example/b/c%20d.png?x=1").as_deref(), Some("c d.png"));
        assert_eq!(name("https://a.example/b%2fc.png").as_deref(), Some("c.png"));
        assert_eq!(name("https://a.example/"), None);
    }

    #[test]
    fn types_that_say_nothing_are_none() {
        for (header, kind) in [
            ("image/JPEG; charset=binary", Some("image/jpeg")),
            ("audio/ogg; codecs=opus", Some("audio/ogg; codecs=opus")),
            ("application/octet-stream", None),
            ("binary/octet-stream", None),
            ("nonsense", None),
            ("", None),
        ] {
            assert_eq!(of_content_type(header).as_deref(), kind, "{header}");
        }
    }
}
