//! What the program around this API says of itself, and what it lets be changed.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// Facts that do not change while the program runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InstallationFacts {
    /// Whether deliveries are handed out through Redis.
    pub queue: bool,
    /// The folder of media files.
    pub storage_path: String,
    /// The protocol library and its version.
    pub library: (&'static str, &'static str),
    /// Settings that the environment decides, by the names of their variables.
    pub env_pinned: Vec<String>,
}

/// The settings as they are, without secrets.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ShownConfig {
    /// Settings by section and name.
    pub settings: Map<String, Value>,
    /// Secrets by the names of their variables: whether they are set.
    pub secrets: BTreeMap<&'static str, bool>,
    /// The file that changes are written to.
    pub path: String,
    /// Settings that are other ones after the next start, as `section.name`.
    pub waiting: Vec<String>,
}

/// What became of changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SavedConfig {
    /// Settings that are other ones after the next start, as `section.name`.
    pub waiting: Vec<String>,
    /// Changes that have no effect, because a variable of the environment wins.
    pub pinned: Vec<String>,
}

/// Why changes were not saved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigRefused {
    /// A setting that does not exist, or a value that it cannot have.
    #[error("{0}")]
    Wrong(String),
    /// The file could not be written.
    #[error("the file of changed settings cannot be written: {0}")]
    Unwritten(String),
}

/// The program around this API. It answers at once: what it reads and writes is one small file.
pub trait Installation: Send + Sync {
    /// What it is made of.
    fn facts(&self) -> InstallationFacts;
    /// The settings as they are.
    ///
    /// # Errors
    /// The file of changed settings cannot be read.
    fn config(&self) -> Result<ShownConfig, ConfigRefused>;
    /// Writes changes down for the next start, all of them or none. `null` takes an earlier change back.
    ///
    /// # Errors
    /// [`ConfigRefused`].
    fn save(&self, changes: &Map<String, Value>) -> Result<SavedConfig, ConfigRefused>;
    /// Ends the program in order, to start again with the settings that are then.
    fn restart(&self);
}
