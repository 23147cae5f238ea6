//! What WhatsApp tells about groups, as the domain's news.

use domain::{
    event::ChangeSource,
    group::{
        GroupChange, GroupMember, GroupNews, GroupPerson, GroupRole, JoinMethod, MemberAddRight,
    },
};
use whatsapp_rust::{
    Client, Jid,
    types::events::{GroupUpdate, PictureUpdate},
    wacore::stanza::groups::{
        GroupNotificationAction as Action, GroupParticipantInfo, GroupParticipantType,
        MembershipRequestMethod,
    },
    wacore_binary::Node,
};

use super::describe::{self, DescribedGroup, TAGS};
use crate::people;

/// What an update of the library says; nothing when this gateway has no word for it.
pub(crate) async fn of_update(client: &Client, update: &GroupUpdate) -> Option<GroupNews> {
    let change = change(client, &update.action).await?;
    let timestamp = update.timestamp.timestamp();
    let occurrence = match &update.notification_id {
        Some(id) => format!("{id}_{}", update.action_index),
        None => format!("{}_{timestamp}_{}", change.word(), update.action_index),
    };
    let actor = match &update.participant {
        Some(jid) => {
            let person = describe::person(client, jid, update.participant_pn.as_ref(), true).await;
            person.map(|person| (jid, person))
        }
        None => None,
    };
    Some(GroupNews {
        group: people::chat_id(&update.group_jid)?,
        occurrence,
        source: actor.as_ref().and_then(|(jid, _)| source(client, jid)),
        actor: actor.map(|(_, person)| person),
        left: has_left(client, &update.action),
        reason: reason(&update.action),
        timestamp,
        change,
    })
}

/// What a changed picture of a group says; nothing for one of a person.
pub(crate) async fn of_picture(client: &Client, update: &PictureUpdate) -> Option<GroupNews> {
    let group = people::chat_id(&update.jid).filter(domain::ChatId::is_group)?;
    let timestamp = update.timestamp.timestamp();
    let picture = update.picture_id.as_deref().unwrap_or("none");
    let actor = match &update.author {
        Some(jid) => describe::person(client, jid, None, true).await,
        None => None,
    };
    Some(GroupNews {
        group,
        occurrence: format!("picture_{picture}_{timestamp}"),
        actor,
        source: update.author.as_ref().and_then(|jid| source(client, jid)),
        left: false,
        reason: None,
        timestamp,
        change: GroupChange::Picture { removed: update.removed },
    })
}

/// WhatsApp names the account, and hardly ever which of its devices: then it is the phone.
fn source(client: &Client, actor: &Jid) -> Option<ChangeSource> {
    if !people::is_own(client, actor) {
        return None;
    }
    Some(if actor.device == 0 { ChangeSource::Phone } else { ChangeSource::OtherDevice })
}

fn has_left(client: &Client, action: &Action) -> bool {
    match action {
        Action::Remove { participants, .. } => {
            participants.iter().any(|one| people::is_own(client, &one.jid))
        }
        Action::Delete { .. } => true,
        _ => false,
    }
}

fn reason(action: &Action) -> Option<String> {
    match action {
        Action::Add { reason, .. } | Action::Remove { reason, .. } | Action::Delete { reason } => {
            reason.clone()
        }
        Action::Create { raw } => {
            let reason = raw.attrs.get("reason")?;
            Some(reason.as_str().into_owned())
        }
        _ => None,
    }
}

async fn change(client: &Client, action: &Action) -> Option<GroupChange> {
    Some(match action {
        Action::Create { raw } => begun(client, raw).await?,
        Action::Add { participants, .. } => GroupChange::Added(members(client, participants).await),
        Action::Remove { participants, .. } => {
            GroupChange::Removed(persons(client, participants).await)
        }
        Action::Promote { participants } => {
            GroupChange::Admins { people: persons(client, participants).await, admin: true }
        }
        Action::Demote { participants } => {
            GroupChange::Admins { people: persons(client, participants).await, admin: false }
        }
        Action::Modify { participants } => {
            GroupChange::MembersMoved(persons(client, participants).await)
        }
        Action::CreatedMembershipRequests { request_method, requests, .. } => {
            let method = match request_method {
                MembershipRequestMethod::InviteLink => JoinMethod::InviteLink,
                MembershipRequestMethod::LinkedGroupJoin => JoinMethod::Community,
                MembershipRequestMethod::NonAdminAdd => JoinMethod::MemberAdd,
            };
            GroupChange::Requested { people: persons(client, requests).await, method }
        }
        Action::RevokedMembershipRequests { participants } => {
            let mut gone = Vec::with_capacity(participants.len());
            for jid in participants {
                gone.extend(describe::person(client, jid, None, true).await);
            }
            GroupChange::RequestsGone(gone)
        }
        settled => return setting(settled),
    })
}

fn setting(action: &Action) -> Option<GroupChange> {
    Some(match action {
        Action::Subject { subject, .. } => GroupChange::Name(subject.clone()),
        Action::Description { description, .. } => GroupChange::Description(description.clone()),
        Action::Locked { .. } => GroupChange::Locked(true),
        Action::Unlocked => GroupChange::Locked(false),
        Action::Announce => GroupChange::Announce(true),
        Action::NotAnnounce => GroupChange::Announce(false),
        Action::Ephemeral { expiration, .. } => GroupChange::Ephemeral(*expiration),
        Action::MembershipApprovalMode { enabled } => GroupChange::Approval(*enabled),
        Action::MemberAddMode { mode } => {
            GroupChange::AddRight(describe::add_right(mode).unwrap_or(MemberAddRight::All))
        }
        Action::Invite { .. } => GroupChange::InviteReset,
        Action::Delete { .. } => GroupChange::Deleted,
        _ => return None,
    })
}

async fn begun(client: &Client, raw: &Node) -> Option<GroupChange> {
    let node = raw.as_node_ref();
    let described = TAGS.iter().find_map(|tag| node.get_optional_child(tag))?;
    let described = DescribedGroup::read(described).ok()?;
    let group = Box::new(described.group(client, false).await?);
    let new = raw.attrs.get("type").is_some_and(|kind| kind == "new");
    Some(GroupChange::Begun { group, new })
}

async fn persons(client: &Client, infos: &[GroupParticipantInfo]) -> Vec<GroupPerson> {
    let mut people = Vec::with_capacity(infos.len());
    for info in infos {
        let other = info.phone_number.as_ref().or(info.lid.as_ref());
        people.extend(describe::person(client, &info.jid, other, true).await);
    }
    people
}

async fn members(client: &Client, infos: &[GroupParticipantInfo]) -> Vec<GroupMember> {
    let mut members = Vec::with_capacity(infos.len());
    for info in infos {
        let other = info.phone_number.as_ref().or(info.lid.as_ref());
        let Some(person) = describe::person(client, &info.jid, other, true).await else { continue };
        let role = match info.r#type {
            Some(GroupParticipantType::SuperAdmin) => GroupRole::Owner,
            Some(GroupParticipantType::Admin) => GroupRole::Admin,
            Some(GroupParticipantType::Participant) | None => GroupRole::Member,
        };
        members.push(GroupMember { person, role });
    }
    members
}
