//! Groups at WhatsApp, and in the ledger.

use async_trait::async_trait;

use super::{EngineError, Page, StoreResult};
use crate::{
    address::ChatId,
    group::{Group, GroupSetting, MemberAction, MemberOutcome, MembershipRequest},
    ids::SessionId,
    time::Timestamp,
};

/// Why a question or a change about a group failed.
#[derive(Debug, thiserror::Error)]
pub enum GroupActionError {
    /// WhatsApp said no, with its code: 401 and 403 not allowed, 404 and 410 not there, 429 too much, 463 restricted.
    #[error("WhatsApp refused: {text} ({code})")]
    Refused {
        /// The code that WhatsApp gave.
        code: u16,
        /// WhatsApp's own words.
        text: String,
    },
    /// Anything that can happen to any request.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// What came of a group's invite link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupJoined {
    /// The account is a member.
    Member(ChatId),
    /// An admin has to let it in.
    Waits(ChatId),
}

/// The result of a question or a change about a group.
pub type GroupResult<T> = Result<T, GroupActionError>;

/// What one connection can do with groups.
#[async_trait]
pub trait GroupActions: Send + Sync + 'static {
    /// Every group the account is in.
    async fn groups(&self) -> GroupResult<Vec<Group>>;

    /// One group, as it is at WhatsApp now.
    async fn group(&self, group: &ChatId) -> GroupResult<Group>;

    /// Makes a group with these people; who of them is in it shows its answer.
    async fn create_group(&self, name: &str, people: &[ChatId]) -> GroupResult<Group>;

    /// Does the same with some people; one outcome for each that WhatsApp answered about.
    async fn change_members(
        &self,
        group: &ChatId,
        action: MemberAction,
        people: &[ChatId],
    ) -> GroupResult<Vec<MemberOutcome>>;

    /// Changes one setting.
    async fn set_group(&self, group: &ChatId, setting: &GroupSetting) -> GroupResult<()>;

    /// Leaves a group.
    async fn leave_group(&self, group: &ChatId) -> GroupResult<()>;

    /// The code of a group's invite link; a new one, after which the old one is void, with `reset`.
    async fn invite_code(&self, group: &ChatId, reset: bool) -> GroupResult<String>;

    /// The group behind an invite code, without joining it.
    async fn group_by_code(&self, code: &str) -> GroupResult<Group>;

    /// Joins a group by its invite code.
    async fn join_group(&self, code: &str) -> GroupResult<GroupJoined>;

    /// Who waits to be let in.
    async fn membership_requests(&self, group: &ChatId) -> GroupResult<Vec<MembershipRequest>>;

    /// Where a group's picture can be fetched, if it has one.
    async fn group_picture(&self, group: &ChatId) -> GroupResult<Option<String>>;

    /// Gives a group a picture, a JPEG; `None` removes it.
    async fn set_group_picture(&self, group: &ChatId, jpeg: Option<Vec<u8>>) -> GroupResult<()>;

    /// Sets the label that this account carries in a group; an empty one removes it.
    async fn set_member_label(&self, group: &ChatId, label: &str) -> GroupResult<()>;
}

/// A group as the ledger has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownGroup {
    /// What is known of it.
    pub group: Group,
    /// When WhatsApp was asked.
    pub as_of: Timestamp,
    /// Something happened that the ledger could not follow: it should be asked anew.
    pub stale: bool,
}

/// Groups. Written by [`Ledger::write`](super::Ledger::write).
#[async_trait]
pub trait GroupStore: Send + Sync + 'static {
    /// A group that is known.
    async fn known_group(
        &self,
        session: SessionId,
        group: &ChatId,
    ) -> StoreResult<Option<KnownGroup>>;

    /// The groups that are known, by id: with their names and communities, without members.
    async fn known_groups(
        &self,
        session: SessionId,
        page: Page,
    ) -> StoreResult<Vec<(ChatId, String, Option<ChatId>)>>;
}

/// What becomes of a group in the ledger.
#[derive(Debug, Clone, PartialEq)]
pub enum GroupWrite {
    /// It was like this when WhatsApp was asked at that time. What happened to it since counts more: then it is marked
    /// as stale.
    Know(Box<Group>, Timestamp),
    /// The account was in these groups, and in no others, at that time.
    Keep(Vec<ChatId>, Timestamp),
    /// Something happened to it, known here since this time. A group that is not known stays so, but for one that
    /// begins.
    Change(crate::group::GroupChange, Timestamp),
    /// The account is not in it any more.
    Forget,
}
