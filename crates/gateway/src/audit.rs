//! Who did what. Actions of callers are stored before they are answered; what happens by itself waits in a short queue.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use domain::{
    Clock, Entropy, Timestamp,
    log::{AuditEntry, AuditQuery, Severity},
    port::{LogStore, Page, StoreResult},
};
use tokio::sync::mpsc;

use crate::{Policy, Ports, Supervisor};

/// Entries that may wait. When full, further ones are counted as lost: the audit must not hold up what it tells about.
const QUEUE_MAX: usize = 1024;
/// Entries of one commit.
const BATCH_MAX: usize = 64;
/// Refusals that are written down per minute, of one address and of all; the rest is only counted. Strangers must not
/// fill the disk, and one of them must not hide what another tries.
const REFUSALS_OF_ONE: u32 = 20;
const REFUSALS_OF_ALL: u32 = 300;

/// A handle to the audit. Cheap to clone.
#[derive(Clone)]
pub struct Audit {
    log: Arc<dyn LogStore>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    queue: mpsc::Sender<AuditEntry>,
    lost: Arc<AtomicU64>,
    refusals: Arc<Mutex<RefusalCounts>>,
}

/// What was refused in a minute. Bounded: addresses are remembered only for what was written down.
#[derive(Default)]
struct RefusalCounts {
    minute: i64,
    all: u32,
    addresses: HashMap<Option<String>, u32>,
}

impl RefusalCounts {
    /// Whether one more is written down.
    fn take(&mut self, minute: i64, address: &Option<String>) -> bool {
        if self.minute != minute {
            *self = Self { minute, ..Self::default() };
        }
        let of_one = self.addresses.get(address).copied().unwrap_or_default();
        if self.all >= REFUSALS_OF_ALL || of_one >= REFUSALS_OF_ONE {
            return false;
        }
        self.all += 1;
        self.addresses.insert(address.clone(), of_one + 1);
        true
    }
}

impl Audit {
    /// Starts the writer of the queue.
    pub fn build(ports: &Ports, supervisor: &Supervisor) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE_MAX);
        let audit = Self {
            log: ports.store.clone(),
            clock: ports.clock.clone(),
            entropy: ports.entropy.clone(),
            queue,
            lost: Arc::default(),
            refusals: Arc::default(),
        };
        let (log, lost, stopping) = (audit.log.clone(), audit.lost.clone(), supervisor.stopping());
        supervisor.spawn("audit/writer", Policy::Essential, async move {
            write(waiting, log, lost, stopping).await;
        });
        audit
    }

    /// An entry of now; the caller fills in what it knows.
    pub fn entry(&self, action: &str, severity: Severity) -> AuditEntry {
        let mut bytes = [0u8; 16];
        self.entropy.fill(&mut bytes);
        let id = uuid::Builder::from_random_bytes(bytes).into_uuid();
        AuditEntry::new(id, action.to_owned(), severity, self.clock.now())
    }

    /// Stores an entry and waits until it is durable.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn record(&self, entry: AuditEntry) -> StoreResult<()> {
        self.log.append_audit(vec![entry]).await
    }

    /// Stores an entry soon; see [`QUEUE_MAX`].
    pub fn note(&self, entry: AuditEntry) {
        if self.queue.try_send(entry).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Notes that something was refused, at most so many a minute; see [`REFUSALS_OF_ONE`].
    pub fn note_refusal(&self, entry: AuditEntry) {
        let minute = self.clock.now().seconds().div_euclid(60);
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        if !refusals.take(minute, &entry.ip) {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        drop(refusals);
        self.note(entry);
    }

    /// Entries that were not written since the start.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Newest first, and how many match without paging.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn list(
        &self,
        query: &AuditQuery,
        page: Page,
    ) -> StoreResult<(Vec<AuditEntry>, u64)> {
        self.log.audit_entries(query, page).await
    }

    /// Deletes up to `limit` entries older than this; how many.
    pub(crate) async fn prune(&self, before: Timestamp, limit: u32) -> StoreResult<u64> {
        self.log.prune_audit(before, limit).await
    }
}

async fn write(
    mut waiting: mpsc::Receiver<AuditEntry>,
    log: Arc<dyn LogStore>,
    lost: Arc<AtomicU64>,
    stopping: tokio_util::sync::CancellationToken,
) {
    loop {
        let mut batch = Vec::new();
        tokio::select! {
            biased;
            count = waiting.recv_many(&mut batch, BATCH_MAX) => if count == 0 { return },
            () = stopping.cancelled() => return,
        }
        let count = batch.len() as u64;
        if let Err(error) = log.append_audit(batch).await {
            lost.fetch_add(count, Ordering::Relaxed);
            tracing::warn!(error = &error as &dyn std::error::Error, "the audit was not written");
        }
    }
}
