//! The spans of a call: one for each delivery that it carries, in the trace of its event.

use domain::{
    delivery::{AttemptErrorKind, Delivery},
    trace::SPANS,
};
use tracing::{Span, field::Empty, info_span};

use crate::{
    egress::{Answer, EgressError},
    spans::failed,
};

/// What is measured of one call.
pub(super) struct CallSpans {
    /// Of the first delivery: the call itself.
    call: Span,
    /// Of those that go along.
    others: Vec<Span>,
}

impl CallSpans {
    /// Of a call with these deliveries, which begins now.
    pub(super) fn of(deliveries: &[Delivery]) -> Self {
        let call = deliveries.first().map_or_else(Span::none, span);
        let others = match call.is_disabled() {
            true => vec![],
            false => deliveries.iter().skip(1).map(span).collect(),
        };
        Self { call, others }
    }

    /// The one that the receiver is told.
    pub(super) fn call(&self) -> &Span {
        &self.call
    }

    /// Says what it came to.
    pub(super) fn end(self, outcome: &Result<Answer, EgressError>) {
        if self.call.is_disabled() {
            return;
        }
        for span in [&self.call].into_iter().chain(&self.others) {
            match outcome {
                Ok(answer) => {
                    span.record("status", answer.status);
                    if !(200..300).contains(&answer.status) {
                        failed(span, AttemptErrorKind::Status.as_str());
                    }
                }
                Err(error) => failed(span, error.kind.as_str()),
            }
        }
    }
}

/// One attempt of a delivery.
fn span(delivery: &Delivery) -> Span {
    let draft = &delivery.event.draft;
    info_span!(
        target: SPANS,
        "delivery",
        event.id = %draft.id,
        event.kind = draft.kind.as_str(),
        session.id = %draft.session,
        delivery.id = %delivery.id,
        webhook.id = %delivery.webhook,
        attempt = delivery.attempts + 1,
        status = Empty,
        failure = Empty,
    )
}
