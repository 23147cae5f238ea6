//! Where `net.fetch` may go.

use serde_json::{Map, Value};
use url::{Host, Url};

use crate::plugin::{ManifestError, config::allowed_config_host, reading::Fields};

/// Where `net.fetch` may go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NetRules {
    /// `host` (any port) or `host:port`, in lower case.
    pub allow: Vec<String>,
    /// Names of configuration fields whose URL's host may be called too, by HTTPS alone.
    pub allow_config_hosts: Vec<String>,
}

impl NetRules {
    /// Whether a URL may be called with a configuration. That the host is a public address is for the caller to see.
    pub fn allows(&self, url: &Url, config: &Map<String, Value>) -> bool {
        let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
            return false;
        };
        let host = spelled(&host);
        let listed = || {
            let with_port = format!("{host}:{port}");
            self.allow.iter().any(|entry| *entry == host || *entry == with_port)
        };
        let configured = || {
            let mut hosts = self.allow_config_hosts.iter();
            hosts.any(|field| allowed_config_host(config, field) == Some((host.clone(), port)))
        };
        match url.scheme() {
            "https" => listed() || configured(),
            "http" => listed(),
            _ => false,
        }
    }
}

/// One spelling for each host: lower case, no full stop at the end, IPv6 in brackets.
pub(in crate::plugin) fn spelled<T: AsRef<str>>(host: &Host<T>) -> String {
    match host {
        Host::Domain(name) => name.as_ref().trim_end_matches('.').to_ascii_lowercase(),
        Host::Ipv4(ip) => ip.to_string(),
        Host::Ipv6(ip) => format!("[{ip}]"),
    }
}

/// Reads the manifest's `net`.
pub(super) fn read(manifest: &Fields<'_>) -> Result<NetRules, ManifestError> {
    let Some(net) = manifest.object("net")? else { return Ok(NetRules::default()) };
    let mut rules = NetRules::default();
    for text in net.words("allow")? {
        let wrong = |fault| net.wrong("allow", format!("contains {text}: {fault}"));
        rules.allow.push(entry(text).map_err(wrong)?);
    }
    for field in net.words("allowConfigHosts")? {
        if field.is_empty() {
            return Err(net.wrong("allowConfigHosts", "contains an empty name"));
        }
        rules.allow_config_hosts.push(field.to_owned());
    }
    Ok(rules)
}

/// Reads `host` or `host:port`.
fn entry(text: &str) -> Result<String, &'static str> {
    if text.contains('*') {
        return Err("wildcards are not taken, name each host");
    }
    if text.contains("://") {
        return Err("write the host alone, without https://");
    }
    if text.contains(['/', '?', '#', '@', '\\']) || text.contains(char::is_whitespace) {
        return Err("write the host alone, without a path, a user or blanks");
    }
    // The colons of an IPv6 address stand in brackets.
    let colon = text.rfind(':').filter(|colon| !text[*colon..].contains(']'));
    let (host, port) = match colon {
        Some(colon) => (&text[..colon], Some(&text[colon + 1..])),
        None => (text, None),
    };
    if host.contains(':') && !host.starts_with('[') {
        return Err("write an IPv6 address in brackets, like [2001:db8::1]:443");
    }
    let host = Host::parse(host).map_err(|_| "it is not a host")?;
    let host = spelled(&host);
    match port.map(str::parse::<u16>) {
        _ if host.is_empty() => Err("it is not a host"),
        None => Ok(host),
        Some(Ok(port)) if port > 0 => Ok(format!("{host}:{port}")),
        Some(_) => Err("the port is not a number from 1 to 65535"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rules(net: Value) -> Result<NetRules, ManifestError> {
        read(&Fields::of("", &json!({ "net": net }))?)
    }

    #[test]
    fn hosts_are_read_in_one_spelling() {
        for (text, read) in [
            ("API.example.com", "api.example.com"),
            ("api.example.com.:443", "api.example.com:443"),
            ("[2001:DB8::1]:8443", "[2001:db8::1]:8443"),
            ("[::1]", "[::1]"),
            ("127.0.0.1", "127.0.0.1"),
            ("münchen.example", "xn--mnchen-3ya.example"),
        ] {
            assert_eq!(rules(json!({ "allow": [text] })).unwrap().allow, [read], "{text}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused_with_the_reason() {
        for (text, reason) in [
            ("*.example.com", "wildcards"),
            ("https://example.com", "without https://"),
            ("example.com/path", "without a path"),
            ("user@example.com", "without a path, a user"),
            ("example.com:0", "the port"),
            ("example.com:99999", "the port"),
            ("example.com:", "the port"),
            ("2001:db8::1", "in brackets"),
            ("", "not a host"),
            (".", "not a host"),
        ] {
            let error = rules(json!({ "allow": [text] })).unwrap_err().to_string();
            assert!(error.contains(reason) && error.contains("net.allow"), "{text}: {error}");
        }
        assert!(rules(json!({ "allow": "example.com" })).is_err());
        assert!(rules(json!({ "allowConfigHosts": [1] })).is_err());
    }

    #[test]
    fn urls_are_measured_by_host_and_port() {
        let net = rules(json!({
            "allow": ["any.example", "one.example:8443", "plain.example:80", "[::1]:9000"],
            "allowConfigHosts": ["baseUrl", "other"],
        }))
        .unwrap();
        let config =
            json!({ "baseUrl": "https://Desk.Example:444/x", "other": "http://o.example" });
        for (url, allowed) in [
            ("https://any.example/x", true),
            ("http://ANY.example.:81/x", true),
            ("ftp://any.example/x", false),
            ("https://sub.any.example/", false),
            ("https://one.example:8443/", true),
            ("https://one.example/", false),
            ("http://plain.example/", true),
            ("https://plain.example/", false),
            ("http://[::1]:9000/", true),
            ("http://[0:0::1]:9001/", false),
            ("https://desk.example:444/y", true),
            ("https://desk.example/y", false),
            ("http://desk.example:444/y", false),
            ("https://o.example/", false),
            ("http://o.example/", false),
            ("https://any.example@evil.example/", false),
        ] {
            let url = Url::parse(url).unwrap();
            assert_eq!(net.allows(&url, config.as_object().unwrap()), allowed, "{url}");
        }
    }
}
