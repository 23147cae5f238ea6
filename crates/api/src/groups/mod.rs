//! Groups: what they look like here, members in [`members`], settings, pictures and invites in [`settings`].

mod members;
mod settings;
mod view;

use axum::{Json, extract::State, http::StatusCode};
use domain::{ChatId, port::GroupJoined};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, IntoResponses, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    AppState,
    access::{ExistingSession, InChat, OnSession, Operator, Viewer},
    body::Body,
    error::{ApiError, ErrorBody, echo},
    people::{PageQuery, visible},
    query::Query,
    sessions::SessionPath,
    words::ParticipantText,
};
use view::{GroupInfo, GroupInvite, GroupMade, GroupSummary};

pub fn routes() -> OpenApiRouter<AppState> {
    // Literal segments win over `{groupId}`.
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(join_info))
        .routes(routes!(join))
        .routes(routes!(get))
        .routes(routes!(leave))
        .merge(members::routes())
        .merge(settings::routes())
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes the path to the OpenAPI document")]
struct GroupPath {
    /// The id of the session.
    #[param(rename = "sessionId", example = "3b0c6f52-0c1e-4a77-9d0e-5a1f2b3c4d5e")]
    session_id: String,
    /// The group, as it is or percent-encoded.
    #[param(rename = "groupId", example = "120363041234567890@g.us")]
    group_id: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query to the OpenAPI document")]
struct InviteQuery {
    /// The code of an invite link, or the link.
    #[param(example = "AbCdEfGhIjK")]
    code: String,
}

/// What a change or a question about a group may answer but success.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes the answers to the OpenAPI document")]
enum GroupRefusals {
    #[response(status = 400, description = "A wrong body, or the session is not started")]
    Wrong(ErrorBody),
    #[response(
        status = 403,
        description = "WhatsApp refused, for instance because one has to be an admin"
    )]
    Refused(ErrorBody),
    #[response(status = 404, description = "No such session, or the account is in no such group")]
    Unknown(ErrorBody),
    #[response(status = 409, description = "The session is not ready; try again later")]
    NotReady(ErrorBody),
    #[response(status = 429, description = "Too much at once, or too many new people")]
    TooMany(ErrorBody),
    #[response(
        status = 503,
        description = "WhatsApp did not answer; what became of it is not known"
    )]
    Unanswered(ErrorBody),
}

/// It was done.
#[derive(Serialize, ToSchema)]
#[schema(as = GroupAck, example = json!({"success": true, "message": "Group subject updated"}))]
struct GroupAck {
    success: bool,
    message: &'static str,
}

const fn ack(message: &'static str) -> Json<GroupAck> {
    Json(GroupAck { success: true, message })
}

/// A group to make.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = CreateGroup, example = json!({"name": "Bakery team", "participants": ["49170111@c.us"]}))]
struct GroupCreateBody {
    #[schema(min_length = 1, max_length = 100, format = "visible")]
    name: String,
    /// Who is in it from the beginning. OpenWA takes up to 256; WhatsApp itself more.
    #[schema(value_type = Vec<ParticipantText>, min_items = 1, max_items = 1023)]
    participants: Vec<ChatId>,
}

/// A group to join.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = JoinGroup, example = json!({"inviteCode": "AbCdEfGhIjK"}))]
struct GroupJoinBody {
    /// The code of an invite link, or the link.
    #[schema(min_length = 1, max_length = 128, format = "visible")]
    invite_code: String,
}

/// The group that was joined.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = JoinedGroup, example = json!({"success": true, "groupId": "120363041@g.us", "pending": false}))]
struct GroupJoinedBody {
    success: bool,
    #[schema(value_type = String)]
    group_id: ChatId,
    /// Whether an admin has to let the account in. An addition to OpenWA.
    pending: bool,
}

/// The group of the path, in a session that exists.
async fn group<A>(state: &AppState, on: &OnSession<InChat<A>>) -> Result<ChatId, ApiError> {
    let id = on.caller.chat_of_path("groupId")?;
    on.view(state).await?;
    let id = id.filter(ChatId::is_group);
    id.ok_or_else(|| unknown(on.caller.text("groupId")))
}

/// 404 for a group that is not there.
fn unknown(id: &str) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, format!("Group {} not found", echo(id)))
}

/// Lists the account's groups.
#[utoipa::path(
    get, path = "/api/sessions/{sessionId}/groups", operation_id = "listGroups", tag = "Groups",
    params(SessionPath, PageQuery),
    responses(
        (status = 200, description = "Groups; for a key that is limited to chats, only those", body = [GroupSummary]),
        GroupRefusals,
    ),
    security(("X-API-Key" = ["viewer", "chat"])),
)]
async fn list(
    State(state): State<AppState>,
    on: ExistingSession<InChat<Viewer>>,
    query: Query,
) -> Result<Json<Vec<GroupSummary>>, ApiError> {
    let sees = visible(&on.caller);
    let groups = state.gateway.groups.list(on.session, query.page(), sees.as_deref()).await?;
    Ok(Json(groups.into_iter().map(GroupSummary::from).collect()))
}

/// Makes a group.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/groups", operation_id = "createGroup", tag = "Groups",
    params(SessionPath),
    request_body = GroupCreateBody,
    responses((status = 201, description = "The group", body = GroupMade), GroupRefusals),
    security(("X-API-Key" = ["operator"])),
)]
async fn create(
    State(state): State<AppState>,
    on: OnSession<Operator>,
    Body(body): Body<GroupCreateBody>,
) -> Result<(StatusCode, Json<GroupMade>), ApiError> {
    let made = state.gateway.groups.create(on.session, &body.name, &body.participants).await?;
    Ok((StatusCode::CREATED, Json(made.into())))
}

/// Looks at the group behind an invite code without joining it.
#[utoipa::path(
    get, path = "/api/sessions/{sessionId}/groups/join-info", operation_id = "getInviteInfo", tag = "Groups",
    params(SessionPath, InviteQuery),
    responses((status = 200, description = "The group", body = GroupInvite), GroupRefusals),
    security(("X-API-Key" = ["viewer"])),
)]
async fn join_info(
    State(state): State<AppState>,
    on: OnSession<Viewer>,
    query: Query,
) -> Result<Json<GroupInvite>, ApiError> {
    let code = query.one("code").ok().flatten().map(str::trim).filter(|code| !code.is_empty());
    let code = code.ok_or_else(|| ApiError::problem("code should not be empty"))?;
    if code.chars().count() > INVITE_CHARS_MAX {
        return Err(ApiError::problem("code must be shorter than or equal to 128 characters"));
    }
    let found = state.gateway.groups.by_code(on.session, code).await;
    Ok(Json(found.map_err(no_invite)?.into()))
}

/// Longest invite, in characters (OpenWA's).
const INVITE_CHARS_MAX: usize = 128;

/// What WhatsApp says about a code that it does not know.
fn no_invite(error: gateway::groups::GroupError) -> ApiError {
    match error {
        gateway::groups::GroupError::Refused { code: 400 | 404 | 406 | 410, .. } => {
            ApiError::new(StatusCode::NOT_FOUND, "Invite code not found or revoked")
        }
        other => other.into(),
    }
}

/// Joins a group by its invite code, or asks to be let in.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/groups/join", operation_id = "joinGroup", tag = "Groups",
    params(SessionPath),
    request_body = GroupJoinBody,
    responses((status = 200, description = "Joined, or asked to be let in", body = GroupJoinedBody), GroupRefusals),
    security(("X-API-Key" = ["operator"])),
)]
async fn join(
    State(state): State<AppState>,
    on: OnSession<Operator>,
    Body(body): Body<GroupJoinBody>,
) -> Result<Json<GroupJoinedBody>, ApiError> {
    let joined = state.gateway.groups.join(on.session, &body.invite_code).await;
    let (group_id, pending) = match joined.map_err(no_invite)? {
        GroupJoined::Member(group) => (group, false),
        GroupJoined::Waits(group) => (group, true),
    };
    Ok(Json(GroupJoinedBody { success: true, group_id, pending }))
}

/// Reads one group with its members.
#[utoipa::path(
    get, path = "/api/sessions/{sessionId}/groups/{groupId}", operation_id = "getGroup", tag = "Groups",
    params(GroupPath),
    responses((status = 200, description = "The group", body = GroupInfo), GroupRefusals),
    security(("X-API-Key" = ["viewer", "chat"])),
)]
async fn get(
    State(state): State<AppState>,
    on: OnSession<InChat<Viewer>>,
) -> Result<Json<GroupInfo>, ApiError> {
    let id = group(&state, &on).await?;
    Ok(Json(state.gateway.groups.get(on.session, &id).await?.into()))
}

/// Leaves a group.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/groups/{groupId}/leave", operation_id = "leaveGroup", tag = "Groups",
    params(GroupPath),
    responses((status = 200, description = "Left", body = GroupAck), GroupRefusals),
    security(("X-API-Key" = ["operator", "chat"])),
)]
async fn leave(
    State(state): State<AppState>,
    on: OnSession<InChat<Operator>>,
) -> Result<Json<GroupAck>, ApiError> {
    let id = group(&state, &on).await?;
    state.gateway.groups.leave(on.session, &id).await?;
    Ok(ack("Left the group"))
}
