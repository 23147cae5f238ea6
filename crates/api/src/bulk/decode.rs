//! From the bytes of an import to its text.

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

/// A text and the name of the encoding that it came in.
#[derive(Debug, PartialEq, Eq)]
pub struct Decoded {
    pub text: String,
    pub encoding: &'static str,
}

/// Reads UTF-8, UTF-16 and Windows-1252. A byte order mark decides, then the charset that the caller names, then the
/// bytes themselves: what is no UTF-8 is Windows-1252, as spreadsheets write it, unless the bytes speak against that.
///
/// # Errors
/// Says in which line the bytes do not fit.
pub fn decode(bytes: &[u8], charset: Option<&str>) -> Result<Decoded, String> {
    let (encoding, bytes) = match Encoding::for_bom(bytes) {
        Some((encoding, mark)) => (Some(encoding), bytes.get(mark..).unwrap_or_default()),
        None => (named(charset)?.or_else(|| wide(bytes)), bytes),
    };
    match encoding {
        Some(encoding) => strict(bytes, encoding),
        None if std::str::from_utf8(bytes).is_ok() => strict(bytes, UTF_8),
        None => western(bytes),
    }
}

fn named(charset: Option<&str>) -> Result<Option<&'static Encoding>, String> {
    let Some(name) = charset else { return Ok(None) };
    let known = Encoding::for_label(name.as_bytes());
    known.map(Some).ok_or_else(|| format!("the charset {} is not known", crate::error::echo(name)))
}

fn strict(bytes: &[u8], encoding: &'static Encoding) -> Result<Decoded, String> {
    let Some(text) = encoding.decode_without_bom_handling_and_without_replacement(bytes) else {
        return Err(match std::str::from_utf8(bytes) {
            Err(error) if encoding == UTF_8 => {
                format!("line {} is not UTF-8", line_of(bytes, error.valid_up_to()))
            }
            _ => format!("the text is not {}", encoding.name()),
        });
    };
    Ok(Decoded { text: text.into_owned(), encoding: encoding.name() })
}

/// UTF-16 without a mark: every second byte of its first line is zero.
fn wide(bytes: &[u8]) -> Option<&'static Encoding> {
    let start = bytes.get(..bytes.len().min(64) & !1)?;
    let zeros =
        |first: usize| start.iter().skip(first).step_by(2).filter(|byte| **byte == 0).count();
    let half = start.len() / 2;
    match (zeros(0), zeros(1)) {
        (0, low) if half > 1 && low * 4 >= half * 3 => Some(UTF_16LE),
        (high, 0) if half > 1 && high * 4 >= half * 3 => Some(UTF_16BE),
        _ => None,
    }
}

/// Bytes that are no UTF-8. Where other places are UTF-8 beyond ASCII, one of the two is damage, and what was meant
/// is not known; the same goes for bytes that Windows-1252 has no character for.
fn western(bytes: &[u8]) -> Result<Decoded, String> {
    let mut wrong = 0;
    let mut first = None;
    let mut wide_chars = false;
    for chunk in bytes.utf8_chunks() {
        wide_chars |= !chunk.valid().is_ascii();
        if !chunk.invalid().is_empty() {
            first.get_or_insert(wrong + chunk.valid().len());
        }
        wrong += chunk.valid().len() + chunk.invalid().len();
    }
    let line = line_of(bytes, first.unwrap_or_default());
    let text = WINDOWS_1252.decode_without_bom_handling(bytes).0;
    let has_holes = text.chars().any(|c| ('\u{80}'..='\u{9f}').contains(&c));
    if wide_chars || has_holes {
        return Err(format!(
            "line {line} is not UTF-8; save the file as UTF-8, or name its charset in the Content-Type"
        ));
    }
    Ok(Decoded { text: text.into_owned(), encoding: WINDOWS_1252.name() })
}

/// The line of a place, as editors count.
fn line_of(bytes: &[u8], place: usize) -> u64 {
    let before = bytes.get(..place).unwrap_or(bytes);
    let ends = |at: usize| match before.get(at) {
        Some(b'\n') => true,
        Some(b'\r') => before.get(at + 1) != Some(&b'\n'),
        _ => false,
    };
    1 + (0..before.len()).filter(|at| ends(*at)).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<(String, &'static str), String> {
        decode(bytes, None).map(|decoded| (decoded.text, decoded.encoding))
    }

    #[test]
    fn every_encoding_of_spreadsheets_is_read() {
        let text = "phone;name\r\n+4917020000000;Zoë";
        let wide = |one: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(one).collect::<Vec<u8>>();
        let marked = |mark: &[u8], rest: Vec<u8>| [mark, &rest].concat();
        let le = wide(u16::to_le_bytes);
        let be = wide(u16::to_be_bytes);
        let western: Vec<u8> = text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
        for (bytes, encoding) in [
            (text.as_bytes().to_vec(), "UTF-8"),
            (marked(b"\xef\xbb\xbf", text.into()), "UTF-8"),
            (marked(b"\xff\xfe", le.clone()), "UTF-16LE"),
            (marked(b"\xfe\xff", be.clone()), "UTF-16BE"),
            (le, "UTF-16LE"),
            (be, "UTF-16BE"),
            (western, "windows-1252"),
        ] {
            assert_eq!(read(&bytes), Ok((text.to_owned(), encoding)));
        }
    }

    #[test]
    fn a_charset_of_the_caller_is_believed_and_held() {
        let cyrillic = decode(b"\xcc\xe8\xf0", Some("windows-1251")).unwrap();
        assert_eq!(cyrillic.text, "Мир");
        assert!(decode(b"a\r\nb\rZo\xeb", Some("utf-8")).unwrap_err().contains("line 3"));
        assert!(decode(b"a", Some("klingon")).is_err());
    }

    #[test]
    fn damage_is_not_guessed_at() {
        assert!(read("Zoë\nNoa\n".as_bytes()).is_ok());
        assert!(read(b"Zo\xc3\xab\nNo\xebl\n").unwrap_err().contains("line 2"));
        assert!(read(b"\x81\x8d\n").is_err());
        assert!(read(b"\xff\xfe\x00").is_err());
    }
}
