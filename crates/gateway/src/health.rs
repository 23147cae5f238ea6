//! Whether the gateway can work.

use std::{sync::Arc, time::Duration};

use domain::port::{DeliveryQueue, Ledger, QueueServer};
use tokio_util::sync::CancellationToken;

use crate::{Ports, Supervisor};

/// A database that takes longer than this is down for the caller.
const PING_LIMIT: Duration = Duration::from_secs(2);

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// Requests are served.
    Ready,
    /// The ledger does not answer.
    DatabaseDown,
    /// Shutting down.
    Draining,
}

/// A handle to ask.
#[derive(Clone)]
pub struct Health {
    ledger: Arc<dyn Ledger>,
    queue: Arc<dyn DeliveryQueue>,
    stopping: CancellationToken,
}

impl Health {
    pub(crate) fn build(ports: &Ports, supervisor: &Supervisor) -> Self {
        let (ledger, queue) = (ports.ledger.clone(), ports.queue.clone());
        Self { ledger, queue, stopping: supervisor.stopping() }
    }

    /// The server that hands lanes out, where there is one. While it is down deliveries go on from the ledger.
    pub fn queue(&self) -> Option<QueueServer> {
        self.queue.server()
    }

    /// Asks the ledger, within a limit.
    pub async fn ready(&self) -> Readiness {
        if self.stopping.is_cancelled() {
            return Readiness::Draining;
        }
        match tokio::time::timeout(PING_LIMIT, self.ledger.ping()).await {
            Ok(Ok(())) => Readiness::Ready,
            _ => Readiness::DatabaseDown,
        }
    }
}
