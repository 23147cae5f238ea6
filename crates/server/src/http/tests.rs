//! The server's rules on a real socket.

use std::time::Duration;

use axum::{
    Router,
    body::{Body, Bytes},
    routing::{get, post},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::{Instant, timeout},
};

use super::*;

/// Longer than every limit of these tests, shorter than a test may take.
const LONG: Duration = Duration::from_secs(20);

struct House {
    server: HttpServer,
    address: SocketAddr,
}

async fn serve(limits: HttpLimits) -> House {
    let endless = async || {
        let piece = Bytes::from(vec![b'x'; 64 * 1024]);
        let pieces = futures::stream::repeat_with(move || Ok::<_, std::io::Error>(piece.clone()));
        Body::from_stream(pieces)
    };
    let slow = async || {
        tokio::time::sleep(Duration::from_millis(300)).await;
        "slow"
    };
    let router = Router::new()
        .route("/", get(async || "here"))
        .route("/echo", post(async |body: Bytes| body))
        .route("/endless", get(endless))
        .route("/slow", get(slow));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    House { server: HttpServer::start(listener, router, limits), address }
}

fn quick() -> HttpLimits {
    let short = Duration::from_millis(200);
    HttpLimits { headers: short, keep_alive: short, write: short, ..HttpLimits::default() }
}

async fn connect(house: &House, sends: &str) -> TcpStream {
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    stream.write_all(sends.as_bytes()).await.unwrap();
    stream
}

/// Everything until the server closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let read = timeout(LONG, stream.read_to_end(&mut all)).await.expect("it was never closed");
    let text = String::from_utf8_lossy(&all).into_owned();
    // A connection that is cut is closed as well.
    if read.is_err() { format!("{text}(cut)") } else { text }
}

/// The answer to one request of a connection that is kept.
async fn answer(stream: &mut TcpStream) -> String {
    let mut seen = Vec::new();
    while !seen.ends_with(b"here") {
        let mut piece = [0u8; 1024];
        let size = timeout(LONG, stream.read(&mut piece)).await.unwrap().unwrap();
        assert!(size > 0, "closed after {}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&piece[..size]);
    }
    String::from_utf8(seen).unwrap()
}

const GET: &str = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";

#[tokio::test]
async fn who_sends_no_request_is_closed() {
    let house = serve(quick()).await;
    for beginning in ["", "GET / HT", "GET / HTTP/1.1\r\nhost: x\r\nx-a: "] {
        rest(&mut connect(&house, beginning).await).await;
    }
    // A byte now and then is no request either.
    let mut drop_by_drop = connect(&house, "GET / HTTP/1.1\r\n").await;
    let began = Instant::now();
    while drop_by_drop.write_all(b"a").await.is_ok() {
        assert!(began.elapsed() < LONG);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    house.server.stop(LONG).await;
}

#[tokio::test]
async fn a_kept_connection_is_closed_after_its_time_and_says_so() {
    let limits = HttpLimits { keep_alive: Duration::from_secs(1), ..quick() };
    let house = serve(limits).await;
    let mut stream = connect(&house, GET).await;
    assert!(answer(&mut stream).await.contains("keep-alive: timeout=1\r\n"));
    tokio::time::sleep(Duration::from_millis(400)).await;
    stream.write_all(GET.as_bytes()).await.unwrap();
    answer(&mut stream).await;
    let began = Instant::now();
    assert_eq!(rest(&mut stream).await, "");
    assert!(began.elapsed() >= Duration::from_millis(900), "{:?}", began.elapsed());
}

#[tokio::test]
async fn who_takes_no_answer_is_cut() {
    let house = serve(quick()).await;
    let stream = connect(&house, "GET /endless HTTP/1.1\r\nhost: x\r\n\r\n").await;
    // The one that is stuck does not keep the server from ending: its answer never would.
    let began = Instant::now();
    tokio::time::sleep(Duration::from_millis(400)).await;
    house.server.stop(LONG).await;
    assert!(began.elapsed() < LONG, "it was not cut");
    drop(stream);
}

#[tokio::test]
async fn a_flood_of_silent_connections_keeps_nobody_out() {
    let limits = HttpLimits { connections: 20, per_address: 20, ..HttpLimits::default() };
    let house = serve(limits).await;
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(connect(&house, "GET / HTTP/1.1\r\n").await);
        let mut stream = connect(&house, GET).await;
        answer(&mut stream).await;
    }
}

#[tokio::test]
async fn a_connection_that_loses_its_slot_still_gets_its_answer() {
    let house =
        serve(HttpLimits { connections: 40, per_address: 2, ..HttpLimits::default() }).await;
    // All are there before the server looks at the first: nothing here waits until the last has written.
    let crowd: Vec<TcpStream> = (0..30)
        .map(|_| {
            let mut stream = std::net::TcpStream::connect(house.address).unwrap();
            std::io::Write::write_all(&mut stream, GET.as_bytes()).unwrap();
            stream.set_nonblocking(true).unwrap();
            TcpStream::from_std(stream).unwrap()
        })
        .collect();
    for mut stream in crowd {
        answer(&mut stream).await;
    }
}

#[tokio::test]
async fn only_http_1_is_spoken() {
    let house = serve(HttpLimits::default()).await;
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u{4}\0\0\0\0\0";
    let heard = rest(&mut connect(&house, preface).await).await;
    assert!(heard.is_empty() || heard.starts_with("HTTP/1.1 400"), "{heard:?}");
}

#[tokio::test]
async fn a_stop_finishes_what_is_under_way_and_waits_for_nobody_else() {
    let house = serve(HttpLimits::default()).await;
    let mut slow = connect(&house, "GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let mut kept = connect(&house, GET).await;
    answer(&mut kept).await;
    let mut half = connect(&house, "GET / HTTP/1.1\r\n").await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let began = Instant::now();
    let address = house.address;
    house.server.stop(LONG).await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(rest(&mut slow).await.ends_with("slow"));
    rest(&mut kept).await;
    rest(&mut half).await;
    assert!(TcpStream::connect(address).await.is_err(), "it still listens");
}

#[tokio::test]
async fn a_stop_has_an_end() {
    let house = serve(HttpLimits::default()).await;
    let mut endless = connect(&house, "GET /endless HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let reading = async {
        let mut piece = vec![0u8; 64 * 1024];
        while endless.read(&mut piece).await.is_ok_and(|size| size > 0) {}
    };
    let stopping = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        house.server.stop(Duration::from_millis(200)).await;
    };
    timeout(LONG, async { tokio::join!(reading, stopping) }).await.expect("it never ended");
}
