//! A request that is refused costs its own answer, and nothing of the next request on the same connection.

use std::{net::SocketAddr, time::Duration};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::app::App;

/// A client that keeps its connection, as SDKs do, and opens another only when it is told to.
struct Client {
    address: SocketAddr,
    stream: Option<TcpStream>,
    opened: usize,
}

struct Heard {
    status: u16,
    closes: bool,
}

impl Client {
    fn new(address: SocketAddr) -> Self {
        Self { address, stream: None, opened: 0 }
    }

    /// One request; its body follows the head after a while.
    async fn ask(&mut self, head: &str, body: &[u8], later: Duration) -> Heard {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                self.opened += 1;
                TcpStream::connect(self.address).await.unwrap()
            }
        };
        let head = format!("{head}\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).await.expect("the request was lost");
        if !later.is_zero() {
            stream.flush().await.unwrap();
            tokio::time::sleep(later).await;
        }
        stream.write_all(body).await.expect("the body was lost");
        let heard = read(&mut stream).await;
        if !heard.closes {
            self.stream = Some(stream);
        }
        heard
    }
}

/// One answer.
async fn read(stream: &mut TcpStream) -> Heard {
    let (mut seen, mut end) = (Vec::new(), None);
    loop {
        let mut piece = [0u8; 4096];
        let size = stream.read(&mut piece).await.expect("the answer was lost");
        assert!(size > 0, "no answer: {:?}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&piece[..size]);
        let text = String::from_utf8_lossy(&seen).to_ascii_lowercase();
        if let Some(at) = text.find("\r\n\r\n") {
            let length = text[..at].lines().find_map(|line| line.strip_prefix("content-length: "));
            end = Some(at + 4 + length.map_or(0, |length| length.trim().parse().unwrap()));
        }
        if end.is_some_and(|end| seen.len() >= end) {
            let status = text.split(' ').nth(1).unwrap().parse().unwrap();
            return Heard { status, closes: text.contains("\r\nconnection: close") };
        }
    }
}

#[tokio::test]
async fn no_request_is_lost_after_one_that_was_refused() {
    let app = App::start().await;
    let address = app.serve().await;
    let body = json!({ "chatId": "4917012345678@c.us", "text": "x".repeat(2000) }).to_string();
    let (right, json) = (format!("x-api-key: {}", app.admin), "content-type: application/json");
    let refused = [
        (404, format!("POST /api/nothing HTTP/1.1\r\n{right}\r\n{json}")),
        (401, format!("POST /api/sessions HTTP/1.1\r\nx-api-key: wrong\r\n{json}")),
        (401, format!("POST /api/sessions HTTP/1.1\r\n{json}")),
        // A route that takes no body.
        (404, format!("POST /api/sessions/none/start HTTP/1.1\r\n{right}\r\n{json}")),
        (200, format!("GET /api/health HTTP/1.1\r\n{json}")),
        (
            415,
            format!("POST /api/sessions HTTP/1.1\r\n{right}\r\ncontent-encoding: gzip\r\n{json}"),
        ),
    ];
    for later in [0, 5, 40].map(Duration::from_millis) {
        let mut client = Client::new(address);
        for _ in 0..20 {
            for (status, head) in &refused {
                let heard = client.ask(head, body.as_bytes(), later).await;
                assert_eq!(heard.status, *status, "{head}");
                let next = format!("GET /api/sessions HTTP/1.1\r\n{right}");
                assert_eq!(client.ask(&next, b"", Duration::ZERO).await.status, 200, "{head}");
            }
        }
        assert_eq!(client.opened, 1, "a small body is no reason to close");
    }
}

#[tokio::test]
async fn a_large_body_to_a_wrong_key_gets_its_answer() {
    let app = App::start().await;
    let mut client = Client::new(app.serve().await);
    let body = vec![b'x'; 5 * 1024 * 1024];
    let head = "POST /api/sessions HTTP/1.1\r\nx-api-key: wrong";
    for _ in 0..5 {
        assert_eq!(client.ask(head, &body, Duration::ZERO).await.status, 401);
    }
}

#[tokio::test]
async fn a_body_that_never_comes_closes_the_connection_in_words() {
    let app = App::start().await;
    let mut stream = TcpStream::connect(app.serve().await).await.unwrap();
    let head = "POST /api/sessions HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let heard = read(&mut stream).await;
    assert!(heard.status == 401 && heard.closes);
    // Who asks first whether to send it is told at once, and sends nothing.
    let mut stream = TcpStream::connect(app.serve().await).await.unwrap();
    let head = format!("{}expect: 100-continue\r\n\r\n", &head[..head.len() - 2]);
    stream.write_all(head.as_bytes()).await.unwrap();
    let heard = tokio::time::timeout(Duration::from_millis(900), read(&mut stream)).await.unwrap();
    assert!(heard.status == 401 && heard.closes);
}

#[tokio::test]
async fn framing_that_can_be_read_in_two_ways_is_refused() {
    let app = App::start().await;
    let address = app.serve().await;
    let chunk = "2\r\n{}\r\n0\r\n\r\n";
    for (framing, body) in [
        ("transfer-encoding: xchunked\r\ntransfer-encoding: chunked", chunk),
        ("transfer-encoding: xchunked, chunked", chunk),
        ("transfer-encoding: gzip, chunked", chunk),
        ("transfer-encoding: chunked, chunked", chunk),
        ("transfer-encoding: identity", ""),
        ("transfer-encoding: chunked\r\ncontent-length: 5", chunk),
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = "POST /api/sessions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json";
        let text = format!("{head}\r\nx-api-key: {}\r\n{framing}\r\n\r\n{body}", app.admin);
        stream.write_all(text.as_bytes()).await.unwrap();
        let heard = read(&mut stream).await;
        assert!(heard.status == 400 && heard.closes, "{framing}: {}", heard.status);
    }
}

#[tokio::test]
async fn a_slow_body_ends_and_says_so() {
    let limit = Duration::from_millis(300);
    let app = App::with(|options| options.request_timeout = limit).await;
    let mut stream = TcpStream::connect(app.serve().await).await.unwrap();
    let head = "POST /api/sessions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json";
    let text = format!("{head}\r\nx-api-key: {}\r\ncontent-length: 100\r\n\r\n{{", app.admin);
    stream.write_all(text.as_bytes()).await.unwrap();
    let heard = read(&mut stream).await;
    assert!(heard.status == 408 && heard.closes, "{}", heard.status);
}

#[tokio::test]
async fn bodies_beyond_the_budget_are_refused_for_now() {
    let app = App::with(|options| options.body_budget_bytes = 1024 * 1024).await;
    let session = app.ready_session("bakery").await;
    let path = format!("/api/sessions/{session}/messages/send-image");
    let large = json!({ "chatId": "4917012345678@c.us", "base64": "A".repeat(2_000_000) });
    let answer = app.ask("POST", &path).admin().json(&large).send().await;
    assert_eq!(answer.headers["retry-after"], "1");
    answer.expect(503);
    // What it held is free again, and small bodies need none of it.
    let fits = json!({ "chatId": "4917012345678@c.us", "base64": "A".repeat(900_000) });
    for _ in 0..3 {
        app.ask("POST", &path).admin().json(&fits).send().await.expect(400);
    }
}

#[tokio::test]
async fn a_body_of_millions_of_values_is_refused_before_it_is_built() {
    let app = App::start().await;
    let body = format!(r#"{{"name":"bakery","x":[{}0]}}"#, "0,".repeat(200_000));
    let ask = app.ask("POST", "/api/sessions").admin().header("content-type", "application/json");
    let answer = ask.raw(body.into_bytes()).send().await.expect(400);
    assert_eq!(answer["message"], "The request body holds more than 100000 values");
}
