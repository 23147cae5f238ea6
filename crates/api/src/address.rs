//! Where a request comes from.

use std::net::{IpAddr, SocketAddr};

use axum::{
    extract::ConnectInfo,
    http::{HeaderMap, request::Parts},
};
use ipnet::IpNet;

/// The address of the caller of a request that another process handed over, as that process saw it.
#[derive(Clone, Copy)]
pub struct Via {
    /// None when it could not be seen.
    pub client: Option<IpAddr>,
}

/// The caller's address: the peer's, or what trusted proxies, or another process, say about the peer before them.
pub fn client_ip(parts: &Parts, trusted: &[IpNet]) -> Option<IpAddr> {
    if let Some(via) = parts.extensions.get::<Via>() {
        return via.client;
    }
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>()?.0.ip().to_canonical();
    resolve(peer, &parts.headers, trusted)
}

/// Walks `X-Forwarded-For` from its end, the part written by the proxy nearest to us, as long as proxies are trusted.
fn resolve(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> Option<IpAddr> {
    let is_trusted = |ip: &IpAddr| trusted.iter().any(|net| net.contains(ip));
    if !is_trusted(&peer) {
        return Some(peer);
    }
    let lines: Vec<&str> = headers
        .get_all("x-forwarded-for")
        .iter()
        .map(|line| line.to_str().unwrap_or("unreadable"))
        .collect();
    let mut client = peer;
    for hop in lines.join(",").rsplit(',').map(str::trim).filter(|hop| !hop.is_empty()) {
        // A hop that is no address ends the walk: nobody trusted vouches for what stands before it.
        client = parse_hop(hop)?;
        if !is_trusted(&client) {
            break;
        }
    }
    Some(client)
}

fn parse_hop(hop: &str) -> Option<IpAddr> {
    let ip = hop
        .parse::<IpAddr>()
        .or_else(|_| hop.parse::<SocketAddr>().map(|address| address.ip()))
        .or_else(|_| hop.trim_matches(['[', ']']).parse::<IpAddr>());
    ip.ok().map(|ip| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(peer: &str, forwarded: &[&str]) -> Option<String> {
        let trusted = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append("x-forwarded-for", line.parse().unwrap());
        }
        resolve(peer.parse().unwrap(), &headers, &trusted).map(|ip| ip.to_string())
    }

    #[test]
    fn strangers_cannot_forge_their_address() {
        assert_eq!(seen("203.0.113.9", &["10.1.1.1"]).as_deref(), Some("203.0.113.9"));
    }

    #[test]
    fn trusted_proxies_are_walked_from_the_near_end() {
        assert_eq!(
            seen("10.0.0.1", &["6.6.6.6, 198.51.100.7, 10.0.0.2"]).as_deref(),
            Some("198.51.100.7")
        );
        assert_eq!(
            seen("10.0.0.1", &["6.6.6.6", "198.51.100.7:4711"]).as_deref(),
            Some("198.51.100.7")
        );
        assert_eq!(seen("fd00::1", &["[2001:db8::1]:80"]).as_deref(), Some("2001:db8::1"));
        assert_eq!(seen("10.0.0.1", &[]).as_deref(), Some("10.0.0.1"));
        assert_eq!(seen("10.0.0.1", &["10.0.0.3"]).as_deref(), Some("10.0.0.3"));
    }

    #[test]
    fn nonsense_from_a_trusted_proxy_is_no_address() {
        assert_eq!(seen("10.0.0.1", &["198.51.100.7, unknown"]), None);
    }
}
