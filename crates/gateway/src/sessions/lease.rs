//! The right to connect a session: one owner among all processes.

use std::time::Duration;

use domain::{SessionId, Timestamp, port::StoreResult};

use super::Inner;

/// Renewals in the time that one lasts.
const HEARTBEATS: u32 = 3;
/// Tries in that time, while they fail.
const TRIES: u32 = 12;

const TAKEN: &str = "another process has taken it over";
const TOO_LATE: &str = "its lease could not be renewed in time";

impl Inner {
    /// Takes or renews the right to connect; `false` when another process has it.
    pub(crate) async fn renew_lease(&self, id: SessionId) -> StoreResult<bool> {
        let now = self.ports.clock.now();
        let until = now.plus(self.options.session_lease);
        let epoch = self.ports.sessions.acquire(id, &self.options.node, now, until).await?;
        Ok(epoch.is_some())
    }

    /// Gives it back.
    pub(super) async fn let_go(&self, id: SessionId) {
        if let Err(error) = self.ports.sessions.release(id, &self.options.node).await {
            // It runs out by itself.
            tracing::warn!(session.id = %id, error = &error as &dyn std::error::Error, "a lease was not released");
        }
    }
}

/// The lease of a session that runs.
pub(super) struct Lease {
    /// When it is renewed next.
    pub(super) renew_at: Timestamp,
    held_until: Timestamp,
    /// How long it lasts without a renewal.
    length: Duration,
}

impl Lease {
    /// Taken just now.
    pub(super) fn taken(now: Timestamp, length: Duration) -> Self {
        Self { renew_at: now.plus(length / HEARTBEATS), held_until: now.plus(length), length }
    }

    /// Renews it. An error says why the connection has to end: another process may have one.
    pub(super) async fn renew(&mut self, inner: &Inner, id: SessionId) -> Result<(), &'static str> {
        let clock = &inner.ports.clock;
        let now = clock.now();
        // After a standstill of the process it has run out already; whether anybody took it only the ledger knows.
        let limit = self.held_until.max(now.plus(self.length / TRIES));
        let renewed = tokio::select! {
            biased;
            renewed = inner.renew_lease(id) => renewed,
            () = clock.sleep_until(limit) => return Err(TOO_LATE),
        };
        match renewed {
            Ok(true) => *self = Self::taken(now, self.length),
            Ok(false) => return Err(TAKEN),
            Err(error) => {
                tracing::warn!(session.id = %id, error = &error as &dyn std::error::Error, "lease not renewed");
                self.renew_at = clock.now().plus(self.length / TRIES);
                if self.renew_at >= self.held_until {
                    return Err(TOO_LATE);
                }
            }
        }
        Ok(())
    }
}
