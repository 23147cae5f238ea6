//! A slash at the end of a path means nothing: OpenWA's server takes it, and people write it.

use axum::{Router, extract::Request, http::Uri};
use tower::ServiceExt as _;

/// The pages of the docs tell their folder from their name.
const FOLDERS: &str = "/api/docs";

/// Routes that are found with a slash after them as well.
pub(crate) fn forgiving(routes: Router) -> Router {
    Router::new().fallback_service(routes.map_request(|mut request: Request| {
        if let Some(uri) = without_slash(request.uri()) {
            *request.uri_mut() = uri;
        }
        request
    }))
}

/// `None` when there is nothing to take away.
fn without_slash(uri: &Uri) -> Option<Uri> {
    let path = uri.path();
    let shorter = path.strip_suffix('/').filter(|shorter| !shorter.is_empty())?;
    if path.starts_with(FOLDERS) || shorter.ends_with('/') {
        return None;
    }
    let mut parts = uri.clone().into_parts();
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    parts.path_and_query = format!("{shorter}{query}").parse().ok();
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

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
