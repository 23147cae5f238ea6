//! The engine's tasks, all of them, so that a closed connection leaves nothing running.
//!
//! The protocol library spawns through a runtime it is given. This one keeps count and can end
//! everything: a task that the library forgot ends with the connection it belongs to.

use std::{future::Future, panic::AssertUnwindSafe, pin::Pin, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::FutureExt as _;
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use whatsapp_rust::{Runtime, wacore::runtime::AbortHandle};

use crate::{keys::WriteOrder, reading::WatchedTask};

type BoxedTask = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The tasks of one connection.
#[derive(Clone)]
pub(crate) struct ConnectionTasks {
    tracker: TaskTracker,
    stop: CancellationToken,
    panicked: CancellationToken,
    /// Learns which messages the tasks read.
    order: Arc<WriteOrder>,
}

impl ConnectionTasks {
    /// The tasks of a connection that is about to be opened.
    pub(crate) fn new(order: Arc<WriteOrder>) -> Self {
        let (stop, panicked) = (CancellationToken::new(), CancellationToken::new());
        Self { tracker: TaskTracker::new(), stop, panicked, order }
    }

    /// The one place where this crate starts a task of a connection.
    pub(crate) fn start(
        &self,
        future: impl Future<Output = ()> + Send + 'static,
    ) -> JoinHandle<()> {
        let (stop, panicked) = (self.stop.clone(), self.panicked.clone());
        let future = WatchedTask::new(self.order.clone(), future);
        self.tracker.spawn(async move {
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                done = AssertUnwindSafe(future).catch_unwind() => if done.is_err() {
                    panicked.cancel();
                }
            }
        })
    }

    /// Completes when one of them panicked.
    pub(crate) async fn panicked(&self) {
        self.panicked.cancelled().await;
    }

    /// Ends all tasks and waits for them, at most `limit`: a blocking read cannot be interrupted.
    pub(crate) async fn stop(&self, limit: Duration) {
        self.stop.cancel();
        self.tracker.close();
        if timeout(limit, self.tracker.wait()).await.is_err() {
            tracing::warn!(left = self.tracker.len(), "tasks of a closed connection still run");
        }
    }
}

#[async_trait]
impl Runtime for ConnectionTasks {
    fn spawn(&self, future: BoxedTask) -> AbortHandle {
        let task = self.start(future);
        AbortHandle::new(move || task.abort())
    }

    fn spawn_detached(&self, future: BoxedTask) {
        self.start(future);
    }

    fn sleep(&self, duration: Duration) -> BoxedTask {
        Box::pin(tokio::time::sleep(duration))
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send + 'static>) -> BoxedTask {
        let task = self.tracker.spawn_blocking(work);
        Box::pin(async move {
            if let Err(error) = task.await {
                tracing::warn!(%error, "blocking work of the engine failed");
            }
        })
    }

    fn yield_now(&self) -> Option<BoxedTask> {
        None
    }
}
