//! Everything else the protocol remembers: who has which sender key, LIDs and phone numbers, device
//! lists, groups, contact tokens, sent messages for retries, and messages that came in but are not
//! committed yet.

use async_trait::async_trait;
use domain::port::KeyChange;
use whatsapp_rust::{
    store::error::StoreError,
    traits::{
        DeviceListRecord, LidPnMappingEntry, PendingInboundKey, PendingInboundRow, ProtocolStore,
        TcTokenEntry,
    },
    wacore_binary::jid::observe_str,
};

use super::{
    LedgerBackend, SEPARATOR, StoreOutcome, delete, done_mark, engine_error, from_json,
    inserted_now, join, namespace as ns, put, put_json, put_until,
};
use crate::reading;

const HAS_KEY: &[u8] = &[1];
const NEEDS_KEY: &[u8] = &[0];

/// Both directions of a mapping: the entry by LID, and the LID by phone number.
fn mapping(entry: &LidPnMappingEntry) -> StoreOutcome<[KeyChange; 2]> {
    Ok([
        put_json(ns::LID, entry.lid.as_str(), entry)?,
        put(ns::PHONE, entry.phone_number.as_str(), entry.lid.as_bytes()),
    ])
}

impl LedgerBackend {
    /// A LID that moved to another number must not be found under the old one.
    async fn mapping_changes(&self, entries: &[LidPnMappingEntry]) -> StoreOutcome<Vec<KeyChange>> {
        let mut changes = Vec::with_capacity(entries.len() * 2);
        for entry in entries {
            if let Some(old) = self.json::<LidPnMappingEntry>(ns::LID, &entry.lid).await?
                && old.phone_number != entry.phone_number
            {
                changes.push(delete(ns::PHONE, old.phone_number));
            }
            changes.extend(mapping(entry)?);
        }
        Ok(changes)
    }

    async fn delete_listed(&self, namespace: &'static str, prefix: &str) -> StoreOutcome<()> {
        let _exclusive = self.exclusive().await;
        let entries = self.list(namespace, prefix).await?;
        self.apply(entries.into_iter().map(|entry| delete(namespace, entry.key)).collect()).await
    }

    /// Changes a contact token under the mutex: the notification writer and the issuing side own
    /// different fields of one row.
    async fn change_token(
        &self,
        jid: &str,
        change: impl FnOnce(Option<TcTokenEntry>) -> Option<TcTokenEntry> + Send,
    ) -> StoreOutcome<()> {
        let _exclusive = self.exclusive().await;
        match change(self.json(ns::TC_TOKEN, jid).await?) {
            Some(entry) => self.apply(vec![put_json(ns::TC_TOKEN, jid, &entry)?]).await,
            None => Ok(()),
        }
    }
}

impl LedgerBackend {
    /// Whether a message that was read before, and is not buffered, is in the ledger or left its mark.
    async fn is_known(&self, chat: &str, sender: &str, id: &str) -> StoreOutcome<bool> {
        for name in [join(&[chat, id]), id.to_owned()] {
            if self.kept(ns::DONE_INBOUND, &name).await?.is_some() {
                return Ok(true);
            }
        }
        let Some(duplicates) = self.duplicates.get() else { return Ok(true) };
        let known = duplicates.knows(id).await.map_err(engine_error)?;
        if !known {
            duplicates.lost(chat, sender, id);
        }
        Ok(known)
    }
}

#[async_trait]
impl ProtocolStore for LedgerBackend {
    async fn get_sender_key_devices(&self, group_jid: &str) -> StoreOutcome<Vec<(String, bool)>> {
        let prefix = format!("{group_jid}{SEPARATOR}");
        let entries = self.list(ns::SENDER_KEY_DEVICE, &prefix).await?;
        Ok(entries
            .into_iter()
            .filter_map(|entry| {
                let device = entry.key.strip_prefix(&prefix)?;
                Some((device.to_owned(), entry.value == HAS_KEY))
            })
            .collect())
    }

    async fn set_sender_key_status(
        &self,
        group_jid: &str,
        entries: &[(&str, bool)],
    ) -> StoreOutcome<()> {
        let changes = entries.iter().map(|(device, has_key)| {
            let value = if *has_key { HAS_KEY } else { NEEDS_KEY };
            put(ns::SENDER_KEY_DEVICE, join(&[group_jid, device]), value)
        });
        self.apply(changes.collect()).await
    }

    async fn clear_sender_key_devices(&self, group_jid: &str) -> StoreOutcome<()> {
        self.delete_listed(ns::SENDER_KEY_DEVICE, &format!("{group_jid}{SEPARATOR}")).await
    }

    async fn delete_sender_key_device_rows(&self, device_jids: &[&str]) -> StoreOutcome<()> {
        if device_jids.is_empty() {
            return Ok(());
        }
        let _exclusive = self.exclusive().await;
        let entries = self.list(ns::SENDER_KEY_DEVICE, "").await?;
        let gone = entries.into_iter().filter(|entry| {
            entry.key.split_once(SEPARATOR).is_some_and(|(_, device)| device_jids.contains(&device))
        });
        self.apply(gone.map(|entry| delete(ns::SENDER_KEY_DEVICE, entry.key)).collect()).await
    }

    async fn clear_all_sender_key_devices(&self) -> StoreOutcome<()> {
        self.delete_listed(ns::SENDER_KEY_DEVICE, "").await
    }

    async fn get_lid_mapping(&self, lid: &str) -> StoreOutcome<Option<LidPnMappingEntry>> {
        self.json(ns::LID, lid).await
    }

    async fn get_pn_mapping(&self, phone: &str) -> StoreOutcome<Option<LidPnMappingEntry>> {
        let Some(lid) = self.bytes(ns::PHONE, phone).await? else { return Ok(None) };
        self.json(ns::LID, &String::from_utf8_lossy(&lid)).await
    }

    async fn put_lid_mapping(&self, entry: &LidPnMappingEntry) -> StoreOutcome<()> {
        self.put_lid_mappings(std::slice::from_ref(entry)).await
    }

    async fn put_lid_mappings(&self, entries: &[LidPnMappingEntry]) -> StoreOutcome<()> {
        let _exclusive = self.exclusive().await;
        let changes = self.mapping_changes(entries).await?;
        self.apply(changes).await?;
        self.pairs.note(entries);
        Ok(())
    }

    async fn get_all_lid_mappings(&self) -> StoreOutcome<Vec<LidPnMappingEntry>> {
        let entries = self.list(ns::LID, "").await?;
        entries.iter().map(|entry| from_json(&entry.value)).collect()
    }

    async fn save_base_key(
        &self,
        address: &str,
        message_id: &str,
        base_key: &[u8],
    ) -> StoreOutcome<()> {
        self.apply(vec![put(ns::BASE_KEY, join(&[address, message_id]), base_key)]).await
    }

    async fn has_same_base_key(
        &self,
        address: &str,
        message_id: &str,
        current_base_key: &[u8],
    ) -> StoreOutcome<bool> {
        let stored = self.bytes(ns::BASE_KEY, &join(&[address, message_id])).await?;
        Ok(stored.is_some_and(|stored| stored == current_base_key))
    }

    async fn delete_base_key(&self, address: &str, message_id: &str) -> StoreOutcome<()> {
        self.apply(vec![delete(ns::BASE_KEY, join(&[address, message_id]))]).await
    }

    async fn update_device_list(&self, record: DeviceListRecord) -> StoreOutcome<()> {
        self.update_device_lists(vec![record]).await
    }

    async fn update_device_lists(&self, records: Vec<DeviceListRecord>) -> StoreOutcome<()> {
        let changes =
            records.iter().map(|record| put_json(ns::DEVICE_LIST, record.user.as_str(), record));
        self.apply(changes.collect::<StoreOutcome<_>>()?).await
    }

    async fn get_devices(&self, user: &str) -> StoreOutcome<Option<DeviceListRecord>> {
        self.json(ns::DEVICE_LIST, user).await
    }

    async fn delete_devices(&self, user: &str) -> StoreOutcome<()> {
        self.apply(vec![delete(ns::DEVICE_LIST, user)]).await
    }

    async fn get_group_metadata(&self, group_jid: &str) -> StoreOutcome<Option<Vec<u8>>> {
        self.bytes(ns::GROUP, group_jid).await
    }

    async fn put_group_metadata(&self, group_jid: &str, blob: &[u8]) -> StoreOutcome<()> {
        self.apply(vec![put(ns::GROUP, group_jid, blob)]).await
    }

    async fn delete_group_metadata(&self, group_jid: &str) -> StoreOutcome<()> {
        self.apply(vec![delete(ns::GROUP, group_jid)]).await
    }

    async fn get_tc_token(&self, jid: &str) -> StoreOutcome<Option<TcTokenEntry>> {
        self.json(ns::TC_TOKEN, jid).await
    }

    async fn put_tc_token(&self, jid: &str, entry: &TcTokenEntry) -> StoreOutcome<()> {
        let entry = entry.clone();
        self.change_token(jid, move |_| Some(entry)).await
    }

    async fn delete_tc_token(&self, jid: &str) -> StoreOutcome<()> {
        let _exclusive = self.exclusive().await;
        self.apply(vec![delete(ns::TC_TOKEN, jid)]).await
    }

    async fn get_all_tc_token_jids(&self) -> StoreOutcome<Vec<String>> {
        Ok(self.list(ns::TC_TOKEN, "").await?.into_iter().map(|entry| entry.key).collect())
    }

    async fn delete_expired_tc_tokens(
        &self,
        token_cutoff: i64,
        sender_cutoff: i64,
    ) -> StoreOutcome<u32> {
        let _exclusive = self.exclusive().await;
        let mut changes = Vec::new();
        for entry in self.list(ns::TC_TOKEN, "").await? {
            let token: TcTokenEntry = from_json(&entry.value)?;
            let token_lives = !token.token.is_empty() && token.token_timestamp >= token_cutoff;
            let sender_lives = token.sender_timestamp.is_some_and(|time| time >= sender_cutoff);
            if !token_lives && !sender_lives {
                changes.push(delete(ns::TC_TOKEN, entry.key));
            }
        }
        let deleted = u32::try_from(changes.len()).unwrap_or(u32::MAX);
        self.apply(changes).await?;
        Ok(deleted)
    }

    async fn touch_tc_token_sender_timestamp(
        &self,
        jid: &str,
        sender_timestamp: i64,
    ) -> StoreOutcome<()> {
        self.change_token(jid, move |known| {
            let mut entry = known.unwrap_or(TcTokenEntry {
                token: Vec::new(),
                token_timestamp: sender_timestamp,
                sender_timestamp: None,
            });
            entry.sender_timestamp = entry.sender_timestamp.max(Some(sender_timestamp));
            Some(entry)
        })
        .await
    }

    async fn store_received_tc_token(
        &self,
        jid: &str,
        token: &[u8],
        token_timestamp: i64,
    ) -> StoreOutcome<()> {
        let token = token.to_vec();
        self.change_token(jid, move |known| {
            let newer = known.as_ref().is_none_or(|known| {
                known.token.is_empty() || token_timestamp >= known.token_timestamp
            });
            let sender_timestamp = known.and_then(|known| known.sender_timestamp);
            newer.then_some(TcTokenEntry { token, token_timestamp, sender_timestamp })
        })
        .await
    }

    async fn store_sent_message(
        &self,
        chat_jid: &str,
        message_id: &str,
        payload: &[u8],
    ) -> StoreOutcome<()> {
        let name = join(&[chat_jid, message_id]);
        self.apply(vec![put_until(ns::SENT, name, payload, inserted_now())]).await
    }

    async fn take_sent_message(
        &self,
        chat_jid: &str,
        message_id: &str,
    ) -> StoreOutcome<Option<Vec<u8>>> {
        let _exclusive = self.exclusive().await;
        let name = join(&[chat_jid, message_id]);
        let payload = self.bytes(ns::SENT, &name).await?;
        if payload.is_some() {
            self.apply(vec![delete(ns::SENT, name)]).await?;
        }
        Ok(payload)
    }

    async fn delete_expired_sent_messages(&self, cutoff_timestamp: i64) -> StoreOutcome<u32> {
        self.delete_expired(ns::SENT, cutoff_timestamp).await
    }

    async fn store_pending_inbound(
        &self,
        chat: &str,
        sender: &str,
        id: &str,
        message: &[u8],
    ) -> StoreOutcome<()> {
        self.store_pending_inbound_batch(&[PendingInboundRow { chat, sender, id, message }]).await
    }

    async fn get_pending_inbound(
        &self,
        chat: &str,
        sender: &str,
        id: &str,
    ) -> StoreOutcome<Option<Vec<u8>>> {
        let row = self.bytes(ns::PENDING_INBOUND, &join(&[chat, sender, id])).await?;
        if row.is_none() && !self.is_known(chat, sender, id).await? {
            // An error keeps the library from acknowledging it.
            return Err(StoreError::Validation("a duplicate that nobody knows".into()));
        }
        Ok(row)
    }

    async fn delete_pending_inbound(&self, chat: &str, sender: &str, id: &str) -> StoreOutcome<()> {
        self.delete_pending_inbound_batch(&[PendingInboundKey { chat, sender, id }]).await
    }

    async fn delete_expired_pending_inbound(&self, cutoff_timestamp: i64) -> StoreOutcome<u32> {
        self.delete_expired(ns::DONE_INBOUND, cutoff_timestamp).await?;
        self.delete_expired(ns::PENDING_INBOUND, cutoff_timestamp).await
    }

    async fn store_pending_inbound_batch(
        &self,
        rows: &[PendingInboundRow<'_>],
    ) -> StoreOutcome<()> {
        let expires_at = inserted_now();
        let changes = rows.iter().map(|row| {
            let name = join(&[row.chat, row.sender, row.id]);
            put_until(ns::PENDING_INBOUND, name, row.message, expires_at)
        });
        let names: Vec<_> =
            rows.iter().map(|row| (observe_str(row.chat), row.id.to_owned())).collect();
        let about = self.order.of_rows(&names, reading::current());
        if !self.hold_rows.is_zero() {
            tokio::time::sleep(self.hold_rows).await;
        }
        match self.apply(changes.collect()).await {
            Ok(()) => {
                self.order.stored(&about);
                Ok(())
            }
            Err(error) => {
                tracing::warn!(%error, "a received message could not be buffered; the connection ends");
                self.give_up();
                Err(error)
            }
        }
    }

    async fn delete_pending_inbound_batch(
        &self,
        keys: &[PendingInboundKey<'_>],
    ) -> StoreOutcome<()> {
        let mut changes = Vec::with_capacity(keys.len());
        for key in keys {
            changes.push(delete(ns::PENDING_INBOUND, join(&[key.chat, key.sender, key.id])));
            if self.done.take(key.chat, key.id) {
                changes.push(done_mark(join(&[key.chat, key.id])));
            }
        }
        self.apply(changes).await
    }
}
