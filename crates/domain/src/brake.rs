//! The brake: while it is on, no session of the installation sends anything.

use crate::time::Timestamp;

/// Longest reason of a pause, in characters.
pub const PAUSE_REASON_CHARS_MAX: usize = 200;

/// A pause of all sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendsPause {
    /// When it began.
    pub since: Timestamp,
    /// The name of the key that asked for it, as it was then.
    pub by: String,
    /// Why, in the words of whoever asked.
    pub reason: Option<String>,
}
