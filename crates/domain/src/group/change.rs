//! What happens to groups, and what this account wants to happen.

use super::{Group, GroupMember, GroupPerson, MemberAddRight};
use crate::{address::ChatId, event::ChangeSource, time::Timestamp};

/// What happened to a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupChange {
    /// The account is in it from now on. `new` when the group was made just now.
    Begun {
        /// The group, as WhatsApp describes it.
        group: Box<Group>,
        /// Whether it did not exist before.
        new: bool,
    },
    /// People came in, added or by themselves.
    Added(Vec<GroupMember>),
    /// People left, or were removed.
    Removed(Vec<GroupPerson>),
    /// Members became admins, or ceased to be.
    Admins {
        /// Whose right changed.
        people: Vec<GroupPerson>,
        /// Whether they are admins now.
        admin: bool,
    },
    /// It has another name.
    Name(String),
    /// It has another description, or none.
    Description(Option<String>),
    /// Whether only admins write.
    Announce(bool),
    /// Whether only admins change its name, description and picture.
    Locked(bool),
    /// After how many seconds messages disappear; 0 means never.
    Ephemeral(u32),
    /// Who may add members.
    AddRight(MemberAddRight),
    /// Whether admins have to let new members in.
    Approval(bool),
    /// It has another picture, or none.
    Picture {
        /// Whether it is gone.
        removed: bool,
    },
    /// It has another invite link.
    InviteReset,
    /// Somebody asks to be let in.
    Requested {
        /// Who they are.
        people: Vec<GroupPerson>,
        /// How they came to ask.
        method: JoinMethod,
    },
    /// People who asked are not let in, or do not ask any more.
    RequestsGone(Vec<GroupPerson>),
    /// A member has another number or privacy id: who is in it has to be asked anew.
    MembersMoved(Vec<GroupPerson>),
    /// It does not exist any more.
    Deleted,
}

/// How somebody came to ask for membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinMethod {
    /// By the group's link.
    InviteLink,
    /// A member who is no admin wanted to add them.
    MemberAdd,
    /// From the community of the group.
    Community,
}

impl JoinMethod {
    /// The word of the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InviteLink => "invite_link",
            Self::MemberAdd => "non_admin_add",
            Self::Community => "linked_group_join",
        }
    }
}

impl GroupChange {
    /// One word for the sort of change, the same for all of a sort.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Begun { .. } => "create",
            Self::Added(_) => "add",
            Self::Removed(_) => "remove",
            Self::Admins { admin: true, .. } => "promote",
            Self::Admins { admin: false, .. } => "demote",
            Self::Name(_) => "subject",
            Self::Description(_) => "description",
            Self::Announce(_) => "announce",
            Self::Locked(_) => "locked",
            Self::Ephemeral(_) => "ephemeral",
            Self::AddRight(_) => "member_add_mode",
            Self::Approval(_) => "membership_approval",
            Self::Picture { .. } => "picture",
            Self::InviteReset => "invite",
            Self::Requested { .. } => "request",
            Self::RequestsGone(_) => "request_gone",
            Self::MembersMoved(_) => "modify",
            Self::Deleted => "delete",
        }
    }

    /// Whom it is about.
    pub fn people(&self) -> Vec<&GroupPerson> {
        match self {
            Self::Begun { group, .. } => group.members.iter().map(|one| &one.person).collect(),
            Self::Added(members) => members.iter().map(|one| &one.person).collect(),
            Self::Removed(people)
            | Self::Admins { people, .. }
            | Self::Requested { people, .. }
            | Self::RequestsGone(people)
            | Self::MembersMoved(people) => people.iter().collect(),
            _ => vec![],
        }
    }
}

impl GroupChange {
    /// The same, to complete their ids. Not of a group that begins: those are as many as it has members.
    pub fn people_mut(&mut self) -> Vec<&mut GroupPerson> {
        match self {
            Self::Added(members) => members.iter_mut().map(|one| &mut one.person).collect(),
            Self::Removed(people)
            | Self::Admins { people, .. }
            | Self::Requested { people, .. }
            | Self::RequestsGone(people)
            | Self::MembersMoved(people) => people.iter_mut().collect(),
            _ => vec![],
        }
    }
}

/// News about a group, as WhatsApp told them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupNews {
    /// The group it happened to.
    pub group: ChatId,
    /// Names this occurrence, the same whenever WhatsApp tells it again.
    pub occurrence: String,
    /// Who did it, when WhatsApp says so.
    pub actor: Option<GroupPerson>,
    /// Set when this account did it.
    pub source: Option<ChangeSource>,
    /// Whether this account is not in the group any more.
    pub left: bool,
    /// Why, in WhatsApp's word, for instance `invite`.
    pub reason: Option<String>,
    /// When, in WhatsApp's time, epoch seconds.
    pub timestamp: i64,
    /// What happened to the group.
    pub change: GroupChange,
}

/// What an engine tells about groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupSignal {
    /// Something happened to one.
    Changed(Box<GroupNews>),
    /// How one was when WhatsApp was asked at that time.
    Known(Box<Group>, Timestamp),
    /// All in which the account was when WhatsApp was asked at that time.
    Listed(Vec<ChatId>, Timestamp),
}

/// What became of one person in a change of members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberOutcome {
    /// Whom it was about.
    pub person: GroupPerson,
    /// WhatsApp's code when it refused.
    pub refused: Option<u16>,
}

/// Somebody who asks for membership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MembershipRequest {
    /// Who asks to be let in.
    pub person: GroupPerson,
    /// The member who wanted to add them.
    pub added_by: Option<GroupPerson>,
    /// How they came to ask.
    pub method: Option<JoinMethod>,
    /// When, epoch seconds.
    pub at: Option<i64>,
}

/// What this account wants to be done with members of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberAction {
    /// They come in.
    Add,
    /// They are put out.
    Remove,
    /// They become admins.
    Promote,
    /// They are admins no more.
    Demote,
    /// They asked and come in.
    Approve,
    /// They asked and stay out.
    Reject,
}

impl MemberAction {
    /// The word of the [change](GroupChange::word) that follows from it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Add | Self::Approve => "add",
            Self::Remove => "remove",
            Self::Promote => "promote",
            Self::Demote => "demote",
            Self::Reject => "request_gone",
        }
    }
}

/// A setting of a group that is changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupSetting {
    /// The name that it has now.
    Name(String),
    /// The text under the name; `None` removes it.
    Description(Option<String>),
    /// Whether only admins write.
    Announce(bool),
    /// Whether only admins change name, description and picture.
    Locked(bool),
    /// After how many seconds messages disappear; 0 means never.
    Ephemeral(u32),
    /// Who may add members.
    AddRight(MemberAddRight),
}

impl GroupSetting {
    /// What happens to the group when WhatsApp takes it.
    pub fn change(&self) -> GroupChange {
        match self.clone() {
            Self::Name(name) => GroupChange::Name(name),
            Self::Description(text) => GroupChange::Description(text),
            Self::Announce(on) => GroupChange::Announce(on),
            Self::Locked(on) => GroupChange::Locked(on),
            Self::Ephemeral(seconds) => GroupChange::Ephemeral(seconds),
            Self::AddRight(right) => GroupChange::AddRight(right),
        }
    }
}
