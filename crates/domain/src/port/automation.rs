//! Automation rules, and when they answered last.

use std::time::Duration;

use async_trait::async_trait;

use super::StoreResult;
use crate::{
    address::ChatId,
    automation::AutomationRule,
    ids::{AutomationRuleId, SessionId},
    time::Timestamp,
};

/// Automation rules, and when they answered last.
#[async_trait]
pub trait AutomationStore: Send + Sync + 'static {
    /// Stores a new one unless the session has `most` already: `false` then.
    async fn insert_rule(&self, rule: &AutomationRule, most: u32) -> StoreResult<bool>;
    /// One of a session's.
    async fn rule(
        &self,
        session: SessionId,
        id: AutomationRuleId,
    ) -> StoreResult<Option<AutomationRule>>;
    /// Of a session, newest first.
    async fn rules(&self, session: SessionId) -> StoreResult<Vec<AutomationRule>>;
    /// Replaces it; `false` when it is gone.
    async fn update_rule(&self, rule: &AutomationRule) -> StoreResult<bool>;
    /// Deletes it; `false` when unknown.
    async fn delete_rule(&self, session: SessionId, id: AutomationRuleId) -> StoreResult<bool>;
    /// Takes the right to answer in a chat now: `false` when the rule answered there less than the cooldown ago, or
    /// is gone. Two askers at the same time: one gets it.
    async fn claim_answer(
        &self,
        rule: &AutomationRule,
        chat: &ChatId,
        now: Timestamp,
        cooldown: Duration,
    ) -> StoreResult<bool>;
}
