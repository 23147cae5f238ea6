//! Claims lanes that are due, as many as there are free places.
//!
//! It wakes on a signal, when a lane run ends, when the next lane is due, and at least once a sweep: a lost signal costs
//! latency, never a delivery.

use std::sync::Arc;

use domain::{Timestamp, delivery::ClaimedLane, port::StoreError};
use tokio::sync::Semaphore;

use super::{Webhooks, lane};
use crate::{Policy, Supervisor};

/// Deliveries taken per claim; a lane with more is claimed again at once.
pub(super) const WINDOW: u32 = 20;

struct Dispatcher {
    webhooks: Webhooks,
    supervisor: Supervisor,
    /// This worker's name in leases.
    name: String,
    places: Arc<Semaphore>,
}

/// Starts it.
pub(super) fn start(webhooks: &Webhooks, supervisor: &Supervisor) {
    let mut bytes = [0u8; 8];
    webhooks.ports.entropy.fill(&mut bytes);
    let dispatcher = Dispatcher {
        webhooks: webhooks.clone(),
        supervisor: supervisor.clone(),
        name: format!("worker-{:016x}", u64::from_be_bytes(bytes)),
        places: Arc::new(Semaphore::new(webhooks.options.concurrency.max(1))),
    };
    supervisor.spawn("webhooks/dispatcher", Policy::Essential, dispatcher.run());
}

impl Dispatcher {
    async fn run(self) {
        let stopping = self.supervisor.stopping();
        while !stopping.is_cancelled() {
            match self.claim().await {
                // More may be due.
                Ok(claimed) if claimed > 0 && self.places.available_permits() > 0 => {}
                Ok(_) => {
                    let next = self.webhooks.ports.queue.next_due().await.ok().flatten();
                    self.rest(next).await;
                }
                Err(error) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "lanes could not be claimed"
                    );
                    // What is due already must not make this a busy loop.
                    self.rest(None).await;
                }
            }
        }
    }

    async fn claim(&self) -> Result<usize, StoreError> {
        let free = u32::try_from(self.places.available_permits()).unwrap_or(u32::MAX);
        if free == 0 {
            return Ok(0);
        }
        let now = self.webhooks.ports.clock.now();
        let until = now.plus(self.webhooks.options.lease);
        let lanes = self.webhooks.ports.queue.claim(&self.name, free, WINDOW, now, until).await?;
        let count = lanes.len();
        for lane in lanes {
            self.launch(lane, until);
        }
        Ok(count)
    }

    fn launch(&self, claimed: ClaimedLane, until: Timestamp) {
        // Permits are only taken here, so one is free for each lane that was asked for.
        let Ok(place) = self.places.clone().try_acquire_owned() else { return };
        let (webhooks, stopping) = (self.webhooks.clone(), self.supervisor.stopping());
        self.supervisor.spawn(format!("lane/{}", claimed.lane), Policy::Once, async move {
            lane::run(&webhooks, claimed, until, &stopping).await;
            drop(place);
            webhooks.wake();
        });
    }

    /// Waits for news, for the next due lane, or for the sweep.
    async fn rest(&self, next: Option<Timestamp>) {
        let clock = &self.webhooks.ports.clock;
        let now = clock.now();
        let sweep = now.plus(self.webhooks.options.sweep_interval);
        // Without a free place a due lane is no reason to look: the end of a lane run is.
        let busy = self.places.available_permits() == 0;
        let at = next.filter(|_| !busy).map_or(sweep, |due| due.min(sweep));
        let stopping = self.supervisor.stopping();
        tokio::select! {
            () = self.webhooks.wake.notified() => {}
            () = clock.sleep_until(at) => {}
            () = stopping.cancelled() => {}
        }
    }
}
