//! Who may call the API.
//!
//! A key is found by its SHA-256: guessing takes 256 bits, so no constant-time comparison is needed. Nothing is cached:
//! a revoked key is refused from the next call on. Uses are counted in memory and written every few seconds.

mod logins;
mod revoke_all;

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use domain::{
    ApiKeyId, ChatId, Clock, Entropy, SessionId, Timer, Timestamp,
    api_key::{ApiKey, KeyHash, KeyRefused, Role, mark_of, new_key, prefix_of},
    approval::ApprovalRule,
    port::{ApiKeyStore, LoginStore, StoreError},
    webhook::Secret,
};
use ipnet::IpNet;
use tokio::sync::watch;

use crate::{Policy, Ports, Supervisor};

pub use logins::OpenedLogin;
pub use revoke_all::RevokedKeys;

/// Between two writes of the counters.
const FLUSH_EVERY: Duration = Duration::from_secs(5);
/// Keys counted between two writes; a use beyond them is not counted.
const COUNTED_MAX: usize = 10_000;

/// The name of the key that the environment names.
const MASTER: &str = "API_MASTER_KEY";

/// Whether a key came from the environment. Its mark cannot be given to another: a key that was made here begins as
/// all of them do. Ledgers of earlier versions have the name alone.
fn is_master(key: &ApiKey) -> bool {
    let made_here = key.prefix.starts_with("owa_k1_");
    key.prefix.starts_with("master-") || (key.name == MASTER && !made_here)
}

/// A key to create.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields are those of ApiKey")]
pub struct NewApiKey {
    pub name: String,
    pub role: Role,
    pub allowed_ips: Vec<IpNet>,
    pub allowed_sessions: Vec<SessionId>,
    pub allowed_chats: Vec<ChatId>,
    pub approval: Option<ApprovalRule>,
    pub expires_at: Option<Timestamp>,
}

/// Fields to change; `None` keeps.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "the fields are those of ApiKey")]
pub struct ApiKeyPatch {
    pub name: Option<String>,
    pub role: Option<Role>,
    pub allowed_ips: Option<Vec<IpNet>>,
    pub allowed_sessions: Option<Vec<SessionId>>,
    pub allowed_chats: Option<Vec<ChatId>>,
    pub approval: Option<Option<ApprovalRule>>,
    pub expires_at: Option<Option<Timestamp>>,
}

/// Why a caller was not let in.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The key does not allow it.
    #[error(transparent)]
    Refused(#[from] KeyRefused),
    /// The ledger could not be asked.
    #[error("the ledger failed while checking an API key")]
    Store(#[source] StoreError),
}

/// Why a key was not changed.
#[derive(Debug, thiserror::Error)]
pub enum UpdateKeyError {
    /// There is none of this id.
    #[error("no API key {0}")]
    NotFound(ApiKeyId),
    /// Nobody could administer the gateway afterwards.
    #[error("this is the last usable admin key")]
    LastAdmin,
    /// The ledger could not be asked.
    #[error("the ledger failed while changing an API key")]
    Store(#[source] StoreError),
}

/// A handle to the keys.
#[derive(Clone)]
pub struct ApiKeys {
    store: Arc<dyn ApiKeyStore>,
    logins: Arc<dyn LoginStore>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    uses: Arc<Mutex<HashMap<ApiKeyId, (u64, Timestamp)>>>,
    /// Changes one after another: two revocations at once must not both see the other's admin key.
    changing: Arc<tokio::sync::Mutex<()>>,
    /// Mixed into hashes, so that whoever has the ledger alone cannot try texts that people made.
    pepper: Option<Secret>,
    /// The key that the environment names, where it names one.
    master: Arc<Mutex<Option<ApiKeyId>>>,
    /// Told when this process changed or deleted a key, or ended a login.
    changed: Arc<watch::Sender<()>>,
}

impl ApiKeys {
    pub(crate) fn build(ports: &Ports, supervisor: &Supervisor, pepper: Option<Secret>) -> Self {
        let keys = Self {
            store: ports.store.clone(),
            logins: ports.store.clone(),
            clock: ports.clock.clone(),
            entropy: ports.entropy.clone(),
            uses: Arc::default(),
            changing: Arc::default(),
            pepper,
            master: Arc::default(),
            changed: Arc::new(watch::Sender::new(())),
        };
        let (this, stopping) = (keys.clone(), supervisor.stopping());
        supervisor.spawn("api-keys/uses", Policy::Essential, async move {
            while !stopping.is_cancelled() {
                let at = this.clock.now().plus(FLUSH_EVERY);
                tokio::select! {
                    () = this.clock.sleep_until(Timer::KeyUseFlush, at) => {}
                    () = stopping.cancelled() => {}
                }
                this.flush().await;
            }
        });
        keys
    }

    async fn flush(&self) {
        let uses = std::mem::take(&mut *self.uses.lock().unwrap_or_else(PoisonError::into_inner));
        for (id, (count, at)) in uses {
            if let Err(error) = self.store.touch_api_key(id, count, at).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "uses of an API key were not counted"
                );
            }
        }
    }

    /// Makes the first admin key when no full admin key exists, and returns its text, once. With `master`, that text is
    /// the key: it is stored if it is unknown, and nothing is returned; master keys of earlier starts are revoked.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn ensure_admin(&self, master: Option<&str>) -> Result<Option<String>, StoreError> {
        let _one_at_a_time = self.changing.lock().await;
        if let Some(master) = master {
            self.ensure_master(master).await?;
            return Ok(None);
        }
        let now = self.clock.now();
        if self.store.api_keys().await?.iter().any(|key| key.is_full_admin(now)) {
            return Ok(None);
        }
        let text = new_key(&*self.entropy);
        self.insert("First admin key", &text, prefix_of(&text)).await?;
        Ok(Some(text))
    }

    async fn ensure_master(&self, master: &str) -> Result<(), StoreError> {
        let mark = mark_of(self.hash(master));
        let known = match self.find(master).await? {
            Some(known) => known,
            None => {
                if let Err(error) = self.insert(MASTER, master, mark.clone()).await {
                    // Another process that started at the same moment was faster.
                    self.find(master).await?.ok_or(error)?;
                }
                let Some(made) = self.find(master).await? else { return Ok(()) };
                made
            }
        };
        self.set_master(known.id);
        if !known.active {
            tracing::warn!(key.id = %known.id, "API_MASTER_KEY is a key that was revoked: it opens nothing");
        } else if is_master(&known) && known.prefix != mark {
            self.store.rehash_api_key(known.id, &mark, known.hash).await?;
        }
        for mut old in self.store.api_keys().await? {
            if old.id != known.id && old.active && is_master(&old) {
                old.active = false;
                self.store.update_api_key(&old).await?;
                self.changed.send_replace(());
                tracing::warn!(key.id = %old.id, "the master key of an earlier start was revoked");
            }
        }
        Ok(())
    }

    fn hash(&self, text: &str) -> KeyHash {
        match &self.pepper {
            Some(pepper) => KeyHash::peppered(text, pepper.expose().as_bytes()),
            None => KeyHash::of(text),
        }
    }

    /// A key by its text. One that was stored before there was a pepper gets its new hash with this use.
    async fn find(&self, text: &str) -> Result<Option<ApiKey>, StoreError> {
        let hash = self.hash(text);
        let found = self.store.api_key_by_hash(hash).await?;
        if found.is_some() || self.pepper.is_none() {
            return Ok(found);
        }
        let Some(mut old) = self.store.api_key_by_hash(KeyHash::of(text)).await? else {
            return Ok(None);
        };
        if is_master(&old) {
            old.prefix = mark_of(hash);
        }
        self.store.rehash_api_key(old.id, &old.prefix, hash).await?;
        Ok(Some(ApiKey { hash, ..old }))
    }

    async fn insert(&self, name: &str, text: &str, prefix: String) -> Result<(), StoreError> {
        let new = NewApiKey {
            name: name.to_owned(),
            role: Role::Admin,
            allowed_ips: vec![],
            allowed_sessions: vec![],
            allowed_chats: vec![],
            approval: None,
            expires_at: None,
        };
        self.store.insert_api_key(&ApiKey { prefix, ..self.record(new, text) }).await
    }

    fn record(&self, new: NewApiKey, text: &str) -> ApiKey {
        ApiKey {
            id: ApiKeyId::new(&*self.entropy),
            name: new.name,
            prefix: prefix_of(text),
            hash: self.hash(text),
            role: new.role,
            allowed_ips: new.allowed_ips,
            allowed_sessions: new.allowed_sessions,
            allowed_chats: new.allowed_chats,
            approval: new.approval,
            active: true,
            expires_at: new.expires_at,
            last_used_at: None,
            usage_count: 0,
            created_at: self.clock.now(),
        }
    }

    /// Tells when a key was changed or deleted here, or a login ended; what other processes do is not told.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Lets a caller in, or says why not. Counts the use. `found` is told which key it is before its rights are
    /// checked.
    ///
    /// # Errors
    /// [`AuthError`].
    pub async fn authenticate(
        &self,
        key: &str,
        ip: Option<IpAddr>,
        found: &(dyn Fn(&ApiKey) + Sync),
    ) -> Result<ApiKey, AuthError> {
        let key = self.find(key).await.map_err(AuthError::Store)?.ok_or(KeyRefused::Unknown)?;
        self.admit(key, ip, found)
    }

    /// Checks a key that was found, and counts its use.
    fn admit(
        &self,
        key: ApiKey,
        ip: Option<IpAddr>,
        found: &(dyn Fn(&ApiKey) + Sync),
    ) -> Result<ApiKey, AuthError> {
        found(&key);
        let now = self.clock.now();
        key.check_usable(now)?;
        key.check_ip(ip)?;
        let mut uses = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
        if uses.len() < COUNTED_MAX || uses.contains_key(&key.id) {
            let entry = uses.entry(key.id).or_insert((0, now));
            *entry = (entry.0 + 1, now);
        }
        drop(uses);
        Ok(key)
    }

    /// Creates a key; its text is returned here and never again.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn create(&self, new: NewApiKey) -> Result<(ApiKey, String), StoreError> {
        let text = new_key(&*self.entropy);
        let key = self.record(new, &text);
        self.store.insert_api_key(&key).await?;
        Ok((key, text))
    }

    /// All keys, newest first.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn list(&self) -> Result<Vec<ApiKey>, StoreError> {
        self.store.api_keys().await
    }

    /// One key.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn get(&self, id: ApiKeyId) -> Result<Option<ApiKey>, StoreError> {
        self.store.api_key(id).await
    }

    /// Changes a key.
    ///
    /// # Errors
    /// [`UpdateKeyError`].
    pub async fn update(&self, id: ApiKeyId, patch: ApiKeyPatch) -> Result<ApiKey, UpdateKeyError> {
        self.change(id, move |key| {
            key.name = patch.name.unwrap_or_else(|| key.name.clone());
            key.role = patch.role.unwrap_or(key.role);
            if let Some(ips) = patch.allowed_ips {
                key.allowed_ips = ips;
            }
            if let Some(sessions) = patch.allowed_sessions {
                key.allowed_sessions = sessions;
            }
            if let Some(chats) = patch.allowed_chats {
                key.allowed_chats = chats;
            }
            if let Some(approval) = patch.approval {
                key.approval = approval;
            }
            if let Some(expires_at) = patch.expires_at {
                key.expires_at = expires_at;
            }
        })
        .await
    }

    /// Switches a key off for good.
    ///
    /// # Errors
    /// [`UpdateKeyError`].
    pub async fn revoke(&self, id: ApiKeyId) -> Result<ApiKey, UpdateKeyError> {
        self.change(id, |key| key.active = false).await
    }

    /// Deletes a key.
    ///
    /// # Errors
    /// [`UpdateKeyError`].
    pub async fn delete(&self, id: ApiKeyId) -> Result<(), UpdateKeyError> {
        let _one_at_a_time = self.changing.lock().await;
        let key = self
            .store
            .api_key(id)
            .await
            .map_err(UpdateKeyError::Store)?
            .ok_or(UpdateKeyError::NotFound(id))?;
        self.keep_an_admin(&key, None).await?;
        let deleted = self.store.delete_api_key(id).await.map_err(UpdateKeyError::Store)?;
        self.changed.send_replace(());
        if deleted { Ok(()) } else { Err(UpdateKeyError::NotFound(id)) }
    }

    async fn change(
        &self,
        id: ApiKeyId,
        edit: impl FnOnce(&mut ApiKey),
    ) -> Result<ApiKey, UpdateKeyError> {
        let _one_at_a_time = self.changing.lock().await;
        let old = self
            .store
            .api_key(id)
            .await
            .map_err(UpdateKeyError::Store)?
            .ok_or(UpdateKeyError::NotFound(id))?;
        let mut key = old.clone();
        edit(&mut key);
        self.keep_an_admin(&old, Some(&key)).await?;
        let updated = self.store.update_api_key(&key).await.map_err(UpdateKeyError::Store)?;
        self.changed.send_replace(());
        if updated { Ok(key) } else { Err(UpdateKeyError::NotFound(id)) }
    }

    /// Refuses a change after which no full admin key is left.
    async fn keep_an_admin(
        &self,
        old: &ApiKey,
        new: Option<&ApiKey>,
    ) -> Result<(), UpdateKeyError> {
        let now = self.clock.now();
        if !old.is_full_admin(now) || new.is_some_and(|new| new.is_full_admin(now)) {
            return Ok(());
        }
        let keys = self.store.api_keys().await.map_err(UpdateKeyError::Store)?;
        let another = keys.iter().any(|key| key.id != old.id && key.is_full_admin(now));
        if another { Ok(()) } else { Err(UpdateKeyError::LastAdmin) }
    }
}
