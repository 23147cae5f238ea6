//! Who is in a group, and who may be.

use axum::{Json, extract::State};
use domain::{ChatId, group::MemberAction};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    GroupAck, GroupPath, GroupRefusals, ack, group,
    view::{ParticipantsChanged, WaitingParticipant},
};
use crate::{
    AppState,
    access::{InChat, OnSession, Operator, Viewer},
    body::Body,
    error::ApiError,
    words::ParticipantText,
};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(add, remove))
        .routes(routes!(promote))
        .routes(routes!(demote))
        .routes(routes!(requests))
        .routes(routes!(approve))
        .routes(routes!(reject))
        .routes(routes!(label))
}

/// People in a group, or who are to be.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = GroupParticipants, example = json!({"participants": ["49170111@c.us", "99887766@lid"]}))]
struct ParticipantsBody {
    /// OpenWA takes up to 256; WhatsApp itself more.
    #[schema(value_type = Vec<ParticipantText>, min_items = 1, max_items = 1023)]
    participants: Vec<ChatId>,
}

/// Whose requests are decided.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = DecideRequests, example = json!({"participants": ["49170111@c.us"]}))]
struct RequestsBody {
    /// Without it, everybody who asks.
    #[schema(value_type = Option<Vec<ParticipantText>>, min_items = 1, max_items = 1023)]
    participants: Option<Vec<ChatId>>,
}

/// The label that this account carries in a group.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = SetMemberLabel, example = json!({"label": "Front desk"}))]
struct MemberLabelBody {
    /// An empty one removes it.
    #[schema(max_length = 100, format = "visible-or-empty")]
    label: String,
}

async fn change(
    state: &AppState,
    on: &OnSession<InChat<Operator>>,
    (action, people): (MemberAction, &[ChatId]),
) -> Result<Json<ParticipantsChanged>, ApiError> {
    let id = group(state, on).await?;
    let changed = state.gateway.groups.change_members(on.session, &id, (action, people)).await?;
    Ok(Json(ParticipantsChanged::new(action, changed)))
}

/// Adds people to a group. Some may be refused: each has a result.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/groups/{groupId}/participants", operation_id = "addParticipants",
    tag = "Groups", params(GroupPath), request_body = ParticipantsBody,
    responses((status = 200, description = "What became of each", body = ParticipantsChanged), GroupRefusals),
    security(("X-API-Key" = ["operator", "chat"])),
)]
async fn add(
    State(state): State<AppState>,
    on: OnSession<InChat<Operator>>,
    Body(body): Body<ParticipantsBody>,
) -> Result<Json<ParticipantsChanged>, ApiError> {
    change(&state, &on, (MemberAction::Add, &body.participants)).await
}

/// Removes people from a group.
#[utoipa::path(
    delete, path = "/api/sessions/{sessionId}/groups/{groupId}/participants", operation_id = "removeParticipants",
    tag = "Groups", params(GroupPath), request_body = ParticipantsBody,
    responses((status = 200, description = "What became of each", body = ParticipantsChanged), GroupRefusals),
    security(("X-API-Key" = ["operator", "chat"])),
)]
async fn remove(
    State(state): State<AppState>,
    on: OnSession<InChat<Operator>>,
    Body(body): Body<ParticipantsBody>,
) -> Result<Json<ParticipantsChanged>, ApiError> {
    change(&state, &on, (MemberAction::Remove, &body.participants)).await
}

/// Makes members admins.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/groups/{groupId}/participants/promote",
    operation_id = "promoteParticipants", tag = "Groups", params(GroupPath), request_body = ParticipantsBody,
    responses((status = 200, description = "What became of each", body = ParticipantsChanged), GroupRefusals),
    security(("X-API-Key" = ["operator", "chat"])),
)]
async fn promote(
    State(state): State<AppState>,
    on: OnSession<InChat<Operator>>,
    Body(body): Body<ParticipantsBody>,
) -> Result<Json<ParticipantsChanged>, ApiError> {
    change(&state, &on, (MemberAction::Promote, &body.participants)).await
}

/// Takes the rights of admins back.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/groups/{groupId}/participants/demote",
    operation_id = "demoteParticipants", tag = "Groups", params(GroupPath), request_body = ParticipantsBody,
    responses((status = 200, description = "What became of each", body = ParticipantsChanged), GroupRefusals),
    security(("X-API-Key" = ["operator", "chat"])),
)]
async fn demote(
    State(state): State<AppState>,
    on: OnSession<InChat<Operator>>,
    Body(body): Body<ParticipantsBody>,
) -> Result<Json<ParticipantsChanged>, ApiError> {
    change(&state, &on, (MemberAction::Demote, &body.participants)).await
}

/// Lists who waits to be let in.
#[utoipa::path(
    get, path = "/api/sessions/{sessionId}/groups/{groupId}/membership-requests",
    operation_id = "listMembershipRequests", tag = "Groups", params(GroupPath),
    responses((status = 200, description = "Who waits", body = [WaitingParticipant]), GroupRefusals),
    security(("X-API-Key" = ["viewer", "chat"])),
)]
async fn requests(
    State(state): State<AppState>,
    on: OnSession<InChat<Viewer>>,
) -> Result<Json<Vec<WaitingParticipant>>, ApiError> {
    let id = group(&state, &on).await?;
    let waiting = state.gateway.groups.requests(on.session, &id).await?;
    Ok(Json(waiting.into_iter().map(WaitingParticipant::from).collect()))
}

async fn decide(
    state: &AppState,
    on: &OnSession<InChat<Operator>>,
    action: MemberAction,
    body: RequestsBody,
) -> Result<Json<ParticipantsChanged>, ApiError> {
    if let Some(people) = &body.participants {
        return change(state, on, (action, people)).await;
    }
    let id = group(state, on).await?;
    let changed = state.gateway.groups.decide_all(on.session, &id, action).await?;
    Ok(Json(ParticipantsChanged::new(action, changed)))
}

/// Lets people in who asked.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/groups/{groupId}/membership-requests/approve",
    operation_id = "approveMembershipRequests", tag = "Groups", params(GroupPath), request_body = RequestsBody,
    responses((status = 200, description = "What became of each", body = ParticipantsChanged), GroupRefusals),
    security(("X-API-Key" = ["operator", "chat"])),
)]
async fn approve(
    State(state): State<AppState>,
    on: OnSession<InChat<Operator>>,
    Body(body): Body<RequestsBody>,
) -> Result<Json<ParticipantsChanged>, ApiError> {
    decide(&state, &on, MemberAction::Approve, body).await
}

/// Turns people away who asked.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/groups/{groupId}/membership-requests/reject",
    operation_id = "rejectMembershipRequests", tag = "Groups", params(GroupPath), request_body = RequestsBody,
    responses((status = 200, description = "What became of each", body = ParticipantsChanged), GroupRefusals),
    security(("X-API-Key" = ["operator", "chat"])),
)]
async fn reject(
    State(state): State<AppState>,
    on: OnSession<InChat<Operator>>,
    Body(body): Body<RequestsBody>,
) -> Result<Json<ParticipantsChanged>, ApiError> {
    decide(&state, &on, MemberAction::Reject, body).await
}

/// Sets the label that this account carries in a group.
#[utoipa::path(
    put, path = "/api/sessions/{sessionId}/groups/{groupId}/member-label", operation_id = "setMemberLabel",
    tag = "Groups", params(GroupPath), request_body = MemberLabelBody,
    responses((status = 200, description = "Set", body = GroupAck), GroupRefusals),
    security(("X-API-Key" = ["operator", "chat"])),
)]
async fn label(
    State(state): State<AppState>,
    on: OnSession<InChat<Operator>>,
    Body(body): Body<MemberLabelBody>,
) -> Result<Json<GroupAck>, ApiError> {
    let id = group(&state, &on).await?;
    state.gateway.groups.set_label(on.session, &id, &body.label).await?;
    Ok(ack("Member label updated"))
}
