//! Groups: read from the ledger, asked of WhatsApp where that does not know them, changed at WhatsApp.
//!
//! # Guarantees
//! A change is made at WhatsApp first; the ledger follows at once, and the event follows what WhatsApp tells all
//! devices
//! of the account, so that it is the same whoever made the change. A group that the ledger could not follow is asked
//! anew when it is next looked at. Adding people with whom neither side ever wrote counts as writing to strangers.

mod change;
mod error;
mod read;

use domain::{
    ChatId, SessionId,
    group::{Group, MemberOutcome},
    pacing::PacingRules,
    port::{GroupActionError, GroupResult},
};

use crate::{
    Media, Ports, Sessions,
    ledger::LedgerWriter,
    outbox::AckWaiters,
    pacing::SendPacing,
    sessions::{ExpectedEcho, ReadySession},
};

pub use error::GroupError;

/// A group in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedGroup {
    /// The chat of the group.
    pub id: ChatId,
    /// What it is called.
    pub name: String,
    /// The community that it belongs to.
    pub parent: Option<ChatId>,
}

/// A group with what the account knows of its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupView {
    /// What is known of the group.
    pub group: Group,
    /// The names of its members, in their order, where they are known.
    pub names: Vec<Option<String>>,
    /// Whether this account may change it.
    pub is_admin: bool,
}

/// A picture for a group, as it was handed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupPicture {
    /// To be fetched.
    Url(String),
    /// The file itself.
    Base64(String),
}

/// What became of a change of members: one outcome for each that was named, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MembersChanged {
    /// What came of each member.
    pub outcomes: Vec<MemberOutcome>,
}

/// A handle to groups. Cheap to clone.
#[derive(Clone)]
pub struct Groups {
    ports: Ports,
    sessions: Sessions,
    ledger: LedgerWriter,
    media: Media,
    pacing: SendPacing,
    fetch_through_proxy: bool,
}

/// What groups are built of.
pub(crate) struct GroupParts<'a> {
    pub(crate) ports: &'a Ports,
    pub(crate) sessions: &'a Sessions,
    pub(crate) ledger: &'a LedgerWriter,
    pub(crate) media: &'a Media,
    pub(crate) waiters: &'a AckWaiters,
    pub(crate) pacing: &'a PacingRules,
    pub(crate) fetch_through_proxy: bool,
}

impl Groups {
    pub(crate) fn build(parts: GroupParts<'_>) -> Self {
        Self {
            ports: parts.ports.clone(),
            sessions: parts.sessions.clone(),
            ledger: parts.ledger.clone(),
            media: parts.media.clone(),
            pacing: SendPacing::new(parts.ports, parts.pacing.clone(), parts.waiters.cold.clone()),
            fetch_through_proxy: parts.fetch_through_proxy,
        }
    }

    async fn link(&self, session: SessionId) -> Result<ReadySession, GroupError> {
        self.sessions.link(session).await.map_err(GroupError::from)
    }

    /// Makes a change of which WhatsApp is going to tell.
    async fn echoed<T>(
        &self,
        session: SessionId,
        (group, word): (Option<&ChatId>, &'static str),
        change: impl Future<Output = GroupResult<T>>,
    ) -> Result<T, GroupError> {
        let echo = ExpectedEcho { group: group.cloned(), word, at: self.ports.clock.now() };
        self.sessions.expect_echo(session, echo.clone());
        let done = change.await;
        if let Err(GroupActionError::Refused { .. }) = &done {
            self.sessions.forget_echo(session, &echo);
        }
        done.map_err(GroupError::from)
    }

    /// Nothing was changed after all.
    fn no_echo(&self, session: SessionId, (group, word): (&ChatId, &'static str)) {
        let at = self.ports.clock.now();
        self.sessions.forget_echo(session, &ExpectedEcho { group: Some(group.clone()), word, at });
    }
}
