//! What happens around every request: an id, a span, one log line, the error's body, safe headers.
//!
//! The log names the route's pattern, never the path: chat ids, and so phone numbers, stand in paths and queries.

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, header},
    middleware::Next,
    response::Response,
};
use domain::trace::SPANS;
use tower_http::request_id::{MakeRequestId as _, MakeRequestUuid};
use tracing::{Instrument as _, Span};

use crate::{AppState, error};

/// Longest request id that is taken from a caller, in characters.
const REQUEST_ID_CHARS_MAX: usize = 128;
/// The header of the request's id, both ways.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// What is scraped all the time.
const METRICS: &str = "/api/metrics";
/// Who may show an answer in a page.
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
/// Nothing may be loaded because of an API answer.
const NOTHING: HeaderValue =
    HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; base-uri 'none'");

/// Gives the request an id and a span, and its answer the id and, if it is an error, its body.
pub async fn observe(State(state): State<AppState>, mut request: Request, next: Next) -> Response {
    let id = request_id(&request);
    // Another process that the request is handed to calls it the same.
    request.headers_mut().insert(REQUEST_ID, id.clone());
    let id_text = id.to_str().unwrap_or_default().to_owned();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("", MatchedPath::as_str);
    // What comes so often that it would drown the rest.
    let often = ["/api/infra/health", crate::sockets::PATH].contains(&route);
    let probe = often || route.starts_with("/api/health");
    let traced = if probe || route == METRICS { Span::none() } else { traced(&request, route) };
    // A part of the other: what belongs to the request is found from both.
    let span = traced.in_scope(
        || tracing::info_span!("http", method = %request.method(), route, request.id = %id_text),
    );
    let at_end = traced.clone();
    let work = async {
        let started = tokio::time::Instant::now();
        let response = next.run(request).await;
        let mut response = error::present(response, &id_text, state.options.validation_detail);
        response.headers_mut().insert(REQUEST_ID, id);
        let status = response.status().as_u16();
        at_end.record("status", status);
        let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        if probe {
            tracing::debug!(status, duration_ms, "answered");
        } else {
            tracing::info!(status, duration_ms, "answered");
        }
        response
    };
    work.instrument(span).instrument(traced).await
}

/// The request in a trace: the caller's, or one of its own. Its path is left out, as in the log; and its id, which the
/// caller may have chosen.
fn traced(request: &Request, route: &str) -> Span {
    let headers = request.headers();
    tracing::info_span!(
        target: SPANS,
        "http",
        method = %request.method(),
        route,
        traceparent = single(headers, "traceparent"),
        tracestate = single(headers, "tracestate"),
        status = tracing::field::Empty,
    )
}

/// The value of a header that came once.
fn single<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())?.to_str().ok()
}

/// The caller's id for the request if it is a plain word, else a fresh one.
fn request_id(request: &Request) -> HeaderValue {
    let plain = |text: &str| {
        (1..=REQUEST_ID_CHARS_MAX).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_graphic())
    };
    let given = request.headers().get(REQUEST_ID).filter(|id| id.to_str().is_ok_and(plain));
    given.cloned().unwrap_or_else(|| {
        let fresh = MakeRequestUuid.make_request_id(request);
        fresh.map_or_else(|| HeaderValue::from_static("none"), |id| id.into_header_value())
    })
}

/// Headers that keep browsers from doing anything clever with an answer. Pages set their own rules first.
pub async fn harden(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    set(headers, header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    set(headers, header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    set(headers, header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    set(headers, header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    set(headers, header::CONTENT_SECURITY_POLICY, NOTHING);
    // A page of another port of this host has the browser send the cookie along: it gets nothing that it could show.
    set(headers, RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
    response
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) {
    headers.entry(name).or_insert(value);
}
