//! HTTP for media and the like: the library's client on ureq, through the session's proxy.
//!
//! The environment's proxies are never used; a session has its own proxy or none.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::{port::EngineError, proxy::ProxyUrl};
use url::Url;
use whatsapp_rust::{
    http::{HttpClient, HttpRequest, HttpResponse},
    wacore::net::{StreamingHttpResponse, UploadBody},
};

use crate::{safety::is_loopback, transport::ureq_proxy};

/// The host a simulated network names for its media. It resolves to nothing, on purpose.
const SIMULATED_HOST: &str = "https://media.sim.invalid";
/// Until a connection is made.
const CONNECT_LIMIT: Duration = Duration::from_secs(20);
/// Until the server answers after the request was sent.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// For the whole of a file to be sent, or to be received: 50 MiB on a slow line.
const FILE_LIMIT: Duration = Duration::from_secs(900);
/// Buffers per connection, bytes: media is streamed, everything else is small.
const BUFFER: usize = 16 * 1024;
/// Idle connections kept per session.
const IDLE_MAX: usize = 2;

/// Where media lives.
#[derive(Debug, Clone, Default)]
pub enum MediaEndpoint {
    /// Where WhatsApp says.
    #[default]
    Real,
    /// At a simulated network: its invalid media host is mapped to this loopback address.
    Mapped {
        /// For instance `http://127.0.0.1:4001`.
        base: Url,
    },
}

impl MediaEndpoint {
    pub(crate) fn check(&self) -> Result<(), EngineError> {
        match self {
            Self::Mapped { base } if !is_loopback(base) => Err(EngineError::Misconfigured(
                "a simulated media host must be a loopback address".into(),
            )),
            _ => Ok(()),
        }
    }
}

/// The HTTP client of one session.
pub(crate) fn client(
    media: &MediaEndpoint,
    proxy: Option<&ProxyUrl>,
) -> Result<Arc<dyn HttpClient>, EngineError> {
    let proxy = match proxy {
        Some(proxy) => Some(ureq_proxy(proxy).ok_or_else(|| {
            EngineError::Misconfigured("the address of the proxy cannot be used".into())
        })?),
        None => None,
    };
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .proxy(proxy)
        .timeout_connect(Some(CONNECT_LIMIT))
        .timeout_recv_response(Some(ANSWER_LIMIT))
        .timeout_send_body(Some(FILE_LIMIT))
        .timeout_recv_body(Some(FILE_LIMIT))
        .input_buffer_size(BUFFER)
        .output_buffer_size(BUFFER)
        .max_idle_connections(IDLE_MAX)
        .max_idle_connections_per_host(IDLE_MAX)
        .build()
        .into();
    let direct = whatsapp_rust::http::UreqHttpClient::with_agent(agent);
    Ok(match media {
        MediaEndpoint::Real => Arc::new(direct),
        MediaEndpoint::Mapped { base } => {
            let base = base.as_str().trim_end_matches('/').to_owned();
            Arc::new(Mapped { inner: direct, base })
        }
    })
}

/// Sends what is meant for the simulated media host to a loopback address, and the rest nowhere.
struct Mapped<C> {
    inner: C,
    base: String,
}

impl<C> Mapped<C> {
    fn mapped(&self, mut request: HttpRequest) -> anyhow::Result<HttpRequest> {
        match request.url.strip_prefix(SIMULATED_HOST) {
            Some(path) if path.starts_with('/') => {
                request.url = format!("{}{path}", self.base);
                Ok(request)
            }
            _ => anyhow::bail!("a simulated network has no such host"),
        }
    }
}

#[async_trait]
impl<C: HttpClient> HttpClient for Mapped<C> {
    async fn execute(&self, request: HttpRequest) -> anyhow::Result<HttpResponse> {
        self.inner.execute(self.mapped(request)?).await
    }

    fn supports_streaming(&self) -> bool {
        self.inner.supports_streaming()
    }

    fn execute_streaming(&self, request: HttpRequest) -> anyhow::Result<StreamingHttpResponse> {
        self.inner.execute_streaming(self.mapped(request)?)
    }

    fn supports_upload_streaming(&self) -> bool {
        self.inner.supports_upload_streaming()
    }

    fn execute_upload(
        &self,
        request: HttpRequest,
        body: UploadBody,
        content_length: u64,
    ) -> anyhow::Result<HttpResponse> {
        self.inner.execute_upload(self.mapped(request)?, body, content_length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_simulated_host_is_mapped() {
        let mapped = Mapped { inner: (), base: "http://127.0.0.1:1".into() };
        let url = |from: &str| mapped.mapped(HttpRequest::get(from)).ok().map(|r| r.url);
        assert_eq!(
            url("https://media.sim.invalid/a?b=c").as_deref(),
            Some("http://127.0.0.1:1/a?b=c")
        );
        assert_eq!(url("https://media.sim.invalid.example/a"), None);
        assert_eq!(url("https://mmg.whatsapp.net/a"), None);
    }
}
