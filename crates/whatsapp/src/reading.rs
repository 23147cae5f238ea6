//! Which messages the library is reading: from before it decrypts them until it is done with them.
//!
//! The library has no callback for that, but opens a span around each step. So its tasks run with a subscriber of their
//! own, which watches three of these spans and hands everything else on to the subscriber of the process. The log level
//! of the process makes no difference to it.

use std::{
    cell::RefCell,
    collections::HashMap,
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use tracing::{
    Dispatch, Event, Metadata, Subscriber, dispatcher,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span,
    subscriber::Interest,
};

use crate::keys::{ReadingNumber, WriteOrder};

/// Around the decryption of a message, the handling of what it says, and its row.
const DECRYPTING: [&str; 2] = ["wa.recv.session_decrypt", "wa.recv.group_decrypt"];
/// Around the part that stores what it says; not entered when it says nothing.
const STORING: &str = "wa.recv.dispatch";

thread_local! {
    /// The order of the connection whose task runs on this thread.
    static ORDER: RefCell<Option<Arc<WriteOrder>>> = const { RefCell::new(None) };
    /// The subscriber of the process, for the same task.
    static OUTER: RefCell<Option<Dispatch>> = const { RefCell::new(None) };
    /// The messages whose spans are entered.
    static ENTERED: RefCell<Vec<ReadingNumber>> = const { RefCell::new(Vec::new()) };
    /// Whether a task is being dropped before its end.
    static CUT_OFF: RefCell<bool> = const { RefCell::new(false) };
}

/// The message that this task is reading.
pub(crate) fn current() -> Option<ReadingNumber> {
    ENTERED.with_borrow(|entered| entered.last().copied())
}

/// A task of a connection, watched.
pub(crate) struct WatchedTask<F> {
    order: Arc<WriteOrder>,
    future: Option<Pin<Box<F>>>,
}

impl<F: Future<Output = ()>> WatchedTask<F> {
    pub fn new(order: Arc<WriteOrder>, future: F) -> Self {
        Self { order, future: Some(Box::pin(future)) }
    }
}

impl<F: Future<Output = ()>> Future for WatchedTask<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let order = self.order.clone();
        let Some(future) = self.future.as_mut() else { return Poll::Ready(()) };
        let polled = within(&order, || future.as_mut().poll(context));
        if polled.is_ready() {
            self.future = None;
        }
        polled
    }
}

impl<F> Drop for WatchedTask<F> {
    fn drop(&mut self) {
        if let Some(future) = self.future.take() {
            CUT_OFF.set(true);
            within(&self.order, || drop(future));
            CUT_OFF.set(false);
        }
    }
}

/// Runs something as a part of a connection.
fn within<T>(order: &Arc<WriteOrder>, work: impl FnOnce() -> T) -> T {
    static WATCH: OnceLock<Dispatch> = OnceLock::new();
    let outer = dispatcher::get_default(Dispatch::clone);
    let watch = WATCH.get_or_init(|| Dispatch::new(SpanWatch::default()));
    if outer.is::<SpanWatch>() {
        // Polled inside another task of a connection, which has it all in place.
        return work();
    }
    let order = ORDER.replace(Some(order.clone()));
    let before = OUTER.replace(Some(outer));
    let done = dispatcher::with_default(watch, work);
    OUTER.set(before);
    ORDER.set(order);
    done
}

#[derive(Default)]
struct SpanWatch {
    last: AtomicU64,
    spans: Mutex<HashMap<u64, MessageSpan>>,
}

struct MessageSpan {
    handles: usize,
    kind: SpanKind,
}

#[derive(Clone)]
enum SpanKind {
    Reading(Arc<WriteOrder>, ReadingNumber),
    /// Nobody wants to hear of it.
    Ignored,
    /// A span of the subscriber of the process.
    Outer(Dispatch, span::Id),
}

fn is_watched(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && (DECRYPTING.contains(&metadata.name()) || metadata.name() == STORING)
}

fn outer<T>(ask: impl FnOnce(&Dispatch) -> T) -> Option<T> {
    OUTER.with_borrow(|outer| outer.as_ref().map(ask))
}

impl SpanWatch {
    fn spans(&self) -> MutexGuard<'_, HashMap<u64, MessageSpan>> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, kind: SpanKind) -> span::Id {
        let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        self.spans().insert(number, MessageSpan { handles: 1, kind });
        span::Id::from_u64(number)
    }

    fn kind(&self, id: &span::Id) -> Option<SpanKind> {
        self.spans().get(&id.into_u64()).map(|span| span.kind.clone())
    }

    /// A watched span begins. None is made outside a connection.
    fn watch(attributes: &span::Attributes<'_>) -> Option<SpanKind> {
        let order = ORDER.with_borrow(Clone::clone)?;
        let mut named = SpanNames::default();
        attributes.record(&mut named);
        if attributes.metadata().name() == STORING {
            if let Some(reading) = current() {
                order.has_content(reading, named.chat, &named.id);
            }
            return Some(SpanKind::Ignored);
        }
        let reading = order.begin(named.id);
        Some(SpanKind::Reading(order, reading))
    }
}

impl Subscriber for SpanWatch {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        // Where the process is not interested either, nothing is asked at run time.
        if is_watched(metadata) { Interest::always() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::DEBUG)
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        is_watched(metadata) || outer(|outer| outer.enabled(metadata)).unwrap_or(false)
    }

    fn new_span(&self, attributes: &span::Attributes<'_>) -> span::Id {
        let watched = is_watched(attributes.metadata()).then(|| Self::watch(attributes)).flatten();
        let forward = |outer: &Dispatch| {
            let wanted = outer.enabled(attributes.metadata());
            wanted.then(|| SpanKind::Outer(outer.clone(), outer.new_span(attributes)))
        };
        let kind = watched.or_else(|| outer(forward).flatten());
        self.add(kind.unwrap_or(SpanKind::Ignored))
    }

    fn record(&self, id: &span::Id, values: &span::Record<'_>) {
        if let Some(SpanKind::Outer(outer, id)) = self.kind(id) {
            outer.record(&id, values);
        }
    }

    fn record_follows_from(&self, id: &span::Id, follows: &span::Id) {
        if let (Some(SpanKind::Outer(outer, id)), Some(SpanKind::Outer(_, follows))) =
            (self.kind(id), self.kind(follows))
        {
            outer.record_follows_from(&id, &follows);
        }
    }

    fn event(&self, event: &Event<'_>) {
        outer(|outer| {
            if outer.enabled(event.metadata()) {
                outer.event(event);
            }
        });
    }

    fn enter(&self, id: &span::Id) {
        match self.kind(id) {
            Some(SpanKind::Reading(_, reading)) => ENTERED.with_borrow_mut(|all| all.push(reading)),
            Some(SpanKind::Outer(outer, id)) => outer.enter(&id),
            Some(SpanKind::Ignored) | None => {}
        }
    }

    fn exit(&self, id: &span::Id) {
        match self.kind(id) {
            Some(SpanKind::Reading(_, reading)) => ENTERED.with_borrow_mut(|all| {
                if let Some(index) = all.iter().rposition(|entered| *entered == reading) {
                    all.remove(index);
                }
            }),
            Some(SpanKind::Outer(outer, id)) => outer.exit(&id),
            Some(SpanKind::Ignored) | None => {}
        }
    }

    fn clone_span(&self, id: &span::Id) -> span::Id {
        if let Some(span) = self.spans().get_mut(&id.into_u64()) {
            span.handles += 1;
        }
        id.clone()
    }

    fn try_close(&self, id: span::Id) -> bool {
        let mut spans = self.spans();
        let Some(span) = spans.get_mut(&id.into_u64()) else { return false };
        span.handles -= 1;
        if span.handles > 0 {
            return false;
        }
        let span = spans.remove(&id.into_u64());
        drop(spans);
        match span.map(|span| span.kind) {
            Some(SpanKind::Reading(order, reading)) => {
                order.end(reading, CUT_OFF.with_borrow(|cut| *cut));
            }
            Some(SpanKind::Outer(outer, id)) => {
                // The span around it is let go of by its number there, through the subscriber that is in place.
                dispatcher::with_default(&outer, || outer.try_close(id));
            }
            Some(SpanKind::Ignored) | None => {}
        }
        true
    }
}

/// What the spans say of a message.
#[derive(Default)]
struct SpanNames {
    chat: String,
    id: String,
}

impl Visit for SpanNames {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "chat" => self.chat = format!("{value:?}"),
            "msg_id" => self.id = format!("{value:?}"),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::{
        Layer,
        layer::{self, SubscriberExt as _},
    };

    use super::*;

    /// Counts the spans that are over.
    #[derive(Clone, Default)]
    struct ClosedSpans(Arc<AtomicU64>);

    impl<S: Subscriber> Layer<S> for ClosedSpans {
        fn on_close(&self, _: span::Id, _: layer::Context<'_, S>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_span_of_the_process_is_over_when_those_inside_it_are() {
        let closed = ClosedSpans::default();
        let process = tracing_subscriber::registry().with(closed.clone());
        let order = Arc::default();
        tracing::subscriber::with_default(process, || {
            for round in 1..=3 {
                within(&order, || {
                    let around = tracing::info_span!("around");
                    around.in_scope(|| drop(tracing::info_span!("inside")));
                });
                assert_eq!(closed.0.load(Ordering::Relaxed), 2 * round);
            }
        });
    }
}
