//! Reads a schema.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{ConfigSchema, DEPTH_MAX, Field, FieldKind};
use crate::plugin::{ManifestError, reading::Fields};

const KINDS: &[(&str, FieldKind)] = &[
    ("string", FieldKind::String),
    ("number", FieldKind::Number),
    ("boolean", FieldKind::Boolean),
    ("textarea", FieldKind::Textarea),
    ("array", FieldKind::Array),
    ("object", FieldKind::Object),
];

pub(super) fn schema(raw: &Value) -> Result<ConfigSchema, ManifestError> {
    let top = Fields::of("configSchema", raw)?;
    match top.text("type")? {
        None | Some("object") => {}
        Some(_) => return Err(top.wrong("type", "must be object")),
    }
    Ok(ConfigSchema { fields: properties(&top, 1)?, raw: raw.clone() })
}

fn properties(
    of: &Fields<'_>,
    depth: usize,
) -> Result<Option<BTreeMap<String, Field>>, ManifestError> {
    let Some(list) = of.object("properties")? else { return Ok(None) };
    let read =
        |(name, value)| Ok((String::from(name), field(&Fields::of(list.at(name), value)?, depth)?));
    list.each().map(read).collect::<Result<_, _>>().map(Some)
}

fn field(fields: &Fields<'_>, depth: usize) -> Result<Field, ManifestError> {
    if depth > DEPTH_MAX {
        return Err(fields.wrong("type", format!("is nested deeper than {DEPTH_MAX}")));
    }
    let word = fields.required("type")?;
    let Some((_, kind)) = KINDS.iter().find(|(name, _)| *name == word) else {
        let names: Vec<&str> = KINDS.iter().map(|(name, _)| *name).collect();
        return Err(fields.wrong("type", format!("must be one of {}", names.join(", "))));
    };
    let choices = match fields.value("enum") {
        None => None,
        Some(Value::Array(choices)) if !choices.is_empty() => Some(choices.clone()),
        Some(_) => return Err(fields.wrong("enum", "must be a list of values")),
    };
    let items = fields.object("items")?;
    let items = items.map(|items| field(&items, depth + 1)).transpose()?;
    Ok(Field {
        kind: *kind,
        title: fields.text("title")?.map(str::to_owned),
        default: fields.value("default").cloned(),
        choices,
        required: fields.flag("required", false)?,
        secret: fields.flag("secret", false)?,
        min: fields.number("min")?,
        max: fields.number("max")?,
        pattern: fields.text("pattern")?.map(str::to_owned),
        items: items.map(Box::new),
        properties: properties(fields, depth + 1)?,
    })
}
