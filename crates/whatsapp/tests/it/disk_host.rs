//! A media host that keeps one file on disk, so that a test can see what the engine itself holds in memory.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use tokio::{
    fs::File,
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, copy},
    net::{TcpListener, TcpStream},
};

/// Starts the host; it ends with the test.
#[expect(clippy::disallowed_methods, reason = "a test has no supervisor")]
pub async fn start(file: PathBuf) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let file = Arc::new(file);
    tokio::task::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let file = file.clone();
            tokio::task::spawn(async move {
                // A client that goes away is its own business.
                let _ = serve(socket, &file).await;
            });
        }
    });
    address
}

async fn serve(socket: TcpStream, path: &PathBuf) -> std::io::Result<()> {
    let mut socket = BufReader::new(socket);
    let mut request = String::new();
    socket.read_line(&mut request).await?;
    let mut length = 0;
    loop {
        let mut header = String::new();
        socket.read_line(&mut header).await?;
        if header.trim().is_empty() {
            break;
        }
        let header = header.to_ascii_lowercase();
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    if request.starts_with("GET") {
        let mut file = File::open(path).await?;
        let length = file.metadata().await?.len();
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
        socket.write_all(head.as_bytes()).await?;
        copy(&mut file, &mut socket).await?;
        return socket.flush().await;
    }
    let (status, answer) = if request.contains("resume=1") {
        ("404 Not Found", "")
    } else {
        let mut file = File::create(path).await?;
        copy(&mut (&mut socket).take(length), &mut file).await?;
        file.flush().await?;
        ("200 OK", r#"{"url":"https://media.sim.invalid/file","direct_path":"/file"}"#)
    };
    let length = answer.len();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{answer}"
    );
    socket.write_all(head.as_bytes()).await?;
    socket.flush().await
}
