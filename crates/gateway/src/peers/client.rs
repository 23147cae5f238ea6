//! The client towards other processes. Their addresses come from their own operator, by way of the ledger, and are
//! private more often than not: they are not judged as users' URLs are, and nothing else is called with it.

use std::time::Duration;

use crate::egress::{self, EgressBuildError};

/// Longest wait for a connection; processes are close to each other.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long an idle connection is kept: less than the other process keeps it (`KEEPALIVE_TIMEOUT_MS`), so that no
/// request goes into one that is just being closed.
const IDLE_FOR: Duration = Duration::from_secs(4);
/// Idle connections kept per process.
const IDLE_PER_HOST: usize = 32;

/// HTTP/1.1, no redirects, no proxies, no second tries.
pub(super) struct PeerClient(reqwest::Client);

impl PeerClient {
    /// `answer_limit` is the longest a call may take in all until its answer begins.
    pub(super) fn new(answer_limit: Duration) -> Result<Self, EgressBuildError> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(egress::tls()?)
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            // Less than the whole, so that a process that cannot be reached is told from one that is silent.
            .connect_timeout(CONNECT_LIMIT.min(answer_limit / 2))
            .pool_idle_timeout(IDLE_FOR)
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .build()
            .map_err(EgressBuildError::of)?;
        Ok(Self(client))
    }

    /// Sends a request; the answer's body has not come yet.
    pub(super) async fn send(
        &self,
        request: reqwest::Request,
    ) -> reqwest::Result<reqwest::Response> {
        self.0.execute(request).await
    }
}
