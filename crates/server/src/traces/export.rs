//! The way of spans to the collector: a queue with a bound, and one task that posts what is in it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    body::Bytes,
    http::{HeaderMap, HeaderValue, header},
};
use gateway::egress::{Egress, EgressBuildError, EgressPolicy};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{
    TraceOptions,
    otlp::{self, OtlpResource},
    record::SpanRecord,
};

/// The program's name in the logs of the collector.
const USER_AGENT: &str = concat!("waypost/", env!("CARGO_PKG_VERSION"));
/// Spans that may wait. When full, new ones are dropped and counted.
const QUEUE_MAX: usize = 4096;
/// Spans of one call.
const BATCH_MAX: usize = 512;
/// How long a call waits for more spans.
const DELAY: Duration = Duration::from_secs(1);
/// Calls for the same spans, when the collector cannot take them now; and the wait between the first two, which
/// doubles.
const TRIES: u32 = 4;
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// Longest wait that a collector may ask for.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// Between two lines in the log about spans that were lost.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// Where spans wait that are over.
pub struct SpanQueue {
    waiting: mpsc::Sender<SpanRecord>,
    dropped: Arc<AtomicU64>,
}

impl SpanQueue {
    /// One that a test empties by itself.
    #[cfg(test)]
    pub fn of_a_test() -> (Self, mpsc::Receiver<SpanRecord>) {
        let (waiting, taken) = mpsc::channel(QUEUE_MAX);
        (Self { waiting, dropped: Arc::default() }, taken)
    }

    /// Takes a span, or counts it when there is no room.
    pub fn put(&self, record: SpanRecord) {
        if self.waiting.try_send(record).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Posts spans to the collector.
pub struct SpanExporter {
    waiting: mpsc::Receiver<SpanRecord>,
    stopping: CancellationToken,
    /// Its guard is off: the collector's address is the operator's, and private more often than not.
    egress: Egress,
    endpoint: Url,
    headers: HeaderMap,
    timeout: Duration,
    resource: OtlpResource,
    losses: SpanLosses,
}

impl SpanExporter {
    /// With an empty queue.
    ///
    /// # Errors
    /// [`EgressBuildError`].
    pub fn new(
        options: TraceOptions,
        stopping: CancellationToken,
    ) -> Result<(Self, SpanQueue), EgressBuildError> {
        let (sender, waiting) = mpsc::channel(QUEUE_MAX);
        let dropped = Arc::<AtomicU64>::default();
        let mut headers = options.headers;
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        let exporter = Self {
            waiting,
            stopping,
            egress: Egress::trusting(EgressPolicy::default(), options.authorities.as_ref())?,
            endpoint: options.endpoint,
            headers,
            timeout: options.timeout,
            resource: OtlpResource::of(&options.resource),
            losses: SpanLosses { dropped: dropped.clone(), ..SpanLosses::default() },
        };
        Ok((exporter, SpanQueue { waiting: sender, dropped }))
    }

    /// Posts until it is told to stop; then what is left.
    pub async fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        while self.fill(&mut batch).await {
            let count = batch.len();
            let body = Bytes::from(otlp::body(&self.resource, batch.drain(..)));
            if let Err(reason) = self.post(body).await {
                self.losses.add(count, reason);
            }
            self.losses.tell(false);
        }
        self.losses.tell(true);
    }

    /// Waits for spans, then a moment for more of them; `false` when there will be none.
    async fn fill(&mut self, batch: &mut Vec<SpanRecord>) -> bool {
        let stopping = self.stopping.clone();
        let first = stopping.run_until_cancelled(self.waiting.recv_many(batch, BATCH_MAX)).await;
        let until = Instant::now() + DELAY;
        while first.is_some() && batch.len() < BATCH_MAX {
            let room = BATCH_MAX - batch.len();
            let more = timeout_at(until, self.waiting.recv_many(batch, room));
            match stopping.run_until_cancelled(more).await {
                Some(Ok(1..)) => {}
                Some(Ok(0) | Err(_)) | None => break,
            }
        }
        if stopping.is_cancelled() {
            // What is in it can still be taken.
            self.waiting.close();
            let room = BATCH_MAX - batch.len();
            if room > 0 {
                self.waiting.recv_many(batch, room).await;
            }
        }
        !batch.is_empty()
    }

    /// One call, again while the collector says that it cannot take it now.
    async fn post(&self, body: Bytes) -> Result<(), String> {
        let (mut wait, mut tries) = (FIRST_WAIT, 1);
        loop {
            let (reason, asked) = match self.call(body.clone()).await {
                ExportEnd::Taken => return Ok(()),
                ExportEnd::Refused(reason) => return Err(reason),
                ExportEnd::Later(reason, asked) => (reason, asked),
            };
            let rest = tokio::time::sleep(asked.unwrap_or(wait).min(WAIT_MAX));
            if tries == TRIES || self.stopping.run_until_cancelled(rest).await.is_none() {
                return Err(reason);
            }
            (wait, tries) = (wait * 2, tries + 1);
        }
    }

    async fn call(&self, body: Bytes) -> ExportEnd {
        let headers = self.headers.clone();
        match self.egress.post(&self.endpoint, headers, body, self.timeout, None).await {
            Ok(answer) if (200..300).contains(&answer.status) => ExportEnd::Taken,
            Ok(answer) => {
                let reason = format!("HTTP {}", answer.status);
                let asked = answer.retry_after.and_then(|text| text.trim().parse().ok());
                match answer.status {
                    429 | 502 | 503 | 504 => {
                        ExportEnd::Later(reason, asked.map(Duration::from_secs))
                    }
                    _ => ExportEnd::Refused(reason),
                }
            }
            Err(error) => ExportEnd::Later(error.text, None),
        }
    }
}

/// What one call came to.
enum ExportEnd {
    Taken,
    /// It would be refused again.
    Refused(String),
    /// Why, and after which time the collector may be asked again, if it said so.
    Later(String, Option<Duration>),
}

/// Spans that nobody will see, until the log has told of them.
#[derive(Default)]
struct SpanLosses {
    /// For want of room in the queue.
    dropped: Arc<AtomicU64>,
    refused: u64,
    reason: Option<String>,
    told_at: Option<Instant>,
}

impl SpanLosses {
    fn add(&mut self, count: usize, reason: String) {
        self.refused += count as u64;
        self.reason = Some(reason);
    }

    /// One line now and then, and at the end.
    fn tell(&mut self, at_end: bool) {
        let is_quiet = self.told_at.is_some_and(|told| told.elapsed() < TOLD_EVERY);
        if is_quiet && !at_end {
            return;
        }
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        let refused = std::mem::take(&mut self.refused);
        if dropped == 0 && refused == 0 {
            return;
        }
        self.told_at = Some(Instant::now());
        let reason = self.reason.take().unwrap_or_else(|| "the queue was full".to_owned());
        tracing::warn!(dropped, refused, reason, "spans of traces were lost");
    }
}
