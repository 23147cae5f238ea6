//! A point at which the process ends itself, as `kill -9` would at that very moment. For tests of the built program,
//! which so try every point between two steps and not only those that chance finds.

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
enum CommitKind {
    /// A commit of whatever kind.
    Any,
    /// The row of a message that is about to go out, with its idempotency key.
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
}

const KINDS: [(&str, CommitKind); 9] = [
    ("any", CommitKind::Any),
    ("send", CommitKind::Send),
    ("ack", CommitKind::Ack),
    ("inbound", CommitKind::Inbound),
    ("settled", CommitKind::Settled),
    ("retry", CommitKind::Retry),
    ("begin", CommitKind::Begin),
    ("item", CommitKind::Item),
    ("keys", CommitKind::Keys),
];

/// On which side of the commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CommitSide {
    /// Before it: nothing is durable.
    Before,
    /// It is durable, and its caller does not know.
    After,
}

/// Ends the process at the n-th call of the writer that commits something of a kind. Clones count together.
#[derive(Debug, Clone)]
pub struct Failpoint {
    kind: CommitKind,
    side: CommitSide,
    nth: u64,
    seen: Arc<AtomicU64>,
}

/// The text does not name a failpoint.
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
            Some("before") => CommitSide::Before,
            Some("after") => CommitSide::After,
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
pub(crate) struct WriterCall<'a> {
    failpoint: Option<&'a Failpoint>,
}

impl WriterCall<'_> {
    /// The call has its answer.
    pub(crate) fn answered(self, committed: bool) {
        if committed {
            self.strike(CommitSide::After);
        }
    }

    fn strike(&self, side: CommitSide) {
        let Some(failpoint) = self.failpoint.filter(|one| one.side == side) else { return };
        if failpoint.seen.fetch_add(1, Ordering::AcqRel) + 1 == failpoint.nth {
            std::process::abort();
        }
    }
}

fn passing(
    failpoint: Option<&Failpoint>,
    is_meant: impl FnOnce(CommitKind) -> bool,
) -> WriterCall<'_> {
    let failpoint = failpoint.filter(|one| one.kind == CommitKind::Any || is_meant(one.kind));
    let passing = WriterCall { failpoint };
    passing.strike(CommitSide::Before);
    passing
}

/// Changes with their events.
pub(crate) fn writes<'a>(failpoint: Option<&'a Failpoint>, writes: &[Write]) -> WriterCall<'a> {
    passing(failpoint, |kind| writes.iter().any(|write| of_write(write) == Some(kind)))
}

/// The result of a delivery.
pub(crate) fn settlement<'a>(
    failpoint: Option<&'a Failpoint>,
    settlement: &Settlement,
) -> WriterCall<'a> {
    let retry = matches!(settlement.verdict, Verdict::RetryAt(_));
    passing(failpoint, |kind| kind == if retry { CommitKind::Retry } else { CommitKind::Settled })
}

/// Anything else, by the words of the job.
pub(crate) fn job<'a>(failpoint: Option<&'a Failpoint>, doing: &str) -> WriterCall<'a> {
    passing(failpoint, |kind| kind == CommitKind::Keys && doing == "writing engine keys")
}

fn of_write(write: &Write) -> Option<CommitKind> {
    match write {
        Write::InsertMessage { message, .. } => Some(match message.message.direction {
            Direction::Outgoing => CommitKind::Send,
            Direction::Incoming => CommitKind::Inbound,
        }),
        Write::Batch { change, .. } => match **change {
            BatchChange::Begin { .. } => Some(CommitKind::Begin),
            BatchChange::Finish { .. } => Some(CommitKind::Item),
            _ => None,
        },
        Write::AdvanceMessage { .. } | Write::NoteReceipt { .. } => Some(CommitKind::Ack),
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
