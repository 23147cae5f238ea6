//! The proxy of one session.

use std::fmt;

use url::Url;

/// Longest proxy address taken (OpenWA's limit).
pub const PROXY_URL_CHARS_MAX: usize = 255;

/// How to speak with a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyScheme {
    /// HTTP CONNECT over plain TCP.
    Http,
    /// HTTP CONNECT over TLS.
    Https,
    /// SOCKS version 5, which also resolves host names.
    Socks5,
}

impl ProxyScheme {
    /// The scheme of the URL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Socks5 => "socks5",
        }
    }
}

/// A checked proxy address. Its password is in there: `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyUrl(Url);

/// Why a proxy address was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidProxy {
    /// Not a URL, or no host in it.
    #[error("proxyUrl must be a URL like socks5://user:password@host:1080")]
    Malformed,
    /// A scheme we do not speak.
    #[error("proxyUrl must start with http://, https:// or socks5://")]
    Scheme,
    /// Longer than [`PROXY_URL_CHARS_MAX`] characters.
    #[error("proxyUrl must be at most 255 characters")]
    TooLong,
}

impl ProxyUrl {
    /// Reads an address.
    ///
    /// # Errors
    /// [`InvalidProxy`] says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, InvalidProxy> {
        if text.len() > PROXY_URL_CHARS_MAX {
            return Err(InvalidProxy::TooLong);
        }
        let url = Url::parse(text).map_err(|_| InvalidProxy::Malformed)?;
        if !matches!(url.scheme(), "http" | "https" | "socks5" | "socks5h") {
            return Err(InvalidProxy::Scheme);
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(InvalidProxy::Malformed);
        }
        Ok(Self(url))
    }

    /// How to speak with it.
    pub fn scheme(&self) -> ProxyScheme {
        match self.0.scheme() {
            "http" => ProxyScheme::Http,
            "https" => ProxyScheme::Https,
            _ => ProxyScheme::Socks5,
        }
    }

    /// Host name or address, IPv6 without brackets.
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default().trim_matches(['[', ']'])
    }

    /// Port, or the scheme's usual one.
    pub fn port(&self) -> u16 {
        self.0.port().unwrap_or(match self.scheme() {
            ProxyScheme::Http => 80,
            ProxyScheme::Https => 443,
            ProxyScheme::Socks5 => 1080,
        })
    }

    /// User and password as written (percent-encoded), when there are any.
    pub fn credentials(&self) -> Option<(&str, &str)> {
        (!self.0.username().is_empty())
            .then(|| (self.0.username(), self.0.password().unwrap_or_default()))
    }

    /// Everything, with the password: for the ledger (encrypted) and for the connector only.
    pub fn expose(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.scheme().as_str(), self.host(), self.port())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_the_password() {
        let proxy = ProxyUrl::parse("socks5://ann:secret@proxy.example:1081").unwrap();
        assert_eq!(format!("{proxy:?}"), "socks5://proxy.example:1081");
        assert_eq!(proxy.credentials(), Some(("ann", "secret")));
    }

    #[test]
    fn default_ports_and_refusals() {
        assert_eq!(ProxyUrl::parse("http://p.example").unwrap().port(), 80);
        assert_eq!(ProxyUrl::parse("socks5://p.example").unwrap().port(), 1080);
        assert_eq!(ProxyUrl::parse("ftp://p.example"), Err(InvalidProxy::Scheme));
        assert_eq!(ProxyUrl::parse("p.example:80"), Err(InvalidProxy::Scheme));
        assert_eq!(ProxyUrl::parse("nonsense"), Err(InvalidProxy::Malformed));
        assert_eq!(
            ProxyUrl::parse(&format!("http://{}", "p".repeat(300))),
            Err(InvalidProxy::TooLong)
        );
    }
}
