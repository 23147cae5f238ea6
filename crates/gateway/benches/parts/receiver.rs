//! A receiver that reads each call and answers, with as little work as HTTP allows.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::Instant,
};

/// How a receiver behaves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    Healthy,
    Error,
    Hanging,
}

#[derive(Default)]
pub struct Seen {
    pub count: AtomicU64,
    /// When each message first came in, by its number; only while it is asked for.
    pub first: Mutex<Option<HashMap<u32, Instant>>>,
}

#[derive(Clone)]
pub struct Receiver {
    pub url: String,
    pub seen: Arc<Seen>,
}

impl Receiver {
    #[expect(clippy::disallowed_methods, reason = "a benchmark; its runtime ends it")]
    pub async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let seen = Arc::<Seen>::default();
        let shared = seen.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let _ = socket.set_nodelay(true);
                tokio::spawn(serve(socket, manner, shared.clone()));
            }
        });
        Self { url, seen }
    }
}

async fn serve(mut socket: TcpStream, manner: Manner, seen: Arc<Seen>) {
    let mut buffer = Vec::with_capacity(16 * 1024);
    loop {
        let (head, length) = loop {
            if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break (at + 4, content_length(&buffer[..at]));
            }
            match socket.read_buf(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        };
        while buffer.len() < head + length {
            match socket.read_buf(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
        note(&seen, &buffer[head..head + length]);
        buffer.drain(..head + length);
        let answer: &[u8] = match manner {
            Manner::Healthy => b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            Manner::Error => b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n",
            Manner::Hanging => std::future::pending().await,
        };
        if socket.write_all(answer).await.is_err() {
            return;
        }
    }
}

fn content_length(head: &[u8]) -> usize {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let line = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    line.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}

fn note(seen: &Seen, body: &[u8]) {
    let now = Instant::now();
    seen.count.fetch_add(1, Ordering::Relaxed);
    if let Some(first) = seen.first.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
        let body: serde_json::Value = serde_json::from_slice(body).unwrap();
        let number =
            body["data"]["body"].as_str().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        first.entry(number).or_insert(now);
    }
}
