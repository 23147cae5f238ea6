//! The account's own profile: name, about text, picture.

use axum::{Json, extract::State};
use gateway::people::PictureInput;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    AppState,
    access::{OnSession, Operator},
    body::Body,
    error::{ApiError, ErrorBody},
    people::{Acknowledged, ActionAnswers},
    sessions::SessionPath,
};

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(set_name))
        .routes(routes!(set_status))
        .routes(routes!(set_picture, remove_picture))
}

/// The name that others see in the account's messages.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SetProfileName, example = json!({"name": "Corner Bakery"}))]
struct ProfileNameBody {
    #[schema(min_length = 1, max_length = 25, format = "visible")]
    name: String,
}

/// The text under the name.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SetProfileStatus, example = json!({"status": "Fresh bread from six"}))]
struct ProfileStatusBody {
    /// An empty one takes it away.
    #[schema(max_length = 139)]
    status: String,
}

/// A picture: from a URL or as base64.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SetProfilePicture, example = json!({"url": "https://shop.example/logo.png"}))]
struct ProfilePictureBody {
    /// Fetched by this server; http or https, not in a private network. This or `base64`.
    #[schema(min_length = 1, max_length = 2048, format = "uri")]
    url: Option<String>,
    /// The picture itself; wins over `url`. A `data:` prefix is fine.
    #[schema(min_length = 1)]
    base64: Option<String>,
    /// The picture's type, `image/…`; needed with `base64`.
    #[schema(min_length = 1, max_length = 255, format = "media-type")]
    mimetype: Option<String>,
}

/// Changes the name that others see in the account's messages.
#[utoipa::path(
    put, path = "/api/sessions/{sessionId}/profile/name", operation_id = "setProfileName", tag = "Profile",
    params(SessionPath), request_body = ProfileNameBody, responses(ActionAnswers),
    security(("X-API-Key" = ["operator"])),
)]
async fn set_name(
    State(state): State<AppState>,
    on: OnSession<Operator>,
    Body(body): Body<ProfileNameBody>,
) -> Result<Json<Acknowledged>, ApiError> {
    on.view(&state).await?;
    state.gateway.people.rename(on.session, body.name).await?;
    Ok(Acknowledged::that("Profile name updated"))
}

/// Changes the text under the account's name.
#[utoipa::path(
    put, path = "/api/sessions/{sessionId}/profile/status", operation_id = "setProfileStatus", tag = "Profile",
    params(SessionPath), request_body = ProfileStatusBody, responses(ActionAnswers),
    security(("X-API-Key" = ["operator"])),
)]
async fn set_status(
    State(state): State<AppState>,
    on: OnSession<Operator>,
    Body(body): Body<ProfileStatusBody>,
) -> Result<Json<Acknowledged>, ApiError> {
    on.view(&state).await?;
    state.gateway.people.set_about(on.session, body.status).await?;
    Ok(Acknowledged::that("Profile status updated"))
}

/// Puts a picture into the account's profile: its middle, as a square JPEG of at most 640 pixels.
#[utoipa::path(
    put, path = "/api/sessions/{sessionId}/profile/picture", operation_id = "setProfilePicture", tag = "Profile",
    params(SessionPath), request_body = ProfilePictureBody,
    responses(ActionAnswers, (status = 413, description = "The body or the picture is too large", body = ErrorBody)),
    security(("X-API-Key" = ["operator"])),
)]
async fn set_picture(
    State(state): State<AppState>,
    on: OnSession<Operator>,
    Body(body): Body<ProfilePictureBody>,
) -> Result<Json<Acknowledged>, ApiError> {
    let picture = given(body)?;
    on.view(&state).await?;
    state.gateway.people.set_picture(on.session, picture).await?;
    Ok(Acknowledged::that("Profile picture updated"))
}

fn given(body: ProfilePictureBody) -> Result<PictureInput, ApiError> {
    let is_picture = |kind: &String| kind.to_ascii_lowercase().starts_with("image/");
    if body.mimetype.as_ref().is_some_and(|kind| !is_picture(kind)) {
        return Err(ApiError::problem("mimetype must be the type of a picture, like image/jpeg"));
    }
    match (body.base64, body.url) {
        (Some(_), _) if body.mimetype.is_none() => Err(ApiError::invalid(vec![
            "mimetype should not be empty".to_owned(),
            "mimetype must be a string".to_owned(),
        ])),
        (Some(base64), _) => Ok(PictureInput::Base64(base64)),
        (None, Some(url)) => Ok(PictureInput::Url(url)),
        (None, None) => Err(ApiError::problem("url or base64 must be given")),
    }
}

/// Takes the picture out of the account's profile.
#[utoipa::path(
    delete, path = "/api/sessions/{sessionId}/profile/picture", operation_id = "removeProfilePicture", tag = "Profile",
    params(SessionPath), responses(ActionAnswers),
    security(("X-API-Key" = ["operator"])),
)]
async fn remove_picture(
    State(state): State<AppState>,
    on: OnSession<Operator>,
) -> Result<Json<Acknowledged>, ApiError> {
    on.view(&state).await?;
    state.gateway.people.remove_picture(on.session).await?;
    Ok(Acknowledged::that("Profile picture removed"))
}
