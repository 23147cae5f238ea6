//! Plugins: code of the users, asked at hook points, in a process of its own.
//!
//! # The cast
//! - A [`Manifest`] says what a package is and what it may do; [`Permission`]s are all it gets.
//! - A [`Plugin`] is an installed package with what its operator wants: on or off, its configuration, its sessions.
//! - An [`Instance`] is one registered provider of a plugin's ingress, with a secret of its own.
//! - An [`IngressCall`] is one signed call of a provider, stored before it is answered.
//! - A [`Mapping`] ties a chat to a provider's conversation, and says who answers it.

pub mod breaker;
pub mod config;
pub mod ingress;
mod manifest;
mod reading;

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde_json::{Map, Value};

use crate::{
    hook::{HookPoint, OnFailure},
    ids::SessionId,
    time::Timestamp,
    webhook::Secret,
};

pub use manifest::{
    BODY_BYTES_DEFAULT, BODY_BYTES_MAX, BUDGET_DEFAULT, BUDGET_MAX, BUDGET_MIN, IngressRoute,
    MANIFEST_BYTES_MAX, Manifest, ManifestError, NetRules, OPENWA_VERSION, Permission, ROUTES_MAX,
    Signature, TOLERANCE_DEFAULT,
};

/// Longest id of a plugin, in characters.
pub const ID_CHARS_MAX: usize = 64;
/// Longest key of a plugin's storage, in bytes of UTF-8 (OpenWA's limit).
pub const KEY_BYTES_MAX: usize = 184;
/// What the values and keys of one plugin may take, in bytes (OpenWA's limit).
pub const STORAGE_BYTES_MAX: u64 = 50 << 20;
/// What the values and keys of one session of a plugin may take, in bytes.
pub const SESSION_STORAGE_BYTES_MAX: u64 = 5 << 20;
/// Largest single value of a plugin's storage, in bytes of JSON.
pub const VALUE_BYTES_MAX: usize = 1 << 20;
/// Largest package, compressed (OpenWA's limit).
pub const PACKAGE_BYTES_MAX: usize = 5 << 20;

/// The name of a plugin: `[a-z0-9][a-z0-9._-]*`, kept in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PluginId(String);

/// Not a plugin's id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a plugin's id has at most 64 letters, digits, dots, dashes and underscores, and begins with a letter or digit"
)]
pub struct BadPluginId;

impl PluginId {
    /// The text of it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PluginId {
    type Err = BadPluginId;

    fn from_str(text: &str) -> Result<Self, BadPluginId> {
        let first = text.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
        let rest = text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
        match first && rest && text.len() <= ID_CHARS_MAX {
            true => Ok(Self(text.to_ascii_lowercase())),
            false => Err(BadPluginId),
        }
    }
}

impl fmt::Display for PluginId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A handler that a plugin registered the last time it was enabled. It is kept, so that a send is not let through by a
/// redaction that has not come up yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookRegistration {
    /// Where it is asked.
    pub point: HookPoint,
    /// Lower ones are asked first; OpenWA's default is 100.
    pub priority: i32,
    /// What its failure means.
    pub on_failure: OnFailure,
}

/// An installed plugin.
#[derive(Debug, Clone, PartialEq)]
pub struct Plugin {
    /// The name in its manifest.
    pub id: PluginId,
    /// What the package says of itself.
    pub manifest: Manifest,
    /// What the operator wants; kept over restarts.
    pub enabled: bool,
    /// The configuration for all sessions. Its secrets are encrypted at rest.
    pub config: Map<String, Value>,
    /// What single sessions have instead, field by field.
    pub session_configs: BTreeMap<SessionId, Map<String, Value>>,
    /// The sessions it runs for; `None`: every one.
    pub sessions: Option<Vec<SessionId>>,
    /// Its handlers, as it registered them last.
    pub hooks: Vec<HookRegistration>,
    /// Why it does not run although it is wanted, if it does not.
    pub error: Option<String>,
    /// When the package was installed.
    pub installed_at: Timestamp,
    /// When anything of this was changed.
    pub updated_at: Timestamp,
    /// When it was enabled last.
    pub enabled_at: Option<Timestamp>,
    /// Grows with every change of any plugin of this ledger; given by the store.
    pub revision: u64,
}

impl Plugin {
    /// Whether its handlers are asked about a session. The manifest bounds it, the operator chooses within.
    pub fn runs_for(&self, session: SessionId) -> bool {
        self.manifest.may_see(session)
            && (!self.manifest.session_scoped
                || self.sessions.as_ref().is_none_or(|sessions| sessions.contains(&session)))
    }

    /// The configuration that is in force for a session: its own fields over those for all.
    pub fn config_for(&self, session: Option<SessionId>) -> Map<String, Value> {
        let mut config = self.config.clone();
        if let Some(own) = session.and_then(|session| self.session_configs.get(&session)) {
            config.extend(own.iter().map(|(name, value)| (name.clone(), value.clone())));
        }
        config
    }
}

/// One registered provider of a plugin's ingress.
#[derive(Debug, Clone, PartialEq)]
pub struct Instance {
    /// The plugin that handles its calls.
    pub plugin: PluginId,
    /// Its name within the plugin: `[a-zA-Z0-9_-]{1,64}`.
    pub id: String,
    /// The only session that it may act for; `None`: any that the plugin runs for.
    pub session: Option<SessionId>,
    /// What its calls are signed with.
    pub secret: Secret,
    /// What a provider's challenge has to name.
    pub verify_token: Option<Secret>,
    /// Its own settings, which the plugin's handler does not see in OpenWA either.
    pub config: Option<Map<String, Value>>,
    /// Calls of one that is not enabled are refused.
    pub enabled: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed.
    pub updated_at: Timestamp,
}

/// What became of a stored call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IngressState {
    /// Its turn comes at `due_at`.
    Waiting,
    /// The plugin handled it.
    Done,
    /// Its tries are used up; kept for redrive.
    Dead,
}

/// One call of a provider, stored before it is answered.
#[derive(Debug, Clone, PartialEq)]
pub struct IngressCall {
    /// Made by us; grows with the arrival.
    pub id: uuid::Uuid,
    /// For which plugin.
    pub plugin: PluginId,
    /// For which of its instances.
    pub instance: String,
    /// Which of the manifest's routes.
    pub route: String,
    /// The provider's name for it, which is the same when it is sent again; ours, if the provider gives none.
    pub delivery_id: String,
    /// SHA-256 of method, query and body, in hex: the same delivery id with another digest is not the same call.
    pub digest: String,
    /// Calls with the same key are handled one after another, in the order of their arrival.
    pub order_key: String,
    /// What the plugin's handler gets, without the ids above. Encrypted at rest.
    pub request: IngressRequest,
    /// What became of it.
    pub state: IngressState,
    /// Tries that failed.
    pub attempts: u32,
    /// When it is tried (again).
    pub due_at: Timestamp,
    /// Why the last try failed.
    pub error: Option<String>,
    /// When it came.
    pub received_at: Timestamp,
}

/// What a provider sent.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct IngressRequest {
    /// GET, POST, …
    pub method: String,
    /// Values by lower-case names.
    pub headers: BTreeMap<String, String>,
    /// The query, decoded; of a name that comes twice, the last.
    pub query: BTreeMap<String, String>,
    /// The exact bytes, as text.
    pub body: String,
    /// Whether a signature over it was checked.
    pub verified: bool,
}

/// What storing a call came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IngressStored {
    /// It is new.
    New,
    /// The provider sent it before.
    Again,
    /// The provider sent something else before under this delivery id; nothing was stored.
    OtherBody,
    /// So many calls of the instance wait that no more are taken.
    Full,
}

/// How one try of a stored call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IngressOutcome {
    /// The plugin handled it.
    Done,
    /// Failed; the next try is at this time.
    RetryAt(Timestamp, String),
    /// Failed for good.
    Dead(String),
}

/// Who answers a chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Handover {
    /// Plugins and automation.
    #[default]
    Bot,
    /// A person, at the provider.
    Human,
    /// Nobody: the conversation is over.
    Closed,
}

impl Handover {
    /// The word in the plugin's calls.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bot => "bot",
            Self::Human => "human",
            Self::Closed => "closed",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Bot, Self::Human, Self::Closed].into_iter().find(|state| state.as_str() == text)
    }
}

/// Which chat a mapping is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappingKey {
    /// Whose it is.
    pub plugin: PluginId,
    /// Of which of its instances.
    pub instance: String,
    /// The session of the chat.
    pub session: SessionId,
    /// The chat, as the plugin writes it.
    pub chat: String,
}

/// A chat and a provider's conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// The chat and whose mapping it is.
    pub key: MappingKey,
    /// The provider's name for the conversation.
    pub conversation: String,
    /// Who answers it.
    pub handover: Handover,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_checked_and_kept_in_lower_case() {
        assert_eq!("FAQ-Bot.2".parse::<PluginId>().unwrap().as_str(), "faq-bot.2");
        for bad in ["", "-a", ".a", "a/b", "a b", "ä", "..", &"a".repeat(65)] {
            assert_eq!(bad.parse::<PluginId>(), Err(BadPluginId), "{bad}");
        }
    }
}
