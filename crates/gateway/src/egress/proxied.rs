//! GETs through the proxies of sessions: HTTP CONNECT (plain http goes in the proxy's own form) and SOCKS 5, as the
//! sessions themselves connect.

use std::sync::{Mutex, PoisonError};

use domain::{
    delivery::AttemptErrorKind,
    proxy::{ProxyScheme, ProxyUrl},
};
use percent_encoding::percent_decode_str;

use super::{CONNECT_LIMIT, EgressError};

/// Proxies for which a client is kept; when full, the one that was not used for longest goes.
const CLIENTS_MAX: usize = 32;
/// Idle connections kept per host of a proxy.
const IDLE_PER_HOST: usize = 4;
/// What is said of a proxy that wants to know who asks.
pub(super) const CREDENTIALS: &str = "it refused the user name or password";

/// The clients, one for each proxy.
pub(super) struct ProxiedClient {
    tls: rustls::ClientConfig,
    /// The one that was used last in front.
    clients: Mutex<Vec<(ProxyUrl, reqwest::Client)>>,
}

impl ProxiedClient {
    pub(super) fn new(tls: rustls::ClientConfig) -> Self {
        Self { tls, clients: Mutex::default() }
    }

    /// The client whose every connection goes through this proxy.
    ///
    /// # Errors
    /// The proxy's address cannot be used.
    pub(super) fn client(&self, proxy: &ProxyUrl) -> Result<reqwest::Client, EgressError> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let found = match clients.iter().position(|(known, _)| known == proxy) {
            Some(place) => clients.remove(place),
            None => (proxy.clone(), self.build(proxy)?),
        };
        clients.truncate(CLIENTS_MAX - 1);
        clients.insert(0, found.clone());
        Ok(found.1)
    }

    fn build(&self, proxy: &ProxyUrl) -> Result<reqwest::Client, EgressError> {
        let unusable = |_| failed("its address cannot be used");
        let scheme = match proxy.scheme() {
            ProxyScheme::Http => "http",
            ProxyScheme::Https => "https",
            // The h: the proxy resolves the name.
            ProxyScheme::Socks5 => "socks5h",
        };
        let host = match proxy.host() {
            ip6 if ip6.contains(':') => format!("[{ip6}]"),
            host => host.to_owned(),
        };
        let address = format!("{scheme}://{host}:{}", proxy.port());
        let mut through = reqwest::Proxy::all(address).map_err(unusable)?;
        if let Some((user, password)) = proxy.credentials() {
            let plain = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
            through = through.basic_auth(&plain(user), &plain(password));
        }
        // Proxies stand where the operator put them: no guard for their own names.
        reqwest::Client::builder()
            .tls_backend_preconfigured(self.tls.clone())
            .redirect(reqwest::redirect::Policy::none())
            .proxy(through)
            .connect_timeout(CONNECT_LIMIT)
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .build()
            .map_err(unusable)
    }
}

/// What the proxy did, or did not.
pub(super) fn failed(what: &str) -> EgressError {
    EgressError::new(AttemptErrorKind::Connect, &format!("the session's proxy failed: {what}"))
}

/// Why no connection came about through a proxy.
pub(super) fn describe(error: &reqwest::Error) -> EgressError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    let mut chain = String::new();
    while let Some(inner) = cause {
        chain.push_str(&inner.to_string().to_ascii_lowercase());
        chain.push('\n');
        cause = inner.source();
    }
    if error.is_timeout() {
        return EgressError::new(
            AttemptErrorKind::Timeout,
            "no connection in time through the session's proxy",
        );
    }
    if !error.is_connect() {
        return EgressError::new(
            AttemptErrorKind::Protocol,
            "the answer through the session's proxy broke off or was not HTTP",
        );
    }
    let any = |words: &[&str]| words.iter().any(|word| chain.contains(word));
    if any(&["certificate"]) {
        return EgressError::new(
            AttemptErrorKind::Connect,
            "the TLS handshake through the session's proxy failed",
        );
    }
    if any(&["proxy authorization", "authenticat"]) {
        return failed(CREDENTIALS);
    }
    failed("it cannot be reached, or could not connect to the address")
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Seek as _},
        time::Duration,
    };

    use testkit::Tunnel;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use url::Url;

    use crate::egress::{Egress, EgressPolicy, GetError, GetLimits};

    use super::*;

    /// A web server, whose answers say how often it was asked; its port.
    #[expect(clippy::disallowed_methods, reason = "a server of a test ends with its runtime")]
    async fn serve() -> u16 {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            for number in 1.. {
                let (mut socket, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 4096];
                let read = socket.read(&mut request).await.unwrap();
                let request = String::from_utf8_lossy(&request[..read]).into_owned();
                let path = request.split(' ').nth(1).unwrap_or_default();
                let answer = match path.strip_prefix("/to/") {
                    Some(to) => format!("302 Found\r\nlocation: {to}\r\ncontent-length: 0"),
                    None => format!("200 OK\r\ncontent-length: {}", number.to_string().len()),
                };
                let body =
                    if path.starts_with("/to/") { String::new() } else { number.to_string() };
                let answer = format!("HTTP/1.1 {answer}\r\nconnection: close\r\n\r\n{body}");
                socket.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        port
    }

    fn guarded() -> Egress {
        Egress::new(EgressPolicy { protect: true, allowed_hosts: vec![] }).unwrap()
    }

    async fn get(egress: &Egress, url: &str, proxy: &str) -> Result<String, GetError> {
        let mut file = tempfile::tempfile().unwrap();
        let limits = GetLimits { bytes_max: 100, time: Duration::from_secs(20) };
        let (url, proxy) = (Url::parse(url).unwrap(), ProxyUrl::parse(proxy).unwrap());
        egress.get_into(&url, file.try_clone().unwrap(), limits, Some(&proxy)).await?;
        let mut text = String::new();
        file.rewind().unwrap();
        file.read_to_string(&mut text).unwrap();
        Ok(text)
    }

    #[tokio::test]
    async fn a_file_comes_through_the_proxy_which_resolves_the_name() {
        let server = serve().await;
        let open = Tunnel::to(server).await;
        let closed = Tunnel::guarded(server, "ann", "p@ss:w%rd").await;
        let egress = guarded();
        for (number, (scheme, user, tunnel)) in [
            ("http", "", &open),
            ("socks5", "", &open),
            ("http", "ann:p%40ss%3Aw%25rd@", &closed),
            ("socks5", "ann:p%40ss%3Aw%25rd@", &closed),
        ]
        .into_iter()
        .enumerate()
        {
            let before = tunnel.targets().len();
            let proxy = format!("{scheme}://{user}{}", tunnel.address());
            // Nobody here knows the name.
            let text = get(&egress, "http://files.example/a", &proxy).await.unwrap();
            assert_eq!(text, (number + 1).to_string(), "{proxy}");
            let asked = tunnel.targets().split_off(before);
            assert!(
                matches!(asked.as_slice(), [one] if one.starts_with("files.example")),
                "{asked:?}"
            );
        }
        let server_alone = ["ann:wrong@", ""];
        for (scheme, user) in ["http", "socks5"].into_iter().zip(server_alone) {
            let proxy = format!("{scheme}://{user}{}", closed.address());
            let refused = get(&egress, "http://files.example/a", &proxy).await.unwrap_err();
            let text = refused.to_string();
            assert!(text.starts_with("the session's proxy failed: "), "{proxy}: {text}");
        }
    }

    #[tokio::test]
    async fn https_asks_the_proxy_for_a_tunnel() {
        let tunnel = Tunnel::to(serve().await).await;
        for scheme in ["http", "socks5"] {
            let proxy = format!("{scheme}://{}", tunnel.address());
            let refused = get(&guarded(), "https://files.example/a", &proxy).await.unwrap_err();
            // The server at its end speaks no TLS.
            assert!(refused.to_string().contains("the session's proxy"), "{refused}");
            assert_eq!(tunnel.targets().pop().unwrap(), "files.example:443");
        }
    }

    #[tokio::test]
    async fn special_addresses_are_refused_before_the_proxy_is_asked() {
        let tunnel = Tunnel::to(serve().await).await;
        let proxy = format!("http://{}", tunnel.address());
        let egress = guarded();
        for url in [
            "http://127.0.0.1/a",
            "http://[::1]/a",
            "http://169.254.169.254/latest",
            "http://localhost/a",
            "http://172.17.0.1/a",
            "http://n8n:5678/a",
        ] {
            let refused = get(&egress, url, &proxy).await.unwrap_err();
            assert!(refused.to_string().starts_with("Destination address"), "{url}: {refused}");
        }
        assert!(tunnel.targets().is_empty());
        // Nor does a redirect lead there.
        let to = "http://files.example/to/http://10.0.0.1/";
        let refused = get(&egress, to, &proxy).await.unwrap_err();
        assert!(refused.to_string().starts_with("Destination address"), "{refused}");
        assert_eq!(tunnel.targets().len(), 1);
    }

    #[tokio::test]
    async fn a_proxy_that_fails_is_no_reason_to_go_directly() {
        let server = serve().await;
        let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let nobody = gone.local_addr().unwrap();
        drop(gone);
        let allowed_hosts = vec!["127.0.0.1".into()];
        let egress = Egress::new(EgressPolicy { protect: true, allowed_hosts }).unwrap();
        let url = format!("http://127.0.0.1:{server}/a");
        for scheme in ["http", "socks5"] {
            let refused = get(&egress, &url, &format!("{scheme}://{nobody}")).await.unwrap_err();
            assert_eq!(
                refused.to_string(),
                "the session's proxy failed: it cannot be reached, or could not connect to the address"
            );
        }
        let tunnel = Tunnel::to(server).await;
        let text = get(&egress, &url, &format!("http://{}", tunnel.address())).await.unwrap();
        // The first that the server heard.
        assert_eq!(text, "1");
    }
}
