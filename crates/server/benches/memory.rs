//! Memory of the built program with no, 1 and 50 linked sessions, idle and connected. The network runs in this process,
//! so its own memory is not counted.
//!
//! `cargo xtask bench memory`

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up should stop at once")]

#[path = "../tests/it/support.rs"]
#[expect(dead_code, reason = "the benchmark uses only the part that starts the program")]
mod support;

use std::time::Duration;

use support::Prepared;

/// Memory settles: one-time buffers of start and login are given back.
const SETTLE: Duration = Duration::from_secs(5);

/// Resident kilobytes of a process.
fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).unwrap_or(0)
}

async fn measure(sessions: usize) -> u64 {
    let house = Prepared::new().await;
    let phones: Vec<String> = (0..sessions).map(|n| format!("49155{n:08}")).collect();
    let phones: Vec<&str> = phones.iter().map(String::as_str).collect();
    let ids = house.link(&phones).await;
    let running = house.start();
    for id in ids {
        running.api().ready(id).await;
    }
    tokio::time::sleep(SETTLE).await;
    resident_kib(running.pid())
}

#[tokio::main]
async fn main() {
    let empty = measure(0).await;
    let one = measure(1).await;
    let fifty = measure(50).await;
    println!("sessions   resident MiB");
    for (count, kib) in [(0, empty), (1, one), (50, fifty)] {
        println!("{count:>8}   {:>12.1}", kib as f64 / 1024.0);
    }
    println!(
        "per session, between 1 and 50: {:.2} MiB",
        fifty.saturating_sub(one) as f64 / 1024.0 / 49.0
    );
}
