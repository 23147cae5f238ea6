//! What groups look like in answers.

use domain::{
    ChatId,
    group::{Group, GroupMember, GroupRole, MemberAction, MemberOutcome, MembershipRequest},
};
use gateway::groups::{GroupView, ListedGroup, MembersChanged};
use serde::Serialize;
use utoipa::ToSchema;

/// What every invite link begins with.
const LINK: &str = "https://chat.whatsapp.com/";

/// A group in a list.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "120363041@g.us", "name": "Bakery team", "linkedParentJID": null}))]
pub(super) struct GroupSummary {
    #[schema(value_type = String)]
    id: ChatId,
    name: String,
    /// The community that it belongs to.
    #[serde(rename = "linkedParentJID")]
    #[schema(required, value_type = Option<String>)]
    linked_parent: Option<ChatId>,
}

impl From<ListedGroup> for GroupSummary {
    fn from(group: ListedGroup) -> Self {
        Self { id: group.id, name: group.name, linked_parent: group.parent }
    }
}

/// A group that was made.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "id": "120363041@g.us", "name": "Bakery team", "participantsCount": 2, "isAdmin": true, "linkedParentJID": null
}))]
pub(super) struct GroupMade {
    #[schema(value_type = String)]
    id: ChatId,
    name: String,
    /// Members, this account among them. Who was refused does not count.
    participants_count: usize,
    is_admin: bool,
    /// The community that it belongs to.
    #[serde(rename = "linkedParentJID")]
    #[schema(required, value_type = Option<String>)]
    linked_parent: Option<ChatId>,
}

impl From<Group> for GroupMade {
    fn from(group: Group) -> Self {
        Self {
            id: group.id,
            name: group.name,
            participants_count: group.members.len(),
            is_admin: true,
            linked_parent: group.parent,
        }
    }
}

/// A person in a group.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct GroupParticipantView {
    #[schema(value_type = String)]
    id: ChatId,
    /// The phone number; empty when only the privacy id is known.
    number: String,
    /// As the address book, or the person, says.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    is_admin: bool,
    is_super_admin: bool,
    /// The privacy id, when known. An addition to OpenWA.
    #[schema(nullable = false, value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    lid: Option<ChatId>,
}

impl From<(GroupMember, Option<String>)> for GroupParticipantView {
    fn from((member, name): (GroupMember, Option<String>)) -> Self {
        Self {
            number: member.person.phone.map(|phone| phone.to_string()).unwrap_or_default(),
            id: member.person.id,
            name,
            is_admin: member.role > GroupRole::Member,
            is_super_admin: member.role == GroupRole::Owner,
            lid: member.person.lid,
        }
    }
}

/// A group with its members.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "id": "120363041@g.us", "name": "Bakery team", "description": "Who bakes when", "owner": "49155500@c.us",
    "createdAt": 1_790_841_600, "isReadOnly": false, "isAnnounce": false, "announce": false, "locked": true,
    "ephemeralSeconds": 0, "memberAddMode": "admins", "membershipApproval": false, "linkedParentJID": null,
    "participants": [
        {"id": "49155500@c.us", "number": "49155500", "isAdmin": true, "isSuperAdmin": true, "lid": "99887766@lid"}
    ]
}))]
pub(super) struct GroupInfo {
    #[schema(value_type = String)]
    id: ChatId,
    name: String,
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    /// Who made it.
    #[schema(nullable = false, value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<ChatId>,
    /// When it was made, epoch seconds.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<i64>,
    /// This account cannot write: only admins do, and it is none.
    is_read_only: bool,
    is_announce: bool,
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
    /// Admins have to let new members in. An addition to OpenWA.
    membership_approval: bool,
    /// The community that it belongs to.
    #[serde(rename = "linkedParentJID")]
    #[schema(required, value_type = Option<String>)]
    linked_parent: Option<ChatId>,
    participants: Vec<GroupParticipantView>,
}

impl From<GroupView> for GroupInfo {
    fn from(view: GroupView) -> Self {
        let GroupView { group, names, is_admin } = view;
        Self {
            id: group.id,
            name: group.name,
            description: group.description,
            owner: group.owner.map(|owner| owner.id),
            created_at: group.created_at,
            is_read_only: group.announce && !is_admin,
            is_announce: group.announce,
            announce: group.announce,
            locked: group.locked,
            ephemeral_seconds: group.ephemeral_seconds,
            member_add_mode: group.add_right.map(domain::group::MemberAddRight::as_str),
            membership_approval: group.approval,
            linked_parent: group.parent,
            participants: group
                .members
                .into_iter()
                .zip(names)
                .map(GroupParticipantView::from)
                .collect(),
        }
    }
}

/// A group as its invite link shows it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "id": "120363041@g.us", "name": "Bakery team", "owner": "49155500@c.us", "createdAt": 1_790_841_600,
    "participantCount": 12
}))]
pub(super) struct GroupInvite {
    #[schema(value_type = String)]
    id: ChatId,
    name: String,
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[schema(nullable = false, value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<ChatId>,
    /// When it was made, epoch seconds.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<i64>,
    participant_count: usize,
}

impl From<Group> for GroupInvite {
    fn from(group: Group) -> Self {
        let told = group.size.and_then(|size| usize::try_from(size).ok());
        Self {
            id: group.id,
            name: group.name,
            description: group.description,
            owner: group.owner.map(|owner| owner.id),
            created_at: group.created_at,
            participant_count: told.unwrap_or(group.members.len()),
        }
    }
}

/// The way into a group.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "inviteCode": "AbCdEfGhIjK", "inviteLink": "https://chat.whatsapp.com/AbCdEfGhIjK"
}))]
pub(super) struct InviteCodeView {
    invite_code: String,
    invite_link: String,
    /// Only when the code is new.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'static str>,
}

impl InviteCodeView {
    pub(super) fn new(invite_code: String, message: Option<&'static str>) -> Self {
        Self { invite_link: format!("{LINK}{invite_code}"), invite_code, message }
    }
}

/// What became of one participant.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ParticipantResult {
    #[schema(value_type = String)]
    id: ChatId,
    success: bool,
    /// WhatsApp's code of a refusal.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    /// What the code means.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'static str>,
}

/// What became of each participant.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "success": true, "message": "Participants added", "results": [
        {"id": "49170111@c.us", "success": true},
        {"id": "49170222@c.us", "success": false, "status": 403, "message": "Their privacy settings do not allow it"}
    ]
}))]
pub(super) struct ParticipantsChanged {
    success: bool,
    message: &'static str,
    results: Vec<ParticipantResult>,
}

impl ParticipantsChanged {
    pub(super) fn new(action: MemberAction, changed: MembersChanged) -> Self {
        let result = |one: MemberOutcome| ParticipantResult {
            id: one.person.id,
            success: one.refused.is_none(),
            message: one.refused.map(|code| meaning(action, code)),
            status: one.refused,
        };
        Self {
            success: true,
            message: match action {
                MemberAction::Add => "Participants added",
                MemberAction::Remove => "Participants removed",
                MemberAction::Promote => "Participants promoted to admin",
                MemberAction::Demote => "Participants demoted from admin",
                MemberAction::Approve => "Membership requests approved",
                MemberAction::Reject => "Membership requests rejected",
            },
            results: changed.outcomes.into_iter().map(result).collect(),
        }
    }
}

/// What WhatsApp means by a code for one participant, as far as it was observed.
fn meaning(action: MemberAction, code: u16) -> &'static str {
    match (action, code) {
        (_, 0) => "WhatsApp did not say what became of it",
        (MemberAction::Add, 401) => "They blocked this account",
        (MemberAction::Add, 403) => "Their privacy settings do not allow it",
        (MemberAction::Add, 404) => "They are not on WhatsApp",
        (MemberAction::Add, 408) => "They left the group not long ago",
        (MemberAction::Add, 409) => "They are in the group already",
        (_, 404) => "They are not in the group",
        (_, 429) => "Too much at once",
        (_, 463) => "WhatsApp does not let this account turn to them first now",
        _ => "WhatsApp refused",
    }
}

/// Somebody who waits to be let in.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "participantId": "49170111@c.us", "method": "invite_link", "requestedAt": 1_790_841_600, "phone": "49170111",
    "lid": "99887766@lid"
}))]
pub(super) struct WaitingParticipant {
    #[schema(value_type = String)]
    participant_id: ChatId,
    /// The member who wanted to add them.
    #[schema(nullable = false, value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    added_by_id: Option<ChatId>,
    /// `invite_link`, `non_admin_add` or `linked_group_join`.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'static str>,
    /// When that was, in epoch seconds.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    requested_at: Option<i64>,
    /// Their number, when known. An addition to OpenWA.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    phone: Option<String>,
    /// Their privacy id, when known. An addition to OpenWA.
    #[schema(nullable = false, value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    lid: Option<ChatId>,
}

impl From<MembershipRequest> for WaitingParticipant {
    fn from(request: MembershipRequest) -> Self {
        Self {
            participant_id: request.person.id,
            added_by_id: request.added_by.map(|by| by.id),
            method: request.method.map(domain::group::JoinMethod::as_str),
            requested_at: request.at,
            phone: request.person.phone.map(|phone| phone.to_string()),
            lid: request.person.lid,
        }
    }
}
