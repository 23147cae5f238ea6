//! Browsers: the cookie that they show instead of a key, and whether a request comes from a page of ours.

use std::net::SocketAddr;

use axum::{
    extract::ConnectInfo,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts},
};
use ipnet::IpNet;

use crate::{ApiOptions, address::Via, error::ApiError};

/// The name of the cookie.
const COOKIE: &str = "waypost_session";
/// Longest prefix that a proxy may name, characters.
const PREFIX_CHARS_MAX: usize = 200;

/// The login that a browser shows, as text.
pub fn presented_login(headers: &HeaderMap) -> Option<&str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    lines
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, value)| *name == COOKIE && !value.is_empty())
        .map(|(_, value)| value)
}

/// Refuses a change that another site's page asks for in the name of a browser that is logged in here. What another
/// process hands over was checked there.
///
/// # Errors
/// 403.
pub fn check_origin(parts: &Parts) -> Result<(), ApiError> {
    let harmless = parts.method == Method::GET || parts.method == Method::HEAD;
    if harmless || parts.extensions.get::<Via>().is_some() || is_of_our_page(&parts.headers) {
        return Ok(());
    }
    Err(ApiError::new(StatusCode::FORBIDDEN, "The request does not come from this dashboard"))
}

/// What the browser itself says about the page that asks.
fn is_of_our_page(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    if let Some(site) = headers.get("sec-fetch-site") {
        return site == "same-origin";
    }
    // Without TLS browsers leave it out, and say at least which host the page is from.
    let of_page = text("origin").and_then(|origin| origin.split_once("://"));
    let asked = text("host");
    matches!((of_page, asked), (Some((_, page)), Some(host)) if page.eq_ignore_ascii_case(host))
}

/// The header that gives a browser its login, or takes it away (`text` is empty then).
pub fn set_cookie(text: &str, parts: &Parts, options: &ApiOptions, seconds: u64) -> HeaderValue {
    let path = base_path(parts, options);
    let secure = if is_https(parts, &options.trusted_proxies) { "; Secure" } else { "" };
    let cookie = format!(
        "{COOKIE}={text}; Path={path}/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}"
    );
    // Text of ours, and a path of plain characters.
    HeaderValue::try_from(cookie).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// Where browsers see the gateway: what its setting says, else what a trusted proxy says.
fn base_path(parts: &Parts, options: &ApiOptions) -> String {
    if !options.base_path.is_empty() {
        return options.base_path.clone();
    }
    let named = of_proxy(parts, &options.trusted_proxies, "x-forwarded-prefix");
    named
        .map(|prefix| prefix.trim_end_matches('/'))
        .filter(|prefix| is_plain(prefix))
        .map_or_else(String::new, str::to_owned)
}

fn is_plain(prefix: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/-_.~".contains(c);
    prefix.starts_with('/') && prefix.len() <= PREFIX_CHARS_MAX && prefix.chars().all(plain)
}

fn is_https(parts: &Parts, trusted: &[IpNet]) -> bool {
    let origin = parts.headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    origin.is_some_and(|origin| origin.starts_with("https://"))
        || of_proxy(parts, trusted, "x-forwarded-proto") == Some("https")
}

/// What a header of a trusted proxy says.
fn of_proxy<'a>(parts: &'a Parts, trusted: &[IpNet], name: &str) -> Option<&'a str> {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>()?.0.ip().to_canonical();
    if !trusted.iter().any(|net| net.contains(&peer)) {
        return None;
    }
    parts.headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(of: &[(&'static str, &'static str)]) -> HeaderMap {
        of.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn the_login_is_found_among_other_cookies() {
        let found = |cookie| presented_login(&headers(&[("cookie", cookie)])).map(str::to_owned);
        assert_eq!(found("a=b; waypost_session=abc; c=d").as_deref(), Some("abc"));
        assert_eq!(found("waypost_session="), None);
        assert_eq!(found("xwaypost_session=abc; waypost_session"), None);
        assert_eq!(presented_login(&headers(&[])), None);
    }

    #[test]
    fn only_a_page_of_this_host_may_change_things() {
        let ours = |of: &[(&'static str, &'static str)]| is_of_our_page(&headers(of));
        assert!(ours(&[("sec-fetch-site", "same-origin"), ("host", "a:1")]));
        for site in ["cross-site", "same-site", "none", ""] {
            // What the browser says first goes before what the page's host is.
            assert!(!ours(&[("sec-fetch-site", site), ("origin", "http://a"), ("host", "a")]));
        }
        assert!(ours(&[("origin", "http://Gate.example:2785"), ("host", "gate.example:2785")]));
        assert!(!ours(&[("origin", "http://gate.example:2786"), ("host", "gate.example:2785")]));
        assert!(!ours(&[("origin", "null"), ("host", "gate.example")]));
        assert!(!ours(&[("host", "gate.example")]), "a browser says where a change comes from");
        assert!(!ours(&[("origin", "http://gate.example")]));
    }

    #[test]
    fn a_prefix_is_a_path_of_plain_characters() {
        assert!(is_plain("/way/post") && is_plain("/a-b_c.d"));
        for prefix in ["", "way", "/a;Domain=x", "/a b", "/ä"] {
            assert!(!is_plain(prefix), "{prefix}");
        }
    }
}
