//! Hook points: places where plugins, and code in this process, may look at a message, change it, or stop it.
//!
//! # Order around a send
//! `message:sending` (may change the input or block it) → the row is stored as pending (`message:persisted`) →
//! WhatsApp → `message:sent` or `message:failed`. What comes in: `message:received` and `message:ack`, after their
//! commit.
//!
//! # Order around a delivery
//! The delivery is stored with its event (`webhook:queued`) → before every try `webhook:before` (may change the event's
//! data or cancel the delivery) → the call → `webhook:delivered`, or at the end of the tries `webhook:error`.
//!
//! # Rules
//! Handlers of a point run one after another, lower priority first, each within its own limit of time. Every handler
//! says what its failure (an error, a panic, its limit) means: [`OnFailure::Open`] goes on as if it had not been
//! there, [`OnFailure::Closed`] blocks what it was asked about. Blocking has an effect on `message:sending` and
//! `webhook:before` alone; elsewhere it ends the round. A handler that causes its own point again (it sends, while it
//! is asked about a send) is left out of the inner round; all the others are asked. How deep sends have caused each
//! other is carried along, also over notifications.
//!
//! Notifications never hold up what they tell of. Those about one chat are told one after another, those about
//! different chats side by side.

mod notifications;
mod round;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

pub use domain::hook::{HookPoint, OnFailure};
use domain::{Clock, SessionId, Timestamp, time::BoxFuture};
use serde_json::Value;
use tokio::sync::{Notify, mpsc, watch};

use crate::{Policy, Supervisor};

use notifications::HookNotification;
pub(crate) use round::{HookScope, HookVerdict, StopCause};

/// Notifications that may wait. When full, new ones are dropped and counted: they are no promise.
const NOTIFICATIONS_MAX: usize = 4096;
/// The limit of a handler that does not care.
pub const LIMIT_DEFAULT: Duration = Duration::from_secs(5);

/// Its place in a set of points.
const fn bit(point: HookPoint) -> u32 {
    1 << point as u32
}

/// What a handler is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct HookContext {
    /// The point of the pipeline.
    pub point: HookPoint,
    /// The session that the call is about.
    pub session: SessionId,
    /// When the round began.
    pub at: Timestamp,
    /// What about, as the handlers before left it.
    pub data: Value,
}

/// What a handler answers.
#[derive(Debug, Clone, PartialEq)]
pub enum HookResult {
    /// Go on with the data as it is.
    Continue,
    /// Go on with this in place of the data.
    Replace(Value),
    /// Stop here, with one sentence for people.
    Block(String),
    /// It failed; what that means is the handler's [`OnFailure`].
    Failed(String),
    /// It could not be asked: a failure for which what it was to be asked about is not to blame.
    Unavailable(String),
}

/// The code behind a handler.
pub type Run = Arc<dyn Fn(HookContext) -> BoxFuture<HookResult> + Send + Sync>;

/// One handler at one point.
#[derive(Clone)]
pub struct Handler {
    /// Its name in logs.
    pub name: String,
    /// Where it is asked.
    pub point: HookPoint,
    /// Lower ones are asked first; equal ones in the order of their registration.
    pub priority: i32,
    /// How long it may take.
    pub limit: Duration,
    /// What its failure means.
    pub on_failure: OnFailure,
    /// The handler itself.
    pub run: Run,
}

/// Takes a handler away again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HandlerId(u64);

/// The registry. Cheap to clone.
#[derive(Clone)]
pub struct Hooks {
    inner: Arc<SharedHooks>,
    notifications: mpsc::Sender<HookNotification>,
}

struct SharedHooks {
    clock: Arc<dyn Clock>,
    handlers: Mutex<Vec<(HandlerId, Handler)>>,
    /// The points that have handlers, so that asking about one that has none costs a load; every point until it is
    /// known who is to be asked.
    points: AtomicU32,
    /// Told of every registration.
    registered: Notify,
    next: AtomicU64,
    dropped: AtomicU64,
    /// Whether what is installed has been registered: until then nobody knows who is to be asked, and whoever asks
    /// waits.
    opened: watch::Sender<bool>,
}

impl Hooks {
    /// Without handlers; notifications are worked on by a task of their own.
    pub(crate) fn build(clock: Arc<dyn Clock>, supervisor: &Supervisor) -> Self {
        let (notifications, waiting) = mpsc::channel(NOTIFICATIONS_MAX);
        let inner = Arc::new(SharedHooks {
            clock,
            handlers: Mutex::default(),
            points: AtomicU32::new(u32::MAX),
            registered: Notify::default(),
            next: AtomicU64::default(),
            dropped: AtomicU64::default(),
            opened: watch::Sender::new(false),
        });
        let this = Self { inner, notifications };
        supervisor.spawn(
            "hooks/notifications",
            Policy::Once,
            notifications::tell_all(this.inner.clone(), waiting, supervisor.stopping()),
        );
        this
    }

    /// Adds a handler; it is called from the next call on.
    pub fn register(&self, handler: Handler) -> HandlerId {
        let id = HandlerId(self.inner.next.fetch_add(1, Ordering::Relaxed));
        let mut handlers = self.inner.lock();
        let place = handlers.partition_point(|(_, other)| other.priority <= handler.priority);
        handlers.insert(place, (id, handler));
        self.inner.note_points(&handlers);
        drop(handlers);
        self.inner.registered.notify_one();
        id
    }

    /// Removes a handler; a round that has begun may still ask it.
    pub fn unregister(&self, id: HandlerId) {
        let mut handlers = self.inner.lock();
        handlers.retain(|(other, _)| *other != id);
        self.inner.note_points(&handlers);
    }

    /// What is installed has been registered: who waits to ask goes on. [`Gateway::start`](crate::Gateway::start)
    /// does this; whoever builds parts of the house alone has to.
    pub fn open(&self) {
        self.inner.opened.send_replace(true);
        self.inner.note_points(&self.inner.lock());
        self.inner.registered.notify_one();
    }

    /// Whether anybody is to be asked at a point, or may be: without handlers nobody builds the data.
    pub(crate) fn listens(&self, point: HookPoint) -> bool {
        self.inner.points.load(Ordering::Acquire) & bit(point) != 0
    }

    /// Completes when a point has a handler. Only one task may wait.
    pub(crate) async fn has_listener(&self, point: HookPoint) {
        let has_one = || self.inner.lock().iter().any(|(_, handler)| handler.point == point);
        while !has_one() {
            self.inner.registered.notified().await;
        }
    }

    /// Asks all handlers of a point and waits for them.
    pub(crate) async fn ask(
        &self,
        point: HookPoint,
        session: SessionId,
        data: Value,
    ) -> HookVerdict {
        self.inner.ask(point, session, data, |_| true).await
    }

    /// Like [`ask`](Self::ask); a handler that leaves data that cannot be used has failed, and the data before it
    /// holds.
    pub(crate) async fn ask_usable(
        &self,
        point: HookPoint,
        session: SessionId,
        data: Value,
        usable: fn(&Value) -> bool,
    ) -> HookVerdict {
        self.inner.ask(point, session, data, usable).await
    }

    /// Tells the handlers of a point later, from a task of its own; never waits.
    pub fn notify(&self, point: HookPoint, session: SessionId, data: Value) {
        if !self.listens(point) {
            return;
        }
        let scope = HookScope::here().afterwards();
        let told = HookNotification { point, session, data, scope };
        if self.notifications.try_send(told).is_err() {
            let dropped = self.inner.dropped.fetch_add(1, Ordering::Relaxed) + 1;
            tracing::warn!(
                hook = point.as_str(),
                dropped,
                "handlers are too slow: a notification was dropped"
            );
        }
    }
}

impl SharedHooks {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(HandlerId, Handler)>> {
        self.handlers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_points(&self, handlers: &[(HandlerId, Handler)]) {
        if !*self.opened.borrow() {
            return;
        }
        let points = handlers.iter().fold(0, |points, (_, handler)| points | bit(handler.point));
        self.points.store(points, Ordering::Release);
    }
}
