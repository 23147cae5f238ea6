//! Checks a configuration.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{CONFIG_BYTES_MAX, ConfigSchema, DEPTH_MAX, Field, FieldKind};

/// So many faults are told; the rest would say the same.
const FAULTS_MAX: usize = 50;

type Properties = BTreeMap<String, Field>;

pub(super) fn config(
    schema: &ConfigSchema,
    config: &Map<String, Value>,
    known: &Map<String, Value>,
) -> Result<(), Vec<String>> {
    limits(config).map_err(|fault| vec![fault])?;
    let mut faults = vec![];
    if let Some(fields) = &schema.fields {
        object("", fields, (config, Some(known)), &mut faults);
    }
    faults.truncate(FAULTS_MAX);
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

fn limits(config: &Map<String, Value>) -> Result<(), String> {
    if config.values().any(|value| deeper(value, DEPTH_MAX - 1)) {
        return Err(format!("the configuration is nested deeper than {DEPTH_MAX}"));
    }
    match serde_json::to_string(config).map(|text| text.len()) {
        Ok(bytes) if bytes <= CONFIG_BYTES_MAX => Ok(()),
        _ => Err("the configuration is larger than 64 KiB".to_owned()),
    }
}

fn deeper(value: &Value, levels: usize) -> bool {
    let within = |value: &Value| levels == 0 || deeper(value, levels - 1);
    match value {
        Value::Array(rows) => levels == 0 || rows.iter().any(within),
        Value::Object(fields) => levels == 0 || fields.values().any(within),
        _ => false,
    }
}

fn place(at: &str, name: &str) -> String {
    if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") }
}

fn object(
    at: &str,
    fields: &Properties,
    (values, known): (&Map<String, Value>, Option<&Map<String, Value>>),
    faults: &mut Vec<String>,
) {
    for (name, value) in values {
        let old = known.and_then(|known| known.get(name));
        match fields.get(name) {
            Some(field) => self::value(&place(at, name), field, (value, old), faults),
            None if old == Some(value) => {}
            None => faults.push(format!("additional property {}", place(at, name))),
        }
    }
}

fn value(
    at: &str,
    field: &Field,
    (value, known): (&Value, Option<&Value>),
    faults: &mut Vec<String>,
) {
    // Not filled in; or what the author wrote, which the operator cannot mend.
    if value.is_null()
        || value.as_str() == Some("") && is_text(field)
        || field.default.as_ref() == Some(value)
    {
        return;
    }
    if !is_of(field.kind, value) {
        faults.push(format!("{at} must be {}", kind_name(field.kind)));
        return;
    }
    if let Some(choices) = field.choices.as_ref().filter(|choices| !chosen(choices, value)) {
        faults.push(format!("{at} must be one of {}", listed(choices)));
        return;
    }
    bounds(at, field, value, faults);
    match value {
        Value::Array(rows) => {
            let Some(items) = &field.items else { return };
            let known = known.and_then(Value::as_array);
            for (index, row) in rows.iter().enumerate() {
                let old = known.and_then(|known| known.get(index));
                let at = format!("{at}[{index}]");
                match row {
                    Value::Null => faults.push(format!("{at} must be {}", kind_name(items.kind))),
                    row => self::value(&at, items, (row, old), faults),
                }
            }
        }
        Value::Object(values) => {
            let Some(fields) = &field.properties else { return };
            object(at, fields, (values, known.and_then(Value::as_object)), faults);
        }
        _ => {}
    }
}

const fn is_text(field: &Field) -> bool {
    matches!(field.kind, FieldKind::String | FieldKind::Textarea)
}

fn is_of(kind: FieldKind, value: &Value) -> bool {
    match kind {
        FieldKind::String | FieldKind::Textarea => value.is_string(),
        FieldKind::Number => value.as_f64().is_some_and(f64::is_finite),
        FieldKind::Boolean => value.is_boolean(),
        FieldKind::Array => value.is_array(),
        FieldKind::Object => value.is_object(),
    }
}

const fn kind_name(kind: FieldKind) -> &'static str {
    match kind {
        FieldKind::String | FieldKind::Textarea => "a text",
        FieldKind::Number => "a number",
        FieldKind::Boolean => "true or false",
        FieldKind::Array => "a list",
        FieldKind::Object => "an object",
    }
}

/// `1` and `1.0` are the same choice.
fn chosen(choices: &[Value], value: &Value) -> bool {
    let number = value.as_f64();
    choices.iter().any(|choice| choice == value || number.is_some() && choice.as_f64() == number)
}

fn listed(choices: &[Value]) -> String {
    let plain = |choice: &Value| choice.as_str().map_or_else(|| choice.to_string(), str::to_owned);
    choices.iter().map(plain).collect::<Vec<_>>().join(", ")
}

fn bounds(at: &str, field: &Field, value: &Value, faults: &mut Vec<String>) {
    let (measure, unit) = match value {
        Value::Number(number) => (number.as_f64(), ""),
        Value::String(text) => (Some(text.chars().count() as f64), " characters"),
        Value::Array(rows) => (Some(rows.len() as f64), " rows"),
        _ => (None, ""),
    };
    let Some(measure) = measure else { return };
    let verb = if unit.is_empty() { "be" } else { "have" };
    if let Some(min) = field.min.filter(|min| measure < *min) {
        faults.push(format!("{at} must {verb} at least {min}{unit}"));
    }
    if let Some(max) = field.max.filter(|max| measure > *max) {
        faults.push(format!("{at} must {verb} at most {max}{unit}"));
    }
}

pub(super) fn missing(schema: &ConfigSchema, config: &Map<String, Value>) -> Vec<String> {
    let mut names = vec![];
    missing_of("", schema.fields.as_ref(), Some(config), &mut names);
    names
}

fn missing_of(
    at: &str,
    fields: Option<&Properties>,
    values: Option<&Map<String, Value>>,
    names: &mut Vec<String>,
) {
    for (name, field) in fields.into_iter().flatten() {
        let at = place(at, name);
        let value = values.and_then(|values| values.get(name));
        let filled = value.filter(|value| !value.is_null() && value.as_str() != Some(""));
        match filled {
            None if field.required => names.push(at),
            None => {}
            Some(value) => missing_in(&at, field, value, names),
        }
    }
}

fn missing_in(at: &str, field: &Field, value: &Value, names: &mut Vec<String>) {
    match value {
        Value::Object(values) => missing_of(at, field.properties.as_ref(), Some(values), names),
        Value::Array(rows) => {
            let Some(items) = &field.items else { return };
            for (index, row) in rows.iter().enumerate() {
                missing_in(&format!("{at}[{index}]"), items, row, names);
            }
        }
        _ => {}
    }
}
