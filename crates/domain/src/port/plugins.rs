//! What the ledger keeps of plugins.

use async_trait::async_trait;

use super::StoreResult;
use crate::{
    SessionId, Timestamp,
    plugin::{
        Handover, HookRegistration, IngressCall, IngressOutcome, IngressStored, Instance, Mapping,
        MappingKey, Plugin, PluginId,
    },
};

/// How a change of a plugin's storage ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueStored {
    /// It is durable.
    Stored,
    /// It would have gone over the quota, of the session or of the plugin: nothing was changed.
    OverQuota,
}

/// A call that its caller has, until the claim ends.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimedIngress {
    /// What was claimed.
    pub call: IngressCall,
    /// The number of this claim of the call: grows with each, so that who has an earlier one records nothing.
    pub epoch: u64,
}

/// What an enabled plugin registered, read without the rest of its row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnabledPlugin {
    /// The plugin's name.
    pub id: PluginId,
    /// Its handlers; `None`: they cannot be read.
    pub hooks: Option<Vec<HookRegistration>>,
}

/// Plugins, their packages and their configuration.
#[async_trait]
pub trait PluginStore: Send + Sync {
    /// The enabled ones with their handlers, those too whose rows cannot be read otherwise.
    async fn enabled_plugins(&self) -> StoreResult<Vec<EnabledPlugin>>;

    /// All of them, by id.
    async fn plugins(&self) -> StoreResult<Vec<Plugin>>;

    /// One of them.
    async fn plugin(&self, id: &PluginId) -> StoreResult<Option<Plugin>>;

    /// The number of the last change of any plugin or instance; 0 before the first.
    async fn plugin_revision(&self) -> StoreResult<u64>;

    /// Stores a new plugin with its package. `None`: the id is taken. Otherwise its revision.
    async fn insert_plugin(&self, plugin: &Plugin, package: &[u8]) -> StoreResult<Option<u64>>;

    /// Replaces everything but the package, and the package too if one is given. `None`: it is gone, or its revision
    /// is not `plugin.revision` any more. Otherwise the new revision.
    async fn update_plugin(
        &self,
        plugin: &Plugin,
        package: Option<&[u8]>,
    ) -> StoreResult<Option<u64>>;

    /// The package of a plugin.
    async fn plugin_package(&self, id: &PluginId) -> StoreResult<Option<Vec<u8>>>;

    /// Removes it with everything filed under it. Whether it was there.
    async fn delete_plugin(&self, id: &PluginId) -> StoreResult<bool>;
}

/// What plugins remember. A key is the plugin's own, or one of a session of it, which goes with the session.
#[async_trait]
pub trait PluginValues: Send + Sync {
    /// The value of a key, as JSON text.
    async fn plugin_value(
        &self,
        plugin: &PluginId,
        session: Option<SessionId>,
        key: &str,
    ) -> StoreResult<Option<String>>;

    /// Sets it, within the quota: [`STORAGE_BYTES_MAX`](crate::plugin::STORAGE_BYTES_MAX) for keys and values of the
    /// whole plugin, [`SESSION_STORAGE_BYTES_MAX`](crate::plugin::SESSION_STORAGE_BYTES_MAX) for those of one
    /// session.
    async fn set_plugin_value(
        &self,
        plugin: &PluginId,
        session: Option<SessionId>,
        key: &str,
        value: &str,
    ) -> StoreResult<ValueStored>;

    /// Removes a key.
    async fn delete_plugin_value(
        &self,
        plugin: &PluginId,
        session: Option<SessionId>,
        key: &str,
    ) -> StoreResult<()>;

    /// The keys that begin with a prefix, in order, at most `limit`.
    async fn plugin_keys(
        &self,
        plugin: &PluginId,
        session: Option<SessionId>,
        prefix: &str,
        limit: u32,
    ) -> StoreResult<Vec<String>>;
}

/// Providers of plugins, and the calls they sent.
#[async_trait]
pub trait IngressStore: Send + Sync {
    /// The instances of a plugin, oldest first.
    async fn instances(&self, plugin: &PluginId) -> StoreResult<Vec<Instance>>;

    /// One of them.
    async fn instance(&self, plugin: &PluginId, id: &str) -> StoreResult<Option<Instance>>;

    /// Stores a new one. `false`: the plugin has one of that id.
    async fn insert_instance(&self, instance: &Instance) -> StoreResult<bool>;

    /// Replaces one. Whether it was there.
    async fn update_instance(&self, instance: &Instance) -> StoreResult<bool>;

    /// Removes one with its calls and mappings. Whether it was there.
    async fn delete_instance(&self, plugin: &PluginId, id: &str) -> StoreResult<bool>;

    /// Stores a call once per plugin, instance, route and delivery id; with `by_digest`, once per those and digest:
    /// the same delivery id with another digest is a new call then. At most `waiting_max` calls of an instance may
    /// wait.
    async fn store_ingress(
        &self,
        call: &IngressCall,
        by_digest: bool,
        waiting_max: u32,
    ) -> StoreResult<IngressStored>;

    /// Takes calls whose turn it is, for `until`: of each order key of an instance only the oldest that waits, and
    /// only if nobody has it, or one behind it. Instances that are not enabled wait, and those of plugins that are
    /// not. A call that cannot be read is dead from then on.
    async fn claim_ingress(
        &self,
        now: Timestamp,
        until: Timestamp,
        limit: u32,
    ) -> StoreResult<Vec<ClaimedIngress>>;

    /// When the next call is due or a claim ends, among what may be claimed then; none waits: `None`.
    async fn next_ingress(&self) -> StoreResult<Option<Timestamp>>;

    /// Records how the try of a claimed call ended; once, however often it is said. `false`: the claim ran out and
    /// somebody else has, or had, the call since, or it is gone; nothing was changed. What was sent is forgotten when
    /// it is done.
    async fn finish_ingress(
        &self,
        id: uuid::Uuid,
        epoch: u64,
        outcome: &IngressOutcome,
        now: Timestamp,
    ) -> StoreResult<bool>;

    /// Lets dead calls of an instance wait again with all their tries, oldest first, at most `limit`. How many, and
    /// how many are still dead.
    async fn redrive_ingress(
        &self,
        plugin: &PluginId,
        instance: &str,
        now: Timestamp,
        limit: u32,
    ) -> StoreResult<(u32, u32)>;

    /// Forgets calls that were done before a time, and dead ones from before another. How many.
    async fn forget_ingress(
        &self,
        done_before: Timestamp,
        dead_before: Timestamp,
        limit: u32,
    ) -> StoreResult<u32>;

    /// The mapping of a chat.
    async fn mapping(&self, key: &MappingKey) -> StoreResult<Option<Mapping>>;

    /// The newest mapping of a provider's conversation.
    async fn mapping_of_conversation(
        &self,
        plugin: &PluginId,
        instance: &str,
        conversation: &str,
    ) -> StoreResult<Option<Mapping>>;

    /// Ties a chat to a conversation; who answers it stays as it was.
    async fn set_mapping(
        &self,
        key: &MappingKey,
        conversation: &str,
        now: Timestamp,
    ) -> StoreResult<()>;

    /// Says who answers a chat. `false`: it has no mapping.
    async fn set_handover(
        &self,
        key: &MappingKey,
        state: Handover,
        now: Timestamp,
    ) -> StoreResult<bool>;
}
