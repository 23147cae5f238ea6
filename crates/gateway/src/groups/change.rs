//! What is changed of groups.

use domain::{
    ChatId, SessionId,
    group::{
        Group, GroupChange, GroupMember, GroupPerson, GroupRole, GroupSetting, MemberAction,
        MemberOutcome,
    },
    port::{GroupWrite, Write},
};

use super::{GroupError, GroupPicture, Groups, MembersChanged};
use crate::{sessions::ReadySession, spelling};

impl Groups {
    /// Makes a group with these people. Who of them WhatsApp did not take is not in the answer.
    ///
    /// # Errors
    /// [`GroupError`].
    pub async fn create(
        &self,
        session: SessionId,
        name: &str,
        people: &[ChatId],
    ) -> Result<Group, GroupError> {
        let link = self.link(session).await?;
        let people = self.canonical(session, people).await?;
        let places = self.pacing.admit_strangers(&link.lease, &people).await?;
        let making = link.connection.create_group(name, &people);
        let made = self.echoed(session, (None, "create"), making).await;
        match made {
            Ok(group) => {
                places.give_back(|who| group.member(who).is_none()).await;
                let change = GroupChange::Begun { group: Box::new(group.clone()), new: true };
                self.follow(&link, session, &group.id, change).await;
                Ok(group)
            }
            Err(error) => {
                // Where nothing is known they may have heard of it.
                let heard = matches!(error, GroupError::Unanswered);
                places.give_back(|_| !heard).await;
                Err(error)
            }
        }
    }

    /// Adds, removes, promotes or demotes people, or lets in or turns away those who asked.
    ///
    /// # Errors
    /// [`GroupError`]; [`GroupError::RefusedForAll`] when WhatsApp did it for nobody.
    pub async fn change_members(
        &self,
        session: SessionId,
        group: &ChatId,
        (action, people): (MemberAction, &[ChatId]),
    ) -> Result<MembersChanged, GroupError> {
        let link = self.link(session).await?;
        let people = self.canonical(session, people).await?;
        let places = match action {
            MemberAction::Add => Some(self.pacing.admit_strangers(&link.lease, &people).await?),
            _ => None,
        };
        let changing = link.connection.change_members(group, action, &people);
        let done = self.echoed(session, (Some(group), action.word()), changing).await;
        let outcomes = done.map(|answered| in_order(&people, answered));
        if let Some(places) = places {
            let unaware = |who: &ChatId| match &outcomes {
                Ok(outcomes) => {
                    outcomes.iter().any(|one| one.refused.is_some() && one.person.has(who))
                }
                Err(error) => !matches!(error, GroupError::Unanswered),
            };
            places.give_back(unaware).await;
        }
        let outcomes = outcomes.map_err(|error| error.about(group))?;
        let taken = outcomes.iter().filter(|one| one.refused.is_none());
        let taken: Vec<GroupPerson> = taken.map(|one| one.person.clone()).collect();
        if taken.is_empty() {
            self.no_echo(session, (group, action.word()));
            let code = outcomes.first().and_then(|one| one.refused).unwrap_or(0);
            return Err(GroupError::RefusedForAll(code));
        }
        self.follow(&link, session, group, change_of(action, taken)).await;
        Ok(MembersChanged { outcomes })
    }

    /// The same for everybody who asks to be let in.
    ///
    /// # Errors
    /// As [`change_members`](Self::change_members).
    pub async fn decide_all(
        &self,
        session: SessionId,
        group: &ChatId,
        action: MemberAction,
    ) -> Result<MembersChanged, GroupError> {
        let waiting = self.requests(session, group).await?;
        let people: Vec<ChatId> = waiting.into_iter().map(|one| one.person.id).collect();
        if people.is_empty() {
            return Ok(MembersChanged { outcomes: vec![] });
        }
        self.change_members(session, group, (action, &people)).await
    }

    /// Changes settings, one after another. The first that is refused ends it.
    ///
    /// # Errors
    /// [`GroupError`].
    pub async fn set(
        &self,
        session: SessionId,
        group: &ChatId,
        settings: &[GroupSetting],
    ) -> Result<(), GroupError> {
        let link = self.link(session).await?;
        for setting in settings {
            let change = setting.change();
            let setting = link.connection.set_group(group, setting);
            let done = self.echoed(session, (Some(group), change.word()), setting).await;
            done.map_err(|error| error.about(group))?;
            self.follow(&link, session, group, change).await;
        }
        Ok(())
    }

    /// Leaves a group.
    ///
    /// # Errors
    /// [`GroupError`].
    pub async fn leave(&self, session: SessionId, group: &ChatId) -> Result<(), GroupError> {
        let link = self.link(session).await?;
        let leaving = link.connection.leave_group(group);
        let left = self.echoed(session, (Some(group), "remove"), leaving).await;
        left.map_err(|error| error.about(group))?;
        let change = Box::new(GroupWrite::Forget);
        let write = Write::Group { session, group: group.clone(), change, events: vec![] };
        self.store(&link, write).await;
        Ok(())
    }

    /// Gives a group a picture, or takes it away.
    ///
    /// # Errors
    /// [`GroupError`].
    pub async fn set_picture(
        &self,
        session: SessionId,
        group: &ChatId,
        picture: Option<GroupPicture>,
    ) -> Result<(), GroupError> {
        let link = self.link(session).await?;
        let jpeg = match picture {
            Some(picture) => Some(self.portrait(session, picture).await?),
            None => None,
        };
        let setting = link.connection.set_group_picture(group, jpeg);
        let done = self.echoed(session, (Some(group), "picture"), setting).await;
        done.map_err(|error| error.about(group))
    }

    /// Sets the label that this account carries in a group; an empty one removes it.
    ///
    /// # Errors
    /// [`GroupError`].
    pub async fn set_label(
        &self,
        session: SessionId,
        group: &ChatId,
        label: &str,
    ) -> Result<(), GroupError> {
        let link = self.link(session).await?;
        let done = link.connection.set_member_label(group, label).await;
        done.map_err(|error| GroupError::from(error).about(group))
    }

    async fn portrait(
        &self,
        session: SessionId,
        picture: GroupPicture,
    ) -> Result<Vec<u8>, GroupError> {
        let made = match picture {
            GroupPicture::Base64(text) => self.media.profile_of_base64(&text).await,
            GroupPicture::Url(url) => {
                let found = self.ports.store.session(session).await.map_err(GroupError::Store)?;
                let proxy = found.and_then(|session| session.proxy);
                let proxy = proxy.filter(|_| self.fetch_through_proxy);
                self.media.profile_of_url(&url, proxy.as_ref()).await
            }
        };
        made.map_err(GroupError::Media)
    }

    /// The ids under which people are known: by number, in the spelling that WhatsApp knows.
    async fn canonical(
        &self,
        session: SessionId,
        people: &[ChatId],
    ) -> Result<Vec<ChatId>, GroupError> {
        let mut ids = Vec::with_capacity(people.len());
        for who in people {
            let id = self.ports.store.canonical_chat(session, who).await;
            let id = id.map_err(GroupError::Store)?;
            let id = spelling::remembered(&self.ports, session, &id).await;
            let id = id.map_err(GroupError::Store)?;
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        Ok(ids)
    }

    /// The ledger follows what WhatsApp did. The event is recorded when WhatsApp tells of it.
    async fn follow(
        &self,
        link: &ReadySession,
        session: SessionId,
        group: &ChatId,
        change: GroupChange,
    ) {
        let change = Box::new(GroupWrite::Change(change, self.ports.clock.now()));
        self.store(link, Write::Group { session, group: group.clone(), change, events: vec![] })
            .await;
    }

    /// What WhatsApp tells says the same again: a failure costs only a moment in which the ledger is behind.
    async fn store(&self, link: &ReadySession, write: Write) {
        if let Err(error) = self.ledger.write(Some(&link.lease), vec![write]).await {
            tracing::warn!(session.id = %link.lease.session, error = &error as &dyn std::error::Error,
                "a group that was changed is not up to date yet");
        }
    }
}

/// One outcome for each person that was named. About whom WhatsApp says nothing, nothing was done.
fn in_order(people: &[ChatId], answered: Vec<MemberOutcome>) -> Vec<MemberOutcome> {
    let of = |who: &ChatId| {
        let found = answered.iter().find(|one| one.person.has(who));
        let nothing = || MemberOutcome { person: GroupPerson::of(who.clone()), refused: Some(0) };
        found.cloned().unwrap_or_else(nothing)
    };
    if people.len() == answered.len() {
        // In the order of the request, by addresses that may be unknown here.
        let known = |(who, one): (&ChatId, &MemberOutcome)| {
            answered.iter().find(|other| other.person.has(who)).unwrap_or(one).clone()
        };
        return people.iter().zip(&answered).map(known).collect();
    }
    people.iter().map(of).collect()
}

fn change_of(action: MemberAction, people: Vec<GroupPerson>) -> GroupChange {
    match action {
        MemberAction::Add | MemberAction::Approve => {
            let member = |person| GroupMember { person, role: GroupRole::Member };
            GroupChange::Added(people.into_iter().map(member).collect())
        }
        MemberAction::Remove => GroupChange::Removed(people),
        MemberAction::Promote => GroupChange::Admins { people, admin: true },
        MemberAction::Demote => GroupChange::Admins { people, admin: false },
        MemberAction::Reject => GroupChange::RequestsGone(people),
    }
}
