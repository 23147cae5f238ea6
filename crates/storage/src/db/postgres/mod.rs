//! PostgreSQL.
//!
//! Every call has a limit. A server that vanishes without a word leaves a connection on which nothing ever comes: the
//! socket cannot be told to look for that (the driver has no setting for it), so a connection past a limit is dropped, and
//! one that was idle for a while is asked before it is used.

mod connection;
mod limits;
mod readers;

use std::{borrow::Cow, sync::Arc};

use sqlx::{
    AssertSqlSafe, Column as _, PgConnection, Row as _, TypeInfo as _, ValueRef as _,
    postgres::{PgArguments, PgRow},
};

use super::{Answer, Bound, DbError, Kind, Row, Value, Want, query::Arg};

pub(crate) use connection::Connection;
pub use limits::DatabaseLimits;
pub(crate) use limits::within;
pub(crate) use readers::Readers;

async fn run(
    conn: &mut PgConnection,
    statement: &Bound<'_>,
    want: Want,
) -> Result<Answer, DbError> {
    let text = numbered(statement.text.of(Kind::Postgres));
    let mut args = PgArguments::default();
    for arg in &statement.args {
        bind(&mut args, arg)?;
    }
    let query = sqlx::query_with(AssertSqlSafe(text.into_owned()), args);
    if want == Want::Count {
        let done = query.execute(conn).await?;
        return Ok(Answer { rows: vec![], affected: done.rows_affected() });
    }
    let found = query.fetch_all(conn).await?;
    let Some(first) = found.first() else { return Ok(Answer::default()) };
    let names: Arc<[Box<str>]> =
        first.columns().iter().map(|column| column.name().into()).collect();
    let read = |row: &PgRow| {
        Row::new(names.clone(), (0..names.len()).map(|place| value(row, place)).collect())
    };
    let rows: Vec<Row> = found.iter().map(read).collect();
    let affected = u64::try_from(rows.len()).unwrap_or(0);
    Ok(Answer { rows, affected })
}

fn bind(args: &mut PgArguments, arg: &Arg<'_>) -> Result<(), DbError> {
    use sqlx::Arguments as _;
    let done = match arg {
        Arg::Int(int) => args.add(*int),
        Arg::Text(text) => args.add(text.as_deref().map(without_nul)),
        Arg::Bytes(bytes) => args.add(bytes.as_deref()),
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
    for (place, part) in parts.enumerate() {
        numbered.push('$');
        numbered.push_str(&(place + 1).to_string());
        numbered.push_str(part);
    }
    numbered.into()
}

fn value(row: &PgRow, place: usize) -> Value {
    let Ok(raw) = row.try_get_raw(place) else { return Value::Other };
    if raw.is_null() {
        return Value::Null;
    }
    let kind = raw.type_info().into_owned();
    let found = match kind.name() {
        "INT8" => row.try_get::<i64, _>(place).map(Value::Int),
        "INT4" => row.try_get::<i32, _>(place).map(|int| Value::Int(int.into())),
        "INT2" => row.try_get::<i16, _>(place).map(|int| Value::Int(int.into())),
        "BOOL" => row.try_get::<bool, _>(place).map(|flag| Value::Int(flag.into())),
        "TEXT" | "VARCHAR" => row.try_get::<String, _>(place).map(Value::Text),
        "BYTEA" => row.try_get::<Vec<u8>, _>(place).map(Value::Bytes),
        _ => return Value::Other,
    };
    found.unwrap_or(Value::Other)
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
