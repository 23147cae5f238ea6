//! Sends that wait for a person: what an agent wants to say, until somebody releases or refuses it.
//!
//! A key may be marked with an [`ApprovalRule`]. What it sends beyond its budget is stored as an [`Approval`] instead.
//! A released one goes out under an idempotency key of its own, so that it goes out once, whatever happens meanwhile.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    address::ChatId,
    ids::{ApiKeyId, ApprovalId, EventId, SessionId},
    time::Timestamp,
};

/// Sends of one key that wait at the same time; further ones are refused.
pub const HELD_MAX: u32 = 1000;
/// How long a send waits for a person; after it, it is refused.
pub const HELD_FOR: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long a released send may take until it is given up. Shorter than its idempotency key is kept, so that it
/// cannot go out twice.
pub const RELEASED_FOR: Duration = Duration::from_secs(12 * 3600);
/// How long what became of one is kept.
pub const KEPT_FOR: Duration = Duration::from_secs(30 * 24 * 3600);
/// Who refuses what nobody looked at.
pub const NOBODY: &str = "nobody in time";

/// What a key may send without a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalRule {
    /// Messages in a day of UTC; 0 lets each wait.
    pub daily_budget: u32,
}

/// How far a send got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ApprovalState {
    /// It waits for a person.
    Held,
    /// A person let it go; it is on its way.
    Released,
    /// It never goes out.
    Refused,
    /// WhatsApp's server took it.
    Sent,
    /// It was released and could not be sent.
    Failed,
}

impl ApprovalState {
    /// Every state, in the order of a life.
    pub const ALL: [Self; 5] =
        [Self::Held, Self::Released, Self::Refused, Self::Sent, Self::Failed];

    /// The word that the API uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Released => "released",
            Self::Refused => "refused",
            Self::Sent => "sent",
            Self::Failed => "failed",
        }
    }

    /// Reads the wire word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// Whether it may become another.
    pub const fn may_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Held, Self::Released | Self::Refused)
                | (Self::Released, Self::Sent | Self::Failed)
        )
    }
}

/// A send that waits, or waited, for a person.
#[derive(Debug, Clone, PartialEq)]
pub struct Approval {
    /// Its id, also the idempotency key under which it goes out.
    pub id: ApprovalId,
    /// The session that sends it.
    pub session: SessionId,
    /// To whom, where the request says it.
    pub chat: Option<ChatId>,
    /// Whose send it is.
    pub key: ApiKeyId,
    /// What that key was called.
    pub key_name: String,
    /// The idempotency key of the request: the same request twice waits once.
    pub request_key: Option<String>,
    /// Which send: the last part of its route.
    pub route: String,
    /// What the request says, JSON; empty when it went out or never will.
    pub request: String,
    /// How far it got.
    pub state: ApprovalState,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it was released or refused, and by whom.
    pub decided: Option<Decision>,
    /// What became of it.
    pub answer: Option<ApprovalAnswer>,
}

/// A person's word about a send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// When it was said.
    pub at: Timestamp,
    /// The name of the key that said it.
    pub by: String,
}

/// What the route answered when the send was made.
#[derive(Debug, Clone, PartialEq)]
pub struct ApprovalAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The body, JSON.
    pub body: serde_json::Value,
}

/// A change of an approval, with its event.
#[derive(Debug, Clone, PartialEq)]
pub enum ApprovalChange {
    /// Store one that waits. Nothing happens when the same request waits already, or waited.
    Hold(Box<Approval>),
    /// Release or refuse one that waits.
    Decide {
        /// [`ApprovalState::Released`] or [`ApprovalState::Refused`].
        state: ApprovalState,
        /// Who said so, and when.
        decision: Decision,
    },
    /// Store what became of a released one.
    Finish {
        /// [`ApprovalState::Sent`] or [`ApprovalState::Failed`].
        state: ApprovalState,
        /// What the route answered.
        answer: ApprovalAnswer,
    },
}

/// A change on its way to the ledger.
#[derive(Debug, Clone, PartialEq)]
pub struct ApprovalWrite {
    /// Which approval it is.
    pub id: ApprovalId,
    /// The session that it belongs to.
    pub session: SessionId,
    /// What changes of it.
    pub change: ApprovalChange,
    /// The id of the event that it causes, if it causes one.
    pub event: EventId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_goes_one_way() {
        use ApprovalState::{Failed, Held, Refused, Released, Sent};
        let steps = [(Held, Released), (Held, Refused), (Released, Sent), (Released, Failed)];
        for from in ApprovalState::ALL {
            for to in ApprovalState::ALL {
                assert_eq!(from.may_become(to), steps.contains(&(from, to)), "{from:?} {to:?}");
            }
            assert_eq!(ApprovalState::parse(from.as_str()), Some(from));
        }
        assert!(RELEASED_FOR < crate::idempotency::KEPT);
    }
}
