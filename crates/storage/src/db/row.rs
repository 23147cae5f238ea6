//! Rows of plain values.

use std::sync::Arc;

use super::DbError;

/// A value of a row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum SqlValue {
    Null,
    Int(i64),
    Text(String),
    Bytes(Vec<u8>),
    /// Something that no table has.
    Other,
}

/// A row of an answer, with the names of its columns.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    names: Arc<[Box<str>]>,
    values: Vec<SqlValue>,
}

/// A column, by its position or by its name.
pub(crate) trait ColumnIndex {
    fn position(&self, names: &[Box<str>]) -> Option<usize>;
    fn describe(&self) -> String;
}

impl ColumnIndex for usize {
    fn position(&self, names: &[Box<str>]) -> Option<usize> {
        (*self < names.len()).then_some(*self)
    }

    fn describe(&self) -> String {
        self.to_string()
    }
}

impl ColumnIndex for &str {
    fn position(&self, names: &[Box<str>]) -> Option<usize> {
        names.iter().position(|name| **name == **self)
    }

    fn describe(&self) -> String {
        (*self).to_owned()
    }
}

/// What a value can be taken for; `None` when it is something else.
pub(crate) trait FromValue: Sized {
    fn from_value(value: &SqlValue) -> Option<Self>;
}

impl FromValue for i64 {
    fn from_value(value: &SqlValue) -> Option<Self> {
        if let SqlValue::Int(int) = value { Some(*int) } else { None }
    }
}

/// Stored as 0 or 1.
impl FromValue for bool {
    fn from_value(value: &SqlValue) -> Option<Self> {
        if let SqlValue::Int(int) = value { Some(*int != 0) } else { None }
    }
}

impl FromValue for u32 {
    fn from_value(value: &SqlValue) -> Option<Self> {
        i64::from_value(value).and_then(|int| Self::try_from(int).ok())
    }
}

impl FromValue for String {
    fn from_value(value: &SqlValue) -> Option<Self> {
        if let SqlValue::Text(text) = value { Some(text.clone()) } else { None }
    }
}

impl FromValue for Vec<u8> {
    fn from_value(value: &SqlValue) -> Option<Self> {
        if let SqlValue::Bytes(bytes) = value { Some(bytes.clone()) } else { None }
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: &SqlValue) -> Option<Self> {
        match value {
            SqlValue::Null => Some(None),
            value => T::from_value(value).map(Some),
        }
    }
}

impl Row {
    pub(super) fn new(names: Arc<[Box<str>]>, values: Vec<SqlValue>) -> Self {
        Self { names, values }
    }

    /// The value of a column as JSON: a number, a text or null.
    ///
    /// # Errors
    /// [`DbError::Decode`] when there is no such column or it holds bytes.
    pub(crate) fn json(&self, column: &str) -> Result<serde_json::Value, DbError> {
        let value = column.position(&self.names).and_then(|index| self.values.get(index));
        match value {
            Some(SqlValue::Null) => Ok(serde_json::Value::Null),
            Some(SqlValue::Int(int)) => Ok((*int).into()),
            Some(SqlValue::Text(text)) => Ok(text.clone().into()),
            _ => Err(DbError::Decode(column.to_owned())),
        }
    }

    /// The value of a column.
    ///
    /// # Errors
    /// [`DbError::Decode`] when there is no such column or it holds something else.
    pub(crate) fn try_get<T: FromValue, I: ColumnIndex>(&self, column: I) -> Result<T, DbError> {
        let index = column.position(&self.names);
        let value = index.and_then(|index| self.values.get(index));
        value.and_then(T::from_value).ok_or_else(|| DbError::Decode(column.describe()))
    }
}
