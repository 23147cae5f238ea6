//! Checks a body against its schema in the OpenAPI document, so that the document cannot lie.
//!
//! All problems are collected, in the words of class-validator, which OpenWA's clients know. What a schema says with
//! `pattern` and `format` is decided by [`text`]; a test holds that every one in use is known there.
//!
//! Booleans may come as the texts `"true"` and `"false"`, whole numbers as `5.0`, and texts as numbers; all are put
//! right in place.

mod text;

pub use text::chat_in;

use std::sync::LazyLock;

use serde_json::{Map, Value};

/// Problems after which a body is not looked at any further. More than an answer lists: some turn out to be the same.
const FOUND_MAX: usize = 1000;

/// The schemas of the OpenAPI document, by name.
static SCHEMAS: LazyLock<Map<String, Value>> = LazyLock::new(|| {
    let document = serde_json::to_value(crate::docs::openapi()).unwrap_or_default();
    document["components"]["schemas"].as_object().cloned().unwrap_or_default()
});

/// What is wrong with a value, by a schema's name. Empty when nothing is.
pub fn check(schema: &str, value: &mut Value) -> Vec<String> {
    let mut problems = Vec::new();
    match SCHEMAS.get(schema) {
        Some(schema) => {
            Walk { problems: &mut problems, prefix: String::new() }.object(schema, value);
        }
        // Nothing may pass unchecked; a test walks all bodies, so this is never met.
        None => problems.push(format!("there is no schema {schema}")),
    }
    problems
}

/// Follows `$ref`s.
fn resolve(mut schema: &Value) -> &Value {
    while let Some(path) = schema["$ref"].as_str() {
        let name = path.rsplit('/').next().unwrap_or_default();
        schema = SCHEMAS.get(name).unwrap_or(&Value::Null);
    }
    schema
}

/// One level of an object.
struct Walk<'a> {
    problems: &'a mut Vec<String>,
    /// The path to the object, with a full stop at its end.
    prefix: String,
}

impl Walk<'_> {
    /// Whether enough is wrong: nobody reads more, and a body made to be wrong could go on for long.
    fn full(&self) -> bool {
        self.problems.len() >= FOUND_MAX
    }

    fn say(&mut self, words: &str) {
        if self.full() {
            return;
        }
        self.problems.push(format!("{}{words}", self.prefix));
    }

    fn inside(&mut self, name: &str) -> Walk<'_> {
        Walk { prefix: format!("{}{name}.", self.prefix), problems: self.problems }
    }

    fn object(&mut self, schema: &Value, value: &mut Value) {
        let Some(fields) = value.as_object_mut() else {
            return self.say("value must be an object");
        };
        let known = schema["properties"].as_object();
        if schema["additionalProperties"] == Value::Bool(false) {
            let is_known = |name: &str| known.is_some_and(|known| known.contains_key(name));
            for name in fields.keys().filter(|name| !is_known(name)) {
                if self.full() {
                    return;
                }
                self.say(&format!("property {} should not exist", crate::error::echo(name)));
            }
        }
        let required = schema["required"].as_array();
        for (name, schema) in known.into_iter().flatten() {
            let needed = required.is_some_and(|names| names.iter().any(|n| n == name.as_str()));
            match fields.get_mut(name) {
                Some(value) => self.value(schema, name, name, value),
                None if needed => self.missing(schema, name),
                None => {}
            }
        }
    }

    fn missing(&mut self, schema: &Value, name: &str) {
        let schema = resolve(schema);
        if schema["minLength"] == 1 {
            self.say(&format!("{name} should not be empty"));
        }
        let expected = expected(schema);
        self.say(&format!("{name} must be {expected}"));
    }

    /// `name` is the field's, `subject` what a problem calls it: the name, or `each value in` it.
    fn value(&mut self, schema: &Value, name: &str, subject: &str, value: &mut Value) {
        let schema = resolve(schema);
        if let Some(choices) = schema["oneOf"].as_array() {
            return self.choice(choices, name, subject, value);
        }
        if value.is_null() && allows_null(schema) {
            return;
        }
        match kind(schema) {
            "string" => self.text(schema, subject, value),
            "boolean" => self.flag(subject, value),
            "integer" => self.integer(schema, subject, value),
            "number" => self.number(schema, subject, value),
            "array" => self.list(schema, name, subject, value),
            "object" if !value.is_object() => self.say(&format!("{subject} must be an object")),
            "object" if schema["additionalProperties"].is_object() => self.map(schema, name, value),
            "object" => self.inside(name).object(schema, value),
            _ => {}
        }
    }

    fn choice(&mut self, choices: &[Value], name: &str, subject: &str, value: &mut Value) {
        let mut others: Vec<&Value> = choices.iter().map(resolve).collect();
        others.retain(|choice| kind(choice) != "null");
        if value.is_null() && others.len() < choices.len() {
            return;
        }
        if let [only] = others[..] {
            return self.value(only, name, subject, value);
        }
        // Where a text is one of several, a number may mean another.
        let is_text = |choice: &&&Value| kind(choice) == "string";
        let number = value.is_number();
        for choice in others.iter().filter(|choice| !(number && is_text(choice))) {
            let (mut tried, mut problems) = (value.clone(), Vec::new());
            Walk { problems: &mut problems, prefix: String::new() }
                .value(choice, name, subject, &mut tried);
            if problems.is_empty() {
                *value = tried;
                return;
            }
        }
        let words: Vec<&str> = others.iter().map(|choice| expected(choice)).collect();
        self.say(&format!("{subject} must be {}", words.join(" or ")));
    }

    fn text(&mut self, schema: &Value, subject: &str, value: &mut Value) {
        if let Some(text) = number_as_text(value) {
            *value = Value::String(text);
        }
        let Some(text) = value.as_str() else {
            return self.say(&format!("{subject} must be a string"));
        };
        for problem in text::problems(schema, subject, text) {
            self.say(&problem);
        }
    }

    fn flag(&mut self, subject: &str, value: &mut Value) {
        match value.as_str() {
            Some("true") => *value = Value::Bool(true),
            Some("false") => *value = Value::Bool(false),
            _ if value.is_boolean() => {}
            _ => self.say(&format!("{subject} must be a boolean value")),
        }
    }

    fn integer(&mut self, schema: &Value, subject: &str, value: &mut Value) {
        // Beyond 2^53 a JSON number is no longer the number that was written.
        let whole =
            value.as_f64().filter(|n| n.fract() == 0.0 && n.abs() < 9_007_199_254_740_992.0);
        let Some(number) = whole else {
            return self.say(&format!("{subject} must be an integer number"));
        };
        // Exact: the number is whole and within 53 bits.
        let number = number as i64;
        *value = Value::from(number);
        self.range(schema, subject, number as f64);
    }

    fn number(&mut self, schema: &Value, subject: &str, value: &Value) {
        match value.as_f64() {
            Some(number) => self.range(schema, subject, number),
            None => self.say(&format!(
                "{subject} must be a number conforming to the specified constraints"
            )),
        }
    }

    fn range(&mut self, schema: &Value, subject: &str, number: f64) {
        if schema["minimum"].as_f64().is_some_and(|least| number < least) {
            self.say(&format!("{subject} must not be less than {}", schema["minimum"]));
        }
        if schema["maximum"].as_f64().is_some_and(|most| number > most) {
            self.say(&format!("{subject} must not be greater than {}", schema["maximum"]));
        }
    }

    fn list(&mut self, schema: &Value, name: &str, subject: &str, value: &mut Value) {
        let Some(items) = value.as_array_mut() else {
            return self.say(&format!("{subject} must be an array"));
        };
        let size = items.len() as u64;
        if let Some(least) = schema["minItems"].as_u64().filter(|least| size < *least) {
            self.say(&format!("{subject} must contain at least {least} elements"));
        }
        if let Some(most) = schema["maxItems"].as_u64().filter(|most| size > *most) {
            return self.say(&format!("{subject} must contain no more than {most} elements"));
        }
        if schema["uniqueItems"] == Value::Bool(true) && has_twins(items) {
            self.say(&format!("All {subject}'s elements must be unique"));
        }
        let each = format!("each value in {name}");
        let before = self.problems.len();
        for (index, item) in items.iter_mut().enumerate() {
            if self.full() {
                break;
            }
            if kind(resolve(&schema["items"])) == "object" {
                self.inside(name).value(&schema["items"], &index.to_string(), &each, item);
            } else {
                self.value(&schema["items"], name, &each, item);
            }
        }
        // Many items with one problem are one problem.
        let mut said = self.problems.split_off(before);
        let mut seen = std::collections::BTreeSet::new();
        said.retain(|problem| seen.insert(problem.clone()));
        self.problems.append(&mut said);
    }

    fn map(&mut self, schema: &Value, name: &str, value: &mut Value) {
        for value in value.as_object_mut().into_iter().flat_map(Map::values_mut) {
            let each = format!("each value in {name}");
            self.value(&schema["additionalProperties"], name, &each, value);
        }
    }
}

/// A number as the text that was meant; `None` when its digits may have been lost on the way.
pub fn number_as_text(value: &Value) -> Option<String> {
    let Value::Number(number) = value else { return None };
    if number.is_i64() || number.is_u64() {
        return Some(number.to_string());
    }
    let exact = number.as_f64().is_some_and(|n| n.abs() < 9_007_199_254_740_992.0);
    exact.then(|| number.to_string())
}

/// The type of a schema that is not `null`.
fn kind(schema: &Value) -> &str {
    let first = |kinds: &'_ [Value]| kinds.iter().position(|kind| kind != "null");
    match &schema["type"] {
        Value::String(kind) => kind,
        Value::Array(kinds) => first(kinds).and_then(|at| kinds[at].as_str()).unwrap_or("null"),
        _ => "any",
    }
}

fn allows_null(schema: &Value) -> bool {
    schema["type"].as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == "null"))
}

fn expected(schema: &Value) -> &'static str {
    match kind(schema) {
        "string" => "a string",
        "boolean" => "a boolean value",
        "integer" => "an integer number",
        "number" => "a number conforming to the specified constraints",
        "array" => "an array",
        _ => "an object",
    }
}

fn has_twins(items: &[Value]) -> bool {
    let mut seen = std::collections::HashSet::new();
    items.iter().any(|item| !seen.insert(item.to_string()))
}

#[cfg(test)]
mod tests;
