//! When each session was last heard of, seen from the walls: the ledger and the engine are wrapped, so that nothing in
//! between has to report.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use domain::{
    Clock, SessionId, Timer, Timestamp, WaMessageId,
    event::{Event, EventType},
    log::{Activity, Severity},
    message::InboundMessage,
    port::{
        Connection, EngineError, EngineSignal, EngineSink, Ledger, LogStore, OpenRequest,
        Quarantined, StoreResult, Trouble, UnreadableRow, WhatsApp, Write, WriteOutcome,
    },
};
use tokio::sync::Notify;

use crate::{Audit, Policy, Ports, Supervisor};

/// Between two writes of what changed.
const FLUSH_EVERY: Duration = Duration::from_secs(10);
/// Sessions in memory; when full, those that are stored are forgotten.
const SESSIONS_MAX: usize = 10_000;

/// A handle to the activities. Cheap to clone.
#[derive(Clone)]
pub struct Activities {
    log: Arc<dyn LogStore>,
    clock: Arc<dyn Clock>,
    /// With a mark on those that are not stored yet.
    known: Arc<Mutex<HashMap<SessionId, (Activity, bool)>>>,
}

impl Activities {
    pub(crate) fn build(ports: &Ports, supervisor: &Supervisor) -> Self {
        let activities =
            Self { log: ports.log.clone(), clock: ports.clock.clone(), known: Arc::default() };
        let (this, stopping) = (activities.clone(), supervisor.stopping());
        supervisor.spawn("activity/flush", Policy::Essential, async move {
            while !stopping.is_cancelled() {
                let at = this.clock.now().plus(FLUSH_EVERY);
                tokio::select! {
                    () = this.clock.sleep_until(Timer::ActivityFlush, at) => {}
                    () = stopping.cancelled() => {}
                }
                this.flush().await;
            }
        });
        activities
    }

    /// The activity of a session: the later of memory and ledger.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn of(&self, session: SessionId) -> StoreResult<Activity> {
        let stored = self.log.activity(session).await?;
        let known = self.lock().get(&session).map(|(activity, _)| *activity);
        Ok(stored.max(known.unwrap_or_default()))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<SessionId, (Activity, bool)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, session: SessionId, news: impl FnOnce(Timestamp) -> Activity) {
        let news = news(self.clock.now());
        let mut known = self.lock();
        if known.len() >= SESSIONS_MAX && !known.contains_key(&session) {
            known.retain(|_, (_, dirty)| *dirty);
        }
        let entry = known.entry(session).or_default();
        *entry = (entry.0.max(news), true);
    }

    async fn flush(&self) {
        let mut changed = Vec::new();
        for (session, (activity, dirty)) in self.lock().iter_mut() {
            if std::mem::take(dirty) {
                changed.push((*session, *activity));
            }
        }
        if changed.is_empty() {
            return;
        }
        if let Err(error) = self.log.keep_activity(changed).await {
            // Told again with the next sign of life.
            tracing::warn!(error = &error as &dyn std::error::Error, "activities were not stored");
        }
    }
}

/// The ledger, with an eye on what is recorded.
pub(crate) struct ObservedLedger {
    ledger: Arc<dyn Ledger>,
    activities: Activities,
    audit: Audit,
    /// Told after each commit with events.
    news: Arc<Notify>,
}

impl ObservedLedger {
    pub(crate) fn new(
        ledger: Arc<dyn Ledger>,
        activities: Activities,
        audit: Audit,
        news: Arc<Notify>,
    ) -> Self {
        Self { ledger, activities, audit, news }
    }

    fn recorded(&self, event: &Event) {
        let draft = &event.draft;
        let stored = |at| Activity { stored: Some(at), ..Activity::default() };
        self.activities.note(draft.session, stored);
        let severity = match draft.kind {
            EventType::SessionStatus if draft.data.value()["status"] == "ready" => Severity::Info,
            EventType::SessionDisconnected => Severity::Warn,
            // What happens to webhooks by itself is written down by the ledger.
            _ => return,
        };
        let action = match draft.kind {
            EventType::SessionStatus => "session_connected".to_owned(),
            kind => kind.as_str().replace('.', "_"),
        };
        let mut entry = self.audit.entry(&action, severity);
        entry.session = Some(draft.session);
        entry.metadata = draft.data.value();
        self.audit.note(entry);
    }
}

#[async_trait]
impl Ledger for ObservedLedger {
    async fn write(&self, writes: Vec<Write>) -> StoreResult<Vec<WriteOutcome>> {
        let outcomes = self.ledger.write(writes).await?;
        let mut any = false;
        for outcome in &outcomes {
            let WriteOutcome::Applied(events) = outcome else { continue };
            events.iter().for_each(|event| self.recorded(event));
            any |= !events.is_empty();
        }
        if any {
            self.news.notify_one();
        }
        Ok(outcomes)
    }

    async fn release_held(&self, now: Timestamp) -> StoreResult<u64> {
        let released = self.ledger.release_held(now).await?;
        if released > 0 {
            self.news.notify_one();
        }
        Ok(released)
    }

    async fn ping(&self) -> StoreResult<()> {
        self.ledger.ping().await
    }

    fn trouble(&self) -> Option<Trouble> {
        self.ledger.trouble()
    }

    async fn probe(&self) -> StoreResult<()> {
        self.ledger.probe().await
    }

    fn unreadable(&self) -> Vec<UnreadableRow> {
        self.ledger.unreadable()
    }

    async fn quarantine(&self, put_aside: Quarantined) -> StoreResult<bool> {
        let (session, kind) = (put_aside.session, put_aside.kind);
        let reason = put_aside.reason.clone();
        let stored = self.ledger.quarantine(put_aside).await?;
        if stored {
            let mut entry = self.audit.entry("message_quarantined", Severity::Error);
            entry.session = Some(session);
            entry.metadata = serde_json::json!({ "kind": kind });
            entry.error_message = Some(reason);
            self.audit.note(entry);
        }
        Ok(stored)
    }

    async fn put_aside(&self) -> StoreResult<u64> {
        self.ledger.put_aside().await
    }
}

/// The engine, with an ear on what it says.
pub(crate) struct ObservedEngine {
    engine: Arc<dyn WhatsApp>,
    activities: Activities,
}

impl ObservedEngine {
    pub(crate) fn new(engine: Arc<dyn WhatsApp>, activities: Activities) -> Self {
        Self { engine, activities }
    }
}

#[async_trait]
impl WhatsApp for ObservedEngine {
    async fn open(
        &self,
        request: OpenRequest,
        sink: Arc<dyn EngineSink>,
    ) -> Result<Arc<dyn Connection>, EngineError> {
        let heard =
            Heard { sink, session: request.lease.session, activities: self.activities.clone() };
        self.engine.open(request, Arc::new(heard)).await
    }
}

struct Heard {
    sink: Arc<dyn EngineSink>,
    session: SessionId,
    activities: Activities,
}

impl Heard {
    fn note(&self) {
        let heard = |at| Activity { engine_event: Some(at), ..Activity::default() };
        self.activities.note(self.session, heard);
    }
}

#[async_trait]
impl EngineSink for Heard {
    async fn messages(&self, messages: Vec<InboundMessage>) -> StoreResult<()> {
        self.note();
        self.sink.messages(messages).await
    }

    async fn knows(&self, id: &WaMessageId) -> StoreResult<bool> {
        self.sink.knows(id).await
    }

    async fn signal(&self, signal: EngineSignal) {
        self.note();
        self.sink.signal(signal).await;
    }
}
