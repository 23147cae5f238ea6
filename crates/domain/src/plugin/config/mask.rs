//! Hides the secrets of a configuration, and puts them back.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{ConfigSchema, Field, FieldKind, MASK};

/// Names that say that a field is a secret, without dashes and underscores.
const SECRET_NAMES: &[&str] =
    &["token", "secret", "password", "passphrase", "apikey", "privatekey"];

/// What is known of a value.
#[derive(Clone, Copy)]
enum Known<'a> {
    Field(&'a Field),
    /// Nothing; whether its name looks like a secret's.
    Free(bool),
}

impl<'a> Known<'a> {
    fn of(fields: Option<&'a BTreeMap<String, Field>>, name: &str) -> Self {
        match fields.and_then(|fields| fields.get(name)) {
            Some(field) => Self::Field(field),
            None => Self::Free(is_secret_name(name)),
        }
    }

    const fn fields(self) -> Option<&'a BTreeMap<String, Field>> {
        match self {
            Self::Field(field) => field.properties.as_ref(),
            Self::Free(_) => None,
        }
    }

    fn items(self) -> Self {
        match self {
            Self::Field(Field { items: Some(items), .. }) => Self::Field(items),
            _ => Self::Free(false),
        }
    }

    /// Whether a value is hidden as a whole.
    fn hides(self, value: &Value) -> bool {
        match self {
            _ if is_empty(value) => false,
            Self::Field(field) => field.secret || holds_secret(field) && !fits(field, value),
            // A yes or no tells nothing.
            Self::Free(secret) => secret && !value.is_boolean(),
        }
    }
}

fn is_secret_name(name: &str) -> bool {
    let letters = name.chars().filter(|c| !"-_ .".contains(*c));
    let name: String = letters.flat_map(char::to_lowercase).collect();
    SECRET_NAMES.iter().any(|secret| name.contains(secret))
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(rows) => rows.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

fn holds_secret(field: &Field) -> bool {
    let below = field.properties.iter().flat_map(BTreeMap::values);
    field.secret || below.chain(field.items.as_deref()).any(holds_secret)
}

/// Whether a value has the form in which its secrets can be found. One that was stored before an update may have
/// another.
fn fits(field: &Field, value: &Value) -> bool {
    match field.kind {
        FieldKind::Object => value.is_object(),
        FieldKind::Array => value.is_array(),
        _ => !value.is_object() && !value.is_array(),
    }
}

pub(super) fn masked(schema: &ConfigSchema, config: &Map<String, Value>) -> Map<String, Value> {
    mask_fields(schema.fields.as_ref(), config)
}

fn mask_fields(
    fields: Option<&BTreeMap<String, Field>>,
    values: &Map<String, Value>,
) -> Map<String, Value> {
    let mask = |(name, value): (&String, _)| (name.clone(), mask(Known::of(fields, name), value));
    values.iter().map(mask).collect()
}

fn mask(known: Known<'_>, value: &Value) -> Value {
    match value {
        value if known.hides(value) => Value::from(MASK),
        Value::Object(values) => Value::Object(mask_fields(known.fields(), values)),
        Value::Array(rows) => rows.iter().map(|row| mask(known.items(), row)).collect(),
        value => value.clone(),
    }
}

pub(super) fn unmasked(
    schema: &ConfigSchema,
    new: Map<String, Value>,
    old: &Map<String, Value>,
) -> Map<String, Value> {
    unmask_fields(schema.fields.as_ref(), new, Some(old))
}

fn unmask_fields(
    fields: Option<&BTreeMap<String, Field>>,
    new: Map<String, Value>,
    old: Option<&Map<String, Value>>,
) -> Map<String, Value> {
    let unmask = |(name, value): (String, Value)| {
        let old = old.and_then(|old| old.get(&name));
        let value = unmask(Known::of(fields, &name), value, old)?;
        (!value.is_null()).then_some((name, value))
    };
    new.into_iter().filter_map(unmask).collect()
}

/// `None`: a mask behind which there is nothing.
fn unmask(known: Known<'_>, new: Value, old: Option<&Value>) -> Option<Value> {
    if new.as_str() == Some(MASK) {
        return match old {
            Some(old) if known.hides(old) => Some(old.clone()),
            _ if known.hides(&new) => None,
            _ => Some(new),
        };
    }
    Some(match new {
        Value::Object(new) => {
            let old = old.and_then(Value::as_object);
            Value::Object(unmask_fields(known.fields(), new, old))
        }
        Value::Array(rows) => {
            let old = old.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            Value::Array(unmask_rows(known.items(), rows, old))
        }
        new => new,
    })
}

fn unmask_rows(known: Known<'_>, new: Vec<Value>, old: &[Value]) -> Vec<Value> {
    let partners = partners(known, &new, old);
    let rows = new.into_iter().zip(partners);
    rows.filter_map(|(row, partner)| unmask(known, row, partner.map(|index| &old[index]))).collect()
}

/// For each new row with a mask in it the old one that it was.
fn partners(known: Known<'_>, new: &[Value], old: &[Value]) -> Vec<Option<usize>> {
    let asks: Vec<bool> = new.iter().map(has_mask).collect();
    let mut found: Vec<Option<usize>> = vec![None; new.len()];
    if !asks.contains(&true) {
        return found;
    }
    let shown: Vec<Value> = old.iter().map(|row| mask(known, row)).collect();
    let mut taken = vec![false; old.len()];
    // Rows that stayed where they were, then rows that moved.
    for at in 0..new.len().min(old.len()) {
        if asks[at] && shown[at] == new[at] {
            (found[at], taken[at]) = (Some(at), true);
        }
    }
    for at in (0..new.len()).filter(|at| asks[*at]) {
        if found[at].is_none() {
            found[at] = (0..old.len()).find(|index| !taken[*index] && shown[*index] == new[at]);
            found[at].into_iter().for_each(|index| taken[index] = true);
        }
    }
    // Rows that were changed. Once rows were removed, nobody knows which is which.
    if new.len() >= old.len() {
        for at in 0..old.len() {
            if found[at].is_none() && !taken[at] {
                found[at] = Some(at);
            }
        }
    }
    found
}

fn has_mask(value: &Value) -> bool {
    match value {
        Value::String(text) => text == MASK,
        Value::Array(rows) => rows.iter().any(has_mask),
        Value::Object(fields) => fields.values().any(has_mask),
        _ => false,
    }
}
