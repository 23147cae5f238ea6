//! The connections of the outgoing client: what goes over them, which are kept, and what a kept one that is gone costs.

#![expect(clippy::disallowed_methods, reason = "the receivers of a test end with it")]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use domain::delivery::{AttemptErrorKind, EXCERPT_BYTES_MAX};
use gateway::egress::{Answer, Egress, EgressError, EgressPolicy};
use http::{HeaderMap, HeaderValue};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use url::Url;

use crate::house::until;

const LIMIT: Duration = Duration::from_secs(10);
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// What a server does with a call.
#[derive(Clone)]
enum Act {
    Answer(String),
    /// And closes, without having said so.
    AnswerAndClose(&'static str),
    Close,
}

/// Does what it is told, call by call, then answers 200; remembers every call and the connection it came on.
#[derive(Clone, Default)]
struct Server {
    acts: Arc<Mutex<Vec<Act>>>,
    calls: Arc<Mutex<Vec<(usize, String)>>>,
    /// Connections that the other side closed.
    left: Arc<Mutex<Vec<usize>>>,
    /// Connections that are closed, by whichever side.
    ended: Arc<Mutex<Vec<usize>>>,
}

impl Server {
    async fn start(at: &str, acts: impl IntoIterator<Item = Act>) -> (Self, Url) {
        let listener = TcpListener::bind(at).await.unwrap();
        let url = format!("http://{}/a/hook?x=1&y=%20z#part", listener.local_addr().unwrap());
        let this = Self::default();
        this.acts.lock().unwrap().extend(acts);
        let server = this.clone();
        tokio::spawn(async move {
            for number in 0.. {
                let (socket, _) = listener.accept().await.unwrap();
                let (server, ended) = (server.clone(), server.ended.clone());
                tokio::spawn(async move {
                    server.serve(number, socket).await;
                    ended.lock().unwrap().push(number);
                });
            }
        });
        (this, Url::parse(&url).unwrap())
    }

    async fn serve(self, number: usize, mut socket: TcpStream) {
        let mut buffer = Vec::new();
        loop {
            let whole = |buffer: &[u8]| buffer.ends_with(b"\r\n\r\nbody");
            while !whole(&buffer) {
                if !matches!(socket.read_buf(&mut buffer).await, Ok(1..)) {
                    self.left.lock().unwrap().push(number);
                    return;
                }
            }
            let call = String::from_utf8(std::mem::take(&mut buffer)).unwrap();
            let place = {
                let mut calls = self.calls.lock().unwrap();
                calls.push((number, call));
                calls.len() - 1
            };
            let act = self.acts.lock().unwrap().get(place).cloned();
            let (answer, closes) = match act.unwrap_or(Act::Answer(OK.into())) {
                Act::Answer(answer) => (answer, false),
                Act::AnswerAndClose(answer) => (answer.to_owned(), true),
                Act::Close => return,
            };
            if socket.write_all(answer.as_bytes()).await.is_err() || closes {
                return;
            }
        }
    }

    /// The connections that the calls came on, in order.
    fn connections(&self) -> Vec<usize> {
        self.calls.lock().unwrap().iter().map(|(number, _)| *number).collect()
    }
}

fn client() -> Egress {
    Egress::new(EgressPolicy::default()).unwrap()
}

async fn post(client: &Egress, url: &Url) -> Result<Answer, EgressError> {
    let mut headers = HeaderMap::new();
    headers.insert("x-one", HeaderValue::from_static("1"));
    client.post(url, headers, Bytes::from_static(b"body"), LIMIT, None).await
}

async fn status(client: &Egress, url: &Url) -> u16 {
    post(client, url).await.unwrap().status
}

#[tokio::test]
async fn one_connection_serves_calls_one_after_another() {
    let answers = [
        OK.to_owned(),
        "HTTP/1.1 503 Later\r\nretry-after: 7\r\ncontent-length: 4\r\n\r\nlate".into(),
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
            .into(),
        "HTTP/1.1 103 Hints\r\nlink: x\r\n\r\nHTTP/1.1 204 No\r\n\r\n".into(),
    ];
    let (server, url) = Server::start("127.0.0.1:0", answers.map(Act::Answer)).await;
    let client = client();
    assert_eq!(status(&client, &url).await, 200);
    let late = post(&client, &url).await.unwrap();
    assert_eq!((late.status, late.body.as_slice()), (503, b"late".as_slice()));
    assert_eq!(late.retry_after.as_deref(), Some("7"));
    assert_eq!(post(&client, &url).await.unwrap().body, b"abcde");
    for status_code in [204, 200, 200] {
        assert_eq!(status(&client, &url).await, status_code);
    }
    assert_eq!(server.connections(), [0; 6]);
    let call = server.calls.lock().unwrap()[0].1.to_ascii_lowercase();
    let (head, body) = call.split_once("\r\n\r\n").unwrap();
    let mut lines: Vec<&str> = head.split("\r\n").collect();
    assert_eq!((lines.remove(0), body), ("post /a/hook?x=1&y=%20z http/1.1", "body"));
    lines.sort_unstable();
    let host = format!("host: 127.0.0.1:{}", url.port().unwrap());
    assert_eq!(lines, ["accept: */*", "content-length: 4", &host, "x-one: 1"]);
}

#[tokio::test]
async fn calls_at_once_have_connections_of_their_own() {
    let (server, url) = Server::start("127.0.0.1:0", []).await;
    let client = client();
    let calls = || futures::future::join_all((0..5).map(|_| status(&client, &url)));
    assert_eq!(calls().await, [200; 5]);
    assert_eq!(calls().await, [200; 5]);
    let mut connections = server.connections();
    connections.sort_unstable();
    connections.dedup();
    assert_eq!(connections, [0, 1, 2, 3, 4]);
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_meanwhile_costs_nothing() {
    let (server, url) = Server::start("127.0.0.1:0", vec![Act::AnswerAndClose(OK); 3]).await;
    let client = client();
    for call in 0..4 {
        assert_eq!(status(&client, &url).await, 200);
        if call < 3 {
            until("closed", async || server.ended.lock().unwrap().contains(&call)).await;
        }
    }
    assert_eq!(server.connections(), [0, 1, 2, 3], "each call once");
}

#[tokio::test]
async fn a_kept_connection_that_ends_at_the_call_is_replaced_and_a_new_one_is_not() {
    let acts = [Act::Answer(OK.into()), Act::Close, Act::Answer(OK.into()), Act::Close, Act::Close];
    let (server, url) = Server::start("127.0.0.1:0", acts).await;
    let client = client();
    assert_eq!(status(&client, &url).await, 200);
    assert_eq!(status(&client, &url).await, 200, "again on a new one");
    assert_eq!(server.connections(), [0, 0, 1]);
    let failed = post(&client, &url).await.unwrap_err();
    assert_eq!(failed.kind, AttemptErrorKind::Protocol, "the new one ended too");
    assert_eq!(server.connections(), [0, 0, 1, 1, 2]);
}

#[tokio::test]
async fn what_an_answer_leaves_behind_is_not_kept() {
    let long = format!("HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n{}", "x".repeat(100_000));
    let acts = [
        long,
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".to_owned(),
        "HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned(),
        format!("{OK}{OK}"),
        "HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n".to_owned(),
    ];
    let (server, url) = Server::start("127.0.0.1:0", acts.map(Act::Answer)).await;
    let client = client();
    let answer = post(&client, &url).await.unwrap();
    assert_eq!((answer.status, answer.body.len()), (200, EXCERPT_BYTES_MAX));
    for (call, expected) in [200, 200, 200, 101, 200].into_iter().enumerate() {
        until("let go", async || server.ended.lock().unwrap().contains(&call)).await;
        assert_eq!(status(&client, &url).await, expected);
    }
    assert_eq!(server.connections(), [0, 1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn a_connection_that_nobody_needs_is_closed() {
    let (server, url) = Server::start("127.0.0.1:0", []).await;
    let client = client();
    assert_eq!(status(&client, &url).await, 200);
    let closer = client.clone();
    tokio::spawn(async move { closer.close_old_connections().await });
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(29)).await;
    assert!(server.left.lock().unwrap().is_empty());
    tokio::time::sleep(Duration::from_secs(62)).await;
    until("closed", async || *server.left.lock().unwrap() == [0]).await;
}

#[tokio::test]
async fn literal_addresses_of_both_families_are_called() {
    let (server, url) = Server::start("[::1]:0", []).await;
    assert_eq!(status(&client(), &url).await, 200);
    let host = format!("host: [::1]:{}\r\n", url.port().unwrap());
    assert!(server.calls.lock().unwrap()[0].1.contains(&host));
}

#[tokio::test]
async fn what_keeps_a_call_from_leaving_is_told_apart() {
    let client = client();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let no_tls = format!("https://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.write_all(b"this is no TLS, it is a text").await.unwrap();
    });
    let unknown = format!("http://{}.example/", "x".repeat(64));
    for (url, kind, text) in [
        ("http://127.0.0.1:1/".to_owned(), AttemptErrorKind::Connect, "refused"),
        (unknown, AttemptErrorKind::Dns, "could not be resolved"),
        (no_tls, AttemptErrorKind::Connect, "TLS"),
    ] {
        let error = post(&client, &Url::parse(&url).unwrap()).await.unwrap_err();
        assert_eq!(error.kind, kind, "{url}");
        assert!(error.text.contains(text), "{}", error.text);
    }
}
