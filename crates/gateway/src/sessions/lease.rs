//! The right to run a session: one owner among all processes.

use std::time::Duration;

use domain::{
    SessionId, Timer,
    port::{Held, Lease, StoreResult},
};

use super::SessionsInner;

/// Renewals in the time that one lasts.
const HEARTBEATS: u32 = 3;
/// Tries in that time, while they fail.
const TRIES: u32 = 12;

const TAKEN: &str = "another process has taken it over";
const TOO_LATE: &str = "its lease could not be renewed in time";

impl SessionsInner {
    /// Takes or renews the right to run a session; nothing when another process has it.
    pub(crate) async fn acquire(&self, id: SessionId) -> StoreResult<Option<Held>> {
        let (ports, options) = (&self.ports, &self.options);
        let now = ports.clock.now();
        ports.store.acquire_session(id, &options.node, now, options.session_lease).await
    }

    /// Gives it back.
    pub(super) async fn let_go(&self, lease: &Lease) {
        if let Err(error) = self.ports.store.release_session(lease).await {
            // It runs out by itself.
            tracing::warn!(session.id = %lease.session, error = &error as &dyn std::error::Error, "a lease was not released");
        }
    }
}

/// The lease of a session that runs, kept. Times are those of [`Clock::elapsed`](domain::Clock::elapsed): a clock
/// that is set back or ahead changes nothing.
pub(super) struct SessionTenure {
    pub(super) lease: Lease,
    /// When it is renewed next.
    pub(super) renew_at: Duration,
    held_until: Duration,
    /// How long it lasts without a renewal.
    length: Duration,
}

impl SessionTenure {
    /// Of a lease taken just now.
    pub(super) fn new(lease: Lease, now: Duration, length: Duration) -> Self {
        Self { lease, renew_at: now + length / HEARTBEATS, held_until: now + length, length }
    }

    /// Renews it. An error says why the connection has to end: another process may have one.
    pub(super) async fn renew(
        &mut self,
        inner: &SessionsInner,
    ) -> Result<Option<Held>, &'static str> {
        let clock = &inner.ports.clock;
        let id = self.lease.session;
        let now = clock.elapsed();
        // After a standstill of the process it has run out already; whether anybody took it only the ledger knows.
        let limit = self.held_until.saturating_sub(now).max(self.length / TRIES);
        let renewed = tokio::select! {
            biased;
            renewed = inner.acquire(id) => renewed,
            () = clock.sleep(Timer::LeaseAnswer, limit) => return Err(TOO_LATE),
        };
        match renewed {
            Ok(Some(held)) if held.lease == self.lease => {
                *self = Self::new(held.lease.clone(), now, self.length);
                Ok(Some(held))
            }
            Ok(Some(held)) => {
                // Another process had it and let it go: what is connected here is of an earlier time.
                inner.let_go(&held.lease).await;
                Err(TAKEN)
            }
            Ok(None) => Err(TAKEN),
            Err(error) => {
                tracing::warn!(session.id = %id, error = &error as &dyn std::error::Error, "lease not renewed");
                self.renew_at = clock.elapsed() + self.length / TRIES;
                if self.renew_at >= self.held_until { Err(TOO_LATE) } else { Ok(None) }
            }
        }
    }
}
