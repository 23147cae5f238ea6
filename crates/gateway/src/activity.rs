//! When each session was last heard of. It subscribes to the ledger's announcements; the sessions' sinks say when the
//! engine spoke.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use domain::{
    Clock, SessionId, Timer, Timestamp,
    event::{Event, EventType},
    log::{Activity, Severity},
    port::{LogStore, StoreResult},
};

use crate::{
    Audit, Policy, Ports, Supervisor,
    ledger::{Committed, LedgerWriter},
};

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
    pub(crate) fn build(
        ports: &Ports,
        supervisor: &Supervisor,
        audit: &Audit,
        ledger: &LedgerWriter,
    ) -> Self {
        let activities =
            Self { log: ports.store.clone(), clock: ports.clock.clone(), known: Arc::default() };
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
        let (this, audit) = (activities.clone(), audit.clone());
        ledger.subscribe(move |committed| match committed {
            Committed::Events(events) => events.iter().for_each(|event| this.stored(event, &audit)),
            Committed::Quarantined { session, kind, reason } => {
                let mut entry = audit.entry("message_quarantined", Severity::Error);
                entry.session = Some(session);
                entry.metadata = serde_json::json!({ "kind": kind });
                entry.error_message = Some(reason.to_owned());
                audit.note(entry);
            }
            Committed::Deliveries => {}
        });
        activities
    }

    /// The activities of some sessions, in their order, in one read: the later of memory and ledger.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn of(&self, sessions: &[SessionId]) -> StoreResult<Vec<Activity>> {
        if sessions.is_empty() {
            return Ok(vec![]);
        }
        let stored = self.log.activities(sessions).await?;
        let stored: HashMap<SessionId, Activity> = stored.into_iter().collect();
        let known = self.lock();
        let of = |id: &SessionId| {
            let known = known.get(id).map(|(activity, _)| *activity).unwrap_or_default();
            stored.get(id).copied().unwrap_or_default().max(known)
        };
        Ok(sessions.iter().map(of).collect())
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

    /// The engine of a session said something.
    pub(crate) fn heard(&self, session: SessionId) {
        self.note(session, |at| Activity { engine_event: Some(at), ..Activity::default() });
    }

    fn stored(&self, event: &Event, audit: &Audit) {
        let draft = &event.draft;
        self.note(draft.session, |at| Activity { stored: Some(at), ..Activity::default() });
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
        let mut entry = audit.entry(&action, severity);
        entry.session = Some(draft.session);
        entry.metadata = draft.data.value();
        audit.note(entry);
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
