//! Names are judged on the addresses the connection will use.

use std::{net::SocketAddr, sync::Arc};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::{EgressPolicy, address::is_public};

/// Every address of the name is special.
#[derive(Debug, thiserror::Error)]
#[error("every address of this host is special")]
pub(super) struct Blocked;

/// The system's resolver behind the guard.
pub(super) struct Resolver {
    policy: Arc<EgressPolicy>,
}

impl Resolver {
    pub(super) fn new(policy: Arc<EgressPolicy>) -> Self {
        Self { policy }
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let open = !self.policy.protect || self.policy.allows(name.as_str());
        Box::pin(async move {
            // The port is replaced by the URL's.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> =
                found.filter(|address| open || is_public(address.ip())).collect();
            if allowed.is_empty() {
                return Err(Box::new(Blocked) as Box<dyn std::error::Error + Send + Sync>);
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}
