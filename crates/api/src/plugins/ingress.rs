//! The calls of providers. They bring no key: each is signed with its instance's secret.

use std::collections::BTreeMap;

use axum::{
    extract::{Path, Request, State},
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use domain::plugin::ingress::Ack;
use gateway::plugins::{IngressAnswer, IngressRefusal, ReceivedCall};
use url::form_urlencoded;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{AppState, body::limit, error::ApiError, incoming::collect};

/// When a provider that found no room may come back.
const RETRY_SECONDS: u64 = 30;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(take_get, take_post, take_put, take_patch, take_delete))
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes the path to the OpenAPI document")]
struct IngressPath {
    /// The id of the plugin.
    #[param(rename = "pluginId", example = "chatwoot-adapter")]
    plugin_id: String,
    /// The id of the instance.
    #[param(rename = "instanceId", example = "shop")]
    instance_id: String,
    /// One of the plugin's routes.
    #[param(example = "chatwoot")]
    path: String,
}

macro_rules! take {
    ($name:ident, $method:ident, $id:literal) => {
        /// Takes a signed call of a provider: it is stored, answered, and handed to the plugin afterwards.
        #[utoipa::path(
            $method, path = "/api/ingress/{pluginId}/{instanceId}/{path}", operation_id = $id, tag = "Ingress",
            params(IngressPath),
            responses(
                (status = 202, description = "Stored, now or before"),
                (status = 200, description = "The echo of a challenge, or the answer that the route has"),
                (status = 404, description = "No such route, or not enabled", body = crate::error::ErrorBody),
                (status = 409, description = "The delivery id was used for another body", body = crate::error::ErrorBody),
            ),
            security(()),
        )]
        async fn $name(
            state: State<AppState>,
            path: Path<(String, String, String)>,
            request: Request,
        ) -> Result<Response, ApiError> {
            take(state, path, request).await
        }
    };
}

take!(take_get, get, "ingressGet");
take!(take_post, post, "ingressPost");
take!(take_put, put, "ingressPut");
take!(take_patch, patch, "ingressPatch");
take!(take_delete, delete, "ingressDelete");

async fn take(
    State(state): State<AppState>,
    Path((plugin, instance, route)): Path<(String, String, String)>,
    request: Request,
) -> Result<Response, ApiError> {
    let not_found = || ApiError::new(StatusCode::NOT_FOUND, IngressRefusal::NotFound.to_string());
    let plugin = plugin.parse().map_err(|_| not_found())?;
    let (parts, body) = request.into_parts();
    let bytes =
        collect(&parts.extensions, body, limit(&parts.extensions, &state.options), &state.bodies)
            .await?;
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.unwrap_or_default().to_ascii_lowercase();
    if !bytes.is_empty()
        && !kind.contains("json")
        && !kind.starts_with("application/x-www-form-urlencoded")
    {
        return Err(ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "The body must be JSON or a form",
        ));
    }
    let headers = parts.headers.iter().map(|(name, value)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    });
    let query = parts.uri.query().unwrap_or_default();
    let query = form_urlencoded::parse(query.as_bytes()).into_owned();
    let call = ReceivedCall {
        method: parts.method.as_str().to_owned(),
        headers: headers.collect(),
        query: query.collect::<BTreeMap<_, _>>(),
        body: bytes.to_vec(),
    };
    match state.gateway.plugins.receive(&plugin, (&instance, &route), call).await? {
        // As plain text: what a stranger sends is never a page of this address.
        IngressAnswer::Challenge(echo) => {
            Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], echo).into_response())
        }
        IngressAnswer::Taken(None) => Ok(StatusCode::ACCEPTED.into_response()),
        IngressAnswer::Taken(Some(ack)) => Ok(acknowledged(ack)),
    }
}

fn acknowledged(ack: Ack) -> Response {
    let mut response = ack.body.into_response();
    *response.status_mut() = StatusCode::from_u16(ack.status).unwrap_or(StatusCode::OK);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    for (name, value) in ack.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("sandbox; default-src 'none'"),
    );
    response
}

impl From<IngressRefusal> for ApiError {
    fn from(refusal: IngressRefusal) -> Self {
        let text = refusal.to_string();
        let says = |status| Self::new(status, text);
        match refusal {
            IngressRefusal::Store(error) => Self::store(error),
            IngressRefusal::NotFound => says(StatusCode::NOT_FOUND),
            IngressRefusal::Unauthorized(_) => says(StatusCode::UNAUTHORIZED),
            IngressRefusal::Forbidden(_) => says(StatusCode::FORBIDDEN),
            IngressRefusal::OtherBody => says(StatusCode::CONFLICT),
            IngressRefusal::TooLarge => Self::too_large(),
            IngressRefusal::NotText => says(StatusCode::BAD_REQUEST),
            IngressRefusal::Full | IngressRefusal::NoSession => {
                says(StatusCode::SERVICE_UNAVAILABLE).with_retry(RETRY_SECONDS)
            }
        }
    }
}
