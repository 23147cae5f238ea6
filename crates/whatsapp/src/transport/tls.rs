//! TLS with the web's usual roots.

use std::{
    io,
    sync::{Arc, Once, OnceLock},
};

use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Makes ring the process's TLS provider unless there is one already. Safe to call often.
pub(crate) fn install_crypto() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if rustls::crypto::ring::default_provider().install_default().is_err() {
            tracing::debug!("this process has a TLS provider already");
        }
    });
}

/// One configuration for all connections: it holds the session cache and a few hundred roots.
fn connector() -> TlsConnector {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    let config = CONFIG.get_or_init(|| {
        install_crypto();
        let mut roots = RootCertStore::empty();
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
    });
    TlsConnector::from(config.clone())
}

/// Speaks TLS over `channel` with a server that must prove to be `host`.
pub(super) async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
    host: &str,
    channel: S,
) -> io::Result<TlsStream<S>> {
    let name = ServerName::try_from(host.to_owned())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    connector().connect(name, channel).await
}
