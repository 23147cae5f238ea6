//! Metrics for Prometheus, for callers with a token of their own.

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header, request::Parts},
    response::{IntoResponse as _, Response},
};
use domain::api_key::KeyHash;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{AppState, address::client_ip, error::ApiError};

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(metrics))
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Metrics in Prometheus' text format. Needs `METRICS_TOKEN` as the bearer token; without that setting the route
/// does not exist.
#[utoipa::path(
    get, path = "/api/metrics", operation_id = "metrics", tag = "Health",
    responses(
        (status = 200, description = "The metrics", body = String, content_type = "text/plain; version=0.0.4"),
        (status = 401, description = "A wrong token", body = crate::error::ErrorBody),
        (status = 404, description = "Switched off", body = crate::error::ErrorBody),
        (status = 429, description = "Ten wrong tokens in a minute", body = crate::error::ErrorBody),
    ),
    security(("metrics-bearer" = [])),
)]
async fn metrics(State(state): State<AppState>, parts: Parts) -> Result<Response, ApiError> {
    let Some(token) = &state.options.metrics_token else {
        return Err(ApiError::new(StatusCode::NOT_FOUND, "Cannot GET /api/metrics"));
    };
    let metrics = &state.gateway.metrics;
    let client = client_ip(&parts, &state.options.trusted_proxies);
    // Hashes: how long the comparison takes says nothing about the token.
    let fits = bearer(&parts.headers).map(KeyHash::of) == Some(KeyHash::of(token));
    if !fits {
        // Only wrong tokens are held up: others at the same address must not lock the right one out.
        if let Some(seconds) = metrics.token_wait(client) {
            return Err(ApiError::new(StatusCode::TOO_MANY_REQUESTS, "Too many wrong tokens")
                .with_retry_after(seconds));
        }
        metrics.bad_token(client);
        return Err(ApiError::new(StatusCode::UNAUTHORIZED, "Invalid metrics token"));
    }
    let mut text = metrics.text((state.options.resident_bytes)()).await;
    text.push_str(&state.rates.metrics());
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Ok((kind, text).into_response())
}
