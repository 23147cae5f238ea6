//! What let a caller in that asks for longer than a moment: whether it still does.

use domain::api_key::{ApiKey, KeyHash};

use crate::AppState;

/// The key of a caller, as it was when the caller came, and the login that showed it.
pub struct Pass {
    key: ApiKey,
    login: Option<KeyHash>,
}

impl Pass {
    /// `login` is the browser's that let the caller in; none when the key was shown itself.
    pub fn new(key: ApiKey, login: Option<KeyHash>) -> Self {
        Self { key, login }
    }

    /// The key, as it was when the caller came.
    pub fn key(&self) -> &ApiKey {
        &self.key
    }

    /// Whether the key still is what it was when the caller came, and the login that showed it is not over. While the
    /// ledger does not answer, what was known holds.
    pub async fn holds(&self, state: &AppState) -> bool {
        let keys = &state.gateway.api_keys;
        if let Some(login) = self.login
            && matches!(keys.login_holds(login).await, Ok(false))
        {
            return false;
        }
        let Ok(found) = keys.get(self.key.id).await else { return true };
        let before = &self.key;
        found.is_some_and(|key| {
            key.check_usable(state.gateway.live.now()).is_ok()
                && key.role == before.role
                && key.allowed_sessions == before.allowed_sessions
                && key.allowed_chats == before.allowed_chats
                && key.allowed_ips == before.allowed_ips
        })
    }
}
