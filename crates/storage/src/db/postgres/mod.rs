//! PostgreSQL.
//!
//! Every call has a limit. A server that vanishes without a word leaves a connection on which nothing ever comes: the
//! socket cannot be told to look for that (the driver has no setting for it), so a connection past a limit is
//! dropped, and one that was idle for a while is asked before it is used.

mod connection;
mod limits;
mod readers;

use std::{borrow::Cow, sync::Arc};

use sqlx::{
    AssertSqlSafe, Column as _, PgConnection, Row as _, TypeInfo as _, ValueRef as _,
    postgres::{PgArguments, PgRow},
};

use super::{Bound, DbError, Kind, QueryAnswer, Row, SqlValue, Want, query::SqlArg};

pub(crate) use connection::PostgresConnection;
pub use limits::DatabaseLimits;
pub(crate) use limits::within;
pub(crate) use readers::PostgresReaders;

async fn run(
    conn: &mut PgConnection,
    statement: &Bound<'_>,
    want: Want,
) -> Result<QueryAnswer, DbError> {
    let text = numbered(statement.text.of(Kind::Postgres));
    let mut args = PgArguments::default();
    for arg in &statement.args {
        bind(&mut args, arg)?;
    }
    let query = sqlx::query_with(AssertSqlSafe(text.into_owned()), args);
    if want == Want::Count {
        let done = query.execute(conn).await?;
        return Ok(QueryAnswer { rows: vec![], affected: done.rows_affected() });
    }
    let found = query.fetch_all(conn).await?;
    let Some(first) = found.first() else { return Ok(QueryAnswer::default()) };
    let names: Arc<[Box<str>]> =
        first.columns().iter().map(|column| column.name().into()).collect();
    let read = |row: &PgRow| {
        Row::new(names.clone(), (0..names.len()).map(|index| value(row, index)).collect())
    };
    let rows: Vec<Row> = found.iter().map(read).collect();
    let affected = u64::try_from(rows.len()).unwrap_or(0);
    Ok(QueryAnswer { rows, affected })
}

fn bind(args: &mut PgArguments, arg: &SqlArg<'_>) -> Result<(), DbError> {
    use sqlx::Arguments as _;
    let done = match arg {
        SqlArg::Int(int) => args.add(*int),
        SqlArg::Text(text) => args.add(text.as_deref().map(without_nul)),
        SqlArg::Bytes(bytes) => args.add(bytes.as_deref()),
    };
    done.map_err(|error| DbError::Postgres(sqlx::Error::Encode(error)))
}

/// PostgreSQL's text cannot hold the character NUL; it becomes the sign for what cannot be shown.
fn without_nul(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { text.into() }
}

/// Bare `?` become `$1`, `$2`, …; a text with numbers stays.
fn numbered(text: &str) -> Cow<'_, str> {
    if !text.contains('?') {
        return text.into();
    }
    let mut numbered = String::with_capacity(text.len() * 2);
    let mut parts = text.split('?');
    numbered.push_str(parts.next().unwrap_or_default());
    for (index, part) in parts.enumerate() {
        numbered.push('$');
        numbered.push_str(&(index + 1).to_string());
        numbered.push_str(part);
    }
    numbered.into()
}

fn value(row: &PgRow, index: usize) -> SqlValue {
    let Ok(raw) = row.try_get_raw(index) else { return SqlValue::Other };
    if raw.is_null() {
        return SqlValue::Null;
    }
    let kind = raw.type_info().into_owned();
    let found = match kind.name() {
        "INT8" => row.try_get::<i64, _>(index).map(SqlValue::Int),
        "INT4" => row.try_get::<i32, _>(index).map(|int| SqlValue::Int(int.into())),
        "INT2" => row.try_get::<i16, _>(index).map(|int| SqlValue::Int(int.into())),
        "BOOL" => row.try_get::<bool, _>(index).map(|flag| SqlValue::Int(flag.into())),
        "TEXT" | "VARCHAR" => row.try_get::<String, _>(index).map(SqlValue::Text),
        "BYTEA" => row.try_get::<Vec<u8>, _>(index).map(SqlValue::Bytes),
        _ => return SqlValue::Other,
    };
    found.unwrap_or(SqlValue::Other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_parameters_get_their_numbers() {
        assert_eq!(numbered("values (?, ?), (?, ?)"), "values ($1, $2), ($3, $4)");
        assert_eq!(numbered("where id = $1"), "where id = $1");
    }

    #[test]
    fn text_without_nul_is_not_copied() {
        assert!(matches!(without_nul("plain"), Cow::Borrowed("plain")));
        assert_eq!(without_nul("a\0b"), "a\u{fffd}b");
    }
}
