//! Deliveries, their lanes and their attempts.
//!
//! A delivery is one event for one webhook. The deliveries of a lane leave strictly one after another: the next waits
//! for the 2xx, or the burial, of the one before (promise P2). A worker holds a lane by a lease with an epoch; with an
//! old epoch nothing can be completed.

mod body;
mod health;
mod policy;
mod share;
mod standing;

use std::{fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

pub use body::{EventBatch, batch, body};
pub use health::{Breaker, Health, HealthChange, Pause, PauseReason};
pub use policy::{
    AfterFailure, AttemptProgress, HORIZON_HOURS_DEFAULT, Hint, InvalidPolicy, Policy,
    PolicyChoice, PolicyDefaults, Schedule, SignatureScheme,
};
pub use share::{Candidate, LANES_PER_PLACE, Places, Share};
pub use standing::{
    LANES_LOOKED_AT_MAX, LaneCursor, LaneFacts, LaneHead, LaneHolder, LanePage, LaneQuery,
    LaneStanding, WaitReason,
};

use crate::{
    address::ChatId,
    event::Event,
    ids::{DeliveryId, WebhookId},
    time::Timestamp,
};

/// The name of a lane: the webhook, then what it is ordered by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LaneId(String);

impl LaneId {
    /// The lane of one chat.
    pub fn chat(webhook: WebhookId, chat: &ChatId) -> Self {
        Self(format!("{webhook}/{chat}"))
    }

    /// The lane of the session's own events, or of everything.
    pub fn session(webhook: WebhookId) -> Self {
        Self(format!("{webhook}/session"))
    }

    /// A lane for one delivery: no order.
    pub fn alone(webhook: WebhookId, delivery: DeliveryId) -> Self {
        Self(format!("{webhook}/{delivery}"))
    }

    /// A name read back from a store.
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The webhook it belongs to; `None` for a name that was made elsewhere.
    pub fn webhook(&self) -> Option<WebhookId> {
        self.0.split_once('/').and_then(|(webhook, _)| webhook.parse().ok())
    }

    /// The chat whose deliveries it orders, also of replays; `None` for other lanes.
    pub fn chat_of(&self) -> Option<ChatId> {
        let (_, own) = self.0.split_once('/')?;
        let own = own.strip_prefix("replay/").unwrap_or(own);
        own.contains('@').then(|| own.parse().ok()).flatten()
    }

    /// The name as it is stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LaneId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryState {
    /// Waiting for its first or next attempt.
    Pending,
    /// The receiver answered 2xx.
    Delivered,
    /// Every attempt failed; can be redriven.
    Exhausted,
    /// Its webhook was deleted or switched off before it could leave, or a handler cancelled it.
    Dropped,
}

impl DeliveryState {
    /// The word under which it is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Exhausted => "exhausted",
            Self::Dropped => "dropped",
        }
    }

    /// Reads the stored word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Pending, Self::Delivered, Self::Exhausted, Self::Dropped]
            .into_iter()
            .find(|state| state.as_str() == text)
    }
}

/// One event for one webhook, with the event it carries.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// Its id, the same on every try.
    pub id: DeliveryId,
    /// The webhook that gets it.
    pub webhook: WebhookId,
    /// The event that is delivered.
    pub event: Arc<Event>,
    /// How many attempts were made.
    pub attempts: u32,
    /// When the first of them began.
    pub first_tried_at: Option<Timestamp>,
}

/// A lane that a worker holds, with the first of its waiting deliveries in order.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimedLane {
    /// The lane that it belongs to.
    pub lane: LaneId,
    /// The webhook whose deliveries are listed.
    pub webhook: WebhookId,
    /// Fences every later call about this claim.
    pub epoch: u64,
    /// Oldest first, never empty.
    pub deliveries: Vec<Delivery>,
}

/// What one HTTP try came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// When the request was sent.
    pub at: Timestamp,
    /// How long it took.
    pub duration: Duration,
    /// The status the receiver answered with, if it did.
    pub status: Option<u16>,
    /// What went wrong; `None` on success.
    pub error: Option<AttemptError>,
    /// The first bytes of the answer, as text, at most [`EXCERPT_BYTES_MAX`].
    pub excerpt: Option<String>,
}

impl Attempt {
    /// Whether it says something about the receiver.
    pub fn is_receivers(&self) -> bool {
        self.error.as_ref().is_none_or(|error| error.kind.is_receivers())
    }
}

/// Most of an answer that is kept per attempt, bytes.
pub const EXCERPT_BYTES_MAX: usize = 16 * 1024;

/// How an attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptErrorKind {
    /// Answered, but not with 2xx.
    Status,
    /// No answer in time.
    Timeout,
    /// No connection (refused, unreachable, TLS).
    Connect,
    /// The name did not resolve.
    Dns,
    /// The address is not allowed (private network, SSRF guard).
    Blocked,
    /// The answer broke off or was not HTTP.
    Protocol,
    /// Not sent: a handler of `webhook:before` decided that it does not leave.
    Cancelled,
    /// Not sent: a handler of `webhook:before` failed, and nothing may leave without it.
    Hook,
    /// Not sent: what is stored makes no request, today or later.
    Unsendable,
}

impl AttemptErrorKind {
    /// The word under which it is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Timeout => "timeout",
            Self::Connect => "connect",
            Self::Dns => "dns",
            Self::Blocked => "blocked",
            Self::Protocol => "protocol",
            Self::Cancelled => "cancelled",
            Self::Hook => "hook",
            Self::Unsendable => "unsendable",
        }
    }

    /// Whether it says something about the receiver: only then does it count for the breaker and the pause.
    pub const fn is_receivers(self) -> bool {
        !matches!(self, Self::Cancelled | Self::Hook | Self::Unsendable)
    }

    /// Reads the stored word.
    pub fn parse(text: &str) -> Option<Self> {
        [
            Self::Status,
            Self::Timeout,
            Self::Connect,
            Self::Dns,
            Self::Blocked,
            Self::Protocol,
            Self::Cancelled,
            Self::Hook,
            Self::Unsendable,
        ]
        .into_iter()
        .find(|kind| kind.as_str() == text)
    }
}

/// Why an attempt failed, for people; never names an internal address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptError {
    /// The kind of error.
    pub kind: AttemptErrorKind,
    /// One sentence for people.
    pub text: String,
}
