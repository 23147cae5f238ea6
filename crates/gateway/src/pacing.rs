//! Pacing of sends: a place is taken before anything happens, and given back when nothing left.

mod cold;

use std::sync::Arc;

use domain::{
    ChatId, Clock, Timestamp,
    message::Direction,
    pacing::{PacingOutcome, PacingRule, PacingRules, Refusal, StrangersRefusal},
    port::{Lease, MessageQuery, MessageStore, PacingStore, Page, StoreError},
};

use crate::Ports;

pub(crate) use cold::ColdLocks;

/// Why no place was taken.
pub(crate) enum PacingError {
    /// It was too fast: by which rule, and after how many seconds there may be a place.
    Paced {
        rule: PacingRule,
        retry_after_seconds: u64,
    },
    /// WhatsApp lets this account write to nobody new, and this is somebody new.
    Cold,
    Store(StoreError),
}

/// Why people are not added to a group.
pub(crate) enum StrangersError {
    /// Too many new people for now: there may be places after so many seconds.
    Paced {
        retry_after_seconds: u64,
    },
    /// Too many new people for a whole day.
    Never {
        most: u32,
    },
    Store(StoreError),
}

/// The rules in force, and the counters behind them.
#[derive(Clone)]
pub(crate) struct SendPacing {
    store: Arc<dyn PacingStore>,
    clock: Arc<dyn Clock>,
    rules: Arc<PacingRules>,
    locks: ColdLocks,
    messages: Arc<dyn MessageStore>,
}

/// A place that was taken.
#[must_use]
pub(crate) struct AdmittedSend {
    /// Nothing while pacing is off.
    place: Option<PaceSlot>,
}

struct PaceSlot {
    pacing: SendPacing,
    lease: Lease,
    chat: ChatId,
    at: Timestamp,
}

impl SendPacing {
    pub(crate) fn new(ports: &Ports, rules: PacingRules, locks: ColdLocks) -> Self {
        let (store, clock) = (ports.store.clone(), ports.clock.clone());
        let messages = ports.store.clone();
        Self { store, clock, rules: Arc::new(rules), locks, messages }
    }

    /// Takes a place, or says when there may be one.
    pub(crate) async fn admit(
        &self,
        lease: &Lease,
        chat: &ChatId,
    ) -> Result<AdmittedSend, PacingError> {
        let at = self.clock.now();
        if self.locks.until(lease.session, at).is_some() && self.is_new(lease, chat).await? {
            return Err(PacingError::Cold);
        }
        if !self.rules.enabled {
            return Ok(AdmittedSend { place: None });
        }
        let admitted = self.store.admit_send(lease, chat, &self.rules, at).await;
        match admitted.map_err(PacingError::Store)? {
            Ok(()) => {
                let place =
                    PaceSlot { pacing: self.clone(), lease: lease.clone(), chat: chat.clone(), at };
                Ok(AdmittedSend { place: Some(place) })
            }
            Err(Refusal { rule, until }) => {
                tracing::info!(session.id = %lease.session, rule = rule.as_str(), "a send was too fast");
                let retry_after_seconds = seconds_until(until, at);
                Err(PacingError::Paced { rule, retry_after_seconds })
            }
        }
    }
}

impl SendPacing {
    /// Whether this person never wrote to the account. Groups are nobody in this sense.
    async fn is_new(&self, lease: &Lease, chat: &ChatId) -> Result<bool, PacingError> {
        if chat.is_group() {
            return Ok(false);
        }
        let heard = MessageQuery {
            chat: Some(chat.clone()),
            direction: Some(Direction::Incoming),
            ..MessageQuery::default()
        };
        let one = Page { limit: 1, offset: 0 };
        let heard = self.messages.messages(lease.session, &heard, one).await;
        Ok(heard.map_err(PacingError::Store)?.is_some_and(|page| page.total == 0))
    }
}

/// Places that were taken for people whom this account adds to a group.
#[must_use]
pub(crate) struct AdmittedStrangers {
    pacing: SendPacing,
    lease: Lease,
    /// Who was counted; nobody while pacing is off.
    counted: Vec<ChatId>,
    at: Timestamp,
}

impl SendPacing {
    /// Takes places for people who are added to a group: those with whom neither side ever wrote count as new chats.
    pub(crate) async fn admit_strangers(
        &self,
        lease: &Lease,
        people: &[ChatId],
    ) -> Result<AdmittedStrangers, StrangersError> {
        let at = self.clock.now();
        let admitted = |counted| {
            Ok(AdmittedStrangers { pacing: self.clone(), lease: lease.clone(), counted, at })
        };
        if !self.rules.enabled {
            return admitted(vec![]);
        }
        let counted = self.store.admit_strangers(lease, people, &self.rules, at).await;
        match counted.map_err(StrangersError::Store)? {
            Ok(counted) => admitted(counted),
            Err(StrangersRefusal::Never { most }) => Err(StrangersError::Never { most }),
            Err(StrangersRefusal::Later(Refusal { rule, until })) => {
                tracing::info!(session.id = %lease.session, rule = rule.as_str(), "too many new people for a group");
                Err(StrangersError::Paced { retry_after_seconds: seconds_until(until, at) })
            }
        }
    }
}

impl AdmittedStrangers {
    /// Gives back the places of those who did not hear of this account.
    pub(crate) async fn give_back(self, unaware: impl Fn(&ChatId) -> bool) {
        let back: Vec<ChatId> = self.counted.into_iter().filter(unaware).collect();
        if back.is_empty() {
            return;
        }
        if let Err(error) = self.pacing.store.return_strangers(&self.lease, &back, self.at).await {
            tracing::warn!(session.id = %self.lease.session, error = &error as &dyn std::error::Error,
                "places for new people were not given back");
        }
    }
}

fn seconds_until(until: Timestamp, now: Timestamp) -> u64 {
    let millis = u64::try_from(until.since(now).as_millis()).unwrap_or(u64::MAX);
    millis.div_ceil(1000).max(1)
}

impl AdmittedSend {
    /// Counts what became of the send. Nothing is known: neither a success nor a failure, and the place stays taken.
    pub(crate) async fn record(self, outcome: Option<PacingOutcome>) {
        let Some(PaceSlot { pacing, lease, chat, at }) = self.place else { return };
        let Some(outcome) = outcome else { return };
        let now = pacing.clock.now();
        match pacing.store.record_send(&lease, &chat, &pacing.rules, at, outcome, now).await {
            Ok(true) => {
                tracing::warn!(session.id = %lease.session, "too many failures in a row: sends are stopped for a while");
            }
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(session.id = %lease.session, error = &error as &dyn std::error::Error,
                    "the outcome of a send was not counted");
            }
        }
    }
}
