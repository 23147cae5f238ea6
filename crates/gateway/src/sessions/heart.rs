//! Keeps the lease of a session that runs, beside its task: whatever the task waits for, the lease is renewed in time, and
//! the connection ends when that fails.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use domain::{SessionId, Timestamp};
use tokio::sync::{mpsc, oneshot};

use super::{Inner, lease::Lease};

/// The beating side.
pub(super) struct Heart {
    inner: Arc<Inner>,
    id: SessionId,
    lease: Lease,
    asked: mpsc::Receiver<oneshot::Sender<()>>,
    due: Arc<AtomicI64>,
}

/// The task's side.
pub(super) struct Pulse {
    ask: mpsc::Sender<oneshot::Sender<()>>,
    /// When the next renewal is due, epoch milliseconds.
    due: Arc<AtomicI64>,
}

/// The heart of a session whose lease was taken just now.
pub(super) fn heart(inner: &Arc<Inner>, id: SessionId) -> (Heart, Pulse) {
    let lease = Lease::taken(inner.ports.clock.now(), inner.options.session_lease);
    let (ask, asked) = mpsc::channel(1);
    let due = Arc::new(AtomicI64::new(lease.renew_at.millis()));
    let pulse = Pulse { ask, due: due.clone() };
    (Heart { inner: inner.clone(), id, lease, asked, due }, pulse)
}

impl Heart {
    /// Beats until the lease is lost, and says why.
    pub(super) async fn beat(&mut self) -> &'static str {
        let clock = self.inner.ports.clock.clone();
        loop {
            let asked = tokio::select! {
                biased;
                () = clock.sleep_until(self.lease.renew_at) => None,
                Some(tell) = self.asked.recv() => Some(tell),
            };
            if let Err(why) = self.lease.renew(&self.inner, self.id).await {
                return why;
            }
            self.due.store(self.lease.renew_at.millis(), Ordering::Release);
            if let Some(tell) = asked {
                let _ = tell.send(());
            }
        }
    }
}

impl Pulse {
    /// Asks for a renewal at once; completes when the lease is still held. When it is lost the task is dropped.
    pub(super) async fn check(&self) {
        let (tell, told) = oneshot::channel();
        let asked = self.ask.send(tell).await.is_ok();
        if !asked || told.await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// The same if a renewal is overdue: after a standstill of this process somebody else may have the lease.
    pub(super) async fn check_if_due(&self, now: Timestamp) {
        if now.millis() >= self.due.load(Ordering::Acquire) {
            self.check().await;
        }
    }
}
