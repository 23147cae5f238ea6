//! Claims lanes that are due, as many as there is room for.
//!
//! It wakes on a signal, when a lane run ends, when the next lane is due, and at least once a sweep: a lost signal
//! costs latency, never a delivery.

use std::{sync::Arc, time::Duration};

use domain::{
    Timer, Timestamp,
    delivery::{ClaimedLane, LANES_PER_PLACE},
    port::StoreError,
    process::worker_name,
};
use tokio::sync::Semaphore;

use super::{Webhooks, lane};
use crate::{Policy, Supervisor};

/// Deliveries of a lane that are read at once.
pub(super) const WINDOW: u32 = 8;
/// After a look that found something the next comes at the latest so soon.
const SOON: Duration = Duration::from_millis(20);

struct Dispatcher {
    webhooks: Webhooks,
    supervisor: Supervisor,
    /// This worker's name in leases.
    name: String,
    /// Lanes that may be claimed: more than there are places for calls, because a lane whose result is on its way to
    /// the disk needs no place.
    lanes: Arc<Semaphore>,
}
pub(super) fn start(webhooks: &Webhooks, supervisor: &Supervisor) {
    let mut bytes = [0u8; 8];
    webhooks.ports.entropy.fill(&mut bytes);
    let per_place = usize::try_from(LANES_PER_PLACE).unwrap_or(1);
    let dispatcher = Dispatcher {
        webhooks: webhooks.clone(),
        supervisor: supervisor.clone(),
        name: worker_name(&webhooks.options.process, u64::from_be_bytes(bytes)),
        lanes: Arc::new(Semaphore::new(webhooks.options.concurrency.max(1) * per_place)),
    };
    supervisor.spawn("webhooks/dispatcher", Policy::Essential, dispatcher.run());
}

impl Dispatcher {
    async fn run(self) {
        let stopping = self.supervisor.stopping();
        let mut failing = false;
        stopping.run_until_cancelled(self.webhooks.valve.first()).await;
        while stopping.run_until_cancelled(self.webhooks.valve.pass()).await.is_some() {
            let now = self.webhooks.ports.clock.now();
            let claimed = self.claim(now).await;
            let failed_before = std::mem::replace(&mut failing, claimed.is_err());
            match claimed {
                // What was taken comes back soon, and with it the next look: nobody has to be asked when that is.
                Ok(taken) if taken > 0 => self.rest(Some(now.plus(SOON))).await,
                Ok(_) => {
                    let next = self.webhooks.ports.queue.next_lane_due(now).await.ok().flatten();
                    self.rest(next).await;
                }
                Err(error) => {
                    if !failed_before {
                        tracing::error!(
                            error = &error as &dyn std::error::Error,
                            "lanes cannot be claimed"
                        );
                    }
                    // What is due already must not make this a busy loop.
                    self.rest(None).await;
                }
            }
        }
    }

    /// How many it took.
    async fn claim(&self, now: Timestamp) -> Result<usize, StoreError> {
        let free = u32::try_from(self.lanes.available_permits()).unwrap_or(u32::MAX);
        if free == 0 {
            return Ok(0);
        }
        let until = now.plus(self.webhooks.options.lease);
        let lanes =
            self.webhooks.ports.queue.claim_lanes(&self.name, free, WINDOW, now, until).await?;
        let taken = lanes.len();
        for lane in lanes {
            self.launch(lane, until);
        }
        Ok(taken)
    }

    fn launch(&self, claimed: ClaimedLane, until: Timestamp) {
        // Permits are only taken here, so one is free for each lane that was asked for.
        let Ok(room) = self.lanes.clone().try_acquire_owned() else { return };
        let (webhooks, stopping) = (self.webhooks.clone(), self.supervisor.stopping());
        self.supervisor.spawn(format!("lane/{}", claimed.lane), Policy::Once, async move {
            lane::run(&webhooks, claimed, until, &stopping).await;
            drop(room);
            webhooks.wake.notify_one();
        });
    }

    /// Waits for news, for the next due lane, or for the sweep.
    async fn rest(&self, next: Option<Timestamp>) {
        let clock = &self.webhooks.ports.clock;
        let now = clock.now();
        let sweep = now.plus(self.webhooks.options.sweep_interval);
        // Without room a due lane is no reason to look: the end of a lane run is.
        let full = self.lanes.available_permits() == 0;
        let at = next.filter(|_| !full).map_or(sweep, |due| due.min(sweep));
        let stopping = self.supervisor.stopping();
        tokio::select! {
            biased;
            () = stopping.cancelled() => {}
            () = self.webhooks.wake.notified() => {}
            () = self.webhooks.ports.queue.opened_elsewhere() => {}
            () = clock.sleep_until(Timer::Dispatch, at) => {}
        }
    }
}
