//! Through a proxy: HTTP CONNECT over TCP or TLS, and SOCKS 5. The proxy resolves the target's name.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::proxy::{ProxyScheme, ProxyUrl};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_socks::tcp::Socks5Stream;

use super::{BoxChannel, DialError, RawChannel, prepared, tls};

/// Longest answer to CONNECT, in bytes. Proxies send a few hundred; when full the proxy is refused.
const ANSWER_MAX: usize = 8 * 1024;

/// A channel to `host` that the proxy made.
pub(super) async fn connect(
    proxy: &ProxyUrl,
    host: &str,
    port: u16,
) -> Result<BoxChannel, DialError> {
    let tcp = TcpStream::connect((proxy.host(), proxy.port()))
        .await
        .map_err(DialError::ProxyUnreachable)?;
    let tcp = prepared(tcp);
    match proxy.scheme() {
        ProxyScheme::Http => tunnel(proxy, tcp, host, port).await,
        ProxyScheme::Https => {
            let tls = tls::connect(proxy.host(), tcp).await.map_err(DialError::ProxyTls)?;
            tunnel(proxy, tls, host, port).await
        }
        ProxyScheme::Socks5 => socks5(proxy, tcp, host, port).await,
    }
}

async fn tunnel<S: RawChannel + 'static>(
    proxy: &ProxyUrl,
    mut channel: S,
    host: &str,
    port: u16,
) -> Result<BoxChannel, DialError> {
    let request = connect_request(proxy, host, port);
    channel.write_all(request.as_bytes()).await.map_err(DialError::ProxyUnreachable)?;
    channel.flush().await.map_err(DialError::ProxyUnreachable)?;
    match read_status(&mut channel).await? {
        200..=299 => Ok(Box::new(channel)),
        407 => Err(DialError::ProxyCredentials),
        status => Err(DialError::ProxyStatus(status)),
    }
}

fn connect_request(proxy: &ProxyUrl, host: &str, port: u16) -> String {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let mut request = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n");
    if let Some((user, password)) = proxy.credentials() {
        let pair = [decoded(user), b":".to_vec(), decoded(password)].concat();
        request.push_str(&format!("Proxy-Authorization: Basic {}\r\n", STANDARD.encode(pair)));
    }
    request.push_str("\r\n");
    request
}

/// Reads exactly the answer's head, byte by byte: what follows belongs to the tunnel.
async fn read_status<S: RawChannel>(channel: &mut S) -> Result<u16, DialError> {
    let mut head = Vec::with_capacity(256);
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= ANSWER_MAX {
            return Err(DialError::ProxyProtocol);
        }
        let byte = channel.read_u8().await.map_err(|_| DialError::ProxyProtocol)?;
        head.push(byte);
    }
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = std::str::from_utf8(line).map_err(|_| DialError::ProxyProtocol)?;
    let mut words = line.split_ascii_whitespace();
    match (words.next(), words.next().and_then(|status| status.parse().ok())) {
        (Some(version), Some(status)) if version.starts_with("HTTP/1.") => Ok(status),
        _ => Err(DialError::ProxyProtocol),
    }
}

async fn socks5(
    proxy: &ProxyUrl,
    tcp: TcpStream,
    host: &str,
    port: u16,
) -> Result<BoxChannel, DialError> {
    let stream = match proxy.credentials() {
        Some((user, password)) => {
            // The library takes text; SOCKS itself would take any bytes.
            let user = String::from_utf8_lossy(&decoded(user)).into_owned();
            let password = String::from_utf8_lossy(&decoded(password)).into_owned();
            Socks5Stream::connect_with_password_and_socket(tcp, (host, port), &user, &password)
                .await
        }
        None => Socks5Stream::connect_with_socket(tcp, (host, port)).await,
    };
    stream.map(|stream| Box::new(stream) as BoxChannel).map_err(|error| {
        use tokio_socks::Error;
        match error {
            Error::PasswordAuthFailure(_)
            | Error::NoAcceptableAuthMethods
            | Error::InvalidAuthValues(_)
            | Error::AuthorizationRequired => DialError::ProxyCredentials,
            Error::InvalidResponseVersion => DialError::ProxyProtocol,
            Error::Io(error) => DialError::ProxyUnreachable(error),
            other => DialError::ProxyFailed(other),
        }
    })
}

/// Undoes percent-encoding. An incomplete escape stands for itself.
fn decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = match (first, tail) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)),
            _ => None,
        };
        match escaped {
            Some((high, low)) => {
                bytes.push(high << 4 | low);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    bytes
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// The same proxy for HTTP requests. `None` when the address cannot be used.
pub(crate) fn ureq_proxy(proxy: &ProxyUrl) -> Option<ureq::Proxy> {
    let protocol = match proxy.scheme() {
        ProxyScheme::Http => ureq::ProxyProtocol::Http,
        ProxyScheme::Https => ureq::ProxyProtocol::Https,
        ProxyScheme::Socks5 => ureq::ProxyProtocol::Socks5,
    };
    let host = if proxy.host().contains(':') {
        format!("[{}]", proxy.host())
    } else {
        proxy.host().to_owned()
    };
    let mut builder =
        ureq::Proxy::builder(protocol).host(&host).port(proxy.port()).resolve_target(false);
    if let Some((user, password)) = proxy.credentials() {
        builder = builder
            .username(&String::from_utf8_lossy(&decoded(user)))
            .password(&String::from_utf8_lossy(&decoded(password)));
    }
    builder.build().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_decoded_before_they_are_encoded_again() {
        let proxy = ProxyUrl::parse("http://ann%40home:p%3Aw%25@proxy.example:8080").unwrap();
        let request = connect_request(&proxy, "web.whatsapp.com", 443);
        let expected = STANDARD.encode("ann@home:p:w%");
        assert!(request.starts_with("CONNECT web.whatsapp.com:443 HTTP/1.1\r\n"), "{request}");
        assert!(request.contains(&format!("Proxy-Authorization: Basic {expected}\r\n")));
    }

    #[test]
    fn broken_escapes_stand_for_themselves() {
        assert_eq!(decoded("100%"), b"100%");
        assert_eq!(decoded("%4"), b"%4");
        assert_eq!(decoded("%zz"), b"%zz");
        assert_eq!(decoded("a%20b"), b"a b");
    }

    #[test]
    fn an_ipv6_target_is_bracketed() {
        let proxy = ProxyUrl::parse("http://proxy.example").unwrap();
        assert!(connect_request(&proxy, "::1", 443).starts_with("CONNECT [::1]:443 "));
    }

    #[tokio::test]
    async fn an_endless_answer_is_refused() {
        let mut endless = tokio::io::repeat(b'x');
        let mut channel = tokio::io::join(&mut endless, tokio::io::sink());
        let result = read_status(&mut channel).await;
        assert!(matches!(result, Err(DialError::ProxyProtocol)));
    }
}
