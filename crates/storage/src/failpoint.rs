//! A place at which the process ends itself, as `kill -9` would at that very moment. For tests of the built program, which
//! so try every place between two steps and not only those that chance finds.

use std::{
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use domain::{
    batch::BatchChange,
    message::Direction,
    port::{Settlement, Verdict, Write},
};

/// What a commit is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Whatever it is.
    Any,
    /// The row of a message that is about to go out.
    Send,
    /// How far a message of ours got.
    Ack,
    /// A message that came in.
    Inbound,
    /// A result of a delivery after which its lane goes on.
    Settled,
    /// A result of a delivery after which it comes again.
    Retry,
    /// An item of a batch is handed over.
    Begin,
    /// An item of a batch has its outcome.
    Item,
    /// Keys of the engine.
    Keys,
    /// A key of an idempotent send.
    Idempotency,
}

const KINDS: [(&str, Kind); 10] = [
    ("any", Kind::Any),
    ("send", Kind::Send),
    ("ack", Kind::Ack),
    ("inbound", Kind::Inbound),
    ("settled", Kind::Settled),
    ("retry", Kind::Retry),
    ("begin", Kind::Begin),
    ("item", Kind::Item),
    ("keys", Kind::Keys),
    ("idempotency", Kind::Idempotency),
];

/// On which side of the commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    /// Nothing is committed.
    Before,
    /// It is durable, and its caller does not know.
    After,
}

/// Ends the process at the n-th call of the writer that commits something of a kind. Clones count together.
#[derive(Debug, Clone)]
pub struct Failpoint {
    kind: Kind,
    side: Side,
    nth: u64,
    seen: Arc<AtomicU64>,
}

/// Not a failpoint.
#[derive(Debug, thiserror::Error)]
#[error(
    "must be before or after, a kind of commit and a number from 1 on, for instance after:send:1"
)]
pub struct InvalidFailpoint;

impl FromStr for Failpoint {
    type Err = InvalidFailpoint;

    fn from_str(text: &str) -> Result<Self, InvalidFailpoint> {
        let mut words = text.trim().split(':');
        let side = match words.next() {
            Some("before") => Side::Before,
            Some("after") => Side::After,
            _ => return Err(InvalidFailpoint),
        };
        let word = words.next();
        let kind = KINDS.iter().find(|(name, _)| Some(*name) == word).map(|(_, kind)| *kind);
        let nth = words.next().and_then(|number| number.parse().ok()).filter(|nth| *nth > 0);
        match (kind, nth, words.next()) {
            (Some(kind), Some(nth), None) => Ok(Self { kind, side, nth, seen: Arc::default() }),
            _ => Err(InvalidFailpoint),
        }
    }
}

/// A call of the writer that is on its way.
#[must_use]
pub(crate) struct Passing<'a> {
    failpoint: Option<&'a Failpoint>,
}

impl Passing<'_> {
    /// The call has its answer.
    pub(crate) fn answered(self, committed: bool) {
        if committed {
            self.strike(Side::After);
        }
    }

    fn strike(&self, side: Side) {
        let Some(failpoint) = self.failpoint.filter(|one| one.side == side) else { return };
        if failpoint.seen.fetch_add(1, Ordering::AcqRel) + 1 == failpoint.nth {
            std::process::abort();
        }
    }
}

fn passing(failpoint: Option<&Failpoint>, is_meant: impl FnOnce(Kind) -> bool) -> Passing<'_> {
    let failpoint = failpoint.filter(|one| one.kind == Kind::Any || is_meant(one.kind));
    let passing = Passing { failpoint };
    passing.strike(Side::Before);
    passing
}

/// Changes with their events.
pub(crate) fn writes<'a>(failpoint: Option<&'a Failpoint>, writes: &[Write]) -> Passing<'a> {
    passing(failpoint, |kind| writes.iter().any(|write| of_write(write) == Some(kind)))
}

/// The result of a delivery.
pub(crate) fn settlement<'a>(
    failpoint: Option<&'a Failpoint>,
    settlement: &Settlement,
) -> Passing<'a> {
    let retry = matches!(settlement.verdict, Verdict::RetryAt(_));
    passing(failpoint, |kind| kind == if retry { Kind::Retry } else { Kind::Settled })
}

/// Anything else, by the words of the job.
pub(crate) fn job<'a>(failpoint: Option<&'a Failpoint>, doing: &str) -> Passing<'a> {
    passing(failpoint, |kind| match kind {
        Kind::Keys => doing == "writing engine keys",
        Kind::Idempotency => doing.contains("idempotency"),
        _ => false,
    })
}

fn of_write(write: &Write) -> Option<Kind> {
    match write {
        Write::InsertMessage { message, .. } => Some(match message.message.direction {
            Direction::Outgoing => Kind::Send,
            Direction::Incoming => Kind::Inbound,
        }),
        Write::Batch { change, .. } => match **change {
            BatchChange::Begin { .. } => Some(Kind::Begin),
            BatchChange::Finish { .. } => Some(Kind::Item),
            _ => None,
        },
        Write::AdvanceMessage { .. } => Some(Kind::Ack),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failpoint_names_a_side_a_kind_and_a_number() {
        for text in ["after:send:1", "before:any:20", " after:settled:3 "] {
            assert!(text.parse::<Failpoint>().is_ok(), "{text}");
        }
        for text in ["", "send:1", "after:send", "after:send:0", "after:tea:1", "after:send:1:2"] {
            assert!(text.parse::<Failpoint>().is_err(), "{text}");
        }
    }
}
