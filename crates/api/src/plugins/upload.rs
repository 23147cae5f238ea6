//! Packages: uploaded, or fetched.

use axum::{
    Json,
    body::Body as HttpBody,
    extract::{FromRequest as _, Multipart, Request, State},
    http::{StatusCode, header},
};
use domain::plugin::PluginId;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{CREATED, Keeper, PluginBody, PluginPath, answer};
use crate::{AppState, body::Body, error::ApiError, incoming::collect};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(install))
        .routes(routes!(install_url))
        .routes(routes!(update))
}

#[derive(ToSchema)]
#[schema(as = InstallPlugin)]
#[expect(dead_code, reason = "describes the body to the OpenAPI document")]
struct Upload {
    /// The package: a zip of at most 5 MiB.
    #[schema(format = Binary, content_media_type = "application/zip")]
    file: String,
}

/// The part `file` of a form, or the whole body when it is a zip.
async fn package(state: &AppState, request: Request) -> Result<Vec<u8>, ApiError> {
    let (parts, body) = request.into_parts();
    let limit = state.options.body_limit_bytes;
    let bytes = collect(&parts.extensions, body, limit, &state.bodies).await?;
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.unwrap_or_default().to_ascii_lowercase();
    if kind.starts_with("application/zip") || kind.starts_with("application/octet-stream") {
        return Ok(bytes.to_vec());
    }
    if !kind.starts_with("multipart/form-data") {
        return Err(ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "A package is sent as multipart/form-data, in the field \"file\", or as application/zip",
        ));
    }
    let broken = |_| ApiError::bad_request("The form is not well-formed");
    let request = Request::from_parts(parts, HttpBody::from(bytes.to_vec()));
    let mut form =
        Multipart::from_request(request, state).await.map_err(|error| broken(error.to_string()))?;
    while let Some(field) = form.next_field().await.map_err(|error| broken(error.to_string()))? {
        if field.name() == Some("file") {
            return Ok(field.bytes().await.map_err(|error| broken(error.to_string()))?.to_vec());
        }
    }
    Err(ApiError::problem("file should not be empty"))
}

/// Installs a package. It is not enabled yet.
#[utoipa::path(
    post, path = "/api/plugins/install", operation_id = "installPlugin", tag = "Plugins",
    request_body(content = Upload, content_type = "multipart/form-data"),
    responses(
        (status = 201, description = "Installed", body = PluginBody),
        (status = 409, description = "It is installed already", body = crate::error::ErrorBody),
    ),
    security(("X-API-Key" = ["admin"])),
)]
async fn install(
    State(state): State<AppState>,
    _: Keeper,
    request: Request,
) -> Result<(StatusCode, Json<PluginBody>), ApiError> {
    let package = package(&state, request).await?;
    let plugin = state.gateway.plugins.install(&package).await?;
    Ok((CREATED, answer(&state, &plugin)))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PluginUrl, example = json!({"url": "https://example.com/faq-bot.zip#sha256=9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}))]
struct PluginUrl {
    /// Where the package lies; `#sha256=` behind it says what it has to be.
    #[schema(min_length = 1, max_length = 2048)]
    url: String,
}

/// Fetches a package and installs it. It is not enabled yet.
#[utoipa::path(
    post, path = "/api/plugins/install-url", operation_id = "installPluginFromUrl", tag = "Plugins",
    request_body = PluginUrl,
    responses(
        (status = 201, description = "Installed", body = PluginBody),
        (status = 409, description = "It is installed already", body = crate::error::ErrorBody),
    ),
    security(("X-API-Key" = ["admin"])),
)]
async fn install_url(
    State(state): State<AppState>,
    _: Keeper,
    Body(new): Body<PluginUrl>,
) -> Result<(StatusCode, Json<PluginBody>), ApiError> {
    let package = state.gateway.plugins.fetch_package(&new.url).await?;
    let plugin = state.gateway.plugins.install(&package).await?;
    Ok((CREATED, answer(&state, &plugin)))
}

/// Puts another version in the place of an installed plugin: fetched, or uploaded as for an installation.
#[utoipa::path(
    post, path = "/api/plugins/{id}/update", operation_id = "updatePlugin", tag = "Plugins", params(PluginPath),
    request_body = PluginUrl,
    responses((status = 201, description = "Updated", body = PluginBody)),
    security(("X-API-Key" = ["admin"])),
)]
async fn update(
    State(state): State<AppState>,
    caller: Keeper,
    request: Request,
) -> Result<(StatusCode, Json<PluginBody>), ApiError> {
    let id: PluginId = caller.id("id")?;
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let is_json = kind.is_none_or(|kind| kind.to_ascii_lowercase().contains("json"));
    let package = match is_json {
        true => {
            let Body(new) = Body::<PluginUrl>::from_request(request, &state).await?;
            state.gateway.plugins.fetch_package(&new.url).await?
        }
        false => package(&state, request).await?,
    };
    let plugin = state.gateway.plugins.update(&id, &package).await?;
    Ok((CREATED, answer(&state, &plugin)))
}
