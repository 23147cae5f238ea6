//! Rows that cannot be read: reported once, counted, left where they are. Everything else goes on without them.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use domain::port::{StoreError, StoreResult, UnreadableRow};

use crate::db::Row;

/// Rows that are remembered. What comes on top is reported each time it is met.
const ROWS_MAX: usize = 1000;

/// What could not be read, and was not read since.
#[derive(Default)]
pub(crate) struct UnreadableRows(Mutex<BTreeSet<UnreadableRow>>);

impl UnreadableRows {
    fn lock(&self) -> MutexGuard<'_, BTreeSet<UnreadableRow>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All that are remembered.
    pub(crate) fn all(&self) -> Vec<UnreadableRow> {
        self.lock().iter().cloned().collect()
    }

    /// A row could not be read.
    pub(crate) fn note(&self, what: &'static str, id: &str, error: &StoreError) {
        let mut rows = self.lock();
        let row = UnreadableRow { what, id: id.to_owned() };
        if rows.contains(&row) {
            return;
        }
        tracing::error!(
            row.kind = what,
            row.id = id,
            error = error as &dyn std::error::Error,
            "a row cannot be read; everything else goes on without it"
        );
        if rows.len() < ROWS_MAX {
            rows.insert(row);
        }
    }

    /// A row was read.
    pub(crate) fn read(&self, what: &'static str, id: &str) {
        let mut rows = self.lock();
        // Hardly ever is anything in it.
        if !rows.is_empty() {
            rows.remove(&UnreadableRow { what, id: id.to_owned() });
        }
    }

    /// Those of some rows, independent of each other, that can be read. `columns` say which row it is.
    pub(crate) fn rows<T>(
        &self,
        what: &'static str,
        columns: &[&str],
        rows: &[Row],
        read: impl Fn(&Row) -> StoreResult<T>,
    ) -> Vec<T> {
        rows.iter().filter_map(|row| self.row(what, columns, row, read(row))).collect()
    }

    /// What was read of one row; noted if it could not be.
    pub(crate) fn row<T>(
        &self,
        what: &'static str,
        columns: &[&str],
        row: &Row,
        read: StoreResult<T>,
    ) -> Option<T> {
        let done = match read {
            Ok(_) if self.lock().is_empty() => return read.ok(),
            Ok(done) => Ok(done),
            Err(error) => Err(error),
        };
        let id = id(row, columns);
        match done {
            Ok(done) => {
                self.read(what, &id);
                Some(done)
            }
            Err(error) => {
                self.note(what, &id, &error);
                None
            }
        }
    }
}

/// The texts of some columns.
fn id(row: &Row, columns: &[&str]) -> String {
    let text = |column: &&str| row.try_get::<String, _>(*column).unwrap_or_else(|_| "?".into());
    columns.iter().map(text).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::corrupt;

    #[test]
    fn a_row_is_remembered_until_it_is_read_and_no_more_than_a_thousand_are() {
        let unreadable = UnreadableRows::default();
        unreadable.note("webhook", "one", &corrupt("reading"));
        unreadable.note("webhook", "one", &corrupt("reading"));
        assert_eq!(unreadable.all().len(), 1);
        unreadable.read("webhook", "one");
        assert!(unreadable.all().is_empty());
        for number in 0..=ROWS_MAX {
            unreadable.note("event", &number.to_string(), &corrupt("reading"));
        }
        assert_eq!(unreadable.all().len(), ROWS_MAX);
    }
}
