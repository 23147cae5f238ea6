//! Signal: identities, sessions, one-time and signed prekeys, sender keys.
//!
//! Whether a prekey was uploaded is not stored: the library keeps that as a watermark in the device
//! itself, and its reference store ignores the flag as well.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use domain::port::KeyChange;
use whatsapp_rust::{store::error::StoreError, traits::SignalStore};

use super::{LedgerBackend, StoreOutcome, delete, namespace as ns, number, put};

impl LedgerBackend {
    async fn load_numbered(
        &self,
        namespace: &'static str,
        id: u32,
    ) -> StoreOutcome<Option<Vec<u8>>> {
        self.kept(namespace, &number(id)).await
    }

    async fn knows_user(&self, namespace: &'static str, user: &str) -> StoreOutcome<bool> {
        let entries = self.kept_list(namespace, user).await?;
        Ok(entries.iter().any(|entry| {
            entry.key.strip_prefix(user).is_some_and(|rest| rest.starts_with(['@', ':']))
        }))
    }
}

fn puts<T: AsRef<[u8]>>(namespace: &'static str, entries: &[(Arc<str>, T)]) -> Vec<KeyChange> {
    entries.iter().map(|(address, value)| put(namespace, &**address, value.as_ref())).collect()
}

#[async_trait]
impl SignalStore for LedgerBackend {
    async fn put_identity(&self, address: &str, key: [u8; 32]) -> StoreOutcome<()> {
        self.keep(vec![put(ns::IDENTITY, address, key)]).await
    }

    async fn put_identities_batch(&self, identities: &[(Arc<str>, [u8; 32])]) -> StoreOutcome<()> {
        self.keep(puts(ns::IDENTITY, identities)).await
    }

    async fn load_identity(&self, address: &str) -> StoreOutcome<Option<[u8; 32]>> {
        let Some(bytes) = self.kept(ns::IDENTITY, address).await? else { return Ok(None) };
        <[u8; 32]>::try_from(bytes.as_slice())
            .map(Some)
            .map_err(|_| StoreError::Validation("an identity key is not 32 bytes long".into()))
    }

    async fn delete_identity(&self, address: &str) -> StoreOutcome<()> {
        self.keep(vec![delete(ns::IDENTITY, address)]).await
    }

    async fn get_session(&self, address: &str) -> StoreOutcome<Option<Bytes>> {
        Ok(self.kept(ns::SESSION, address).await?.map(Bytes::from))
    }

    async fn put_session(&self, address: &str, session: &[u8]) -> StoreOutcome<()> {
        self.keep(vec![put(ns::SESSION, address, session)]).await
    }

    async fn put_sessions_batch(&self, sessions: &[(Arc<str>, Bytes)]) -> StoreOutcome<()> {
        self.keep(puts(ns::SESSION, sessions)).await
    }

    async fn delete_session(&self, address: &str) -> StoreOutcome<()> {
        self.keep(vec![delete(ns::SESSION, address)]).await
    }

    async fn has_signal_state_for_user(&self, user: &str) -> StoreOutcome<bool> {
        Ok(self.knows_user(ns::SESSION, user).await? || self.knows_user(ns::IDENTITY, user).await?)
    }

    async fn store_prekey(&self, id: u32, record: &[u8], _uploaded: bool) -> StoreOutcome<()> {
        self.apply(vec![put(ns::PREKEY, number(id), record)]).await
    }

    async fn store_prekeys_batch(
        &self,
        keys: &[(u32, Bytes)],
        _uploaded: bool,
    ) -> StoreOutcome<()> {
        let changes = keys.iter().map(|(id, record)| put(ns::PREKEY, number(*id), &record[..]));
        self.apply(changes.collect()).await
    }

    async fn load_prekey(&self, id: u32) -> StoreOutcome<Option<Bytes>> {
        Ok(self.load_numbered(ns::PREKEY, id).await?.map(Bytes::from))
    }

    async fn mark_prekeys_uploaded(&self, _ids: &[u32]) -> StoreOutcome<()> {
        Ok(())
    }

    async fn remove_prekey(&self, id: u32) -> StoreOutcome<()> {
        self.keep(vec![delete(ns::PREKEY, number(id))]).await
    }

    async fn get_max_prekey_id(&self) -> StoreOutcome<u32> {
        let entries = self.kept_list(ns::PREKEY, "").await?;
        Ok(entries.iter().filter_map(|entry| entry.key.parse().ok()).max().unwrap_or(0))
    }

    async fn store_signed_prekey(&self, id: u32, record: &[u8]) -> StoreOutcome<()> {
        self.apply(vec![put(ns::SIGNED_PREKEY, number(id), record)]).await
    }

    async fn load_signed_prekey(&self, id: u32) -> StoreOutcome<Option<Vec<u8>>> {
        self.load_numbered(ns::SIGNED_PREKEY, id).await
    }

    async fn load_all_signed_prekeys(&self) -> StoreOutcome<Vec<(u32, Vec<u8>)>> {
        let entries = self.list(ns::SIGNED_PREKEY, "").await?;
        Ok(entries
            .into_iter()
            .filter_map(|entry| Some((entry.key.parse().ok()?, entry.value)))
            .collect())
    }

    async fn remove_signed_prekey(&self, id: u32) -> StoreOutcome<()> {
        self.apply(vec![delete(ns::SIGNED_PREKEY, number(id))]).await
    }

    async fn put_sender_key(&self, address: &str, record: &[u8]) -> StoreOutcome<()> {
        self.keep(vec![put(ns::SENDER_KEY, address, record)]).await
    }

    async fn put_sender_keys_batch(&self, sender_keys: &[(Arc<str>, Bytes)]) -> StoreOutcome<()> {
        self.keep(puts(ns::SENDER_KEY, sender_keys)).await
    }

    async fn get_sender_key(&self, address: &str) -> StoreOutcome<Option<Vec<u8>>> {
        self.kept(ns::SENDER_KEY, address).await
    }

    async fn delete_sender_key(&self, address: &str) -> StoreOutcome<()> {
        self.keep(vec![delete(ns::SENDER_KEY, address)]).await
    }
}
