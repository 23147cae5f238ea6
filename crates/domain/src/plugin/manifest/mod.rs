//! What a package says of itself, in OpenWA's words; two fields are ours: `onFailure` and `budgetMs`.

mod ingress;
mod net;
mod read;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::Value;

use super::{PluginId, config::ConfigSchema};
use crate::{
    hook::{HookPoint, OnFailure},
    ids::SessionId,
};

pub use ingress::{
    BODY_BYTES_DEFAULT, BODY_BYTES_MAX, IngressRoute, ROUTES_MAX, Signature, TOLERANCE_DEFAULT,
};
pub use net::NetRules;
pub(in crate::plugin) use net::spelled;

/// The version of OpenWA that Waypost stands in for: a manifest that needs a newer one is refused.
pub const OPENWA_VERSION: [u32; 3] = [0, 32, 0];
/// Largest manifest, in bytes of JSON.
pub const MANIFEST_BYTES_MAX: usize = 256 << 10;
/// How long the plugin's own code may run in one call, unless its manifest says otherwise.
pub const BUDGET_DEFAULT: Duration = Duration::from_millis(250);
/// The shortest budget that a manifest may ask for.
pub const BUDGET_MIN: Duration = Duration::from_millis(10);
/// The longest budget that a manifest may ask for.
pub const BUDGET_MAX: Duration = Duration::from_secs(5);

/// What a plugin may do, beyond computing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Permission {
    /// Sends: `messages.sendText`, `messages.reply`.
    MessagesSend,
    /// `engine.*`: reads of people, chats and messages.
    EngineRead,
    /// `net.fetch`, to the hosts of [`NetRules`].
    NetFetch,
    /// `conversations.send`, `handover.set`, `mappings.*`.
    ConversationSend,
    /// `registerWebhook`, and the `ingress` of the manifest.
    WebhookIngress,
    /// What it remembers: `storage.*`.
    StorageUse,
    /// `registerSearchProvider`, which Waypost does not have: accepted, without effect.
    SearchProvide,
}

impl Permission {
    /// Every permission that there is.
    pub const ALL: &[Self] = &[
        Self::MessagesSend,
        Self::EngineRead,
        Self::NetFetch,
        Self::ConversationSend,
        Self::WebhookIngress,
        Self::StorageUse,
        Self::SearchProvide,
    ];

    /// The word in manifests.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MessagesSend => "messages:send",
            Self::EngineRead => "engine:read",
            Self::NetFetch => "net:fetch",
            Self::ConversationSend => "conversation:send",
            Self::WebhookIngress => "webhook:ingress",
            Self::StorageUse => "storage:use",
            Self::SearchProvide => "search:provide",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|permission| permission.as_str() == text)
    }

    /// What a plugin needs to ask for `storage.get` and the like; `None`: there is no such thing to ask for.
    pub fn needed_for(capability: &str) -> Option<Self> {
        let (part, _) = capability.split_once('.')?;
        match part {
            "storage" => Some(Self::StorageUse),
            "messages" => Some(Self::MessagesSend),
            "engine" => Some(Self::EngineRead),
            "net" => Some(Self::NetFetch),
            "conversations" | "handover" | "mappings" => Some(Self::ConversationSend),
            _ => None,
        }
    }
}

/// What a package says of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// The plugin's name.
    pub id: PluginId,
    /// What people call it.
    pub name: String,
    /// Its version, as it is written.
    pub version: String,
    /// The file that is run first.
    pub main: String,
    /// What it may do.
    pub permissions: BTreeSet<Permission>,
    /// The sessions it may see; `None`: every one (`*`).
    pub sessions: Option<Vec<SessionId>>,
    /// It runs for the sessions that the operator chooses, with a configuration of their own; otherwise always.
    pub session_scoped: bool,
    /// Where `net.fetch` may go.
    pub net: NetRules,
    /// The routes that providers call.
    pub ingress: Vec<IngressRoute>,
    /// The fields of its configuration.
    pub config_schema: Option<ConfigSchema>,
    /// The file of its own configuration page.
    pub config_ui: Option<String>,
    /// What a failure means, by hook point; `*` in the manifest is every point.
    pub on_failure: BTreeMap<HookPoint, OnFailure>,
    /// How long its code may run in one call.
    pub budget: Duration,
    /// The whole manifest as it was written, with what only people read.
    pub raw: Value,
}

/// Why a manifest is refused, in a sentence for its author.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("manifest.json: {0}")]
pub struct ManifestError(pub String);

impl Manifest {
    /// Whether the manifest lets it see a session.
    pub fn may_see(&self, session: SessionId) -> bool {
        self.sessions.as_ref().is_none_or(|sessions| sessions.contains(&session))
    }

    /// Whether it may do something.
    pub fn may(&self, permission: Permission) -> bool {
        self.permissions.contains(&permission)
    }

    /// Whether it may ask for `storage.get` and the like.
    ///
    /// # Errors
    /// A sentence for its author.
    pub fn allows(&self, capability: &str) -> Result<(), String> {
        let needed = Permission::needed_for(capability);
        let needed = needed.ok_or_else(|| format!("there is no {capability}"))?;
        match self.may(needed) {
            true => Ok(()),
            false => Err(format!("the manifest does not have the permission {}", needed.as_str())),
        }
    }

    /// What the failure of a handler means, if the handler itself does not say.
    pub fn on_failure(&self, point: HookPoint) -> OnFailure {
        self.on_failure.get(&point).copied().unwrap_or_default()
    }

    /// The fields of its configuration; without a schema, any.
    pub fn schema(&self) -> &ConfigSchema {
        self.config_schema.as_ref().unwrap_or(&ConfigSchema::FREE)
    }

    /// What it is for, in its author's words.
    pub fn description(&self) -> Option<&str> {
        self.raw["description"].as_str()
    }

    /// Who wrote it: a text, or the name in an object.
    pub fn author(&self) -> Option<&str> {
        let author = &self.raw["author"];
        author.as_str().or_else(|| author["name"].as_str())
    }

    /// Tags that its author gave it.
    pub fn provides(&self) -> Vec<String> {
        let tags = self.raw["provides"].as_array().into_iter().flatten();
        tags.filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// Reads a manifest. Fields that are not known are left alone.
    ///
    /// # Errors
    /// What its author has to change.
    pub fn read(raw: &Value) -> Result<Self, ManifestError> {
        read::manifest(raw)
    }
}

#[cfg(test)]
mod tests;
