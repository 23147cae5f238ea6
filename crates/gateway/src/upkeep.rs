//! Finishes deletes, and removes files that nothing refers to any longer.
//!
//! A large delete is marked in one write and then done here in portions, also after a restart. A file whose last
//! reference went was noted in the same commit; it is removed a while later, unless it is wanted again. What was not
//! noted (a file that was kept by a process that died before it stored the message) is found by looking through the
//! folder, once a day. Logins that are over go too.

use std::{sync::Arc, time::Duration};

use domain::{
    Clock, MediaId, Timer, Timestamp,
    port::{LogStore, LoginStore, MediaFiles, StoreResult},
};

use crate::{Policy, Ports, Supervisor};

/// Rows deleted in one job.
const PORTION: u32 = 2_000;
/// Files looked at in one job.
const FILES: u32 = 200;
/// From the last reference that went to the removal of the file. Whoever sends the same bytes again, or forwards a
/// message, has stored the new reference by then.
const GRACE: Duration = Duration::from_secs(3600);
/// A file that nothing refers to and that nobody noted is removed at this age.
const LOST_AFTER: Duration = Duration::from_secs(24 * 3600);

struct UpkeepLoop {
    every: Duration,
    log: Arc<dyn LogStore>,
    logins: Arc<dyn LoginStore>,
    files: Arc<dyn MediaFiles>,
    clock: Arc<dyn Clock>,
    supervisor: Supervisor,
}
pub(crate) fn start(every: Duration, ports: &Ports, supervisor: &Supervisor) {
    let upkeep = UpkeepLoop {
        every,
        log: ports.store.clone(),
        logins: ports.store.clone(),
        files: ports.media_files.clone(),
        clock: ports.clock.clone(),
        supervisor: supervisor.clone(),
    };
    supervisor.spawn("upkeep", Policy::Essential, upkeep.run());
}

impl UpkeepLoop {
    async fn run(self) {
        let stopping = self.supervisor.stopping();
        let mut look_through = self.clock.now();
        while !stopping.is_cancelled() {
            let now = self.clock.now();
            let done = self.round(now, now >= look_through).await;
            match done {
                Ok(()) if now >= look_through => look_through = now.plus(LOST_AFTER),
                Ok(()) => {}
                Err(error) => {
                    // The next round goes on.
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "deletes were not finished");
                }
            }
            tokio::select! {
                () = self.clock.sleep_until(Timer::Upkeep, now.plus(self.every)) => {}
                () = stopping.cancelled() => {}
            }
        }
    }

    async fn round(&self, now: Timestamp, look_through: bool) -> StoreResult<()> {
        let stopping = self.supervisor.stopping();
        while !stopping.is_cancelled() && self.log.sweep_removed(PORTION).await?.is_some() {}
        self.logins.delete_expired_logins(now).await?;
        if look_through {
            self.look_through(now).await?;
        }
        self.remove_files(now).await
    }

    /// Removes what was noted long enough ago.
    async fn remove_files(&self, now: Timestamp) -> StoreResult<()> {
        let stopping = self.supervisor.stopping();
        while !stopping.is_cancelled() {
            let due = self.log.files_to_remove(now, now.plus(GRACE), FILES).await?;
            if due.is_empty() {
                break;
            }
            let (mut gone, mut wanted) = (vec![], vec![]);
            for file in due {
                let removed = self.files.remove(&file, now.minus(GRACE)).await?;
                if removed { gone.push(file) } else { wanted.push(file) }
            }
            self.log.files_removed(&gone, None).await?;
            self.log.files_removed(&wanted, Some(now.plus(GRACE))).await?;
            tracing::info!(files = gone.len(), "files that nothing refers to were removed");
        }
        Ok(())
    }

    /// Notes files that nothing refers to and that nobody noted.
    async fn look_through(&self, now: Timestamp) -> StoreResult<()> {
        let stopping = self.supervisor.stopping();
        for shelf in 0..=u8::MAX {
            let old = self.files.on_shelf(shelf, now.minus(LOST_AFTER)).await?;
            for files in old.chunks(FILES as usize) {
                if stopping.is_cancelled() {
                    return Ok(());
                }
                self.note(files).await?;
            }
        }
        Ok(())
    }

    async fn note(&self, files: &[MediaId]) -> StoreResult<()> {
        let lost = self.log.note_lost_files(files).await?;
        if lost > 0 {
            tracing::info!(lost, "files in the media folder belong to no message");
        }
        Ok(())
    }
}
