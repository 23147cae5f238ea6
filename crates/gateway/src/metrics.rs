//! Numbers for Prometheus, in its text format: OpenWA's names and ours. No label names a person or a chat.

use std::{
    collections::HashMap,
    fmt::Write as _,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use domain::{
    Clock, SessionId, Timestamp,
    log::{COMMIT_SIZE_CLASSES, MessageCounts, WebhookLag},
    port::{DeliveryQueue, Ledger, LogStore, StoreResult},
    session::SessionStatus,
};

use crate::{Audit, Live, Peers, Ports, Sessions, webhooks::Meter};

/// How long counts of messages are good for: counting reads the whole table.
const COUNTS_TTL: Duration = Duration::from_secs(30);
/// How long the lags are good for.
const LAGS_TTL: Duration = Duration::from_secs(5);
/// Webhooks with series of their own, the longest waiting ones; the rest is summed up as `other`.
const WEBHOOKS_MAX: usize = 500;
/// Wrong tokens of one client in a minute.
const BAD_TOKENS_MAX: u32 = 10;
/// Clients whose wrong tokens are counted; when full all are forgotten.
const CLIENTS_MAX: usize = 10_000;

/// A webhook that stores and does not deliver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stalled {
    /// How far the webhook is behind.
    pub lag: WebhookLag,
    /// How long its oldest delivery waits.
    pub waits: Duration,
}

/// How the queue of deliveries does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueStanding {
    /// Deliveries that wait.
    pub pending: u64,
    /// Whether Redis answers; `None` without it.
    pub redis_up: Option<bool>,
}

type BadTokens = HashMap<Option<IpAddr>, (i64, u32)>;
type Cached<T> = Arc<tokio::sync::Mutex<Option<(Timestamp, T)>>>;

/// A handle to the numbers. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    clock: Arc<dyn Clock>,
    log: Arc<dyn LogStore>,
    queue: Arc<dyn DeliveryQueue>,
    ledger: Arc<dyn Ledger>,
    sessions: Sessions,
    peers: Option<Peers>,
    live: Live,
    audit: Audit,
    meter: Meter,
    started: Timestamp,
    stall_limit: Duration,
    counts: Cached<MessageCounts>,
    lags: Cached<Vec<WebhookLag>>,
    /// Per client: the minute, and its wrong tokens in it.
    bad_tokens: Arc<Mutex<BadTokens>>,
}

/// The text of an exposition.
#[derive(Default)]
struct MetricsText(String);

impl MetricsText {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn value(&mut self, name: &str, labels: &str, value: f64) {
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: f64) {
        self.family(name, kind, help);
        self.value(name, "", value);
    }
}

fn float(number: u64) -> f64 {
    // Exact up to 2^53, which no count here reaches.
    number as f64
}

impl Metrics {
    pub(crate) fn build(
        ports: &Ports,
        sessions: &Sessions,
        peers: &Option<Peers>,
        live: &Live,
        audit: &Audit,
        meter: &Meter,
        stall_limit: Duration,
    ) -> Self {
        Self {
            clock: ports.clock.clone(),
            log: ports.store.clone(),
            queue: ports.queue.clone(),
            ledger: ports.store.clone(),
            sessions: sessions.clone(),
            peers: peers.clone(),
            live: live.clone(),
            audit: audit.clone(),
            meter: meter.clone(),
            started: ports.clock.now(),
            stall_limit,
            counts: Arc::default(),
            lags: Arc::default(),
            bad_tokens: Arc::default(),
        }
    }

    /// Seconds that a client has to wait before its next token is looked at; `None` when it may try.
    pub fn token_wait(&self, client: Option<IpAddr>) -> Option<u64> {
        let now = self.clock.now().seconds();
        let tokens = self.bad_tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let (minute, count) = tokens.get(&client).copied().unwrap_or_default();
        let full = minute == now.div_euclid(60) && count >= BAD_TOKENS_MAX;
        full.then(|| u64::try_from(60 - now.rem_euclid(60)).unwrap_or(60))
    }

    /// A client brought a wrong token.
    pub fn bad_token(&self, client: Option<IpAddr>) {
        let minute = self.clock.now().seconds().div_euclid(60);
        let mut tokens = self.bad_tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if tokens.len() >= CLIENTS_MAX && !tokens.contains_key(&client) {
            tokens.clear();
        }
        let entry = tokens.entry(client).or_default();
        *entry = if entry.0 == minute { (minute, entry.1 + 1) } else { (minute, 1) };
    }

    /// How the queue of deliveries does; nothing waits where that cannot be read.
    pub async fn queue(&self) -> QueueStanding {
        let lags = self.lags().await.unwrap_or_default();
        QueueStanding {
            pending: lags.iter().map(|lag| lag.pending).sum(),
            redis_up: self.queue.queue_server().map(|server| server.up),
        }
    }

    /// Webhooks of visible sessions for which events are stored but not delivered for too long.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn stalled(
        &self,
        visible: &(dyn Fn(SessionId) -> bool + Send + Sync),
    ) -> StoreResult<Vec<Stalled>> {
        let now = self.clock.now();
        let lags = self.lags().await?;
        let stalled = lags
            .into_iter()
            .filter(|lag| visible(lag.session) && lag.is_stalled(now, self.stall_limit));
        let waits = |lag: &WebhookLag| lag.oldest.map_or(Duration::ZERO, |at| now.since(at));
        Ok(stalled.map(|lag| Stalled { waits: waits(&lag), lag }).collect())
    }

    async fn lags(&self) -> StoreResult<Vec<WebhookLag>> {
        let now = self.clock.now();
        // Held while reading: askers at the same time share one answer.
        let mut cached = self.lags.lock().await;
        match &*cached {
            Some((at, lags)) if now.since(*at) < LAGS_TTL => Ok(lags.clone()),
            _ => Ok(cached.insert((now, self.log.lags().await?)).1.clone()),
        }
    }

    async fn message_counts(&self) -> StoreResult<MessageCounts> {
        let now = self.clock.now();
        let mut cached = self.counts.lock().await;
        match &*cached {
            Some((at, counts)) if now.since(*at) < COUNTS_TTL => Ok(*counts),
            _ => Ok(cached.insert((now, self.log.message_counts().await?)).1),
        }
    }

    /// Everything as text, version 0.0.4. What the ledger does not answer is left out.
    pub async fn text(&self, resident_bytes: u64) -> String {
        let mut text = MetricsText::default();
        self.process(&mut text, resident_bytes);
        let available = match self.stored(&mut text).await {
            Ok(()) => 1.0,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "the metrics are not complete");
                0.0
            }
        };
        let help = "Whether the numbers of the ledger are complete.";
        text.one("openwa_stats_available", "gauge", help, available);
        self.faults(&mut text);
        self.workers(&mut text);
        text.0
    }

    fn process(&self, text: &mut MetricsText, resident_bytes: u64) {
        text.one("openwa_up", "gauge", "The process answers.", 1.0);
        let uptime = self.clock.now().since(self.started).as_secs_f64();
        text.one("openwa_process_uptime_seconds", "gauge", "Since the start.", uptime);
        let resident = float(resident_bytes);
        let help = "Resident memory.";
        text.one("openwa_process_resident_memory_bytes", "gauge", help, resident);
        let help = "Resident memory again: there is no separate heap.";
        text.one("openwa_process_heap_used_bytes", "gauge", help, resident);
    }

    async fn stored(&self, text: &mut MetricsText) -> StoreResult<()> {
        let overview = self.sessions.overview(&|_| true).await?;
        text.one("openwa_sessions_total", "gauge", "Sessions.", float(overview.total));
        let help = "Sessions whose engine is loaded in this process.";
        let active = self.sessions.loaded_count() as u64;
        text.one("openwa_sessions_active", "gauge", help, float(active));
        text.family("openwa_sessions", "gauge", "Sessions by status.");
        for status in SessionStatus::ALL.map(SessionStatus::as_str) {
            let count = overview.by_status.get(status).copied().unwrap_or(0);
            text.value("openwa_sessions", &format!("{{status=\"{status}\"}}"), float(count));
        }
        let counts = self.message_counts().await?;
        text.family("openwa_messages_total", "gauge", "Stored messages by direction.");
        for (direction, count) in [("incoming", counts.incoming), ("outgoing", counts.outgoing)] {
            let labels = format!("{{direction=\"{direction}\"}}");
            text.value("openwa_messages_total", &labels, float(count));
        }
        let help = "Stored messages that failed.";
        text.one("openwa_messages_failed_total", "gauge", help, float(counts.failed));
        self.lag(text).await?;
        let doubtful = self.log.doubtful_counts().await?;
        text.family("waypost_breakers", "gauge", "Breakers that are not closed, by state.");
        for (state, count) in [("open", doubtful.open), ("catch_up", doubtful.catching_up)] {
            text.value("waypost_breakers", &format!("{{state=\"{state}\"}}"), float(count));
        }
        let paused = float(doubtful.paused);
        text.one("waypost_webhooks_paused", "gauge", "Paused webhooks.", paused);
        let bounds = self.log.log_bounds().await?;
        let aside = float(self.ledger.put_aside().await?);
        let help = "What was put aside because it cannot be stored.";
        text.one("waypost_quarantined", "gauge", help, aside);
        let help = "Events recorded since the ledger was made.";
        text.one("waypost_events_total", "counter", help, float(bounds.last));
        Ok(())
    }

    async fn lag(&self, text: &mut MetricsText) -> StoreResult<()> {
        let (now, lags) = (self.clock.now(), self.lags().await?);
        let age = |at: Option<Timestamp>| at.map_or(0.0, |at| now.since(at).as_secs_f64());
        let help = "Deliveries that wait.";
        let pending = lags.iter().map(|lag| lag.pending).sum();
        text.one("waypost_deliveries_pending", "gauge", help, float(pending));
        let oldest = lags.iter().filter_map(|lag| lag.oldest).min();
        let help = "Age of the oldest event that waits for its delivery.";
        text.one("waypost_oldest_undelivered_age_seconds", "gauge", help, age(oldest));
        let rest = lags.get(WEBHOOKS_MAX..).unwrap_or_default();
        let mut rows: Vec<(String, f64, u64, u64)> = lags
            .iter()
            .take(WEBHOOKS_MAX)
            .map(|lag| (lag.webhook.to_string(), age(lag.oldest), lag.pending, lag.lanes_blocked))
            .collect();
        if !rest.is_empty() {
            let oldest = rest.iter().filter_map(|lag| lag.oldest).min();
            let sum = |count: fn(&WebhookLag) -> u64| rest.iter().map(count).sum();
            let (pending, blocked) = (sum(|lag| lag.pending), sum(|lag| lag.lanes_blocked));
            rows.push(("other".to_owned(), age(oldest), pending, blocked));
        }
        type Row = (String, f64, u64, u64);
        type Value = fn(&Row) -> f64;
        let series: [(&str, &str, Value); 3] = [
            ("waypost_webhook_lag_seconds", "Age of the oldest waiting event.", |row| row.1),
            ("waypost_webhook_pending", "Deliveries that wait.", |row| float(row.2)),
            ("waypost_webhook_lanes_blocked", "Lanes that wait for a retry.", |row| float(row.3)),
        ];
        for (name, help, value) in series {
            text.family(name, "gauge", help);
            for row in &rows {
                text.value(name, &format!("{{webhook=\"{}\"}}", row.0), value(row));
            }
        }
        Ok(())
    }

    fn faults(&self, text: &mut MetricsText) {
        let writable = f64::from(u8::from(self.ledger.trouble().is_none()));
        text.one("waypost_ledger_writable", "gauge", "Whether the ledger takes writes.", writable);
        let rows = float(u64::try_from(self.ledger.unreadable().len()).unwrap_or(u64::MAX));
        let help = "Rows that cannot be read; everything else goes on without them.";
        text.one("waypost_unreadable_rows", "gauge", help, rows);
    }

    fn workers(&self, text: &mut MetricsText) {
        let name = "waypost_delivery_attempts_total";
        text.family(name, "counter", "Attempts since the start, by outcome.");
        for (outcome, count) in self.meter.attempts() {
            text.value(name, &format!("{{outcome=\"{outcome}\"}}"), float(count));
        }
        let help = "Deliveries given up since the start.";
        text.one(
            "waypost_deliveries_exhausted_total",
            "counter",
            help,
            float(self.meter.exhausted_so_far()),
        );
        if let Some(peers) = &self.peers {
            let name = "waypost_requests_handed_over_total";
            let help = "Requests handed to the process that runs their session, by outcome.";
            text.family(name, "counter", help);
            for (outcome, count) in peers.outcomes() {
                text.value(name, &format!("{{outcome=\"{outcome}\"}}"), float(count));
            }
        }
        if let Some(server) = self.queue.queue_server() {
            let help = "Whether lanes are claimed through Redis; otherwise from the ledger.";
            text.one("waypost_queue_redis_up", "gauge", help, f64::from(u8::from(server.up)));
        }
        let writer = self.log.writer();
        let name = "waypost_ledger_commit_jobs";
        text.family(name, "histogram", "Jobs that shared one commit.");
        let mut below = 0;
        for (most, count) in COMMIT_SIZE_CLASSES.iter().zip(writer.classes) {
            below += count;
            text.value(&format!("{name}_bucket"), &format!("{{le=\"{most}\"}}"), float(below));
        }
        text.value(&format!("{name}_bucket"), "{le=\"+Inf\"}", float(below));
        text.value(&format!("{name}_sum"), "", float(writer.jobs));
        text.value(&format!("{name}_count"), "", float(below));
        let help = "Jobs that wait for the ledger's writer.";
        text.one("waypost_ledger_queue_depth", "gauge", help, float(writer.waiting));
        let clients = float(self.live.clients() as u64);
        text.one("waypost_live_clients", "gauge", "Live readers.", clients);
        let help = "Audit entries that were not written since the start.";
        text.one("waypost_audit_lost_total", "counter", help, float(self.audit.lost()));
    }
}
