//! Statements that are put together.

use super::{
    Query, Row,
    query::{IntoSqlArg, SqlArg, Text},
};

/// A statement that grows.
pub(crate) struct StatementBuilder<'q> {
    text: String,
    args: Vec<SqlArg<'q>>,
}

impl<'q> StatementBuilder<'q> {
    /// Begins with a text.
    pub(crate) fn new(text: &str) -> Self {
        Self { text: text.to_owned(), args: vec![] }
    }

    /// Adds text; never what came from outside.
    pub(crate) fn push(&mut self, text: &'static str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Adds a parameter with its value.
    pub(crate) fn push_bind(&mut self, value: impl IntoSqlArg<'q>) -> &mut Self {
        self.args.push(value.into_arg());
        self.text.push('$');
        self.text.push_str(&self.args.len().to_string());
        self
    }

    /// The value of a parameter that stands in the text already.
    pub(crate) fn bind(&mut self, value: impl IntoSqlArg<'q>) -> &mut Self {
        self.args.push(value.into_arg());
        self
    }

    /// The statement with its values, ready to run.
    pub(crate) fn build(self) -> Query<'q, Row> {
        Query::new(Text::Built(self.text), self.args)
    }
}
