//! What can change a batch, and what a change does.

use super::{Batch, Hold, ItemError};
use crate::{event::EventType, ids::WaMessageId, time::Timestamp};

/// What became of an item that was handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemOutcome {
    /// WhatsApp's server took it, at this time.
    Sent(Timestamp),
    /// It was not sent.
    Failed(ItemError),
}

/// A change of a batch. One that no longer fits (a cancel came first) changes nothing.
#[derive(Debug, Clone, PartialEq)]
pub enum BatchChange {
    /// A pending item is handed over: it is open from now on. Only while the batch is not over and not paused by its
    /// user. The first one starts the batch.
    Begin {
        /// The position of the item in its batch, from 0.
        index: u32,
        /// Under which lease of the session.
        epoch: u64,
        /// The session's next bulk message not before this time, also after a crash.
        pace: Timestamp,
    },
    /// An open item certainly never left: it is pending again, or cancelled when the batch is over.
    PutBack {
        /// The position of the item in its batch, from 0.
        index: u32,
        /// Its new id, when the old one was used up.
        wa_id: Option<WaMessageId>,
        /// The pace as it was before.
        pace: Option<Timestamp>,
    },
    /// An open item has its outcome. The last one ends the batch; so does a failure where the batch stops at errors.
    Finish {
        /// The position of the item in its batch, from 0.
        index: u32,
        /// What became of it.
        outcome: ItemOutcome,
        /// The session's next bulk message not before this time.
        pace: Option<Timestamp>,
    },
    /// It does not send from now on. A pause by its user stays what it is.
    Hold(Hold),
    /// It may send again. `paused` lifts a pause by its user, otherwise only other holds are lifted.
    Release {
        /// Whether the user asks.
        paused: bool,
    },
    /// It is over; what was not handed over is cancelled.
    Cancel,
}

impl BatchChange {
    /// The item that it changes, by its position in the batch.
    pub const fn item(&self) -> Option<u32> {
        match self {
            Self::Begin { index, .. }
            | Self::PutBack { index, .. }
            | Self::Finish { index, .. } => Some(*index),
            Self::Hold(_) | Self::Release { .. } | Self::Cancel => None,
        }
    }
}

/// A batch with what a change of it depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchRecord {
    /// The batch itself.
    pub batch: Batch,
    /// How many of its items are open. Its progress counts them as pending.
    pub open: u32,
    /// When `batch.started` or `batch.progress` was emitted last.
    pub notified_at: Option<Timestamp>,
}

/// What a change of a batch does besides changing its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BatchEffect {
    /// The item is open from now on.
    OpenItem {
        /// The position of the item in its batch.
        index: u32,
        /// The lease of the session under which it is handed over.
        epoch: u64,
    },
    /// The item is pending again.
    RequeueItem {
        /// The position of the item in its batch.
        index: u32,
        /// Its new id, when the old one was used up.
        wa_id: Option<WaMessageId>,
    },
    /// The item is cancelled.
    CancelItem {
        /// The position of the item in its batch.
        index: u32,
    },
    /// The item has its outcome; what it says is no longer needed.
    FinishItem {
        /// The position of the item in its batch.
        index: u32,
        /// What became of it.
        outcome: ItemOutcome,
    },
    /// Every pending item is cancelled.
    CancelPending,
    /// The session's next bulk message goes out at this time at the earliest.
    SetPace(Timestamp),
    /// An event that shows the batch as it is after the change. A change has one at most.
    Emit(EventType),
}

/// The change no longer fits the batch as it is now, so nothing changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangeRefused;
