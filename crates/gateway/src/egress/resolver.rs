//! Names are judged on the addresses the connection will use.

use std::{io, net::SocketAddr, sync::Arc};

use domain::net::is_public;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::EgressPolicy;

/// A name has no address that may be called.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    /// It has none at all.
    #[error("the name does not resolve")]
    Unknown(#[source] io::Error),
    /// All are special.
    #[error("every address of this host is special")]
    Blocked,
}

/// The addresses of a name that may be called, by the system's resolver; never empty.
pub(super) async fn addresses(
    name: &str,
    port: u16,
    policy: &EgressPolicy,
) -> Result<Vec<SocketAddr>, Refused> {
    let open = !policy.protect || policy.allows(name);
    let found = tokio::net::lookup_host((name, port)).await.map_err(Refused::Unknown)?;
    let allowed: Vec<SocketAddr> =
        found.filter(|address| open || is_public(address.ip())).collect();
    if allowed.is_empty() { Err(Refused::Blocked) } else { Ok(allowed) }
}

/// The same for the library that follows redirects.
pub(super) struct GuardedResolver {
    policy: Arc<EgressPolicy>,
}

impl GuardedResolver {
    pub(super) fn new(policy: Arc<EgressPolicy>) -> Self {
        Self { policy }
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = self.policy.clone();
        Box::pin(async move {
            // The port is replaced by the URL's.
            let found = addresses(name.as_str(), 0, &policy).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}
