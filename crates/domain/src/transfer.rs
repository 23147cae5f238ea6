//! Rows on their way to another installation: what is exported, and what is imported.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// The tables that go along, in the order in which they are imported: a row follows what it belongs to.
pub const TABLES: [&str; 10] = [
    "session",
    "message",
    "receipt",
    "webhook",
    "template",
    "automation_rule",
    "identity",
    "phone_form",
    "contact",
    "chat",
];

/// Tables that stay: secrets and keys of this installation, what is on its way, and what is made anew.
pub const LEFT_OUT: [&str; 12] = [
    "api_key",
    "audit",
    "batch",
    "batch_item",
    "delivery",
    "device_key",
    "event",
    "held_change",
    "idempotency",
    "media",
    "plugin",
    "plugin_instance",
];

/// A row: its columns by name.
pub type TransferRow = Map<String, Value>;

/// A page of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct TransferPage {
    /// The rows, in the order of their key.
    pub rows: Vec<TransferRow>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<TransferCursor>,
}

/// The key of the last row of a page.
#[derive(Debug, Clone, PartialEq)]
pub struct TransferCursor(pub Vec<Value>);

/// Rows to import, by table.
pub type TransferTables = BTreeMap<String, Vec<TransferRow>>;

/// Why nothing was imported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransferRefused {
    /// Not one of [`TABLES`].
    #[error("tables.{0} is no table that can be imported")]
    Table(String),
    /// A row without a column that it needs, with one that is unknown, or with a value of another kind.
    #[error("tables.{table}[{row}].{column} {why}")]
    Value {
        /// The table of the row.
        table: &'static str,
        /// Which row of it.
        row: usize,
        /// The column that holds it.
        column: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The database refuses a row: it breaks a rule, or names something that is not there.
    #[error(
        "tables.{table}[{row}] cannot be stored: it breaks a rule of the table, or what it belongs to is not there"
    )]
    Row {
        /// The table of the row.
        table: &'static str,
        /// Which row of it.
        row: usize,
    },
}
