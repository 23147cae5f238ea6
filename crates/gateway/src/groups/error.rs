//! Why something about groups was not done.

use domain::{
    ChatId, SessionId,
    port::{EngineError, GroupActionError, StoreError},
    session::SessionStatus,
};

use crate::{media::MediaError, pacing::StrangersError, sessions::NoLink};

/// Why something about groups was not done.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// There is no session of this id.
    #[error("no session {0}")]
    SessionNotFound(SessionId),
    /// Its engine is not loaded.
    #[error("the session is not started")]
    NotStarted,
    /// It is not connected now.
    #[error("the session is not ready: {}", .0.as_str())]
    NotReady(SessionStatus),
    /// The account is in no such group.
    #[error("no group {0}")]
    NotFound(ChatId),
    /// WhatsApp said no, with its code.
    #[error("whatsapp refused: {text} ({code})")]
    Refused {
        /// The code that WhatsApp gave.
        code: u16,
        /// WhatsApp's own words.
        text: String,
    },
    /// WhatsApp refused it for every person that was named; the code of the first.
    #[error("whatsapp refused it for everybody ({0})")]
    RefusedForAll(u16),
    /// Too many new people for now.
    #[error("too many new people")]
    Paced {
        /// There may be places after so long, seconds.
        retry_after_seconds: u64,
    },
    /// Too many new people for a whole day.
    #[error("more than {most} new people")]
    TooManyStrangers {
        /// New people of a whole day.
        most: u32,
    },
    /// WhatsApp did not answer; whether it was done is not known.
    #[error("whatsapp did not answer")]
    Unanswered,
    /// The picture could not be had, or is none.
    #[error("the picture cannot be used")]
    Media(#[source] MediaError),
    /// The engine could not do it.
    #[error("the engine failed")]
    Engine(#[source] EngineError),
    /// The ledger could not be asked.
    #[error("the ledger failed while working on groups")]
    Store(#[source] StoreError),
}

impl From<NoLink> for GroupError {
    fn from(no: NoLink) -> Self {
        match no {
            NoLink::NotFound(session) => Self::SessionNotFound(session),
            NoLink::NotStarted => Self::NotStarted,
            NoLink::NotReady(status) => Self::NotReady(status),
            NoLink::Store(error) => Self::Store(error),
        }
    }
}

impl From<GroupActionError> for GroupError {
    fn from(error: GroupActionError) -> Self {
        match error {
            GroupActionError::Refused { code, text } => Self::Refused { code, text },
            GroupActionError::Engine(EngineError::Unanswered(_)) => Self::Unanswered,
            GroupActionError::Engine(EngineError::NotConnected) => {
                Self::NotReady(SessionStatus::Initializing)
            }
            GroupActionError::Engine(EngineError::Store(error)) => Self::Store(error),
            GroupActionError::Engine(other) => Self::Engine(other),
        }
    }
}

impl From<StrangersError> for GroupError {
    fn from(error: StrangersError) -> Self {
        match error {
            StrangersError::Paced { retry_after_seconds } => Self::Paced { retry_after_seconds },
            StrangersError::Never { most } => Self::TooManyStrangers { most },
            StrangersError::Store(error) => Self::Store(error),
        }
    }
}

impl GroupError {
    /// The same about a group that was named: one that WhatsApp does not have is not found.
    pub(super) fn about(self, group: &ChatId) -> Self {
        match self {
            Self::Refused { code: 404 | 410, .. } => Self::NotFound(group.clone()),
            other => other,
        }
    }

    /// Whether the account cannot see the group any more.
    pub(super) fn is_gone(&self) -> bool {
        matches!(self, Self::Refused { code: 401 | 403 | 404 | 410, .. } | Self::NotFound(_))
    }
}
