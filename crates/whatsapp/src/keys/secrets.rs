//! Per-message secrets, for votes, edits and reactions that refer to a message.

use std::collections::HashMap;

use async_trait::async_trait;
use whatsapp_rust::{
    store::error::StoreError,
    traits::{
        MsgSecretEntry, MsgSecretStore, merge_msg_secret_expiry, merge_msg_secret_message_ts,
    },
};

use super::{LedgerBackend, StoreOutcome, join, namespace as ns, put_until};

/// Bytes of a secret; the message's time follows as a little-endian i64.
const SECRET: usize = 32;

/// What a row says besides its name.
#[derive(Clone, Copy)]
struct SecretRow {
    secret: [u8; SECRET],
    message_ts: i64,
    expires_at: i64,
}

impl SecretRow {
    fn read(value: &[u8], expires_at: i64) -> StoreOutcome<Self> {
        let damaged = || StoreError::Validation("a message secret has the wrong length".into());
        let (secret, time) = value.split_first_chunk::<SECRET>().ok_or_else(damaged)?;
        let time = <[u8; 8]>::try_from(time).map_err(|_| damaged())?;
        Ok(Self { secret: *secret, message_ts: i64::from_le_bytes(time), expires_at })
    }

    fn bytes(&self) -> Vec<u8> {
        [&self.secret[..], &self.message_ts.to_le_bytes()].concat()
    }

    /// A later write of the same message replaces the secret and never shortens its life.
    fn merged(self, entry: &MsgSecretEntry) -> Self {
        Self {
            secret: entry.secret,
            message_ts: merge_msg_secret_message_ts(self.message_ts, entry.message_ts),
            expires_at: merge_msg_secret_expiry(self.expires_at, entry.expires_at),
        }
    }
}

impl LedgerBackend {
    async fn secret(&self, name: &str) -> StoreOutcome<Option<SecretRow>> {
        let entry = self.entry(ns::MSG_SECRET, name).await?;
        entry.map(|entry| SecretRow::read(&entry.value, entry.expires_at)).transpose()
    }
}

#[async_trait]
impl MsgSecretStore for LedgerBackend {
    async fn put_msg_secrets(&self, entries: Vec<MsgSecretEntry>) -> StoreOutcome<usize> {
        let _exclusive = self.exclusive().await;
        let mut rows: HashMap<String, SecretRow> = HashMap::with_capacity(entries.len());
        for entry in &entries {
            let name = join(&[&entry.chat, &entry.sender, &entry.msg_id]);
            let known = match rows.get(&name) {
                Some(row) => Some(*row),
                None => self.secret(&name).await?,
            };
            let fresh = SecretRow {
                secret: entry.secret,
                message_ts: entry.message_ts,
                expires_at: entry.expires_at,
            };
            rows.insert(name, known.map_or(fresh, |row| row.merged(entry)));
        }
        let changes = rows
            .into_iter()
            .map(|(name, row)| put_until(ns::MSG_SECRET, name, row.bytes(), row.expires_at));
        self.apply(changes.collect()).await?;
        Ok(entries.len())
    }

    async fn get_msg_secret(
        &self,
        chat: &str,
        sender: &str,
        msg_id: &str,
    ) -> StoreOutcome<Option<Vec<u8>>> {
        let found = self.get_msg_secret_with_ts(chat, sender, msg_id).await?;
        Ok(found.map(|(secret, _)| secret))
    }

    async fn get_msg_secret_with_ts(
        &self,
        chat: &str,
        sender: &str,
        msg_id: &str,
    ) -> StoreOutcome<Option<(Vec<u8>, i64)>> {
        let row = self.secret(&join(&[chat, sender, msg_id])).await?;
        Ok(row.map(|row| (row.secret.to_vec(), row.message_ts)))
    }

    async fn delete_expired_msg_secrets(&self, cutoff_timestamp: i64) -> StoreOutcome<u32> {
        self.delete_expired(ns::MSG_SECRET, cutoff_timestamp).await
    }
}
