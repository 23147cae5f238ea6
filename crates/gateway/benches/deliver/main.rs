//! Deliveries: how many per second, how soon after the commit, and what dead receivers do to the others.
//!
//! Everything but the database servers is in one process: the ledger with full durability, the dispatcher, the HTTP
//! client, and a receiver that reads each call and answers 200. Message, event, delivery and attempt rows are written.
//!
//! `cargo xtask bench deliver [--json] [name …]`

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up should stop at once")]

mod ground;
#[path = "../parts/real.rs"]
mod real;
#[path = "../parts/receiver.rs"]
mod receiver;
#[path = "../parts/report.rs"]
mod report;
mod stage;
#[path = "../parts/yardstick.rs"]
mod yardstick;

use std::time::Duration;

use tokio::time::Instant;

use ground::Backend;
use report::Report;
use stage::Stage;

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SESSIONS: u32 = 10;
const CHATS: u32 = 200;
const RUNS: usize = 3;
/// Events of a run that measures the rate.
const EVENTS: u32 = 30_000;
/// The same where each takes longer.
const EVENTS_BESIDE_SERVERS: u32 = 10_000;
const BACKLOG: u32 = 100_000;

/// What is measured when nothing is named.
const FIGURES: [&str; 8] = [
    "sqlite.rate",
    "sqlite.backlog",
    "sqlite.latency",
    "postgres.rate",
    "postgres.latency",
    "redis.rate",
    "redis.sqlite.rate",
    "isolation",
];
/// What is measured by its name alone.
const PARTS: [&str; 1] = ["sqlite.commit"];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let report = Report { json: arguments.iter().any(|argument| argument == "--json") };
    let named: Vec<&String> =
        arguments.iter().filter(|argument| !argument.starts_with("--")).collect();
    for name in &named {
        assert!(FIGURES.iter().chain(&PARTS).any(|figure| means(name, figure)), "what is {name}?");
    }
    for figure in FIGURES {
        if named.is_empty() || named.iter().any(|name| means(name, figure)) {
            measure(figure, &report);
        }
    }
    for part in PARTS {
        if named.iter().any(|name| means(name, part)) {
            measure(part, &report);
        }
    }
    yardstick::tell_hashing(&report, "deliver");
}

/// A name means a figure, all figures of a ledger, or without a ledger that of SQLite; `deliver.` may stand before it.
fn means(name: &str, figure: &str) -> bool {
    let name = name.strip_prefix("deliver.").unwrap_or(name);
    let of_ledger = figure.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
    of_ledger || name.starts_with(figure) || figure.strip_prefix("sqlite.") == Some(name)
}

fn measure(figure: &str, report: &Report) {
    let (ledger, what) = figure.rsplit_once('.').unwrap_or(("", figure));
    let (backend, events) = match ledger {
        "postgres" => (Backend::Postgres, EVENTS_BESIDE_SERVERS),
        "redis" => (Backend::Redis, EVENTS_BESIDE_SERVERS),
        "redis.sqlite" => (Backend::RedisOnSqlite, EVENTS_BESIDE_SERVERS),
        _ => (Backend::Sqlite, EVENTS),
    };
    let name = |what: &str| format!("deliver.{ledger}.{what}");
    match what {
        "rate" => {
            report.tell(&name("rate"), "1/s", &repeat(|| in_runtime(rate(backend, events))));
        }
        "commit" => report.tell(
            &name("commit_rate"),
            "1/s",
            &repeat(|| in_runtime(commits(backend, events))),
        ),
        "backlog" => {
            let runs: Vec<(f64, f64)> = (0..RUNS).map(|_| in_runtime(backlog(backend))).collect();
            let column = |pick: fn(&(f64, f64)) -> f64| runs.iter().map(pick).collect::<Vec<_>>();
            report.tell(&name("backlog_rate"), "1/s", &column(|run| run.0));
            report.tell(&name("backlog_memory"), "MiB", &column(|run| run.1));
        }
        "latency" => {
            let runs: Vec<Vec<f64>> = (0..RUNS).map(|_| in_runtime(latency(backend))).collect();
            for (part, place) in [("p50", 0.5), ("p99", 0.99)] {
                let values: Vec<f64> =
                    runs.iter().map(|run| report::quantile(run, place)).collect();
                report.tell(&name(&format!("latency_{part}")), "ms", &values);
            }
        }
        _ => {
            let runs: Vec<(f64, f64)> = (0..RUNS).map(|_| in_runtime(isolation())).collect();
            let column = |pick: fn(&(f64, f64)) -> f64| runs.iter().map(pick).collect::<Vec<_>>();
            report.tell("deliver.isolation.all_healthy_p99", "ms", &column(|run| run.0));
            report.tell("deliver.isolation.half_dead_p99", "ms", &column(|run| run.1));
            report.tell("deliver.isolation.growth", "x", &column(|run| run.1 / run.0));
        }
    }
}

fn repeat(mut run: impl FnMut() -> f64) -> Vec<f64> {
    (0..RUNS).map(|_| run()).collect()
}

fn in_runtime<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(work)
}

/// From the first commit to the last recorded 2xx, while events keep coming as fast as they are taken.
async fn rate(backend: Backend, events: u32) -> f64 {
    let stage = Stage::new(backend, SESSIONS).await;
    stage.webhooks_for_all().await;
    let began = Instant::now();
    stage.produce(events, CHATS).await;
    stage.drained(u64::from(events)).await;
    let rate = f64::from(events) / began.elapsed().as_secs_f64();
    stage.close().await;
    rate
}

/// Events stored per second while nothing is delivered.
async fn commits(backend: Backend, events: u32) -> f64 {
    let stage = Stage::new(backend, SESSIONS).await;
    stage.webhooks_for_all().await;
    stage.pause_all(true).await;
    let began = Instant::now();
    stage.produce(events, CHATS).await;
    let rate = f64::from(events) / began.elapsed().as_secs_f64();
    stage.close().await;
    rate
}

/// A backlog that built up during a pause; the rate, and how much memory the drain took at most.
async fn backlog(backend: Backend) -> (f64, f64) {
    let stage = Stage::new(backend, SESSIONS).await;
    stage.webhooks_for_all().await;
    stage.pause_all(true).await;
    stage.produce(BACKLOG, CHATS).await;
    let began = Instant::now();
    stage.pause_all(false).await;
    let peak = stage.drained(u64::from(BACKLOG)).await;
    let rate = f64::from(BACKLOG) / began.elapsed().as_secs_f64();
    stage.close().await;
    (rate, peak)
}

/// Milliseconds from the answer of the commit to the arrival of the call, at 200 events per second.
async fn latency(backend: Backend) -> Vec<f64> {
    const COUNT: u32 = 2000;
    let stage = Stage::new(backend, SESSIONS).await;
    stage.webhooks_for_all().await;
    stage.produce(2000, CHATS).await;
    stage.drained(2000).await;
    let waits = stage.paced(COUNT, Duration::from_millis(5), CHATS).await;
    stage.close().await;
    waits
}

/// p99 from commit to first attempt of the healthy half of 40 webhooks: all well, and with the other half dead.
async fn isolation() -> (f64, f64) {
    const HOOKS: u32 = 40;
    let mut p99 = [0.0, 0.0];
    for (place, dead) in [(0, false), (1, true)] {
        let stage = Stage::new(Backend::Sqlite, HOOKS).await;
        stage.mixed_webhooks(dead).await;
        // From the first moment on: the dead are found out while it is measured.
        let waits = stage.paced(6000, Duration::from_micros(2500), 4).await;
        if std::env::var_os("WAYPOST_BENCH_VERBOSE").is_some() {
            for (second, some) in waits.chunks(200).enumerate() {
                let at = |part| report::quantile(some, part);
                eprintln!(
                    "dead {dead} second {second:>2}: p50 {:.2} p90 {:.2} p99 {:.2} most {:.2} ms",
                    at(0.5),
                    at(0.9),
                    at(0.99),
                    at(1.0)
                );
            }
        }
        p99[place] = report::quantile(&waits, 0.99);
        stage.abandon().await;
    }
    (p99[0], p99[1])
}
