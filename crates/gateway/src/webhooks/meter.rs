//! What the delivery workers count.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use domain::delivery::{Attempt, AttemptErrorKind};

/// How attempts end, as the label says it.
const OUTCOMES: [(&str, Option<AttemptErrorKind>); 10] = [
    ("delivered", None),
    ("status", Some(AttemptErrorKind::Status)),
    ("timeout", Some(AttemptErrorKind::Timeout)),
    ("connect", Some(AttemptErrorKind::Connect)),
    ("dns", Some(AttemptErrorKind::Dns)),
    ("blocked", Some(AttemptErrorKind::Blocked)),
    ("cancelled", Some(AttemptErrorKind::Cancelled)),
    ("hook", Some(AttemptErrorKind::Hook)),
    ("unsendable", Some(AttemptErrorKind::Unsendable)),
    ("protocol", Some(AttemptErrorKind::Protocol)),
];

/// Counts what the workers do. Cheap to clone.
#[derive(Clone, Default)]
pub struct Meter {
    counts: Arc<AttemptCounts>,
}

#[derive(Default)]
struct AttemptCounts {
    attempts: [AtomicU64; OUTCOMES.len()],
    /// Deliveries: one attempt may carry several.
    delivered: AtomicU64,
    exhausted: AtomicU64,
}

impl Meter {
    /// An attempt was made.
    pub fn attempt(&self, attempt: &Attempt) {
        let kind = attempt.error.as_ref().map(|error| error.kind);
        // A kind without a class of its own is a failed conversation.
        let class = OUTCOMES.iter().position(|(_, outcome)| *outcome == kind);
        let class = class.unwrap_or(OUTCOMES.len() - 1);
        self.counts.attempts[class].fetch_add(1, Ordering::Relaxed);
    }

    /// A delivery was recorded that its receiver took.
    pub(super) fn delivered(&self) {
        self.counts.delivered.fetch_add(1, Ordering::Relaxed);
    }

    /// Deliveries that receivers took, and attempts that failed, since the start.
    pub(super) fn delivered_and_failed(&self) -> (u64, u64) {
        let failed = self.attempts().filter(|(outcome, _)| *outcome != OUTCOMES[0].0);
        let failed = failed.map(|(_, count)| count).sum();
        (self.counts.delivered.load(Ordering::Relaxed), failed)
    }

    /// A delivery was given up.
    pub fn exhausted(&self) {
        self.counts.exhausted.fetch_add(1, Ordering::Relaxed);
    }

    /// Attempts since the start, by how they ended.
    pub(crate) fn attempts(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let counts = OUTCOMES.iter().zip(&self.counts.attempts);
        counts.map(|((outcome, _), count)| (*outcome, count.load(Ordering::Relaxed)))
    }

    /// Deliveries given up since the start.
    pub(crate) fn exhausted_so_far(&self) -> u64 {
        self.counts.exhausted.load(Ordering::Relaxed)
    }
}
