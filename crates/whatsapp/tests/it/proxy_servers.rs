//! Two small proxies that count what they carry.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

/// The user and the password of both proxies; the password needs escaping in an address.
pub const USER: &str = "ann";
pub const PASSWORD: &str = "p@ss:w%rd";
/// The same, as an address has it.
pub const ESCAPED: &str = "p%40ss%3Aw%25rd";

/// What a proxy did.
#[derive(Default)]
pub struct Carried {
    /// Tunnels made.
    pub tunnels: AtomicU64,
    /// Clients refused.
    pub refused: AtomicU64,
    /// Bytes both ways.
    pub bytes: AtomicU64,
    /// Where to, as the client asked.
    pub targets: Mutex<Vec<String>>,
}

/// A running proxy; it ends with the test.
pub struct Proxy {
    pub address: SocketAddr,
    pub carried: Arc<Carried>,
}

#[derive(Clone, Copy)]
pub enum Kind {
    Http,
    Socks5,
}

impl Proxy {
    #[expect(clippy::disallowed_methods, reason = "a test has no supervisor")]
    pub async fn start(kind: Kind) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let carried = Arc::new(Carried::default());
        let shared = carried.clone();
        tokio::task::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let carried = shared.clone();
                tokio::task::spawn(async move {
                    let served = match kind {
                        Kind::Http => http(client, &carried).await,
                        Kind::Socks5 => socks5(client, &carried).await,
                    };
                    if served.is_none() {
                        carried.refused.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        Self { address, carried }
    }

    pub fn tunnels(&self) -> u64 {
        self.carried.tunnels.load(Ordering::SeqCst)
    }

    pub fn bytes(&self) -> u64 {
        self.carried.bytes.load(Ordering::SeqCst)
    }
}

async fn http(mut client: TcpStream, carried: &Carried) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?;
    let target = head.strip_prefix("CONNECT ")?.split(' ').next()?.to_owned();
    let expected = {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{PASSWORD}"))
    };
    if !head.contains(&format!("Proxy-Authorization: Basic {expected}\r\n")) {
        let refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n";
        client.write_all(refusal).await.ok()?;
        return None;
    }
    let server = TcpStream::connect(&target).await.ok()?;
    client.write_all(b"HTTP/1.1 200 OK\r\nVia: test\r\n\r\n").await.ok()?;
    carry(client, server, target, carried).await;
    Some(())
}

async fn socks5(mut client: TcpStream, carried: &Carried) -> Option<()> {
    let mut greeting = [0; 2];
    client.read_exact(&mut greeting).await.ok()?;
    let mut methods = vec![0; usize::from(greeting[1])];
    client.read_exact(&mut methods).await.ok()?;
    if !methods.contains(&2) {
        client.write_all(&[5, 0xff]).await.ok()?;
        return None;
    }
    client.write_all(&[5, 2]).await.ok()?;
    if client.read_u8().await.ok()? != 1 {
        return None;
    }
    let user = text(&mut client).await?;
    let password = text(&mut client).await?;
    let known = user == USER && password == PASSWORD;
    client.write_all(&[1, u8::from(!known)]).await.ok()?;
    if !known {
        return None;
    }
    let mut request = [0; 4];
    client.read_exact(&mut request).await.ok()?;
    let host = match request[3] {
        1 => {
            let mut ip = [0; 4];
            client.read_exact(&mut ip).await.ok()?;
            std::net::Ipv4Addr::from(ip).to_string()
        }
        3 => text(&mut client).await?,
        _ => return None,
    };
    let target = format!("{host}:{}", client.read_u16().await.ok()?);
    let server = TcpStream::connect(&target).await.ok()?;
    client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await.ok()?;
    carry(client, server, target, carried).await;
    Some(())
}

async fn text(client: &mut TcpStream) -> Option<String> {
    let mut bytes = vec![0; usize::from(client.read_u8().await.ok()?)];
    client.read_exact(&mut bytes).await.ok()?;
    String::from_utf8(bytes).ok()
}

/// Carries until either side is done, and counts while it goes on.
async fn carry(client: TcpStream, server: TcpStream, target: String, carried: &Carried) {
    carried.targets.lock().unwrap().push(target);
    carried.tunnels.fetch_add(1, Ordering::SeqCst);
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = one_way(from_client, to_server, carried) => {}
        () = one_way(from_server, to_client, carried) => {}
    }
}

async fn one_way(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, carried: &Carried) {
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        carried.bytes.fetch_add(read as u64, Ordering::SeqCst);
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
