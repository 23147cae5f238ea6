//! The logins of browsers.

use async_trait::async_trait;

use super::StoreResult;
use crate::{
    api_key::KeyHash,
    login::{Login, LoginKind},
    time::Timestamp,
};

/// Logins and login links. They go with their key.
#[async_trait]
pub trait LoginStore: Send + Sync + 'static {
    /// Stores a new one. Of those of its key the newest `most` stay.
    async fn insert_login(&self, login: &Login, most: u32) -> StoreResult<()>;
    /// One login or link, by the hash of its text.
    async fn login(&self, hash: KeyHash) -> StoreResult<Option<Login>>;
    /// Deletes one of this kind; what it was. Of several callers one gets it.
    async fn take_login(&self, hash: KeyHash, kind: LoginKind) -> StoreResult<Option<Login>>;
    /// Notes when one was used last.
    async fn touch_login(&self, hash: KeyHash, at: Timestamp) -> StoreResult<()>;
    /// Deletes those that are over; how many.
    async fn delete_expired_logins(&self, now: Timestamp) -> StoreResult<u64>;
}
