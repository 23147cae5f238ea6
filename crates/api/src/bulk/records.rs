//! CSV: the one reader that decides where a cell and a record end.
//!
//! Strict where leniency would cost a recipient: a quoted cell must be closed, and nothing may follow its end. A
//! quote inside a cell that does not begin with one is a character like any other. A line ends with LF, CR or CRLF,
//! also mixed.

use std::borrow::Cow;

/// A record and the lines it lies in.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Record {
    pub line: u64,
    pub cells: Vec<Cell>,
}

/// What stands between two separators.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Cell {
    pub text: String,
    /// The line it begins in.
    pub line: u64,
    pub quoted: bool,
}

/// Where the text is not CSV any more. What follows cannot be trusted.
#[derive(Debug, PartialEq, Eq)]
pub struct Broken {
    pub line: u64,
    pub problem: &'static str,
}

const OPEN: &str =
    "a quote is opened and never closed: close it, or double it where it belongs to the text";
const BEHIND: &str = "text follows a closing quote: a quote inside a quoted cell is written twice";
const LONG: &str = "the record is too long";

/// Longest record, in bytes. A file in base64 does not belong into an import: name its URL.
pub const RECORD_BYTES_MAX: usize = 256 * 1024;

/// The records of a text, blank lines too.
pub struct Records<'a> {
    rest: &'a str,
    line: u64,
    separator: char,
}

impl<'a> Records<'a> {
    /// `line` is the number of the first line.
    pub const fn new(text: &'a str, line: u64, separator: char) -> Self {
        Self { rest: text, line, separator }
    }

    fn record(&mut self) -> Result<Record, Broken> {
        let line = self.line;
        let mut cells = Vec::new();
        let start = self.rest.len();
        loop {
            cells.push(if self.rest.starts_with('"') { self.quoted()? } else { self.plain() });
            if start - self.rest.len() > RECORD_BYTES_MAX {
                return Err(Broken { line, problem: LONG });
            }
            if let Some(rest) = self.rest.strip_prefix(self.separator) {
                self.rest = rest;
                continue;
            }
            self.line_end();
            return Ok(Record { line, cells });
        }
    }

    fn plain(&mut self) -> Cell {
        let separator = self.separator;
        let end = self.rest.find([separator, '\r', '\n']);
        let (text, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        Cell { text: text.to_owned(), line: self.line, quoted: false }
    }

    fn quoted(&mut self) -> Result<Cell, Broken> {
        let line = self.line;
        let mut text = String::new();
        let mut inner = self.rest.get(1..).unwrap_or_default();
        loop {
            let Some((part, rest)) = inner.split_once('"') else {
                return Err(Broken { line, problem: OPEN });
            };
            text.push_str(part);
            let Some(rest_of_pair) = rest.strip_prefix('"') else {
                inner = rest;
                break;
            };
            text.push('"');
            inner = rest_of_pair;
        }
        let text = one_line_end(&text).into_owned();
        self.line += text.matches('\n').count() as u64;
        let blank = |c: char| c == ' ' && c != self.separator;
        self.rest = inner.trim_start_matches(blank);
        let ends = self.rest.is_empty() || self.rest.starts_with([self.separator, '\r', '\n']);
        if !ends {
            return Err(Broken { line: self.line, problem: BEHIND });
        }
        Ok(Cell { text, line, quoted: true })
    }

    fn line_end(&mut self) {
        let rest = ["\r\n", "\n", "\r"].iter().find_map(|end| self.rest.strip_prefix(end));
        if let Some(rest) = rest {
            self.rest = rest;
            self.line += 1;
        }
    }
}

impl Iterator for Records<'_> {
    type Item = Result<Record, Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let record = self.record();
        if record.is_err() {
            self.rest = "";
        }
        Some(record)
    }
}

/// Lines of a cell end with LF, however the file writes them.
fn one_line_end(text: &str) -> Cow<'_, str> {
    if text.contains('\r') {
        Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n"))
    } else {
        Cow::Borrowed(text)
    }
}

/// The lines of a text with their numbers, as editors show them.
pub fn lines(text: &str) -> impl Iterator<Item = (u64, &str)> {
    let mut rest = text;
    let mut number = 0;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        number += 1;
        let end = rest.find(['\r', '\n']).unwrap_or(rest.len());
        let (line, after) = rest.split_at(end);
        let stripped = ["\r\n", "\n", "\r"].iter().find_map(|end| after.strip_prefix(end));
        rest = stripped.unwrap_or_default();
        Some((number, line))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Vec<(u64, Vec<String>)>, Broken> {
        let plain = |record: Record| {
            (record.line, record.cells.into_iter().map(|cell| cell.text).collect())
        };
        Records::new(text, 1, ',').map(|record| record.map(plain)).collect()
    }

    fn row(line: u64, cells: &[&str]) -> (u64, Vec<String>) {
        (line, cells.iter().map(|cell| (*cell).to_owned()).collect())
    }

    #[test]
    fn every_line_end_is_one_and_lines_are_counted_as_editors_do() {
        assert_eq!(
            read("a,b\rc,\"d\r\ne\"\r\n\nf,g").unwrap(),
            [row(1, &["a", "b"]), row(2, &["c", "d\ne"]), row(4, &[""]), row(5, &["f", "g"])]
        );
    }

    #[test]
    fn a_quote_inside_a_cell_is_text() {
        assert_eq!(
            read("1,12\" pizza,\"12\"\" pie\"").unwrap(),
            [row(1, &["1", "12\" pizza", "12\" pie"])]
        );
    }

    #[test]
    fn quotes_that_do_not_add_up_are_named_with_their_line() {
        assert_eq!(read("a,b\n1,\"Lea\n2,Noa\n").unwrap_err(), Broken { line: 2, problem: OPEN });
        let after = Broken { line: 3, problem: BEHIND };
        assert_eq!(read("a,b\n1,\"Lea\n2,\"Noa\"\n").unwrap_err(), after);
        assert_eq!(read("\"a\" ,b\n").unwrap(), [row(1, &["a", "b"])]);
    }

    fn cases() -> ProptestConfig {
        ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
    }

    proptest! {
        #![proptest_config(cases())]

        /// What another writer writes is read back, whatever ends its lines.
        #[test]
        fn fuzz_what_is_written_is_read(
            rows in prop::collection::vec(prop::collection::vec("[a-z\",;\t\n äß+0-9]{0,8}", 2..5), 1..6),
            ends in prop::collection::vec(0..3usize, 6),
            separator in prop::sample::select(vec![',', ';', '\t']),
        ) {
            let mut text = String::new();
            for (row, end) in rows.iter().zip(ends) {
                let mut writer = csv::WriterBuilder::new().flexible(true).delimiter(separator as u8).from_writer(vec![]);
                writer.write_record(row).unwrap();
                let line = String::from_utf8(writer.into_inner().unwrap()).unwrap();
                text.push_str(line.strip_suffix('\n').unwrap());
                text.push_str(["\r\n", "\n", "\r"][end]);
            }
            let read: Vec<Vec<String>> = Records::new(&text, 1, separator)
                .map(|record| record.unwrap().cells.into_iter().map(|cell| cell.text).collect())
                .collect();
            prop_assert_eq!(read, rows);
        }

        /// Any text ends in records or in a refusal, and no line of it is lost: the lines of the records add up.
        #[test]
        fn fuzz_no_line_is_lost(text in "[a\",;\r\n ]{0,60}") {
            let mut next = 1;
            for record in Records::new(&text, 1, ',') {
                let Ok(record) = record else { return Ok(()) };
                prop_assert_eq!(record.line, next);
                let inside: usize = record.cells.iter().map(|cell| cell.text.matches('\n').count()).sum();
                next += 1 + inside as u64;
            }
            prop_assert_eq!(next - 1, lines(&text).count() as u64);
        }
    }
}
