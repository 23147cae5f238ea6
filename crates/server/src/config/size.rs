//! Sizes as people write them.

/// Reads `1048576`, `512kb`, `25mb`; capitals and a space before the unit are fine.
pub fn parse(text: &str) -> Option<usize> {
    let text = text.trim().to_ascii_lowercase();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: usize = text[..digits].parse().ok()?;
    let factor = match text[digits..].trim() {
        "" | "b" => 1,
        "kb" => 1024,
        "mb" => 1024 * 1024,
        _ => return None,
    };
    number.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn sizes() {
        assert_eq!(parse("25mb"), Some(25 * 1024 * 1024));
        assert_eq!(parse("512 KB"), Some(512 * 1024));
        assert_eq!(parse("77"), Some(77));
        for wrong in ["", "mb", "1gb", "-1", "1.5mb", "99999999999999999999mb"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
