//! Statements and their values.

use std::{borrow::Cow, marker::PhantomData};

use super::{DbError, Executor, FromValue, Kind, QueryAnswer, Row, Statement, Want, Widened};

/// The text of a statement.
#[derive(Debug, Clone)]
pub(crate) enum Text {
    Registered(&'static Statement),
    Widened(Widened),
    /// Put together while the program runs.
    Built(String),
}

impl Text {
    pub(super) fn of(&self, kind: Kind) -> &str {
        match self {
            Self::Registered(statement) => statement.of(kind),
            Self::Widened(widened) => widened.0,
            Self::Built(text) => text,
        }
    }
}

impl From<&'static Statement> for Text {
    fn from(statement: &'static Statement) -> Self {
        Self::Registered(statement)
    }
}

impl From<Widened> for Text {
    fn from(widened: Widened) -> Self {
        Self::Widened(widened)
    }
}

/// Tests look at what no statement of the product does.
#[cfg(test)]
impl From<&'static str> for Text {
    fn from(text: &'static str) -> Self {
        Self::Widened(Widened(text))
    }
}

#[cfg(test)]
impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::Built(text)
    }
}

/// A value for a parameter.
#[derive(Debug, Clone)]
pub(crate) enum SqlArg<'q> {
    Int(Option<i64>),
    Text(Option<Cow<'q, str>>),
    Bytes(Option<Cow<'q, [u8]>>),
}

impl SqlArg<'_> {
    fn into_owned(self) -> SqlArg<'static> {
        match self {
            Self::Int(int) => SqlArg::Int(int),
            Self::Text(text) => SqlArg::Text(text.map(|text| Cow::Owned(text.into_owned()))),
            Self::Bytes(bytes) => SqlArg::Bytes(bytes.map(|bytes| Cow::Owned(bytes.into_owned()))),
        }
    }
}

/// What can be a parameter's value.
pub(crate) trait IntoSqlArg<'q> {
    fn into_arg(self) -> SqlArg<'q>;
    /// The value of nothing.
    fn none() -> SqlArg<'q>;
}

impl<'q, T: IntoSqlArg<'q>> IntoSqlArg<'q> for Option<T> {
    fn into_arg(self) -> SqlArg<'q> {
        self.map_or_else(T::none, T::into_arg)
    }

    fn none() -> SqlArg<'q> {
        T::none()
    }
}

/// `IntoSqlArg` for one type.
macro_rules! argument {
    ($kind:ident: $($type:ty => $convert:expr),+ $(,)?) => {$(
        impl<'q> IntoSqlArg<'q> for $type {
            fn into_arg(self) -> SqlArg<'q> {
                let convert: fn($type) -> _ = $convert;
                SqlArg::$kind(Some(convert(self)))
            }

            fn none() -> SqlArg<'q> {
                SqlArg::$kind(None)
            }
        }
    )+};
}

argument!(Int:
    i64 => |int| int,
    i32 => i64::from,
    u32 => i64::from,
    u16 => i64::from,
    bool => i64::from,
);
argument!(Text:
    &'q str => Cow::Borrowed,
    &'q String => |text| Cow::Borrowed(text.as_str()),
    String => Cow::Owned,
);
argument!(Bytes:
    Vec<u8> => Cow::Owned,
    &'q [u8] => Cow::Borrowed,
);

/// A statement with its values.
#[derive(Debug, Clone)]
pub(crate) struct Bound<'q> {
    pub(crate) text: Text,
    pub(crate) args: Vec<SqlArg<'q>>,
}

impl Bound<'_> {
    /// One that outlives what it was made of.
    pub(crate) fn into_owned(self) -> Bound<'static> {
        let args = self.args.into_iter().map(SqlArg::into_owned).collect();
        Bound { text: self.text, args }
    }
}

/// A statement in the making; `T` is what [`Query::fetch_all`] and its like give.
#[derive(Debug, Clone)]
pub(crate) struct Query<'q, T> {
    statement: Bound<'q>,
    gives: PhantomData<fn() -> T>,
}

/// A statement that gives rows.
pub(crate) fn query<'q>(text: impl Into<Text>) -> Query<'q, Row> {
    Query::new(text.into(), Vec::with_capacity(8))
}

/// A statement that gives rows of one value.
pub(crate) fn query_scalar<'q, T: FromValue>(text: impl Into<Text>) -> Query<'q, Scalar<T>> {
    Query::new(text.into(), Vec::with_capacity(4))
}

/// A word of a transaction, which no database prepares: `begin`, `savepoint`, `set local`.
pub(crate) fn control<'q>(word: &'static str) -> Query<'q, Row> {
    Query::new(Text::Widened(Widened(word)), vec![])
}

/// A statement that is put together, of registered ones or by a [`StatementBuilder`](super::StatementBuilder).
pub(crate) fn built<'q>(text: String) -> Query<'q, Row> {
    Query::new(Text::Built(text), Vec::with_capacity(8))
}

/// The one value of a row.
pub(crate) struct Scalar<T>(PhantomData<T>);

/// What a row becomes.
pub(crate) trait FromRow {
    type Out;
    fn give(row: Row) -> Result<Self::Out, DbError>;
}

impl FromRow for Row {
    type Out = Self;

    fn give(row: Row) -> Result<Self, DbError> {
        Ok(row)
    }
}

impl<T: FromValue> FromRow for Scalar<T> {
    type Out = T;

    fn give(row: Row) -> Result<T, DbError> {
        row.try_get(0)
    }
}

impl<'q, T: FromRow> Query<'q, T> {
    pub(super) fn new(text: Text, args: Vec<SqlArg<'q>>) -> Self {
        Self { statement: Bound { text, args }, gives: PhantomData }
    }

    /// The value of the next parameter.
    pub(crate) fn bind(mut self, value: impl IntoSqlArg<'q>) -> Self {
        self.statement.args.push(value.into_arg());
        self
    }

    /// The statement without what it gives.
    pub(super) fn into_statement(self) -> Bound<'q> {
        self.statement
    }

    /// Runs it for what it does.
    pub(crate) async fn execute(self, on: impl Executor) -> Result<QueryAnswer, DbError> {
        on.run(self.statement, Want::Count).await
    }

    /// Every row that it gives, in its order.
    pub(crate) async fn fetch_all(self, on: impl Executor) -> Result<Vec<T::Out>, DbError> {
        let answer = on.run(self.statement, Want::Rows).await?;
        answer.rows.into_iter().map(T::give).collect()
    }

    /// The first row, if there is one.
    pub(crate) async fn fetch_optional(self, on: impl Executor) -> Result<Option<T::Out>, DbError> {
        let answer = on.run(self.statement, Want::Rows).await?;
        answer.rows.into_iter().next().map(T::give).transpose()
    }

    /// The first row, which has to be there.
    pub(crate) async fn fetch_one(self, on: impl Executor) -> Result<T::Out, DbError> {
        self.fetch_optional(on).await?.ok_or(DbError::NoRow)
    }
}
