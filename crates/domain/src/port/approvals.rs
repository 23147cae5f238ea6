//! What is read of sends that wait for a person; they are changed by [`Write::Approval`](super::Write::Approval).

use async_trait::async_trait;

use super::{Page, StoreResult};
use crate::{
    approval::{Approval, ApprovalState},
    ids::{ApiKeyId, ApprovalId, SessionId},
    time::Timestamp,
};

/// Which approvals are meant; `None` means any.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ApprovalQuery {
    /// Of this session only.
    pub session: Option<SessionId>,
    /// In this state only.
    pub state: Option<ApprovalState>,
    /// Of this key only.
    pub key: Option<ApiKeyId>,
}

/// Sends of agents that wait for a person.
#[async_trait]
pub trait ApprovalStore: Send + Sync + 'static {
    /// One of them.
    async fn approval(&self, id: ApprovalId) -> StoreResult<Option<Approval>>;
    /// A page of them, newest first.
    async fn approvals(&self, query: &ApprovalQuery, page: Page) -> StoreResult<Vec<Approval>>;
    /// The one that a request with this idempotency key made.
    async fn approval_of_request(
        &self,
        session: SessionId,
        key: ApiKeyId,
        request_key: &str,
    ) -> StoreResult<Option<Approval>>;
    /// Those that are in a state, oldest first.
    async fn oldest_approvals(
        &self,
        state: ApprovalState,
        limit: u32,
    ) -> StoreResult<Vec<Approval>>;
    /// Takes one of a key's sends of a day (days since 1970); `false` when all are taken.
    async fn take_approval_budget(&self, key: ApiKeyId, day: i64, budget: u32)
    -> StoreResult<bool>;
    /// Deletes those that ended before, at most so many.
    async fn prune_approvals(&self, before: Timestamp, limit: u32) -> StoreResult<u64>;
}
