//! Groups of the scripted WhatsApp: it keeps them, and refuses what a test wants it to refuse. It tells nobody what it
//! did: a test signals what WhatsApp would tell.

use std::collections::{BTreeMap, VecDeque};

use async_trait::async_trait;
use domain::{
    ChatId,
    group::{
        Group, GroupChange, GroupMember, GroupPerson, GroupRole, GroupSetting, MemberAction,
        MemberOutcome, MembershipRequest,
    },
    port::{EngineError, GroupActionError, GroupActions, GroupJoined, GroupResult},
};

use super::{FakeLink, FakeWhatsApp, link::HeldLink};

/// Groups as the scripted WhatsApp knows them.
#[derive(Default)]
pub(super) struct FakeGroups {
    known: BTreeMap<ChatId, Group>,
    codes: BTreeMap<String, ChatId>,
    resets: usize,
    waiting: BTreeMap<ChatId, Vec<MembershipRequest>>,
    pictures: BTreeMap<ChatId, Vec<u8>>,
    labels: Vec<(ChatId, String)>,
    refused: BTreeMap<ChatId, u16>,
    failures: VecDeque<GroupActionError>,
    asked: usize,
}

impl FakeWhatsApp {
    /// Puts a group there, with an invite code.
    pub fn keep_group(&self, group: Group, code: &str) {
        let mut state = self.lock();
        state.groups.codes.insert(code.to_owned(), group.id.clone());
        state.groups.known.insert(group.id.clone(), group);
    }

    /// A group as it is there now.
    pub fn kept_group(&self, id: &ChatId) -> Option<Group> {
        self.lock().groups.known.get(id).cloned()
    }

    /// How often something was asked of it about groups.
    pub fn asked_of_groups(&self) -> usize {
        self.lock().groups.asked
    }

    /// The next question or change about a group fails.
    pub fn fail_group(&self, error: GroupActionError) {
        self.lock().groups.failures.push_back(error);
    }

    /// This person cannot be added to a group, or changed in one: with this code.
    pub fn refuse_member(&self, person: ChatId, code: u16) {
        self.lock().groups.refused.insert(person, code);
    }

    /// Somebody waits to be let into a group.
    pub fn wait_for_group(&self, group: &ChatId, request: MembershipRequest) {
        self.lock().groups.waiting.entry(group.clone()).or_default().push(request);
    }

    /// The picture of a group.
    pub fn picture_of(&self, group: &ChatId) -> Option<Vec<u8>> {
        self.lock().groups.pictures.get(group).cloned()
    }

    /// Every label that was set, in order.
    pub fn member_labels(&self) -> Vec<(ChatId, String)> {
        self.lock().groups.labels.clone()
    }
}

impl FakeGroups {
    fn begin(&mut self) -> GroupResult<()> {
        self.asked += 1;
        self.failures.pop_front().map_or(Ok(()), Err)
    }

    fn group(&mut self, id: &ChatId) -> GroupResult<&mut Group> {
        self.known.get_mut(id).ok_or_else(not_there)
    }

    fn change(
        &mut self,
        id: &ChatId,
        action: MemberAction,
        people: &[ChatId],
    ) -> GroupResult<Vec<MemberOutcome>> {
        let refused = self.refused.clone();
        let group = self.group(id)?;
        let mut outcomes = Vec::new();
        for who in people {
            let person = GroupPerson::of(who.clone());
            let is_in = group.member(who).is_some();
            let code = match action {
                MemberAction::Add if is_in => Some(409),
                MemberAction::Remove | MemberAction::Promote | MemberAction::Demote if !is_in => {
                    Some(404)
                }
                _ => refused.get(who).copied(),
            };
            if code.is_none() {
                group.apply(&done(action, person.clone()));
            }
            outcomes.push(MemberOutcome { person, refused: code });
        }
        if matches!(action, MemberAction::Approve | MemberAction::Reject) {
            let waiting = self.waiting.entry(id.clone()).or_default();
            waiting.retain(|one| !people.iter().any(|who| one.person.has(who)));
        }
        Ok(outcomes)
    }
}

fn not_there() -> GroupActionError {
    GroupActionError::Refused { code: 404, text: "item-not-found".into() }
}

fn done(action: MemberAction, person: GroupPerson) -> GroupChange {
    match action {
        MemberAction::Add | MemberAction::Approve => {
            GroupChange::Added(vec![GroupMember { person, role: GroupRole::Member }])
        }
        MemberAction::Remove => GroupChange::Removed(vec![person]),
        MemberAction::Promote => GroupChange::Admins { people: vec![person], admin: true },
        MemberAction::Demote => GroupChange::Admins { people: vec![person], admin: false },
        MemberAction::Reject => GroupChange::RequestsGone(vec![person]),
    }
}

impl FakeLink {
    fn with_groups<T>(
        &self,
        act: impl FnOnce(&mut FakeGroups) -> GroupResult<T>,
    ) -> GroupResult<T> {
        if self.is_closed() {
            return Err(EngineError::NotConnected.into());
        }
        let mut state = self.fake.lock();
        state.groups.begin()?;
        act(&mut state.groups)
    }

    fn me(&self) -> GroupPerson {
        let linked = self.fake.lock().linked.get(&self.session).cloned();
        GroupPerson::of(linked.expect("the session is linked").chat())
    }
}

#[async_trait]
impl GroupActions for FakeLink {
    async fn groups(&self) -> GroupResult<Vec<Group>> {
        self.with_groups(|groups| Ok(groups.known.values().cloned().collect()))
    }

    async fn group(&self, group: &ChatId) -> GroupResult<Group> {
        self.with_groups(|groups| groups.group(group).cloned())
    }

    async fn create_group(&self, name: &str, people: &[ChatId]) -> GroupResult<Group> {
        let owner = self.me();
        self.with_groups(|groups| {
            let id: ChatId =
                format!("12036300000000{:04}@g.us", groups.known.len()).parse().expect("an id");
            let mut members = vec![GroupMember { person: owner.clone(), role: GroupRole::Owner }];
            let taken = people.iter().filter(|who| !groups.refused.contains_key(*who));
            members.extend(taken.map(|who| GroupMember {
                person: GroupPerson::of(who.clone()),
                role: GroupRole::Member,
            }));
            let group = Group {
                id: id.clone(),
                name: name.to_owned(),
                description: None,
                owner: Some(owner),
                created_at: Some(super::SERVER_TIME),
                announce: false,
                locked: false,
                approval: false,
                ephemeral_seconds: 0,
                add_right: Some(domain::group::MemberAddRight::All),
                parent: None,
                size: None,
                members,
            };
            groups.codes.insert(format!("CODE{}", groups.known.len()), id.clone());
            groups.known.insert(id, group.clone());
            Ok(group)
        })
    }

    async fn change_members(
        &self,
        group: &ChatId,
        action: MemberAction,
        people: &[ChatId],
    ) -> GroupResult<Vec<MemberOutcome>> {
        self.with_groups(|groups| groups.change(group, action, people))
    }

    async fn set_group(&self, group: &ChatId, setting: &GroupSetting) -> GroupResult<()> {
        self.with_groups(|groups| {
            groups.group(group)?.apply(&setting.change());
            Ok(())
        })
    }

    async fn leave_group(&self, group: &ChatId) -> GroupResult<()> {
        self.with_groups(|groups| groups.known.remove(group).map(drop).ok_or_else(not_there))
    }

    async fn invite_code(&self, group: &ChatId, reset: bool) -> GroupResult<String> {
        self.with_groups(|groups| {
            groups.group(group)?;
            if reset {
                groups.codes.retain(|_, known| known != group);
                groups.resets += 1;
                groups.codes.insert(format!("RESET{}", groups.resets), group.clone());
            }
            let mut codes = groups.codes.iter().filter(|(_, known)| *known == group);
            codes.next().map(|(code, _)| code.clone()).ok_or_else(not_there)
        })
    }

    async fn group_by_code(&self, code: &str) -> GroupResult<Group> {
        self.with_groups(|groups| {
            let id = groups.codes.get(code).cloned().ok_or_else(not_there)?;
            groups.group(&id).cloned()
        })
    }

    async fn join_group(&self, code: &str) -> GroupResult<GroupJoined> {
        let me = self.me();
        self.with_groups(|groups| {
            let id = groups.codes.get(code).cloned().ok_or_else(not_there)?;
            let group = groups.group(&id)?;
            if group.approval {
                return Ok(GroupJoined::Waits(id));
            }
            group.apply(&done(MemberAction::Add, me));
            Ok(GroupJoined::Member(id))
        })
    }

    async fn membership_requests(&self, group: &ChatId) -> GroupResult<Vec<MembershipRequest>> {
        self.with_groups(|groups| {
            groups.group(group)?;
            Ok(groups.waiting.get(group).cloned().unwrap_or_default())
        })
    }

    async fn group_picture(&self, group: &ChatId) -> GroupResult<Option<String>> {
        self.with_groups(|groups| {
            groups.group(group)?;
            let there = groups.pictures.contains_key(group);
            Ok(there.then(|| format!("https://pps.example/{group}")))
        })
    }

    async fn set_group_picture(&self, group: &ChatId, jpeg: Option<Vec<u8>>) -> GroupResult<()> {
        self.with_groups(|groups| {
            groups.group(group)?;
            match jpeg {
                Some(jpeg) => drop(groups.pictures.insert(group.clone(), jpeg)),
                None => drop(groups.pictures.remove(group)),
            }
            Ok(())
        })
    }

    async fn set_member_label(&self, group: &ChatId, label: &str) -> GroupResult<()> {
        self.with_groups(|groups| {
            groups.group(group)?;
            groups.labels.push((group.clone(), label.to_owned()));
            Ok(())
        })
    }
}

#[async_trait]
impl GroupActions for HeldLink {
    async fn groups(&self) -> GroupResult<Vec<Group>> {
        self.0.groups().await
    }

    async fn group(&self, group: &ChatId) -> GroupResult<Group> {
        self.0.group(group).await
    }

    async fn create_group(&self, name: &str, people: &[ChatId]) -> GroupResult<Group> {
        self.0.create_group(name, people).await
    }

    async fn change_members(
        &self,
        group: &ChatId,
        action: MemberAction,
        people: &[ChatId],
    ) -> GroupResult<Vec<MemberOutcome>> {
        self.0.change_members(group, action, people).await
    }

    async fn set_group(&self, group: &ChatId, setting: &GroupSetting) -> GroupResult<()> {
        self.0.set_group(group, setting).await
    }

    async fn leave_group(&self, group: &ChatId) -> GroupResult<()> {
        self.0.leave_group(group).await
    }

    async fn invite_code(&self, group: &ChatId, reset: bool) -> GroupResult<String> {
        self.0.invite_code(group, reset).await
    }

    async fn group_by_code(&self, code: &str) -> GroupResult<Group> {
        self.0.group_by_code(code).await
    }

    async fn join_group(&self, code: &str) -> GroupResult<GroupJoined> {
        self.0.join_group(code).await
    }

    async fn membership_requests(&self, group: &ChatId) -> GroupResult<Vec<MembershipRequest>> {
        self.0.membership_requests(group).await
    }

    async fn group_picture(&self, group: &ChatId) -> GroupResult<Option<String>> {
        self.0.group_picture(group).await
    }

    async fn set_group_picture(&self, group: &ChatId, jpeg: Option<Vec<u8>>) -> GroupResult<()> {
        self.0.set_group_picture(group, jpeg).await
    }

    async fn set_member_label(&self, group: &ChatId, label: &str) -> GroupResult<()> {
        self.0.set_member_label(group, label).await
    }
}
