//! A table of recipients: which column says what, and what each row becomes.

use std::collections::HashSet;

use domain::{
    ChatId, ChatKind,
    phone::{self, Country},
};
use serde_json::{Map, Value, json};

use super::{
    input::BulkMessage,
    records::{Cell, Record, Records, lines},
};
use crate::{body, schema::chat_in};

/// Columns that say what a message is; every other one is a variable.
const FIELDS: [&str; 9] =
    ["chatId", "phone", "type", "text", "caption", "url", "mimetype", "filename", "ptt"];
/// Most columns of a table.
const COLUMNS_MAX: usize = 200;
/// What may stand between cells; the first that fits wins.
const SEPARATORS: [char; 4] = [',', ';', '\t', '|'];

/// A table whose first record was read.
pub struct Table<'a> {
    records: Records<'a>,
    separator: char,
    /// The names; empty where a column has none.
    columns: Vec<String>,
    blank_rows: u32,
    /// The country whose national form of numbers is understood.
    home: Option<Country>,
}

/// A line and the message it makes, or what is wrong with it.
type Row = (u64, Result<BulkMessage, Vec<String>>);

impl<'a> Table<'a> {
    /// # Errors
    /// Says why the first line names no columns.
    pub fn open(text: &'a str, home: Option<Country>) -> Result<Self, String> {
        let (text, first, named) = named_separator(text);
        let mut best: Option<Self> = None;
        for separator in named.map_or(SEPARATORS.to_vec(), |named| vec![named]) {
            let mut records = Records::new(text, first, separator);
            let mut blank_rows = 0;
            let header = loop {
                match records.next() {
                    None => break None,
                    Some(Err(broken)) => {
                        return Err(format!("line {}: {}", broken.line, broken.problem));
                    }
                    Some(Ok(record)) if is_blank(&record) => blank_rows += 1,
                    Some(Ok(record)) => break Some(record),
                }
            };
            let Some(header) = header else { break };
            let columns = names(&header);
            let addressed = columns.iter().any(|name| is_address(name));
            let table = Self { records, separator, columns, blank_rows, home };
            let is_better = |best: &Self| best.columns.len() < table.columns.len();
            if addressed && best.as_ref().is_none_or(is_better) {
                best = Some(table);
            }
        }
        let table = best.ok_or("the first line must name a column chatId or phone")?;
        table.check_columns()?;
        Ok(table)
    }

    fn check_columns(&self) -> Result<(), String> {
        if self.columns.len() > COLUMNS_MAX {
            return Err(format!("a table has at most {COLUMNS_MAX} columns"));
        }
        let mut seen = HashSet::new();
        let twice = self.columns.iter().find(|name| !name.is_empty() && !seen.insert(*name));
        match twice {
            Some(name) => Err(format!("the column {} is there twice", crate::error::echo(name))),
            None => Ok(()),
        }
    }

    pub const fn separator(&self) -> char {
        self.separator
    }

    pub const fn blank_rows(&self) -> u32 {
        self.blank_rows
    }

    /// The next row with content.
    pub fn next_row(&mut self, text: Option<&str>) -> Option<Result<Row, String>> {
        loop {
            let record = match self.records.next()? {
                Ok(record) => record,
                Err(broken) => {
                    return Some(Err(format!("line {}: {}", broken.line, broken.problem)));
                }
            };
            if is_blank(&record) {
                self.blank_rows += 1;
                continue;
            }
            if let Some(line) = self.swallowed(&record) {
                return Some(Err(format!(
                    "line {}: a quoted cell goes over several lines, and line {line} in it reads like a recipient of its own: close the quote, or take the line break out",
                    record.line
                )));
            }
            return Some(Ok((record.line, self.message(&record, text))));
        }
    }

    fn message(&self, record: &Record, text: Option<&str>) -> Result<BulkMessage, Vec<String>> {
        let (columns, cells) = (&self.columns, &record.cells);
        let more = cells.iter().skip(columns.len()).any(|cell| !is_empty(&cell.text));
        if cells.len() < columns.len() || more {
            return Err(vec![format!("must have {} columns, has {}", columns.len(), cells.len())]);
        }
        let named = columns.iter().zip(cells);
        if let Some(at) =
            named.clone().position(|(name, cell)| name.is_empty() && !is_empty(&cell.text))
        {
            return Err(vec![format!("column {} has a value and no name", at + 1)]);
        }
        let cell = |name: &str| {
            let place = columns.iter().position(|column| column == name)?;
            Some(cells[place].text.as_str()).filter(|text| !is_empty(text))
        };
        let chat = chat(cell("chatId"), cell("phone"), self.home)?;
        let kind = cell("type").unwrap_or("text").trim().to_ascii_lowercase();
        let content = content(&kind, cell, text)?;
        let variables: Map<String, Value> = named
            .filter(|(name, _)| !name.is_empty() && !FIELDS.contains(&name.as_str()))
            .map(|(name, cell)| (name.clone(), json!(cell.text)))
            .collect();
        let mut message = json!({ "chatId": chat, "type": kind, "content": content });
        if !variables.is_empty() {
            message["variables"] = Value::Object(variables);
        }
        body::checked(message)
    }

    /// The line inside a quoted cell that would be a record of its own if a quote were not there. Such a table may
    /// well be one whose quote was closed by another one further down, and then people are missing.
    fn swallowed(&self, record: &Record) -> Option<u64> {
        let count = self.columns.len();
        record.cells.iter().enumerate().find_map(|(place, cell)| {
            let inside = || self.lines_of(cell).collect::<Vec<_>>();
            let lines =
                if cell.quoted && cell.text.contains('\n') { inside() } else { return None };
            let last = lines.len() - 1;
            lines.iter().enumerate().find_map(|(at, parts)| {
                let (first, fits) = match at {
                    0 => (place, place + parts.len() == count),
                    at if at == last => (0, parts.len() == place + 1),
                    _ => (0, parts.len() == count),
                };
                let address = |(index, part): (usize, &&str)| {
                    let name = self.columns.get(first + index).map_or("", String::as_str);
                    is_address(name) && !is_empty(part) && is_somebody(part, self.home)
                };
                let found = fits && parts.iter().enumerate().any(address);
                found.then_some(cell.line + at as u64)
            })
        })
    }

    fn lines_of<'c>(&self, cell: &'c Cell) -> impl Iterator<Item = Vec<&'c str>> {
        cell.text.split('\n').map(|line| line.split(self.separator).collect())
    }
}

/// `sep=;` in the first line, as Excel writes and reads it.
fn named_separator(text: &str) -> (&str, u64, Option<char>) {
    let Some((_, line)) = lines(text).next() else { return (text, 1, None) };
    let bare = line.trim_matches('"').trim_end_matches([',', ';']);
    let named = line.trim_matches('"');
    let is_sep = bare.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("sep="));
    let separator = named.get(4..).and_then(|rest| rest.chars().next());
    match separator {
        Some(separator) if is_sep && !matches!(separator, '"' | ' ') => {
            let rest = &text[line.len()..];
            let rest = ["\r\n", "\n", "\r"].iter().find_map(|end| rest.strip_prefix(end));
            (rest.unwrap_or_default(), 2, Some(separator))
        }
        _ => (text, 1, None),
    }
}

/// The names of the columns: one blank for many, the known ones in any case, none after the last that has one.
fn names(header: &Record) -> Vec<String> {
    let mut names: Vec<String> = header.cells.iter().map(|cell| name(&cell.text)).collect();
    while names.last().is_some_and(String::is_empty) {
        names.pop();
    }
    names
}

fn name(text: &str) -> String {
    let visible = |c: &char| c.is_whitespace() || !domain::visible::leaves_no_mark(*c);
    let name: String = text.chars().filter(visible).collect();
    let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
    let plain: String = name.chars().filter(|c| !matches!(c, ' ' | '_' | '-')).collect();
    let known = FIELDS.into_iter().find(|field| field.eq_ignore_ascii_case(&plain));
    known.map_or(name, str::to_owned)
}

fn is_address(name: &str) -> bool {
    matches!(name, "chatId" | "phone")
}

fn is_somebody(text: &str, home: Option<Country>) -> bool {
    chat_in(text.trim(), home).is_ok()
}

fn is_empty(text: &str) -> bool {
    domain::visible::is_blank(text)
}

fn is_blank(record: &Record) -> bool {
    record.cells.iter().all(|cell| is_empty(&cell.text))
}

/// Who gets it. Two columns that name different people are a mistake.
fn chat(
    chat: Option<&str>,
    phone: Option<&str>,
    home: Option<Country>,
) -> Result<String, Vec<String>> {
    let by_phone = phone.map(|text| match text.trim().parse::<ChatId>() {
        // The id of somebody stands where a number belongs: it names them all the same.
        Ok(id) if text.contains('@') && id.kind() == ChatKind::Individual => Ok(id),
        _ => {
            let number = phone::read_in(text, home).map(|phone| phone.chat());
            number.map_err(|why| vec![format!("phone {why}")])
        }
    });
    let by_phone = by_phone.transpose()?;
    let Some(chat) = chat.map(str::trim) else {
        let none = || vec!["chatId should not be empty".into()];
        return by_phone.map(String::from).ok_or_else(none);
    };
    let by_id = chat_in(chat, home).map_err(|why| vec![format!("chatId {why}")])?;
    match by_phone {
        Some(phone) if phone != by_id => Err(vec!["chatId and phone name different people".into()]),
        _ => Ok(by_id.into()),
    }
}

fn content<'c>(
    kind: &str,
    cell: impl Fn(&str) -> Option<&'c str>,
    text: Option<&'c str>,
) -> Result<Map<String, Value>, Vec<String>> {
    let mut content = Map::new();
    if kind == "text" {
        let text = cell("text").or(text);
        content.extend(text.map(|text| ("text".to_owned(), json!(text))));
        return Ok(content);
    }
    let mut file = Map::new();
    for name in ["url", "mimetype", "filename"] {
        file.extend(cell(name).map(|text| (name.to_owned(), json!(text.trim()))));
    }
    match cell("ptt").map(|text| text.trim().to_ascii_lowercase()).as_deref() {
        None | Some("false" | "0" | "no") => {}
        Some("true" | "1" | "yes") => drop(file.insert("ptt".into(), json!(true))),
        Some(_) => return Err(vec!["ptt must be true or false".into()]),
    }
    content.insert(kind.to_owned(), Value::Object(file));
    let caption = cell("caption").or(text);
    content.extend(caption.map(|text| ("caption".to_owned(), json!(text))));
    Ok(content)
}
