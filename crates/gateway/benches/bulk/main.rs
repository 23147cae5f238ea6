//! 200 batches on 200 sessions that all begin at the same moment: how late each message goes out, and how much memory that
//! takes.
//!
//! Everything is in one process: the whole gateway, the ledger on a file with full durability, the real clock, and a
//! WhatsApp that answers at once. Late is what the wait between two messages of a session, as WhatsApp sees it, is longer
//! than the delay of its batch.
//!
//! `cargo xtask bench bulk [--json]`

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up should stop at once")]

#[path = "../parts/real.rs"]
mod real;
#[path = "../parts/report.rs"]
mod report;
mod stage;

use report::{Report, quantile};
use stage::{Run, Stage};

const RUNS: usize = 3;

fn main() {
    let json = std::env::args().any(|argument| argument == "--json");
    let report = Report { json };
    let runs: Vec<Run> = (0..RUNS).map(|_| in_runtime(run())).collect();
    let column = |of: fn(&Run) -> f64| runs.iter().map(of).collect::<Vec<_>>();
    report.tell("bulk.pace_p50", "ms", &column(|run| quantile(&run.late, 0.5)));
    report.tell("bulk.pace_p99", "ms", &column(|run| quantile(&run.late, 0.99)));
    report.tell("bulk.pace_max", "ms", &column(|run| quantile(&run.late, 1.0)));
    report.tell("bulk.pace_least", "ms", &column(|run| quantile(&run.late, 0.0)));
    // Of the first run alone: the fake WhatsApp of a run holds what it knows until the process ends.
    let first = &runs[..1];
    report.tell("bulk.memory", "MiB", &first.iter().map(|run| run.memory).collect::<Vec<_>>());
    let before = first.iter().map(|run| run.memory_before).collect::<Vec<_>>();
    report.tell("bulk.memory_before", "MiB", &before);
}

async fn run() -> Run {
    let stage = Stage::new().await;
    let run = stage.play().await;
    stage.close().await;
    run
}

fn in_runtime<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(work)
}
