//! Rows on their way to another installation, as JSON.
//!
//! The tables and their columns are written down in [`tables`]; a column that is not there does not go along. Values
//! that are encrypted with this installation's master key are none of them.

pub(crate) mod tables;

use async_trait::async_trait;
use domain::{
    SessionId,
    port::{StoreErrorKind, StoreResult, TransferStore},
    transfer::{
        TABLES, TransferCursor, TransferPage, TransferRefused, TransferRow, TransferTables,
    },
};
use serde_json::Value;

use crate::{
    db::{self, DbError},
    error::{Doing as _, corrupt},
    open::LedgerStore,
    stats,
    writer::{Unit, touch},
};

use tables::{ColumnKind, TransferTable};

const EXPORTING: &str = "exporting rows";
const IMPORTING: &str = "importing rows";

/// Why an import ended: the caller's rows, or the database.
enum ImportEnd {
    Refused(TransferRefused),
    Store(domain::port::StoreError),
}

impl From<domain::port::StoreError> for ImportEnd {
    fn from(error: domain::port::StoreError) -> Self {
        Self::Store(error)
    }
}

#[async_trait]
impl TransferStore for LedgerStore {
    fn database_kind(&self) -> &'static str {
        if self.seams.leases.is_shared() { "postgres" } else { "sqlite" }
    }

    async fn export_rows(
        &self,
        table: &'static str,
        after: Option<TransferCursor>,
        limit: u32,
    ) -> StoreResult<TransferPage> {
        let table = tables::of(table).ok_or_else(|| corrupt(EXPORTING))?;
        let mut query = db::query(table.page);
        let after = after.map(|TransferCursor(key)| key);
        for (place, column) in table.key.iter().enumerate() {
            let from = after.as_ref().and_then(|key| key.get(place));
            query = match table.kind_of(column) {
                ColumnKind::Number => query.bind(from.and_then(Value::as_i64).unwrap_or(-1)),
                ColumnKind::Text => {
                    query.bind(from.and_then(Value::as_str).unwrap_or("").to_owned())
                }
            };
        }
        let rows = query.bind(i64::from(limit)).fetch_all(&self.readers).await.doing(EXPORTING)?;
        let mut page = TransferPage { rows: Vec::with_capacity(rows.len()), next: None };
        let full = rows.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
        for (number, row) in rows.iter().enumerate() {
            let value = |name: &str| row.json(name).doing(EXPORTING);
            if full && number + 1 == rows.len() {
                let key: StoreResult<Vec<Value>> =
                    table.key.iter().map(|name| value(name)).collect();
                page.next = Some(TransferCursor(key?));
            }
            let mut columns = TransferRow::new();
            for (name, _) in table.columns {
                columns.insert((*name).to_owned(), value(name)?);
            }
            page.rows.push(columns);
        }
        Ok(page)
    }

    async fn import_rows(
        &self,
        tables: TransferTables,
    ) -> StoreResult<Result<Vec<(&'static str, u64)>, TransferRefused>> {
        if let Some(unknown) = tables.keys().find(|name| !TABLES.contains(&name.as_str())) {
            return Ok(Err(TransferRefused::Table(unknown.clone())));
        }
        if let Err(refused) = check(&tables) {
            return Ok(Err(refused));
        }
        // What is refused inside is undone with its transaction, so it has to fail as a whole.
        let told = std::sync::Arc::new(std::sync::Mutex::new(None));
        let tell = told.clone();
        let job = self.writer.run(IMPORTING, move |unit| {
            Box::pin(async move {
                match import(unit, &tables).await {
                    Ok(counts) => Ok(counts),
                    Err(ImportEnd::Store(error)) => Err(error),
                    Err(ImportEnd::Refused(refused)) => {
                        let mut told =
                            tell.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                        *told = Some(refused);
                        Err(domain::port::StoreError {
                            kind: StoreErrorKind::Refused,
                            doing: IMPORTING,
                            source: None,
                        })
                    }
                }
            })
        });
        let done = job.await;
        let refused = told.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        match (done, refused) {
            (Err(_), Some(refused)) => Ok(Err(refused)),
            (done, _) => done.map(Ok),
        }
    }
}

/// Whether every row has what its table needs, and nothing else.
fn check(tables: &TransferTables) -> Result<(), TransferRefused> {
    for name in TABLES {
        let (Some(rows), Some(table)) = (tables.get(name), tables::of(name)) else { continue };
        for (number, row) in rows.iter().enumerate() {
            let refused = |column: &str, why| {
                let column = column.to_owned();
                TransferRefused::Value { table: name, row: number, column, why }
            };
            for column in row.keys() {
                if !table.columns.iter().any(|(known, _)| known == column) {
                    return Err(refused(column, "is no column of the table"));
                }
            }
            for (column, kind) in table.columns {
                match (row.get(*column).unwrap_or(&Value::Null), kind) {
                    (Value::String(_), ColumnKind::Text) | (Value::Null, _) => {}
                    (Value::Number(number), ColumnKind::Number) if number.is_i64() => {}
                    (_, ColumnKind::Text) => return Err(refused(column, "must be a text or null")),
                    (_, ColumnKind::Number) => {
                        return Err(refused(column, "must be a whole number or null"));
                    }
                }
            }
        }
    }
    Ok(())
}

async fn import(
    unit: &mut Unit,
    tables: &TransferTables,
) -> Result<Vec<(&'static str, u64)>, ImportEnd> {
    let mut counts = Vec::with_capacity(TABLES.len());
    for name in TABLES {
        let Some(table) = tables::of(name) else { continue };
        let rows = tables.get(name).map(Vec::as_slice).unwrap_or_default();
        for (number, row) in rows.iter().enumerate() {
            insert(unit, table, row, (name, number)).await?;
        }
        if name == "session" {
            for row in rows {
                let id = row.get("id").and_then(Value::as_str).unwrap_or_default();
                empty(unit, id).await?;
            }
        }
        counts.push((name, rows.len() as u64));
    }
    unit.webhooks.clear();
    unit.degraded = None;
    Ok(counts)
}

/// What a session has of these tables goes; its own row stays, and its keys.
async fn empty(unit: &mut Unit, session: &str) -> StoreResult<()> {
    let id: SessionId = session.parse().map_err(|_| corrupt(IMPORTING))?;
    let claims = unit.seams.claims.clone();
    claims.lock_session(unit, session).await?;
    touch(unit, id).await?;
    stats::forget_session(unit, session).await?;
    for name in TABLES {
        let Some(sql) = tables::of(name).and_then(|table| table.empty) else { continue };
        db::query(sql).bind(session).execute(&mut unit.conn).await.doing(IMPORTING)?;
    }
    Ok(())
}

async fn insert(
    unit: &mut Unit,
    table: &'static TransferTable,
    row: &TransferRow,
    (name, number): (&'static str, usize),
) -> Result<(), ImportEnd> {
    let mut query = db::query(table.insert);
    for (column, kind) in table.columns {
        let value = row.get(*column).unwrap_or(&Value::Null);
        query = match kind {
            ColumnKind::Text => query.bind(value.as_str().map(str::to_owned)),
            ColumnKind::Number => query.bind(value.as_i64()),
        };
    }
    match query.execute(&mut unit.conn).await {
        Ok(_) => Ok(()),
        Err(error) if error.is_refusal() => {
            Err(ImportEnd::Refused(TransferRefused::Row { table: name, row: number }))
        }
        Err(error) => Err(Err::<(), DbError>(error).doing(IMPORTING)).or_else(ended),
    }
}

/// What a failed statement ends an import with.
fn ended(failed: StoreResult<()>) -> Result<(), ImportEnd> {
    failed.map_err(ImportEnd::Store)
}
