//! What one does with contacts: block, save in the address book, and the reverse.

use axum::{Json, extract::State};
use domain::{ChatId, chat::ContactName};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{ContactPath, person};
use crate::{
    AppState,
    access::{ExistingSession, InChat, OnSession, Operator, Viewer},
    body::Body,
    error::ApiError,
    people::{Acknowledged, ActionAnswers, visible},
    sessions::SessionPath,
};

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(blocked))
        .routes(routes!(block, unblock))
        .routes(routes!(save, remove))
}

/// A name for the address book.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = SaveContact, example = json!({"firstName": "Mia", "lastName": "Baker"}))]
struct SaveContactBody {
    #[schema(min_length = 1, max_length = 100, format = "visible")]
    first_name: String,
    #[schema(max_length = 100)]
    last_name: Option<String>,
}

/// Nothing needs to be said.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = EmptyObject, example = json!({}))]
struct EmptyObjectBody {}

/// Lists the ids of everybody whom the account blocks, as WhatsApp says now.
#[utoipa::path(
    get, path = "/api/sessions/{sessionId}/contacts/blocked", operation_id = "listBlockedContacts", tag = "Contacts",
    params(SessionPath),
    responses(
        (status = 200, description = "Ids; for a key that is limited to chats, only those", body = [String]),
        (status = 409, description = "The session is not ready; try again later", body = crate::error::ErrorBody),
        (status = 503, description = "WhatsApp did not answer", body = crate::error::ErrorBody),
    ),
    security(("X-API-Key" = ["viewer", "chat"])),
)]
async fn blocked(
    State(state): State<AppState>,
    on: ExistingSession<InChat<Viewer>>,
) -> Result<Json<Vec<String>>, ApiError> {
    let sees = visible(&on.caller);
    let blocked = state.gateway.people.blocked(on.session).await?;
    let shown = |id: &ChatId| sees.as_ref().is_none_or(|sees| sees(id));
    Ok(Json(blocked.into_iter().filter(shown).map(String::from).collect()))
}

/// Blocks a person.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/contacts/{contactId}/block", operation_id = "blockContact",
    tag = "Contacts",
    params(ContactPath), request_body = EmptyObjectBody, responses(ActionAnswers),
    security(("X-API-Key" = ["operator", "chat"])),
)]
async fn block(
    State(state): State<AppState>,
    on: OnSession<InChat<Operator>>,
    Body(_body): Body<EmptyObjectBody>,
) -> Result<Json<Acknowledged>, ApiError> {
    let id = person(&state, &on).await?;
    state.gateway.people.set_blocked(on.session, &id, true).await?;
    Ok(Acknowledged::that("Contact blocked"))
}

/// Lets a person in again.
#[utoipa::path(
    delete, path = "/api/sessions/{sessionId}/contacts/{contactId}/block", operation_id = "unblockContact",
    tag = "Contacts",
    params(ContactPath), responses(ActionAnswers),
    security(("X-API-Key" = ["operator", "chat"])),
)]
async fn unblock(
    State(state): State<AppState>,
    on: OnSession<InChat<Operator>>,
) -> Result<Json<Acknowledged>, ApiError> {
    let id = person(&state, &on).await?;
    state.gateway.people.set_blocked(on.session, &id, false).await?;
    Ok(Acknowledged::that("Contact unblocked"))
}

/// Saves a person in the account's address book, on all its devices, or renames them there.
#[utoipa::path(
    put, path = "/api/sessions/{sessionId}/contacts/{contactId}", operation_id = "saveContact", tag = "Contacts",
    params(ContactPath), request_body = SaveContactBody, responses(ActionAnswers),
    security(("X-API-Key" = ["operator", "chat"])),
)]
async fn save(
    State(state): State<AppState>,
    on: OnSession<InChat<Operator>>,
    Body(name): Body<SaveContactBody>,
) -> Result<Json<Acknowledged>, ApiError> {
    let id = numbered(person(&state, &on).await?)?;
    let name = ContactName { first: name.first_name, last: name.last_name };
    state.gateway.people.save(on.session, &id, &name).await?;
    Ok(Acknowledged::that("Contact saved"))
}

/// Takes a person out of the account's address book, on all its devices. Nothing that was said is deleted.
#[utoipa::path(
    delete, path = "/api/sessions/{sessionId}/contacts/{contactId}", operation_id = "deleteContact", tag = "Contacts",
    params(ContactPath), responses(ActionAnswers),
    security(("X-API-Key" = ["operator", "chat"])),
)]
async fn remove(
    State(state): State<AppState>,
    on: OnSession<InChat<Operator>>,
) -> Result<Json<Acknowledged>, ApiError> {
    let id = person(&state, &on).await?;
    state.gateway.people.remove(on.session, &id).await?;
    Ok(Acknowledged::that("Contact deleted"))
}

/// The address book has numbers only.
fn numbered(id: ChatId) -> Result<ChatId, ApiError> {
    match id.is_lid() {
        true => Err(ApiError::problem(
            "contactId must look like <phone>@c.us: only numbers can be saved",
        )),
        false => Ok(id),
    }
}
