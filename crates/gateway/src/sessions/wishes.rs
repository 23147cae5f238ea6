//! What an account wants of presences, asked of WhatsApp again after each login.

use std::{sync::Arc, time::Duration};

use domain::{
    SessionId, Timer,
    backoff::Backoff,
    port::{EngineError, Lease, StoreResult},
    presence::PresenceWishes,
};

use super::SessionsInner;
use crate::Policy;

/// Tries to read the wishes while the ledger fails. Without them nothing is shown and nobody watched until the next
/// login.
const TRIES: u32 = 5;
/// Between two tries.
const RETRY: Backoff =
    Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(30), jitter_percent: 20 };

impl SessionsInner {
    /// A session is logged in and has caught up.
    pub(super) fn renew_presence(self: &Arc<Self>, lease: &Lease) {
        let (inner, session) = (self.clone(), lease.session);
        let stopping = self.supervisor.stopping();
        let name = format!("session/{session}/presence");
        self.supervisor.spawn(name, Policy::Once, async move {
            let renewed = Box::pin(inner.ask_again(session));
            let Some(Err(error)) = stopping.run_until_cancelled(renewed).await else { return };
            tracing::info!(session.id = %session, error = &error as &dyn std::error::Error,
                "presences are not watched again");
        });
    }

    async fn ask_again(&self, session: SessionId) -> Result<(), EngineError> {
        let wishes = self.presence_wishes(session).await.map_err(EngineError::Store)?;
        let connection = self.handle(session).and_then(|handle| handle.ready());
        let Some(connection) = connection else { return Ok(()) };
        if wishes.available == Some(true) && !connection.set_available(true).await? {
            tracing::info!(session.id = %session, "the account has no name yet: it shows later");
        }
        // The newest last, should there be a limit at WhatsApp.
        for chat in wishes.watched.iter().rev() {
            connection.watch_presence(chat).await?;
        }
        Ok(())
    }

    async fn presence_wishes(&self, session: SessionId) -> StoreResult<PresenceWishes> {
        let mut failures = 0;
        loop {
            let read = self.ports.store.presence_wishes(session).await;
            failures += 1;
            if read.is_ok() || failures == TRIES {
                return read;
            }
            let clock = &self.ports.clock;
            let wait = RETRY.wait(failures, self.ports.entropy.fraction());
            clock.sleep_until(Timer::CommitRetry, clock.now().plus(wait)).await;
        }
    }
}
