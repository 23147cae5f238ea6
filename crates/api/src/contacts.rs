//! Contacts: the account's people, and who has a number.

mod actions;
mod pictures;

use axum::{Json, extract::State, http::StatusCode};
use domain::{ChatId, chat::Contact, phone};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    AppState,
    access::{ExistingChat, ExistingSession, InChat, OnSession, Operator, Viewer},
    error::{ApiError, echo},
    home,
    people::{PageQuery, visible},
    query::Query,
    sessions::SessionPath,
};

pub fn routes() -> OpenApiRouter<AppState> {
    // Literal segments win over `{contactId}`.
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(check))
        .routes(routes!(get))
        .routes(routes!(phone))
        .routes(routes!(erase))
        .merge(actions::routes())
        .merge(pictures::routes())
}

/// A person whom the account knows.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Contact, example = json!({
    "id": "49170111@c.us", "number": "49170111", "isMyContact": true, "isBlocked": false, "name": "Mia Baker",
    "pushName": "Mia", "lid": "99887766@lid"
}))]
struct ContactBody {
    id: String,
    /// The phone number; empty when only the privacy id is known.
    number: String,
    /// In the account's address book.
    is_my_contact: bool,
    is_blocked: bool,
    /// As saved in the address book.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// As they call themselves.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    push_name: Option<String>,
    /// The privacy id, when known. An addition to OpenWA.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    lid: Option<String>,
}

impl From<Contact> for ContactBody {
    fn from(contact: Contact) -> Self {
        Self {
            id: contact.id.to_string(),
            number: contact.phone.map(|phone| phone.to_string()).unwrap_or_default(),
            is_my_contact: contact.name.is_some(),
            is_blocked: contact.blocked,
            name: contact.name,
            push_name: contact.push_name,
            lid: contact.lid.map(String::from),
        }
    }
}

/// Whether somebody has a number.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = NumberCheck, example = json!({"number": "5511987654321", "exists": true, "whatsappId": "551187654321@c.us"}))]
struct CheckBody {
    /// As it was asked for.
    number: String,
    exists: bool,
    /// The registered id, which may be spelled differently (a ninth digit, for instance).
    #[schema(required)]
    whatsapp_id: Option<String>,
}

/// The number of a person.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ContactPhone, example = json!({"contactId": "99887766@lid", "phone": "49170111"}))]
struct PhoneBody {
    contact_id: String,
    /// `null` when it is not known.
    #[schema(required)]
    phone: Option<String>,
}

/// What was stored about a person and is gone.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Erased, example = json!({
    "contactId": "49170111@c.us", "messages": 214, "chats": 1, "contacts": 1, "identities": 1, "heldChanges": 0
}))]
struct ErasedBody {
    contact_id: String,
    /// Messages of their chat and those they wrote elsewhere, with their files.
    messages: u64,
    chats: u64,
    contacts: u64,
    /// Privacy ids that belonged to the person.
    identities: u64,
    /// Changes and acks that waited for a message of theirs.
    held_changes: u64,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes the path to the OpenAPI document")]
struct ContactPath {
    /// The id of the session.
    #[param(rename = "sessionId", example = "3b0c6f52-0c1e-4a77-9d0e-5a1f2b3c4d5e")]
    session_id: String,
    /// The person, as it is or percent-encoded.
    #[param(rename = "contactId", example = "49170111@c.us")]
    contact_id: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes the path to the OpenAPI document")]
struct NumberPath {
    /// The id of the session.
    #[param(rename = "sessionId", example = "3b0c6f52-0c1e-4a77-9d0e-5a1f2b3c4d5e")]
    session_id: String,
    /// A phone number as people write it.
    #[param(rename = "number", example = "49170111")]
    number: String,
}

/// Lists the people whom the account knows.
#[utoipa::path(
    get, path = "/api/sessions/{sessionId}/contacts", operation_id = "listContacts", tag = "Contacts",
    params(SessionPath, PageQuery),
    responses((status = 200, description = "People; for a key that is limited to chats, only those", body = [ContactBody])),
    security(("X-API-Key" = ["viewer", "chat"])),
)]
async fn list(
    State(state): State<AppState>,
    on: ExistingSession<InChat<Viewer>>,
    query: Query,
) -> Result<Json<Vec<ContactBody>>, ApiError> {
    let sees = visible(&on.caller);
    let people = &state.gateway.people;
    let contacts = people.contacts(on.session, query.page(), sees.as_deref()).await?;
    Ok(Json(contacts.into_iter().map(ContactBody::from).collect()))
}

/// Asks WhatsApp whether somebody has a number, and under which id.
#[utoipa::path(
    get, path = "/api/sessions/{sessionId}/contacts/check/{number}", operation_id = "checkNumber", tag = "Contacts",
    params(NumberPath),
    responses(
        (status = 200, description = "What WhatsApp says", body = CheckBody),
        (status = 400, description = "Not a phone number, or the session is not started", body = crate::error::ErrorBody),
        (status = 409, description = "The session is not ready; try again later", body = crate::error::ErrorBody),
        (status = 503, description = "WhatsApp did not answer", body = crate::error::ErrorBody),
    ),
    security(("X-API-Key" = ["operator"])),
)]
async fn check(
    State(state): State<AppState>,
    on: OnSession<Operator>,
) -> Result<Json<CheckBody>, ApiError> {
    let home = home::of_session(&state, on.session).await?.default_country;
    let number = phone::read_in(on.caller.text("number"), home);
    let number = number.map_err(|why| ApiError::problem(format!("number {why}")))?;
    let found = state.gateway.people.check(on.session, &number).await?;
    Ok(Json(CheckBody {
        number: number.to_string(),
        exists: found.registered.is_some(),
        whatsapp_id: found.registered.map(String::from),
    }))
}

/// Reads what is known about one person.
#[utoipa::path(
    get, path = "/api/sessions/{sessionId}/contacts/{contactId}", operation_id = "getContact", tag = "Contacts",
    params(ContactPath),
    responses((status = 200, description = "The person", body = ContactBody)),
    security(("X-API-Key" = ["viewer", "chat"])),
)]
async fn get(
    State(state): State<AppState>,
    on: ExistingChat<Viewer>,
) -> Result<Json<ContactBody>, ApiError> {
    let unknown = || {
        let text = echo(on.caller.text("contactId"));
        ApiError::new(StatusCode::NOT_FOUND, format!("Contact {text} not found"))
    };
    let id = on.chat.as_ref().ok_or_else(unknown)?;
    let found = state.gateway.people.contact(on.session, id).await?;
    Ok(Json(found.ok_or_else(unknown)?.into()))
}

/// The person of the path, in a session that exists.
async fn person<A>(state: &AppState, on: &OnSession<InChat<A>>) -> Result<ChatId, ApiError> {
    let id = on.caller.chat_of_path("contactId")?;
    let id = id.filter(|id| matches!(id.server(), "c.us" | "lid"));
    let id =
        id.ok_or_else(|| ApiError::problem("contactId must look like <phone>@c.us or <id>@lid"))?;
    on.view(state).await?;
    Ok(id)
}

/// Reads a person's phone number, also for a privacy id whose number is known.
#[utoipa::path(
    get, path = "/api/sessions/{sessionId}/contacts/{contactId}/phone", operation_id = "getContactPhone", tag = "Contacts",
    params(ContactPath),
    responses(
        (status = 200, description = "The number, or null", body = PhoneBody),
        (status = 400, description = "Not the id of a person", body = crate::error::ErrorBody),
    ),
    security(("X-API-Key" = ["viewer", "chat"])),
)]
async fn phone(
    State(state): State<AppState>,
    on: OnSession<InChat<Viewer>>,
) -> Result<Json<PhoneBody>, ApiError> {
    let id = person(&state, &on).await?;
    let phone = state.gateway.people.phone_of(on.session, &id).await?;
    Ok(Json(PhoneBody { contact_id: id.to_string(), phone: phone.map(|phone| phone.to_string()) }))
}

/// Erases what is stored about a person, under their number and their privacy ids. An addition to OpenWA.
#[utoipa::path(
    delete, path = "/api/sessions/{sessionId}/contacts/{contactId}/data", operation_id = "eraseContact", tag = "Contacts",
    params(ContactPath),
    responses(
        (status = 200, description = "What is gone; zeros when nothing was stored", body = ErasedBody),
        (status = 400, description = "Not the id of a person", body = crate::error::ErrorBody),
    ),
    security(("X-API-Key" = ["operator", "chat"])),
)]
async fn erase(
    State(state): State<AppState>,
    on: OnSession<InChat<Operator>>,
) -> Result<Json<ErasedBody>, ApiError> {
    let id = person(&state, &on).await?;
    let gone = state.gateway.people.erase(on.session, &id).await?;
    Ok(Json(ErasedBody {
        contact_id: id.to_string(),
        messages: gone.messages,
        chats: gone.chats,
        contacts: gone.contacts,
        identities: gone.identities,
        held_changes: gone.held,
    }))
}
