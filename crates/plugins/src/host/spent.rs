//! How much processor time a process has used, as the operating system counts it.

use std::time::Duration;

/// The processor time of a process; `None` where the system does not tell, or when it has ended.
pub(super) fn processor_time(pid: u32) -> Option<Duration> {
    // `proc(5)`: the first number of `schedstat` is the time spent on the processor, in nanoseconds.
    let text = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).ok()?;
    text.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}
