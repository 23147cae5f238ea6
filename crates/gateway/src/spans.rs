//! Spans of what the gateway does, for those who keep traces.
//!
//! They have the target [`SPANS`], by which whoever listens tells them from the log's. While nobody listens one costs
//! a look. What they say are ids of sessions, events, deliveries and webhooks, and words of ours: never what somebody
//! wrote, and no address of a person.

use std::sync::Arc;

use domain::{
    SessionId,
    event::Event,
    port::EngineError,
    trace::{SPANS, TraceContext},
};
use tracing::{Span, field::Empty, info_span};

/// Tells how a span is named to whom it calls. By default nobody is told: there are no traces.
#[derive(Debug, Clone, Copy)]
pub struct TraceHeaders(fn(&Span) -> Option<TraceContext>);

impl TraceHeaders {
    /// With somebody who knows what a span, or the first one around it, is called outside.
    pub const fn new(context: fn(&Span) -> Option<TraceContext>) -> Self {
        Self(context)
    }

    /// The `traceparent` of a span; nothing while it is in no trace.
    pub(crate) fn of(self, span: &Span) -> Option<TraceContext> {
        (self.0)(span)
    }

    /// The `traceparent` of what goes on here.
    pub(crate) fn here(self) -> Option<TraceContext> {
        self.of(&Span::current())
    }
}

impl Default for TraceHeaders {
    fn default() -> Self {
        Self(|_| None)
    }
}

/// A send or a change as a whole.
pub(crate) fn send(work: &'static str, session: SessionId) -> Span {
    info_span!(target: SPANS, "send", work, session.id = %session, failure = Empty)
}

/// A round of handlers that is waited for.
pub(crate) fn hooks(point: &'static str) -> Span {
    info_span!(target: SPANS, "hooks", hook = point)
}

/// Writes of one order, until they are on the disk.
pub(crate) fn commit() -> Span {
    info_span!(target: SPANS, "commit", failure = Empty)
}

/// A frame on its way to the socket.
pub(crate) fn frame() -> Span {
    info_span!(target: SPANS, "frame", failure = Empty)
}

/// The wait for the answer of WhatsApp's server.
pub(crate) fn answer() -> Span {
    info_span!(target: SPANS, "answer", failure = Empty)
}

/// Messages that came in, until WhatsApp may be told that they are here.
pub(crate) fn stanza(session: SessionId, messages: usize) -> Span {
    info_span!(target: SPANS, "stanza", session.id = %session, messages, failure = Empty)
}

/// Begins the trace of each event that a commit stored. The two know of each other.
pub(crate) fn events(commit: &Span, events: &[Arc<Event>]) {
    if commit.is_disabled() {
        return;
    }
    for event in events {
        let draft = &event.draft;
        let begun = info_span!(
            target: SPANS,
            "event",
            event.id = %draft.id,
            event.kind = draft.kind.as_str(),
            session.id = %draft.session,
        );
        begun.follows_from(commit);
        commit.follows_from(&begun);
    }
}

/// Says of a span that it did not go well, with a word of ours.
pub(crate) fn failed(span: &Span, word: &str) {
    span.record("failure", word);
}

/// The word for an error of the engine.
pub(crate) const fn engine_word(error: &EngineError) -> &'static str {
    match error {
        EngineError::Unanswered(_) => "unanswered",
        EngineError::NotConnected => "not_connected",
        EngineError::Refused(_) => "refused",
        EngineError::TooBig => "too_big",
        EngineError::WrongState(_) => "wrong_state",
        EngineError::Misconfigured(_) => "misconfigured",
        EngineError::Store(_) => "ledger",
    }
}
