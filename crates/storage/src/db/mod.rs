//! The two databases behind one small face.
//!
//! # The cast
//! - A [`Query`] is a statement with its values; [`query`] and [`query_scalar`] begin one.
//! - [`Conn`] is the writer's connection, [`Readers`] the connections that read; either runs a query ([`Executor`]).
//! - [`sqlite`] runs statements on the calling thread, [`postgres`] over the network.
//! - A [`Row`] holds plain values: integers, text, bytes or nothing. That is all the tables have.
//!
//! One text serves both databases wherever it can: numbered parameters (`$1`), `on conflict`, `returning`. Where it
//! cannot, a [`Statement`] has one for each.

mod builder;
pub(crate) mod postgres;
mod query;
mod row;
pub(crate) mod sqlite;
pub(crate) mod statement;

use std::future::Future;

use domain::port::Trouble;
use rusqlite::ErrorCode;

pub(crate) use builder::StatementBuilder;
pub(crate) use query::{Bound, FromRow, Query, built, control, query, query_scalar};
pub(crate) use row::{FromValue, Row, SqlValue};
pub(crate) use statement::{Statement, Widened, statements};

/// Which database it is. Known in here alone: what is done differently elsewhere is chosen where the database is
/// opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sqlite,
    Postgres,
}

/// How a database wants its statements. It can be handed on, not asked.
#[derive(Clone, Copy)]
pub(crate) struct Dialect(Kind);

/// Why a statement failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DbError {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error(transparent)]
    Postgres(#[from] sqlx::Error),
    /// A value is not what the program takes it for.
    #[error("column {0} holds something else")]
    Decode(String),
    /// No row where one has to be.
    #[error("no row")]
    NoRow,
    /// It was closed, or its connection broke.
    #[error("the database is closed")]
    Closed,
    /// It took longer than it may.
    #[error("the database does not answer")]
    NoAnswer,
}

impl DbError {
    /// What was stored makes no sense.
    pub(crate) fn is_corrupt(&self) -> bool {
        matches!(self, Self::Decode(_) | Self::NoRow)
    }

    /// Nobody knows what became of the statement: its connection is of no use any more.
    pub(crate) fn breaks_connection(&self) -> bool {
        match self {
            Self::Postgres(sqlx::Error::Database(_)) => self.is_cut(),
            Self::Postgres(sqlx::Error::Encode(_)) => false,
            Self::Postgres(_) | Self::NoAnswer | Self::Closed => true,
            Self::Sqlite(_) | Self::Decode(_) | Self::NoRow => false,
        }
    }

    /// The server ended the connection, and said so or not.
    pub(crate) fn is_cut(&self) -> bool {
        match self {
            Self::Postgres(sqlx::Error::Io(_)) => true,
            // Class 57P: an administrator, a crash, a shutdown; 25P03: idle in a transaction for too long.
            Self::Postgres(sqlx::Error::Database(refused)) => {
                refused.code().is_some_and(|code| code.starts_with("57P") || code == "25P03")
            }
            _ => false,
        }
    }

    /// DialectPair transactions waited for each other, and the server ended this one.
    pub(crate) fn is_crossed(&self) -> bool {
        let Self::Postgres(sqlx::Error::Database(refused)) = self else { return false };
        refused.code().is_some_and(|code| code == "40P01" || code == "40001")
    }

    /// A row with this key is there already.
    pub(crate) fn is_unique_violation(&self) -> bool {
        match self {
            Self::Sqlite(error) => error.sqlite_error().is_some_and(|error| {
                matches!(
                    error.extended_code,
                    rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY
                        | rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE
                )
            }),
            Self::Postgres(sqlx::Error::Database(refused)) => refused.is_unique_violation(),
            _ => false,
        }
    }

    /// The row that another one refers to is not there.
    pub(crate) fn is_foreign_key_violation(&self) -> bool {
        match self {
            Self::Sqlite(error) => error.sqlite_error().is_some_and(|error| {
                error.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_FOREIGNKEY
            }),
            Self::Postgres(sqlx::Error::Database(refused)) => refused.is_foreign_key_violation(),
            _ => false,
        }
    }
}

impl DbError {
    /// What was to be written breaks a rule or a limit.
    pub(crate) fn is_refusal(&self) -> bool {
        match self {
            Self::Sqlite(error) => error.sqlite_error().is_some_and(|error| {
                let by_a_rule = error.code == ErrorCode::ConstraintViolation
                    // The tables have no triggers: somebody else's says nothing about the record.
                    && error.extended_code != rusqlite::ffi::SQLITE_CONSTRAINT_TRIGGER;
                by_a_rule || matches!(error.code, ErrorCode::TooBig | ErrorCode::TypeMismatch)
            }),
            // Data that is no data of its type, constraints, and limits of the program.
            Self::Postgres(error) => {
                let code = sql_state(error);
                code.is_some_and(|code| {
                    code != NEWER && ["22", "23", "54"].iter().any(|of| code.starts_with(of))
                })
            }
            _ => false,
        }
    }

    /// What the database, or the disk under it, suffers from.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        match self {
            Self::Sqlite(error) => match error.sqlite_error()?.code {
                ErrorCode::DiskFull => Some(Trouble::DiskFull),
                ErrorCode::ReadOnly => Some(Trouble::ReadOnly),
                ErrorCode::SystemIoFailure
                | ErrorCode::CannotOpen
                | ErrorCode::DatabaseCorrupt
                | ErrorCode::NotADatabase => Some(Trouble::Disk),
                _ => None,
            },
            Self::Postgres(error) => match sql_state(error).as_deref() {
                Some("53100") => Some(Trouble::DiskFull),
                Some("25006") => Some(Trouble::ReadOnly),
                Some(NEWER) => Some(Trouble::Newer),
                Some("58030") => Some(Trouble::Disk),
                // Lost, refused, without resources, going down.
                Some(code) if ["08", "28", "53", "57"].iter().any(|of| code.starts_with(of)) => {
                    Some(Trouble::Away)
                }
                Some(_) => None,
                None => Some(Trouble::Away),
            },
            _ => None,
        }
    }
}

/// A division by zero: only a transaction that finds the tables of a newer version divides.
const NEWER: &str = "22012";

fn sql_state(error: &sqlx::Error) -> Option<String> {
    match error {
        sqlx::Error::Database(refused) => refused.code().map(std::borrow::Cow::into_owned),
        _ => None,
    }
}

/// What a statement gave.
#[derive(Debug, Default)]
pub(crate) struct QueryAnswer {
    pub(crate) rows: Vec<Row>,
    affected: u64,
}

impl QueryAnswer {
    /// Rows that were written.
    pub(crate) fn rows_affected(&self) -> u64 {
        self.affected
    }
}

/// What the caller wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    /// How many rows were written.
    Count,
    /// The rows it gives.
    Rows,
}

/// What runs a statement.
pub(crate) trait Executor: Send {
    /// Runs a statement and answers what is wanted of it.
    fn run(
        self,
        statement: Bound<'_>,
        want: Want,
    ) -> impl Future<Output = Result<QueryAnswer, DbError>> + Send;
}

/// A connection that writes, owned by one writer.
pub(crate) enum Conn {
    Sqlite(sqlite::SqliteConnection),
    Postgres(Box<postgres::PostgresConnection>),
}

impl Conn {
    /// What its statements are written in.
    pub(crate) fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect(Kind::Sqlite),
            Self::Postgres(_) => Dialect(Kind::Postgres),
        }
    }

    /// Whether each statement is a way to a server and back.
    pub(crate) fn is_remote(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }

    /// Runs several statements in one go.
    pub(crate) async fn script(&mut self, text: &str) -> Result<(), DbError> {
        match self {
            Self::Sqlite(conn) => conn.script(text),
            Self::Postgres(conn) => conn.script(text.to_owned()).await,
        }
    }

    /// Makes a connection to a server anew that is gone, or does not answer any more.
    pub(crate) async fn renewed(&mut self) -> Result<(), DbError> {
        match self {
            Self::Sqlite(_) => Ok(()),
            Self::Postgres(conn) => conn.renewed().await,
        }
    }

    /// Lets go of a connection to a server that may be broken.
    pub(crate) fn drop_broken(&mut self) {
        if let Self::Postgres(conn) = self {
            conn.drop_broken();
        }
    }

    /// Whether statements from now on are those of jobs that may touch many rows: a server gets more time for them.
    pub(crate) fn set_patient(&mut self, patient: bool) {
        if let Self::Postgres(conn) = self {
            conn.set_patient(patient);
        }
    }

    /// On a disk that is full, what a file's log holds may find room in the file itself.
    pub(crate) fn make_room(&mut self) {
        if let Self::Sqlite(conn) = self {
            conn.make_room();
        }
    }

    /// What is wrong with the folder of a file that cannot be written.
    pub(crate) fn fault_of_the_disk(&self) -> Option<Trouble> {
        match self {
            Self::Sqlite(conn) => conn.fault_of_the_disk(),
            Self::Postgres(_) => None,
        }
    }

    /// Closes the connection; the server, or the file, lets go of it.
    pub(crate) async fn close(self) -> Result<(), DbError> {
        match self {
            Self::Sqlite(conn) => conn.close(),
            Self::Postgres(conn) => conn.close().await,
        }
    }
}

impl Executor for &mut Conn {
    async fn run(self, statement: Bound<'_>, want: Want) -> Result<QueryAnswer, DbError> {
        match self {
            Conn::Sqlite(conn) => conn.run(&statement, want),
            Conn::Postgres(conn) => conn.run(&statement, want).await,
        }
    }
}

/// The connections that read. Cheap to clone.
#[derive(Clone)]
pub(crate) enum Readers {
    Sqlite(sqlite::SqliteReaders),
    Postgres(postgres::PostgresReaders),
}

impl Readers {
    /// What their statements are written in.
    pub(crate) fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect(Kind::Sqlite),
            Self::Postgres(_) => Dialect(Kind::Postgres),
        }
    }

    /// Runs several statements, on SQLite without a way back in between.
    pub(crate) async fn fetch_each<T>(
        &self,
        queries: Vec<Query<'_, T>>,
    ) -> Result<Vec<Vec<T::Out>>, DbError>
    where
        T: query::FromRow,
    {
        let statements = queries.into_iter().map(Query::into_statement);
        let answers = match self {
            Self::Sqlite(readers) => {
                readers.run_each(statements.map(Bound::into_owned).collect()).await?
            }
            Self::Postgres(readers) => {
                let mut answers = Vec::new();
                for statement in statements {
                    answers.push(readers.run(&statement, Want::Rows).await?);
                }
                answers
            }
        };
        answers.into_iter().map(|answer| answer.rows.into_iter().map(T::give).collect()).collect()
    }

    /// Ends them; a statement after it fails.
    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(readers) => readers.close(),
            Self::Postgres(readers) => readers.close().await,
        }
    }
}

impl Executor for &Readers {
    async fn run(self, statement: Bound<'_>, want: Want) -> Result<QueryAnswer, DbError> {
        match self {
            Readers::Sqlite(readers) => readers.run(statement, want).await,
            Readers::Postgres(readers) => readers.run(&statement, want).await,
        }
    }
}
