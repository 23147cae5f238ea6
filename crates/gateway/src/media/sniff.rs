//! Whether the bytes of a file are what they are sent as.
//!
//! WhatsApp takes any bytes and phones show nothing of the wrong ones. So the first bytes are looked at before
//! anything is uploaded: a picture must be a picture that phones show, and a file whose type has known first bytes
//! must have them.

use domain::content::MediaKind;

/// As many first bytes as tell any type.
pub(super) const HEAD_BYTES: usize = 8192;
/// Longest base64 text that can be a word instead.
const WORD_CHARS_MAX: usize = 24;
/// Words that are no base64, though they could be: what programs write where they have no file.
const WORDS: [&str; 8] = ["None", "NaN", "Null", "NULL", "True", "False", "Undefined", "Infinity"];

/// What the first bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SniffedType {
    /// A type with known first bytes.
    Type(&'static str),
    Page,
    Json,
    Text,
    Unknown,
}

/// Looks at the first bytes of a file.
pub(super) fn sniff(head: &[u8]) -> SniffedType {
    if is_mpeg_audio(head) {
        return SniffedType::Type("audio/mpeg");
    }
    if let Some(found) = infer::get(head) {
        return match found.mime_type() {
            "text/html" => SniffedType::Page,
            "text/xml" => SniffedType::Text,
            other => SniffedType::Type(other),
        };
    }
    // Readers look for the mark of a PDF in the first kilobyte.
    if head[..head.len().min(1024)].windows(5).any(|window| window == b"%PDF-") {
        return SniffedType::Type("application/pdf");
    }
    let Some(text) = text(head) else { return SniffedType::Unknown };
    let start = text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']).to_ascii_lowercase();
    if ["<!doctype html", "<html", "<head", "<body", "<!--"]
        .iter()
        .any(|tag| start.starts_with(tag))
    {
        return SniffedType::Page;
    }
    match start.chars().next() {
        Some('{' | '[') => SniffedType::Json,
        _ => SniffedType::Text,
    }
}

/// The layers of MPEG audio that have no tag before them: eleven bits set, then a version and layer III.
fn is_mpeg_audio(head: &[u8]) -> bool {
    matches!(head, [0xff, second, third, ..]
        if second & 0xe6 == 0xe2 && second & 0x18 != 0x08 && third & 0xf0 != 0xf0 && third & 0x0c != 0x0c)
}

fn text(head: &[u8]) -> Option<&str> {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // The head may end in a character.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&head[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    let is_control = |c: char| c.is_control() && !matches!(c, '\t' | '\r' | '\n' | '\u{c}');
    (!text.chars().any(is_control)).then_some(text)
}

/// The type that a file goes out with; `None` leaves what was given or told.
///
/// # Errors
/// A sentence for people: what the bytes are, and what to do.
pub(super) fn fit(
    kind: MediaKind,
    given: Option<&str>,
    head: &[u8],
) -> Result<Option<&'static str>, String> {
    let sniffed = sniff(head);
    match kind {
        MediaKind::Image => match sniffed {
            SniffedType::Type(
                found @ ("image/jpeg" | "image/png" | "image/webp" | "image/gif"),
            ) => Ok(Some(found)),
            SniffedType::Type(found) if found.starts_with("image/") => Err(format!(
                "phones do not show pictures of type {found}: convert it to JPEG or PNG, or send it as a document"
            )),
            other => Err(not_a("picture", other)),
        },
        MediaKind::Sticker => match sniffed {
            SniffedType::Type(
                found @ ("image/jpeg" | "image/png" | "image/webp" | "image/gif"),
            ) => Ok(Some(found)),
            SniffedType::Type(found) if found.starts_with("image/") => Err(format!(
                "a sticker cannot be made of a picture of type {found}: convert it to WebP, PNG or JPEG"
            )),
            other => Err(not_a("sticker", other)),
        },
        MediaKind::Video => match sniffed {
            SniffedType::Type("video/quicktime") => Ok(Some("video/quicktime")),
            SniffedType::Type(found @ ("video/mp4" | "video/3gpp")) => Ok(Some(found)),
            SniffedType::Type("video/x-m4v" | "audio/m4a") if is_mp4(head) => Ok(Some("video/mp4")),
            SniffedType::Type(found) if found.starts_with("video/") => Err(format!(
                "phones do not play videos of type {found}: convert it to MP4 (H.264 and AAC), or send it as a document"
            )),
            _ if is_mp4(head) => Ok(Some("video/mp4")),
            other => Err(not_a("video", other)),
        },
        MediaKind::Audio | MediaKind::Voice => match sniffed {
            SniffedType::Type("audio/m4a") => Ok(Some("audio/mp4")),
            SniffedType::Type("audio/ogg" | "audio/opus") => Ok(Some(OGG_OPUS)),
            SniffedType::Type("audio/x-aac" | "audio/aac") => Ok(Some("audio/aac")),
            SniffedType::Type(found) if found.starts_with("audio/") => Ok(Some(found)),
            // Recorders write sound alone into these too.
            SniffedType::Type("video/mp4" | "video/x-m4v") => Ok(Some("audio/mp4")),
            SniffedType::Type("video/3gpp") => Ok(Some("audio/3gpp")),
            SniffedType::Type("video/webm") => Ok(Some("audio/webm")),
            _ if is_mp4(head) => Ok(Some("audio/mp4")),
            other => Err(not_a("sound", other)),
        },
        MediaKind::Document => document(given, sniffed).map(|()| None),
    }
}

/// The type of voice notes.
pub(super) const OGG_OPUS: &str = "audio/ogg; codecs=opus";

/// Any brand of the ISO base media format.
fn is_mp4(head: &[u8]) -> bool {
    head.get(4..8) == Some(b"ftyp") && !matches!(head.get(8..12), Some(b"avif" | b"heic" | b"mif1"))
}

fn not_a(what: &str, sniffed: SniffedType) -> String {
    let found = match sniffed {
        SniffedType::Type(found) => format!("they are {found}"),
        SniffedType::Page => {
            "they are a web page: the address leads to a page, not to the file".into()
        }
        SniffedType::Json => {
            "they are JSON: the address answers with data, not with the file".into()
        }
        SniffedType::Text => "they are text".into(),
        SniffedType::Unknown => "their type is not known".into(),
    };
    format!("the bytes are no {what}: {found}")
}

/// Types of documents whose first bytes are known, by what those are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FormatFamily {
    Pdf,
    /// Office programs write both forms under each other's types.
    Office,
    Zip,
    Picture,
    Film,
    Text,
}

fn family(mimetype: &str) -> Option<FormatFamily> {
    let essence = mimetype.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_office = ["officedocument", "opendocument", "msword", "ms-excel", "ms-powerpoint"];
    match essence.as_str() {
        "application/pdf" | "application/x-pdf" => Some(FormatFamily::Pdf),
        "application/zip" | "application/x-zip-compressed" | "application/epub+zip" => {
            Some(FormatFamily::Zip)
        }
        "image/jpeg" | "image/jpg" | "image/png" | "image/gif" | "image/webp" => {
            Some(FormatFamily::Picture)
        }
        "video/mp4" | "video/quicktime" | "video/3gpp" => Some(FormatFamily::Film),
        "application/json" | "application/xml" => Some(FormatFamily::Text),
        essence if essence.starts_with("text/") => Some(FormatFamily::Text),
        essence if is_office.iter().any(|word| essence.contains(word)) => {
            Some(FormatFamily::Office)
        }
        _ => None,
    }
}

fn document(given: Option<&str>, sniffed: SniffedType) -> Result<(), String> {
    let Some((given, family)) = given.and_then(|given| Some((given, family(given)?))) else {
        return Ok(());
    };
    let found = match sniffed {
        SniffedType::Type(found) => found,
        SniffedType::Unknown => "",
        SniffedType::Page | SniffedType::Json | SniffedType::Text => "text/",
    };
    let fits = match family {
        FormatFamily::Pdf => found == "application/pdf",
        FormatFamily::Office => {
            found.contains("officedocument")
                || found.contains("opendocument")
                || found.contains("ms")
                || found == "application/zip"
                || found.contains("ole")
        }
        FormatFamily::Zip => {
            found == "application/zip"
                || found == "application/epub+zip"
                || found.contains("document")
        }
        FormatFamily::Picture => found.starts_with("image/"),
        FormatFamily::Film => found.starts_with("video/") || found == "audio/m4a",
        // Many texts are not UTF-8; none of them begins like a file of another type.
        FormatFamily::Text => found.is_empty() || found.starts_with("text/"),
    };
    if fits { Ok(()) } else { Err(not_a(&format!("file of type {given}"), sniffed)) }
}

/// A word where base64 was expected, and could be read as such: programs write it where they have no file.
pub(super) fn word_instead_of_bytes(text: &str) -> Option<String> {
    let text = text.trim();
    let is_plain = |b: u8| b.is_ascii_lowercase() || b == b'-' || b == b'_';
    let body = text.strip_suffix("v2").unwrap_or(text);
    let is_word = text.len() <= WORD_CHARS_MAX && !body.is_empty() && body.bytes().all(is_plain);
    if matches!(text, "database" | "default" | "filesystem" | "filesystem-v2" | "s3") {
        return Some(format!(
            "base64 is the word \"{text}\", not a file: n8n keeps the bytes elsewhere and hands on where; read them with \
             this.helpers.getBinaryDataBuffer(), or with the node \"Extract from File\" (move file to base64 string)"
        ));
    }
    (is_word || WORDS.contains(&text)).then(|| {
        format!("base64 is the word \"{text}\", not a file: the step before had no bytes to give")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0";
    const JPEG: &[u8] = b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01";
    const WEBP: &[u8] = b"RIFF\x24\0\0\0WEBPVP8L";
    const PDF: &[u8] = b"%PDF-1.7\n";
    const MP4: &[u8] = b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41";
    const PAGE: &[u8] = b"\n<!DOCTYPE html><html><head><title>Sign in</title>";
    const JSON: &[u8] = b"{\"error\":\"expired\"}";
    const ZIP: &[u8] = b"PK\x03\x04\x14\0\0\0\x08\0";

    #[test]
    fn a_picture_is_a_picture_that_phones_show() {
        for (head, expected) in [
            (PNG, "image/png"),
            (JPEG, "image/jpeg"),
            (WEBP, "image/webp"),
            (b"GIF89a\x01\0", "image/gif"),
        ] {
            assert_eq!(fit(MediaKind::Image, Some("image/jpeg"), head), Ok(Some(expected)));
        }
        for head in [
            PAGE,
            JSON,
            PDF,
            MP4,
            b"hello",
            b"\0\x01\x02",
            b"BM\x46\0\0\0\0\0\0\0",
            b"",
            b"<svg xmlns=''>",
        ] {
            assert!(fit(MediaKind::Image, Some("image/jpeg"), head).is_err(), "{head:?}");
            assert!(fit(MediaKind::Sticker, Some("image/webp"), head).is_err(), "{head:?}");
        }
        assert!(fit(MediaKind::Image, None, PAGE).unwrap_err().contains("web page"));
        assert!(fit(MediaKind::Image, None, JSON).unwrap_err().contains("JSON"));
    }

    #[test]
    fn a_video_and_a_sound_are_what_they_say() {
        assert_eq!(fit(MediaKind::Video, None, MP4), Ok(Some("video/mp4")));
        assert_eq!(fit(MediaKind::Audio, None, MP4), Ok(Some("audio/mp4")));
        for head in [&b"\xff\xfb\x90\x64"[..], b"\xff\xf3\x40\xc0", b"ID3\x04\0\0\0"] {
            assert_eq!(fit(MediaKind::Audio, None, head), Ok(Some("audio/mpeg")), "{head:?}");
        }
        for head in [PNG, JSON, PAGE, PDF, b"hello"] {
            assert!(fit(MediaKind::Video, Some("video/mp4"), head).is_err(), "{head:?}");
            assert!(fit(MediaKind::Audio, Some("audio/mpeg"), head).is_err(), "{head:?}");
            assert!(fit(MediaKind::Voice, None, head).is_err(), "{head:?}");
        }
    }

    #[test]
    fn a_document_has_the_first_bytes_of_its_type() {
        let fits = |given: &str, head: &[u8]| fit(MediaKind::Document, Some(given), head).is_ok();
        for (given, head) in [
            ("application/pdf", PDF),
            ("application/octet-stream", b"anything".as_slice()),
            ("application/x-own", PAGE),
            ("text/html", PAGE),
            ("text/csv", b"name;phone\nB\xf6rne;1"),
            ("application/json", JSON),
            ("application/zip", ZIP),
            ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", ZIP),
            ("application/vnd.ms-excel", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
            ("image/png", JPEG),
        ] {
            assert!(fits(given, head), "{given}");
        }
        for (given, head) in [
            ("application/pdf", PAGE),
            ("application/pdf", b"\x75\xab\x5a\x6a\xc7\xba".as_slice()),
            ("application/pdf; charset=binary", ZIP),
            ("text/csv", PDF),
            ("image/jpeg", PAGE),
            ("video/mp4", JSON),
            ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", PAGE),
        ] {
            assert!(!fits(given, head), "{given}");
        }
    }

    #[test]
    fn a_word_is_no_file() {
        for word in [
            "database",
            "filesystem-v2",
            "s3",
            "null",
            "undefined",
            "None",
            "NaN",
            "data",
            " binary\n",
        ] {
            assert!(word_instead_of_bytes(word).is_some(), "{word}");
        }
        assert!(word_instead_of_bytes("database").unwrap().contains("n8n"));
        for text in ["AAEC", "aGVsbG8=", "aGVsbG8", "iVBORw0KGgo", ""] {
            assert!(word_instead_of_bytes(text).is_none(), "{text}");
        }
    }
}
