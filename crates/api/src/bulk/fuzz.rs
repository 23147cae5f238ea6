//! Imports under a fuzzer.

use domain::phone::Country;

use super::{decode::decode, import::message, records::lines, table::Table};

/// A table is read to its end: rows come in order, and where nothing is quoted every line is a row or blank.
pub fn table(bytes: &[u8]) {
    let Ok(decoded) = decode(bytes, None) else { return };
    let text = decoded.text.as_str();
    let physical = lines(text).count() as u64;
    let Ok(mut table) = Table::open(text, home()) else { return };
    let (mut last, mut rows) = (0, 0);
    while let Some(row) = table.next_row(Some("Hello")) {
        let Ok((line, message)) = row else { return };
        assert!(line > last && line <= physical, "line {line} after {last} of {physical}");
        last = line;
        rows += 1;
        match message {
            Ok(message) => drop(message.draft(0, home())),
            Err(problems) => assert!(!problems.is_empty(), "wrong without a reason"),
        }
    }
    if !text.contains('"') {
        let head =
            1 + u64::from(text.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("sep=")));
        let seen = rows + u64::from(table.blank_rows()) + head;
        assert!(seen == physical || seen == physical + 1, "{seen} of {physical} lines");
    }
}

/// Every line is a message or named as wrong.
pub fn ndjson(bytes: &[u8]) {
    let Ok(decoded) = decode(bytes, None) else { return };
    for (_, line) in lines(&decoded.text) {
        match message(line) {
            Ok(message) => drop(message.draft(0, home())),
            Err(problems) => assert!(!problems.is_empty(), "wrong without a reason"),
        }
    }
}

/// A country with every oddity: two spellings, an area code without a zero, carriers.
fn home() -> Option<Country> {
    "BR".parse().ok()
}
