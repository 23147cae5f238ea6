//! Keeps the lease of a session that runs, beside its task: whatever the task waits for, the lease is renewed in
//! time, and the connection ends when that fails. With each renewal it hears what other processes want of the
//! session.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use domain::{
    Timer,
    port::{Held, Lease},
    session::Wish,
};
use tokio::sync::{mpsc, oneshot};

use super::{
    SessionsInner,
    handle::{Command, Done, SharedState},
    lease::SessionTenure,
};

/// The side that renews the lease.
pub(super) struct LeaseHeart {
    inner: Arc<SessionsInner>,
    shared: Arc<SharedState>,
    tenure: SessionTenure,
    asked: mpsc::Receiver<oneshot::Sender<()>>,
    due: Arc<AtomicU64>,
}

/// The side of the session's task, which asks for a beat out of turn.
pub(super) struct LeasePulse {
    ask: mpsc::Sender<oneshot::Sender<()>>,
    /// When the next renewal is due, milliseconds of [`Clock::elapsed`](domain::Clock::elapsed).
    due: Arc<AtomicU64>,
}

/// Why a session does not run here any more.
pub(super) enum HeartEnd {
    /// Its lease is lost.
    Lost(&'static str),
    /// A process that does not run it wants it dropped where it stands.
    Kill,
}

/// The heart of a session whose lease was taken just now.
pub(super) fn heart(
    inner: &Arc<SessionsInner>,
    shared: &Arc<SharedState>,
    lease: Lease,
) -> (LeaseHeart, LeasePulse) {
    let now = inner.ports.clock.elapsed();
    let tenure = SessionTenure::new(lease, now, inner.options.session_lease);
    let (ask, asked) = mpsc::channel(1);
    let due = Arc::new(AtomicU64::new(millis(tenure.renew_at)));
    let pulse = LeasePulse { ask, due: due.clone() };
    let (inner, shared) = (inner.clone(), shared.clone());
    (LeaseHeart { inner, shared, tenure, asked, due }, pulse)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl LeaseHeart {
    /// Beats until the session has to end here.
    pub(super) async fn beat(&mut self) -> HeartEnd {
        let clock = self.inner.ports.clock.clone();
        loop {
            let wait = self.tenure.renew_at.saturating_sub(clock.elapsed());
            let asked = tokio::select! {
                biased;
                () = clock.sleep(Timer::LeaseRenewal, wait) => None,
                () = self.shared.called.notified() => None,
                Some(tell) = self.asked.recv() => Some(tell),
            };
            match self.tenure.renew(&self.inner).await {
                Ok(held) => {
                    if let Some(end) = held.and_then(|held| self.obey(&held)) {
                        return end;
                    }
                }
                Err(why) => return HeartEnd::Lost(why),
            }
            self.due.store(millis(self.tenure.renew_at), Ordering::Release);
            if let Some(tell) = asked {
                let _ = tell.send(());
            }
        }
    }

    /// Does what a process that does not run the session wants of it. What finds no place is tried again with the next
    /// renewal.
    fn obey(&self, held: &Held) -> Option<HeartEnd> {
        match held.wish? {
            Wish::ForceKill => return Some(HeartEnd::Kill),
            Wish::Stop => self.order(Command::Stop),
            Wish::Logout => {
                let unlinked = Arc::default();
                self.order(|done| Command::Logout { done, unlinked });
            }
        }
        None
    }

    fn order(&self, command: impl FnOnce(Done) -> Command) {
        if let Some(handle) = self.inner.handle(self.tenure.lease.session) {
            handle.order(command);
        }
    }
}

impl LeasePulse {
    /// Asks for a renewal at once; completes when the lease is still held. When it is lost the task is dropped.
    pub(super) async fn check(&self) {
        let (tell, told) = oneshot::channel();
        let asked = self.ask.send(tell).await.is_ok();
        if !asked || told.await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// The same if a renewal is overdue: after a standstill of this process somebody else may have the lease.
    pub(super) async fn check_if_due(&self, now: Duration) {
        if millis(now) >= self.due.load(Ordering::Acquire) {
            self.check().await;
        }
    }
}
