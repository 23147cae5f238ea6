//! The outgoing HTTP client for the URLs of users. Every URL is hostile. (Other processes of the installation are
//! called by [`peers`](crate::peers) alone.)
//!
//! # Theory
//! A user's URL may name an internal service, directly or through a name that resolves there, today or only at the
//! moment of the call. So: literal addresses are judged when the URL is read ([`Egress::check`]; the HTTP library
//! does not ask its resolver for literals), names are judged in the resolver, on the very addresses the connection
//! will use, at every connect. A POST follows no redirect, a GET only a few, and each hop is judged anew. Proxies of
//! the environment are not used. [`get`] uses a library that knows redirects and charsets; [`post`], many thousand
//! times a second, speaks HTTP/1.1 by itself: [`dial`] makes connections, [`link`] keeps them. The answer is read up
//! to a limit and within one deadline. Errors say what sort they are; they name the host as the user wrote it, never
//! the address behind it.
//!
//! A GET may go through the proxy of a session ([`proxied`]): the proxy resolves the name. A name that is special
//! here is refused before the proxy is asked, and a proxy that fails is an error: nothing goes out directly instead.
//!
//! Receivers may have certificates of authorities of their own: [`trust`].

mod call;
mod dial;
mod get;
mod link;
mod post;
mod proxied;
mod resolver;
mod trust;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use domain::delivery::AttemptErrorKind;
use http::HeaderMap;
use url::{Host, Position, Url};

pub(crate) use call::HttpCall;
use domain::net::is_public;
pub use get::{GetError, GetLimits, Got, is_plain_http};
use post::HttpPoster;
use proxied::ProxiedClient;
use resolver::{GuardedResolver, Refused, addresses};
pub use trust::{Authorities, InvalidAuthorities};

/// Longest wait for a connection, inside the whole deadline.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Idle connections kept per host, for GETs.
const IDLE_PER_HOST: usize = 64;
/// How long a name may take to be found, where it is judged before anything is connected.
const LOOK_LIMIT: Duration = Duration::from_secs(2);
/// Longest address in an error, in characters.
const SHOWN_CHARS_MAX: usize = 300;

/// Which addresses may be called.
#[derive(Debug, Clone, Default)]
pub struct EgressPolicy {
    /// Refuse private and special addresses.
    pub protect: bool,
    /// Hosts exempt from that: names or addresses, exactly, capitals do not matter.
    pub allowed_hosts: Vec<String>,
}

impl EgressPolicy {
    fn allows(&self, host: &str) -> bool {
        let host = host.trim_matches(['[', ']']);
        self.allowed_hosts
            .iter()
            .any(|allowed| allowed.trim_matches(['[', ']']).eq_ignore_ascii_case(host))
    }
}

/// The client could not be built.
#[derive(Debug, thiserror::Error)]
#[error("the TLS or HTTP library refused its settings")]
pub struct EgressBuildError(#[source] Box<dyn std::error::Error + Send + Sync>);

impl EgressBuildError {
    pub(crate) fn of(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self(Box::new(error))
    }
}

/// TLS towards servers with a certificate of the usual authorities.
pub(crate) fn tls() -> Result<rustls::ClientConfig, EgressBuildError> {
    trusting(usual_authorities())
}

fn usual_authorities() -> rustls::RootCertStore {
    let mut roots = rustls::RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    roots
}

fn trusting(roots: rustls::RootCertStore) -> Result<rustls::ClientConfig, EgressBuildError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(EgressBuildError::of)?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct EgressError {
    /// The kind of error.
    pub kind: AttemptErrorKind,
    /// One sentence, fit for users.
    pub text: String,
}

impl EgressError {
    fn new(kind: AttemptErrorKind, text: &str) -> Self {
        Self { kind, text: text.to_owned() }
    }

    /// The address is not allowed, whatever the settings.
    pub fn blocked() -> Self {
        Self::new(AttemptErrorKind::Blocked, "Destination address is not allowed")
    }

    /// The address of a URL is not allowed, with the setting that would allow it.
    pub(crate) fn blocked_host(url: &Url) -> Self {
        let Some(host) = url.host_str() else { return Self::blocked() };
        let text = format!(
            "Destination address is not allowed: {host} is in a private or special network; SSRF_ALLOWED_HOSTS names hosts \
             that are allowed all the same"
        );
        Self::new(AttemptErrorKind::Blocked, &text)
    }
}

/// An answer, its body cut at [`EXCERPT_BYTES_MAX`](domain::delivery::EXCERPT_BYTES_MAX).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The answer's HTTP status.
    pub status: u16,
    /// The beginning of the body.
    pub body: Vec<u8>,
    /// All its headers.
    pub headers: HeaderMap,
    /// Its `Retry-After`, as it is.
    pub retry_after: Option<String>,
    /// Where a redirect leads, fit for people: what may be secret in it is left out.
    pub redirect: Option<String>,
}

/// A URL for people: without name, password, query and fragment, and not too long.
fn shown(url: &Url) -> String {
    let mut text =
        format!("{}://{}", url.scheme(), &url[Position::BeforeHost..Position::AfterPath]);
    if text.chars().count() > SHOWN_CHARS_MAX {
        text = text.chars().take(SHOWN_CHARS_MAX).chain(['…']).collect();
    } else if url.query().is_some() {
        text.push_str("?…");
    }
    text
}

/// The client. Cheap to clone.
#[derive(Clone)]
pub struct Egress {
    /// GETs, with redirects and bodies of all kinds.
    client: reqwest::Client,
    /// The same through proxies.
    proxied: Arc<ProxiedClient>,
    /// POSTs, many per second.
    poster: Arc<HttpPoster>,
    policy: Arc<EgressPolicy>,
}

impl Egress {
    /// Builds the client.
    ///
    /// # Errors
    /// [`EgressBuildError`].
    pub fn new(policy: EgressPolicy) -> Result<Self, EgressBuildError> {
        Self::trusting(policy, None)
    }

    /// Builds the client, with authorities beside the usual ones for POSTs.
    ///
    /// # Errors
    /// [`EgressBuildError`].
    pub fn trusting(
        policy: EgressPolicy,
        authorities: Option<&Authorities>,
    ) -> Result<Self, EgressBuildError> {
        let policy = Arc::new(policy);
        let tls = tls()?;
        let poster = Arc::new(HttpPoster::new(policy.clone(), authorities)?);
        let proxied = Arc::new(ProxiedClient::new(tls.clone()));
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .dns_resolver(Arc::new(GuardedResolver::new(policy.clone())))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_LIMIT)
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .build()
            .map_err(EgressBuildError::of)?;
        Ok(Self { client, proxied, poster, policy })
    }

    /// Judges a URL without a connection: literal addresses now, names when they are connected to.
    ///
    /// # Errors
    /// The address is not allowed.
    pub fn check(&self, url: &Url) -> Result<(), EgressError> {
        if self.is_exempt(url) {
            return Ok(());
        }
        let public = match url.host() {
            Some(Host::Ipv4(ip)) => is_public(ip.into()),
            Some(Host::Ipv6(ip)) => is_public(ip.into()),
            Some(Host::Domain(name)) => !is_local_name(name),
            None => false,
        };
        if public { Ok(()) } else { Err(EgressError::blocked_host(url)) }
    }

    fn is_exempt(&self, url: &Url) -> bool {
        !self.policy.protect || url.host_str().is_some_and(|host| self.policy.allows(host))
    }

    /// As [`Self::check`]; and a name without dots is looked up. Outside of a private network there are none (RFC
    /// 7085): one that has no public address is a service of a container network, or a machine next door.
    ///
    /// # Errors
    /// The address is not allowed.
    pub async fn check_name(&self, url: &Url) -> Result<(), EgressError> {
        self.check(url)?;
        let Some(Host::Domain(name)) = url.host() else { return Ok(()) };
        if self.is_exempt(url) || name.trim_end_matches('.').contains('.') {
            return Ok(());
        }
        match tokio::time::timeout(LOOK_LIMIT, addresses(name, 0, &self.policy)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(EgressError::blocked_host(url)),
        }
    }

    /// Judges a name by all of its addresses here, when somebody else will resolve it. One that is not known here may
    /// be known there.
    async fn check_addresses(&self, url: &Url) -> Result<(), EgressError> {
        let Some(Host::Domain(name)) = url.host() else { return Ok(()) };
        if self.is_exempt(url) {
            return Ok(());
        }
        let look = tokio::time::timeout(LOOK_LIMIT, tokio::net::lookup_host((name, 0))).await;
        let Ok(Ok(mut found)) = look else { return Ok(()) };
        match found.all(|address| is_public(address.ip())) {
            true => Ok(()),
            false => Err(EgressError::blocked_host(url)),
        }
    }

    /// POSTs a body and reads the answer, all within `limit`. The status is the answer: a body that lies about its
    /// length, breaks off or never ends changes nothing, it only ends the connection. `own` are authorities of this
    /// receiver alone.
    ///
    /// # Errors
    /// [`EgressError`]; an HTTP status is never an error here.
    pub async fn post(
        &self,
        url: &Url,
        headers: HeaderMap,
        body: Bytes,
        limit: Duration,
        own: Option<&Authorities>,
    ) -> Result<Answer, EgressError> {
        self.check(url)?;
        self.poster.post(url, headers, body, limit, own).await
    }

    /// Closes kept connections that nobody needs any more; never ends. Without it they stay until the next call.
    pub async fn close_old_connections(&self) {
        self.poster.close_old().await;
    }
}

/// Names that never leave this machine or network (RFC 6761, RFC 6762, and the usual metadata alias).
fn is_local_name(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    ["localhost", "local", "internal", "home.arpa"].iter().any(|suffix| {
        name == *suffix || name.strip_suffix(suffix).is_some_and(|rest| rest.ends_with('.'))
    })
}

fn describe(error: &reqwest::Error, url: &Url) -> EgressError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    let mut chain = String::new();
    while let Some(inner) = cause {
        if let Some(Refused::Blocked) = inner.downcast_ref::<Refused>() {
            return EgressError::blocked_host(url);
        }
        chain.push_str(&inner.to_string().to_ascii_lowercase());
        chain.push('\n');
        cause = inner.source();
    }
    if error.is_timeout() {
        return EgressError::new(AttemptErrorKind::Timeout, "no connection in time");
    }
    if !error.is_connect() {
        return EgressError::new(
            AttemptErrorKind::Protocol,
            "the answer broke off or was not HTTP",
        );
    }
    if chain.contains("dns") {
        return EgressError::new(AttemptErrorKind::Dns, "the host name could not be resolved");
    }
    if chain.contains("certificate") || chain.contains("tls") || chain.contains("handshake") {
        return EgressError::new(AttemptErrorKind::Connect, "the TLS handshake failed");
    }
    EgressError::new(AttemptErrorKind::Connect, "the connection was refused or failed")
}

#[cfg(test)]
mod tests {
    use domain::delivery::EXCERPT_BYTES_MAX;

    use super::*;

    #[test]
    fn every_spelling_of_an_internal_address_is_blocked() {
        let egress = Egress::new(EgressPolicy {
            protect: true,
            allowed_hosts: vec!["Allowed.internal".into()],
        })
        .unwrap();
        let check = |url: &str| egress.check(&Url::parse(url).unwrap());
        for url in [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://0x7f.1/",
            "http://2130706433/",
            "http://0177.0.0.1/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[::ffff:7f00:1]/",
            "http://[64:ff9b::7f00:1]/",
            "http://[2002:7f00:1::]/",
            "http://169.254.169.254/latest/meta-data",
            "http://10.0.0.1/",
            "http://localhost/",
            "http://LOCALHOST./",
            "http://db.internal/",
            "http://printer.local/",
        ] {
            let refused = check(url).expect_err(url);
            assert_eq!(refused.kind, AttemptErrorKind::Blocked, "{url}");
            let host = Url::parse(url).unwrap().host_str().unwrap().to_owned();
            assert!(refused.text.contains(&format!(": {host} is")), "{}", refused.text);
            assert!(refused.text.contains("SSRF_ALLOWED_HOSTS"), "{}", refused.text);
        }
        for url in [
            "https://example.org/hook",
            "http://8.8.8.8/",
            "http://allowed.internal/",
            "http://mylocal/",
        ] {
            assert_eq!(check(url), Ok(()), "{url}");
        }
        let open = Egress::new(EgressPolicy::default()).unwrap();
        assert_eq!(open.check(&Url::parse("http://127.0.0.1/").unwrap()), Ok(()));
    }

    /// `localhost` stands for any name that resolves to a special address: its spelling is not looked at here.
    #[tokio::test]
    async fn a_name_is_judged_by_its_addresses_at_the_call() {
        let receiver = testkit::Receiver::start().await;
        let url = Url::parse(&receiver.url().replace("127.0.0.1", "localhost")).unwrap();
        let ask = async |allowed_hosts: Vec<String>| {
            let egress = Egress::new(EgressPolicy { protect: true, allowed_hosts }).unwrap();
            // Past the look at the spelling.
            egress.poster.post(&url, HeaderMap::new(), Bytes::new(), CONNECT_LIMIT, None).await
        };
        assert_eq!(ask(vec![]).await, Err(EgressError::blocked_host(&url)));
        assert!(receiver.received().is_empty());
        assert_eq!(ask(vec!["LocalHost".into()]).await.map(|answer| answer.status), Ok(200));
    }

    #[tokio::test]
    async fn an_answer_is_read_up_to_a_limit() {
        let receiver = testkit::Receiver::start().await;
        receiver.answer([testkit::Reply::Body(200, "x".repeat(EXCERPT_BYTES_MAX * 4))]);
        let egress = Egress::new(EgressPolicy::default()).unwrap();
        let url = Url::parse(&receiver.url()).unwrap();
        let answer = egress.post(&url, HeaderMap::new(), Bytes::new(), CONNECT_LIMIT, None).await;
        assert_eq!(answer.unwrap().body.len(), EXCERPT_BYTES_MAX);
    }

    #[tokio::test]
    async fn odd_headers_of_an_answer_change_nothing() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let egress = Egress::new(EgressPolicy::default()).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let many: String = (0..300).map(|number| format!("x-{number}: 1\r\n")).collect();
        for odd in ["x-folded: one\r\n two\r\n", "x-blank : 1\r\n", "x bad name: 1\r\n", &many] {
            let answer =
                format!("HTTP/1.1 200 OK\r\n{odd}content-length: 2\r\nconnection: close\r\n\r\nok");
            let talk = async {
                let (mut socket, _) = listener.accept().await.unwrap();
                assert!(socket.read(&mut [0; 4096]).await.unwrap() > 0);
                socket.write_all(answer.as_bytes()).await.unwrap();
                socket
            };
            let ask = egress.post(&url, HeaderMap::new(), Bytes::new(), CONNECT_LIMIT, None);
            let (asked, _socket) = tokio::join!(ask, talk);
            assert_eq!(asked.map(|answer| answer.status), Ok(200), "{}", &odd[..12]);
        }
    }

    #[tokio::test]
    async fn what_is_not_http_is_told_apart_from_what_does_not_listen() {
        use tokio::io::AsyncWriteExt as _;
        let egress = Egress::new(EgressPolicy::default()).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let ask = async || {
            let asked =
                egress.post(&url, HeaderMap::new(), Bytes::new(), CONNECT_LIMIT, None).await;
            asked.unwrap_err().kind
        };
        let talk = async {
            let (mut socket, _) = listener.accept().await.unwrap();
            socket.write_all(b"SSH-2.0-OpenSSH\r\n").await.unwrap();
        };
        let (kind, ()) = tokio::join!(ask(), talk);
        assert_eq!(kind, AttemptErrorKind::Protocol);
        drop(listener);
        assert_eq!(ask().await, AttemptErrorKind::Connect);
    }
}
