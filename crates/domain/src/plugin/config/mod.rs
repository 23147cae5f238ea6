//! A plugin's configuration: its fields, their check, and what of it may be shown.
//!
//! OpenWA only draws a form from the schema. Here every fault is refused at once with the field's name, so that a
//! plugin sees what its author wrote down; `required` is only reported ([`ConfigSchema::missing`]), because half a
//! configuration may be saved, and `pattern` is left to the form: its expressions are JavaScript's.

mod check;
mod mask;
mod read;

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use url::Url;

use super::ManifestError;

/// Largest configuration, in bytes of JSON.
pub const CONFIG_BYTES_MAX: usize = 64 << 10;
/// How deep a configuration and its schema may be nested.
pub const DEPTH_MAX: usize = 16;
/// What is shown instead of a secret, and sent back to keep it.
pub const MASK: &str = "***";

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    /// One line of text.
    String,
    /// Several lines of text.
    Textarea,
    /// Any number, with a fraction too.
    Number,
    /// Yes or no.
    Boolean,
    /// Rows, each as `items` says.
    Array,
    /// Fields of its own, as `properties` says.
    Object,
}

/// One field of a configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// What it holds.
    pub kind: FieldKind,
    /// What the form calls it.
    pub title: Option<String>,
    /// What it is before anybody fills it in.
    pub default: Option<Value>,
    /// The only values it may have.
    pub choices: Option<Vec<Value>>,
    /// The plugin does not work without it.
    pub required: bool,
    /// It is not shown.
    pub secret: bool,
    /// Least value, length in characters, or rows.
    pub min: Option<f64>,
    /// Largest value, length in characters, or rows.
    pub max: Option<f64>,
    /// For the form alone.
    pub pattern: Option<String>,
    /// What each row is; any, if it does not say.
    pub items: Option<Box<Self>>,
    /// Its fields; any, if it does not say.
    pub properties: Option<BTreeMap<String, Self>>,
}

/// The fields of a configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfigSchema {
    /// By name; `None`: any field.
    pub fields: Option<BTreeMap<String, Field>>,
    /// As its author wrote it, for answers.
    pub raw: Value,
}

impl ConfigSchema {
    /// That of a plugin which declares none: any field, within the limits.
    pub const FREE: Self = Self { fields: None, raw: Value::Null };

    /// Reads `configSchema`.
    ///
    /// # Errors
    /// What its author has to change.
    pub fn read(raw: &Value) -> Result<Self, ManifestError> {
        read::schema(raw)
    }

    /// What the fields at the top are before anybody fills them in.
    pub fn defaults(&self) -> Map<String, Value> {
        let fields = self.fields.iter().flatten();
        fields.filter_map(|(name, field)| Some((name.clone(), field.default.clone()?))).collect()
    }

    /// Checks a configuration that is about to be stored. Fields that the schema does not have are refused, unless
    /// `known` (what is stored now) has them with the same value: an update of the plugin may have dropped them.
    ///
    /// # Errors
    /// Every fault, in a sentence each.
    pub fn check(
        &self,
        config: &Map<String, Value>,
        known: &Map<String, Value>,
    ) -> Result<(), Vec<String>> {
        check::config(self, config, known)
    }

    /// The required fields that are not filled in, as `rules[0].mode`.
    pub fn missing(&self, config: &Map<String, Value>) -> Vec<String> {
        check::missing(self, config)
    }

    /// A configuration as it may be shown: every secret that has a value is [`MASK`]. Secrets are the fields that say
    /// so and, among those that the schema does not have, the ones with names like `apiToken`.
    pub fn masked(&self, config: &Map<String, Value>) -> Map<String, Value> {
        mask::masked(self, config)
    }

    /// What to store of a configuration that came back: [`MASK`] keeps the secret of `old`, `null` removes a field.
    ///
    /// A row of an array is the old row that looks the same, so that a secret does not go to another row when rows
    /// are removed or moved; a row that was changed is the one in its place, unless rows were removed.
    pub fn unmask(&self, new: Map<String, Value>, old: &Map<String, Value>) -> Map<String, Value> {
        mask::unmasked(self, new, old)
    }
}

/// The host and the port of the `https` URL in a field of a configuration.
pub fn allowed_config_host(config: &Map<String, Value>, field: &str) -> Option<(String, u16)> {
    let url = Url::parse(config.get(field)?.as_str()?).ok()?;
    let host = super::manifest::spelled(&url.host()?);
    (url.scheme() == "https").then_some((host, url.port_or_known_default()?))
}

#[cfg(test)]
mod tests;
