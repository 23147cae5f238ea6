//! The way out, as a seam: the one HTTP client in the product, a scripted receiver in simulations.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderMap;
use url::Url;

use crate::egress::{Answer, Authorities, Egress, EgressError};

/// The way by which bodies are POSTed to receivers.
#[async_trait]
pub trait WebhookTransport: Send + Sync + 'static {
    /// POSTs a body and reads the answer, all within `limit`. `own` are authorities that hold for this receiver alone.
    ///
    /// # Errors
    /// [`EgressError`]; an HTTP status is never an error here.
    async fn post(
        &self,
        url: &Url,
        headers: HeaderMap,
        body: Bytes,
        limit: Duration,
        own: Option<&Authorities>,
    ) -> Result<Answer, EgressError>;
}

#[async_trait]
impl WebhookTransport for Egress {
    async fn post(
        &self,
        url: &Url,
        headers: HeaderMap,
        body: Bytes,
        limit: Duration,
        own: Option<&Authorities>,
    ) -> Result<Answer, EgressError> {
        Egress::post(self, url, headers, body, limit, own).await
    }
}
