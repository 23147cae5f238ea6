//! Changes that were held for messages which never came: their events go out alone.

use std::time::Duration;

use domain::Timer;

use super::Sessions;
use crate::{Policy, Supervisor};
const SWEEP: Duration = Duration::from_secs(30);

/// Starts the sweep; it ends with the supervisor.
pub(crate) fn spawn(sessions: &Sessions, supervisor: &Supervisor) {
    let (inner, stopping) = (sessions.inner.clone(), supervisor.stopping());
    supervisor.spawn("sessions/held", Policy::Essential, async move {
        let clock = inner.ports.clock.clone();
        loop {
            tokio::select! {
                () = clock.sleep_until(Timer::HeldChanges, clock.now().plus(SWEEP)) => {}
                () = stopping.cancelled() => return,
            }
            if let Err(error) = inner.ledger.release_held().await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "held changes were not released"
                );
            }
        }
    });
}
