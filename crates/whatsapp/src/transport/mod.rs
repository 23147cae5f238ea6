//! How bytes reach WhatsApp: TCP, directly or through the session's proxy, then TLS for `wss`, then
//! a WebSocket.
//!
//! Fail closed: a session with a proxy has no other way out. Nothing here dials the chat server
//! itself unless the session has no proxy, and no name of WhatsApp's is resolved locally then.

mod proxy;
mod tls;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use domain::proxy::ProxyUrl;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::Mutex,
    time::timeout,
};
use tokio_websockets::{ClientBuilder, WebSocketStream};
use ureq::http::{HeaderValue, Uri, header};
use url::Url;
use whatsapp_rust::{
    transport::{Transport, TransportEvent, TransportFactory, from_websocket},
    wacore::{net::WHATSAPP_WEB_ORIGIN, stats::TransportResourceReport},
};

use crate::keys::WriteOrder;

pub(crate) use proxy::ureq_proxy;
pub(crate) use tls::install_crypto;

/// Whatever carries the WebSocket.
pub(crate) trait RawChannel: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> RawChannel for T {}
type BoxChannel = Box<dyn RawChannel>;

/// Why a dial failed, in words a person may read: no addresses, no names of hosts, no secrets.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    #[error("WhatsApp cannot be reached")]
    Unreachable(#[source] std::io::Error),
    #[error("the proxy cannot be reached")]
    ProxyUnreachable(#[source] std::io::Error),
    #[error("the proxy refused the connection (HTTP {0})")]
    ProxyStatus(u16),
    #[error("the proxy refused the user name or password")]
    ProxyCredentials,
    #[error("the proxy could not connect to WhatsApp")]
    ProxyFailed(#[source] tokio_socks::Error),
    #[error("the proxy does not speak the protocol of its address")]
    ProxyProtocol,
    #[error("the proxy's certificate is not trusted")]
    ProxyTls(#[source] std::io::Error),
    #[error("the certificate of WhatsApp's address is not trusted")]
    Tls(#[source] std::io::Error),
    #[error("WhatsApp did not accept the connection")]
    WebSocket(#[source] tokio_websockets::Error),
    #[error("WhatsApp's address cannot be used")]
    Address,
    #[error("the connection was not made in time")]
    TimedOut,
}

/// Learns how each dial went, because the library only writes it to its log.
pub(crate) trait DialObserver: Send + Sync {
    fn dialled(&self, result: Result<(), &DialError>);
}

/// Where a session's chat traffic goes.
pub(crate) struct Dialer {
    pub url: Url,
    /// The only way out, if set.
    pub proxy: Option<ProxyUrl>,
    /// For all steps together.
    pub limit: Duration,
    /// Learns how each dial went.
    pub observer: Arc<dyn DialObserver>,
    /// What has to be durable before anything leaves.
    pub order: Arc<WriteOrder>,
}

impl Dialer {
    async fn dial(&self) -> Result<WebSocketStream<BoxChannel>, DialError> {
        let uri: Uri = self.url.as_str().parse().map_err(|_| DialError::Address)?;
        let host = self.url.host_str().ok_or(DialError::Address)?.trim_matches(['[', ']']);
        let port = self.url.port_or_known_default().ok_or(DialError::Address)?;
        let tcp = match &self.proxy {
            Some(proxy) => proxy::connect(proxy, host, port).await?,
            None => direct(host, port).await?,
        };
        let channel: BoxChannel = match self.url.scheme() {
            "wss" => Box::new(tls::connect(host, tcp).await.map_err(DialError::Tls)?),
            _ => tcp,
        };
        let origin = HeaderValue::from_static(WHATSAPP_WEB_ORIGIN);
        let (socket, _) = ClientBuilder::from_uri(uri)
            .add_header(header::ORIGIN, origin)
            .map_err(DialError::WebSocket)?
            .connect_on(channel)
            .await
            .map_err(DialError::WebSocket)?;
        Ok(socket)
    }
}

async fn direct(host: &str, port: u16) -> Result<BoxChannel, DialError> {
    let tcp = TcpStream::connect((host, port)).await.map_err(DialError::Unreachable)?;
    Ok(Box::new(prepared(tcp)))
}

/// Chat stanzas are small and answers wait for them.
fn prepared(tcp: TcpStream) -> TcpStream {
    if let Err(error) = tcp.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
    tcp
}

#[async_trait]
impl TransportFactory for Dialer {
    async fn create_transport(
        &self,
    ) -> anyhow::Result<(Arc<dyn Transport>, async_channel::Receiver<TransportEvent>)> {
        let result = match timeout(self.limit, self.dial()).await {
            Ok(result) => result,
            Err(_) => Err(DialError::TimedOut),
        };
        self.observer.dialled(result.as_ref().map(|_| ()));
        let (inner, events) = from_websocket(result?);
        let order = self.order.clone();
        Ok((Arc::new(GatedTransport { inner, order, one: Mutex::new(()) }), events))
    }
}

/// Longest wait of bytes for keys that have to be durable first. Rows and keys take milliseconds; when it is over, the
/// library hears that the connection is broken, which it survives without a loss.
const KEYS_LIMIT: Duration = Duration::from_secs(20);

/// Lets bytes out when what the library handed over for keeping before is durable.
struct GatedTransport {
    inner: Arc<dyn Transport>,
    order: Arc<WriteOrder>,
    /// Bytes keep their order while they wait.
    one: Mutex<()>,
}

#[async_trait]
impl Transport for GatedTransport {
    async fn send(&self, data: Bytes) -> anyhow::Result<()> {
        let _one = self.one.lock().await;
        match timeout(KEYS_LIMIT, self.order.written()).await {
            Ok(true) => self.inner.send(data).await,
            Ok(false) => anyhow::bail!("the connection is closed"),
            Err(_) => {
                self.inner.disconnect().await;
                anyhow::bail!("keys were not written in time");
            }
        }
    }

    async fn disconnect(&self) {
        self.inner.disconnect().await;
    }

    fn resource_report(&self) -> Option<TransportResourceReport> {
        self.inner.resource_report()
    }
}
