//! What it takes to receive, end to end: from a customer's phone, over the wire of the simulated network and through the
//! real engine and the ledger with full durability, to the 2xx of a webhook. Ten shops with twenty customers each.
//!
//! The built program is a process of its own. Network, customers and receiver are in this one. They encrypt each message
//! twice, for the shop's phone and for its linked device, decrypt it once, and need the same cores: the rate is that of
//! both processes together, and the processor time of each is told apart.
//!
//! The steps: without a webhook a message ends when it is durable; with one, what it takes more is the delivery. The part
//! of the ledger's thread is told besides. The latency counts from before the customer's phone encrypts.
//!
//! `cargo xtask bench receive [--json]`

#![expect(clippy::disallowed_methods, reason = "a benchmark; it waits for its tasks")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up should stop at once")]

#[path = "../parts/commit.rs"]
mod commit;
#[path = "../parts/process.rs"]
#[expect(dead_code, reason = "memory is not measured here")]
mod process;
#[path = "../../../gateway/benches/parts/receiver.rs"]
#[expect(dead_code, reason = "the receiver is always well here")]
mod receiver;
#[path = "../../../gateway/benches/parts/report.rs"]
mod report;
mod stage;
#[path = "../../tests/it/support.rs"]
#[expect(dead_code, reason = "the benchmark uses only the part that starts the program")]
mod support;
#[path = "../../../gateway/benches/parts/yardstick.rs"]
mod yardstick;

use std::{sync::Arc, time::Duration};

use process::{processor_time, processor_time_of_threads};
use report::{Report, quantile};
use stage::{End, Stage};
use tokio::time::Instant;

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const RUNS: usize = 3;
/// Messages that do not count, and those of a run.
const WARM_UP: u32 = 2_000;
const MESSAGES: u32 = 20_000;
/// Messages of a run that measures the latency, and the time between two of them.
const PACED: u32 = 400;
const GAP: Duration = Duration::from_millis(25);
/// After the last message: its outcome is still to be recorded.
const REST: Duration = Duration::from_millis(500);
/// The thread of the program that writes into the ledger.
const LEDGER_THREAD: &str = "ledger";

/// What messages as fast as they are taken cost.
struct Burst {
    per_second: f64,
    /// Microseconds per message of the gateway's process, of its ledger's thread, and of this process.
    gateway: f64,
    ledger: f64,
    simulator: f64,
    /// Per message.
    commits: f64,
}

/// Processor time so far.
struct Used {
    gateway: Duration,
    ledger: Duration,
    simulator: Duration,
}

fn main() {
    let report = Report { json: std::env::args().any(|argument| argument == "--json") };
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).enable_all();
    runtime.build().unwrap().block_on(Box::pin(measure(&report)));
    yardstick::tell_hashing(&report, "receive");
}

async fn measure(report: &Report) {
    let stage = Stage::start().await;
    let (mut commits, mut stored, mut paced, mut called) = (vec![], vec![], vec![], vec![]);
    stage.talk(WARM_UP, End::Stored).await;
    for _ in 0..RUNS {
        stored.push(burst(&stage, End::Stored).await);
    }
    stage.add_webhooks().await;
    stage.talk(WARM_UP, End::Called).await;
    for _ in 0..RUNS {
        paced.push(stage.paced(PACED, GAP).await);
        called.push(burst(&stage, End::Called).await);
        commits.push(commit::commit_millis().await);
    }
    let column = |of: fn(&Burst) -> f64| called.iter().map(of).collect::<Vec<f64>>();
    report.tell("receive.rate", "1/s", &column(|burst| burst.per_second));
    report.tell("receive.processor", "us", &column(|burst| burst.gateway));
    report.tell("receive.ledger_processor", "us", &column(|burst| burst.ledger));
    report.tell("receive.commits", "1", &column(|burst| burst.commits));
    report.tell("receive.simulator", "us", &column(|burst| burst.simulator));
    let alone: Vec<f64> = stored.iter().map(|burst| burst.gateway).collect();
    report.tell("receive.stored_processor", "us", &alone);
    for (name, part) in [("receive.p50", 0.5), ("receive.p99", 0.99)] {
        let of = |waits: &Vec<f64>| quantile(waits, part);
        report.tell(name, "ms", &paced.iter().map(of).collect::<Vec<f64>>());
    }
    report.tell("receive.commit", "ms", &commits);
}

async fn burst(stage: &Arc<Stage>, end: End) -> Burst {
    let commits = stage.commits().await;
    let (before, began) = (used(stage), Instant::now());
    stage.talk(MESSAGES, end).await;
    let took = began.elapsed();
    tokio::time::sleep(REST).await;
    let after = used(stage);
    let messages = f64::from(MESSAGES);
    let each = |now: Duration, then: Duration| (now - then).as_secs_f64() * 1e6 / messages;
    Burst {
        per_second: messages / took.as_secs_f64(),
        gateway: each(after.gateway, before.gateway),
        ledger: each(after.ledger, before.ledger),
        simulator: each(after.simulator, before.simulator),
        commits: (stage.commits().await - commits) / messages,
    }
}

fn used(stage: &Stage) -> Used {
    Used {
        gateway: processor_time(stage.pid()),
        ledger: processor_time_of_threads(stage.pid(), LEDGER_THREAD),
        simulator: processor_time(std::process::id()),
    }
}
