//! Groups: what is known of one, and what can happen to it.
//!
//! A group is asked of WhatsApp once, kept by the ledger, and from then on moved along by what WhatsApp tells about it
//! ([`Group::apply`]), whoever made the change.

use serde::{Deserialize, Serialize};

use crate::{
    address::{ChatId, PhoneNumber},
    event::ChangeSource,
    time::Timestamp,
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
    /// Every member.
    All,
    /// Only admins.
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
        /// Who.
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
    /// What happened.
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
    /// Who asks.
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
    /// Its name.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> ChatId {
        text.parse().unwrap()
    }

    fn both(phone: &str, lid: &str) -> GroupPerson {
        GroupPerson::known_by(PhoneNumber::parse(phone), Some(id(lid))).unwrap()
    }

    fn member(person: GroupPerson) -> GroupMember {
        GroupMember { person, role: GroupRole::Member }
    }

    fn team() -> Group {
        let owner = GroupMember { person: both("49170111", "111@lid"), role: GroupRole::Owner };
        Group {
            id: id("120363041@g.us"),
            name: "Team".into(),
            description: None,
            owner: Some(owner.person.clone()),
            created_at: Some(1),
            announce: false,
            locked: false,
            approval: false,
            ephemeral_seconds: 0,
            add_right: None,
            parent: None,
            size: None,
            members: vec![owner, member(both("49170222", "222@lid"))],
        }
    }

    #[test]
    fn a_person_is_the_same_under_either_address() {
        let mia = both("49170111", "111@lid");
        assert_eq!(mia.id, id("49170111@c.us"));
        for other in ["49170111@c.us", "111@lid"] {
            assert!(mia.has(&id(other)), "{other}");
        }
        assert!(!mia.has(&id("222@lid")));
        assert!(!GroupPerson::of(id("111@lid")).is(&GroupPerson::of(id("49170111@c.us"))));
        assert_eq!(GroupPerson::known_by(None, None), None);
    }

    #[test]
    fn members_come_and_go_by_either_address() {
        let mut group = team();
        let ann = both("49170333", "333@lid");
        assert!(group.apply(&GroupChange::Added(vec![member(ann.clone())])));
        assert!(!group.apply(&GroupChange::Added(vec![member(ann)])), "she is in it already");
        let by_lid = GroupPerson::of(id("222@lid"));
        assert!(group.apply(&GroupChange::Removed(vec![by_lid])));
        let left: Vec<&str> = group.members.iter().map(|one| one.person.id.as_str()).collect();
        assert_eq!(left, ["49170111@c.us", "49170333@c.us"]);
        let admins =
            |admin| GroupChange::Admins { people: vec![GroupPerson::of(id("333@lid"))], admin };
        assert!(group.apply(&admins(true)));
        assert_eq!(group.members[1].role, GroupRole::Admin);
        assert!(group.apply(&admins(false)));
        assert_eq!(group.members[1].role, GroupRole::Member);
    }

    #[test]
    fn a_full_group_does_not_grow() {
        let mut group = team();
        let more =
            (0..2_000_u32).map(|number| member(GroupPerson::of(id(&format!("9{number}@lid")))));
        group.apply(&GroupChange::Added(more.collect()));
        assert_eq!(group.members.len(), MEMBERS_MAX);
    }

    #[test]
    fn settings_follow_and_what_is_the_same_changes_nothing() {
        let mut group = team();
        let settings = [
            GroupSetting::Name("Crew".into()),
            GroupSetting::Description(Some("who bakes".into())),
            GroupSetting::Announce(true),
            GroupSetting::Locked(true),
            GroupSetting::Ephemeral(86_400),
            GroupSetting::AddRight(MemberAddRight::Admins),
        ];
        for setting in &settings {
            assert!(group.apply(&setting.change()), "{setting:?}");
            assert!(!group.apply(&setting.change()), "{setting:?}");
        }
        assert!(group.apply(&GroupChange::Description(Some(String::new()))));
        assert_eq!(group.description, None);
        assert!(!group.apply(&GroupChange::InviteReset));
    }

    #[test]
    fn it_survives_the_ledger() {
        let text = serde_json::to_string(&team()).unwrap();
        assert_eq!(serde_json::from_str::<Group>(&text).unwrap(), team());
        let least = r#"{"id":"1@g.us","name":"x"}"#;
        assert!(serde_json::from_str::<Group>(least).unwrap().members.is_empty());
    }
}
