//! A client that costs little: requests one after another over a connection that is kept.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

pub struct Client {
    stream: TcpStream,
    /// What is the same in every request.
    headers: String,
    read: Vec<u8>,
}

impl Client {
    pub async fn connect(address: SocketAddr, key: &str) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let headers =
            format!("host: {address}\r\nx-api-key: {key}\r\ncontent-type: application/json\r\n");
        Self { stream, headers, read: Vec::with_capacity(4096) }
    }

    /// Asks, and waits for a 2xx. The path may be followed by headers, each behind a line's end.
    pub async fn post(&mut self, path: &str, body: &str) {
        let (path, extra) = path.split_once('\n').unwrap_or((path, ""));
        let length = body.len();
        let headers = &self.headers;
        let request = format!(
            "POST {path} HTTP/1.1\r\n{headers}{extra}content-length: {length}\r\n\r\n{body}"
        );
        self.stream.write_all(request.as_bytes()).await.unwrap();
        self.answer().await;
    }

    async fn answer(&mut self) {
        self.read.clear();
        loop {
            let count = self.stream.read_buf(&mut self.read).await.unwrap();
            assert!(count > 0, "the server closed the connection");
            let Some(end) = self.read.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
                continue;
            };
            let head = std::str::from_utf8(&self.read[..end]).unwrap();
            let text = || String::from_utf8_lossy(&self.read);
            assert!(head.starts_with("HTTP/1.1 2"), "{}", text());
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().unwrap())
            });
            if self.read.len() >= end + 4 + length.unwrap() {
                return;
            }
        }
    }
}
