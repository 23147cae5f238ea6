//! Automation rules: answers to messages that come in, given by the session itself.
//!
//! # The cast
//! - [`Automation`] keeps the rules.
//! - The *looker* is one task. Every commit hands it the messages that came in, through one queue; it looks which
//!   rule answers each and begins the answer. The oldest rule that fits answers; the others stay silent.
//!
//! # Limits
//! Up to [`QUEUE_MAX`] messages wait; when it is full a message goes without an answer, which is counted and told once
//! a minute. Up to [`ANSWERS_MAX`] answers are on their way. A rule answers once per cooldown in a chat, and all rules
//! together a few times ([`LoopGuard`](domain::automation::LoopGuard)), so that two bots come to an end. What this
//! account writes is no message that comes in, so an answer causes no other.
//!
//! An answer is sent under a key made of its rule and its message: however often it is begun, it goes out once.

mod looker;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::{
    AutomationRuleId, Clock, Entropy, SessionId, Timestamp,
    automation::{AutomationRule, RULES_MAX},
    filter::{Filters, InvalidFilter},
    port::{AutomationStore, SessionStore, StoreError, StoreResult},
    visible,
};

use crate::{Messages, Ports, Supervisor, ledger::LedgerWriter};

/// Messages that wait to be looked at.
pub const QUEUE_MAX: usize = 10_000;
/// Answers on their way at once.
pub const ANSWERS_MAX: usize = 64;
/// How long rules that were read are good for: another process may have changed them.
const RULES_KEPT: Duration = Duration::from_secs(5);
/// Sessions whose rules are in memory. When full, all are read again.
const SESSIONS_MAX: usize = 10_000;

/// A rule to store.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of AutomationRule")]
pub struct NewRule {
    pub name: String,
    pub enabled: bool,
    pub conditions: Option<Filters>,
    pub reply_text: String,
    pub cooldown: Duration,
}

/// What to change; `None` keeps, `Some(None)` clears.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of AutomationRule")]
pub struct RulePatch {
    pub name: Option<String>,
    pub enabled: Option<bool>,
    pub conditions: Option<Option<Filters>>,
    pub reply_text: Option<String>,
    pub cooldown: Option<Duration>,
}

/// Why a rule was not stored, found or changed.
#[derive(Debug, thiserror::Error)]
pub enum AutomationError {
    /// There is no session of this id.
    #[error("no session {0}")]
    SessionNotFound(SessionId),
    /// The session has no rule of this id.
    #[error("no automation rule {0}")]
    NotFound(AutomationRuleId),
    /// A session has a limited number of rules.
    #[error("Maximum automation rules per session reached ({0})")]
    TooMany(u32),
    /// The conditions make no sense.
    #[error(transparent)]
    Conditions(#[from] InvalidFilter),
    /// The answer would show nothing.
    #[error(transparent)]
    Unshown(visible::Unshown),
    /// The ledger could not be asked.
    #[error("the ledger failed at an automation rule")]
    Store(#[source] StoreError),
}

impl From<StoreError> for AutomationError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

type KeptRules = HashMap<SessionId, (Timestamp, Arc<[AutomationRule]>)>;

/// A handle to the rules. Cheap to clone.
#[derive(Clone)]
pub struct Automation {
    store: Arc<dyn AutomationStore>,
    sessions: Arc<dyn SessionStore>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    rules_max: u32,
    /// Rules of sessions, oldest first.
    known: Arc<Mutex<KeptRules>>,
}

impl Automation {
    pub(crate) fn build(rules_max: u32, ports: &Ports) -> Self {
        Self {
            store: ports.store.clone(),
            sessions: ports.store.clone(),
            clock: ports.clock.clone(),
            entropy: ports.entropy.clone(),
            rules_max,
            known: Arc::default(),
        }
    }

    /// Begins to answer what comes in.
    pub(crate) fn start(
        &self,
        messages: &Messages,
        ledger: &LedgerWriter,
        supervisor: &Supervisor,
    ) {
        looker::start(self, messages, ledger, supervisor);
    }

    /// Stores a new rule.
    ///
    /// # Errors
    /// [`AutomationError`].
    pub async fn create(
        &self,
        session: SessionId,
        new: NewRule,
    ) -> Result<AutomationRule, AutomationError> {
        self.check_session(session).await?;
        let now = self.clock.now();
        let rule = checked(AutomationRule {
            id: AutomationRuleId::new(&*self.entropy),
            session,
            name: new.name,
            enabled: new.enabled,
            conditions: new.conditions,
            reply_text: new.reply_text,
            cooldown: new.cooldown,
            created_at: now,
            updated_at: now,
        })?;
        let stored = self.store.insert_rule(&rule, self.rules_max).await?;
        self.forget(session);
        if stored { Ok(rule) } else { Err(AutomationError::TooMany(self.rules_max)) }
    }

    /// The rules of a session, newest first.
    ///
    /// # Errors
    /// [`AutomationError`].
    pub async fn list(&self, session: SessionId) -> Result<Vec<AutomationRule>, AutomationError> {
        self.check_session(session).await?;
        Ok(self.store.rules(session).await?)
    }

    /// One rule of a session.
    ///
    /// # Errors
    /// [`AutomationError`].
    pub async fn get(
        &self,
        session: SessionId,
        id: AutomationRuleId,
    ) -> Result<AutomationRule, AutomationError> {
        self.check_session(session).await?;
        self.store.rule(session, id).await?.ok_or(AutomationError::NotFound(id))
    }

    /// Changes a rule of a session.
    ///
    /// # Errors
    /// [`AutomationError`].
    pub async fn update(
        &self,
        session: SessionId,
        id: AutomationRuleId,
        patch: RulePatch,
    ) -> Result<AutomationRule, AutomationError> {
        let old = self.get(session, id).await?;
        let rule = checked(AutomationRule {
            name: patch.name.unwrap_or(old.name),
            enabled: patch.enabled.unwrap_or(old.enabled),
            conditions: patch.conditions.unwrap_or(old.conditions),
            reply_text: patch.reply_text.unwrap_or(old.reply_text),
            cooldown: patch.cooldown.unwrap_or(old.cooldown),
            updated_at: self.clock.now(),
            ..old
        })?;
        let there = self.store.update_rule(&rule).await?;
        self.forget(session);
        if there { Ok(rule) } else { Err(AutomationError::NotFound(id)) }
    }

    /// Deletes a rule of a session.
    ///
    /// # Errors
    /// [`AutomationError`].
    pub async fn delete(
        &self,
        session: SessionId,
        id: AutomationRuleId,
    ) -> Result<(), AutomationError> {
        self.check_session(session).await?;
        let there = self.store.delete_rule(session, id).await?;
        self.forget(session);
        if there { Ok(()) } else { Err(AutomationError::NotFound(id)) }
    }

    async fn check_session(&self, session: SessionId) -> Result<(), AutomationError> {
        let found = self.sessions.session(session).await?;
        found.map(|_| ()).ok_or(AutomationError::SessionNotFound(session))
    }

    fn lock(&self) -> MutexGuard<'_, KeptRules> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget(&self, session: SessionId) {
        self.lock().remove(&session);
    }

    /// The rules of a session that answer, oldest first.
    async fn rules_of(&self, session: SessionId) -> StoreResult<Arc<[AutomationRule]>> {
        let now = self.clock.now();
        if let Some((at, rules)) = self.lock().get(&session)
            && now.since(*at) < RULES_KEPT
        {
            return Ok(rules.clone());
        }
        let mut rules = self.store.rules(session).await?;
        rules.retain(|rule| rule.enabled);
        rules.reverse();
        let rules: Arc<[AutomationRule]> = rules.into();
        let mut known = self.lock();
        if known.len() >= SESSIONS_MAX {
            known.clear();
        }
        known.insert(session, (now, rules.clone()));
        Ok(rules)
    }
}

/// How many rules a session may have, unless the settings say otherwise.
pub const fn rules_max_default() -> u32 {
    RULES_MAX
}

fn checked(mut rule: AutomationRule) -> Result<AutomationRule, AutomationError> {
    rule.conditions = rule.conditions.filter(|filters| !filters.conditions.is_empty());
    if let Some(conditions) = &rule.conditions {
        conditions.validate()?;
    }
    visible::check("replyText", &rule.reply_text).map_err(AutomationError::Unshown)?;
    Ok(rule)
}
