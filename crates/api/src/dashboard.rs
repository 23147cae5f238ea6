//! The dashboard's files: the page at `/`, what it names under `/assets/`.

use axum::{
    Router,
    extract::{Path, Request},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse as _, Redirect, Response},
    routing::get,
};
use dashboard::DashboardFile;

use crate::{AppState, error, slash::BareBase};

/// What the page may load: its own files, and pictures inside them (a QR code is one).
const PAGE_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; img-src 'self' data:; object-src 'none'; frame-ancestors 'none'; base-uri 'none'; \
     form-action 'none'",
);
/// An asset's name holds a hash of its bytes.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// Everything that is not under `/api`.
pub fn routes() -> Router<AppState> {
    Router::new().route("/", get(page)).route("/assets/{name}", get(asset))
}

async fn page(request: Request) -> Response {
    if let Some(BareBase(base)) = request.extensions().get() {
        // The page names its files beside itself: it has to be in its folder.
        return Redirect::temporary(&format!("{base}/")).into_response();
    }
    let mut response = serve(dashboard::page(), request.headers());
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, PAGE_POLICY);
    response
}

async fn asset(Path(name): Path<String>, headers: HeaderMap, uri: Uri) -> Response {
    let Some(file) = dashboard::asset(&name) else {
        return error::no_route(axum::http::Method::GET, uri).await.into_response();
    };
    let mut response = serve(file, &headers);
    response.headers_mut().insert(header::CACHE_CONTROL, FOR_EVER);
    response
}

fn serve(file: &'static DashboardFile, headers: &HeaderMap) -> Response {
    let kind = HeaderValue::from_static(file.content_type);
    let vary = HeaderValue::from_static("accept-encoding");
    let head = [(header::CONTENT_TYPE, kind), (header::VARY, vary)];
    if takes_gzip(headers) {
        let packed = [(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"))];
        return (StatusCode::OK, head, packed, file.gzip).into_response();
    }
    (StatusCode::OK, head, file.bytes).into_response()
}

/// Whether the client unpacks gzip: it names it, and not with a weight of nothing.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(header::ACCEPT_ENCODING).iter();
    lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = weight.trim().strip_prefix("q=").and_then(|text| text.parse::<f32>().ok());
        name.trim().eq_ignore_ascii_case("gzip") && weight != Some(0.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_goes_to_who_takes_it() {
        let takes = |text: &'static str| {
            takes_gzip(
                &[(header::ACCEPT_ENCODING, HeaderValue::from_static(text))].into_iter().collect(),
            )
        };
        assert!(takes("gzip, deflate, br") && takes("br;q=1.0, GZIP;q=0.5"));
        assert!(!takes("") && !takes("br") && !takes("gzip;q=0") && !takes("xgzip"));
    }
}
