//! Receivers that lie about the length of their answers, on real sockets: what they said counts, what they cost is bounded,
//! and only their own lane waits.

#![expect(clippy::disallowed_methods, reason = "the receivers of a test end with it")]

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use domain::{
    delivery::{Attempt, AttemptErrorKind, DeliveryState, EXCERPT_BYTES_MAX},
    log::DeliveryQuery,
    port::DeliveryLog as _,
    webhook::Webhook,
};
use serde_json::Value;
use testkit::build;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::house::{House, new_webhook, until};

/// The limit of one try.
const LIMIT: Duration = Duration::from_millis(800);
/// What a liar may get rid of: socket buffers on both sides and what the client reads ahead.
const BYTES_MAX: u64 = 16 << 20;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Lie {
    /// Announces more than it sends, and closes.
    Longer,
    /// Sends more than it announces: the rest looks like the answer to the next call.
    Shorter,
    /// Announces chunks and sends none.
    Chunks,
    /// Headers for ever, as fast as they are taken.
    Head,
    /// A header, slowly, for ever.
    SlowHead,
    /// A body for ever, as fast as it is taken.
    Body,
    /// A body for ever, a byte at a time.
    SlowBody,
    /// A gibibyte, as announced.
    Gibibyte,
}

/// Lies to its first call, and is honest afterwards.
#[derive(Clone)]
struct Liar {
    url: String,
    shared: Arc<Shared>,
}

struct Shared {
    lie: Lie,
    calls: AtomicUsize,
    /// Bytes that its lies got rid of.
    sent: AtomicU64,
    texts: Mutex<Vec<String>>,
}

impl Liar {
    async fn start(lie: Lie) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            lie,
            calls: AtomicUsize::default(),
            sent: AtomicU64::default(),
            texts: Mutex::default(),
        });
        let accepting = shared.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, accepting.clone()));
            }
        });
        Self { url, shared }
    }

    fn texts(&self) -> Vec<String> {
        self.shared.texts.lock().unwrap().clone()
    }
}

async fn serve(mut socket: TcpStream, shared: Arc<Shared>) {
    let mut buffer = Vec::new();
    loop {
        let (head, length) = loop {
            if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&buffer[..at]).to_ascii_lowercase();
                let line = head.lines().find_map(|line| line.strip_prefix("content-length:"));
                break (at + 4, line.unwrap().trim().parse::<usize>().unwrap());
            }
            if !matches!(socket.read_buf(&mut buffer).await, Ok(1..)) {
                return;
            }
        };
        while buffer.len() < head + length {
            if !matches!(socket.read_buf(&mut buffer).await, Ok(1..)) {
                return;
            }
        }
        let body: Value = serde_json::from_slice(&buffer[head..head + length]).unwrap();
        shared.texts.lock().unwrap().push(body["data"]["body"].as_str().unwrap().to_owned());
        buffer.drain(..head + length);
        if shared.calls.fetch_add(1, Ordering::SeqCst) == 0 {
            if shared.lie.tell(&mut socket, &shared.sent).await.is_err() {
                return;
            }
        } else if socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.is_err() {
            return;
        }
    }
}

impl Lie {
    /// An error is the end of the connection.
    async fn tell(self, socket: &mut TcpStream, sent: &AtomicU64) -> std::io::Result<()> {
        const OK: &str = "HTTP/1.1 200 OK\r\n";
        let closed = || Err(std::io::Error::other("closed"));
        match self {
            Self::Longer => {
                let answer = format!("{OK}content-length: 1000\r\n\r\nshort");
                socket.write_all(answer.as_bytes()).await?;
                closed()
            }
            Self::Shorter => {
                let rest = format!("{OK}content-length: 0\r\n\r\n");
                let answer = format!("HTTP/1.1 500 Oops\r\ncontent-length: 2\r\n\r\nno{rest}");
                socket.write_all(answer.as_bytes()).await
            }
            Self::Chunks => {
                let answer =
                    format!("{OK}transfer-encoding: chunked\r\n\r\nzz;\u{1}\r\nnot a chunk");
                socket.write_all(answer.as_bytes()).await
            }
            Self::Head => {
                socket.write_all(OK.as_bytes()).await?;
                pour(socket, format!("x-more: {}\r\n", "x".repeat(1000)).as_bytes(), sent, None)
                    .await
            }
            Self::SlowHead => {
                socket.write_all(format!("{OK}x-more: ").as_bytes()).await?;
                pour(socket, b"x", sent, Some(Duration::from_millis(20))).await
            }
            Self::Body => {
                socket.write_all(format!("{OK}\r\n").as_bytes()).await?;
                pour(socket, &[b'x'; 64 * 1024], sent, None).await
            }
            Self::SlowBody => {
                socket.write_all(format!("{OK}\r\n").as_bytes()).await?;
                pour(socket, b"x", sent, Some(Duration::from_millis(20))).await
            }
            Self::Gibibyte => {
                let head = format!("{OK}content-length: {}\r\n\r\n", 1 << 30);
                socket.write_all(head.as_bytes()).await?;
                for _ in 0..(1 << 30) / (64 * 1024) {
                    socket.write_all(&[b'x'; 64 * 1024]).await?;
                    sent.fetch_add(64 * 1024, Ordering::SeqCst);
                }
                Ok(())
            }
        }
    }
}

/// Until nobody takes it any more.
async fn pour(
    socket: &mut TcpStream,
    bytes: &[u8],
    sent: &AtomicU64,
    pause: Option<Duration>,
) -> std::io::Result<()> {
    loop {
        socket.write_all(bytes).await?;
        sent.fetch_add(bytes.len() as u64, Ordering::SeqCst);
        if let Some(pause) = pause {
            tokio::time::sleep(pause).await;
        }
    }
}

/// What the first delivery came to, and the liar.
struct Told {
    state: DeliveryState,
    tried: Attempt,
    texts: Vec<String>,
}

/// The most memory this process ever had, bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

async fn states(house: &House, webhook: &Webhook) -> Vec<(String, DeliveryState)> {
    let found = house.store.deliveries(webhook.id, &DeliveryQuery::default(), 100).await.unwrap();
    let text = |value: &Value| value["body"].as_str().unwrap().to_owned();
    found.into_iter().map(|record| (text(&record.event.draft.data.value()), record.state)).collect()
}

/// One event gets the lie, one try; the other chat's events go to the same receiver meanwhile.
async fn lied_to(lie: Lie) -> Told {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let liar = Liar::start(lie).await;
    let mut new = new_webhook(&liar.url);
    new.retry_count = Some(1);
    new.policy.timeout_ms = Some(u32::try_from(LIMIT.as_millis()).unwrap());
    let webhook = house.gateway.webhooks.create(session, new).await.unwrap();
    let (memory, began) = (peak(), Instant::now());
    house.hear(session, &build::chat(1)).await;
    until("the lie has begun", async || liar.shared.calls.load(Ordering::SeqCst) > 0).await;
    for _ in 0..3 {
        house.hear(session, &build::chat(2)).await;
    }
    house.hear(session, &build::chat(1)).await;
    until("the other chat", async || {
        let delivered = states(&house, &webhook).await;
        let delivered = delivered.iter().filter(|(_, state)| *state == DeliveryState::Delivered);
        let others = ["text 2", "text 3", "text 4"];
        delivered.filter(|(text, _)| others.contains(&text.as_str())).count() == 3
    })
    .await;
    let hung = matches!(lie, Lie::SlowHead | Lie::SlowBody);
    assert!(began.elapsed() < LIMIT || !hung, "the other chat waited: {:?}", began.elapsed());
    house.drained().await;
    assert!(began.elapsed() < LIMIT + Duration::from_secs(5), "{:?}", began.elapsed());

    let mut found =
        house.store.deliveries(webhook.id, &DeliveryQuery::default(), 100).await.unwrap();
    found.sort_by_key(|record| record.event.sequence);
    let first = house.store.delivery(found[0].id).await.unwrap().unwrap();
    assert!(found[1..].iter().all(|record| record.state == DeliveryState::Delivered));
    assert!(first.tries[0].excerpt.as_ref().is_none_or(|text| text.len() <= EXCERPT_BYTES_MAX));
    // Every call was really made: what a liar sent too much of answered none of them.
    let mut texts = liar.texts();
    assert!(!hung || texts[4] == "text 5", "{texts:?}");
    texts.sort();
    // It notices when it sends on.
    let sent = || liar.shared.sent.load(Ordering::SeqCst);
    assert!(sent() < BYTES_MAX, "{} bytes were taken", sent());
    let grown = peak() - memory;
    assert!(grown < 64 << 20, "{grown} bytes of memory");
    Told { state: first.state, tried: first.tries[0].clone(), texts }
}

const ALL: [&str; 5] = ["text 1", "text 2", "text 3", "text 4", "text 5"];

/// The status was said, and counts.
async fn counts(lie: Lie) -> Attempt {
    let told = lied_to(lie).await;
    assert_eq!((told.state, told.tried.status), (DeliveryState::Delivered, Some(200)));
    assert_eq!(told.tried.error, None);
    assert_eq!(told.texts, ALL);
    told.tried
}

/// No status came.
async fn fails(lie: Lie) -> AttemptErrorKind {
    let told = lied_to(lie).await;
    assert_eq!((told.state, told.tried.status), (DeliveryState::Exhausted, None));
    assert_eq!(told.texts, ALL);
    told.tried.error.unwrap().kind
}

#[tokio::test]
async fn more_announced_than_sent() {
    assert_eq!(counts(Lie::Longer).await.excerpt.as_deref(), Some("short"));
}

#[tokio::test]
async fn more_sent_than_announced_answers_nobody_else() {
    let told = lied_to(Lie::Shorter).await;
    assert_eq!((told.state, told.tried.status), (DeliveryState::Exhausted, Some(500)));
    assert_eq!(
        (told.tried.excerpt.as_deref(), told.texts),
        (Some("no"), ALL.map(String::from).to_vec())
    );
}

#[tokio::test]
async fn chunks_that_are_none() {
    assert_eq!(counts(Lie::Chunks).await.excerpt, None);
}

#[tokio::test]
async fn headers_without_an_end() {
    assert_eq!(fails(Lie::Head).await, AttemptErrorKind::Protocol);
}

#[tokio::test]
async fn a_header_that_drips_for_ever() {
    assert_eq!(fails(Lie::SlowHead).await, AttemptErrorKind::Timeout);
}

/// What is kept of an answer to a call that went well.
const THANKS_BYTES_MAX: usize = 256;

#[tokio::test]
async fn a_body_without_an_end() {
    assert_eq!(counts(Lie::Body).await.excerpt.unwrap().len(), THANKS_BYTES_MAX);
}

#[tokio::test]
async fn a_body_that_drips_for_ever() {
    let tried = counts(Lie::SlowBody).await;
    assert!(tried.duration >= LIMIT && tried.duration < LIMIT * 3, "{:?}", tried.duration);
}

#[tokio::test]
async fn a_body_of_a_gibibyte() {
    assert_eq!(counts(Lie::Gibibyte).await.excerpt.unwrap().len(), THANKS_BYTES_MAX);
}
