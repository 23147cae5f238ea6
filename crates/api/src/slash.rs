//! Paths as people and proxies write them. A slash at the end means nothing: OpenWA's server takes it. The base path
//! under which a proxy shows the gateway is taken away, where the proxy left it.

use axum::{Router, extract::Request, http::Uri};
use tower::ServiceExt as _;

/// The pages of the docs tell their folder from their name.
const FOLDERS: &str = "/api/docs";

/// The path was the base path, without a slash behind it.
#[derive(Clone)]
pub struct BareBase(pub String);

/// Routes that are found with a slash after them as well, and under the base path.
pub(crate) fn forgiving(routes: Router, base: String) -> Router {
    Router::new().fallback_service(routes.map_request(move |mut request: Request| {
        if let Some(uri) = without_base(request.uri(), &base) {
            if request.uri().path() == base {
                request.extensions_mut().insert(BareBase(base.clone()));
            }
            *request.uri_mut() = uri;
        }
        if let Some(uri) = without_slash(request.uri()) {
            *request.uri_mut() = uri;
        }
        request
    }))
}

/// `None` when the path is not under the base path, or there is none.
fn without_base(uri: &Uri, base: &str) -> Option<Uri> {
    let rest = uri.path().strip_prefix(base).filter(|_| !base.is_empty())?;
    if !rest.is_empty() && !rest.starts_with('/') {
        return None;
    }
    with_path(uri, if rest.is_empty() { "/" } else { rest })
}

fn with_path(uri: &Uri, path: &str) -> Option<Uri> {
    let mut parts = uri.clone().into_parts();
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    parts.path_and_query = format!("{path}{query}").parse().ok();
    Uri::from_parts(parts).ok()
}

/// `None` when there is nothing to take away.
fn without_slash(uri: &Uri) -> Option<Uri> {
    let path = uri.path();
    let shorter = path.strip_suffix('/').filter(|shorter| !shorter.is_empty())?;
    if path.starts_with(FOLDERS) || shorter.ends_with('/') {
        return None;
    }
    with_path(uri, shorter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_path_is_taken_away() {
        let rest =
            |text: &str| without_base(&text.parse().unwrap(), "/way").map(|uri| uri.to_string());
        assert_eq!(rest("/way/api/sessions?a=b").as_deref(), Some("/api/sessions?a=b"));
        assert_eq!(rest("/way").as_deref(), Some("/"));
        assert_eq!(rest("/way/").as_deref(), Some("/"));
        assert_eq!((rest("/wayside"), rest("/api/sessions")), (None, None));
        assert_eq!(without_base(&"/api".parse().unwrap(), ""), None);
    }

    #[test]
    fn one_slash_is_taken_away() {
        let shorter = |text: &str| without_slash(&text.parse().unwrap()).map(|uri| uri.to_string());
        assert_eq!(shorter("/api/sessions/").as_deref(), Some("/api/sessions"));
        assert_eq!(shorter("/api/sessions/?a=b/").as_deref(), Some("/api/sessions?a=b/"));
        for text in ["/", "/api/sessions", "/api/sessions//", "/api/docs/", "/api/sessions?a=/"] {
            assert_eq!(shorter(text), None, "{text}");
        }
    }
}
