//! Sends that may be asked for twice and happen once (`Idempotency-Key`).

use std::time::Duration;

use serde_json::Value;

use crate::{ids::WaMessageId, time::Timestamp};

/// How long an answer is kept.
pub const KEPT: Duration = Duration::from_secs(24 * 3600);
/// After this long without an outcome, it counts as unknown.
pub const PENDING_MAX: Duration = Duration::from_secs(600);
/// Longest key, in characters.
pub const KEY_CHARS_MAX: usize = 255;

/// A key as sent: 1 to 255 visible ASCII characters.
pub fn is_valid_key(text: &str) -> bool {
    (1..=KEY_CHARS_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

/// What is known under a key. Kept for [`KEPT`].
#[derive(Debug, Clone, PartialEq)]
pub struct IdempotencyRecord {
    /// Hash of route and body: the same key with another one is refused.
    pub fingerprint: String,
    /// When the first request came.
    pub created_at: Timestamp,
    /// The message that was stored for it, if it came that far. After a crash its row tells the outcome.
    pub message: Option<WaMessageId>,
    /// What became of it.
    pub state: IdempotencyState,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum IdempotencyState {
    /// Under way, here or in an earlier life of the process.
    Open,
    /// It succeeded with this answer.
    Done(Value),
    /// It failed in a way that leaves the outcome open.
    Unknown,
}

/// What taking a key came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Taken {
    /// The key was free and is the caller's now.
    Fresh,
    /// Somebody had it before.
    Known(IdempotencyRecord),
}

#[cfg(test)]
mod tests {
    use super::is_valid_key;

    #[test]
    fn keys_are_visible_ascii() {
        assert!(is_valid_key("order-7") && is_valid_key(&"k".repeat(255)));
        for bad in ["", "a b", "ä", "a\n", &"k".repeat(256)] {
            assert!(!is_valid_key(bad), "{bad:?}");
        }
    }
}
