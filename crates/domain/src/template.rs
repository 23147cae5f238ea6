//! Templates: stored texts with placeholders, and how they are filled.
//!
//! `{{name}}` and `{name}` are placeholders (OpenWA's two forms); spaces inside the double form are allowed. A backslash
//! before a brace makes it a plain brace. Braces around anything but a name are text.

use std::collections::BTreeMap;

use crate::{
    ids::{SessionId, TemplateId},
    time::Timestamp,
};

/// Longest template name, in characters.
pub const NAME_CHARS_MAX: usize = 100;
/// Longest header or footer, in characters.
pub const PART_CHARS_MAX: usize = 1024;
/// Longest rendered text, in characters (`TEMPLATE_RENDER_MAX_CHARS`).
pub const RENDERED_CHARS_MAX: usize = 65_536;

/// A stored template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// Its id.
    pub id: TemplateId,
    /// Whose.
    pub session: SessionId,
    /// Unique in the session.
    pub name: String,
    /// The text.
    pub body: String,
    /// Above the text.
    pub header: Option<String>,
    /// Below the text.
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
        rest = match piece(found) {
            Piece::Placeholder { name, rest } => {
                let value = variables.get(name);
                out.push_str(value.ok_or_else(|| RenderError::Missing(name.to_owned()))?);
                rest
            }
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

enum Piece<'a> {
    Placeholder { name: &'a str, rest: &'a str },
    Text { text: &'a str, rest: &'a str },
}

/// What begins with a brace or a backslash.
fn piece(text: &str) -> Piece<'_> {
    if text.starts_with("\\{") || text.starts_with("\\}") {
        return Piece::Text { text: &text[1..2], rest: &text[2..] };
    }
    let double = text.strip_prefix("{{").and_then(|inner| inner.split_once("}}"));
    if let Some((name, rest)) = double
        && is_name(name.trim())
    {
        return Piece::Placeholder { name: name.trim(), rest };
    }
    let single = text.strip_prefix('{').and_then(|inner| inner.split_once('}'));
    match single {
        Some((name, rest)) if is_name(name) => Piece::Placeholder { name, rest },
        _ => Piece::Text { text: &text[..1], rest: &text[1..] },
    }
}

/// Letters of any language, digits, `_`, `-` and `.`; starts with a letter or `_`.
fn is_name(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|first| first.is_alphabetic() || first == '_')
        && chars.all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))
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
    fn a_missing_variable_is_named_and_an_empty_one_is_not_missing() {
        assert_eq!(fill("Hi {{nme}}", &[("name", "Mia")]), Err(RenderError::Missing("nme".into())));
        assert_eq!(fill("Hi {x}!", &[("x", "")]).unwrap(), "Hi !");
    }

    #[test]
    fn what_was_inserted_is_never_read_again() {
        assert_eq!(fill("{{a}}{b}", &[("a", "{{b}}"), ("b", "{a}")]).unwrap(), "{{b}}{a}");
    }

    #[test]
    fn other_braces_are_text() {
        for text in ["{ \"json\": 1 }", "{}", "{{}}", "a { b", "}{", "{1}", "c:\\dir", "{{a b}}"] {
            assert_eq!(fill(text, &[]).unwrap(), text);
        }
        assert_eq!(fill("\\{name\\} {name}", &[("name", "Mia")]).unwrap(), "{name} Mia");
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
