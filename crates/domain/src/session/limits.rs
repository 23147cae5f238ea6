//! What WhatsApp says about an account's limits, and what follows from it for its record.

use serde::{Deserialize, Serialize};

use super::Restriction;
use crate::{failure::COLD_RESTRICTED, time::Timestamp};

/// OpenWA's kind of the lock on first messages to strangers.
pub const REACHOUT_TIMELOCK: &str = "reachout_timelock";

/// WhatsApp's lock on first messages to strangers, while it is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReachoutLock {
    /// WhatsApp's word for the reason, like `DEFAULT`.
    pub enforcement: String,
    /// When it ends, if WhatsApp said so.
    pub ends: Option<Timestamp>,
}

/// How many chats an account may begin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewChatQuota {
    /// Begun in this cycle.
    pub used: u32,
    /// As many as it may begin.
    pub total: u32,
    /// WhatsApp's word for how near the end is: `NONE`, `FIRST_WARNING`, `SECOND_WARNING`, `CAPPED`.
    pub status: Option<String>,
    /// When the next cycle begins, if WhatsApp said so.
    pub cycle_ends: Option<Timestamp>,
}

impl NewChatQuota {
    /// As many as it may still begin.
    pub const fn remaining(&self) -> u32 {
        self.total.saturating_sub(self.used)
    }

    /// Whether no further chat may begin in this cycle.
    pub fn is_used_up(&self) -> bool {
        self.remaining() == 0 || self.status.as_deref() == Some("CAPPED")
    }
}

/// Something that WhatsApp said about limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LimitNews {
    /// The lock on first messages is on, or off.
    Reachout(Option<ReachoutLock>),
    /// The number of new chats is limited, or not.
    NewChats(Option<NewChatQuota>),
}

impl LimitNews {
    /// Until when nobody new may be written to, where WhatsApp said so and that is not over at `now`.
    pub fn cold_until(&self, now: Timestamp) -> Option<Timestamp> {
        let until = match self {
            Self::Reachout(lock) => lock.as_ref().and_then(|lock| lock.ends),
            Self::NewChats(quota) => {
                let used_up = quota.as_ref().filter(|quota| quota.is_used_up());
                used_up.and_then(|quota| quota.cycle_ends)
            }
        };
        until.filter(|until| *until > now)
    }
}

/// What the record's restriction becomes when WhatsApp tells of its lock; `None` when it stays as it is. A lock that
/// was only met, by a refused message, is not lifted by this: WhatsApp also refuses strangers without it.
pub fn restriction_after(
    stored: Option<&Restriction>,
    lock: Option<&ReachoutLock>,
) -> Option<Option<Restriction>> {
    let ours = stored.filter(|stored| stored.kind == REACHOUT_TIMELOCK);
    match lock {
        Some(lock) => {
            let told = Restriction {
                kind: REACHOUT_TIMELOCK.to_owned(),
                code: lock.enforcement.clone(),
                expires_at: lock.ends,
            };
            (stored != Some(&told)).then_some(Some(told))
        }
        None => ours.filter(|ours| ours.code != COLD_RESTRICTED.to_string()).map(|_| None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(ends: i64) -> ReachoutLock {
        ReachoutLock { enforcement: "DEFAULT".into(), ends: Some(Timestamp::from_seconds(ends)) }
    }

    fn met() -> Restriction {
        let kind = REACHOUT_TIMELOCK.to_owned();
        Restriction { kind, code: COLD_RESTRICTED.to_string(), expires_at: None }
    }

    #[test]
    fn a_lock_is_told_once_and_lifted_by_whom_told_it() {
        let told = restriction_after(None, Some(&lock(100))).unwrap().unwrap();
        assert_eq!((told.code.as_str(), told.expires_at), ("DEFAULT", lock(100).ends));
        assert_eq!(restriction_after(Some(&told), Some(&lock(100))), None);
        let longer = restriction_after(Some(&told), Some(&lock(200))).unwrap().unwrap();
        assert_eq!(longer.expires_at, lock(200).ends);
        assert_eq!(restriction_after(Some(&told), None), Some(None));
        assert_eq!(restriction_after(None, None), None);
    }

    #[test]
    fn a_lock_that_was_met_stays_until_a_stranger_was_reached() {
        assert_eq!(restriction_after(Some(&met()), None), None);
        let told = restriction_after(Some(&met()), Some(&lock(100))).unwrap().unwrap();
        assert_eq!(told.code, "DEFAULT");
    }

    #[test]
    fn strangers_wait_until_the_end_that_was_told() {
        let now = Timestamp::from_seconds(50);
        assert_eq!(LimitNews::Reachout(Some(lock(100))).cold_until(now), lock(100).ends);
        assert_eq!(LimitNews::Reachout(Some(lock(40))).cold_until(now), None);
        assert_eq!(LimitNews::Reachout(None).cold_until(now), None);
        let quota = |used| NewChatQuota {
            used,
            total: 50,
            status: None,
            cycle_ends: Some(Timestamp::from_seconds(90)),
        };
        assert_eq!(LimitNews::NewChats(Some(quota(49))).cold_until(now), None);
        let until = LimitNews::NewChats(Some(quota(50))).cold_until(now);
        assert_eq!(until, Some(Timestamp::from_seconds(90)));
    }
}
