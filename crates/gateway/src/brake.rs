//! The brake: a pause of all sends, of every session and on every process of the ledger, until somebody resumes.
//!
//! The pause is a value in the ledger. Each process remembers what it read last: it reads at the start, when the ledger
//! tells of a change, and where others share the ledger once a sweep, so that a word that was lost costs a moment.
//! While the ledger does not answer, what was known holds.

use std::{sync::Arc, time::Duration};

use domain::{
    Clock, Timer,
    brake::SendsPause,
    port::{BrakeStore, StoreError, StoreResult},
};
use tokio::sync::{Notify, watch};

use crate::{Policy, Ports, Supervisor};

/// Between two reads, whatever was told.
const SWEEP: Duration = Duration::from_secs(1);

/// A handle to the brake. Cheap to clone.
#[derive(Clone)]
pub struct Brake {
    shared: Arc<SharedBrake>,
}

struct SharedBrake {
    store: Arc<dyn BrakeStore>,
    clock: Arc<dyn Clock>,
    /// The pause in force, as far as this process knows.
    pause: watch::Sender<Option<SendsPause>>,
    /// One change after another, so that what was read earlier is never believed later.
    reading: tokio::sync::Mutex<()>,
    wake: Arc<Notify>,
    /// No other process can change it.
    alone: bool,
}

impl Brake {
    /// Reads the pause in force, before anything can be sent, and follows it from then on.
    ///
    /// # Errors
    /// The ledger failed.
    pub(crate) async fn build(ports: &Ports, supervisor: &Supervisor) -> StoreResult<Self> {
        let shared = SharedBrake {
            store: ports.store.clone(),
            clock: ports.clock.clone(),
            pause: watch::Sender::new(None),
            reading: tokio::sync::Mutex::default(),
            wake: Arc::default(),
            alone: !ports.store.is_shared(),
        };
        let wake = Arc::downgrade(&shared.wake);
        shared.store.listen_for_pauses(Arc::new(move || {
            if let Some(wake) = wake.upgrade() {
                wake.notify_one();
            }
        }));
        let brake = Self { shared: Arc::new(shared) };
        brake.shared.read().await?;
        let (shared, stopping) = (brake.shared.clone(), supervisor.stopping());
        supervisor.spawn("brake", Policy::Essential, async move {
            stopping.run_until_cancelled(shared.follow()).await;
        });
        Ok(brake)
    }

    /// The pause in force, as far as this process knows.
    pub fn pause(&self) -> Option<SendsPause> {
        self.shared.pause.borrow().clone()
    }

    /// Whether nothing may be sent now.
    pub(crate) fn is_on(&self) -> bool {
        self.shared.pause.borrow().is_some()
    }

    /// Told when a pause begins or ends; subscribe before looking whether there is one.
    pub(crate) fn watch(&self) -> watch::Receiver<Option<SendsPause>> {
        self.shared.pause.subscribe()
    }

    /// Pauses all sends; a pause in force stays as it is. The one in force.
    ///
    /// # Errors
    /// The ledger failed: whether sends are paused is not known, and is found out.
    pub async fn engage(&self, by: &str, reason: Option<String>) -> Result<SendsPause, StoreError> {
        let shared = &self.shared;
        let _one_at_a_time = shared.reading.lock().await;
        let asked = SendsPause { since: shared.clock.now(), by: by.to_owned(), reason };
        let pause = shared.store.pause_sends(&asked).await.inspect_err(|_| shared.look())?;
        shared.learn(Some(pause.clone()));
        Ok(pause)
    }

    /// Ends the pause in force; `false` when there was none.
    ///
    /// # Errors
    /// The ledger failed: whether sends are paused is not known, and is found out.
    pub async fn release(&self) -> Result<bool, StoreError> {
        let shared = &self.shared;
        let _one_at_a_time = shared.reading.lock().await;
        let ended = shared.store.resume_sends().await.inspect_err(|_| shared.look())?;
        shared.learn(None);
        Ok(ended)
    }
}

impl SharedBrake {
    /// Has the ledger read again soon.
    fn look(&self) {
        self.wake.notify_one();
    }

    fn learn(&self, pause: Option<SendsPause>) {
        self.pause.send_if_modified(|known| {
            let differs = *known != pause;
            if differs {
                match &pause {
                    Some(pause) => tracing::warn!(by = %pause.by, "all sends are paused"),
                    None => tracing::warn!("sends go on"),
                }
                *known = pause;
            }
            differs
        });
    }

    async fn read(&self) -> StoreResult<()> {
        let _one_at_a_time = self.reading.lock().await;
        let pause = self.store.sends_pause().await?;
        self.learn(pause);
        Ok(())
    }

    /// Reads when it is told to, and once a sweep where that may be needed; never ends.
    async fn follow(&self) {
        let mut failing = false;
        loop {
            if self.alone && !failing {
                self.wake.notified().await;
            } else {
                let at = self.clock.now().plus(SWEEP);
                tokio::select! {
                    () = self.wake.notified() => {}
                    () = self.clock.sleep_until(Timer::BrakeSweep, at) => {}
                }
            }
            let read = self.read().await;
            if let (Err(error), false) = (&read, failing) {
                tracing::warn!(
                    error = error as &dyn std::error::Error,
                    "whether sends are paused is not known anew"
                );
            }
            failing = read.is_err();
        }
    }
}
