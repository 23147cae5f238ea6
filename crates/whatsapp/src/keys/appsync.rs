//! App state: its keys, the version of each collection, and the MACs of its entries.

use std::collections::HashMap;

use async_trait::async_trait;
use whatsapp_rust::{
    traits::{AppStateSyncKey, AppSyncStore},
    wacore::appstate::{hash::HashState, processor::AppStateMutationMAC},
};

use super::{
    LedgerBackend, SEPARATOR, StoreOutcome, delete, hexed, join, namespace as ns, put, put_json,
};

/// There is one latest key per device.
pub(super) const LATEST: &str = "latest";

fn mac_name(collection: &str, index_mac: &[u8]) -> String {
    join(&[collection, &hexed(index_mac)])
}

impl LedgerBackend {
    /// Every key of the app state with its id, old ones too.
    pub(crate) async fn sync_keys(&self) -> StoreOutcome<Vec<(Vec<u8>, Vec<u8>)>> {
        let entries = self.list(ns::APPSTATE_KEY, "").await?;
        let mut keys = Vec::with_capacity(entries.len());
        for entry in entries {
            let key: AppStateSyncKey = super::from_json(&entry.value)?;
            keys.push((unhexed(&entry.key), key.key_data));
        }
        Ok(keys)
    }
}

/// The bytes of a name that [`hexed`] made.
fn unhexed(text: &str) -> Vec<u8> {
    let byte = |at| text.get(at..at + 2).and_then(|two| u8::from_str_radix(two, 16).ok());
    (0..text.len()).step_by(2).filter_map(byte).collect()
}

#[async_trait]
impl AppSyncStore for LedgerBackend {
    async fn get_sync_key(&self, key_id: &[u8]) -> StoreOutcome<Option<AppStateSyncKey>> {
        self.json(ns::APPSTATE_KEY, &hexed(key_id)).await
    }

    async fn set_sync_key(&self, key_id: &[u8], key: AppStateSyncKey) -> StoreOutcome<()> {
        self.apply(vec![
            put_json(ns::APPSTATE_KEY, hexed(key_id), &key)?,
            put(ns::APPSTATE_LATEST, LATEST, key_id),
        ])
        .await
    }

    async fn get_version(&self, name: &str) -> StoreOutcome<HashState> {
        Ok(self.json(ns::APPSTATE_VERSION, name).await?.unwrap_or_default())
    }

    async fn set_version(&self, name: &str, state: HashState) -> StoreOutcome<()> {
        self.apply(vec![put_json(ns::APPSTATE_VERSION, name, &state)?]).await
    }

    async fn put_mutation_macs(
        &self,
        name: &str,
        _version: u64,
        mutations: &[AppStateMutationMAC],
    ) -> StoreOutcome<()> {
        let changes = mutations.iter().map(|mutation| {
            put(
                ns::APPSTATE_MAC,
                mac_name(name, &mutation.index_mac),
                mutation.value_mac.as_slice(),
            )
        });
        self.apply(changes.collect()).await
    }

    async fn get_mutation_mac(
        &self,
        name: &str,
        index_mac: &[u8],
    ) -> StoreOutcome<Option<Vec<u8>>> {
        self.bytes(ns::APPSTATE_MAC, &mac_name(name, index_mac)).await
    }

    async fn get_mutation_macs(
        &self,
        name: &str,
        index_macs: &[[u8; 32]],
    ) -> StoreOutcome<HashMap<[u8; 32], Vec<u8>>> {
        let mut found = HashMap::with_capacity(index_macs.len());
        for index_mac in index_macs {
            if let Some(mac) = self.get_mutation_mac(name, index_mac).await? {
                found.insert(*index_mac, mac);
            }
        }
        Ok(found)
    }

    async fn delete_mutation_macs(&self, name: &str, index_macs: &[Vec<u8>]) -> StoreOutcome<()> {
        let changes = index_macs.iter().map(|mac| delete(ns::APPSTATE_MAC, mac_name(name, mac)));
        self.apply(changes.collect()).await
    }

    async fn clear_mutation_macs(&self, name: &str) -> StoreOutcome<()> {
        let _exclusive = self.exclusive().await;
        let entries = self.list(ns::APPSTATE_MAC, &format!("{name}{SEPARATOR}")).await?;
        self.apply(entries.into_iter().map(|entry| delete(ns::APPSTATE_MAC, entry.key)).collect())
            .await
    }

    async fn get_latest_sync_key_id(&self) -> StoreOutcome<Option<Vec<u8>>> {
        self.bytes(ns::APPSTATE_LATEST, LATEST).await
    }
}
