//! What a send through the API costs: 64 clients over real sockets, on 50 sessions with 200 chats each, on the real router
//! and a real ledger with full durability, with a WhatsApp that answers at once. The yardstick is a bare axum route that
//! waits for two durable writes, asked by the same clients in the same run.
//!
//! `cargo xtask bench api [--json]`

#![expect(clippy::disallowed_methods, reason = "a benchmark measures on the real clock")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up should stop at once")]

mod bare;
mod client;
#[path = "../../../gateway/benches/parts/real.rs"]
#[expect(dead_code, reason = "memory is not measured here")]
mod real;
#[path = "../../../gateway/benches/parts/report.rs"]
mod report;
mod stage;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use client::Client;
use report::{Report, quantile};
use stage::Stage;

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SESSIONS: u32 = 50;
const CHATS: u32 = 200;
const CLIENTS: usize = 64;
const RUNS: usize = 3;
const SENDS: usize = 20_000;
/// Sends one after another, and sends that do not count.
const ALONE: usize = 1_000;
const WARM_UP: usize = 2_000;

/// The path and the body of a request by its number.
type Requests = Arc<dyn Fn(usize) -> (String, String) + Send + Sync>;

/// What some clients saw.
struct Seen {
    per_second: f64,
    /// Milliseconds.
    waits: Vec<f64>,
    /// Processor time of this process, clients and receiver included, microseconds per request.
    processor: f64,
}

fn main() {
    let json = std::env::args().any(|argument| argument == "--json");
    let report = Report { json };
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).enable_all();
    runtime.build().unwrap().block_on(measure(&report));
}

async fn measure(report: &Report) {
    let (mut bare, mut sends, mut keyed) = (vec![], vec![], vec![]);
    let (mut alone, mut commits) = (vec![], vec![]);
    let (mut grouped, mut kib) = (vec![], vec![]);
    for _ in 0..RUNS {
        let yardstick = bare::Bare::start().await;
        let text: Requests = Arc::new(|number| ("/".into(), format!("{{\"number\":{number}}}")));
        ask(yardstick.address, "", &text, (CLIENTS, WARM_UP)).await;
        bare.push(ask(yardstick.address, "", &text, (CLIENTS, SENDS)).await);
        drop(yardstick);
        let stage = Stage::start(SESSIONS).await;
        let plain = stage.sends(CHATS, false);
        ask(stage.address, &stage.key, &plain, (CLIENTS, WARM_UP)).await;
        let (before, written) = (stage.commits(), written());
        sends.push(ask(stage.address, &stage.key, &plain, (CLIENTS, SENDS)).await);
        let each = |number: u64| number as f64 / SENDS as f64;
        grouped.push(each(stage.commits() - before));
        kib.push(each(self::written() - written) / 1024.0);
        let with_key = stage.sends(CHATS, true);
        keyed.push(ask(stage.address, &stage.key, &with_key, (CLIENTS, SENDS / 4)).await);
        let before = stage.commits();
        let fresh = stage.sends(CHATS, true);
        alone.push(ask(stage.address, &stage.key, &fresh, (1, ALONE)).await);
        commits.push((stage.commits() - before) as f64 / ALONE as f64);
        stage.stop().await;
    }
    tell(report, "api.bare", &bare);
    tell(report, "api.send", &sends);
    tell(report, "api.send_with_key", &keyed);
    let ratio = |(send, bare): (&Seen, &Seen)| send.per_second / bare.per_second;
    let ratios: Vec<f64> = sends.iter().zip(&bare).map(ratio).collect();
    report.tell("api.send.of_bare", "x", &ratios);
    let p50 = |seen: &Seen| quantile(&seen.waits, 0.5);
    report.tell("api.send_alone.p50", "ms", &alone.iter().map(p50).collect::<Vec<_>>());
    report.tell("api.send_alone.commits", "1", &commits);
    report.tell("api.send.commits", "1", &grouped);
    report.tell("api.send.written", "KiB", &kib);
}

fn tell(report: &Report, name: &str, seen: &[Seen]) {
    let column = |pick: &dyn Fn(&Seen) -> f64| seen.iter().map(pick).collect::<Vec<f64>>();
    report.tell(&format!("{name}.rate"), "1/s", &column(&|seen| seen.per_second));
    report.tell(&format!("{name}.p50"), "ms", &column(&|seen| quantile(&seen.waits, 0.5)));
    report.tell(&format!("{name}.p99"), "ms", &column(&|seen| quantile(&seen.waits, 0.99)));
    report.tell(&format!("{name}.processor"), "us", &column(&|seen| seen.processor));
}

/// Some clients ask until so many requests are answered.
async fn ask(
    address: SocketAddr,
    key: &str,
    requests: &Requests,
    (clients, count): (usize, usize),
) -> Seen {
    let next = Arc::new(AtomicUsize::new(0));
    let (began, used) = (Instant::now(), processor_time());
    let mut tasks = Vec::with_capacity(clients);
    for _ in 0..clients {
        let (next, requests, key) = (next.clone(), requests.clone(), key.to_owned());
        tasks.push(tokio::spawn(async move {
            let mut client = Client::connect(address, &key).await;
            let mut waits = Vec::with_capacity(2 * count / clients);
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return waits;
                }
                let (path, body) = requests(number);
                let asked = Instant::now();
                client.post(&path, &body).await;
                waits.push(asked.elapsed().as_secs_f64() * 1000.0);
            }
        }));
    }
    let mut waits = Vec::with_capacity(count);
    for task in tasks {
        waits.extend(task.await.unwrap());
    }
    let processor = (processor_time() - used).as_secs_f64() * 1e6 / count as f64;
    Seen { per_second: count as f64 / began.elapsed().as_secs_f64(), waits, processor }
}

/// Bytes that this process wrote to files and sockets so far (proc(5), `wchar`).
fn written() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap();
    let line = io.lines().find_map(|line| line.strip_prefix("wchar: "));
    line.unwrap().parse().unwrap()
}

/// Processor time of this process so far, to a hundredth of a second (proc(5), `utime` and `stime`).
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let behind_name = stat.rsplit(") ").next().unwrap();
    let mut fields = behind_name.split(' ').skip(11).map(|field| field.parse::<u64>().unwrap());
    let ticks = fields.next().unwrap() + fields.next().unwrap();
    Duration::from_millis(ticks * 10)
}
