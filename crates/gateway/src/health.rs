//! Whether the gateway can work.

use std::{sync::Arc, time::Duration};

use domain::port::{DeliveryQueue, Ledger, QueueServer, StoreResult, Trouble, UnreadableRow};
use tokio_util::sync::CancellationToken;

use crate::{Ports, Supervisor, Webhooks, webhooks::Flow};

/// A database that takes longer than this is down for the caller.
const PING_LIMIT: Duration = Duration::from_secs(2);

/// Whether this process should get requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// The ledger answers and requests are served.
    Ready,
    /// The ledger does not answer.
    DatabaseDown,
    /// It answers, but takes no writes.
    NotWritable(Trouble),
    /// It finishes what is open and takes nothing new.
    Draining,
}

/// A handle to ask.
#[derive(Clone)]
pub struct Health {
    ledger: Arc<dyn Ledger>,
    queue: Arc<dyn DeliveryQueue>,
    webhooks: Webhooks,
    stopping: CancellationToken,
}

impl Health {
    pub(crate) fn build(ports: &Ports, webhooks: &Webhooks, supervisor: &Supervisor) -> Self {
        let (ledger, queue) = (ports.store.clone(), ports.queue.clone());
        let webhooks = webhooks.clone();
        Self { ledger, queue, webhooks, stopping: supervisor.stopping() }
    }

    /// Whether deliveries leave, and why not.
    pub fn flow(&self) -> Flow {
        self.webhooks.flow()
    }

    /// Rows that cannot be read. Everything else goes on without them.
    pub fn unreadable(&self) -> Vec<UnreadableRow> {
        self.ledger.unreadable()
    }

    /// How much was put aside because it cannot be stored.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn put_aside(&self) -> StoreResult<u64> {
        self.ledger.put_aside().await
    }

    /// The server that hands lanes out, where there is one. While it is down deliveries go on from the ledger.
    pub fn queue(&self) -> Option<QueueServer> {
        self.queue.queue_server()
    }

    /// Asks the ledger, within a limit.
    pub async fn ready(&self) -> Readiness {
        if self.stopping.is_cancelled() {
            return Readiness::Draining;
        }
        let answers = tokio::time::timeout(PING_LIMIT, self.ledger.ping()).await;
        match (answers, self.ledger.trouble()) {
            (Ok(Ok(())), None) => Readiness::Ready,
            (Ok(Ok(())), Some(trouble)) => Readiness::NotWritable(trouble),
            // The question to the writer fails as other writes do.
            (_, Some(trouble)) if trouble != Trouble::Away => Readiness::NotWritable(trouble),
            _ => Readiness::DatabaseDown,
        }
    }
}
