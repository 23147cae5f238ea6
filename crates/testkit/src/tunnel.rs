//! A proxy for clients: HTTP (CONNECT, and its own form for plain http) and SOCKS 5, on one port.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// A proxy until the test's runtime ends. Whatever a client asks for leads to one server: names need not exist.
#[derive(Clone)]
pub struct Tunnel {
    address: SocketAddr,
    state: Arc<TunnelState>,
}

struct TunnelState {
    server: u16,
    /// User and password that it wants to hear.
    wanted: Option<(String, String)>,
    targets: Mutex<Vec<String>>,
}

impl Tunnel {
    /// Starts one that leads to a port of this machine.
    pub async fn to(server: u16) -> Self {
        Self::start(server, None).await
    }

    /// The same, for those who know a user and a password.
    pub async fn guarded(server: u16, user: &str, password: &str) -> Self {
        Self::start(server, Some((user.to_owned(), password.to_owned()))).await
    }

    async fn start(server: u16, wanted: Option<(String, String)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(TunnelState { server, wanted, targets: Mutex::default() });
        let all = state.clone();
        crate::background(async move {
            while let Ok((client, _)) = listener.accept().await {
                let state = all.clone();
                crate::background(async move {
                    let _ = serve(client, &state).await;
                });
            }
        });
        Self { address, state }
    }

    /// Host and port that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What clients asked for, `host:port`.
    pub fn targets(&self) -> Vec<String> {
        self.state.targets.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl TunnelState {
    async fn reach(&self, target: String) -> Option<TcpStream> {
        self.targets.lock().unwrap_or_else(PoisonError::into_inner).push(target);
        TcpStream::connect(("127.0.0.1", self.server)).await.ok()
    }
}

/// `None` when it did not come to an end of its own.
async fn serve(client: TcpStream, state: &TunnelState) -> Option<()> {
    let mut first = [0];
    client.peek(&mut first).await.ok()?;
    if first == [5] { socks5(client, state).await } else { http(client, state).await }
}

async fn http(mut client: TcpStream, state: &TunnelState) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?;
    if let Some((user, password)) = &state.wanted {
        let pair = STANDARD.encode(format!("{user}:{password}"));
        let said = format!("proxy-authorization: basic {pair}\r\n").to_ascii_lowercase();
        if !head.to_ascii_lowercase().contains(&said) {
            let refusal =
                "HTTP/1.1 407 Who asks?\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            return client.write_all(refusal.as_bytes()).await.ok();
        }
    }
    if let Some(rest) = head.strip_prefix("CONNECT ") {
        let mut server = state.reach(rest.split(' ').next()?.to_owned()).await?;
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.ok()?;
        tokio::io::copy_bidirectional(&mut client, &mut server).await.ok()?;
        return Some(());
    }
    let (method, rest) = head.split_once(" http://")?;
    let (authority, rest) = rest.split_once('/')?;
    let mut server = state.reach(authority.to_owned()).await?;
    server.write_all(format!("{method} /{rest}").as_bytes()).await.ok()?;
    tokio::io::copy_bidirectional(&mut client, &mut server).await.ok()?;
    Some(())
}

/// RFC 1928 and RFC 1929.
async fn socks5(mut client: TcpStream, state: &TunnelState) -> Option<()> {
    let mut greeting = [0; 2];
    client.read_exact(&mut greeting).await.ok()?;
    let mut methods = vec![0; usize::from(greeting[1])];
    client.read_exact(&mut methods).await.ok()?;
    let method = u8::from(state.wanted.is_some()) * 2;
    if !methods.contains(&method) {
        return client.write_all(&[5, 0xff]).await.ok();
    }
    client.write_all(&[5, method]).await.ok()?;
    if let Some((user, password)) = &state.wanted {
        client.read_u8().await.ok()?;
        let known = text(&mut client).await? == *user && text(&mut client).await? == *password;
        client.write_all(&[1, u8::from(!known)]).await.ok()?;
        if !known {
            return Some(());
        }
    }
    let mut request = [0; 4];
    client.read_exact(&mut request).await.ok()?;
    let host = match request[3] {
        1 => {
            let mut ip = [0; 4];
            client.read_exact(&mut ip).await.ok()?;
            std::net::Ipv4Addr::from(ip).to_string()
        }
        _ => text(&mut client).await?,
    };
    let port = client.read_u16().await.ok()?;
    let mut server = state.reach(format!("{host}:{port}")).await?;
    client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await.ok()?;
    tokio::io::copy_bidirectional(&mut client, &mut server).await.ok()?;
    Some(())
}

async fn text(client: &mut TcpStream) -> Option<String> {
    let mut bytes = vec![0; usize::from(client.read_u8().await.ok()?)];
    client.read_exact(&mut bytes).await.ok()?;
    String::from_utf8(bytes).ok()
}
