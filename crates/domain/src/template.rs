//! Templates: stored texts with placeholders, and how they are filled.
//!
//! What stands in double braces is a placeholder and looked up as it is: `{{name}}`, `{{1}}`, `{{First Name}}`, `{{
//! order.no }}`. One without a value is missing. Single braces (OpenWA's older form) are text unless they name a
//! variable. A backslash before a brace makes it a plain brace.

use std::collections::BTreeMap;

use crate::{
    ids::{SessionId, TemplateId},
    time::Timestamp,
};

/// Longest template name, in characters.
pub const NAME_CHARS_MAX: usize = 100;
/// Longest name of a placeholder, in bytes. Longer ones are text.
pub const VARIABLE_BYTES_MAX: usize = 256;
/// Longest rendered text, in characters (`TEMPLATE_RENDER_MAX_CHARS`).
pub const RENDERED_CHARS_MAX: usize = 65_536;

/// A text with placeholders that was stored under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// The id of the template.
    pub id: TemplateId,
    /// The session it belongs to.
    pub session: SessionId,
    /// Unique in the session.
    pub name: String,
    /// The text of the message.
    pub body: String,
    /// A line above the text.
    pub header: Option<String>,
    /// A line below the text.
    pub footer: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// Why a text could not be filled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// A placeholder has no value.
    #[error("variable {0} is missing")]
    Missing(String),
    /// The result is longer than [`RENDERED_CHARS_MAX`].
    #[error("the rendered text is longer than {RENDERED_CHARS_MAX} characters")]
    TooLong,
}

impl Template {
    /// Header, text and footer, filled, with blank lines between them.
    ///
    /// # Errors
    /// [`RenderError`].
    pub fn render(&self, variables: &BTreeMap<String, String>) -> Result<String, RenderError> {
        let parts = [self.header.as_deref(), Some(self.body.as_str()), self.footer.as_deref()];
        let mut filled = Vec::with_capacity(parts.len());
        for part in parts.into_iter().flatten().filter(|part| !part.is_empty()) {
            filled.push(render(part, variables)?);
        }
        let text = filled.join("\n\n");
        if text.chars().count() > RENDERED_CHARS_MAX {
            return Err(RenderError::TooLong);
        }
        Ok(text)
    }
}

/// Fills the placeholders of one text. What was inserted is never read again.
///
/// # Errors
/// [`RenderError`].
pub fn render(text: &str, variables: &BTreeMap<String, String>) -> Result<String, RenderError> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['{', '\\']) {
        let (plain, found) = rest.split_at(at);
        out.push_str(plain);
        rest = match piece(found, variables) {
            Piece::Value { text, rest } => {
                out.push_str(text);
                rest
            }
            Piece::Missing { name } => return Err(RenderError::Missing(name.to_owned())),
            Piece::Text { text, rest } => {
                out.push_str(text);
                rest
            }
        };
    }
    out.push_str(rest);
    if out.chars().count() > RENDERED_CHARS_MAX {
        return Err(RenderError::TooLong);
    }
    Ok(out)
}

enum Piece<'a, 'v> {
    Value { text: &'v str, rest: &'a str },
    Missing { name: &'a str },
    Text { text: &'a str, rest: &'a str },
}

/// What begins with a brace or a backslash.
fn piece<'a, 'v>(text: &'a str, variables: &'v BTreeMap<String, String>) -> Piece<'a, 'v> {
    if text.starts_with("\\{") || text.starts_with("\\}") {
        return Piece::Text { text: &text[1..2], rest: &text[2..] };
    }
    if let Some((name, rest)) = text.strip_prefix("{{").and_then(named)
        && let Some(rest) = rest.strip_prefix('}')
        && !name.trim().is_empty()
    {
        let value = value(name, variables);
        return value
            .map_or(Piece::Missing { name: name.trim() }, |text| Piece::Value { text, rest });
    }
    let single = text.strip_prefix('{').and_then(named);
    match single.and_then(|(name, rest)| Some((variables.get(name)?, rest))) {
        Some((text, rest)) => Piece::Value { text, rest },
        None => Piece::Text { text: &text[..1], rest: &text[1..] },
    }
}

/// A name up to its closing brace. Names hold no braces, so that no character is looked at more than a few times,
/// however many braces a text has.
fn named(text: &str) -> Option<(&str, &str)> {
    let end = text.find(['{', '}']).filter(|end| *end <= VARIABLE_BYTES_MAX)?;
    let (name, rest) = text.split_at(end);
    Some((name, rest.strip_prefix('}')?))
}

/// The value of a placeholder: as it is written, without the blanks around it, or with its blanks made plain.
fn value<'v>(name: &str, variables: &'v BTreeMap<String, String>) -> Option<&'v str> {
    let plain = || name.split_whitespace().collect::<Vec<_>>().join(" ");
    let found = variables.get(name).or_else(|| variables.get(name.trim()));
    found.or_else(|| variables.get(&plain())).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(text: &str, pairs: &[(&str, &str)]) -> Result<String, RenderError> {
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        render(text, &pairs.collect())
    }

    #[test]
    fn both_forms_are_filled() {
        let pairs = [("name", "Mia"), ("größe", "L")];
        assert_eq!(fill("Hi {{name}}, {name}: {{ größe }}", &pairs).unwrap(), "Hi Mia, Mia: L");
    }

    #[test]
    fn a_missing_variable_is_named_and_an_empty_one_is_not() {
        assert_eq!(fill("Hi {{nme}}", &[("name", "Mia")]), Err(RenderError::Missing("nme".into())));
        assert_eq!(fill("Hi {x}!", &[("x", "")]).unwrap(), "Hi !");
    }

    #[test]
    fn what_was_inserted_is_never_read_again() {
        assert_eq!(fill("{{a}}{b}", &[("a", "{{b}}"), ("b", "{a}")]).unwrap(), "{{b}}{a}");
    }

    #[test]
    fn whatever_stands_in_double_braces_is_looked_up() {
        let pairs = [
            ("1", "Lea"),
            ("First Name", "Noa"),
            ("order.no", "4711"),
            ("E-Mail?", "x"),
            ("🍰", "cake"),
        ];
        let text = "{{1}} {{First Name}} {{ order.no }} {{E-Mail?}} {{🍰}} {{First\u{a0}Name}} {1}";
        assert_eq!(fill(text, &pairs).unwrap(), "Lea Noa 4711 x cake Noa Lea");
        assert_eq!(fill("{{{1}}}", &pairs).unwrap(), "{Lea}");
        for (text, name) in [("{{2}}", "2"), ("a {{Last Name}}", "Last Name"), ("{{ a b }}", "a b")]
        {
            assert_eq!(fill(text, &pairs), Err(RenderError::Missing(name.into())), "{text}");
        }
    }

    #[test]
    fn other_braces_are_text() {
        for text in [
            "{ \"json\": 1 }",
            "{}",
            "{{}}",
            "a { b",
            "}{",
            "{1}",
            "c:\\dir",
            "{a b}",
            "{nme}",
            "{{a",
            "{{a}",
        ] {
            assert_eq!(fill(text, &[]).unwrap(), text);
        }
        assert_eq!(
            fill("\\{name\\} {name} \\{\\{x}}", &[("name", "Mia")]).unwrap(),
            "{name} Mia {{x}}"
        );
    }

    /// Every character is looked at a few times: a text of braces is no more work than another one.
    #[test]
    fn many_braces_cost_no_more_than_their_length() {
        for text in
            ["{".repeat(60_000), "{{".repeat(30_000), "{ ".repeat(30_000), "{a".repeat(30_000)]
        {
            assert_eq!(fill(&text, &[]).unwrap(), text);
        }
        let long = format!("{{{{{}}}}}", "x".repeat(VARIABLE_BYTES_MAX + 1));
        assert_eq!(fill(&long, &[]).unwrap(), long);
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

        /// Any text is filled or names what it lacks; a text without braces and backslashes stays as it is.
        #[test]
        fn fuzz_templates(text in "[a1{}\\\\ .é]{0,40}", value in "[{}a]{0,6}") {
            match fill(&text, &[("a", &value), ("1", "one")]) {
                Ok(filled) if !text.contains(['{', '}', '\\']) => proptest::prop_assert_eq!(filled, text),
                Ok(_) => {}
                Err(RenderError::Missing(name)) => proptest::prop_assert!(text.contains(&name)),
                Err(error) => proptest::prop_assert!(false, "{}", error),
            }
        }
    }

    #[test]
    fn parts_are_joined_by_blank_lines() {
        let template = Template {
            id: TemplateId::from_uuid(uuid::Uuid::nil()),
            session: SessionId::from_uuid(uuid::Uuid::nil()),
            name: "ready".into(),
            body: "Your {{what}} is ready".into(),
            header: Some("Hello {{name}}".into()),
            footer: None,
            created_at: Timestamp::default(),
            updated_at: Timestamp::default(),
        };
        let mut variables = BTreeMap::from([("name".to_owned(), "Mia".to_owned())]);
        assert_eq!(template.render(&variables), Err(RenderError::Missing("what".into())));
        variables.insert("what".into(), "cake".into());
        assert_eq!(template.render(&variables).unwrap(), "Hello Mia\n\nYour cake is ready");
        variables.insert("what".into(), "x".repeat(RENDERED_CHARS_MAX));
        assert_eq!(template.render(&variables), Err(RenderError::TooLong));
    }
}
