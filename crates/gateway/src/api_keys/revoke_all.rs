//! All keys but the caller's are switched off, in an emergency.

use std::sync::PoisonError;

use domain::{
    ApiKeyId,
    api_key::{ApiKey, KeyHash, KeyRefused},
};

use super::{ApiKeys, AuthError};

/// What was revoked, and what stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevokedKeys {
    /// Keys that were on and are off now.
    pub revoked: u64,
    /// The names of the keys that still open something: the caller's, then the one of the setting `API_MASTER_KEY`.
    pub kept: Vec<String>,
}

impl ApiKeys {
    /// Switches off every key but the caller's and the one that `API_MASTER_KEY` defines, and ends every login but the
    /// one with which the caller came, at once. Live readers of those keys and logins end as with a single revocation.
    ///
    /// # Errors
    /// [`AuthError::Refused`] when the caller's key was revoked meanwhile: nothing is done then.
    pub async fn revoke_all(
        &self,
        caller: &ApiKey,
        login: Option<&str>,
    ) -> Result<RevokedKeys, AuthError> {
        let _one_at_a_time = self.changing.lock().await;
        let master = match self.master() {
            Some(master) => self.store.api_key(master).await.map_err(AuthError::Store)?,
            None => None,
        };
        let master = master.filter(|key| key.active && key.id != caller.id);
        let kept = master.as_ref().map(|key| key.id);
        let login = login.map(KeyHash::of);
        let revoked = self.store.revoke_other_api_keys(caller.id, kept, login).await;
        // Also where it is not known whether it was done.
        self.changed.send_replace(());
        let revoked = revoked.map_err(AuthError::Store)?.ok_or(KeyRefused::Revoked)?;
        let kept = std::iter::once(caller.name.clone()).chain(master.map(|key| key.name));
        tracing::warn!(key.id = %caller.id, revoked, "all other API keys were revoked");
        Ok(RevokedKeys { revoked, kept: kept.collect() })
    }

    /// Notes which key `API_MASTER_KEY` is.
    pub(super) fn set_master(&self, id: ApiKeyId) {
        *self.master.lock().unwrap_or_else(PoisonError::into_inner) = Some(id);
    }

    fn master(&self) -> Option<ApiKeyId> {
        *self.master.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
