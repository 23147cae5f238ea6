//! The media host over TLS, for clients that ask for nothing else. The certificate is made for the run and can be
//! exported; it also names WhatsApp's own media host, for clients that download from nowhere else.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::ring, pki_types::PrivatePkcs8KeyDer},
    server::TlsStream,
};

use crate::{
    hub::Hub,
    media::{MEDIA_HOST, service},
};

/// Names that clients may know the host by.
const NAMES: [&str; 4] = ["127.0.0.1", "localhost", MEDIA_HOST, "mmg.whatsapp.net"];
/// Connections whose handshake is done and that wait to be served. When full, further ones wait in their handshake.
const SHAKEN_MAX: usize = 64;
/// How long a client may take for the TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The certificate of the media host, with its key.
pub(crate) struct MediaCertificate {
    pem: String,
    config: Arc<ServerConfig>,
}

impl MediaCertificate {
    pub(crate) fn generate() -> Result<Self> {
        let names: Vec<String> = NAMES.iter().map(|name| (*name).to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names)?;
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.into())
            .context("the certificate does not fit its key")?;
        Ok(Self { pem: made.cert.pem(), config: Arc::new(config) })
    }

    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }
}

/// Connections after their handshake, as the HTTP server takes them.
struct TlsListener {
    shaken: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    local: SocketAddr,
}

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.shaken.recv().await {
            Some(connection) => connection,
            // Nobody accepts any more: the network stops.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        Ok(self.local)
    }
}

/// Serves the media store over TLS until the network stops.
pub(crate) fn serve(hub: &Arc<Hub>, listener: TcpListener, certificate: &MediaCertificate) {
    let Ok(local) = listener.local_addr() else {
        return;
    };
    let (done, shaken) = mpsc::channel(SHAKEN_MAX);
    let acceptor = TlsAcceptor::from(certificate.config.clone());
    let (stop, app) = (hub.stop.clone(), service(hub));
    let serving = async move { axum::serve(TlsListener { shaken, local }, app).await };
    hub.tasks.spawn(async move { stop.run_until_cancelled(serving).await });
    let (stop, tasks) = (hub.stop.clone(), hub.tasks.clone());
    hub.tasks.spawn(async move {
        let accepting = async {
            loop {
                let Ok((socket, from)) = listener.accept().await else {
                    continue;
                };
                // Waits for room before the handshake, so that handshakes are bounded too.
                let Ok(room) = done.clone().reserve_owned().await else {
                    return;
                };
                let acceptor = acceptor.clone();
                tasks.spawn(async move {
                    let shaken = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(socket));
                    if let Ok(Ok(stream)) = shaken.await {
                        room.send((stream, from));
                    }
                });
            }
        };
        let _ = stop.run_until_cancelled(accepting).await;
    });
}
