//! Pictures of people and groups, and the privacy id of a number.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use domain::{ChatId, ChatKind, phone};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::ContactPath;
use crate::{
    AppState,
    access::{InChat, OnSession, Operator, Viewer},
    error::{ApiError, ErrorBody},
    home,
    query::Query,
    sessions::SessionPath,
};

/// Most pictures that are asked for at once (OpenWA's).
const PICTURES_MAX: usize = 50;

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(pictures)).routes(routes!(picture)).routes(routes!(lid))
}

/// Where a picture is.
#[derive(Serialize, ToSchema)]
#[schema(as = ProfilePicture, example = json!({"url": "https://pps.whatsapp.net/v/t61/picture.jpg"}))]
struct PictureBody {
    /// An address at WhatsApp that works for a while; `null` when there is none, or not for this account.
    #[schema(required)]
    url: Option<String>,
}

/// Where several pictures are.
#[derive(Serialize, ToSchema)]
#[schema(as = ProfilePictures, example = json!({
    "pictures": {"49170111@c.us": "https://pps.whatsapp.net/v/t61/picture.jpg"}
}))]
struct PicturesBody {
    /// By the ids that were asked for; `null` when there is none, or not for this account.
    pictures: BTreeMap<String, Option<String>>,
}

/// The privacy id of a number.
#[derive(Serialize, ToSchema)]
#[schema(as = NumberLid, example = json!({"number": "49170111", "lid": "99887766@lid"}))]
struct NumberLidBody {
    /// As it was read, digits only.
    number: String,
    /// `null` when WhatsApp tells none.
    #[schema(required)]
    lid: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query to the OpenAPI document")]
struct PicturesQuery {
    /// People or groups, at most 50, with commas between them.
    #[param(example = "49170111@c.us,49170222@c.us")]
    ids: String,
}

/// Reads where the pictures of several people or groups are.
#[utoipa::path(
    get, path = "/api/sessions/{sessionId}/contacts/profile-pictures", operation_id = "listProfilePictures",
    tag = "Contacts",
    params(SessionPath, PicturesQuery),
    responses(
        (status = 200, description = "Addresses, by id", body = PicturesBody),
        (status = 400, description = "No ids, too many, or one that is none; or session not started", body = ErrorBody),
        (status = 409, description = "The session is not ready; try again later", body = ErrorBody),
        (status = 503, description = "WhatsApp did not answer", body = ErrorBody),
    ),
    security(("X-API-Key" = ["viewer", "chat"])),
)]
async fn pictures(
    State(state): State<AppState>,
    on: OnSession<InChat<Viewer>>,
    query: Query,
) -> Result<Json<PicturesBody>, ApiError> {
    let text = query.one("ids").map_err(|_| ApiError::problem("ids must be given once"))?;
    let texts: Vec<&str> =
        text.unwrap_or("").split(',').map(str::trim).filter(|id| !id.is_empty()).collect();
    if texts.is_empty() {
        return Err(ApiError::problem("ids should not be empty"));
    }
    if texts.len() > PICTURES_MAX {
        let sentence = format!("ids must contain no more than {PICTURES_MAX} elements");
        return Err(ApiError::problem(sentence));
    }
    let mut ids = Vec::with_capacity(texts.len());
    for text in &texts {
        let id = pictured(text.parse().ok());
        on.caller.check_chat_filter(Some(*text))?;
        ids.push(id.ok_or_else(|| wrong("each value in ids"))?);
    }
    on.view(&state).await?;
    let urls = state.gateway.people.pictures(on.session, &ids).await?;
    let pictures = texts.into_iter().map(str::to_owned).zip(urls).collect();
    Ok(Json(PicturesBody { pictures }))
}

/// Reads where the picture of a person or a group is.
#[utoipa::path(
    get, path = "/api/sessions/{sessionId}/contacts/{contactId}/profile-picture", operation_id = "getProfilePicture",
    tag = "Contacts",
    params(ContactPath),
    responses(
        (status = 200, description = "The address, or null", body = PictureBody),
        (status = 400, description = "Not a person or a group, or the session is not started", body = ErrorBody),
        (status = 409, description = "The session is not ready; try again later", body = ErrorBody),
        (status = 503, description = "WhatsApp did not answer", body = ErrorBody),
    ),
    security(("X-API-Key" = ["viewer", "chat"])),
)]
async fn picture(
    State(state): State<AppState>,
    on: OnSession<InChat<Viewer>>,
) -> Result<Json<PictureBody>, ApiError> {
    let id = pictured(on.caller.chat_of_path("contactId")?).ok_or_else(|| wrong("contactId"))?;
    on.view(&state).await?;
    let url = state.gateway.people.picture(on.session, &id).await?;
    Ok(Json(PictureBody { url }))
}

/// Reads the privacy id of a number. WhatsApp is asked where it is not known; no message is sent.
#[utoipa::path(
    get, path = "/api/sessions/{sessionId}/contacts/{contactId}/lid", operation_id = "getContactLid", tag = "Contacts",
    params(ContactPath),
    responses(
        (status = 200, description = "The id, or null", body = NumberLidBody),
        (status = 400, description = "Not a phone number, or the session is not started", body = ErrorBody),
        (status = 409, description = "The session is not ready; try again later", body = ErrorBody),
        (status = 503, description = "WhatsApp did not answer", body = ErrorBody),
    ),
    security(("X-API-Key" = ["operator", "chat"])),
)]
async fn lid(
    State(state): State<AppState>,
    on: OnSession<InChat<Operator>>,
) -> Result<Json<NumberLidBody>, ApiError> {
    let id = on.caller.chat_of_path("contactId")?;
    let number = match id.and_then(|id| id.phone()) {
        Some(number) => number,
        None => {
            let home = home::of_session(&state, on.session).await?.default_country;
            let number = phone::read_in(on.caller.text("contactId"), home);
            number.map_err(|why| ApiError::problem(format!("contactId {why}")))?
        }
    };
    on.view(&state).await?;
    let lid = state.gateway.people.lid_of(on.session, &number).await?;
    Ok(Json(NumberLidBody { number: number.to_string(), lid: lid.map(String::from) }))
}

/// An id that can have a picture.
fn pictured(id: Option<ChatId>) -> Option<ChatId> {
    id.filter(|id| matches!(id.kind(), ChatKind::Individual | ChatKind::Group))
}

fn wrong(subject: &str) -> ApiError {
    ApiError::problem(format!("{subject} must look like <phone>@c.us, <id>@lid or <id>@g.us"))
}
