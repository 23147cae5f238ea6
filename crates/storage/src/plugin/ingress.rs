//! The port of providers and their calls; what each call does is in the file of its table.

use async_trait::async_trait;
use domain::{
    Timestamp,
    plugin::{
        Handover, IngressCall, IngressOutcome, IngressStored, Instance, Mapping, MappingKey,
        PluginId,
    },
    port::{ClaimedIngress, IngressStore, StoreResult},
};
use uuid::Uuid;

use crate::open::LedgerStore;

#[async_trait]
impl IngressStore for LedgerStore {
    async fn instances(&self, plugin: &PluginId) -> StoreResult<Vec<Instance>> {
        self.instances_of(plugin).await
    }

    async fn instance(&self, plugin: &PluginId, id: &str) -> StoreResult<Option<Instance>> {
        self.one_instance(plugin, id).await
    }

    async fn insert_instance(&self, instance: &Instance) -> StoreResult<bool> {
        self.add_instance(instance).await
    }

    async fn update_instance(&self, instance: &Instance) -> StoreResult<bool> {
        self.replace_instance(instance).await
    }

    async fn delete_instance(&self, plugin: &PluginId, id: &str) -> StoreResult<bool> {
        self.remove_instance(plugin, id).await
    }

    async fn store_ingress(
        &self,
        call: &IngressCall,
        by_digest: bool,
        waiting_max: u32,
    ) -> StoreResult<IngressStored> {
        self.store_call(call, by_digest, waiting_max).await
    }

    async fn claim_ingress(
        &self,
        now: Timestamp,
        until: Timestamp,
        limit: u32,
    ) -> StoreResult<Vec<ClaimedIngress>> {
        self.claim_calls(now, until, limit).await
    }

    async fn next_ingress(&self) -> StoreResult<Option<Timestamp>> {
        self.next_call().await
    }

    async fn finish_ingress(
        &self,
        id: Uuid,
        epoch: u64,
        outcome: &IngressOutcome,
        now: Timestamp,
    ) -> StoreResult<bool> {
        self.finish_call((id, epoch), outcome, now).await
    }

    async fn redrive_ingress(
        &self,
        plugin: &PluginId,
        instance: &str,
        now: Timestamp,
        limit: u32,
    ) -> StoreResult<(u32, u32)> {
        self.redrive_calls(plugin, instance, now, limit).await
    }

    async fn forget_ingress(
        &self,
        done_before: Timestamp,
        dead_before: Timestamp,
        limit: u32,
    ) -> StoreResult<u32> {
        self.forget_calls(done_before, dead_before, limit).await
    }

    async fn mapping(&self, key: &MappingKey) -> StoreResult<Option<Mapping>> {
        self.mapping_of_chat(key).await
    }

    async fn mapping_of_conversation(
        &self,
        plugin: &PluginId,
        instance: &str,
        conversation: &str,
    ) -> StoreResult<Option<Mapping>> {
        self.newest_mapping(plugin, instance, conversation).await
    }

    async fn set_mapping(
        &self,
        key: &MappingKey,
        conversation: &str,
        now: Timestamp,
    ) -> StoreResult<()> {
        self.tie_chat(key, conversation, now).await
    }

    async fn set_handover(
        &self,
        key: &MappingKey,
        state: Handover,
        now: Timestamp,
    ) -> StoreResult<bool> {
        self.hand_over(key, state, now).await
    }
}
