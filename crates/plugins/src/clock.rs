//! The time by which processes of plugins are judged, and by which their timers ring.

use std::time::Instant;

/// Now, by the clock of the machine.
#[expect(
    clippy::disallowed_methods,
    reason = "a process runs in real time, whatever clock a test gives the gateway"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}
