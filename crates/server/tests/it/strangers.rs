//! Clients that want to hold the program up, with and without a key: it goes on answering, and delivering.

use std::time::Duration;

use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::Instant,
};

use crate::{
    collector::Collector,
    counting::{ids, register_with},
    support::{KEY, LIMIT, Prepared, Running},
};

const SHOP: &str = "4915550001000";
const GUEST: &str = "4917012345678";
/// As most systems have it.
const DESCRIPTORS: u64 = 1024;
const SOCKETS: usize = 2000;
const BODIES: usize = 8;
const BODY_BYTES: usize = 25 * 1000 * 1000;
const MESSAGES: usize = 30;
/// A hundredth of a second is usual; the machine has two cores and other tests on them.
const ANSWER_MAX: Duration = Duration::from_secs(2);

fn address(running: &Running) -> String {
    running.base.trim_start_matches("http://").trim_end_matches("/api").to_owned()
}

/// Sends a head, then a body, and reads the first line of the answer; empty when there was none.
async fn exchange(address: &str, head: &str, body: &[u8]) -> String {
    let Ok(mut stream) = TcpStream::connect(address).await else { return String::new() };
    let length = body.len();
    let head = format!("{head}host: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(body).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned()
}

/// How long a new client waits for the sign of life.
async fn sign_of_life(address: &str) -> Duration {
    let began = Instant::now();
    let answer = exchange(address, "GET /api/health/live HTTP/1.1\r\n", b"");
    let answer = tokio::time::timeout(LIMIT, answer).await.expect("no sign of life");
    assert_eq!(answer, "HTTP/1.1 200 OK", "after {:?}", began.elapsed());
    began.elapsed()
}

/// A body that is long because of one text, and one that is long because of millions of small values.
fn body(number: usize) -> Vec<u8> {
    let mut body = br#"{"chatId":"4917012345678@c.us","#.to_vec();
    if number.is_multiple_of(2) {
        body.extend_from_slice(br#""base64":""#);
        body.resize(BODY_BYTES - 2, b'A');
        body.extend_from_slice(br#""}"#);
    } else {
        body.extend_from_slice(br#""x":[{}"#);
        while body.len() < BODY_BYTES - 5 {
            body.extend_from_slice(b",{}");
        }
        body.extend_from_slice(b"]}");
    }
    body
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_half_open_sockets_and_eight_large_bodies_hold_nothing_up() {
    let house = Prepared::new().await;
    let session = house.link(&[SHOP]).await[0];
    let collector = Collector::that_takes(Duration::ZERO).await;
    let running = house.start_within(DESCRIPTORS);
    let api = running.api();
    api.ready(session).await;
    register_with(&api, session, &collector.url("/all"), &["message.received"], json!({})).await;
    let guest = house.network.add_account(GUEST, "Mia").await;
    let address = address(&running);

    let mut half_open = Vec::new();
    for _ in 0..SOCKETS {
        let Ok(mut stream) = TcpStream::connect(&address).await else { continue };
        let _ = stream.write_all(b"GET /api/health HTTP/1.1\r\nhost: x\r\n").await;
        half_open.push(stream);
    }
    let mut slowest = sign_of_life(&address).await;
    let uploads: Vec<_> = (0..BODIES)
        .map(|number| {
            let (address, body) = (address.clone(), body(number));
            let head = format!(
                "POST /api/sessions/{session}/messages/send-image HTTP/1.1\r\nx-api-key: {KEY}\r\n\
                 content-type: application/json\r\n"
            );
            tokio::spawn(async move { exchange(&address, &head, &body).await })
        })
        .collect();
    let mut sent = Vec::new();
    for number in 0..MESSAGES {
        sent.push(guest.send_text(SHOP, &format!("message {number}")).await.unwrap());
        slowest = slowest.max(sign_of_life(&address).await);
    }
    for upload in uploads {
        let answer = tokio::time::timeout(LIMIT, upload).await.unwrap().unwrap();
        // Refused because it is wrong, or because the others hold the budget.
        assert!(answer.contains(" 400 ") || answer.contains(" 503 "), "{answer:?}");
    }
    let deadline = Instant::now() + LIMIT;
    while ids(&collector.taken("/all")).len() < sent.len() {
        assert!(Instant::now() < deadline, "deliveries stand still: {}", running.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(slowest < ANSWER_MAX, "the slowest sign of life took {slowest:?}");
    assert_eq!(collector.repeats("/all").refused, 0);
    println!("slowest sign of life {slowest:?}, peak {} MiB", running.peak_mib());
    drop(half_open);
    assert!(running.terminate().success());
}
