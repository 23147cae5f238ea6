//! The control surface of the sandbox's network: over it a test lets people write, call and join groups.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context as _;
use simulator::{Network, admin};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// The running control surface.
pub struct ControlSurface {
    base: String,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl ControlSurface {
    /// Listens on loopback; port 0 takes a free one.
    #[expect(clippy::disallowed_methods, reason = "ends with `stop`, which waits for it")]
    pub async fn start(network: &Network, port: u16) -> anyhow::Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listener = TcpListener::bind(address).await;
        let listener = listener.with_context(|| format!("cannot listen on {address}"))?;
        let base = format!("http://{}", listener.local_addr()?);
        let stop = CancellationToken::new();
        let ended = stop.clone();
        let app = admin::router(network.clone());
        let task = tokio::spawn(async move {
            let served =
                ended.run_until_cancelled(async { axum::serve(listener, app).await }).await;
            if let Some(Err(error)) = served {
                tracing::warn!("the control surface ended: {error}");
            }
        });
        Ok(Self { base, stop, task })
    }

    /// Its URL, without a slash at the end.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Ends it, in the middle of a request too.
    pub async fn stop(self) {
        self.stop.cancel();
        let _ = self.task.await;
    }
}
