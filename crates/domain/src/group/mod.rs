//! Groups: what is known of one, and what can happen to it.
//!
//! A group is asked of WhatsApp once, kept by the ledger, and from then on moved along by what WhatsApp tells about it
//! ([`Group::apply`]), whoever made the change.

mod change;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::address::{ChatId, PhoneNumber};

pub use change::{
    GroupChange, GroupNews, GroupSetting, GroupSignal, JoinMethod, MemberAction, MemberOutcome,
    MembershipRequest,
};

/// Members of one group, as many as WhatsApp allows.
pub const MEMBERS_MAX: usize = 1_024;

/// A person as a group knows them: by privacy id, by number, or by both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupPerson {
    /// The canonical chat id: the number's where it is known.
    pub id: ChatId,
    /// The number, when known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<PhoneNumber>,
    /// The privacy id, when known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lid: Option<ChatId>,
}

impl GroupPerson {
    /// Somebody of whom only one address is known.
    pub fn of(id: ChatId) -> Self {
        let lid = id.is_lid().then(|| id.clone());
        Self { phone: id.phone(), lid, id }
    }

    /// From both addresses; nothing when there is neither.
    pub fn known_by(phone: Option<PhoneNumber>, lid: Option<ChatId>) -> Option<Self> {
        let id = phone.as_ref().map(PhoneNumber::chat).or_else(|| lid.clone())?;
        Some(Self { id, phone, lid })
    }

    /// Whether both are the same person, as far as can be seen.
    pub fn is(&self, other: &Self) -> bool {
        let same_lid = self.lid.is_some() && self.lid == other.lid;
        self.id == other.id || same_lid || (self.phone.is_some() && self.phone == other.phone)
    }

    /// Whether this address is the person's.
    pub fn has(&self, id: &ChatId) -> bool {
        self.is(&Self::of(id.clone()))
    }
}

/// What a member may do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GroupRole {
    /// Writes and reads.
    #[default]
    Member,
    /// Also changes the group.
    Admin,
    /// The admin who made the group, and cannot be removed.
    Owner,
}

/// A person in a group, with what they may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupMember {
    /// Who it is.
    #[serde(flatten)]
    pub person: GroupPerson,
    /// What they may do there.
    #[serde(default)]
    pub role: GroupRole,
}

/// Who may add members to a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemberAddRight {
    /// Every member of the group.
    All,
    /// Only the group's admins.
    Admins,
}

impl MemberAddRight {
    /// The word of the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Admins => "admins",
        }
    }
}

/// What is known of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// The chat of the group.
    pub id: ChatId,
    /// What it is called.
    pub name: String,
    /// The text under the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<GroupPerson>,
    /// When it was made, epoch seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<i64>,
    /// Only admins write.
    #[serde(default)]
    pub announce: bool,
    /// Only admins change name, description and picture.
    #[serde(default)]
    pub locked: bool,
    /// Admins have to let new members in.
    #[serde(default)]
    pub approval: bool,
    /// After how long new messages disappear, seconds; 0 means never.
    #[serde(default)]
    pub ephemeral_seconds: u32,
    /// Who may add members; nothing when WhatsApp did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub add_right: Option<MemberAddRight>,
    /// The community that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<ChatId>,
    /// How many members there are, where WhatsApp says that without naming them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u32>,
    /// Everybody in it.
    #[serde(default)]
    pub members: Vec<GroupMember>,
}

impl Group {
    /// Moves what is known along with a change. `false` when nothing of it is different now.
    pub fn apply(&mut self, change: &GroupChange) -> bool {
        let before = self.clone();
        match change.clone() {
            GroupChange::Begun { group, .. } => *self = *group,
            GroupChange::Added(members) => members.into_iter().for_each(|one| self.add(one)),
            GroupChange::Removed(people) => {
                self.members.retain(|one| !people.iter().any(|gone| gone.is(&one.person)));
            }
            GroupChange::Admins { people, admin } => self.set_admins(&people, admin),
            GroupChange::Name(name) => self.name = name,
            GroupChange::Description(text) => {
                self.description = text.filter(|text| !text.is_empty());
            }
            GroupChange::Announce(on) => self.announce = on,
            GroupChange::Locked(on) => self.locked = on,
            GroupChange::Ephemeral(seconds) => self.ephemeral_seconds = seconds,
            GroupChange::AddRight(right) => self.add_right = Some(right),
            GroupChange::Approval(on) => self.approval = on,
            GroupChange::Picture { .. }
            | GroupChange::InviteReset
            | GroupChange::Requested { .. }
            | GroupChange::RequestsGone(_)
            | GroupChange::MembersMoved(_)
            | GroupChange::Deleted => {}
        }
        *self != before
    }

    /// A member, by any address.
    pub fn member(&self, id: &ChatId) -> Option<&GroupMember> {
        self.members.iter().find(|one| one.person.has(id))
    }

    fn add(&mut self, member: GroupMember) {
        match self.members.iter().position(|one| one.person.is(&member.person)) {
            Some(known) => self.members[known] = member,
            None if self.members.len() < MEMBERS_MAX => self.members.push(member),
            // WhatsApp allows more by now: the next look at the group shows them.
            None => {}
        }
    }

    fn set_admins(&mut self, people: &[GroupPerson], admin: bool) {
        for member in &mut self.members {
            if !people.iter().any(|person| person.is(&member.person)) {
                continue;
            }
            member.role = match (admin, member.role) {
                (true, GroupRole::Owner) => GroupRole::Owner,
                (true, _) => GroupRole::Admin,
                (false, _) => GroupRole::Member,
            };
        }
    }
}
