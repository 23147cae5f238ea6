//! Whether the writer works, and its end.

use std::{
    future::Future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::future::BoxFuture;
use tokio::{
    sync::{mpsc, watch},
    task::AbortHandle,
};

use super::{Job, Order, Unit};

/// Waits within a limit of real time. Tests may hold the runtime's clock, and its timers are over at once then; the
/// thread of a SQLite ledger knows nothing of that.
#[expect(
    clippy::disallowed_methods,
    reason = "a limit on real work, not one of the product's times"
)]
pub(super) async fn within<T>(limit: Duration, answer: impl Future<Output = T>) -> Option<T> {
    let began = std::time::Instant::now();
    let mut answer = std::pin::pin!(answer);
    loop {
        match tokio::time::timeout(limit, answer.as_mut()).await {
            Ok(answer) => return Some(answer),
            Err(_) if began.elapsed() >= limit => return None,
            Err(_) => {}
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Running,
    Closed,
    Failed,
}

/// The life of the task.
pub(super) struct Life {
    state: watch::Sender<State>,
    cut: Mutex<Option<AbortHandle>>,
}

impl Default for Life {
    fn default() -> Self {
        Self { state: watch::Sender::new(State::Running), cut: Mutex::default() }
    }
}

/// Held by the task. One that goes without [`Self::closed`] has failed.
pub(super) struct Running {
    life: Arc<Life>,
    end: State,
}

impl Running {
    /// It was asked to end.
    pub(super) fn closed(mut self) {
        self.end = State::Closed;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.life.state.send_replace(self.end);
    }
}

impl Life {
    pub(super) fn begin(self: &Arc<Self>) -> Running {
        Running { life: self.clone(), end: State::Failed }
    }

    /// There is a way to end it in the middle.
    pub(super) fn can_be_cut(&self, handle: AbortHandle) {
        *self.cut.lock().unwrap_or_else(PoisonError::into_inner) = Some(handle);
    }

    pub(super) fn cut(&self) {
        if let Some(handle) = self.cut.lock().unwrap_or_else(PoisonError::into_inner).take() {
            handle.abort();
        }
    }

    pub(super) async fn ended(&self) {
        let _ = self.state.subscribe().wait_for(|state| *state != State::Running).await;
    }

    pub(super) async fn failed(&self) {
        let ended =
            self.state.subscribe().wait_for(|state| *state != State::Running).await.map(|s| *s);
        if !matches!(ended, Ok(State::Failed)) {
            std::future::pending::<()>().await;
        }
    }
}

/// Asks the writer whether it works: at most one question waits in its queue, however many ask.
pub(super) struct Pulse {
    waiting: Arc<AtomicBool>,
    beats: watch::Sender<bool>,
}

impl Default for Pulse {
    fn default() -> Self {
        Self { waiting: Arc::default(), beats: watch::Sender::new(false) }
    }
}

impl Pulse {
    /// Whether an empty transaction was committed within the limit.
    pub(super) async fn ask(
        self: &Arc<Self>,
        orders: &mpsc::Sender<Order>,
        limit: Duration,
    ) -> bool {
        let mut beats = self.beats.subscribe();
        if !self.waiting.swap(true, Ordering::AcqRel) {
            // A queue that is full refuses it; whether it moves is seen all the same.
            let _ = orders.try_send(Order::Job(Box::new(Question(self.clone())), None));
        }
        matches!(within(limit, beats.changed()).await, Some(Ok(())) if *beats.borrow())
    }
}

/// A job that does nothing.
struct Question(Arc<Pulse>);

impl Job for Question {
    fn run<'a>(&'a mut self, _: &'a mut Unit) -> BoxFuture<'a, bool> {
        Box::pin(async { true })
    }

    fn panicked(&mut self) {}

    fn answer(self: Box<Self>, committed: bool) {
        self.0.waiting.store(false, Ordering::Release);
        self.0.beats.send_replace(committed);
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        self.0.waiting.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_end_that_nobody_asked_for_is_a_failure() {
        let life = Arc::<Life>::default();
        drop(life.begin());
        life.failed().await;
        let life = Arc::<Life>::default();
        life.begin().closed();
        life.ended().await;
        assert!(futures::poll!(Box::pin(life.failed())).is_pending());
    }
}
