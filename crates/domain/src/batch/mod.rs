//! Batches: one request, many recipients, sent at a pace that survives everything.
//!
//! # The words
//! - A [`Batch`] belongs to a session. Its [`BatchItem`]s are its recipients; each has its WhatsApp message id from the
//!   moment the batch is stored, so that a message that may have left is recognised after a crash.
//! - An item is *open* from the moment it is handed over until its outcome is known. Callers see it as pending.
//! - A [`Hold`] keeps a batch from sending: by its user, or by a rule that says until when.
//!
//! # End states
//! Cancelled beats everything; stopped at an error is failed; nothing sent and something failed is failed; everything
//! else is completed ([`Progress::end`]).

mod change;
mod forecast;
mod item;
mod life;
mod plan;
mod quiet;
mod zone;

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{
    ids::SessionId,
    time::{Entropy, Timestamp},
};

pub use change::{BatchChange, BatchEffect, BatchRecord, ChangeRefused, ItemOutcome};
pub use forecast::{Forecast, ForecastInput, ForecastItem, Limit, Others, forecast};
pub use item::{
    BatchItem, CONTENT_BLANK, ItemContent, ItemDraft, ItemError, ItemState, MediaSource, NewItem,
    Problem, Rendered, Said, Source, expand, problems, request_fingerprint,
};
pub use life::{confirm_item, end_at_once, transition};
pub use plan::{Lane, Next, next};
pub use quiet::{InvalidQuietHours, QuietHours};
pub use zone::{zone_named, zone_of};

/// Most items of one batch.
pub const ITEMS_MAX: usize = 10_000;
/// The delays one may ask for, milliseconds (OpenWA's).
pub const DELAY_MS: std::ops::RangeInclusive<u64> = 1000..=60_000;
/// The delay nobody asked for.
pub const DELAY_DEFAULT: Duration = Duration::from_millis(3000);
/// Most that is added to a delay at random.
pub const JITTER_MAX: Duration = Duration::from_millis(2000);
/// Least time between two `batch.progress` of a batch.
pub const PROGRESS_GAP: Duration = Duration::from_secs(5);
/// How long an uploaded file is used again before it is uploaded anew. WhatsApp keeps files for weeks.
pub const UPLOAD_KEPT: Duration = Duration::from_secs(12 * 3600);
/// When WhatsApp does not say until when strangers may not be written to, one is tried after this long.
pub const COLD_PROBE: Duration = Duration::from_secs(6 * 3600);
/// Longest id of a batch, in characters.
pub const ID_CHARS_MAX: usize = 128;

/// The name of a batch, unique in its session: the caller's, or `batch_` and 8 hex digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BatchId(String);

impl BatchId {
    /// A fresh one.
    pub fn new(entropy: &dyn Entropy) -> Self {
        let mut bytes = [0u8; 4];
        entropy.fill(&mut bytes);
        Self(format!("batch_{}", hex::encode(bytes)))
    }

    /// The one of a request with an idempotency key, the same each time.
    pub fn of_key(key: &str) -> Self {
        let hash = Sha256::digest(key.as_bytes());
        Self(format!("batch_{}", hex::encode(&hash[..16])))
    }

    /// Reads a caller's: 1 to [`ID_CHARS_MAX`] characters that can stand in a path, and not `.` or `..`.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = |c: char| !c.is_control() && !matches!(c, '/' | '\\' | '?' | '#' | '%');
        let length = text.chars().count();
        let usable = (1..=ID_CHARS_MAX).contains(&length) && text.chars().all(plain);
        (usable && text != "." && text != "..").then(|| Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a batch stands, in OpenWA's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BatchState {
    /// Nothing was handed over yet.
    Pending,
    /// It runs, or waits in the middle.
    Processing,
    /// Everything has an outcome.
    Completed,
    /// Stopped at an error, or nothing could be sent.
    Failed,
    /// Its user ended it.
    Cancelled,
}

impl BatchState {
    /// Every state.
    pub const ALL: [Self; 5] =
        [Self::Pending, Self::Processing, Self::Completed, Self::Failed, Self::Cancelled];

    /// The wire word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Processing => "processing",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Reads the wire word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// Whether nothing more is begun.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

/// Why a batch does not send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldReason {
    /// Its user paused it.
    Paused,
    /// The session is not connected.
    SessionNotReady,
    /// It is night where the recipients are.
    QuietHours,
    /// The day's sends of the session are used up.
    DailyCap,
    /// The day's new chats are used up, and only strangers are left.
    ColdDailyCap,
    /// Too many failures in a row.
    BreakerOpen,
    /// WhatsApp does not let this account write to strangers, and only strangers are left.
    RecipientColdRestricted,
    /// All sends of the installation are paused.
    SendsPaused,
}

impl HoldReason {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::Paused,
        Self::SessionNotReady,
        Self::QuietHours,
        Self::DailyCap,
        Self::ColdDailyCap,
        Self::BreakerOpen,
        Self::RecipientColdRestricted,
        Self::SendsPaused,
    ];

    /// The wire word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Paused => "paused",
            Self::SessionNotReady => "session_not_ready",
            Self::QuietHours => "quiet_hours",
            Self::DailyCap => "daily_cap",
            Self::ColdDailyCap => "cold_daily_cap",
            Self::BreakerOpen => "breaker_open",
            Self::RecipientColdRestricted => "recipient_cold_restricted",
            Self::SendsPaused => "sends_paused",
        }
    }

    /// Reads the wire word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }
}

/// A batch that does not send now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    /// The reason that is shown to people.
    pub reason: HoldReason,
    /// Until when, where that is known.
    pub until: Option<Timestamp>,
}

/// How a batch is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchOptions {
    /// Least time between two messages on the wire.
    pub delay: Duration,
    /// Whether up to [`JITTER_MAX`] is added at random.
    pub randomize: bool,
    /// Whether the first failure ends it.
    pub stop_on_error: bool,
    /// Not before this time.
    pub scheduled_at: Option<Timestamp>,
    /// Not in these hours.
    pub quiet_hours: Option<QuietHours>,
    /// The hash of the request that made it ([`request_fingerprint`]), where that came with an idempotency key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
}

impl Default for BatchOptions {
    fn default() -> Self {
        Self {
            delay: DELAY_DEFAULT,
            randomize: true,
            stop_on_error: false,
            scheduled_at: None,
            quiet_hours: None,
            fingerprint: None,
        }
    }
}

impl BatchOptions {
    /// The wait after one message; `fraction` is random in `0..1`.
    pub fn gap(&self, fraction: f64) -> Duration {
        if !self.randomize {
            return self.delay;
        }
        self.delay + JITTER_MAX.mul_f64(fraction.clamp(0.0, 1.0))
    }

    /// The wait after one message on average.
    pub fn mean_gap(&self) -> Duration {
        self.gap(0.5)
    }
}

/// How far a batch got. The five numbers always add up: `total` is the sum of the others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the words are OpenWA's own and say it")]
pub struct Progress {
    pub total: u32,
    pub sent: u32,
    pub failed: u32,
    pub pending: u32,
    pub cancelled: u32,
}

impl Progress {
    /// The end state of a batch that was not cancelled and has nothing pending.
    pub const fn end(&self, stopped: bool) -> BatchState {
        if stopped || (self.failed > 0 && self.sent == 0) {
            BatchState::Failed
        } else {
            BatchState::Completed
        }
    }
}

/// A batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The session it belongs to.
    pub session: SessionId,
    /// The id of the batch.
    pub id: BatchId,
    /// Where it stands.
    pub state: BatchState,
    /// Why it does not send now; nothing once it is over.
    pub hold: Option<Hold>,
    /// How it is sent.
    pub options: BatchOptions,
    /// How far it got.
    pub progress: Progress,
    /// When it was stored.
    pub created_at: Timestamp,
    /// When its first message was handed over.
    pub started_at: Option<Timestamp>,
    /// When it was over.
    pub completed_at: Option<Timestamp>,
}

impl Batch {
    /// Whether its user paused it.
    pub fn is_paused(&self) -> bool {
        self.hold.is_some_and(|hold| hold.reason == HoldReason::Paused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_round_trip() {
        for state in BatchState::ALL {
            assert_eq!(BatchState::parse(state.as_str()), Some(state));
        }
        for reason in HoldReason::ALL {
            assert_eq!(HoldReason::parse(reason.as_str()), Some(reason));
        }
    }

    #[test]
    fn a_batch_id_can_stand_in_a_path() {
        for good in ["batch_7f3a", "spring sale", "Größe", "a.b", "..."] {
            assert!(BatchId::parse(good).is_some(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a\\b", "a?b", "a#b", "a%2f", "a\nb", &"x".repeat(129)] {
            assert!(BatchId::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn end_states_have_their_precedence() {
        let progress = |sent, failed| Progress { total: 3, sent, failed, ..Progress::default() };
        assert_eq!(progress(2, 1).end(false), BatchState::Completed);
        assert_eq!(progress(2, 1).end(true), BatchState::Failed);
        assert_eq!(progress(0, 3).end(false), BatchState::Failed);
        assert_eq!(progress(3, 0).end(false), BatchState::Completed);
    }

    #[test]
    fn gaps_are_never_below_the_delay() {
        let options = BatchOptions::default();
        assert_eq!(options.gap(0.0), Duration::from_secs(3));
        assert_eq!(options.gap(0.5), options.mean_gap());
        assert!(options.gap(0.999) < Duration::from_secs(5));
        let plain = BatchOptions { randomize: false, ..options };
        assert_eq!(plain.gap(0.7), Duration::from_secs(3));
    }
}
