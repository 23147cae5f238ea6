//! The built program with no, 1, 200 and 1,000 linked sessions, connected and idle: memory, processor time, and how
//! long all take to be ready after a restart.
//!
//! The network runs in this process, so its memory is not counted. Its part of the logins needs the same cores: the time
//! until all are ready has it in it, and the processor time that the program takes for the logins is told besides.
//!
//! `cargo xtask bench sessions [--json]`

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up should stop at once")]

#[path = "parts/process.rs"]
#[expect(dead_code, reason = "threads are not told apart here")]
mod process;
#[path = "../../gateway/benches/parts/report.rs"]
mod report;
#[path = "../tests/it/support.rs"]
#[expect(dead_code, reason = "the benchmark uses only the part that starts the program")]
mod support;
#[path = "../../gateway/benches/parts/yardstick.rs"]
mod yardstick;

use std::time::Duration;

use process::{processor_time, resident_mib};
use report::Report;
use support::{Api, Prepared};
use tokio::time::Instant;

/// A few, many, and very many for one process.
const SOME: usize = 200;
const MANY: usize = 1_000;
/// Memory settles: one-time buffers of start and login are given back.
const SETTLE: Duration = Duration::from_secs(5);
/// How long nothing happens while the processor time is taken.
const IDLE: Duration = Duration::from_secs(30);
/// Until all sessions are ready; three connect at once.
const READY_LIMIT: Duration = Duration::from_secs(600);
/// Between two looks whether they are; each reads the list of sessions.
const LOOK: Duration = Duration::from_millis(100);

/// Files and sockets of this process: more than it needs.
const DESCRIPTORS: u64 = 8_192;

/// The program after a restart, with so many sessions.
struct Standing {
    sessions: usize,
    /// MiB when all are ready and memory has settled.
    memory: f64,
    /// From the start of the process until all are ready.
    ready: Duration,
    /// Processor time of the program in it.
    ready_processor: Duration,
    /// Processor time of the program while it was idle.
    idle: Duration,
}

#[tokio::main]
async fn main() {
    let report = Report { json: std::env::args().any(|argument| argument == "--json") };
    raise_descriptors();
    let none = measure(0).await;
    let one = measure(1).await;
    let some = measure(SOME).await;
    let many = measure(MANY).await;
    report.tell("sessions.alone", "MiB", &[none.memory]);
    for standing in [&one, &some, &many] {
        let name = format!("sessions.memory_{}", standing.sessions);
        report.tell(&name, "MiB", &[standing.memory]);
    }
    let each = (many.memory - some.memory) / (MANY - SOME) as f64;
    report.tell("sessions.each", "MiB", &[each]);
    for standing in [&some, &many] {
        let name = format!("sessions.ready_{}", standing.sessions);
        report.tell(&name, "s", &[standing.ready.as_secs_f64()]);
    }
    let millis = |time: Duration| time.as_secs_f64() * 1000.0 / MANY as f64;
    let login = many.ready_processor.saturating_sub(none.ready_processor);
    report.tell("sessions.ready_processor", "ms", &[millis(login)]);
    let minute = 60.0 / IDLE.as_secs_f64();
    let idle = many.idle.saturating_sub(none.idle);
    report.tell("sessions.idle", "ms", &[millis(idle) * minute]);
    yardstick::tell_hashing(&report, "sessions");
}

async fn measure(sessions: usize) -> Standing {
    let house = Prepared::new().await;
    let phones: Vec<String> = (0..sessions).map(|n| format!("49155{n:08}")).collect();
    let phones: Vec<&str> = phones.iter().map(String::as_str).collect();
    house.link(&phones).await;
    // What a first login does besides is none of a restart.
    let first = house.start();
    all_ready(&first.api(), sessions).await;
    tokio::time::sleep(SETTLE).await;
    let status = first.terminate();
    if !status.success() {
        eprintln!("{sessions} sessions did not stop in time: {status}");
    }
    let began = Instant::now();
    let running = house.start();
    all_ready(&running.api(), sessions).await;
    let ready = began.elapsed();
    let ready_processor = processor_time(running.pid());
    tokio::time::sleep(SETTLE).await;
    let memory = resident_mib(running.pid());
    let before = processor_time(running.pid());
    tokio::time::sleep(IDLE).await;
    let idle = processor_time(running.pid()) - before;
    Standing { sessions, memory, ready, ready_processor, idle }
}

async fn all_ready(api: &Api, sessions: usize) {
    let deadline = Instant::now() + READY_LIMIT;
    loop {
        let overview = api.get("/sessions/stats/overview").await;
        if overview["ready"] == sessions {
            return;
        }
        assert!(Instant::now() < deadline, "of {sessions} sessions: {overview}");
        tokio::time::sleep(LOOK).await;
    }
}

/// The network has a socket for each session in this process, which a usual limit does not allow.
fn raise_descriptors() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|now| now < DESCRIPTORS) {
        let most = limit.maximum.unwrap_or(DESCRIPTORS);
        limit.current = Some(most.min(DESCRIPTORS));
        setrlimit(Resource::Nofile, limit).unwrap();
    }
}
