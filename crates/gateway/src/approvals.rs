//! Sends that wait for a person, and what becomes of them.
//!
//! A released one goes out where its session is connected, by the way that every request goes (its [`Performer`]),
//! under its id as idempotency key. It is tried until the answer is known: a crash at any point costs a repetition that
//! does not send again. While all sends are paused they wait. Those of one session go out one after another, in the
//! order in which they were asked for.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use domain::{
    ApiKeyId, ApprovalId, ChatId, SessionId, Timer, Timestamp,
    api_key::ApiKey,
    approval::{
        Approval, ApprovalAnswer, ApprovalChange, ApprovalRule, ApprovalState, ApprovalWrite,
        Decision, HELD_FOR, HELD_MAX, KEPT_FOR, NOBODY, RELEASED_FOR,
    },
    port::{ApprovalQuery, Page, StoreError, StoreResult, Write, WriteOutcome},
};
use futures::{StreamExt as _, future::BoxFuture};
use serde_json::json;
use tokio::sync::Notify;

use crate::{Brake, Policy, Ports, Sessions, Supervisor, ledger::LedgerWriter};

/// Between two looks for what other processes released, or what could not go out.
const SWEEP: Duration = Duration::from_secs(5);
/// Approvals of one look.
const LOOK_MAX: u32 = 1000;
/// Sessions whose approvals go out at the same time.
const SESSIONS_AT_ONCE: usize = 8;
const DAY_MILLIS: i64 = 86_400_000;

/// What a try of a released send came to.
#[derive(Debug)]
pub enum Performed {
    /// What became of it is known.
    Ended(ApprovalAnswer),
    /// It is tried again later, under the same key.
    NotYet,
}

/// Makes the request that an approval is.
pub type Performer = Arc<dyn Fn(Approval) -> BoxFuture<'static, Performed> + Send + Sync>;

/// A send that is to wait.
#[derive(Debug, Clone)]
pub struct NewApproval {
    /// The session that sends it.
    pub session: SessionId,
    /// To whom, where the request says it.
    pub chat: Option<ChatId>,
    /// The idempotency key of the request.
    pub request_key: Option<String>,
    /// Which send: the last part of its route.
    pub route: String,
    /// What the request says, JSON.
    pub request: String,
}

/// Why a send was not put aside, found, released or refused.
#[derive(Debug, thiserror::Error)]
pub enum ApprovalError {
    /// There is no session of this id.
    #[error("no session {0}")]
    SessionNotFound(SessionId),
    /// There is none of this id.
    #[error("no approval {0}")]
    NotFound(ApprovalId),
    /// It does not wait any more.
    #[error("the approval is {} already", .0.as_str())]
    Decided(ApprovalState),
    /// So many sends of the key wait already.
    #[error("{HELD_MAX} sends of this key wait already")]
    TooMany,
    /// Another request of the key has this idempotency key.
    #[error("the idempotency key belongs to another request")]
    KeyReused,
    /// The ledger could not be asked.
    #[error("the ledger failed at an approval")]
    Store(#[from] StoreError),
}

/// A handle to the approvals. Cheap to clone.
#[derive(Clone)]
pub struct Approvals {
    shared: Arc<SharedApprovals>,
}

struct SharedApprovals {
    ports: Ports,
    sessions: Sessions,
    ledger: LedgerWriter,
    brake: Brake,
    supervisor: Supervisor,
    performer: Mutex<Option<Performer>>,
    wake: Notify,
}

impl Approvals {
    pub(crate) fn build(
        ports: &Ports,
        sessions: &Sessions,
        ledger: &LedgerWriter,
        brake: &Brake,
        supervisor: &Supervisor,
    ) -> Self {
        let shared = SharedApprovals {
            ports: ports.clone(),
            sessions: sessions.clone(),
            ledger: ledger.clone(),
            brake: brake.clone(),
            supervisor: supervisor.clone(),
            performer: Mutex::default(),
            wake: Notify::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Lets what is released go out, now and from now on.
    pub(crate) fn run(&self) {
        let shared = self.shared.clone();
        self.shared.supervisor.spawn("approvals", Policy::Essential, async move {
            shared.follow().await;
            // It knows the whole house, which knows us.
            *shared.lock() = None;
        });
    }

    /// Says who makes the requests. Until then nothing goes out.
    pub fn perform_with(&self, performer: Performer) {
        *self.shared.lock() = Some(performer);
        self.shared.wake.notify_one();
    }

    /// Whether a key may send one more without a person today. It counts as sent.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn take_budget(&self, key: ApiKeyId, rule: ApprovalRule) -> StoreResult<bool> {
        if rule.daily_budget == 0 {
            return Ok(false);
        }
        let day = self.shared.ledger.now().millis().div_euclid(DAY_MILLIS);
        self.shared.ports.store.take_approval_budget(key, day, rule.daily_budget).await
    }

    /// Puts a send aside. The same request twice is put aside once.
    ///
    /// # Errors
    /// [`ApprovalError`].
    pub async fn hold(&self, key: &ApiKey, new: NewApproval) -> Result<Approval, ApprovalError> {
        let (shared, session) = (&self.shared, new.session);
        if shared.sessions.get(session).await?.is_none() {
            return Err(ApprovalError::SessionNotFound(session));
        }
        let store = &shared.ports.store;
        if let Some(known) = self.known(key.id, &new).await? {
            return Ok(known);
        }
        let held =
            ApprovalQuery { state: Some(ApprovalState::Held), key: Some(key.id), session: None };
        let last = Page { limit: 1, offset: HELD_MAX - 1 };
        if !store.approvals(&held, last).await?.is_empty() {
            return Err(ApprovalError::TooMany);
        }
        let approval = Approval {
            id: ApprovalId::new(&*shared.ports.entropy),
            session,
            chat: new.chat.clone(),
            key: key.id,
            key_name: key.name.clone(),
            request_key: new.request_key.clone(),
            route: new.route.clone(),
            request: new.request.clone(),
            state: ApprovalState::Held,
            created_at: shared.ledger.now(),
            decided: None,
            answer: None,
        };
        if shared.change(&approval, ApprovalChange::Hold(Box::new(approval.clone()))).await? {
            return Ok(approval);
        }
        // The same request was faster, or our own answer was lost.
        if let Some(known) = self.known(key.id, &new).await? {
            return Ok(known);
        }
        let found = store.approval(approval.id).await?;
        found.ok_or(ApprovalError::NotFound(approval.id))
    }

    async fn known(
        &self,
        key: ApiKeyId,
        new: &NewApproval,
    ) -> Result<Option<Approval>, ApprovalError> {
        let Some(request_key) = &new.request_key else { return Ok(None) };
        let store = &self.shared.ports.store;
        let known = store.approval_of_request(new.session, key, request_key).await?;
        // What ended has no request any more.
        let differs = |known: &Approval| {
            known.route != new.route || (!known.request.is_empty() && known.request != new.request)
        };
        match known {
            Some(known) if differs(&known) => Err(ApprovalError::KeyReused),
            known => Ok(known),
        }
    }

    /// One of them.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn get(&self, id: ApprovalId) -> StoreResult<Option<Approval>> {
        self.shared.ports.store.approval(id).await
    }

    /// A page of them, newest first.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn list(&self, query: &ApprovalQuery, page: Page) -> StoreResult<Vec<Approval>> {
        self.shared.ports.store.approvals(query, page).await
    }

    /// Releases or refuses one that waits; said twice by the same key it is said once.
    ///
    /// # Errors
    /// [`ApprovalError`].
    pub async fn decide(
        &self,
        id: ApprovalId,
        state: ApprovalState,
        by: &str,
    ) -> Result<Approval, ApprovalError> {
        let shared = &self.shared;
        let found = self.get(id).await?.ok_or(ApprovalError::NotFound(id))?;
        let decision = Decision { at: shared.ledger.now(), by: by.to_owned() };
        let applied = shared.change(&found, ApprovalChange::Decide { state, decision }).await?;
        if applied && state == ApprovalState::Released {
            shared.wake.notify_one();
        }
        let now = self.get(id).await?.ok_or(ApprovalError::NotFound(id))?;
        if applied { Ok(now) } else { Err(ApprovalError::Decided(now.state)) }
    }
}

impl SharedApprovals {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Performer>> {
        self.performer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it was as the change needs it.
    async fn change(&self, of: &Approval, change: ApprovalChange) -> StoreResult<bool> {
        let (id, session, event) = (of.id, of.session, self.ledger.event_id());
        let write = Write::Approval(Box::new(ApprovalWrite { id, session, change, event }));
        let outcomes = self.ledger.write(None, vec![write]).await?;
        Ok(matches!(outcomes.first(), Some(WriteOutcome::Applied(_))))
    }

    async fn follow(&self) {
        let stopping = self.supervisor.stopping();
        let clock = &self.ports.clock;
        let mut braked = self.brake.watch();
        while !stopping.is_cancelled() {
            let looked = async {
                self.give_up(clock.now()).await?;
                self.send_released().await
            };
            let looked = tokio::select! {
                looked = looked => looked,
                () = stopping.cancelled() => return,
            };
            if let Err(error) = looked {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "approvals were not looked at");
            }
            tokio::select! {
                () = self.wake.notified() => {}
                _ = braked.changed() => {}
                () = clock.sleep_until(Timer::Approvals, clock.now().plus(SWEEP)) => {}
                () = stopping.cancelled() => return,
            }
        }
    }

    /// Refuses what waited too long, and forgets what ended long ago.
    async fn give_up(&self, now: Timestamp) -> StoreResult<()> {
        let store = &self.ports.store;
        for held in store.oldest_approvals(ApprovalState::Held, LOOK_MAX).await? {
            if now.since(held.created_at) < HELD_FOR {
                break;
            }
            let decision = Decision { at: now, by: NOBODY.to_owned() };
            let state = ApprovalState::Refused;
            self.change(&held, ApprovalChange::Decide { state, decision }).await?;
        }
        store.prune_approvals(now.minus(KEPT_FOR), LOOK_MAX).await.map(|_| ())
    }

    async fn send_released(&self) -> StoreResult<()> {
        let Some(performer) = self.lock().clone() else { return Ok(()) };
        let released = self.ports.store.oldest_approvals(ApprovalState::Released, LOOK_MAX).await?;
        let mut lines: BTreeMap<SessionId, Vec<Approval>> = BTreeMap::new();
        for approval in released {
            lines.entry(approval.session).or_default().push(approval);
        }
        let lines = futures::stream::iter(lines.into_values());
        let lines = lines.map(|line| self.send_line(line, &performer));
        let mut ends = std::pin::pin!(lines.buffer_unordered(SESSIONS_AT_ONCE));
        while let Some(end) = ends.next().await {
            if let Err(error) = end {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "what became of an approval was not stored");
            }
        }
        Ok(())
    }

    /// Those of one session, until one cannot go out yet.
    async fn send_line(&self, line: Vec<Approval>, performer: &Performer) -> StoreResult<()> {
        let mut waits = false;
        for approval in line {
            let now = self.ledger.now();
            let since = approval.decided.as_ref().map_or(now, |decision| decision.at);
            let answer = if now.since(since) > RELEASED_FOR {
                let sentence = "It could not be sent, or nobody knows whether it was, for 12 hours";
                ApprovalAnswer { status: 504, body: json!({ "message": sentence }) }
            } else if waits || self.brake.is_on() || self.sessions.ready(approval.session).is_none()
            {
                // After the pause; or another process sends it, or this one when the session is back. So do those
                // behind it: none overtakes.
                waits = true;
                continue;
            } else {
                match performer(approval.clone()).await {
                    Performed::Ended(answer) => answer,
                    Performed::NotYet => return Ok(()),
                }
            };
            let sent = (200..300).contains(&answer.status);
            let state = if sent { ApprovalState::Sent } else { ApprovalState::Failed };
            self.change(&approval, ApprovalChange::Finish { state, answer }).await?;
        }
        Ok(())
    }
}
