//! Reads fields of a manifest and says which one is wrong.

use serde_json::{Map, Value};

use super::ManifestError;

/// An object in a manifest, and where it stands. A field that is `null` counts as one that is not there.
pub(super) struct Fields<'a> {
    /// `ingress[0].signature`; empty at the top.
    at: String,
    fields: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    /// The object at a place.
    pub(super) fn of(at: impl Into<String>, value: &'a Value) -> Result<Self, ManifestError> {
        let at = at.into();
        match value.as_object() {
            Some(fields) => Ok(Self { at, fields }),
            None => {
                let at = if at.is_empty() { "the manifest" } else { &at };
                Err(ManifestError(format!("{at} must be an object")))
            }
        }
    }

    /// The place of a field.
    pub(super) fn at(&self, name: &str) -> String {
        match self.at.as_str() {
            "" => name.to_owned(),
            at => format!("{at}.{name}"),
        }
    }

    /// The refusal of a field.
    pub(super) fn wrong(&self, name: &str, fault: impl std::fmt::Display) -> ManifestError {
        ManifestError(format!("{} {fault}", self.at(name)))
    }

    /// A field as it is.
    pub(super) fn value(&self, name: &str) -> Option<&'a Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    fn typed<T>(
        &self,
        name: &str,
        read: impl Fn(&'a Value) -> Option<T>,
        kind: &str,
    ) -> Result<Option<T>, ManifestError> {
        let read = |value| read(value).ok_or_else(|| self.wrong(name, format!("must be {kind}")));
        self.value(name).map(read).transpose()
    }

    /// A text, if it is there.
    pub(super) fn text(&self, name: &str) -> Result<Option<&'a str>, ManifestError> {
        self.typed(name, Value::as_str, "a text")
    }

    /// A text that says something, if it is there.
    pub(super) fn filled(&self, name: &str) -> Result<Option<&'a str>, ManifestError> {
        match self.text(name)? {
            Some(text) if text.trim().is_empty() => Err(self.wrong(name, "must not be empty")),
            text => Ok(text),
        }
    }

    /// A text that has to be there.
    pub(super) fn required(&self, name: &str) -> Result<&'a str, ManifestError> {
        self.filled(name)?.ok_or_else(|| self.wrong(name, "is missing"))
    }

    /// A yes or no.
    pub(super) fn flag(&self, name: &str, default: bool) -> Result<bool, ManifestError> {
        Ok(self.typed(name, Value::as_bool, "true or false")?.unwrap_or(default))
    }

    /// A number, if it is there.
    pub(super) fn number(&self, name: &str) -> Result<Option<f64>, ManifestError> {
        self.typed(name, Value::as_f64, "a number")
    }

    /// A whole number, not below zero. `2.0` is one too.
    pub(super) fn whole(&self, name: &str) -> Result<Option<u64>, ManifestError> {
        let read = |value: &Value| {
            let float = || value.as_f64().filter(|n| n.fract() == 0.0 && (0.0..9e15).contains(n));
            value.as_u64().or_else(|| float().map(|n| n as u64))
        };
        self.typed(name, read, "a whole number")
    }

    /// A list of texts; empty if it is not there.
    pub(super) fn words(&self, name: &str) -> Result<Vec<&'a str>, ManifestError> {
        let read = |value: &'a Value| value.as_array()?.iter().map(Value::as_str).collect();
        Ok(self.typed(name, read, "a list of texts")?.unwrap_or_default())
    }

    /// An object, if it is there.
    pub(super) fn object(&self, name: &str) -> Result<Option<Self>, ManifestError> {
        self.value(name).map(|value| Self::of(self.at(name), value)).transpose()
    }

    /// A list of objects; empty if it is not there.
    pub(super) fn objects(&self, name: &str) -> Result<Vec<Self>, ManifestError> {
        let list = self.typed(name, Value::as_array, "a list")?;
        let read = |(index, value)| Self::of(format!("{}[{index}]", self.at(name)), value);
        list.into_iter().flatten().enumerate().map(read).collect()
    }

    /// The fields of the object, each with its place.
    pub(super) fn each(&self) -> impl Iterator<Item = (&'a str, &'a Value)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value))
    }
}
