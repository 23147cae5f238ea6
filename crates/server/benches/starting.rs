//! From the start of the built program to the first answer of `/api/health/live`: in an empty folder, on a ledger without
//! messages, and on one with a million, filled past the store as the benchmark of growth does. The ledgers are started in
//! turn, and each start is followed by a clean stop, so what a start reads is in the system's memory.
//!
//! The large ledger needs some gigabytes in the folder for temporary files.
//!
//! `cargo xtask bench starting [--json] [--messages 1000000]`

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up should stop at once")]

#[path = "../../storage/benches/growth/fill.rs"]
#[expect(dead_code, reason = "the ledger is never on PostgreSQL here")]
mod fill;
#[path = "../../gateway/benches/parts/report.rs"]
mod report;
#[path = "../tests/it/support.rs"]
#[expect(dead_code, reason = "the benchmark starts the program itself")]
mod support;
#[path = "../../gateway/benches/parts/yardstick.rs"]
mod yardstick;

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use domain::port::WebhookStore as _;
use fill::{Sink, fill, tenant};
use report::{Report, quantile};
use support::{LIMIT, Prepared, free_port};
use testkit::START;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::Instant,
};

/// Starts on each ledger.
const STARTS: usize = 9;
const MESSAGES: usize = 1_000_000;
const SESSIONS: u32 = 10;
/// Of the newest messages, those that wait for the paused webhooks.
const BACKLOG: usize = 1_000;
const SEED: u64 = 10;
/// Until the next try while nobody listens yet.
const LOOK: Duration = Duration::from_millis(1);

struct Options {
    json: bool,
    messages: usize,
}

impl Options {
    fn read() -> Self {
        let mut options = Self { json: false, messages: MESSAGES };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--json" => options.json = true,
                "--messages" => options.messages = arguments.next().unwrap().parse().unwrap(),
                // Cargo adds it.
                "--bench" => {}
                other => panic!("what is {other}?"),
            }
        }
        options
    }
}

#[tokio::main]
async fn main() {
    let options = Options::read();
    let report = Report { json: options.json };
    let (empty, million) = (Prepared::new().await, Prepared::new().await);
    fill_ledger(&million, options.messages).await;
    // What only the first start does.
    start(&empty).await;
    start(&million).await;
    let (mut first, mut on_empty, mut on_million) = (vec![], vec![], vec![]);
    for _ in 0..STARTS {
        first.push(start(&Prepared::new().await).await);
        on_empty.push(start(&empty).await);
        on_million.push(start(&million).await);
    }
    report.tell("starting.first", "ms", &first);
    report.tell("starting.empty", "ms", &on_empty);
    report.tell("starting.million", "ms", &on_million);
    let growth = quantile(&on_million, 0.5) / quantile(&on_empty, 0.5);
    report.tell("starting.growth", "x", &[growth]);
    yardstick::tell_hashing(&report, "starting");
}

/// Ten sessions that nobody wants to run, with five webhooks each; the last one of each is paused.
async fn fill_ledger(house: &Prepared, messages: usize) {
    let began = Instant::now();
    let store = house.store().await;
    let mut tenants = Vec::new();
    for number in 1..=SESSIONS {
        tenants.push(tenant(&store, number, messages / SESSIONS as usize).await);
    }
    store.close().await;
    drop(store);
    let path = house.data().join("waypost.sqlite");
    let mut sink = Sink::Sqlite(rusqlite::Connection::open(path).unwrap());
    fill(&mut sink, &tenants, BACKLOG, SEED).await;
    drop(sink);
    let store = house.store().await;
    for tenant in &tenants {
        let paused = tenant.hooks.last().unwrap().id;
        assert!(store.pause_webhook(paused, START).await.unwrap());
    }
    store.close().await;
    eprintln!("{messages} messages, filled in {:.0} s", began.elapsed().as_secs_f64());
}

/// The program until it is told to stop; killed where that was never reached.
struct Started(Child);

impl Started {
    /// SIGTERM, and wait for the end.
    fn stop(mut self) {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let status = self.0.wait().unwrap();
        assert!(status.success(), "{status}");
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the program on this ledger until it answers, and stops it; milliseconds.
async fn start(house: &Prepared) -> f64 {
    let port = free_port();
    let mut command = house.serve(&[("PORT", port.as_str())]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let began = Instant::now();
    let started = Started(command.spawn().unwrap());
    tokio::time::timeout(LIMIT, first_answer(&port)).await.unwrap();
    let took = began.elapsed();
    started.stop();
    took.as_secs_f64() * 1000.0
}

/// The program takes its port first, so the request most often waits in it for whoever will answer.
async fn first_answer(port: &str) {
    let address = format!("127.0.0.1:{port}");
    let mut stream = loop {
        match TcpStream::connect(&address).await {
            Ok(stream) => break stream,
            Err(_) => tokio::time::sleep(LOOK).await,
        }
    };
    let request = format!("GET /api/health/live HTTP/1.1\r\nhost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.windows(4).any(|four| four == b"\r\n\r\n") {
        let count = stream.read_buf(&mut answer).await.unwrap();
        assert!(count > 0, "the program closed the connection");
    }
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
}
