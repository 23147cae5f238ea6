//! What one connection can do with groups.

use async_trait::async_trait;
use domain::{
    ChatId,
    group::{
        Group, GroupMember, GroupRole, GroupSetting, MemberAction, MemberAddRight, MemberOutcome,
        MembershipRequest,
    },
    port::{EngineError, GroupActionError, GroupActions, GroupJoined, GroupResult},
    time::BoxFuture,
};
use whatsapp_rust::{
    Client, ContactError, GroupCreateOptions, GroupDescription, GroupParticipantOptions,
    GroupSubject, IqError, Jid, JoinGroupResult, MemberAddMode, ParticipantChangeResponse,
    PreviousDescription,
};

use super::{
    address,
    describe::{self, GroupQuestion, InviteQuestion, RequestsQuestion},
    of_group, of_request,
};
use crate::{connection::ConnectionHandle, failure, people};

/// What every invite link begins with.
const LINK: &str = "https://chat.whatsapp.com/";

impl ConnectionHandle {
    /// Does something with groups, within the limit of a request.
    async fn with_groups<T: Send + 'static>(
        &self,
        doing: impl FnOnce(std::sync::Arc<Client>) -> BoxFuture<GroupResult<T>>,
    ) -> GroupResult<T> {
        let doing = doing(self.client.clone());
        self.request(Box::pin(async move { Ok(doing.await) })).await?
    }
}

#[async_trait]
impl GroupActions for ConnectionHandle {
    async fn groups(&self) -> GroupResult<Vec<Group>> {
        self.with_groups(|client| Box::pin(async move { describe::all(&client).await })).await
    }

    async fn group(&self, group: &ChatId) -> GroupResult<Group> {
        let jid = address(group)?;
        self.with_groups(|client| Box::pin(async move { one(&client, jid).await })).await
    }

    async fn create_group(&self, name: &str, people: &[ChatId]) -> GroupResult<Group> {
        let mut options = GroupCreateOptions::new(name);
        for who in people {
            options = options.with_participant(GroupParticipantOptions::new(person(who)?));
        }
        self.with_groups(|client| Box::pin(async move { create(&client, options).await })).await
    }

    async fn change_members(
        &self,
        group: &ChatId,
        action: MemberAction,
        people: &[ChatId],
    ) -> GroupResult<Vec<MemberOutcome>> {
        let (jid, people) = (address(group)?, people.to_vec());
        self.with_groups(|client| {
            Box::pin(async move { change_members(&client, jid, action, &people).await })
        })
        .await
    }

    async fn set_group(&self, group: &ChatId, setting: &GroupSetting) -> GroupResult<()> {
        let (jid, setting) = (address(group)?, setting.clone());
        self.with_groups(|client| Box::pin(async move { set(&client, jid, setting).await })).await
    }

    async fn leave_group(&self, group: &ChatId) -> GroupResult<()> {
        let jid = address(group)?;
        self.with_groups(|client| {
            Box::pin(async move { client.groups().leave(jid).await.map_err(of_group) })
        })
        .await
    }

    async fn invite_code(&self, group: &ChatId, reset: bool) -> GroupResult<String> {
        let jid = address(group)?;
        self.with_groups(|client| {
            Box::pin(async move {
                let link = client.groups().get_invite_link(jid, reset).await.map_err(of_group)?;
                Ok(link.strip_prefix(LINK).unwrap_or(&link).to_owned())
            })
        })
        .await
    }

    async fn group_by_code(&self, code: &str) -> GroupResult<Group> {
        let question = InviteQuestion(code.to_owned());
        self.with_groups(|client| {
            Box::pin(async move {
                let described = client.execute(question).await.map_err(of_request)?;
                described.group(&client, true).await.ok_or_else(no_group)
            })
        })
        .await
    }

    async fn join_group(&self, code: &str) -> GroupResult<GroupJoined> {
        let code = code.to_owned();
        self.with_groups(|client| {
            Box::pin(async move {
                let joined = client.groups().join_with_invite_code(&code).await;
                let joined = joined.map_err(of_group)?;
                let group = people::chat_id(joined.group_jid()).ok_or_else(no_group)?;
                Ok(match joined {
                    JoinGroupResult::Joined(_) => GroupJoined::Member(group),
                    JoinGroupResult::PendingApproval(_) => GroupJoined::Waits(group),
                })
            })
        })
        .await
    }

    async fn membership_requests(&self, group: &ChatId) -> GroupResult<Vec<MembershipRequest>> {
        let question = RequestsQuestion(address(group)?);
        self.with_groups(|client| {
            Box::pin(async move {
                let mut requests = Vec::new();
                for waiting in client.execute(question).await.map_err(of_request)? {
                    requests.extend(waiting.known(&client).await);
                }
                Ok(requests)
            })
        })
        .await
    }

    async fn group_picture(&self, group: &ChatId) -> GroupResult<Option<String>> {
        let jid = address(group)?;
        self.with_groups(|client| {
            Box::pin(async move {
                let found = client.contacts().get_profile_picture(&jid, false).await;
                match found {
                    Ok(picture) => Ok(picture.map(|picture| picture.url)),
                    // It has none, or hides it.
                    Err(ContactError::Iq(IqError::ServerError {
                        code: 401 | 403 | 404, ..
                    })) => Ok(None),
                    Err(ContactError::Iq(error)) => Err(of_request(error)),
                    Err(error) => Err(failure::of_contact(error).into()),
                }
            })
        })
        .await
    }

    async fn set_group_picture(&self, group: &ChatId, jpeg: Option<Vec<u8>>) -> GroupResult<()> {
        let jid = address(group)?;
        self.with_groups(|client| {
            Box::pin(async move {
                let groups = client.groups();
                let done = match jpeg {
                    Some(jpeg) => groups.set_profile_picture(jid, jpeg).await,
                    None => groups.remove_profile_picture(jid).await,
                };
                done.map(drop).map_err(of_group)
            })
        })
        .await
    }

    async fn set_member_label(&self, group: &ChatId, label: &str) -> GroupResult<()> {
        let (jid, label) = (address(group)?, label.to_owned());
        self.with_groups(|client| {
            Box::pin(async move {
                client.groups().update_member_label(jid, label).await.map_err(of_group)
            })
        })
        .await
    }
}

fn no_group() -> GroupActionError {
    EngineError::Refused("WhatsApp described no group".into()).into()
}

fn person(who: &ChatId) -> GroupResult<Jid> {
    let jid = people::jid(who).filter(people::is_person);
    jid.ok_or_else(|| EngineError::Refused("this is no person".into()).into())
}

async fn one(client: &Client, jid: Jid) -> GroupResult<Group> {
    let described = client.execute(GroupQuestion(jid)).await.map_err(of_request)?;
    described.group(client, true).await.ok_or_else(no_group)
}

/// The answer to a creation names also those who were refused, so the group is asked who is in it. One that does not
/// answer is described by what is known.
async fn create(client: &Client, options: GroupCreateOptions) -> GroupResult<Group> {
    let name = options.subject.clone();
    let made = client.groups().create_group(options).await.map_err(of_group)?;
    let id = people::chat_id(&made.metadata.id).ok_or_else(no_group)?;
    match one(client, made.metadata.id).await {
        Ok(group) => Ok(group),
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a new group was not described"
            );
            let owner = people::own(client);
            let members = owner
                .phone
                .as_ref()
                .map(describe::by_phone)
                .map(|person| GroupMember { person, role: GroupRole::Owner });
            Ok(Group {
                id,
                name,
                description: None,
                owner: members.as_ref().map(|one| one.person.clone()),
                created_at: None,
                announce: false,
                locked: false,
                approval: false,
                ephemeral_seconds: 0,
                add_right: Some(MemberAddRight::All),
                parent: None,
                size: made.metadata.size,
                members: members.into_iter().collect(),
            })
        }
    }
}

async fn change_members(
    client: &Client,
    group: Jid,
    action: MemberAction,
    people: &[ChatId],
) -> GroupResult<Vec<MemberOutcome>> {
    let mut jids = Vec::with_capacity(people.len());
    for who in people {
        let jid = person(who)?;
        jids.push(match action {
            MemberAction::Add => jid,
            // A member is named as the group names them.
            _ => people::address_in(client, &group, who).await.unwrap_or(jid),
        });
    }
    let groups = client.groups();
    let answers = match action {
        MemberAction::Add => groups.add_participants(group, &jids).await,
        MemberAction::Remove => groups.remove_participants(group, &jids).await,
        MemberAction::Promote => groups.promote_participants(group, &jids).await,
        MemberAction::Demote => groups.demote_participants(group, &jids).await,
        MemberAction::Approve => groups.approve_membership_requests(group, &jids).await,
        MemberAction::Reject => groups.reject_membership_requests(group, &jids).await,
    };
    let mut outcomes = Vec::with_capacity(jids.len());
    for answer in answers.map_err(of_group)? {
        outcomes.extend(outcome(client, &answer).await);
    }
    Ok(outcomes)
}

async fn outcome(client: &Client, answer: &ParticipantChangeResponse) -> Option<MemberOutcome> {
    let phone = answer.phone_number.as_ref();
    Some(MemberOutcome {
        person: describe::person(client, &answer.jid, phone, true).await?,
        // A refusal without a number is still a refusal.
        refused: answer.error.as_deref().map(|code| code.parse().unwrap_or(0)),
    })
}

async fn set(client: &Client, group: Jid, setting: GroupSetting) -> GroupResult<()> {
    let refused = |why: String| GroupActionError::from(EngineError::Refused(why));
    let groups = client.groups();
    let done = match setting {
        GroupSetting::Name(name) => {
            let name = GroupSubject::new(name).map_err(|error| refused(error.to_string()))?;
            groups.set_subject(group, name).await
        }
        GroupSetting::Description(text) => {
            let text = text.map(GroupDescription::new).transpose();
            let text = text.map_err(|error| refused(error.to_string()))?;
            groups.set_description(group, text, PreviousDescription::Resolve).await
        }
        GroupSetting::Announce(on) => groups.set_announce(group, on).await,
        GroupSetting::Locked(on) => groups.set_locked(group, on).await,
        GroupSetting::Ephemeral(seconds) => groups.set_ephemeral(group, seconds).await,
        GroupSetting::AddRight(right) => {
            let mode = match right {
                MemberAddRight::All => MemberAddMode::AllMemberAdd,
                MemberAddRight::Admins => MemberAddMode::AdminAdd,
            };
            groups.set_member_add_mode(group, mode).await
        }
    };
    done.map_err(of_group)
}
