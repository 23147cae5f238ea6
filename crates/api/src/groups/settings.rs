//! Name, description, picture, invite code and settings of a group.

use axum::{Json, extract::State};
use domain::group::{GroupSetting, MemberAddRight};
use gateway::groups::GroupPicture;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{GroupAck, GroupPath, GroupRefusals, ack, group, view::InviteCodeView};
use crate::{
    AppState,
    access::{InChat, OnSession, Operator, Viewer},
    body::Body,
    error::ApiError,
    words::MemberAddWord,
};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(picture, set_picture, remove_picture))
        .routes(routes!(invite_code))
        .routes(routes!(revoke_invite))
        .routes(routes!(subject))
        .routes(routes!(description))
        .routes(routes!(settings, set_settings))
}

/// Where a group's picture is.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"url": "https://pps.whatsapp.net/v/t61/picture.jpg"}))]
struct GroupPictureView {
    /// On WhatsApp's servers, for a while; `null` when there is none.
    #[schema(required)]
    url: Option<String>,
}

/// A picture for a group: from a URL or as base64.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = SetGroupPicture, example = json!({"url": "https://shop.example/logo.png"}))]
struct GroupPictureBody {
    /// Fetched by this server; http or https, not in a private network. This or `base64`.
    #[schema(min_length = 1, max_length = 2048, format = "uri")]
    url: Option<String>,
    /// The file itself; wins over `url`. A `data:` prefix is fine.
    #[schema(min_length = 1)]
    base64: Option<String>,
    /// The file's type, an image; needed with `base64`.
    #[schema(min_length = 1, max_length = 255, format = "media-type")]
    mimetype: Option<String>,
}

impl TryFrom<GroupPictureBody> for GroupPicture {
    type Error = ApiError;

    fn try_from(body: GroupPictureBody) -> Result<Self, ApiError> {
        let is_image = |kind: &str| kind.to_ascii_lowercase().starts_with("image/");
        if body.mimetype.as_deref().is_some_and(|kind| !is_image(kind)) {
            return Err(ApiError::problem(
                "mimetype must be the type of an image, like image/jpeg",
            ));
        }
        match (body.base64, body.url) {
            (Some(_), _) if body.mimetype.is_none() => {
                Err(ApiError::problem("mimetype is needed with base64"))
            }
            (Some(base64), _) => Ok(Self::Base64(base64)),
            (None, Some(url)) => Ok(Self::Url(url)),
            (None, None) => Err(ApiError::problem("either url or base64 must be given")),
        }
    }
}

/// The new name of a group.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = SetGroupSubject, example = json!({"subject": "Bakery team"}))]
struct GroupSubjectBody {
    #[schema(min_length = 1, max_length = 100, format = "visible")]
    subject: String,
}

/// The new description of a group.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = SetGroupDescription, example = json!({"description": "Who bakes when"}))]
struct GroupDescriptionBody {
    /// An empty one removes it.
    #[schema(max_length = 1024)]
    description: String,
}

/// The settings of a group.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "announce": false, "locked": true, "ephemeralSeconds": 86400, "memberAddMode": "admins"
}))]
struct GroupSettingsView {
    /// Only admins write.
    announce: bool,
    /// Only admins change name, description and picture.
    locked: bool,
    /// After how long new messages disappear; 0 means never.
    ephemeral_seconds: u32,
    /// Who may add members: `all` or `admins`.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    member_add_mode: Option<&'static str>,
}

/// Settings to change, at least one.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = SetGroupSettings, example = json!({"announce": true, "memberAddMode": "admins"}))]
struct GroupSettingsBody {
    /// Whether only admins write.
    announce: Option<bool>,
    /// Whether only admins change name, description and picture.
    locked: Option<bool>,
    /// After how long new messages disappear; 0 means never. WhatsApp's apps show 86400, 604800 and 7776000.
    #[schema(minimum = 0, maximum = 2_147_483_647)]
    ephemeral_seconds: Option<u32>,
    /// Who may add members.
    #[schema(value_type = Option<MemberAddWord>)]
    member_add_mode: Option<MemberAddRight>,
}

impl GroupSettingsBody {
    fn changes(&self) -> Vec<GroupSetting> {
        let announce = self.announce.map(GroupSetting::Announce);
        let locked = self.locked.map(GroupSetting::Locked);
        let ephemeral = self.ephemeral_seconds.map(GroupSetting::Ephemeral);
        let add_right = self.member_add_mode.map(GroupSetting::AddRight);
        [announce, locked, ephemeral, add_right].into_iter().flatten().collect()
    }
}

/// Reads where a group's picture is.
#[utoipa::path(
    get, path = "/api/sessions/{sessionId}/groups/{groupId}/picture", operation_id = "getGroupPicture",
    tag = "Groups", params(GroupPath),
    responses((status = 200, description = "Its URL, or null", body = GroupPictureView), GroupRefusals),
    security(("X-API-Key" = ["viewer", "chat"])),
)]
async fn picture(
    State(state): State<AppState>,
    on: OnSession<InChat<Viewer>>,
) -> Result<Json<GroupPictureView>, ApiError> {
    let id = group(&state, &on).await?;
    let url = state.gateway.groups.picture(on.session, &id).await?;
    Ok(Json(GroupPictureView { url }))
}

/// Gives a group a picture. The middle of it is cut out as a square.
#[utoipa::path(
    put, path = "/api/sessions/{sessionId}/groups/{groupId}/picture", operation_id = "setGroupPicture",
    tag = "Groups", params(GroupPath), request_body = GroupPictureBody,
    responses(
        (status = 200, description = "Set", body = GroupAck),
        (status = 413, description = "The picture is too large", body = crate::error::ErrorBody),
        GroupRefusals,
    ),
    security(("X-API-Key" = ["operator", "chat"])),
)]
async fn set_picture(
    State(state): State<AppState>,
    on: OnSession<InChat<Operator>>,
    Body(body): Body<GroupPictureBody>,
) -> Result<Json<GroupAck>, ApiError> {
    let picture = GroupPicture::try_from(body)?;
    let id = group(&state, &on).await?;
    state.gateway.groups.set_picture(on.session, &id, Some(picture)).await?;
    Ok(ack("Group picture updated"))
}

/// Removes a group's picture.
#[utoipa::path(
    delete, path = "/api/sessions/{sessionId}/groups/{groupId}/picture", operation_id = "removeGroupPicture",
    tag = "Groups", params(GroupPath),
    responses((status = 200, description = "Removed", body = GroupAck), GroupRefusals),
    security(("X-API-Key" = ["operator", "chat"])),
)]
async fn remove_picture(
    State(state): State<AppState>,
    on: OnSession<InChat<Operator>>,
) -> Result<Json<GroupAck>, ApiError> {
    let id = group(&state, &on).await?;
    state.gateway.groups.set_picture(on.session, &id, None).await?;
    Ok(ack("Group picture removed"))
}

/// Reads a group's invite code.
#[utoipa::path(
    get, path = "/api/sessions/{sessionId}/groups/{groupId}/invite-code", operation_id = "getInviteCode",
    tag = "Groups", params(GroupPath),
    responses((status = 200, description = "The code and its link", body = InviteCodeView), GroupRefusals),
    security(("X-API-Key" = ["operator", "chat"])),
)]
async fn invite_code(
    State(state): State<AppState>,
    on: OnSession<InChat<Operator>>,
) -> Result<Json<InviteCodeView>, ApiError> {
    let id = group(&state, &on).await?;
    let code = state.gateway.groups.invite_code(on.session, &id, false).await?;
    Ok(Json(InviteCodeView::new(code, None)))
}

/// Makes a group's invite code void, and a new one.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/groups/{groupId}/invite-code/revoke", operation_id = "revokeInviteCode",
    tag = "Groups", params(GroupPath),
    responses((status = 200, description = "The new code", body = InviteCodeView), GroupRefusals),
    security(("X-API-Key" = ["operator", "chat"])),
)]
async fn revoke_invite(
    State(state): State<AppState>,
    on: OnSession<InChat<Operator>>,
) -> Result<Json<InviteCodeView>, ApiError> {
    let id = group(&state, &on).await?;
    let code = state.gateway.groups.invite_code(on.session, &id, true).await?;
    Ok(Json(InviteCodeView::new(code, Some("Invite code revoked and new one generated"))))
}

/// Renames a group.
#[utoipa::path(
    put, path = "/api/sessions/{sessionId}/groups/{groupId}/subject", operation_id = "setGroupSubject",
    tag = "Groups", params(GroupPath), request_body = GroupSubjectBody,
    responses((status = 200, description = "Renamed", body = GroupAck), GroupRefusals),
    security(("X-API-Key" = ["operator", "chat"])),
)]
async fn subject(
    State(state): State<AppState>,
    on: OnSession<InChat<Operator>>,
    Body(body): Body<GroupSubjectBody>,
) -> Result<Json<GroupAck>, ApiError> {
    let id = group(&state, &on).await?;
    state.gateway.groups.set(on.session, &id, &[GroupSetting::Name(body.subject)]).await?;
    Ok(ack("Group subject updated"))
}

/// Describes a group.
#[utoipa::path(
    put, path = "/api/sessions/{sessionId}/groups/{groupId}/description", operation_id = "setGroupDescription",
    tag = "Groups", params(GroupPath), request_body = GroupDescriptionBody,
    responses((status = 200, description = "Described", body = GroupAck), GroupRefusals),
    security(("X-API-Key" = ["operator", "chat"])),
)]
async fn description(
    State(state): State<AppState>,
    on: OnSession<InChat<Operator>>,
    Body(body): Body<GroupDescriptionBody>,
) -> Result<Json<GroupAck>, ApiError> {
    let id = group(&state, &on).await?;
    let text = Some(body.description).filter(|text| !text.is_empty());
    state.gateway.groups.set(on.session, &id, &[GroupSetting::Description(text)]).await?;
    Ok(ack("Group description updated"))
}

/// Reads the settings of a group.
#[utoipa::path(
    get, path = "/api/sessions/{sessionId}/groups/{groupId}/settings", operation_id = "getGroupSettings",
    tag = "Groups", params(GroupPath),
    responses((status = 200, description = "The settings", body = GroupSettingsView), GroupRefusals),
    security(("X-API-Key" = ["viewer", "chat"])),
)]
async fn settings(
    State(state): State<AppState>,
    on: OnSession<InChat<Viewer>>,
) -> Result<Json<GroupSettingsView>, ApiError> {
    let id = group(&state, &on).await?;
    let known = state.gateway.groups.current(on.session, &id).await?;
    Ok(Json(GroupSettingsView {
        announce: known.announce,
        locked: known.locked,
        ephemeral_seconds: known.ephemeral_seconds,
        member_add_mode: known.add_right.map(MemberAddRight::as_str),
    }))
}

/// Changes settings of a group.
#[utoipa::path(
    put, path = "/api/sessions/{sessionId}/groups/{groupId}/settings", operation_id = "setGroupSettings",
    tag = "Groups", params(GroupPath), request_body = GroupSettingsBody,
    responses((status = 200, description = "Changed", body = GroupAck), GroupRefusals),
    security(("X-API-Key" = ["operator", "chat"])),
)]
async fn set_settings(
    State(state): State<AppState>,
    on: OnSession<InChat<Operator>>,
    Body(body): Body<GroupSettingsBody>,
) -> Result<Json<GroupAck>, ApiError> {
    let changes = body.changes();
    if changes.is_empty() {
        return Err(ApiError::problem(
            "at least one of announce, locked, ephemeralSeconds and memberAddMode must be given",
        ));
    }
    let id = group(&state, &on).await?;
    state.gateway.groups.set(on.session, &id, &changes).await?;
    Ok(ack("Group settings updated"))
}
