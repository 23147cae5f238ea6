//! HTTP for files: the library's client on ureq, behind one guard.
//!
//! # Theory
//! The only URLs that the library calls for us are those of files, up and down: the host is one that the media
//! connection named, the path is what a sender wrote into an encrypted message, which WhatsApp cannot see. (Its other
//! addresses are never used here: the client's version is a setting, and histories and sticker packs are not asked
//! for.) So every URL is judged as a whole before a name is resolved ([`rules`]), no redirect is followed, names are
//! judged on the addresses the connection will use, and answers have a length, an end, and a least pace. With a proxy,
//! the proxy resolves names. The environment's proxies are never used; a session has its own proxy or none.

mod pace;
mod rules;

use std::{
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use async_trait::async_trait;
use domain::{Clock, port::EngineError, proxy::ProxyUrl};
use tokio::runtime::Handle;
use ureq::unversioned::{resolver::DefaultResolver, transport::DefaultConnector};
use url::Url;
use whatsapp_rust::{
    Client, anyhow,
    http::{HttpClient, HttpRequest, HttpResponse},
    wacore::net::{StreamingHttpResponse, UploadBody},
};

use crate::{safety::is_loopback, transport::ureq_proxy};
use pace::PacedBody;
pub(crate) use rules::{ForbiddenUrl, is_path};
use rules::{PublicOnly, judge};

/// All media hosts are under this name.
const REAL_DOMAIN: &str = "whatsapp.net";
/// And those of a simulated network under this one. It resolves to nothing, on purpose.
const SIMULATED_DOMAIN: &str = "sim.invalid";
/// Until a connection is made.
const CONNECT_LIMIT: Duration = Duration::from_secs(20);
/// Until the server answers after the request was sent.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// For the whole of a file to be sent, or to be received: 50 MiB on a slow line.
const FILE_LIMIT: Duration = Duration::from_secs(900);
/// Without a byte of the answer.
const SILENCE_LIMIT: Duration = Duration::from_secs(30);
/// Longest answer beyond the largest file: padding and checksum of the encryption.
const ANSWER_SLACK: u64 = 64 * 1024;
/// Buffers per connection, bytes: media is streamed, everything else is small.
const BUFFER: usize = 16 * 1024;
/// Idle connections kept per session.
const IDLE_MAX: usize = 2;

/// The hosts that files are uploaded to and downloaded from.
#[derive(Debug, Clone, Default)]
pub enum MediaEndpoint {
    /// The hosts that WhatsApp names.
    #[default]
    Real,
    /// At a simulated network: its invalid media hosts are mapped to this loopback address.
    Mapped {
        /// The scheme, host and port, for instance `http://127.0.0.1:4001`.
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

/// Which hosts WhatsApp named for files.
#[async_trait]
pub(crate) trait MediaHosts: Send + Sync + 'static {
    async fn named(&self) -> anyhow::Result<Vec<String>>;
}

/// Those of the library's own media connection, once there is a client to ask.
#[derive(Default)]
pub(crate) struct OfConnection(OnceLock<Weak<Client>>);

impl OfConnection {
    pub(crate) fn attach(&self, client: &Arc<Client>) {
        // There is one client per connection.
        let _ = self.0.set(Arc::downgrade(client));
    }
}

#[async_trait]
impl MediaHosts for OfConnection {
    async fn named(&self) -> anyhow::Result<Vec<String>> {
        let client = self.0.get().and_then(Weak::upgrade);
        let client = client.ok_or(ForbiddenUrl("there is no connection to WhatsApp"))?;
        // The library remembers it; it has just asked, to make the URL.
        let connection = client.refresh_media_conn(false).await?;
        Ok(connection.hosts.into_iter().map(|host| host.hostname).collect())
    }
}

/// The HTTP client of one session. No answer is longer than a file of `file_bytes_max` may be.
pub(crate) fn client(
    media: &MediaEndpoint,
    proxy: Option<&ProxyUrl>,
    file_bytes_max: u64,
    hosts: Arc<dyn MediaHosts>,
    clock: Arc<dyn Clock>,
) -> Result<Arc<dyn HttpClient>, EngineError> {
    let proxy = match proxy {
        Some(proxy) => Some(ureq_proxy(proxy).ok_or_else(|| {
            EngineError::Misconfigured("the address of the proxy cannot be used".into())
        })?),
        None => None,
    };
    let real = matches!(media, MediaEndpoint::Real);
    let direct = real && proxy.is_none();
    let config = ureq::Agent::config_builder()
        .proxy(proxy)
        .https_only(real)
        .max_redirects(0)
        .timeout_connect(Some(CONNECT_LIMIT))
        .timeout_recv_response(Some(ANSWER_LIMIT))
        .timeout_send_body(Some(FILE_LIMIT))
        .timeout_recv_body(Some(FILE_LIMIT))
        .timeout_per_read(Some(SILENCE_LIMIT))
        .input_buffer_size(BUFFER)
        .output_buffer_size(BUFFER)
        .max_idle_connections(IDLE_MAX)
        .max_idle_connections_per_host(IDLE_MAX)
        .build();
    // A proxy may be anywhere its owner says; it is all that is resolved here then.
    let agent = if direct {
        ureq::Agent::with_parts(config, DefaultConnector::default(), PublicOnly::default())
    } else {
        ureq::Agent::with_parts(config, DefaultConnector::default(), DefaultResolver::default())
    };
    let inner = whatsapp_rust::http::UreqHttpClient::with_agent(agent)
        .with_max_body_bytes(file_bytes_max.saturating_add(ANSWER_SLACK));
    let (domain, base) = match media {
        MediaEndpoint::Real => (REAL_DOMAIN, None),
        MediaEndpoint::Mapped { base } => {
            (SIMULATED_DOMAIN, Some(base.as_str().trim_end_matches('/').to_owned()))
        }
    };
    Ok(Arc::new(HostGuard { inner, hosts, clock, domain, base }))
}

/// Lets through what [`judge`] lets through. At a simulated network, whatever passed goes to its loopback address.
struct HostGuard<C> {
    inner: C,
    hosts: Arc<dyn MediaHosts>,
    clock: Arc<dyn Clock>,
    domain: &'static str,
    base: Option<String>,
}

impl<C> HostGuard<C> {
    async fn passed(&self, mut request: HttpRequest) -> anyhow::Result<HttpRequest> {
        let judged = judge(&request.url, self.domain, &self.hosts.named().await?)?;
        if let Some(base) = &self.base {
            request.url = format!("{base}{}", judged.path);
        }
        Ok(request)
    }

    /// The same on a thread that may wait: the library reads files there.
    fn passed_blocking(&self, request: HttpRequest) -> anyhow::Result<HttpRequest> {
        Handle::try_current()?.block_on(self.passed(request))
    }
}

#[async_trait]
impl<C: HttpClient> HttpClient for HostGuard<C> {
    async fn execute(&self, request: HttpRequest) -> anyhow::Result<HttpResponse> {
        self.inner.execute(self.passed(request).await?).await
    }

    fn supports_streaming(&self) -> bool {
        self.inner.supports_streaming()
    }

    fn execute_streaming(&self, request: HttpRequest) -> anyhow::Result<StreamingHttpResponse> {
        let mut answer = self.inner.execute_streaming(self.passed_blocking(request)?)?;
        answer.body = Box::new(PacedBody::new(answer.body, self.clock.clone()));
        Ok(answer)
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
        self.inner.execute_upload(self.passed_blocking(request)?, body, content_length)
    }
}
