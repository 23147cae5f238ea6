//! Request bodies: read within a limit, parsed, checked against their schema, then typed.
//!
//! A body is read as express reads it: an empty one counts as `{}`, anything but an object of
//! `application/json` is refused. Compressed bodies are refused because the limit could not be held.

use std::time::Duration;

use axum::{
    body::Body as HttpBody,
    extract::{FromRequest, Request, State},
    http::{HeaderMap, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http_body_util::BodyExt as _;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::{
    AppState,
    error::{ApiError, echo},
    schema,
};

/// How much of a refused body is still read and thrown away. A client that is cut off while it writes sees a broken
/// connection instead of the 413.
const DRAIN_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How long that may take.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);

/// Refuses what needs no look into the body, on every route.
pub async fn guard(State(state): State<AppState>, request: Request, next: Next) -> Response {
    if request.uri().to_string().contains("%00") {
        return ApiError::bad_request("The URL contains a NUL character (%00)").into_response();
    }
    if let Err(refused) = check_encoding(request.headers()) {
        return refused.into_response();
    }
    let announced = request.headers().get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let limit = u64::try_from(state.options.body_limit_bytes).unwrap_or(u64::MAX);
    if announced.is_some_and(|length| length > limit) {
        drain(request.into_body()).await;
        return ApiError::too_large().into_response();
    }
    next.run(request).await
}

fn check_encoding(headers: &HeaderMap) -> Result<(), ApiError> {
    for encoding in headers.get_all(header::CONTENT_ENCODING) {
        let encoding = encoding.to_str().unwrap_or("unreadable").trim();
        if !encoding.is_empty() && !encoding.eq_ignore_ascii_case("identity") {
            return Err(unsupported(format!(
                "unsupported content encoding \"{}\"",
                echo(encoding)
            )));
        }
    }
    Ok(())
}

fn unsupported(sentence: String) -> ApiError {
    ApiError::new(axum::http::StatusCode::UNSUPPORTED_MEDIA_TYPE, sentence)
}

/// Reads and forgets, within limits.
pub async fn drain(mut body: HttpBody) {
    let read = async {
        let mut left = DRAIN_BYTES_MAX;
        while let Some(Ok(frame)) = body.frame().await {
            let size = frame.data_ref().map_or(0, |data| data.len());
            let Some(rest) = left.checked_sub(size) else { return };
            left = rest;
        }
    };
    // Past the limit the connection is simply closed.
    let _ = tokio::time::timeout(DRAIN_LIMIT, read).await;
}

/// A JSON object, not checked yet.
pub struct RawBody(Map<String, Value>);

impl FromRequest<AppState> for RawBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let bytes = collect(body, state.options.body_limit_bytes).await?;
        if bytes.is_empty() {
            return Ok(Self(Map::new()));
        }
        check_content_type(&parts.headers)?;
        let value: Value = serde_json::from_slice(&bytes).map_err(|error| {
            ApiError::bad_request(format!("The request body is not valid JSON: {error}"))
        })?;
        if contains_nul(&value) {
            return Err(ApiError::bad_request(
                "The request body contains a NUL character (U+0000)",
            ));
        }
        match value {
            Value::Object(fields) => Ok(Self(fields)),
            _ => Err(ApiError::bad_request("The request body must be a JSON object")),
        }
    }
}

impl RawBody {
    /// A field that is a text.
    pub fn text(&self, field: &str) -> Option<&str> {
        self.0.get(field).and_then(Value::as_str)
    }

    /// Tells this body on this route from others, for idempotent sends.
    pub fn fingerprint(&self, route: &str) -> String {
        domain::idempotency::fingerprint(route, &self.0)
    }

    /// Whether a field is there, null or not.
    pub fn names(&self, field: &str) -> bool {
        self.0.contains_key(field)
    }

    /// Whether a field is there and not null.
    pub fn has(&self, field: &str) -> bool {
        self.0.get(field).is_some_and(|value| !value.is_null())
    }

    /// The body as its type, if the schema of that type takes it.
    ///
    /// # Errors
    /// 400 with everything that is wrong.
    pub fn checked<T: DeserializeOwned + ToSchema>(self) -> Result<T, ApiError> {
        let mut value = Value::Object(self.0);
        let problems = schema::check(&T::name(), &mut value);
        if !problems.is_empty() {
            return Err(ApiError::invalid(problems));
        }
        serde_json::from_value(value).map_err(ApiError::problem)
    }
}

/// A value as its type, if the schema of that type takes it; otherwise everything that is wrong with it.
///
/// # Errors
/// The problems.
pub fn checked<T: DeserializeOwned + ToSchema>(mut value: Value) -> Result<T, Vec<String>> {
    let problems = schema::check(&T::name(), &mut value);
    if !problems.is_empty() {
        return Err(problems);
    }
    serde_json::from_value(value).map_err(|error| vec![error.to_string()])
}

/// A checked body.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned + ToSchema> FromRequest<AppState> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, ApiError> {
        Ok(Self(RawBody::from_request(request, state).await?.checked()?))
    }
}

/// For `Option<Option<T>>` fields: tells `null` (clear) from absent (keep).
pub fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(deserializer).map(Some)
}

/// A whole body, within the limit.
///
/// # Errors
/// 400 when it ends early, 413 when it is longer.
pub async fn collect(mut body: HttpBody, limit: usize) -> Result<Vec<u8>, ApiError> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| ApiError::bad_request("The request body ended early"))?;
        let Some(data) = frame.data_ref() else { continue };
        if bytes.len() + data.len() > limit {
            drop(bytes);
            drain(body).await;
            return Err(ApiError::too_large());
        }
        bytes.extend_from_slice(data);
    }
    Ok(bytes)
}

fn check_content_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let given =
        headers.get(header::CONTENT_TYPE).and_then(|given| given.to_str().ok()).unwrap_or("");
    let mut parts = given.split(';').map(str::trim);
    if !parts.next().is_some_and(|essence| essence.eq_ignore_ascii_case("application/json")) {
        return Err(ApiError::bad_request(
            "The Content-Type of the request must be application/json",
        ));
    }
    for part in parts {
        if let Some((name, charset)) = part.split_once('=')
            && name.trim().eq_ignore_ascii_case("charset")
            && !charset.trim_matches(['"', ' ']).eq_ignore_ascii_case("utf-8")
        {
            return Err(unsupported(format!("unsupported charset \"{}\"", echo(charset))));
        }
    }
    Ok(())
}

fn contains_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(contains_nul),
        Value::Object(fields) => {
            fields.iter().any(|(name, value)| name.contains('\0') || contains_nul(value))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}
