//! Statements that are put together.

use super::{
    Query, Row,
    query::{Arg, IntoArg, Text},
};

/// A statement that grows.
pub(crate) struct Builder<'q> {
    text: String,
    args: Vec<Arg<'q>>,
}

impl<'q> Builder<'q> {
    /// Begins with a text.
    pub(crate) fn new(text: &str) -> Self {
        Self { text: text.to_owned(), args: vec![] }
    }

    /// Adds text; never what came from outside.
    pub(crate) fn push(&mut self, text: &'static str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Adds a value.
    pub(crate) fn push_bind(&mut self, value: impl IntoArg<'q>) -> &mut Self {
        self.args.push(value.into_arg());
        self.text.push('$');
        self.text.push_str(&self.args.len().to_string());
        self
    }

    /// The statement.
    pub(crate) fn build(self) -> Query<'q, Row> {
        Query::new(Text::Built(self.text), self.args)
    }
}
