//! What is known of deliveries and could not be recorded: their lanes were lost over it. They are not sent again for
//! that; whoever gets the lane again records what is known.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use domain::{
    DeliveryId,
    delivery::{Attempt, Delivery},
    port::Verdict,
};

/// Results that are kept. When full all are forgotten: those deliveries are sent again, with the ids they had.
const RESULTS_MAX: usize = 4096;

struct Result {
    /// How often it was tried before.
    attempts: u32,
    verdict: Verdict,
    attempt: Attempt,
}

/// Results that could not be recorded.
#[derive(Default)]
pub(super) struct KnownReceivers(Mutex<HashMap<DeliveryId, Result>>);

impl KnownReceivers {
    /// Keeps what a try came to.
    pub(super) fn keep(&self, delivery: &Delivery, verdict: &Verdict, attempt: &Attempt) {
        let mut results = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if results.len() >= RESULTS_MAX {
            results.clear();
        }
        let (verdict, attempt) = (verdict.clone(), attempt.clone());
        results.insert(delivery.id, Result { attempts: delivery.attempts, verdict, attempt });
    }

    /// What the try of a delivery came to that is due now; it is not kept any longer.
    pub(super) fn take(&self, delivery: &Delivery) -> Option<(Verdict, Attempt)> {
        let mut results = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if results.is_empty() {
            return None;
        }
        let known = results.remove(&delivery.id)?;
        // Somebody else tried it since: theirs counts.
        (known.attempts == delivery.attempts).then_some((known.verdict, known.attempt))
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use domain::event::Event;
    use testkit::{START, build};

    use super::*;

    #[test]
    fn a_result_counts_for_its_own_try_alone() {
        let session = build::session(1).id;
        let draft = build::session_event(1, session);
        let webhook = build::webhook(1, session).id;
        let id = DeliveryId::of(draft.id, webhook);
        let event = Arc::new(Event { draft, sequence: 1 });
        let delivery = Delivery { id, webhook, event, attempts: 0, first_tried_at: None };
        let attempt = Attempt {
            at: START,
            duration: Duration::ZERO,
            status: Some(200),
            error: None,
            excerpt: None,
        };
        let known = KnownReceivers::default();
        known.keep(&delivery, &Verdict::Delivered, &attempt);
        assert_eq!(known.take(&delivery), Some((Verdict::Delivered, attempt.clone())));
        assert_eq!(known.take(&delivery), None);
        known.keep(&delivery, &Verdict::Delivered, &attempt);
        assert_eq!(known.take(&Delivery { attempts: 1, ..delivery }), None);
    }
}
