//! Which URLs the library may call.
//!
//! The library joins a path that a sender chose to a host that WhatsApp named. Nobody but this module looks at the
//! result.

use domain::net::is_public;
use ureq::{
    Error,
    config::Config,
    http::Uri,
    unversioned::{
        resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver},
        transport::NextTimeout,
    },
};
use url::{Host, Url};

/// Longest URL, characters: a path that was read is far shorter.
const URL_CHARS_MAX: usize = 4096;

/// A URL that the engine does not call. It names no part of the URL: that has the account's token in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the engine does not call this address: {0}")]
pub(crate) struct ForbiddenUrl(pub &'static str);

/// A URL that leads to one of WhatsApp's media hosts, whoever reads it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MediaUrl {
    pub host: String,
    /// Path and query, with the first `/`.
    pub path: String,
}

/// Reads a URL: https, no name or password, port 443, a host under `domain` that WhatsApp named.
pub(super) fn judge(text: &str, domain: &str, named: &[String]) -> Result<MediaUrl, ForbiddenUrl> {
    if text.len() > URL_CHARS_MAX {
        return Err(ForbiddenUrl("it is too long"));
    }
    // What two readers of URLs could read in two ways.
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) || text.contains(['\\', '#']) {
        return Err(ForbiddenUrl("it is not a plain URL"));
    }
    let url = Url::parse(text).map_err(|_| ForbiddenUrl("it is not a URL"))?;
    if url.scheme() != "https" {
        return Err(ForbiddenUrl("it is not https"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(ForbiddenUrl("it carries a name or password"));
    }
    if url.port().is_some() {
        return Err(ForbiddenUrl("it is not on port 443"));
    }
    let Some(Host::Domain(host)) = url.host() else {
        return Err(ForbiddenUrl("it has no host name"));
    };
    let under = host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
    if !under || !named.iter().any(|name| name.eq_ignore_ascii_case(host)) {
        return Err(ForbiddenUrl("its host is not one that WhatsApp named"));
    }
    let path = text.strip_prefix("https://").and_then(|rest| {
        rest.get(..host.len())
            .filter(|start| start.eq_ignore_ascii_case(host))
            .and(rest.get(host.len()..))
    });
    match path {
        Some(path) if is_path(path) => {
            Ok(MediaUrl { host: host.to_owned(), path: path.to_owned() })
        }
        _ => Err(ForbiddenUrl("its path does not begin with one slash")),
    }
}

/// Whether a text can follow the name of a host and stay a path there.
pub(crate) fn is_path(text: &str) -> bool {
    text.starts_with('/')
        && !text.starts_with("//")
        && text.len() <= URL_CHARS_MAX
        && text.bytes().all(|byte| byte.is_ascii_graphic())
        && !text.contains(['\\', '#'])
}

/// Names are judged on the addresses the connection will use.
#[derive(Debug, Default)]
pub(super) struct PublicOnly(DefaultResolver);

impl Resolver for PublicOnly {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let found = self.0.resolve(uri, config, timeout)?;
        let mut public = self.empty();
        for address in found.iter().filter(|address| is_public(address.ip())) {
            public.push(*address);
        }
        if public.is_empty() {
            return Err(Error::Other(Box::new(ForbiddenUrl("it is not a public address"))));
        }
        Ok(public)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "?auth=secret&token=x";

    fn judged(url: &str) -> Result<MediaUrl, ForbiddenUrl> {
        let named = ["mmg.whatsapp.net".to_owned(), "evil.example".into(), "10.0.0.1".into()];
        judge(url, "whatsapp.net", &named)
    }

    #[test]
    fn whatsapps_own_hosts_are_called() {
        for host in ["mmg.whatsapp.net", "MMG.whatsapp.net", "mmg.whatsapp.net"] {
            let judged = judged(&format!("https://{host}/v/t62/a.enc?ccb=1{TOKEN}")).unwrap();
            assert_eq!(judged.host, "mmg.whatsapp.net");
            assert_eq!(judged.path, format!("/v/t62/a.enc?ccb=1{TOKEN}"));
        }
    }

    /// What the library makes of a path that a sender chose.
    #[test]
    fn no_path_of_a_sender_leads_elsewhere() {
        for path in [
            "@evil.example/x",
            "@evil.example:443/x",
            ".evil.example/x",
            ":x@evil.example/x",
            ":443@evil.example/x",
            ":8443/x",
            "//evil.example/x",
            "///x",
            "\\evil.example/x",
            "\\@evil.example/x",
            "/\\evil.example/x",
            "/..\\x",
            "?x@evil.example/",
            "#@evil.example/",
            "",
            "x/",
            "-cdn.whatsapp.net/x",
            "/a b",
            "/a\r\nHost: evil.example",
            "/a\u{202e}b",
            "/a#b",
            "%2eevil.example/x",
            "%40evil.example/x",
            "\t@evil.example/x",
        ] {
            let url = format!("https://mmg.whatsapp.net{path}{TOKEN}");
            let refused = judged(&url).expect_err(&url);
            assert!(!refused.to_string().contains("secret"), "{refused}");
        }
        assert!(
            judged(&format!("https://mmg.whatsapp.net/{}", "x".repeat(URL_CHARS_MAX))).is_err()
        );
    }

    #[test]
    fn no_other_address_is_called() {
        for url in [
            "http://mmg.whatsapp.net/x",
            "https://mmg.whatsapp.net:8443/x",
            "https://web.whatsapp.net/x",
            "https://whatsapp.net/x",
            "https://evil.example/x",
            "https://evilwhatsapp.net/x",
            "https://mmg.whatsapp.net.evil.example/x",
            "https://10.0.0.1/x",
            "https://[::1]/x",
            "https://127.0.0.1/x",
            "ftp://mmg.whatsapp.net/x",
            "file:///etc/passwd",
            "https:mmg.whatsapp.net/x",
            "https:///mmg.whatsapp.net/x",
            "//mmg.whatsapp.net/x",
            "",
        ] {
            assert!(judged(url).is_err(), "{url}");
        }
        // Named, and yet none of WhatsApp's.
        assert!(judge("https://evil.example/x", "whatsapp.net", &["evil.example".into()]).is_err());
    }

    #[test]
    fn a_path_begins_with_one_slash() {
        assert!(is_path("/v/t62.7118-24/1_2_n.enc?ccb=11-4&oh=01_Q5&oe=66"));
        for path in ["", "x", "@x", "//x", "\\x", "/\\x", "/x#y", "/x y", "/\u{e4}", "/\n"] {
            assert!(!is_path(path), "{path}");
        }
    }

    #[test]
    fn a_name_with_a_private_address_is_not_connected_to() {
        let config = ureq::Agent::config_builder()
            .timeout_connect(Some(std::time::Duration::from_secs(5)))
            .build();
        let agent = ureq::Agent::with_parts(
            config,
            ureq::unversioned::transport::DefaultConnector::default(),
            PublicOnly::default(),
        );
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        for host in ["localhost", "127.0.0.1"] {
            let error = agent.get(format!("http://{host}:{port}/")).call().unwrap_err();
            assert!(error.to_string().contains("not a public address"), "{error}");
        }
        assert!(listener.accept().is_err());
    }
}
