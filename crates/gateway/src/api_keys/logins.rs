//! Browsers that showed a key. A login is a random text in a cookie, of which the ledger has the hash; its rights are
//! those that its key has at the moment of each request, so a key that is revoked or deleted ends its logins at once.
//!
//! A login link holds such a text as well: it opens one login and is gone.

use std::{net::IpAddr, time::Duration};

use domain::{
    ApiKeyId, Timestamp,
    api_key::{ApiKey, KeyHash, KeyRefused},
    login::{Login, LoginKind, new_login_text},
    port::StoreError,
};

use super::{ApiKeys, AuthError};

/// How long a login lasts.
const LOGIN_LASTS: Duration = Duration::from_secs(7 * 86_400);
/// How long a link waits to be opened.
const LINK_LASTS: Duration = Duration::from_secs(600);
/// Logins and links of one key; the oldest go first.
const PER_KEY_MAX: u32 = 100;
/// Between two notes of when a login was used.
const NOTED_EVERY: Duration = Duration::from_secs(60);

/// A login or a link, with the text that opens it. The text is shown here and never again.
#[derive(Debug)]
pub struct OpenedLogin {
    /// What the browser shows.
    pub text: String,
    /// When it stops working.
    pub expires_at: Timestamp,
}

impl ApiKeys {
    /// Lets a browser in for as long as a login lasts.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn open_login(&self, key: ApiKeyId) -> Result<OpenedLogin, StoreError> {
        self.new_login(key, LoginKind::Cookie, LOGIN_LASTS).await
    }

    /// Makes a link that lets one browser in, once, within ten minutes.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn login_link(&self, key: ApiKeyId) -> Result<OpenedLogin, StoreError> {
        self.new_login(key, LoginKind::Link, LINK_LASTS).await
    }

    /// Uses up a link: the key that it is of. `found` is as for [`authenticate`](Self::authenticate).
    ///
    /// # Errors
    /// [`AuthError`].
    pub async fn redeem_link(
        &self,
        text: &str,
        ip: Option<IpAddr>,
        found: &(dyn Fn(&ApiKey) + Sync),
    ) -> Result<ApiKey, AuthError> {
        let taken = self.logins.take_login(KeyHash::of(text), LoginKind::Link).await;
        let link = taken.map_err(AuthError::Store)?.ok_or(KeyRefused::Login)?;
        self.key_of(&link, ip, found).await
    }

    /// Lets a browser in that shows its login, or says why not. `found` is as for
    /// [`authenticate`](Self::authenticate).
    ///
    /// # Errors
    /// [`AuthError`].
    pub async fn authenticate_login(
        &self,
        text: &str,
        ip: Option<IpAddr>,
        found: &(dyn Fn(&ApiKey) + Sync),
    ) -> Result<ApiKey, AuthError> {
        let row = self.logins.login(KeyHash::of(text)).await.map_err(AuthError::Store)?;
        let login = row.filter(|row| row.kind == LoginKind::Cookie).ok_or(KeyRefused::Login)?;
        let key = self.key_of(&login, ip, found).await?;
        let now = self.clock.now();
        if login.last_used_at.is_none_or(|at| at.plus(NOTED_EVERY) <= now)
            && let Err(error) = self.logins.touch_login(login.hash, now).await
        {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "the use of a login was not noted");
        }
        Ok(key)
    }

    /// When a login ends by itself; none when there is no such login.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn login_until(&self, text: &str) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.logins.login(KeyHash::of(text)).await?.map(|login| login.expires_at))
    }

    /// Whether a login is there and not over; its key is not looked at.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn login_holds(&self, hash: KeyHash) -> Result<bool, StoreError> {
        let row = self.logins.login(hash).await?;
        let is_over = |login: &Login| login.expires_at <= self.clock.now();
        Ok(row.is_some_and(|login| login.kind == LoginKind::Cookie && !is_over(&login)))
    }

    /// Ends a login, if there is one, and its live readers with it.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn close_login(&self, text: &str) -> Result<(), StoreError> {
        let taken = self.logins.take_login(KeyHash::of(text), LoginKind::Cookie).await;
        // Also where it is not known whether it was done.
        self.changed.send_replace(());
        taken.map(|_| ())
    }

    async fn new_login(
        &self,
        key: ApiKeyId,
        kind: LoginKind,
        lasts: Duration,
    ) -> Result<OpenedLogin, StoreError> {
        let (text, now) = (new_login_text(&*self.entropy), self.clock.now());
        let login = Login {
            hash: KeyHash::of(&text),
            kind,
            key,
            created_at: now,
            expires_at: now.plus(lasts),
            last_used_at: None,
        };
        self.logins.insert_login(&login, PER_KEY_MAX).await?;
        Ok(OpenedLogin { text, expires_at: login.expires_at })
    }

    /// The key of a login that is not over, if it lets in.
    async fn key_of(
        &self,
        login: &Login,
        ip: Option<IpAddr>,
        found: &(dyn Fn(&ApiKey) + Sync),
    ) -> Result<ApiKey, AuthError> {
        if login.expires_at <= self.clock.now() {
            return Err(KeyRefused::Login.into());
        }
        let key = self.store.api_key(login.key).await.map_err(AuthError::Store)?;
        self.admit(key.ok_or(KeyRefused::Login)?, ip, found)
    }
}
