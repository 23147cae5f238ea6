//! Size limits over a real socket, where a connection can break.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::app::App;

const SIZE: usize = 30 * 1000 * 1000;
const PIECE: usize = 64 * 1024;

/// A beginning, followed by the same byte up to 30 MB.
struct Long<'a> {
    path: &'a str,
    kind: &'a str,
    begins: &'a [u8],
    goes_on: u8,
}

/// A session's name and blanks: good JSON, if it were read to its end.
const SESSION: Long<'_> = Long {
    path: "/api/sessions",
    kind: "application/json",
    begins: br#"{"name":"bakery"}"#,
    goes_on: b' ',
};

impl Long<'_> {
    fn piece(&self, index: usize) -> Vec<u8> {
        let mut piece = vec![self.goes_on; PIECE];
        if index == 0 {
            piece[..self.begins.len()].copy_from_slice(self.begins);
        }
        piece
    }
}

async fn exchange(app: &App, long: Long<'_>, framing: &str, chunked: bool) -> (String, String) {
    let address = app.serve().await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: {address}\r\nx-api-key: {}\r\ncontent-type: {}\r\nconnection: close\r\n{framing}\r\n\r\n",
        long.path, app.admin, long.kind
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    for index in 0..SIZE / PIECE {
        if chunked {
            stream.write_all(format!("{PIECE:x}\r\n").as_bytes()).await.unwrap();
        }
        stream.write_all(&long.piece(index)).await.unwrap();
        if chunked {
            stream.write_all(b"\r\n").await.unwrap();
        }
    }
    if chunked {
        stream.write_all(b"0\r\n\r\n").await.unwrap();
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

const TOO_LARGE: &str = r#"{"statusCode":413,"message":"request entity too large"}"#;

#[tokio::test]
async fn thirty_megabytes_are_too_large() {
    let app = App::start().await;
    let before = app.stored().await;
    let length = format!("content-length: {}", SIZE / PIECE * PIECE);
    let (status, body) = exchange(&app, SESSION, &length, false).await;
    assert_eq!((status.as_str(), body.as_str()), ("HTTP/1.1 413 Payload Too Large", TOO_LARGE));
    assert_eq!(app.stored().await, before);
}

#[tokio::test]
async fn thirty_megabytes_in_chunks_are_too_large() {
    let app = App::start().await;
    let before = app.stored().await;
    let (status, body) = exchange(&app, SESSION, "transfer-encoding: chunked", true).await;
    assert_eq!((status.as_str(), body.as_str()), ("HTTP/1.1 413 Payload Too Large", TOO_LARGE));
    assert_eq!(app.stored().await, before);
}

#[tokio::test]
async fn an_import_is_refused_in_words_wherever_reading_stops() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let path = format!("/api/sessions/{session}/messages/send-bulk/import");
    let csv = |goes_on| Long { path: &path, kind: "text/csv", begins: b"chatId,text\n", goes_on };
    let length = format!("content-length: {}", SIZE / PIECE * PIECE);
    // Empty lines are no messages: nothing but the size is wrong.
    let (status, body) = exchange(&app, csv(b'\n'), &length, false).await;
    assert_eq!((status.as_str(), body.as_str()), ("HTTP/1.1 413 Payload Too Large", TOO_LARGE));
    let chunked = "transfer-encoding: chunked";
    let (status, body) = exchange(&app, csv(b'\n'), chunked, true).await;
    assert_eq!((status.as_str(), body.as_str()), ("HTTP/1.1 413 Payload Too Large", TOO_LARGE));
    // One line that never ends: what it is written in is known at its end alone.
    let (status, body) = exchange(&app, csv(b'x'), chunked, true).await;
    assert_eq!((status.as_str(), body.as_str()), ("HTTP/1.1 413 Payload Too Large", TOO_LARGE));
}

#[tokio::test]
async fn the_limit_is_exact() {
    let app = App::with(|options| options.body_limit_bytes = 17).await;
    let post = |body: &str| {
        let ask = app.ask("POST", "/api/sessions").admin().raw(body.as_bytes().to_vec());
        ask.header("content-type", "application/json").send()
    };
    post(r#"{"name":"bakery"}"#).await.expect(201);
    let answer = post(r#"{"name":"bakery2"}"#).await;
    assert_eq!(answer.text(), TOO_LARGE);
    answer.expect(413);
}

#[tokio::test]
async fn browsers_get_cors_and_safe_headers() {
    let app = App::with(|options| options.cors_origins = vec!["https://shop.example".into()]).await;
    let preflight = app.ask("OPTIONS", "/api/sessions").header("origin", "https://shop.example");
    let preflight = preflight.header("access-control-request-method", "POST").send().await;
    let header = |name: &str| preflight.headers.get(name).map(|value| value.to_str().unwrap());
    assert_eq!(header("access-control-allow-origin"), Some("https://shop.example"));
    assert_eq!(header("access-control-max-age"), Some("86400"));
    assert_eq!(
        header("access-control-allow-headers"),
        Some("content-type,x-api-key,authorization,x-request-id")
    );
    let stranger =
        app.ask("GET", "/api/sessions").header("origin", "https://evil.example").send().await;
    assert_eq!(stranger.headers.get("access-control-allow-origin"), None);
    assert_eq!(stranger.headers["x-content-type-options"], "nosniff");
    assert_eq!(stranger.headers["content-type"], "application/json; charset=utf-8");
}

#[tokio::test]
async fn every_answer_has_a_request_id() {
    let app = App::start().await;
    let fresh = app.ask("GET", "/api/health").send().await;
    assert_eq!(fresh.headers["x-request-id"].len(), 36);
    let own = app.ask("GET", "/api/nothing").header("x-request-id", "order-7").send().await;
    assert_eq!(own.headers["x-request-id"], "order-7");
    let odd = app.ask("GET", "/api/health").header("x-request-id", "with blanks").send().await;
    assert_eq!(odd.headers["x-request-id"].len(), 36);
}
