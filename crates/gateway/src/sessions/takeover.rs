//! Sessions that should run and that nobody runs: at the start of the process, and when the process that ran them died.
//!
//! A process that is killed holds its leases until they run out. What it left is found by a look at the ledger at an
//! interval; then any process may take it over, the killed one's next life among them. A record is only written by who
//! holds the lease: what another process runs is left alone.

use std::time::Duration;

use domain::{
    SessionId, Timer,
    port::{Page, StoreError},
    session::Session,
};
use futures::{StreamExt as _, TryStreamExt as _};

use super::{Sessions, error::StartSessionError};
use crate::Policy;

/// Sessions taken over in one look; what is left over comes with the next.
const TAKEN_AT_ONCE: u32 = 1000;
/// Records put right at once at the start; they share commits.
const WOKEN_AT_ONCE: usize = 64;
const WATCH: &str = "sessions/takeover";

impl Sessions {
    /// Brings back every session that should be running, and looks for them from now on.
    pub(crate) async fn restore(&self) -> Result<(), StoreError> {
        let all =
            self.inner.ports.store.sessions(None, Page { limit: u32::MAX, offset: 0 }).await?;
        let wake = async |session: &Session| self.inner.wake(session).await;
        futures::stream::iter(&all)
            .map(wake)
            .buffer_unordered(WOKEN_AT_ONCE)
            .try_collect::<()>()
            .await?;
        let wanted = all.iter().filter(|session| session.wanted).map(|session| session.id);
        let (this, wanted) = (self.clone(), wanted.collect());
        self.inner.supervisor.spawn("sessions/restore", Policy::Once, async move {
            this.bring_back(wanted).await;
        });
        let (this, every) = (self.clone(), self.inner.options.takeover_interval);
        self.inner.supervisor.spawn(WATCH, Policy::Essential, async move {
            this.watch(every).await;
        });
        Ok(())
    }

    async fn watch(&self, every: Duration) {
        let (clock, stopping) = (self.inner.ports.clock.clone(), self.inner.supervisor.stopping());
        let pulse = self.inner.supervisor.pulse(WATCH);
        loop {
            pulse.beat();
            tokio::select! {
                () = clock.sleep_until(Timer::Takeover, clock.now().plus(every)) => {}
                () = stopping.cancelled() => return,
            }
            match self.inner.ports.store.unheld_sessions(clock.now(), TAKEN_AT_ONCE).await {
                Ok(unheld) => {
                    // As long as the connections of so many sessions take.
                    pulse.wait();
                    self.bring_back(unheld).await;
                }
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "sessions that nobody runs were not looked for"
                ),
            }
        }
    }

    async fn bring_back(&self, wanted: Vec<SessionId>) {
        let most = self.inner.options.restore_concurrency.max(1);
        futures::stream::iter(wanted)
            .for_each_concurrent(most, async |id| match self.start_wanted(id).await {
                // Somebody else was faster, or stopped it meanwhile; or the next life of the process brings it back.
                Ok(())
                | Err(
                    StartSessionError::AlreadyStarted
                    | StartSessionError::HeldElsewhere
                    | StartSessionError::NotFound(_)
                    | StartSessionError::ShuttingDown,
                ) => {}
                // Another process may have room.
                Err(StartSessionError::TooMany(_)) if self.inner.ports.store.is_shared() => {}
                Err(error) => self.inner.stay_down(id, &error).await,
            })
            .await;
    }

    /// Starts a session unless its last owner, or a person, wants it down.
    async fn start_wanted(&self, id: SessionId) -> Result<(), StartSessionError> {
        let turn = self.inner.starts.turn(id).await;
        let (_, held) = self.take(&turn, id).await?;
        if let Some(wish) = held.wish {
            // Asked of an owner that died before it could.
            let done = self.inner.grant(&held.lease, wish).await;
            self.inner.let_go(&held.lease).await;
            return done.map_err(StartSessionError::Store);
        }
        // Read with the lease in hand: the last owner may have stopped it and then let go.
        match self.inner.ports.store.session(id).await.map_err(StartSessionError::Store)? {
            Some(session) if session.wanted => {
                super::keeper::launch(&self.inner, session, held.lease).await;
                Ok(())
            }
            _ => {
                self.inner.let_go(&held.lease).await;
                Ok(())
            }
        }
    }
}
