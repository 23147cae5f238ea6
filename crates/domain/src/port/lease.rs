//! The right to run a session.

use std::sync::Arc;

use async_trait::async_trait;

use super::StoreResult;
use crate::{ids::SessionId, process::ProcessRecord, session::Wish, time::Timestamp};

/// The right to run a session: one owner at a time, and a number that grows with every change of owner.
///
/// What is written for a session that runs carries it, and is refused with
/// [`StoreErrorKind::NotOwner`](super::StoreErrorKind::NotOwner) when it is no longer the session's: looked at in the
/// transaction of the write, so that nothing of an earlier owner lands behind the present one's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Lease {
    /// The session that its owner may run.
    pub session: SessionId,
    /// Who has it: one life of a process.
    pub owner: Arc<str>,
    /// Which of the session's leases it is; a later one has a larger number.
    pub epoch: u64,
}

/// A lease that was just taken or renewed, with what others want of the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// What writes for the session carry from now on.
    pub lease: Lease,
    /// Whether the session should run.
    pub wanted: bool,
    /// What was asked of its owner by a process that does not run it.
    pub wish: Option<Wish>,
}

/// Told when another caller changed what is wanted of a session.
pub type WishListener = Arc<dyn Fn(SessionId) + Send + Sync>;

/// The processes that share the ledger.
#[async_trait]
pub trait ProcessStore: Send + Sync + 'static {
    /// What the ledger knows of processes at this time: those that said where they are asked, and those that hold a
    /// session or a lane. By their names.
    async fn processes(&self, now: Timestamp) -> StoreResult<Vec<ProcessRecord>>;
}
