//! What the parts of one connection know together: whether it still stands, why it ended, and the
//! queue of the engine's events.
//!
//! The library calls its event handler inline, so the handler only notes what ends the link and
//! puts everything else into one bounded queue, which keeps the order. When that queue is full the
//! link fails: what it holds is still handed on, then the loss. Nothing is dropped in silence, and a sink
//! that is that far behind has no use for more.

use std::{
    future::Future,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use domain::session::LossCause;
use tokio_util::sync::CancellationToken;
use whatsapp_rust::types::events::{Event, EventHandler, EventInterest, EventKind};

use crate::{
    loss, signals,
    transport::{DialError, DialObserver},
};

/// Events that may wait for the sink. A burst of receipts after a campaign is a few thousand.
const QUEUE_MAX: usize = 8192;

/// The state of one connection.
pub(crate) struct LinkState {
    queue: async_channel::Sender<Arc<Event>>,
    closing: CancellationToken,
    failing: CancellationToken,
    cause: OnceLock<LossCause>,
    paired: AtomicBool,
    connected: AtomicBool,
    unlinking: AtomicBool,
    logged_out: AtomicBool,
    uncommitted: AtomicBool,
    dial_failure: Mutex<Option<String>>,
}

impl LinkState {
    /// A link that is about to be opened, and the events of it.
    pub fn new() -> (Arc<Self>, async_channel::Receiver<Arc<Event>>) {
        let (queue, events) = async_channel::bounded(QUEUE_MAX);
        let link = Self {
            queue,
            closing: CancellationToken::new(),
            failing: CancellationToken::new(),
            cause: OnceLock::new(),
            paired: AtomicBool::new(false),
            connected: AtomicBool::new(false),
            unlinking: AtomicBool::new(false),
            logged_out: AtomicBool::new(false),
            uncommitted: AtomicBool::new(false),
            dial_failure: Mutex::new(None),
        };
        (Arc::new(link), events)
    }

    /// Nobody listens any more.
    pub fn close(&self) {
        self.closing.cancel();
    }

    pub fn is_closing(&self) -> bool {
        self.closing.is_cancelled()
    }

    pub fn closing(&self) -> impl Future<Output = ()> + Send + '_ {
        self.closing.cancelled()
    }

    /// Ends the link; the first cause counts.
    pub fn fail(&self, cause: LossCause) {
        if self.cause.set(cause).is_ok() {
            self.failing.cancel();
        }
    }

    /// Completes when the link fails or is closed.
    pub async fn over(&self) {
        tokio::select! {
            () = self.closing.cancelled() => {}
            () = self.failing.cancelled() => {}
        }
    }

    pub fn is_over(&self) -> bool {
        self.is_closing() || self.failing.is_cancelled()
    }

    pub fn cause(&self) -> Option<LossCause> {
        self.cause.get().cloned()
    }

    /// Whether messages can be sent.
    pub fn is_ready(&self) -> bool {
        self.connected.load(Ordering::Acquire) && !self.is_over()
    }

    /// Whether this connection linked the device and has not logged in with it yet.
    pub fn awaits_first_login(&self) -> bool {
        self.paired.load(Ordering::Acquire) && !self.connected.load(Ordering::Acquire)
    }

    pub fn is_paired(&self) -> bool {
        self.paired.load(Ordering::Acquire)
    }

    /// From now on a logout is what was asked for.
    pub fn begin_unlink(&self) {
        self.unlinking.store(true, Ordering::Release);
    }

    pub fn is_unlinking(&self) -> bool {
        self.unlinking.load(Ordering::Acquire)
    }

    pub fn is_logged_out(&self) -> bool {
        self.logged_out.load(Ordering::Acquire)
    }

    /// A received message could not be committed.
    pub fn mark_uncommitted(&self) {
        self.uncommitted.store(true, Ordering::Release);
    }

    pub fn has_uncommitted(&self) -> bool {
        self.uncommitted.load(Ordering::Acquire)
    }

    /// Why the last dial failed, once.
    pub fn take_dial_failure(&self) -> Option<String> {
        self.dial_failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn logged_out(&self, cause: LossCause) {
        self.logged_out.store(true, Ordering::Release);
        if !self.is_unlinking() {
            self.fail(cause);
        }
    }

    fn push(&self, event: Arc<Event>) {
        if self.queue.try_send(event).is_err() && !self.queue.is_closed() {
            tracing::error!(waiting = self.queue.len(), "the sink is too slow for this connection");
            self.fail(LossCause::Link("more news arrived than could be taken in".into()));
        }
    }
}

impl DialObserver for LinkState {
    fn dialled(&self, result: Result<(), &DialError>) {
        if let Err(error) = result {
            let source = std::error::Error::source(error).map(ToString::to_string);
            tracing::debug!(%error, source, "dialling failed");
        }
        let failure = result.err().map(ToString::to_string);
        *self.dial_failure.lock().unwrap_or_else(PoisonError::into_inner) = failure;
    }
}

impl EventHandler for LinkState {
    fn handle_event(&self, event: Arc<Event>) {
        match &*event {
            Event::LoggedOut(logout) => self.logged_out(loss::logged_out(logout)),
            Event::StreamReplaced(_) => self.fail(LossCause::Replaced),
            Event::TemporaryBan(ban) => self.fail(loss::banned(ban)),
            Event::ClientOutdated(_) => self.fail(LossCause::ClientOutdated),
            Event::ConnectFailure(failure) => self.fail(loss::login_failed(failure)),
            Event::Disconnected(end) => self.fail(loss::disconnected(&end.reason)),
            Event::PairingQrCodesExhausted(end) if end.disconnected => {
                self.fail(LossCause::PairingExpired);
            }
            Event::PairSuccess(_) => {
                self.paired.store(true, Ordering::Release);
                self.push(event);
            }
            Event::Connected(_) => {
                self.connected.store(true, Ordering::Release);
                self.push(event);
            }
            // The hook committed these already.
            Event::Messages(batch) if batch.hook_committed => {}
            // Of all stanzas only those that the library has no event for.
            Event::RawNode(node) if !signals::changes_block_list(node.get()) => {}
            // Acks of receipts and notifications are the library's business.
            Event::ServerAck(ack) if ack.class.as_deref() != Some("message") => {}
            _ => self.push(event),
        }
    }

    fn interest(&self) -> EventInterest {
        EventInterest::of(&[
            EventKind::LoggedOut,
            EventKind::StreamReplaced,
            EventKind::TemporaryBan,
            EventKind::ClientOutdated,
            EventKind::ConnectFailure,
            EventKind::Disconnected,
            EventKind::PairPasskeyRequest,
            EventKind::PairPasskeyConfirmation,
            EventKind::PairPasskeyError,
            EventKind::PairingQrCode,
            EventKind::PairingQrCodesExhausted,
            EventKind::PairSuccess,
            EventKind::PairError,
            EventKind::Connected,
            EventKind::Messages,
            EventKind::ServerAck,
            EventKind::Receipt,
            EventKind::SelfPushNameUpdated,
            EventKind::OfflineSyncCompleted,
            EventKind::UndecryptableMessage,
            EventKind::IncomingCall,
            EventKind::MissedCall,
            EventKind::CallEndedElsewhere,
            EventKind::ContactNumberChanged,
            EventKind::ContactUpdated,
            EventKind::PictureUpdate,
            EventKind::Presence,
            EventKind::ChatPresence,
            EventKind::RawNode,
            EventKind::ContactUpdate,
            EventKind::PushNameUpdate,
            EventKind::GroupUpdate,
            EventKind::MexNotification,
            EventKind::LabelEditUpdate,
            EventKind::LabelAssociationUpdate,
            EventKind::ArchiveUpdate,
            EventKind::PinUpdate,
            EventKind::MuteUpdate,
            EventKind::MarkChatAsReadUpdate,
            EventKind::DeleteChatUpdate,
            EventKind::ClearChatUpdate,
        ])
    }
}

#[cfg(test)]
mod tests {
    use whatsapp_rust::types::events::{
        Connected, PairSuccess, PairingQrCodesExhausted, ServerAck, StreamReplaced,
    };

    use super::*;

    fn connected() -> Arc<Event> {
        Arc::new(Event::Connected(Connected::builder().build()))
    }

    fn ack(class: &str) -> Arc<Event> {
        let ack = ServerAck::builder().id("M1".into()).class(class.into()).build();
        Arc::new(Event::ServerAck(ack))
    }

    fn exhausted(disconnected: bool) -> Arc<Event> {
        let end = PairingQrCodesExhausted::builder().disconnected(disconnected).build();
        Arc::new(Event::PairingQrCodesExhausted(end))
    }

    #[test]
    fn a_full_queue_fails_the_link_and_keeps_what_it_holds() {
        let (link, events) = LinkState::new();
        for _ in 0..QUEUE_MAX {
            link.handle_event(ack("message"));
        }
        assert!(!link.is_over());
        link.handle_event(ack("message"));
        assert!(matches!(link.cause(), Some(LossCause::Link(_))));
        assert_eq!(events.len(), QUEUE_MAX);
    }

    #[test]
    fn the_first_cause_counts() {
        let (link, _events) = LinkState::new();
        link.handle_event(Arc::new(Event::StreamReplaced(StreamReplaced::builder().build())));
        link.fail(LossCause::Link("later".into()));
        assert_eq!(link.cause(), Some(LossCause::Replaced));
    }

    #[test]
    fn only_acks_of_messages_are_news() {
        let (link, events) = LinkState::new();
        link.handle_event(ack("receipt"));
        assert!(events.is_empty());
        link.handle_event(ack("message"));
        assert_eq!(events.len(), 1);
    }

    #[test]
    fn the_last_qr_code_ends_pairing_unless_a_typed_code_is_valid() {
        let (link, _events) = LinkState::new();
        link.handle_event(exhausted(false));
        assert!(!link.is_over());
        link.handle_event(exhausted(true));
        assert_eq!(link.cause(), Some(LossCause::PairingExpired));
    }

    #[test]
    fn messages_can_be_sent_between_login_and_loss() {
        let (link, _events) = LinkState::new();
        assert!(!link.is_ready());
        let jid = whatsapp_rust::Jid::pn("5511990000042");
        let paired = PairSuccess::builder()
            .id(jid.clone())
            .lid(jid)
            .business_name(String::new())
            .platform(String::new())
            .build();
        link.handle_event(Arc::new(Event::PairSuccess(paired)));
        assert!(link.awaits_first_login() && !link.is_ready());
        link.handle_event(connected());
        assert!(link.is_ready() && !link.awaits_first_login());
        link.close();
        assert!(!link.is_ready());
    }
}
